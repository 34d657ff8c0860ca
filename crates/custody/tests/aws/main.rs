//! Keys in AWS KMS, beside an imitation of AWS that computes every signature anew: see `tekseal_harness::Aws`.

mod identity;
mod lies;
mod lifecycle;
mod moto;
mod place;
mod refusals;
mod signing;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tekseal_custody::{Context, Error, Settings};
use tekseal_harness::{AWS_REGION, Aws};
use tekseal_remote::rest::Options;
use tekseal_signing::key_ref::{KeyRef, KmsRef};
use tekseal_signing::{PublicKey, Signer};
use tempfile::TempDir;

const ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const ALIAS: &str = "alias/sign";

/// An AWS, and a process that may know who it is.
struct Shop {
    aws: Aws,
    variables: BTreeMap<String, String>,
    folder: TempDir,
    tries: u32,
    timeout: Duration,
}

impl Shop {
    /// Where nobody is allowed anything yet.
    fn empty() -> Self {
        let aws = Aws::start();
        let url = format!("http://{}", aws.address());
        let mut shop = Self {
            aws,
            variables: BTreeMap::new(),
            folder: tempfile::tempdir().expect("a temporary folder"),
            tries: 3,
            timeout: Duration::from_secs(20),
        };
        let home = shop.folder.path().display().to_string();
        shop.set("HOME", &home);
        shop.set("AWS_REGION", AWS_REGION);
        shop.set("AWS_ENDPOINT_URL", &url);
        shop.set("AWS_EC2_METADATA_DISABLED", "true");
        shop
    }

    /// With lasting credentials in variables.
    fn new() -> Self {
        let mut shop = Self::empty();
        shop.aws.allow(ID, SECRET, None);
        shop.set("AWS_ACCESS_KEY_ID", ID);
        shop.set("AWS_SECRET_ACCESS_KEY", SECRET);
        shop
    }

    /// The same with a P-256 key that has a name.
    fn with_key() -> Self {
        let shop = Self::new();
        shop.make_key("ECC_NIST_P256");
        shop
    }

    /// Makes a key of this kind, and lets the alias name it; gives its ARN.
    fn make_key(&self, spec: &str) -> String {
        let arn = self.aws.key(spec, "SIGN_VERIFY");
        self.aws.alias(ALIAS, &arn);
        arn
    }

    fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    fn unset(&mut self, name: &str) {
        self.variables.remove(name);
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        let folder = path.parent().expect("it has one");
        std::fs::create_dir_all(folder).expect("the folder is ours");
        std::fs::write(&path, text).expect("the folder is ours");
        path
    }

    /// The same for a variable that names the file.
    fn set_file(&mut self, variable: &str, name: &str, text: &str) {
        let path = self.file(name, text).display().to_string();
        self.set(variable, &path);
    }

    fn context(&self) -> Context {
        let variables = self.variables.clone();
        let options = Options {
            timeout: self.timeout,
            tries: self.tries,
            ..Options::default()
        };
        let settings = Settings {
            options,
            ..Settings::default()
        };
        Context::with_variables(
            settings,
            Arc::new(move |name| variables.get(name).map(Into::into)),
        )
    }

    fn try_open(&self, key: &str) -> Result<Signer, Error> {
        run(tekseal_custody::open(&reference(key), &self.context()))
    }

    fn open(&self) -> Signer {
        self.try_open(ALIAS)
            .unwrap_or_else(|error| panic!("{}", told(&error)))
    }

    /// What is said where the key cannot be opened.
    fn refused(&self) -> Error {
        match self.try_open(ALIAS) {
            Ok(_) => panic!("it was to be refused"),
            Err(error) => error,
        }
    }

    fn public_key(&self) -> PublicKey {
        let (key, context) = (reference(ALIAS), self.context());
        run(tekseal_custody::public_key(&key, &context))
            .unwrap_or_else(|error| panic!("{}", told(&error)))
    }

    /// Asserts that AWS had nothing to complain about.
    fn no_complaints(&self) {
        assert_eq!(self.aws.complaints(), Vec::<String>::new());
    }
}

/// `awskms:///` and what follows.
fn reference(key: &str) -> KmsRef {
    match KeyRef::parse(&format!("awskms:///{key}")) {
        Ok(KeyRef::Kms(key)) => key,
        _ => panic!("{key} is one"),
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("a runtime");
    runtime.block_on(work)
}

/// An error with all of its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

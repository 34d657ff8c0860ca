//! With what is signed: a key, or a key of the moment with a certificate for whom an identity token stands.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use jiff::Timestamp;
use tekseal_attest::settings::SignsWith;
use tekseal_attest::{Witnesses, settings};
use tekseal_core::SigningConfig;
use tekseal_core::config::{Config, X509Signer};
use tekseal_core::signing_config::Purpose;
use tekseal_custody::token::{Provider, Source};
use tekseal_custody::{Context, Fulcio, Keyless, Settings, keyless};
use tekseal_remote::rest::Options;
use tekseal_signing::{Signer, Trust};

use crate::cluster_args::ClusterArgs;
use crate::key_args::SigningKeyArgs;
use crate::registry_args::{given, told_to_wait};
use crate::witness_args::moment;
use crate::{Failure, key_url, log, source_args};

/// Fulcio of Sigstore's public instance, where cosign asks too.
const PUBLIC_FULCIO: &str = "https://fulcio.sigstore.dev";
/// The version of Fulcio in signing configurations; both of its protocols are this one there.
const FULCIO_API: u64 = 1;

/// With what is signed.
#[derive(Debug, clap::Args)]
pub struct SignerArgs {
    #[command(flatten)]
    key: SigningKeyArgs,
    #[command(flatten)]
    keyless: KeylessArgs,
}

/// A certificate in the place of a key that is kept.
#[derive(Debug, clap::Args)]
pub struct KeylessArgs {
    /// Sign without a key that is kept, with a certificate of the Fulcio at this address; without it that of --signing-config, else of the configuration,
    /// else the public one
    #[arg(long, env = "TEKSEAL_FULCIO_URL", value_name = "URL")]
    fulcio_url: Option<String>,
    /// Sign without a key that is kept, with a certificate for whom this identity token stands: a file, read when it is needed, or env://NAME; without it
    /// the first provider that is here
    #[arg(
        long,
        env = "TEKSEAL_IDENTITY_TOKEN",
        value_name = "FILE",
        hide_env_values = true
    )]
    identity_token: Option<String>,
    /// Provider of the identity token, as cosign names it: envvar (SIGSTORE_ID_TOKEN), filesystem (/var/run/sigstore/cosign/oidc-token), github-actions,
    /// spiffe (SPIFFE_ENDPOINT_SOCKET) or google-workload-identity
    #[arg(long, env = "TEKSEAL_OIDC_PROVIDER", value_name = "NAME")]
    oidc_provider: Option<String>,
}

/// Whether something without a time is stored.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct TimeArgs {
    /// Store what was signed with a certificate even where neither a log nor a timestamp authority says when: after ten minutes nobody can verify it
    #[arg(long, env = "TEKSEAL_INSECURE_KEYLESS_WITHOUT_TIME", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_name = "BOOL")]
    insecure_keyless_without_time: bool,
}

/// What else says how certificates are had.
#[derive(Default)]
pub(crate) struct Around<'a> {
    /// Where Chains' configuration lies.
    pub(crate) config: Option<&'a Path>,
    /// The signing configuration.
    pub(crate) signing: Option<SigningConfig>,
    /// By what certificates are judged.
    pub(crate) trust: Option<Arc<Trust>>,
    /// Extra certificate authorities of servers.
    pub(crate) ca: Vec<PathBuf>,
    /// How long one try may take.
    pub(crate) timeout: Option<Duration>,
}

/// What signs, ready for use.
pub(crate) enum Opened {
    /// A key.
    Key(Arc<Signer>),
    /// A certificate, which is not asked for before something is to be signed.
    Keyless(Box<Keyless>),
}

impl SignerArgs {
    /// Opens the key, or gets ready to ask for a certificate: as a flag says, else as the configuration does.
    ///
    /// # Errors
    /// Exit 2 where nothing, or both, is asked for by flags.
    pub(crate) fn open(
        &self,
        cluster: &ClusterArgs,
        around: Around<'_>,
    ) -> Result<Opened, Failure> {
        let flag = self.keyless.flag();
        let config = around.config.map(source_args::read_config).transpose()?;
        let config = config.as_ref();
        let kms = config.map(|config| &config.signers().kms);
        let open = |reference: &str| {
            let key = self.key.open(reference, cluster, &around.ca, kms)?;
            Ok(Opened::Key(Arc::new(key)))
        };
        match (self.key.reference(), flag) {
            (Some(_), Some(flag)) => Err(Failure::misuse(anyhow!(
                "--key and {flag} are both given: one signs with a key, the other with a certificate of a key of the moment"
            ))
            .hint("in a Task set the parameter KEY to an empty text to sign with a certificate")),
            (Some(reference), None) => open(reference),
            (None, Some(_)) => self.certified(around, config),
            (None, None) => match config.map_or(SignsWith::Unnamed, SignsWith::of) {
                SignsWith::Key(name, reference) => {
                    open(reference).map_err(|failure| failure.context(format!("{name} of --config")))
                }
                SignsWith::Certificates => self.certified(around, config),
                SignsWith::Several => Err(Failure::misuse(anyhow!(
                    "--config has a key of a service sign some artifacts, and something else others"
                ))
                .hint("say with --key, --fulcio-url, --identity-token or --oidc-provider what signs here")),
                SignsWith::Unnamed => {
                    Err(Failure::misuse(anyhow!("nothing says what to sign with")).hint(
                        "give a key with --key, or ask for a certificate with --fulcio-url, --identity-token or --oidc-provider",
                    ))
                }
            },
        }
    }

    fn certified(&self, around: Around<'_>, config: Option<&Config>) -> Result<Opened, Failure> {
        let x509 = config.filter(|config| settings::uses_certificates(config));
        let x509 = x509.map(|config| &config.signers().x509);
        let keyless = self.keyless.ready(around, x509)?;
        Ok(Opened::Keyless(Box::new(keyless)))
    }
}

impl KeylessArgs {
    /// One of the flags that are given.
    fn flag(&self) -> Option<&'static str> {
        let flags = [
            ("--fulcio-url", &self.fulcio_url),
            ("--identity-token", &self.identity_token),
            ("--oidc-provider", &self.oidc_provider),
        ];
        let mut flags = flags.into_iter();
        let found = flags.find(|(_, value)| given(*value).next().is_some());
        found.map(|(flag, _)| flag)
    }

    fn ready(&self, around: Around<'_>, config: Option<&X509Signer>) -> Result<Keyless, Failure> {
        let source = self.source(config)?;
        let url = self.url(around.signing.as_ref(), config)?;
        let mut options = Options {
            ca: around.ca,
            notice: told_to_wait,
            ..Options::default()
        };
        if let Some(timeout) = around.timeout {
            options.timeout = timeout;
        }
        let context = Context::new(Settings {
            options,
            plain_notice: Some(key_url::tell_plain_http),
            ..Settings::default()
        });
        let fulcio = Fulcio::new(&url, &context, around.trust).map_err(keyless::Error::from)?;
        let clock = || Timestamp::now().as_second();
        Ok(Keyless::new(source, fulcio, context, clock))
    }

    /// Where the token comes from: as the flags say, else as Chains understands its configuration.
    fn source(&self, config: Option<&X509Signer>) -> Result<Source, Failure> {
        let named = |name: &str| Provider::of_name(name).map_err(keyless::Error::from);
        match (
            given(&self.identity_token).next(),
            given(&self.oidc_provider).next(),
        ) {
            (Some(_), Some(_)) => Err(Failure::misuse(anyhow!(
                "--identity-token and --oidc-provider are both given"
            ))),
            (Some(place), None) => place_of(place),
            (None, Some(name)) => Ok(Source::Provider(named(name)?)),
            (None, None) => match config {
                None => Ok(Source::Ambient),
                Some(config) => Ok(Source::of_config(config).map_err(keyless::Error::from)?),
            },
        }
    }

    fn url(
        &self,
        signing: Option<&SigningConfig>,
        config: Option<&X509Signer>,
    ) -> Result<String, Failure> {
        if let Some(url) = given(&self.fulcio_url).next() {
            return Ok(url.to_owned());
        }
        if let Some(signing) = signing {
            let now = Timestamp::now().as_second();
            let found = signing.services(Purpose::Certificates, &[FULCIO_API], now);
            let found = found.map_err(|e| Failure::misuse(e).context("--signing-config"))?;
            let found = found.first().map(|service| service.url.clone());
            return found.ok_or_else(|| {
                Failure::misuse(anyhow!("--signing-config names no Fulcio (caUrls)"))
                    .hint("give its address with --fulcio-url")
            });
        }
        Ok(config
            .map_or(PUBLIC_FULCIO, |config| &config.fulcio_address)
            .to_owned())
    }
}

/// A place that a flag names. A token itself is not taken: everybody on the machine can read what a program was started with.
fn place_of(text: &str) -> Result<Source, Failure> {
    let is_token = |word: &str| {
        word.starts_with("eyJ") && word.bytes().filter(|byte| *byte == b'.').count() == 2
    };
    // Also as it stands in a header, or with a line end before it.
    if text.split_whitespace().any(is_token) {
        return Err(Failure::misuse(anyhow!(
            "--identity-token is a token itself (not shown), and must say where one is"
        ))
        .hint("put it into a file, or into a variable and give env://NAME"));
    }
    match text.strip_prefix("env://") {
        Some("") => Err(Failure::misuse(anyhow!(
            "--identity-token env:// names no variable"
        ))),
        Some(name) => Ok(Source::Variable(name.to_owned())),
        None => Ok(Source::File(PathBuf::from(text))),
    }
}

impl Opened {
    /// Whether a certificate is asked for.
    pub(crate) fn is_keyless(&self) -> bool {
        matches!(self, Self::Keyless(_))
    }

    /// What signs. Of a certificate it is told whom it names before anything is signed: that stands in public logs for ever.
    pub(crate) async fn signer(&self) -> Result<Arc<Signer>, Failure> {
        let keyless = match self {
            Self::Key(signer) => return Ok(Arc::clone(signer)),
            Self::Keyless(keyless) => keyless,
        };
        let signer = keyless
            .signer()
            .await
            .map_err(|error| Failure::from(error).context("getting a certificate to sign with"))?;
        if let Some(certificate) = signer.certificate() {
            let fulcio = keyless.fulcio();
            log::info(
                "signs with a certificate",
                &[
                    ("identity", &certificate.identities().join(", ")),
                    ("issuer", &certificate.oidc_issuer().unwrap_or_default()),
                    ("until", &moment(certificate.not_after())),
                    ("fulcio", &fulcio.url()),
                ],
            );
            if !fulcio.has_trust() {
                log::info(
                    "the certificate is believed by what it says alone: --trusted-root proves that verifiers will believe it",
                    &[],
                );
            }
            if !certificate.has_sct() {
                log::warn(
                    "no log of certificates has promised to show the certificate (SCT): verifiers accept it with --insecure-ignore-sct alone",
                    &[],
                );
            }
        }
        Ok(signer)
    }

    /// That somebody says when something was signed, if it is with a certificate.
    pub(crate) fn check_time(
        &self,
        witnesses: Option<&Witnesses>,
        time: TimeArgs,
    ) -> Result<(), Failure> {
        match self.is_keyless() {
            true => time.check(witnesses),
            false => Ok(()),
        }
    }
}

impl TimeArgs {
    /// That somebody says when something was signed.
    ///
    /// # Errors
    /// Exit 2 where nobody does, unless that was asked for.
    pub(crate) fn check(self, witnesses: Option<&Witnesses>) -> Result<(), Failure> {
        if self.insecure_keyless_without_time || witnesses.is_some_and(Witnesses::tell_time) {
            return Ok(());
        }
        let hint = match witnesses {
            Some(_) => {
                "a log of Rekor v2 says that something was signed and not when: add --timestamp-url"
            }
            None => "give --timestamp-url, or --tlog v1, or both",
        };
        Err(Failure::misuse(anyhow!(
            "nobody could verify after ten minutes what is signed with a certificate: neither a log nor a timestamp authority says when it was signed"
        ))
        .hint(hint))
    }
}

impl From<keyless::Error> for Failure {
    fn from(error: keyless::Error) -> Self {
        let (blame, hint) = (error.blame(), error.hint());
        Self::blamed(blame, error).hints(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(fulcio: &str, token: &str, provider: &str) -> KeylessArgs {
        KeylessArgs {
            fulcio_url: Some(fulcio.to_owned()),
            identity_token: Some(token.to_owned()),
            oidc_provider: Some(provider.to_owned()),
        }
    }

    fn configured(provider: &str, file: &str) -> X509Signer {
        X509Signer {
            fulcio_provider: provider.to_owned(),
            identity_token_file: file.to_owned(),
            fulcio_address: "https://fulcio.example".to_owned(),
            ..X509Signer::default()
        }
    }

    #[test]
    fn a_token_comes_from_where_the_flags_say_else_from_where_chains_takes_it() {
        let file = |path: &str| Source::File(PathBuf::from(path));
        let found = |args: KeylessArgs| args.source(Some(&configured("", "/chains")));
        let found = |args| found(args).expect("good");
        assert_eq!(found(args("", "/t", "")), file("/t"));
        let variable = Source::Variable("TOKEN".to_owned());
        assert_eq!(found(args("", "env://TOKEN", "")), variable);
        let github = Source::Provider(Provider::GitHubActions);
        assert_eq!(found(args("", "", "github-actions")), github);
        let chains = |provider, path| {
            let source = args("", "", "").source(Some(&configured(provider, path)));
            source.map_err(|failure| failure.message())
        };
        for provider in ["", "filesystem", "filesystem-custom-path"] {
            assert_eq!(chains(provider, "/chains"), Ok(file("/chains")));
        }
        assert_eq!(chains("github-actions", "/chains"), Ok(github));
        assert_eq!(chains("", ""), Ok(Source::Ambient));
        assert_eq!(
            chains("filesystem", ""),
            Ok(Source::Provider(Provider::FileSystem))
        );
        assert!(chains("gitlab", "").is_err_and(|text| text.contains("\"gitlab\"")));
        assert_eq!(
            args("", "", "").source(None).expect("good"),
            Source::Ambient
        );
    }

    #[test]
    fn a_token_in_the_place_of_a_file_is_refused_and_not_shown() {
        for text in [
            "eyJhbGciOi.eyJpc3MiOi.c2ln",
            "\neyJhbGciOi.eyJpc3MiOi.c2ln\n",
            "Bearer eyJhbGciOi.eyJpc3MiOi.c2ln",
        ] {
            let refused = args("", text, "").source(None);
            let failure = refused.expect_err("a token");
            assert!(!failure.message().contains("eyJ"), "{}", failure.message());
        }
        assert!(args("", "env://", "").source(None).is_err());
        assert!(args("", "/t", "envvar").source(None).is_err());
    }

    #[test]
    fn fulcio_is_where_the_nearest_says() {
        let service = |list: &str| {
            let text = format!(
                r#"{{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","caUrls":[{list}]}}"#
            );
            SigningConfig::parse(text.as_bytes()).expect("good")
        };
        let one = service(
            r#"{"url":"https://ca.example","majorApiVersion":1,"validFor":{"start":"2020-01-01T00:00:00Z"},"operator":"o"}"#,
        );
        let config = configured("", "");
        let none = args("", "", "");
        let flag = args("https://flag.example", "", "");
        let url = |args: &KeylessArgs, signing, config| args.url(signing, config).expect("good");
        assert_eq!(
            url(&flag, Some(&one), Some(&config)),
            "https://flag.example"
        );
        assert_eq!(url(&none, Some(&one), Some(&config)), "https://ca.example");
        assert_eq!(url(&none, None, Some(&config)), "https://fulcio.example");
        assert_eq!(url(&none, None, None), PUBLIC_FULCIO);
        // The token is for the Fulcio of that configuration, and is shown to no other.
        assert!(none.url(Some(&service("")), None).is_err());
    }
}

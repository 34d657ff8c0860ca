//! What to do, after every check that needs neither git nor a network: [`Settings`] can only be made from good arguments.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use tekseal_core::is_invisible;

use super::args::Args;
use super::place::Existing;
use super::revision::{self, Revision};
use super::url::{FileProtocol, RepositoryUrl, Transport};
use crate::parameters::{given, switch, wrong};
use crate::{Failure, log};

/// The parameters, checked.
pub(super) struct Settings {
    pub(super) url: RepositoryUrl,
    pub(super) revision: Revision,
    pub(super) refspecs: Vec<String>,
    /// How many commits; `None` is all.
    pub(super) depth: Option<u32>,
    pub(super) submodules: Submodules,
    /// Patterns, one each; none is everything.
    pub(super) sparse: Vec<String>,
    pub(super) output: PathBuf,
    pub(super) subdirectory: Option<String>,
    pub(super) existing: Existing,
    pub(super) access: Access,
    pub(super) retries: u32,
    pub(super) talk: Talk,
}

/// How servers are reached, and what they are shown.
pub(super) struct Access {
    pub(super) basic_auth: Option<PathBuf>,
    pub(super) ssh_directory: Option<PathBuf>,
    /// Tekton's own, where neither of both is given.
    pub(super) credentials: Option<PathBuf>,
    pub(super) certificates: Certificates,
    pub(super) authorities: Option<Authorities>,
    pub(super) host_keys: HostKeys,
    pub(super) files: FileProtocol,
    /// Variables for curl.
    pub(super) proxies: Vec<(&'static str, String)>,
    /// Where the private home is made.
    pub(super) home: Option<PathBuf>,
}

/// Which submodules are fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Submodules {
    None,
    All,
    At(Vec<String>),
}

/// Whether a server must show a valid certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certificates {
    Verify,
    Insecure,
}

/// Which ssh servers are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostKeys {
    Known,
    InsecureAcceptNew,
}

/// Certificate authorities of the workspace.
pub(super) struct Authorities {
    pub(super) folder: PathBuf,
    pub(super) file: PathBuf,
}

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Talk {
    Verbose,
    Quiet,
}

/// Where Tekton puts what it makes of the ServiceAccount's Secrets.
const TEKTON_CREDENTIALS: &str = "/tekton/creds";

impl Settings {
    /// Checks `args`; looks at files, changes nothing.
    ///
    /// # Errors
    /// Exit 2, with what is wrong, where, and what to do.
    pub(super) fn from_args(args: &Args) -> Result<Self, Failure> {
        let files = if switch("insecureFileProtocol", &args.insecure_file_protocol, false)? {
            FileProtocol::InsecureAllowed
        } else {
            FileProtocol::Refused
        };
        let url = RepositoryUrl::parse(args.url.as_deref().unwrap_or_default(), files)?;
        let refspecs = revision::refspecs(given(&args.refspec))?;
        let revision = Revision::parse(given(&args.revision), &refspecs)?;
        let Some(output) = given(&args.output).map(PathBuf::from) else {
            return Err(Failure::misuse(anyhow!("output is missing"))
                .hint("give the folder for the source by --output or WORKSPACE_OUTPUT_PATH; it is emptied first"));
        };
        let existing = match switch("deleteExisting", &args.delete_existing, true)? {
            true => Existing::Delete,
            false => Existing::Refuse,
        };
        let talk = match switch("verbose", &args.verbose, true)? {
            true => Talk::Verbose,
            false => Talk::Quiet,
        };
        let settings = Self {
            revision,
            refspecs,
            depth: depth(given(&args.depth))?,
            submodules: submodules(args)?,
            sparse: sparse(given(&args.sparse_checkout_directories))?,
            output,
            subdirectory: given(&args.subdirectory).map(str::to_owned),
            existing,
            access: Access::from_args(args, files)?,
            retries: retries(given(&args.retries))?,
            talk,
            url,
        };
        settings.warn();
        Ok(settings)
    }

    /// What is allowed and weakens something.
    fn warn(&self) {
        let url = &self.url.as_str();
        if self.access.certificates == Certificates::Insecure {
            log::warn(
                "certificates are not verified (sslVerify is false): whoever is between can change the source and read credentials",
                &[("url", url)],
            );
        }
        let is_open = matches!(self.url.transport(), Transport::Http | Transport::Git);
        // A commit's hash tells whether it was changed on the way.
        if is_open && !matches!(self.revision, Revision::Commit(_)) {
            log::warn(
                "nothing proves where the source comes from: whoever is between can change it; use https or ssh, or a full commit hash as revision",
                &[("url", url)],
            );
        }
    }
}

impl Access {
    fn from_args(args: &Args, files: FileProtocol) -> Result<Self, Failure> {
        let basic_auth = folder("basic-auth", given(&args.basic_auth))?;
        let ssh_directory = folder("ssh-directory", given(&args.ssh_directory))?;
        let credentials = match given(&args.credentials) {
            Some(path) => folder("credentials", Some(path))?,
            None => Some(PathBuf::from(TEKTON_CREDENTIALS)).filter(|path| path.is_dir()),
        };
        let certificates = match switch("sslVerify", &args.ssl_verify, true)? {
            true => Certificates::Verify,
            false => Certificates::Insecure,
        };
        let accept = switch(
            "insecureAcceptHostKey",
            &args.insecure_accept_host_key,
            false,
        )?;
        let home = given(&args.user_home).map(PathBuf::from);
        if let Some(home) = home.as_ref().filter(|home| !home.is_absolute()) {
            return Err(wrong(
                "userHome",
                &home.to_string_lossy(),
                "an absolute path",
            ));
        }
        Ok(Self {
            basic_auth,
            ssh_directory,
            credentials,
            certificates,
            authorities: authorities(args)?,
            host_keys: match accept {
                true => HostKeys::InsecureAcceptNew,
                false => HostKeys::Known,
            },
            files,
            proxies: proxies(args),
            home,
        })
    }

    /// Where `.git-credentials` may be.
    pub(super) fn for_http(&self) -> Option<&Path> {
        self.basic_auth.as_deref().or(self.credentials.as_deref())
    }

    /// Where a private key and `known_hosts` may be.
    pub(super) fn for_ssh(&self) -> Option<PathBuf> {
        let of_tekton = || {
            let folder = self.credentials.as_ref()?.join(".ssh");
            folder.is_dir().then_some(folder)
        };
        self.ssh_directory.clone().or_else(of_tekton)
    }
}

/// A folder that must be there.
fn folder(what: &str, path: Option<&str>) -> Result<Option<PathBuf>, Failure> {
    let Some(path) = path.map(PathBuf::from) else {
        return Ok(None);
    };
    if path.is_dir() {
        return Ok(Some(path));
    }
    Err(
        Failure::misuse(anyhow!("{what} {} is not a folder", path.display())).hint(format!(
            "bind the workspace {what} to a Secret, or give none"
        )),
    )
}

/// The parameters' proxies, else the environment's. curl reads `http_proxy` in lower case only, since a server of CGI is told HTTP_PROXY by
/// its clients; others read upper case first.
fn proxies(args: &Args) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for (value, names) in [
        (&args.http_proxy, ["http_proxy", "HTTP_PROXY"]),
        (&args.https_proxy, ["https_proxy", "HTTPS_PROXY"]),
        (&args.no_proxy, ["no_proxy", "NO_PROXY"]),
    ] {
        let of_environment = || {
            let mut values = names.iter().filter_map(|name| std::env::var(name).ok());
            values.find(|value| !value.is_empty())
        };
        if let Some(value) = given(value).map(str::to_owned).or_else(of_environment) {
            all.extend(names.map(|name| (name, value.clone())));
        }
    }
    all
}

fn authorities(args: &Args) -> Result<Option<Authorities>, Failure> {
    let name = given(&args.crt_file_name).unwrap_or("ca-bundle.crt");
    let Some(folder) = folder("ssl-ca-directory", given(&args.ssl_ca_directory))? else {
        return Ok(None);
    };
    if name.contains('/') || name == ".." {
        return Err(wrong(
            "crtFileName",
            name,
            "the name of a file in ssl-ca-directory",
        ));
    }
    let file = folder.join(name);
    if !file.is_file() {
        return Err(Failure::misuse(anyhow!(
            "ssl-ca-directory {} has no file {name}",
            folder.display()
        ))
        .hint("crtFileName (--crt-file-name) names the file with the certificate authorities"));
    }
    Ok(Some(Authorities { folder, file }))
}

fn depth(value: Option<&str>) -> Result<Option<u32>, Failure> {
    let value = value.unwrap_or("1");
    match value.parse() {
        Ok(0) => Ok(None),
        Ok(count) if count <= i32::MAX as u32 => Ok(Some(count)),
        _ => Err(wrong("depth", value, "a number of commits, or 0 for all")),
    }
}

fn retries(value: Option<&str>) -> Result<u32, Failure> {
    let value = value.unwrap_or("3");
    value
        .parse()
        .ok()
        .filter(|count| *count <= 100)
        .ok_or_else(|| wrong("retries", value, "a number from 0 to 100"))
}

fn submodules(args: &Args) -> Result<Submodules, Failure> {
    if !switch("submodules", &args.submodules, true)? {
        return Ok(Submodules::None);
    }
    let paths = elements(given(&args.submodule_paths));
    for path in &paths {
        let is_good = !path.starts_with(['-', '/', ':'])
            && !path.contains(['*', '?', '[', '\\'])
            && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
            && !path.chars().any(is_invisible);
        if !is_good {
            return Err(wrong(
                "a path in submodulePaths",
                path,
                "a plain path in the repository, such as vendor/lib",
            ));
        }
    }
    Ok(match paths.is_empty() {
        true => Submodules::All,
        false => Submodules::At(paths),
    })
}

fn sparse(value: Option<&str>) -> Result<Vec<String>, Failure> {
    let patterns = elements(value);
    match patterns
        .iter()
        .find(|pattern| pattern.chars().any(is_invisible))
    {
        Some(bad) => Err(wrong(
            "a pattern in sparseCheckoutDirectories",
            bad,
            "one line of a .gitignore, such as docs/ or !docs/old",
        )),
        None => Ok(patterns),
    }
}

fn elements(value: Option<&str>) -> Vec<String> {
    value
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|element| !element.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::args::tests::parse;
    use super::*;

    fn settings(words: &[&str]) -> Result<Settings, Failure> {
        let mut all = vec!["--url", "https://h.example/x", "--output", "/out"];
        all.extend(words);
        Settings::from_args(&parse(&all))
    }

    #[test]
    fn the_defaults_are_the_catalogs() {
        let settings = settings(&[]).expect("good parameters");
        assert_eq!(settings.revision, Revision::Default);
        assert_eq!(settings.depth, Some(1));
        assert_eq!(settings.submodules, Submodules::All);
        assert_eq!(settings.existing, Existing::Delete);
        assert_eq!(settings.talk, Talk::Verbose);
        assert_eq!(settings.access.certificates, Certificates::Verify);
        assert_eq!(settings.access.host_keys, HostKeys::Known);
        assert_eq!(settings.access.files, FileProtocol::Refused);
        assert!(settings.refspecs.is_empty() && settings.sparse.is_empty());
    }

    #[test]
    fn lists_and_numbers_are_read() {
        let settings = settings(&[
            "--depth",
            "0",
            "--submodule-paths",
            "a/b, c,,",
            "--sparse-checkout-directories",
            "docs/, !docs/old",
            "--refspec",
            "a:b c:d",
            "--retries",
            "0",
            "--https-proxy",
            "http://p:1",
        ])
        .expect("good parameters");
        assert_eq!(settings.depth, None);
        assert_eq!(
            settings.submodules,
            Submodules::At(vec!["a/b".to_owned(), "c".to_owned()])
        );
        assert_eq!(settings.sparse, ["docs/", "!docs/old"]);
        assert_eq!(settings.refspecs, ["a:b", "c:d"]);
        for name in ["https_proxy", "HTTPS_PROXY"] {
            let proxy = (name, "http://p:1".to_owned());
            assert!(settings.access.proxies.contains(&proxy), "{name}");
        }
    }

    #[test]
    fn bad_parameters_are_misuse_and_name_themselves() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().to_str().expect("ASCII");
        for (words, name) in [
            (&["--depth", "-1"] as &[&str], "depth"),
            (&["--depth", "all"], "depth"),
            (&["--depth", "4294967295"], "depth"),
            (&["--submodules", "yes"], "submodules"),
            (&["--submodule-paths", "../x"], "submodulePaths"),
            (&["--submodule-paths", "--force"], "submodulePaths"),
            (&["--submodule-paths", ":(glob)**"], "submodulePaths"),
            (&["--sparse-checkout-directories", "a\nb"], "sparse"),
            (&["--ssl-verify", "no"], "sslVerify"),
            (&["--delete-existing", "no"], "deleteExisting"),
            (&["--verbose", "2"], "verbose"),
            (&["--user-home", "home"], "userHome"),
            (&["--retries", "-"], "retries"),
            (&["--refspec", "--upload-pack=id"], "refspec"),
            (&["--revision", "--x"], "revision"),
            (&["--basic-auth", "/absent"], "basic-auth"),
            (&["--ssh-directory", "/absent"], "ssh-directory"),
            (&["--ssl-ca-directory", "/absent"], "ssl-ca-directory"),
            (&["--ssl-ca-directory", folder], "ca-bundle.crt"),
            (
                &["--ssl-ca-directory", folder, "--crt-file-name", "../x"],
                "crtFileName",
            ),
            (
                &["--insecure-accept-host-key", "1"],
                "insecureAcceptHostKey",
            ),
            (&["--insecure-file-protocol", "1"], "insecureFileProtocol"),
        ] {
            let failure = settings(words).err().unwrap_or_else(|| panic!("{words:?}"));
            assert_eq!(failure.code(), crate::exit::MISUSE, "{words:?}");
            assert!(failure.message().contains(name), "{}", failure.message());
            assert!(!format!("{failure:?}").contains("hints: []"), "{words:?}");
        }
        let missing = Settings::from_args(&parse(&["--url", "https://h/x"]));
        let failure = missing.err().expect("no output");
        assert!(failure.message().contains("output is missing"));
    }
}

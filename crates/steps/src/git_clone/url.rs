//! The parameter `url`: where the source comes from. Its text becomes a result and stands in provenance for everybody to read, so nothing
//! secret may be in it, and git must be able to take it for nothing but a URL.
//!
//! A password in it is refused rather than left out: as a parameter it is in the run's document already, and should be changed. A user name
//! of http and https is left out with a warning, since it may be a token; that of ssh stays: it is an account's name, without which
//! nothing can be fetched, and no secret.
//!
//! No message shows the text: what is wrong with it may be that it holds a password.

use anyhow::anyhow;
use tekseal_core::is_invisible;

use super::secrets::user_info;
use crate::{Failure, log};

/// A URL that names a repository and holds nothing secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RepositoryUrl {
    text: String,
    transport: Transport,
}

/// How a repository is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Https,
    Http,
    Ssh,
    Git,
    File,
}

/// Whether `file://` may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileProtocol {
    Refused,
    InsecureAllowed,
}

/// So long that url and commit fit into the results twice.
const LONGEST: usize = 1000;

impl RepositoryUrl {
    /// Reads `scheme://host/path` or `user@host:path`; white space around it is taken off, as it comes from results that were written
    /// with a newline.
    ///
    /// # Errors
    /// Exit 2 for everything that is not such a URL, and for one with a password.
    pub(super) fn parse(given: &str, files: FileProtocol) -> Result<Self, Failure> {
        let text = given.trim();
        if text.is_empty() {
            return Err(Failure::misuse(anyhow!("url is missing"))
                .hint("give --url or the environment variable PARAM_URL, such as https://host/repository.git"));
        }
        if text.chars().any(|c| c.is_whitespace() || is_invisible(c)) {
            return Err(refused(
                "has white space or unseen characters in it",
                "a result that was written with a newline is a frequent cause; look at the task before",
            ));
        }
        if text.len() > LONGEST {
            return Err(refused(
                "has more than 1000 bytes",
                "it would not fit into the results",
            ));
        }
        if text.starts_with('-') {
            return Err(refused("begins with a dash", FORMS));
        }
        let is_word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if text.split_once("::").is_some_and(|(name, _)| is_word(name)) {
            return Err(refused("names a transport helper of git", FORMS));
        }
        if has_dots(text) {
            return Err(refused(
                "has a part . or .. in it",
                "what is fetched is another repository than the text names: write its path",
            ));
        }
        match text.split_once("://") {
            Some((scheme, rest)) => Self::with_scheme(scheme, rest, files),
            None => Self::like_scp(text),
        }
    }

    fn with_scheme(scheme: &str, rest: &str, files: FileProtocol) -> Result<Self, Failure> {
        let transport = match scheme {
            "https" => Transport::Https,
            "http" => Transport::Http,
            "ssh" => Transport::Ssh,
            "git" => Transport::Git,
            "file" => return Self::of_file(rest, files),
            _ => return Err(refused("has a scheme that is not allowed", FORMS)),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err(with_password());
        }
        if !is_host_and_port(host) {
            return Err(refused("has no good host and port", FORMS));
        }
        match transport {
            Transport::Ssh => {
                if user.is_some_and(|user| !is_user(user)) {
                    return Err(refused("has a user name that no account has", FORMS));
                }
                let text = format!("ssh://{authority}{path}");
                return Ok(Self { text, transport });
            }
            Transport::Https | Transport::Http | Transport::Git | Transport::File => {}
        }
        if path.contains(['?', '#']) {
            return Err(refused(
                "has a query or a fragment",
                "it may hold a token, and would be in the results; give credentials by the workspace basic-auth (--basic-auth DIR)",
            ));
        }
        let text = format!("{scheme}://{host}{path}");
        if user.is_some() {
            log::warn(
                "the user name in the url is left out, since it may be a token; the workspace basic-auth (--basic-auth DIR) is for credentials",
                &[("url", &text)],
            );
        }
        Ok(Self { text, transport })
    }

    fn of_file(path: &str, files: FileProtocol) -> Result<Self, Failure> {
        if files == FileProtocol::Refused {
            return Err(refused(
                "is a file:// URL",
                "--insecure-file-protocol (PARAM_INSECURE_FILE_PROTOCOL) allows those, also to submodules: whoever names one can read every repository in this container",
            ));
        }
        if !path.starts_with('/') {
            return Err(refused(
                "has a host or a relative path",
                "write file:///path",
            ));
        }
        Ok(Self {
            text: format!("file://{path}"),
            transport: Transport::File,
        })
    }

    /// `[user@]host:path`
    fn like_scp(text: &str) -> Result<Self, Failure> {
        let no_url = || refused("is no URL", FORMS);
        let (user, rest) = match text.split_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, text),
        };
        if user.is_some_and(|user| user.contains(':')) || rest.contains('@') {
            return Err(with_password());
        }
        let after_host = match rest.strip_prefix('[') {
            Some(rest) => rest.find(']').map(|at| at + "[]".len()),
            None => rest.find(':'),
        };
        let (host, path) = rest.split_at(after_host.ok_or_else(no_url)?);
        let path = path.strip_prefix(':').ok_or_else(no_url)?;
        let is_good = !path.is_empty()
            && !path.starts_with('-')
            && user.is_none_or(is_user)
            && is_host_and_port(host);
        if !is_good {
            return Err(no_url());
        }
        Ok(Self {
            text: text.to_owned(),
            transport: Transport::Ssh,
        })
    }

    /// As git gets it, and as it is in the results.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// How the repository is reached.
    pub(super) fn transport(&self) -> Transport {
        self.transport
    }

    /// Scheme and host, for which credentials count.
    pub(super) fn origin(&self) -> &str {
        let after_scheme = self.text.find("://").map_or(0, |at| at + "://".len());
        let end = self.text[after_scheme..].find('/');
        end.map_or(&self.text, |end| &self.text[..after_scheme + end])
    }

    /// Whether git would fetch from here when it fetches from `actual`, what its configuration made of this URL: a user and a password for
    /// the same place are no difference.
    pub(super) fn is_same_place(&self, actual: &str) -> bool {
        let without_user = user_info(actual)
            .is_some_and(|user| actual.replacen(&format!("{user}@"), "", 1) == self.text);
        actual == self.text || without_user
    }
}

const FORMS: &str =
    "write https://host/path, http://, ssh://user@host/path, git:// or user@host:path";

fn refused(reason: &str, hint: &str) -> Failure {
    Failure::misuse(anyhow!("url {reason}")).hint(hint)
}

fn with_password() -> Failure {
    refused(
        "has a password in it",
        "parameters are in the run's document and in its provenance: change that password, and give credentials by the workspace basic-auth (--basic-auth DIR) or ssh-directory (--ssh-directory DIR)",
    )
}

/// Whether a part of the path is `.` or `..`, percent-encoded or not: whoever fetches takes it out, and whoever reads provenance does not.
fn has_dots(text: &str) -> bool {
    let is_dots = |part: &str| {
        let part = part.to_ascii_lowercase().replace("%2e", ".");
        part == "." || part == ".."
    };
    text.split(['/', '\\', ':']).any(is_dots)
}

fn is_user(user: &str) -> bool {
    !user.is_empty()
        && !user.starts_with('-')
        && user
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._+~".contains(&b))
}

/// `host`, `host:port`, `[address]` or `[address]:port`.
fn is_host_and_port(text: &str) -> bool {
    let is_port = |port: &str| {
        !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
    };
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        let port = port.strip_prefix(':');
        return address.parse::<std::net::Ipv6Addr>().is_ok()
            && (port.is_some_and(is_port) || rest.ends_with(']'));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    !host.is_empty()
        && !host.starts_with(['-', '.'])
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RepositoryUrl, Failure> {
        RepositoryUrl::parse(text, FileProtocol::Refused)
    }

    #[test]
    fn the_usual_forms_are_taken_as_they_are() {
        for (text, transport) in [
            ("https://github.com/org/repo.git", Transport::Https),
            ("https://h.example:8443/a/~b/c%20d", Transport::Https),
            ("http://[::1]:8080/x", Transport::Http),
            ("ssh://git@h.example:22/org/repo", Transport::Ssh),
            ("ssh://h/x", Transport::Ssh),
            ("git@github.com:org/repo.git", Transport::Ssh),
            ("host:path", Transport::Ssh),
            ("git@[::1]:path", Transport::Ssh),
            ("https://h/.a/b..c/...", Transport::Https),
            ("git://127.0.0.1:9418/x", Transport::Git),
        ] {
            let url = parse(text).unwrap_or_else(|e| panic!("{text}: {}", e.message()));
            assert_eq!((url.as_str(), url.transport()), (text, transport));
        }
        let url = parse(" https://h/x\r\n").expect("white space around it");
        assert_eq!(url.as_str(), "https://h/x");
    }

    #[test]
    fn a_password_is_refused_and_never_shown() {
        for text in [
            "https://user:s3cret@h/x",
            "https://:s3cret@h/x",
            "https://user:s3cret@@h/x",
            "https://user:s3/cret@h/x",
            "ssh://git:s3cret@h/x",
            "git:s3cret@h:x",
            "user@h:s3cret@x",
            "s3cret",
            "s3cret://x",
            "-s3cret",
            "https://h/x?private_token=s3cret",
            "https://h/x#s3cret",
            "https://s3cret_/x",
            "ext::s3cret",
        ] {
            let failure = match parse(text) {
                Err(failure) => failure,
                // A host with an odd name, no more.
                Ok(url) if text == "https://s3cret_/x" => {
                    assert_eq!(url.as_str(), text);
                    continue;
                }
                Ok(url) => panic!("{text} became {url:?}"),
            };
            assert_eq!(failure.code(), crate::exit::MISUSE);
            assert!(!format!("{failure:?}").contains("s3"), "{failure:?}");
        }
    }

    #[test]
    fn a_user_name_is_left_out_for_http_and_stays_for_ssh() {
        for (text, wanted) in [
            ("https://ghp_token@github.com/o/r", "https://github.com/o/r"),
            ("http://org@h/x", "http://h/x"),
            ("ssh://git@h/x", "ssh://git@h/x"),
        ] {
            assert_eq!(parse(text).expect("good").as_str(), wanted);
        }
    }

    #[test]
    fn what_git_could_take_for_something_else_is_refused() {
        for text in [
            "",
            " ",
            "-u",
            "--upload-pack=/bin/sh",
            "ext::sh -c id",
            "ext::sh",
            "fd::17",
            "https::https://h/x",
            "remote-ext::x",
            "ftp://h/x",
            "HTTPS://h/x",
            "git+ssh://h/x",
            "file:///etc",
            "/etc",
            "./x",
            "../x",
            "x",
            "ssh://-oProxyCommand=id/x",
            "ssh://-oProxyCommand=id@h/x",
            "-oProxyCommand=id:x",
            "h:-x",
            "h:",
            "@h:x",
            "https:///x",
            "https://h:99999/x",
            "https://h:/x",
            "https://h/team/app@refs/../../evil/repo.git",
            "https://h/a/..",
            "https://h/./a",
            "https://h/a/%2E%2e/b",
            "https://h/a/.%2E/b",
            "ssh://git@h/a/../b",
            "git@h:../b",
            "git@h:a/../b",
            "https://h\u{202e}/x",
            "https://h/a b",
            "https://h/a\nb",
            "https://h\u{0}/x",
            "https://ü.example/x",
            "[::1:x",
            "[nope]:x",
        ] {
            let failure = parse(text).expect_err(text);
            assert_eq!(failure.code(), crate::exit::MISUSE, "{text}");
            assert!(!format!("{failure:?}").contains("hints: []"), "{text}");
        }
        assert!(parse(&format!("https://h/{}", "x".repeat(LONGEST))).is_err());
    }

    #[test]
    fn files_are_for_those_who_ask_for_them() {
        let parse = |text| RepositoryUrl::parse(text, FileProtocol::InsecureAllowed);
        assert_eq!(
            parse("file:///a/b").expect("allowed").transport(),
            Transport::File
        );
        for text in ["file://host/a", "file://a", "/a/b"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_origin_is_what_credentials_count_for() {
        for (text, origin) in [
            ("https://h:8443/a/b", "https://h:8443"),
            ("https://h", "https://h"),
            ("http://[::1]/", "http://[::1]"),
        ] {
            assert_eq!(parse(text).expect("good").origin(), origin);
        }
    }

    #[test]
    fn a_place_stays_the_same_with_credentials_and_not_with_another_host() {
        let url = parse("https://h/x").expect("good");
        assert!(url.is_same_place("https://h/x"));
        assert!(url.is_same_place("https://token:x@h/x"));
        for other in [
            "https://evil/x",
            "http://h/x",
            "https://t@evil/x",
            "ext::sh",
        ] {
            assert!(!url.is_same_place(other), "{other}");
        }
        for text in ["git@h:x", "ssh://git@h/x"] {
            let url = parse(text).expect("good");
            assert!(url.is_same_place(text));
            assert!(!url.is_same_place("ssh://other@h/x"));
        }
    }
}

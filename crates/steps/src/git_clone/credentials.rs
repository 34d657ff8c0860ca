//! Credentials for http: `.git-credentials`, `.gitconfig`, or a Secret's `username` and `password`, brought into the private home.
//!
//! They come from the workspace `basic-auth`, else from what Tekton made of the ServiceAccount's Secrets. git's own store reads them there;
//! none of them is ever an argument or a variable of a process.

use std::path::Path;

use anyhow::anyhow;
use tekseal_core::percent::encoded_secret;
use zeroize::Zeroizing;

use super::home::{Home, read_secret};
use super::secrets::Secrets;
use super::settings::Access;
use super::url::{RepositoryUrl, Transport};
use crate::{Failure, log};

/// What was brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Brought {
    /// `.git-credentials` is in the home.
    pub(super) store: bool,
    /// A `.gitconfig` of the user's is in the home, under [`GIVEN_CONFIG`].
    pub(super) config: bool,
}

/// The user's `.gitconfig`, of which only some settings are taken.
pub(super) const GIVEN_CONFIG: &str = "given-gitconfig";
/// Where git's store looks.
const STORE: &str = ".git-credentials";

/// Brings them.
///
/// # Errors
/// Exit 2 if the workspace has none of these files, if one cannot be read, and if a password would go over http in the clear without
/// anybody having said so.
pub(super) fn bring(
    home: &Home,
    access: &Access,
    url: &RepositoryUrl,
    secrets: &mut Secrets,
) -> Result<Brought, Failure> {
    let mut brought = Brought::default();
    let Some(folder) = access.for_http() else {
        return Ok(brought);
    };
    if let Some(bytes) = read_secret(&folder.join(STORE))? {
        let text = text(&bytes, &folder.join(STORE))?;
        let mut lines = Zeroizing::new(String::with_capacity(text.len() + 1));
        // An editor's carriage return would become a part of the host.
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            secrets.add_of_url(line);
            lines.push_str(line);
            lines.push('\n');
        }
        home.write(STORE, lines.as_bytes())?;
        brought.store = true;
    } else if let Some(line) = of_user_and_password(folder, url, secrets)? {
        home.write(STORE, line.as_bytes())?;
        brought.store = true;
    }
    if let Some(bytes) = read_secret(&folder.join(".gitconfig"))? {
        home.write(GIVEN_CONFIG, &bytes)?;
        brought.config = true;
    }
    let is_expected = access.basic_auth.is_some()
        && matches!(url.transport(), Transport::Https | Transport::Http);
    if is_expected && brought == Brought::default() {
        return Err(Failure::misuse(anyhow!(
            "basic-auth {} has neither .git-credentials nor .gitconfig, nor username and password",
            folder.display()
        ))
        .hint("bind the workspace basic-auth to a Secret with the key .git-credentials (https://user:token@host), or to one of type kubernetes.io/basic-auth"));
    }
    Ok(brought)
}

/// A line for git's store of the two keys of a Secret of type `kubernetes.io/basic-auth`: for the host of the URL and no other.
fn of_user_and_password(
    folder: &Path,
    url: &RepositoryUrl,
    secrets: &mut Secrets,
) -> Result<Option<Zeroizing<String>>, Failure> {
    let user = read_secret(&folder.join("username"))?;
    let password = read_secret(&folder.join("password"))?;
    let (Some(user), Some(password)) = (user, password) else {
        return Ok(None);
    };
    match url.transport() {
        Transport::Https => {}
        Transport::Http => {
            return Err(Failure::misuse(anyhow!(
                "username and password of {} would go to {} in the clear",
                folder.display(),
                url.origin()
            ))
            .hint("use https; where it must be, a line http://user:password@host in .git-credentials says so"));
        }
        Transport::Ssh | Transport::Git | Transport::File => {
            log::warn(
                "username and password are not for this url",
                &[("url", &url.as_str())],
            );
            return Ok(None);
        }
    }
    // `echo` and editors end a file with a newline.
    let user = text(&user, &folder.join("username"))?.trim_end_matches(['\r', '\n']);
    let password = text(&password, &folder.join("password"))?.trim_end_matches(['\r', '\n']);
    secrets.add(password);
    let host = url.origin().trim_start_matches("https://");
    let line = Zeroizing::new(format!(
        "https://{}:{}@{host}\n",
        encoded_secret(user).as_str(),
        encoded_secret(password).as_str()
    ));
    secrets.add_of_url(&line);
    Ok(Some(line))
}

fn text<'b>(bytes: &'b [u8], path: &Path) -> Result<&'b str, Failure> {
    std::str::from_utf8(bytes)
        .map_err(|_| Failure::misuse(anyhow!("{} is not UTF-8", path.display())))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::args::tests::parse;
    use super::super::settings::Settings;
    use super::*;

    /// What becomes of these files for this URL: what was brought, the store, and a line with the password hidden.
    fn brought(url: &str, files: &[(&str, &str)]) -> Result<(Brought, String, String), Failure> {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a file");
        }
        let path = folder.path().to_str().expect("ASCII");
        let args = parse(&["--url", url, "--output", "/out", "--basic-auth", path]);
        let settings = Settings::from_args(&args).expect("good parameters");
        let home = Home::make(None).expect("room");
        let mut secrets = Secrets::default();
        let brought = bring(&home, &settings.access, &settings.url, &mut secrets)?;
        let store = fs::read_to_string(home.file(STORE)).unwrap_or_default();
        Ok((brought, store, secrets.hide("s3cret/ s3cret%2F")))
    }

    #[test]
    fn the_store_is_taken_line_by_line_and_its_passwords_are_hidden() {
        let file = "https://u:s3cret%2F@h\r\n\nhttp://x:y@z";
        let (brought, store, line) =
            brought("https://h/x", &[(STORE, file), (".gitconfig", "")]).expect("good");
        assert!(brought.store && brought.config);
        assert_eq!(store, "https://u:s3cret%2F@h\nhttp://x:y@z\n");
        assert_eq!(line, "*** ***");
    }

    #[test]
    fn user_and_password_are_for_the_host_of_the_url() {
        let files = [("username", "a@b\n"), ("password", "s3cret/\n")];
        let (brought, store, line) = brought("https://h:8443/x", &files).expect("good");
        assert!(brought.store && !brought.config);
        assert_eq!(store, "https://a%40b:s3cret%2F@h:8443\n");
        assert_eq!(line, "*** ***");
    }

    #[test]
    fn a_password_does_not_go_over_http_by_itself() {
        let files = [("username", "u"), ("password", "s3cret")];
        let failure = brought("http://h/x", &files).expect_err("in the clear");
        assert_eq!(failure.code(), crate::exit::MISUSE);
        assert!(!format!("{failure:?}").contains("s3cret"), "{failure:?}");
        let (brought, ..) = brought("git@h:x", &files).expect("of no use");
        assert_eq!(brought, Brought::default());
    }

    #[test]
    fn a_workspace_without_any_of_them_is_misuse() {
        let failure = brought("https://h/x", &[("token", "s3cret")]).expect_err("none of them");
        assert_eq!(failure.code(), crate::exit::MISUSE);
        assert!(!format!("{failure:?}").contains("s3cret"), "{failure:?}");
        assert!(brought("https://h/x", &[("username", "u")]).is_err());
    }
}

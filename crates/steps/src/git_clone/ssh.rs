//! What ssh is told: a private copy of keys, `known_hosts` and `config`, and a command that verifies the server's key whatever that
//! `config` says.
//!
//! A `config` may name commands (`ProxyCommand`), as that of a bastion must. It is from the same Secret as the keys; whoever chose it can
//! run anything in this step.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::anyhow;

use super::home::{Home, read_secret};
use super::settings::HostKeys;
use super::url::Transport;
use crate::{Failure, log};

const FOLDER: &str = ".ssh";
const KNOWN_HOSTS: &str = "known_hosts";
const CONFIG: &str = "config";
/// More files than any of these folders has.
const MOST: usize = 64;

/// Copies the files of `folder` into the home, and gives the command for git, which has nothing in it that a shell would change.
///
/// # Errors
/// Exit 2 if the source comes by ssh and no server's key is known, unless every new one is to be accepted; and if a file cannot be read.
pub(super) fn bring(
    home: &Home,
    folder: Option<&Path>,
    host_keys: HostKeys,
    transport: Transport,
) -> Result<String, Failure> {
    home.make_folder(FOLDER)?;
    let files = match folder {
        Some(folder) => copy(home, folder)?,
        None => Files::default(),
    };
    if transport == Transport::Ssh {
        if !files.has_known_hosts && host_keys == HostKeys::Known {
            return Err(no_known_hosts(folder));
        }
        if files.keys.is_empty() && !files.names_keys {
            log::warn(
                "there is no private key for ssh; the workspace ssh-directory (--ssh-directory DIR) is for it",
                &[],
            );
        }
    }
    if !files.has_known_hosts {
        home.write(&format!("{FOLDER}/{KNOWN_HOSTS}"), b"")?;
    }
    if !files.has_config {
        home.write(&format!("{FOLDER}/{CONFIG}"), b"")?;
    }
    let place = |name: &str| home.file(FOLDER).join(name).display().to_string();
    let check = match host_keys {
        HostKeys::Known => "yes",
        HostKeys::InsecureAcceptNew => {
            if transport == Transport::Ssh {
                log::warn(
                    "the key of an ssh server that is not in known_hosts is accepted unseen",
                    &[],
                );
            }
            "accept-new"
        }
    };
    let mut command = format!(
        "ssh -F {} -o BatchMode=yes -o StrictHostKeyChecking={check} -o UserKnownHostsFile={} -o GlobalKnownHostsFile=/dev/null \
         -o VerifyHostKeyDNS=no -o UpdateHostKeys=no -o IdentityAgent=none -o ConnectTimeout=30 -o ServerAliveInterval=30 \
         -o ServerAliveCountMax=4",
        place(CONFIG),
        place(KNOWN_HOSTS),
    );
    // A config that names keys knows which is for whom; a server that is shown many wrong ones first hangs up.
    if !files.names_keys {
        for key in &files.keys {
            command.push_str(" -i ");
            command.push_str(&place(key));
        }
    }
    Ok(command)
}

#[derive(Debug, Default)]
struct Files {
    has_known_hosts: bool,
    has_config: bool,
    /// The config says which keys to use.
    names_keys: bool,
    /// Names of files with a private key.
    keys: Vec<String>,
}

fn copy(home: &Home, folder: &Path) -> Result<Files, Failure> {
    let unreadable = |e: io::Error| {
        Failure::misuse(e)
            .context(format!("reading ssh-directory {}", folder.display()))
            .hint("the step's user must be able to read the workspace: fsGroup or defaultMode of the Secret")
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        // Not `..data`, which a mounted Secret has its files in.
        if name.to_str().is_some_and(is_plain) && names.len() < MOST {
            names.extend(name.into_string());
        }
    }
    names.sort();
    let mut files = Files::default();
    for name in names {
        let Some(mut bytes) = read_secret(&folder.join(&name))? else {
            continue;
        };
        // ssh takes no key without a newline at its end, which is easily lost on the way into a Secret.
        if !bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        let target = format!("{FOLDER}/{name}");
        match name.as_str() {
            KNOWN_HOSTS => files.has_known_hosts = !bytes.trim_ascii().is_empty(),
            CONFIG => {
                let text = String::from_utf8_lossy(&bytes);
                files.has_config = true;
                files.names_keys = text.to_ascii_lowercase().contains("identityfile");
                home.write(&target, in_home(&text, home).as_bytes())?;
                continue;
            }
            _ if is_private_key(&bytes) => files.keys.push(name),
            _ => {}
        }
        if target.ends_with(KNOWN_HOSTS) && !files.has_known_hosts {
            continue;
        }
        home.write(&target, &bytes)?;
    }
    Ok(files)
}

/// ssh takes `~` for the home of the user database, whatever HOME says.
fn in_home(config: &str, home: &Home) -> String {
    let ours = format!("{}/{FOLDER}/", home.path().display());
    ["~/.ssh/", "%d/.ssh/", "$HOME/.ssh/", "${HOME}/.ssh/"]
        .iter()
        .fold(config.to_owned(), |text, theirs| {
            text.replace(theirs, &ours)
        })
}

fn is_private_key(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"-----BEGIN ")
        && bytes
            .windows(b"PRIVATE KEY-----".len())
            .any(|part| part == b"PRIVATE KEY-----")
}

/// What the keys of a Secret are made of, and no word that a shell or ssh reads as anything else.
fn is_plain(name: &str) -> bool {
    !name.starts_with("..")
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

fn no_known_hosts(folder: Option<&Path>) -> Failure {
    let place = match folder {
        Some(folder) => format!("ssh-directory {} has no known_hosts", folder.display()),
        None => "there is no ssh-directory with known_hosts".to_owned(),
    };
    Failure::misuse(anyhow!("{place}, so any server could pass for the right one"))
        .hint("put the server's key into known_hosts of the workspace ssh-directory (--ssh-directory DIR): ssh-keyscan HOST prints it, the server's operator tells whether it is right")
        .hint("--insecure-accept-host-key (PARAM_INSECURE_ACCEPT_HOST_KEY) accepts any")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a file");
        }
        folder
    }

    fn brought(files: &[(&str, &str)], host_keys: HostKeys) -> Result<(Home, String), Failure> {
        let folder = folder(files);
        let home = Home::make(None).expect("room");
        let command = bring(&home, Some(folder.path()), host_keys, Transport::Ssh)?;
        Ok((home, command))
    }

    #[test]
    fn every_key_is_offered_where_no_config_names_them() {
        let files = [
            ("known_hosts", "h ssh-ed25519 AAAA"),
            ("ssh-privatekey", KEY),
            ("id_work", KEY),
            ("id_work.pub", "ssh-ed25519 AAAA"),
        ];
        let (home, command) = brought(&files, HostKeys::Known).expect("good");
        let ssh = home.file(FOLDER).display().to_string();
        assert!(
            command.ends_with(&format!(" -i {ssh}/id_work -i {ssh}/ssh-privatekey")),
            "{command}"
        );
        assert!(command.contains("StrictHostKeyChecking=yes"), "{command}");
        let key = fs::read_to_string(home.file(".ssh/id_work")).expect("copied");
        assert_eq!(key, format!("{KEY}\n"));
    }

    #[test]
    fn a_config_that_names_keys_finds_them_in_the_private_home() {
        let config = "Host *\n  IdentityFile ~/.ssh/id_work\n  StrictHostKeyChecking no\n";
        let files = [
            ("known_hosts", "h ssh-ed25519 AAAA"),
            ("id_work", KEY),
            ("config", config),
        ];
        let (home, command) = brought(&files, HostKeys::Known).expect("good");
        assert!(!command.contains(" -i "), "{command}");
        let config = fs::read_to_string(home.file(".ssh/config")).expect("copied");
        let line = format!("IdentityFile {}/.ssh/id_work\n", home.path().display());
        assert!(config.contains(&line), "{config}");
    }

    #[test]
    fn without_known_hosts_nobody_is_believed() {
        for files in [
            &[("id", KEY)] as &[(&str, &str)],
            &[("id", KEY), ("known_hosts", " \n")],
        ] {
            let failure = brought(files, HostKeys::Known).expect_err("nobody is known");
            assert_eq!(failure.code(), crate::exit::MISUSE);
            let (home, command) = brought(files, HostKeys::InsecureAcceptNew).expect("asked for");
            assert!(command.contains("=accept-new"), "{command}");
            assert!(home.file(".ssh/known_hosts").is_file());
        }
        let home = Home::make(None).expect("room");
        assert!(bring(&home, None, HostKeys::Known, Transport::Ssh).is_err());
        let home = Home::make(None).expect("room");
        let command = bring(&home, None, HostKeys::Known, Transport::Https).expect("not needed");
        assert!(command.contains("StrictHostKeyChecking=yes"), "{command}");
    }

    #[test]
    fn odd_names_stay_where_they_are() {
        let files = [
            ("known_hosts", "h ssh-ed25519 AAAA"),
            ("id $(touch x)", KEY),
            ("..data", "x"),
        ];
        let (home, command) = brought(&files, HostKeys::Known).expect("good");
        assert!(!command.contains("touch"), "{command}");
        let count = home.file(FOLDER).read_dir().expect("made").count();
        assert_eq!(count, 2, "known_hosts and config");
    }
}

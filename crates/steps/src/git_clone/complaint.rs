//! What git's last words mean: who must act, and whether another try may help.
//!
//! git exits with 128 for nearly everything, so only its text tells a wrong password from a server that is down. The texts are those of
//! git 2.39 in the language `C`, of curl and of OpenSSH with it; what is not known here is not tried again.

use anyhow::anyhow;

use crate::Failure;
use crate::child::Ended;
use crate::exit::{MISUSE, NO, OUTSIDE};

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// No room on the disk.
    Full,
    /// A program that git needs is not in the image.
    Program,
    /// The user database does not know the user.
    User,
    /// The ssh server's key is not the one that is known.
    HostKey,
    /// The server's certificate is not trusted.
    Certificate,
    /// The proxy refuses.
    Proxy,
    /// A protocol that is not allowed, most often of a submodule.
    Protocol,
    /// The server cannot give a part of the history.
    Shallow,
    /// The repository has the other kind of hashes.
    ObjectFormat,
    /// The parameter refspec is none.
    Refspec,
    /// A submodule was named that is not there.
    Submodule,
    /// There is no such branch, tag or commit.
    Revision,
    /// There is no such repository, or none for these credentials.
    Absent,
    /// No credentials, or wrong ones.
    Refused,
    /// The workspace cannot be written to.
    Folder,
    /// 5xx, 429, connection refused or broken, time-out, a name that cannot be looked up.
    Passing,
    /// Anything else.
    Unknown,
}

/// Words by which a text is told; the first row with a word in the text decides.
const WORDS: &[(Cause, &[&str])] = &[
    (
        Cause::Full,
        &["no space left on device", "disk quota exceeded"],
    ),
    (
        Cause::Program,
        &[
            "ssh: not found",
            "cannot run ssh",
            "unable to find remote helper",
            "is not a git command",
            "git-lfs: not found",
            "git-lfs: command not found",
        ],
    ),
    (Cause::User, &["no user exists for uid"]),
    (
        Cause::HostKey,
        &[
            "host key verification failed",
            "remote host identification has changed",
            "host key is known for",
        ],
    ),
    (
        Cause::Certificate,
        &[
            "ssl certificate problem",
            "certificate verification failed",
            "certificate verify failed",
            "no alternative certificate subject name",
            "certificate subject name",
            "self-signed certificate",
            "unable to get local issuer",
            "error setting certificate",
            "problem with the ssl ca cert",
            "error reading ca cert",
        ],
    ),
    (
        Cause::Proxy,
        &[
            "http code 407 from proxy",
            "http code 403 from proxy",
            "tunnel failed, response 407",
            "tunnel failed, response 403",
            "could not resolve proxy",
        ],
    ),
    (Cause::Shallow, &["support shallow", "shallow capabilities"]),
    (Cause::ObjectFormat, &["mismatched algorithms"]),
    (
        Cause::Refspec,
        &["invalid refspec", "refusing to fetch into"],
    ),
    (
        Cause::Submodule,
        &[
            "did not match any file(s) known to git",
            "no submodule mapping found",
            "no url found for submodule",
        ],
    ),
    (
        Cause::Revision,
        &[
            "couldn't find remote ref",
            "not our ref",
            "unadvertised object",
            "reference is not a tree",
            "but it did not contain",
        ],
    ),
    (
        Cause::Absent,
        &[
            "repository not found",
            "repository not exported",
            "does not appear to be a git repository",
            "could not be found or you don't have permission",
            "returned error: 404",
            "returned error: 410",
        ],
    ),
    (
        Cause::Refused,
        &[
            "authentication failed",
            "could not read username",
            "could not read password",
            "invalid username or password",
            "access denied",
            "permission denied (",
            "permission denied, please try again",
            "terminal prompts disabled",
            "returned error: 401",
            "returned error: 403",
            "error in libcrypto",
            "too many authentication failures",
        ],
    ),
    (
        Cause::Passing,
        &[
            "could not resolve host",
            "temporary failure in name resolution",
            "unable to look up",
            "connection refused",
            "connection reset",
            "connection closed",
            "connection timed out",
            "operation timed out",
            "operation too slow",
            "timed out",
            "failed to connect",
            "couldn't connect",
            "unable to connect",
            "no route to host",
            "network is unreachable",
            "broken pipe",
            "hung up unexpectedly",
            "early eof",
            "unexpected disconnect",
            "rpc failed",
            "empty reply from server",
            "kex_exchange_identification",
            "returned error: 429",
            "returned error: 5",
            "transfer closed",
            "gnutls_handshake() failed",
            "ssl_error_syscall",
            "expected flush after ref listing",
        ],
    ),
    (
        Cause::Folder,
        &[
            "dubious ownership",
            "could not lock config file",
            "cannot mkdir",
            "unable to create",
            "unable to write",
            "permission denied",
            "read-only file system",
        ],
    ),
];

impl Cause {
    fn of_text(text: &str) -> Self {
        let text = text.to_lowercase();
        // `fatal: repository 'https://h/x/' not found`, and the same of a submodule.
        let is_absent = text.contains("repository '") && text.contains("' not found");
        let is_protocol = text.contains("transport '") && text.contains("' not allowed");
        match (is_protocol, is_absent) {
            (true, _) => return Self::Protocol,
            (_, true) => return Self::Absent,
            (false, false) => {}
        }
        WORDS
            .iter()
            .find(|(_, words)| words.iter().any(|word| text.contains(word)))
            .map_or(Self::Unknown, |(cause, _)| *cause)
    }

    /// Whether the same call may succeed a little later.
    pub(super) fn may_pass(self) -> bool {
        self == Self::Passing
    }

    fn code(self) -> u8 {
        match self {
            Self::Absent | Self::Revision => NO,
            Self::Program
            | Self::User
            | Self::HostKey
            | Self::Certificate
            | Self::Proxy
            | Self::Protocol
            | Self::Shallow
            | Self::ObjectFormat
            | Self::Refspec
            | Self::Submodule
            | Self::Refused
            | Self::Folder => MISUSE,
            Self::Full | Self::Passing | Self::Unknown => OUTSIDE,
        }
    }

    fn hint(self) -> Option<&'static str> {
        match self {
            Self::Full => Some("give the volume of the workspace output more room"),
            Self::Program => {
                Some("run the step in an image that has git with https, and ssh where it is needed")
            }
            Self::User => Some(
                "ssh works only for a user of the image's /etc/passwd: set runAsUser to one of them, or use https",
            ),
            Self::HostKey => Some(
                "known_hosts of the workspace ssh-directory (--ssh-directory DIR) lacks this server's key, or has another: ssh-keyscan HOST prints it, the server's operator tells whether it is right",
            ),
            Self::Certificate => Some(
                "give the server's certificate authority by the workspace ssl-ca-directory (--ssl-ca-directory DIR) and crtFileName; sslVerify=false (--ssl-verify false) would believe any server",
            ),
            Self::Proxy => Some("check httpProxy, httpsProxy and noProxy (--https-proxy …)"),
            Self::Protocol => Some(
                "submodules come by https, http, ssh or git only; submodules=false (--submodules false) leaves them out, --insecure-file-protocol (PARAM_INSECURE_FILE_PROTOCOL) allows file://",
            ),
            Self::Shallow => {
                Some("this server gives whole histories only: set depth to 0 (--depth 0)")
            }
            Self::ObjectFormat => None,
            Self::Refspec => {
                Some("refspec is [+]source[:destination], such as refs/pull/1/head:refs/heads/pull")
            }
            Self::Submodule => Some("check submodulePaths (--submodule-paths) against .gitmodules"),
            Self::Revision => Some(
                "check revision (--revision) and refspec: a branch, a tag, a full commit hash, or a reference such as refs/pull/1/head; a commit that no branch has any more must be fetched by a refspec and with depth 0",
            ),
            Self::Absent => Some(
                "check url for a typing error; to those without the right to read it, many servers say that a repository is not there",
            ),
            Self::Refused => Some(
                "check the workspace basic-auth (--basic-auth DIR: .git-credentials with https://user:token@host, for this very host) or ssh-directory (--ssh-directory DIR), and whether their user may read the repository",
            ),
            Self::Folder => Some(
                "the workspace output must be writable for the step's user: podTemplate.securityContext.fsGroup",
            ),
            Self::Passing => {
                Some("the server or the network failed; running the task again may help")
            }
            Self::Unknown => None,
        }
    }
}

/// A failed git: what is wrong, and in which words it said so.
#[derive(Debug)]
pub(super) struct Complaint {
    pub(super) cause: Cause,
    text: String,
}

impl Complaint {
    /// Reads the last words of a git that failed.
    pub(super) fn of(ended: &Ended) -> Self {
        let words = last_words(ended);
        let said = if words.is_empty() {
            "it said nothing"
        } else {
            &words
        };
        Self {
            cause: Cause::of_text(&ended.tail.join("\n")),
            text: format!("git ended with {}: {said}", ended.status()),
        }
    }

    /// The failure, while doing what `context` says.
    pub(super) fn failure(self, context: impl Into<String>) -> Failure {
        let failure =
            Failure::with_code(self.cause.code(), anyhow!(self.text)).context(context.into());
        match self.cause.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// The last lines that say something, on one line.
fn last_words(ended: &Ended) -> String {
    const LINES: usize = 3;
    const MOST: usize = 1500;
    let is_empty = |line: &str| {
        line.is_empty()
            || line.starts_with("Please make sure you have the correct access rights")
            || line.starts_with("and the repository exists")
    };
    let lines: Vec<_> = ended
        .tail
        .iter()
        .map(|line| line.trim())
        .filter(|line| !is_empty(line))
        .collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    last.join("; ").chars().take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn complaint(lines: &[&str]) -> Complaint {
        Complaint::of(&Ended::for_test(ExitStatus::from_raw(128 << 8), lines))
    }

    #[test]
    fn what_git_says_is_understood() {
        for (text, cause, code) in [
            ("fatal: couldn't find remote ref nope", Cause::Revision, NO),
            (
                "fatal: remote error: upload-pack: not our ref 0123",
                Cause::Revision,
                NO,
            ),
            (
                "fatal: Fetched in submodule path 'x', but it did not contain 0123. Direct fetching of that commit failed.",
                Cause::Revision,
                NO,
            ),
            (
                "fatal: repository 'https://h/x/' not found",
                Cause::Absent,
                NO,
            ),
            ("ERROR: Repository not found.", Cause::Absent, NO),
            (
                "fatal: remote error: access denied or repository not exported: /x",
                Cause::Absent,
                NO,
            ),
            (
                "fatal: Authentication failed for 'https://h/x/'",
                Cause::Refused,
                MISUSE,
            ),
            (
                "fatal: could not read Username for 'https://h': terminal prompts disabled",
                Cause::Refused,
                MISUSE,
            ),
            (
                "git@h: Permission denied (publickey).",
                Cause::Refused,
                MISUSE,
            ),
            (
                "fatal: unable to access 'https://h/x/': The requested URL returned error: 403",
                Cause::Refused,
                MISUSE,
            ),
            (
                "Host key verification failed.\nfatal: Could not read from remote repository.",
                Cause::HostKey,
                MISUSE,
            ),
            (
                "fatal: unable to access 'https://h/x/': SSL certificate problem: self-signed certificate in certificate chain",
                Cause::Certificate,
                MISUSE,
            ),
            (
                "fatal: unable to access 'https://h/x/': server certificate verification failed. CAfile: none CRLfile: none",
                Cause::Certificate,
                MISUSE,
            ),
            (
                "fatal: dumb http transport does not support shallow capabilities",
                Cause::Shallow,
                MISUSE,
            ),
            (
                "fatal: transport 'file' not allowed\nfatal: clone of '/x' into submodule path '/y' failed",
                Cause::Protocol,
                MISUSE,
            ),
            ("fatal: invalid refspec 'a..b'", Cause::Refspec, MISUSE),
            (
                "/bin/sh: 1: ssh: not found\nfatal: Could not read from remote repository.",
                Cause::Program,
                MISUSE,
            ),
            (
                "fatal: unable to access 'https://h/x/': Received HTTP code 407 from proxy after CONNECT",
                Cause::Proxy,
                MISUSE,
            ),
            (
                "fatal: mismatched algorithms: client sha1; server sha256",
                Cause::ObjectFormat,
                MISUSE,
            ),
            (
                "error: pathspec 'x' did not match any file(s) known to git",
                Cause::Submodule,
                MISUSE,
            ),
            (
                "fatal: unable to access 'https://h/x/': Failed to connect to h port 443 after 0 ms: Couldn't connect to server",
                Cause::Passing,
                OUTSIDE,
            ),
            (
                "fatal: unable to access 'https://h/x/': The requested URL returned error: 503",
                Cause::Passing,
                OUTSIDE,
            ),
            (
                "error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502",
                Cause::Passing,
                OUTSIDE,
            ),
            (
                "ssh: connect to host h port 22: Connection refused\nfatal: Could not read from remote repository.",
                Cause::Passing,
                OUTSIDE,
            ),
            (
                "fatal: write error: No space left on device",
                Cause::Full,
                OUTSIDE,
            ),
            (
                "error: could not lock config file .git/config: Permission denied",
                Cause::Folder,
                MISUSE,
            ),
            ("fatal: something new", Cause::Unknown, OUTSIDE),
        ] {
            let complaint = complaint(&text.lines().collect::<Vec<_>>());
            assert_eq!(complaint.cause, cause, "{text}");
            assert_eq!(complaint.cause.code(), code, "{text}");
            assert_eq!(complaint.cause.may_pass(), cause == Cause::Passing);
        }
    }

    #[test]
    fn the_lines_that_say_something_are_told() {
        let failure = complaint(&[
            "Cloning",
            "ERROR: Repository not found.",
            "fatal: Could not read from remote repository.",
            "",
            "Please make sure you have the correct access rights",
            "and the repository exists.",
        ])
        .failure("fetching main");
        assert_eq!(
            failure.message(),
            "fetching main: git ended with exit status: 128: Cloning; ERROR: Repository not found.; fatal: Could not read from remote repository."
        );
    }
}

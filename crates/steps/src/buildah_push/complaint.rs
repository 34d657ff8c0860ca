//! What buildah's last words mean: who must act, and whether another try may help.
//!
//! buildah exits with 125 for nearly everything, so only its text tells a wrong password from a registry that is down. The texts are
//! those of buildah 1.28 to 1.41 and of the containers/image library in it; what is not known here is not tried again.

use anyhow::anyhow;

use crate::Failure;
use crate::child::Ended;
use crate::exit::{MISUSE, NO, OUTSIDE};

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// 401, 403: no, or not with these credentials.
    Refused,
    /// 404: no such repository, manifest or image.
    Absent,
    /// The registry speaks plain http, or its certificate is not trusted.
    Certificate,
    /// An option that this buildah does not have.
    Option,
    /// 5xx, 429, connection refused or broken, time-out, and 400 `DIGEST_INVALID`, which docker-registry gives under parallel uploads.
    Passing,
    /// No room on the disk.
    Full,
    /// Anything else.
    Unknown,
}

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Building: what is not the registry's fault is the build's.
    Building,
    /// Pulling base images.
    Pulling,
    /// Pushing.
    Pushing,
    /// Looking at the local storage.
    Asking,
}

/// Words by which a text is told; the first row with a word in the text decides.
const WORDS: &[(Cause, &[&str])] = &[
    (
        Cause::Full,
        &["no space left on device", "disk quota exceeded"],
    ),
    (
        Cause::Option,
        &[
            "unknown flag",
            "unknown shorthand flag",
            "accepts at most",
            "flag needs an argument",
            "invalid argument \"",
        ],
    ),
    (
        Cause::Certificate,
        &[
            "server gave http response to https client",
            "x509:",
            "tls: failed to verify",
            "certificate signed by unknown",
        ],
    ),
    (
        Cause::Refused,
        &[
            "unauthorized",
            "authentication required",
            "requested access to the resource is denied",
            "access denied",
            "denied:",
            "invalid username/password",
        ],
    ),
    (
        Cause::Passing,
        &[
            "provided digest did not match uploaded content",
            "digest_invalid",
            "digest invalid",
            "toomanyrequests",
            "too many requests",
            "connection refused",
            "connection reset",
            "broken pipe",
            "unexpected eof",
            ": eof",
            "i/o timeout",
            "tls handshake timeout",
            "context deadline exceeded",
            "no route to host",
            "network is unreachable",
            "no such host",
            "temporary failure in name resolution",
            "server misbehaving",
            "blob upload unknown",
        ],
    ),
    (
        Cause::Absent,
        &[
            "manifest unknown",
            "name unknown",
            "repository name not known",
            "repository does not exist",
        ],
    ),
];

/// Words before a status code of HTTP in buildah's texts.
const BEFORE_STATUS: [&str; 6] = [
    "statuscode: ",
    "status code from registry ",
    "status code ",
    "http status: ",
    "http code ",
    "response status ",
];

impl Cause {
    /// Reads the last words of a failed buildah.
    pub(super) fn of(ended: &Ended) -> Self {
        Self::of_text(&last_words(ended))
    }

    fn of_text(text: &str) -> Self {
        let text = text.to_lowercase();
        let has = |words: &&(Self, &[&str])| words.1.iter().any(|word| text.contains(word));
        let by_words = WORDS.iter().find(has).map(|(cause, _)| *cause);
        match (by_words, status(&text)) {
            (Some(cause @ (Self::Full | Self::Option | Self::Certificate)), _) => cause,
            (_, Some(401 | 403)) => Self::Refused,
            (_, Some(429 | 500..=599)) => Self::Passing,
            (Some(cause), _) => cause,
            (None, Some(404)) => Self::Absent,
            (None, _) => Self::Unknown,
        }
    }

    /// Whether the same push may succeed a little later.
    pub(super) fn may_pass(self) -> bool {
        match self {
            Self::Passing => true,
            Self::Refused
            | Self::Absent
            | Self::Certificate
            | Self::Option
            | Self::Full
            | Self::Unknown => false,
        }
    }

    fn code(self, doing: Doing) -> u8 {
        match (self, doing) {
            (Self::Full | Self::Passing, _) => OUTSIDE,
            (Self::Refused | Self::Certificate | Self::Option, _)
            | (Self::Absent, Doing::Pushing) => MISUSE,
            (Self::Absent, _) | (Self::Unknown, Doing::Building | Doing::Pulling) => NO,
            (Self::Unknown, Doing::Pushing | Doing::Asking) => OUTSIDE,
        }
    }

    fn hint(self, doing: Doing) -> Option<&'static str> {
        match self {
            Self::Refused => Some(
                "no credentials were given, or they lack the right for this image: check the workspace dockerconfig (--dockerconfig DIR, --auth-file FILE) or the secrets of the ServiceAccount",
            ),
            Self::Absent if doing == Doing::Pushing => Some(
                "create the repository at the registry first, or check IMAGE for a typing error",
            ),
            Self::Absent => {
                Some("check the names and tags of the base images in the Containerfile")
            }
            Self::Certificate => Some(
                "give the registry's certificate authority by the workspace sslcertdir (--cert-dir DIR) or --registry-ca PATH; TLSVERIFY=false (--tlsverify false) allows plain http and any certificate, and so does --insecure-registry HOST for one registry; in the Pipelines: the ConfigMap trusted-ca for an authority, the parameter INSECURE_REGISTRY for one registry",
            ),
            Self::Option => Some(
                "check BUILD_EXTRA_ARGS (--build-extra-args) and PUSH_EXTRA_ARGS (--push-extra-args) against the buildah in the builder image",
            ),
            Self::Passing => {
                Some("the registry or the network failed; running the task again may help")
            }
            Self::Full => {
                Some("give buildah's storage and the workspace with the source more room")
            }
            Self::Unknown if doing == Doing::Building => {
                Some("the lines marked buildah: above tell which instruction failed")
            }
            Self::Unknown => None,
        }
    }

    /// The failure of a buildah that ended so, while `doing` what `context` says.
    pub(super) fn failure(
        self,
        doing: Doing,
        ended: &Ended,
        context: impl Into<String>,
    ) -> Failure {
        let words = last_words(ended);
        let words = if words.is_empty() {
            "it said nothing".to_owned()
        } else {
            words
        };
        let failure = Failure::with_code(
            self.code(doing),
            anyhow!("buildah ended with {}: {words}", ended.status()),
        );
        let failure = failure.context(context.into());
        match self.hint(doing) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// Like [`Cause::of`] for a build: a `RUN` instruction may print anything, also «unauthorized», so only what buildah says of images counts.
pub(super) fn of_build(ended: &Ended) -> Cause {
    let words = last_words(ended);
    let cause = Cause::of_text(&words);
    let of_images = [
        "initializing source docker://",
        "pinging container registry",
        "reading manifest",
        "creating build container",
        "reading blob",
    ];
    match cause {
        Cause::Full | Cause::Option => cause,
        _ if words.contains("building at STEP \"RUN") => Cause::Unknown,
        _ if of_images.iter().any(|part| words.contains(part)) => cause,
        _ => Cause::Unknown,
    }
}

/// Whether it failed because the overlay driver cannot be used here: a kernel or a file system without it, or no right to mount.
pub(super) fn is_overlay_unusable(ended: &Ended) -> bool {
    let text = ended.tail.join("\n").to_lowercase();
    let of_overlay = [
        "backing file system is unsupported",
        "does not support overlay",
        "'overlay' is not supported",
        "mount_program is required",
    ];
    let of_mount = [
        "mount overlay:",
        "mounting overlay",
        "overlay mount",
        "using mount program",
        "driver not supported",
    ];
    let reasons = [
        "invalid argument",
        "operation not permitted",
        "permission denied",
        "no such device",
        "not supported",
    ];
    let is_run = text.contains("building at step \"run");
    !is_run
        && (of_overlay.iter().any(|words| text.contains(words))
            || (of_mount.iter().any(|words| text.contains(words))
                && reasons.iter().any(|words| text.contains(words))))
}

/// The error that buildah ended with, without the `Error: ` before it; else its last line.
fn last_words(ended: &Ended) -> String {
    let error = ended
        .tail
        .iter()
        .rposition(|line| line.starts_with("Error: "));
    let lines = match error {
        Some(at) => &ended.tail[at..],
        None => &ended.tail[ended.tail.len().saturating_sub(1)..],
    };
    let text = lines.join(" ");
    let text = text.trim().trim_start_matches("Error: ");
    // Some of buildah's errors carry the whole state of a copy.
    let end = text
        .char_indices()
        .nth(1500)
        .map_or(text.len(), |(at, _)| at);
    text[..end].to_owned()
}

/// A status code of HTTP that stands where buildah puts one.
fn status(text: &str) -> Option<u16> {
    let code = |text: &str| -> Option<u16> {
        let digits = text.get(..3)?;
        let ends = !text.as_bytes().get(3).is_some_and(u8::is_ascii_digit);
        digits
            .parse()
            .ok()
            .filter(|code| ends && (400..600).contains(code))
    };
    let named = BEFORE_STATUS
        .iter()
        .filter_map(|words| text.split_once(words))
        .find_map(|(_, after)| code(after));
    named.or_else(|| {
        // `: 403 (Forbidden)`
        text.match_indices(" (").find_map(|(at, _)| {
            let before = text.get(at.checked_sub(4)?..at)?;
            code(before.strip_prefix(' ')?)
        })
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    fn ended(lines: &[&str]) -> Ended {
        Ended::for_test(ExitStatus::from_raw(125 << 8), lines)
    }

    const AT: &str = "Error: pushing image \"sha256:500aea3c\" to \"docker://127.0.0.1:5001/a/b:404\": trying to reuse blob sha256:401 at destination: ";

    #[test]
    fn what_buildah_says_of_a_push_is_understood() {
        for (text, wanted) in [
            (
                "checking whether a blob sha256:a7 exists in r/a: unauthorized: authentication required",
                Cause::Refused,
            ),
            (
                "failed to read from destination repository a/b: 403 (Forbidden)",
                Cause::Refused,
            ),
            (
                "pinging container registry r: invalid status code from registry 403 (Forbidden)",
                Cause::Refused,
            ),
            (
                "writing blob: initiating layer upload to /v2/a/b/blobs/uploads/ in r: StatusCode: 404, ",
                Cause::Absent,
            ),
            (
                "name unknown: repository name not known to registry",
                Cause::Absent,
            ),
            (
                "failed to read from destination repository a/b: 429 (Too Many Requests)",
                Cause::Passing,
            ),
            (
                "failed to read from destination repository a/b: 500 (Internal Server Error)",
                Cause::Passing,
            ),
            (
                "pinging container registry r: invalid status code from registry 503 (Service Unavailable)",
                Cause::Passing,
            ),
            (
                "writing blob: received unexpected HTTP status: 502 Bad Gateway",
                Cause::Passing,
            ),
            (
                "Head \"http://r/v2/a/blobs/sha256:a7\": EOF",
                Cause::Passing,
            ),
            (
                "Get \"http://r/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
                Cause::Passing,
            ),
            (
                "Patch \"http://r/v2/\": write tcp 1->2: write: connection reset by peer",
                Cause::Passing,
            ),
            (
                "writing blob: uploading layer to http://r: digest invalid: provided digest did not match uploaded content",
                Cause::Passing,
            ),
            (
                "pinging container registry r: Get \"https://r/v2/\": http: server gave HTTP response to HTTPS client",
                Cause::Certificate,
            ),
            (
                "Get \"https://r/v2/\": x509: certificate signed by unknown authority",
                Cause::Certificate,
            ),
            (
                "write /var/lib/containers/x: no space left on device",
                Cause::Full,
            ),
            (
                "failed to read from destination repository a/b: 400 (Bad Request)",
                Cause::Unknown,
            ),
            ("something new", Cause::Unknown),
        ] {
            let cause = Cause::of(&ended(&["Copying blob", &format!("{AT}{text}")]));
            assert_eq!(cause, wanted, "{text}");
            assert_eq!(cause.may_pass(), wanted == Cause::Passing);
        }
        assert_eq!(
            Cause::of(&ended(&["Error: unknown flag: --foo"])),
            Cause::Option
        );
    }

    #[test]
    fn the_cause_decides_the_exit_code() {
        for (cause, push, build) in [
            (Cause::Refused, MISUSE, MISUSE),
            (Cause::Absent, MISUSE, NO),
            (Cause::Certificate, MISUSE, MISUSE),
            (Cause::Option, MISUSE, MISUSE),
            (Cause::Passing, OUTSIDE, OUTSIDE),
            (Cause::Full, OUTSIDE, OUTSIDE),
            (Cause::Unknown, OUTSIDE, NO),
        ] {
            assert_eq!(
                (cause.code(Doing::Pushing), cause.code(Doing::Building)),
                (push, build),
                "{cause:?}"
            );
        }
    }

    #[test]
    fn a_failing_instruction_is_the_builds_fault_whatever_it_prints() {
        let lines = [
            "curl: (7) connection refused",
            "Error: building at STEP \"RUN curl http://unauthorized: EOF\": exit status 7",
        ];
        assert_eq!(of_build(&ended(&lines)), Cause::Unknown);
        assert_eq!(
            of_build(&ended(&[
                "Error: building at STEP \"COPY nope /\": no such file: EOF"
            ])),
            Cause::Unknown
        );
    }

    #[test]
    fn a_base_image_that_cannot_be_had_is_told_from_a_broken_build() {
        let from = "Error: creating build container: initializing source docker://r/a:1: ";
        for (text, wanted) in [
            (
                "pinging container registry r: Get \"http://r/v2/\": dial tcp: connect: connection refused",
                Cause::Passing,
            ),
            (
                "reading manifest 1 in r/a: manifest unknown: manifest unknown",
                Cause::Absent,
            ),
            (
                "reading manifest 1 in r/a: unauthorized: authentication required",
                Cause::Refused,
            ),
        ] {
            assert_eq!(
                of_build(&ended(&[&format!("{from}{text}")])),
                wanted,
                "{text}"
            );
        }
    }

    #[test]
    fn an_overlay_that_cannot_be_mounted_is_told_from_other_failures() {
        for text in [
            "Error: kernel does not support overlay fs: 'overlay' is not supported over overlayfs, a mount_program is required: backing file system is unsupported for this graph driver",
            "Error: creating build container: mounting new container: creating overlay mount to /m, mount_data=\"x\": invalid argument",
            "Error: mount overlay:/m, flags: 0x4, data: x: operation not permitted",
        ] {
            assert!(is_overlay_unusable(&ended(&[text])), "{text}");
        }
        for text in [
            "Error: building at STEP \"COPY a /\": open /storage/overlay/x: permission denied",
            "Error: building at STEP \"RUN mount overlay: x\": operation not permitted",
        ] {
            assert!(!is_overlay_unusable(&ended(&[text])), "{text}");
        }
    }

    #[test]
    fn an_error_of_several_lines_is_told_whole() {
        let failure = Cause::Full.failure(
            Doing::Building,
            &ended(&["STEP 1", "Error: 2 errors:", "* a: no space left on device"]),
            "building x",
        );
        assert_eq!(failure.code(), OUTSIDE);
        assert!(
            failure.message().contains("2 errors: * a: no space"),
            "{}",
            failure.message()
        );
    }
}

//! Checkpoints: the size and the root of a log's tree in a text that the log signed.
//!
//! Specifications: <https://github.com/C2SP/C2SP/blob/main/tlog-checkpoint.md> on top of
//! <https://github.com/C2SP/C2SP/blob/main/signed-note.md>. Rekor v1 differs in two points: its origin has the id of the
//! tree after the name that signs, and a key is named by the SHA-256 of its SubjectPublicKeyInfo.
//!
//! ```text
//!  rekor.sigstore.dev - 2605736670972794746      origin
//!  41                                            size
//!  9pT…=                                         root
//!  …                                             extensions, which are signed but mean nothing here
//!
//!  — rekor.sigstore.dev wNI9aj…                  name, base64(4 bytes that name the key, signature)
//!  — witness.example 3kf1…                       other signers' lines, not looked at
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::log::merkle::Hash;
use crate::public_key::{HashAlgorithm, PublicKey};
use crate::rejection::shortened;
use crate::trust;

/// Larger than any checkpoint, with witnesses and all.
const LARGEST: usize = 64 * 1024;
/// Most signature lines, as in Go's reader of notes.
const MOST_SIGNATURES: usize = 100;

/// Why a checkpoint proves nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// More bytes than any checkpoint has.
    #[error("the checkpoint has {0} bytes, at most {LARGEST} are read")]
    TooLarge(usize),
    /// Not a signed note.
    #[error("the checkpoint is not a signed note: {0}")]
    Note(&'static str),
    /// The second line is no size.
    #[error("the checkpoint has no size in its second line: {0:?}")]
    Size(String),
    /// The third line is no hash.
    #[error("the checkpoint has no root hash in its third line: {0:?}")]
    Root(String),
    /// It is of another log.
    #[error("the checkpoint is of the log {found:?}, wanted {}", wanted.join(" or "))]
    Origin {
        /// Its origin.
        found: String,
        /// The hosts that the trusted root has for this log.
        wanted: Vec<String>,
    },
    /// No line has the name of the log's key.
    #[error("the checkpoint is not signed by the log: its signatures are of {}", found.join(", "))]
    Unsigned {
        /// The names of those who signed.
        found: Vec<String>,
    },
    /// The log's signature is not valid.
    #[error("the log's signature of the checkpoint is not valid")]
    Signature,
}

/// A checkpoint. Nothing of it is true before [`Checkpoint::signed_by`].
#[derive(Debug)]
pub(super) struct Checkpoint<'a> {
    /// What is signed, with the final newline.
    text: &'a str,
    /// Which log, and which tree of it.
    pub(super) origin: &'a str,
    /// How many leaves the tree has.
    pub(super) size: u64,
    /// The root of the tree.
    pub(super) root: Hash,
    signatures: Vec<Signature<'a>>,
}

/// What a checkpoint says of its tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// Which log, and which tree of it.
    pub origin: String,
    /// How many leaves the tree has.
    pub size: u64,
    /// Its root, SHA-256.
    pub root: [u8; 32],
}

#[derive(Debug)]
struct Signature<'a> {
    name: &'a str,
    hint: [u8; 4],
    signature: Vec<u8>,
}

impl<'a> Checkpoint<'a> {
    /// Reads a signed note whose text is a checkpoint.
    pub(super) fn parse(note: &'a str) -> Result<Self, Error> {
        if note.len() > LARGEST {
            return Err(Error::TooLarge(note.len()));
        }
        if note.chars().any(|c| c.is_control() && c != '\n') {
            return Err(Error::Note("it has control characters"));
        }
        let end = note
            .rfind("\n\n")
            .ok_or(Error::Note("no empty line before the signatures"))?;
        let (text, signatures) = (&note[..=end], &note[end + 2..]);
        let signatures = signatures
            .strip_suffix('\n')
            .ok_or(Error::Note("the last line does not end"))?;
        if signatures.split('\n').count() > MOST_SIGNATURES {
            return Err(Error::Note("too many signatures"));
        }
        let signatures = signatures
            .split('\n')
            .map(|line| Signature::parse(line).ok_or(Error::Note("a signature is malformed")))
            .collect::<Result<_, _>>()?;
        let mut lines = text.lines();
        let mut line = || lines.next().unwrap_or_default();
        let (origin, size, root) = (line(), line(), line());
        if origin.is_empty() {
            return Err(Error::Note("its first line is empty"));
        }
        if lines.any(str::is_empty) {
            return Err(Error::Note("an empty line stands between its extensions"));
        }
        Ok(Self {
            text,
            origin,
            size: decimal(size).ok_or_else(|| Error::Size(shortened(size)))?,
            root: hash(root).ok_or_else(|| Error::Root(shortened(root)))?,
            signatures,
        })
    }

    /// What it says, without its signatures.
    pub(super) fn tree_head(&self) -> TreeHead {
        TreeHead {
            origin: self.origin.to_owned(),
            size: self.size,
            root: self.root,
        }
    }

    /// Whether the origin is one of `hosts`, as it is for Rekor v2.
    pub(super) fn of_any(&self, hosts: &[&str]) -> Result<(), Error> {
        if hosts.contains(&self.origin) {
            return Ok(());
        }
        Err(Error::Origin {
            found: shortened(self.origin),
            wanted: hosts.iter().map(|host| shortened(host)).collect(),
        })
    }

    /// Whether the log with this key signed it. Other signers' lines may stand beside; they are not looked at.
    pub(super) fn signed_by(&self, key: &PublicKey) -> Result<(), Error> {
        let mut ours = self.signatures.iter().filter(|s| s.names(key)).peekable();
        if ours.peek().is_none() {
            const SHOWN: usize = 5;
            let found = self.signatures.iter().take(SHOWN);
            return Err(Error::Unsigned {
                found: found.map(|s| shortened(s.name)).collect(),
            });
        }
        let message = self.text.as_bytes();
        let is_valid = ours.any(|s| {
            key.verify(HashAlgorithm::Sha256, message, &s.signature)
                .is_ok()
        });
        if is_valid {
            Ok(())
        } else {
            Err(Error::Signature)
        }
    }
}

impl<'a> Signature<'a> {
    /// Reads the line `— name base64`.
    fn parse(line: &'a str) -> Option<Self> {
        let (name, blob) = line.strip_prefix("— ")?.split_once(' ')?;
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '+') {
            return None;
        }
        let blob = STANDARD.decode(blob).ok()?;
        let (hint, signature) = blob.split_first_chunk()?;
        (!signature.is_empty()).then(|| Self {
            name,
            hint: *hint,
            signature: signature.to_vec(),
        })
    }

    /// Whether the line says that it is by this key.
    fn names(&self, key: &PublicKey) -> bool {
        let is = |id: [u8; 32]| id.starts_with(&self.hint);
        is(trust::spki_id(key)) || trust::note_id(self.name, key).is_some_and(is)
    }
}

/// A number as it is written in only one way.
fn decimal(text: &str) -> Option<u64> {
    let is_plain =
        text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().ok() } else { None }
}

fn hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::samples::TestLog;

    const ROOT: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    fn note(text: &str) -> String {
        format!("{text}\n— log.example AAAAAAA=\n")
    }

    fn error(note: &str) -> Error {
        Checkpoint::parse(note).expect_err("it is malformed")
    }

    #[test]
    fn a_checkpoint_is_read() {
        let text = note(&format!("log.example - 5\n41\n{ROOT}\nTimestamp: 7\n"));
        let checkpoint = Checkpoint::parse(&text).expect("well-formed");
        assert_eq!(checkpoint.origin, "log.example - 5");
        assert_eq!((checkpoint.size, checkpoint.root), (41, [0; 32]));
        assert_eq!(
            checkpoint.text,
            format!("log.example - 5\n41\n{ROOT}\nTimestamp: 7\n")
        );
        assert_eq!(checkpoint.signatures[0].name, "log.example");
    }

    #[test]
    fn what_is_no_signed_note_is_refused() {
        let body = format!("log.example\n1\n{ROOT}\n");
        let with = |signatures: &str| format!("{body}\n{signatures}");
        for (text, why) in [
            (String::new(), "no empty line"),
            (body.clone(), "no empty line"),
            (with(""), "does not end"),
            (with("— log.example AAAAAAA="), "does not end"),
            (with("\n"), "does not end"),
            (with("\nx\n"), "malformed"),
            (with("log.example AAAAAAA=\n"), "malformed"),
            (with("- log.example AAAAAAA=\n"), "malformed"),
            (with("— log.example\n"), "malformed"),
            (with("—  AAAAAAA=\n"), "malformed"),
            (with("— log.example  AAAAAAA=\n"), "malformed"),
            (with("— log.example AAAAAAA= x\n"), "malformed"),
            (with("— log+example AAAAAAA=\n"), "malformed"),
            (with("— log.example AAAAAAA\n"), "malformed"),
            (with("— log.example AAAAAA==\n"), "malformed"),
            (with("— log.example AAAAAAA=\r\n"), "control"),
            (note(&format!("log\u{1b}\n1\n{ROOT}\n")), "control"),
            (note(&format!("\n1\n{ROOT}\n")), "first line"),
            (note(&format!("log\n1\n{ROOT}\n\nmore\n")), "between"),
            (with(&"— w AAAAAAA=\n".repeat(101)), "too many"),
        ] {
            let error = error(&text);
            assert!(
                matches!(&error, Error::Note(found) if found.contains(why)),
                "{text:?}: {error}"
            );
        }
        assert!(Checkpoint::parse(&with(&"— w AAAAAAA=\n".repeat(100))).is_ok());
        let large = "x".repeat(LARGEST + 1);
        assert_eq!(error(&large), Error::TooLarge(LARGEST + 1));
    }

    #[test]
    fn size_and_root_are_written_in_one_way_only() {
        for size in [
            "",
            "+1",
            "01",
            "00",
            "-1",
            " 1",
            "1 ",
            "0x1",
            "18446744073709551616",
            "٣",
        ] {
            let text = note(&format!("log\n{size}\n{ROOT}\n"));
            assert_eq!(error(&text), Error::Size(size.to_owned()), "{size}");
        }
        for size in ["0", "1", "18446744073709551615"] {
            assert!(Checkpoint::parse(&note(&format!("log\n{size}\n{ROOT}\n"))).is_ok());
        }
        let unpadded = &ROOT[..43];
        let other_end = ROOT.replace("A=", "B=");
        for root in ["", "AAAA", unpadded, &other_end, "?"] {
            let text = note(&format!("log\n1\n{root}\n"));
            assert_eq!(error(&text), Error::Root(root.to_owned()), "{root}");
        }
        assert_eq!(error(&note("log\n1\n")), Error::Root(String::new()));
    }

    #[test]
    fn only_the_log_itself_can_sign() {
        let (log, other) = (TestLog::new("log.example"), TestLog::new("log.example"));
        let text = format!("log.example\n1\n{ROOT}\n");
        let (ours, theirs) = (log.signature_line(&text), other.signature_line(&text));
        let signed = |lines: &str, key: &PublicKey| {
            Checkpoint::parse(&format!("{text}\n{lines}"))
                .expect("well-formed")
                .signed_by(key)
        };
        assert_eq!(signed(&ours, log.key()), Ok(()));
        assert_eq!(signed(&format!("{theirs}{ours}"), log.key()), Ok(()));
        assert_eq!(
            signed(&format!("{ours}— witness AAAAAAA=\n"), log.key()),
            Ok(())
        );
        assert_eq!(
            signed(&theirs, log.key()),
            Err(Error::Unsigned {
                found: vec!["log.example".to_owned()]
            })
        );
        let of_other_text = log.signature_line("log.example\n2\n");
        assert_eq!(signed(&of_other_text, log.key()), Err(Error::Signature));
        assert_eq!(signed(&format!("{of_other_text}{ours}"), log.key()), Ok(()));
        let extended = format!("{text}more\n\n{ours}");
        let extended = Checkpoint::parse(&extended).expect("well-formed");
        assert_eq!(extended.signed_by(log.key()), Err(Error::Signature));
    }

    #[test]
    fn the_name_of_an_ed25519_key_is_part_of_its_hint() {
        let root = crate::log::samples::trusted_root();
        let key = PublicKey::from_spki(&root.logs[1].public_key).expect("a good key");
        let named = |name: &str, id: &[u8]| {
            let hint = *id.first_chunk().expect("32 bytes");
            let signature = vec![0; 64];
            Signature {
                name,
                hint,
                signature,
            }
            .names(&key)
        };
        let id = trust::note_id("127.0.0.1", &key).expect("Ed25519");
        assert!(named("127.0.0.1", &id));
        assert!(!named("127.0.0.2", &id));
        assert!(named("any", &trust::spki_id(&key)));
    }
}

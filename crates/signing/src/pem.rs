//! Reads and writes PEM, the textual form of keys.
//!
//! Specification: RFC 7468, <https://www.rfc-editor.org/rfc/rfc7468>. Reading is as lax about line lengths and about
//! text around the blocks as the Go tools that made most of these files; a block itself must be whole.
//! Contents are wiped when dropped, for most of them are secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// No key or certificate comes near this size.
const LARGEST: usize = 128 * 1024;

/// One block: what stands between `-----BEGIN LABEL-----` and `-----END LABEL-----`.
pub(crate) struct Block {
    /// The label, `PUBLIC KEY`.
    pub(crate) label: String,
    /// The decoded content.
    pub(crate) content: Zeroizing<Vec<u8>>,
}

/// Why a text is not PEM.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// More bytes than any key has.
    #[error("{0} bytes are too many for a key in PEM form, at most {LARGEST} are read")]
    TooLarge(usize),
    /// Bytes that are no text.
    #[error("not PEM: not a text")]
    NotText,
    /// No line `-----BEGIN …-----`.
    #[error("not PEM: no line -----BEGIN …-----")]
    NoBlock,
    /// The block is cut off, or ends as something else than it began.
    #[error("the PEM block {0:?} is cut off: no line -----END {0}-----")]
    NoEnd(String),
    /// The block has headers, which only encrypted keys in OpenSSL's old form have.
    #[error(
        "the PEM block {0:?} is encrypted in OpenSSL's own form, which is not supported; \
         convert it with: openssl pkcs8 -topk8 -nocrypt"
    )]
    Headers(String),
    /// The content is not base64.
    #[error("the content of the PEM block {0:?} is not base64")]
    Base64(String, #[source] base64::DecodeError),
}

/// The first block for which `wanted` holds, else the first block of all.
///
/// Some tools put `EC PARAMETERS` in front of a key; so a reader names the labels it is after.
pub(crate) fn read(bytes: &[u8], wanted: impl Fn(&str) -> bool) -> Result<Block, Error> {
    if bytes.len() > LARGEST {
        return Err(Error::TooLarge(bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Error::NotText)?;
    let mut first = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(label) = marker(line, "BEGIN") else {
            continue;
        };
        let block = read_block(label, &mut lines);
        if wanted(label) {
            return block;
        }
        first.get_or_insert(block);
    }
    first.unwrap_or(Err(Error::NoBlock))
}

/// Reads up to the end of the block `label`.
fn read_block<'a>(label: &str, lines: &mut impl Iterator<Item = &'a str>) -> Result<Block, Error> {
    let mut body = Zeroizing::new(Vec::with_capacity(LARGEST));
    for line in lines {
        if let Some(end) = marker(line, "END") {
            if end != label {
                break;
            }
            let content = STANDARD
                .decode(&*body)
                .map_err(|source| Error::Base64(label.to_owned(), source))?;
            return Ok(Block {
                label: label.to_owned(),
                content: Zeroizing::new(content),
            });
        }
        if line.contains(':') {
            return Err(Error::Headers(label.to_owned()));
        }
        body.extend(line.bytes().filter(|b| !b.is_ascii_whitespace()));
    }
    Err(Error::NoEnd(label.to_owned()))
}

/// The label in `-----BEGIN LABEL-----`.
fn marker<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let label = line
        .trim_end()
        .strip_prefix("-----")?
        .strip_prefix(word)?
        .strip_prefix(' ')?
        .strip_suffix("-----")?;
    (!label.is_empty() && label.len() <= 64).then_some(label)
}

/// Writes one block with lines of 64 characters and a final newline.
pub fn write(label: &str, content: &[u8]) -> String {
    let body = STANDARD.encode(content);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &[u8]) -> Error {
        read(text, |_| true).err().expect("not whole")
    }

    #[test]
    fn what_is_written_is_read_back() {
        for length in [1, 47, 48, 49, 500] {
            let content: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let text = write("SOME KEY", &content);
            assert!(
                text.lines().all(|line| line.len() <= 64)
                    && text.ends_with("-----END SOME KEY-----\n")
            );
            let block = read(text.as_bytes(), |_| true).expect("just written");
            assert_eq!(
                (block.label.as_str(), &*block.content),
                ("SOME KEY", &content)
            );
        }
    }

    #[test]
    fn text_around_blocks_and_other_line_ends_do_no_harm() {
        let text = format!("key of alice\n\n{}bye", write("A", b"one")).replace('\n', "\r\n");
        assert_eq!(
            &*read(text.as_bytes(), |_| true).expect("whole").content,
            b"one"
        );
    }

    #[test]
    fn the_wanted_block_is_found_behind_another() {
        let text = write("EC PARAMETERS", b"curve") + &write("EC PRIVATE KEY", b"key");
        assert_eq!(
            &*read(text.as_bytes(), |label| label.ends_with("KEY"))
                .expect("whole")
                .content,
            b"key"
        );
        assert_eq!(
            read(text.as_bytes(), |_| false).expect("whole").label,
            "EC PARAMETERS"
        );
    }

    #[test]
    fn each_way_of_being_broken_has_its_error() {
        assert_eq!(error(b""), Error::NoBlock);
        assert_eq!(error(b"not a key"), Error::NoBlock);
        assert_eq!(error(b"-----BEGIN -----\n"), Error::NoBlock);
        assert_eq!(error(&[0xff, 0xfe]), Error::NotText);
        assert_eq!(
            error(&vec![b'\n'; LARGEST + 1]),
            Error::TooLarge(LARGEST + 1)
        );
        assert_eq!(
            error(b"-----BEGIN A-----\nAAAA\n"),
            Error::NoEnd("A".to_owned())
        );
        assert_eq!(
            error(b"-----BEGIN A-----\nAAAA\n-----END B-----\n"),
            Error::NoEnd("A".to_owned())
        );
        assert_eq!(
            error(b"-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END A-----\n"),
            Error::Headers("A".to_owned())
        );
        assert!(matches!(
            error(b"-----BEGIN A-----\nA!AA\n-----END A-----\n"),
            Error::Base64(..)
        ));
        assert!(matches!(
            error(b"-----BEGIN A-----\nAAA\n-----END A-----\n"),
            Error::Base64(..)
        ));
    }
}

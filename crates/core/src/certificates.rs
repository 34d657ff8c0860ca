//! Certificates in PEM form, as annotations and files have them: DER out of blocks `CERTIFICATE`, and nothing of it looked at.
//!
//! Specification: RFC 7468, <https://www.rfc-editor.org/rfc/rfc7468>. Text around the blocks is passed over, as Go's reader does, for tools write what
//! is in a certificate before it. A block that is not whole is an error, where Go's reader takes the next one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::excerpt::Excerpt;

/// The longest chain that is read, in certificates.
pub const MOST_CERTIFICATES: usize = 16;
/// The largest certificate that is read, in bytes of DER.
pub const LARGEST_CERTIFICATE: usize = 64 * 1024;
/// The largest text that is read, in bytes.
const LARGEST_TEXT: usize = 1024 * 1024;

/// Why a text is not certificates in PEM form.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// More bytes than any chain has.
    #[error("{0} bytes are too many for certificates in PEM form, at most {LARGEST_TEXT} are read")]
    TooLarge(usize),
    /// No block at all.
    #[error("no line -----BEGIN CERTIFICATE-----")]
    NoBlock,
    /// A block of something else.
    #[error("a PEM block is {0} and not CERTIFICATE")]
    Label(Excerpt),
    /// A block that is cut off, or ends as something else than it began.
    #[error("PEM block {0} has no line -----END CERTIFICATE-----")]
    NoEnd(usize),
    /// The content of a block is not base64.
    #[error("the content of PEM block {0} is not base64")]
    Base64(usize, #[source] base64::DecodeError),
    /// A block without content.
    #[error("PEM block {0} is empty")]
    Empty(usize),
    /// More certificates than any chain has.
    #[error("more than {MOST_CERTIFICATES} certificates")]
    TooMany,
    /// A certificate larger than any real one.
    #[error("certificate {at} has {found} bytes, at most {LARGEST_CERTIFICATE} are read")]
    CertificateTooLarge {
        /// Which block, from 1.
        at: usize,
        /// Bytes of DER.
        found: usize,
    },
}

/// The certificates of a text, DER, in their order: at least one.
///
/// # Errors
/// For a block that is no certificate or is not whole, for a text without one, and for more than is read.
pub fn of_pem(text: &str) -> Result<Vec<Vec<u8>>, Error> {
    if text.len() > LARGEST_TEXT {
        return Err(Error::TooLarge(text.len()));
    }
    let mut certificates = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(label) = label(line, "-----BEGIN ") else {
            continue;
        };
        if label != LABEL {
            return Err(Error::Label(Excerpt::of(label)));
        }
        if certificates.len() == MOST_CERTIFICATES {
            return Err(Error::TooMany);
        }
        certificates.push(block(certificates.len() + 1, &mut lines)?);
    }
    if certificates.is_empty() {
        return Err(Error::NoBlock);
    }
    Ok(certificates)
}

const LABEL: &str = "CERTIFICATE";

/// The content of block number `at`, of which the first line was read.
fn block<'a>(at: usize, lines: &mut impl Iterator<Item = &'a str>) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    loop {
        let line = lines.next().ok_or(Error::NoEnd(at))?;
        if label(line, "-----END ") == Some(LABEL) {
            break;
        }
        if line.starts_with("-----") {
            return Err(Error::NoEnd(at));
        }
        body.extend(line.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    }
    let content = STANDARD
        .decode(body)
        .map_err(|source| Error::Base64(at, source))?;
    match content.len() {
        0 => Err(Error::Empty(at)),
        found if found > LARGEST_CERTIFICATE => Err(Error::CertificateTooLarge { at, found }),
        _ => Ok(content),
    }
}

/// The label of a line that begins or ends a block.
fn label<'a>(line: &'a str, beginning: &str) -> Option<&'a str> {
    line.trim_ascii_end()
        .strip_prefix(beginning)?
        .strip_suffix("-----")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(content: &[u8]) -> String {
        let body = STANDARD.encode(content);
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    }

    #[test]
    fn blocks_are_read_in_their_order_and_text_around_them_is_not() {
        let text = format!(
            "subject=one\n{}\nsubject=two\n{}bye",
            pem(b"one"),
            pem(b"two")
        );
        let wanted = Ok(vec![b"one".to_vec(), b"two".to_vec()]);
        assert_eq!(of_pem(&text), wanted);
        assert_eq!(of_pem(&text.replace('\n', "\r\n")), wanted);
        let broken = pem(b"one").replace("b25l", "b2\n5l");
        assert_eq!(of_pem(&broken), Ok(vec![b"one".to_vec()]));
        let most = pem(b"x").repeat(MOST_CERTIFICATES);
        assert_eq!(of_pem(&most).map(|all| all.len()), Ok(MOST_CERTIFICATES));
    }

    #[test]
    fn each_way_of_being_broken_has_its_error() {
        let begin = "-----BEGIN CERTIFICATE-----\n";
        let end = "-----END CERTIFICATE-----\n";
        for (text, wanted) in [
            (String::new(), Error::NoBlock),
            ("b25l".into(), Error::NoBlock),
            (format!(" {}", pem(b"one")), Error::NoBlock),
            (
                pem(b"x").replace("CERTIFICATE", "PUBLIC KEY"),
                Error::Label(Excerpt::of("PUBLIC KEY")),
            ),
            (format!("{}{begin}b25l\n", pem(b"one")), Error::NoEnd(2)),
            (
                format!("{begin}b25l\n-----END PUBLIC KEY-----\n{end}"),
                Error::NoEnd(1),
            ),
            (format!("{begin}{}", pem(b"one")), Error::NoEnd(1)),
            (format!("{begin}{end}"), Error::Empty(1)),
            (pem(b"x").repeat(MOST_CERTIFICATES + 1), Error::TooMany),
            (
                pem(&vec![0; LARGEST_CERTIFICATE + 1]),
                Error::CertificateTooLarge {
                    at: 1,
                    found: LARGEST_CERTIFICATE + 1,
                },
            ),
            (
                "\n".repeat(LARGEST_TEXT + 1),
                Error::TooLarge(LARGEST_TEXT + 1),
            ),
        ] {
            assert_eq!(of_pem(&text), Err(wanted));
        }
        for body in ["b25", "b2!l", "Proc-Type: 4,ENCRYPTED\n\nb25l"] {
            let told = of_pem(&format!("{begin}{body}\n{end}"));
            assert!(matches!(told, Err(Error::Base64(1, _))), "{body}");
        }
    }
}

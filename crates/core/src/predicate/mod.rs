//! Predicates that somebody else made (SBOMs, reports), and the Statement around them in the bytes of `cosign attest --predicate`.
//!
//! cosign reads a predicate and writes it again, each type in its own way, and so does this: the same file gives the payload of cosign
//! 2.6, to the byte. (cosign 3 writes another order of members, and its protojson puts blanks by chance; its verification takes both.)
//!
//! | `--type` | the predicate |
//! |---|---|
//! | `spdxjson`, `cyclonedx`, `openvex`, any URI | the JSON object with sorted keys and numbers as float64 |
//! | `spdx` | the text as one JSON string |
//! | `custom` | `{"Data": the text as one JSON string, "Timestamp": now}` |
//! | `slsaprovenance`, `slsaprovenance02`, `slsaprovenance1`, `link`, `vuln` | the members that cosign's type has, in its order (`typed`) |
//!
//! The first three go from a reader to a sink, whatever their size. Stricter than cosign: the first must be an object, a text must be UTF-8, and
//! what two readers may understand differently is refused.

mod typed;

use std::io::{self, Read};

use self::typed::Typed;
use crate::gojson::stream::{self, Sink};
use crate::gojson::{Escape, write_string};
use crate::reference::DigestRef;
use crate::statement::STATEMENT_V01;
use crate::{cosign, strict_json};

/// The largest predicate of a type that is read as a whole.
pub const MOST_TYPED_BYTES: u64 = 16 << 20;

/// The end of every Statement of this module.
pub const STATEMENT_END: &[u8] = b"}";

/// A type that a predicate may have, and how it is wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PredicateType {
    uri: String,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Object,
    Text,
    Custom,
    Typed(Typed),
}

/// Why a file is no predicate of its type.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, not UTF-8, or it could not be read or kept.
    #[error(transparent)]
    Stream(#[from] stream::Error),
    /// Too large for a type that is read as a whole.
    #[error("it is larger than {} MiB", MOST_TYPED_BYTES >> 20)]
    Size,
    /// Another reader might read something else in it.
    #[error("it is not JSON that every reader understands alike")]
    Ambiguous(#[source] strict_json::Error),
    /// A member is absent that must be there, or is not what it should be.
    #[error("it does not have what its type must have")]
    Shape(#[source] serde_json::Error),
}

impl PredicateType {
    /// The type that a `--type` of cosign's names, or a URI.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let uri = cosign::predicate_type(name)?;
        let form = match name {
            "slsaprovenance" | "slsaprovenance02" => Form::Typed(Typed::Slsa02),
            "slsaprovenance1" => Form::Typed(Typed::Slsa1),
            "link" => Form::Typed(Typed::Link),
            "vuln" => Form::Typed(Typed::Vuln),
            "spdx" => Form::Text,
            // As in cosign, this type is wrapped under its URI too.
            _ if uri == cosign::CUSTOM_PREDICATE => Form::Custom,
            _ => Form::Object,
        };
        Some(Self {
            uri: uri.to_owned(),
            form,
        })
    }

    /// What stands in the Statement.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Whether the predicate says when it was made, so that no two are equal.
    #[must_use]
    pub fn has_time(&self) -> bool {
        self.form == Form::Custom
    }

    /// The Statement about `image` up to the predicate; after that comes [`STATEMENT_END`].
    #[must_use]
    pub fn statement_start(&self, image: &DigestRef) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        let text = |out: &mut Vec<u8>, text: &str| write_string(out, text, Escape::Go);
        out.extend_from_slice(b"{\"_type\":");
        text(&mut out, STATEMENT_V01);
        out.extend_from_slice(b",\"predicateType\":");
        text(&mut out, &self.uri);
        out.extend_from_slice(b",\"subject\":[{\"name\":");
        text(&mut out, &image.repository.to_string());
        out.extend_from_slice(b",\"digest\":{\"sha256\":");
        text(&mut out, image.digest.hex());
        out.extend_from_slice(b"}}],\"predicate\":");
        out
    }

    /// Writes what the Statement has of the predicate in `reader`. `now` is an RFC 3339 time. The first places of members that are left out
    /// because cosign's type does not have them.
    ///
    /// # Errors
    /// As [`Error`] says; what was written then is of no use.
    pub fn write(
        &self,
        reader: &mut dyn Read,
        sink: &mut dyn Sink,
        now: &str,
    ) -> Result<Vec<String>, Error> {
        let written = |result: io::Result<()>| result.map_err(stream::Error::Write);
        match self.form {
            Form::Object => stream::write_object(reader, sink)?,
            Form::Text => stream::write_text(reader, sink)?,
            Form::Custom => {
                written(sink.write(b"{\"Data\":"))?;
                stream::write_text(reader, sink)?;
                let mut end = b",\"Timestamp\":".to_vec();
                write_string(&mut end, now, Escape::Go);
                end.push(b'}');
                written(sink.write(&end))?;
            }
            Form::Typed(typed) => {
                let mut text = Vec::new();
                reader
                    .take(MOST_TYPED_BYTES + 1)
                    .read_to_end(&mut text)
                    .map_err(stream::Error::Read)?;
                if text.len() as u64 > MOST_TYPED_BYTES {
                    return Err(Error::Size);
                }
                let (bytes, left_out) = typed.rewrite(&text)?;
                written(sink.write(&bytes))?;
                return Ok(left_out);
            }
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;
    use crate::reference::Repository;

    fn written(name: &str, text: &str) -> Result<String, Error> {
        let kind = PredicateType::parse(name).expect("a type");
        let mut out = Vec::new();
        kind.write(&mut text.as_bytes(), &mut out, "2026-03-01T10:00:00Z")?;
        Ok(String::from_utf8(out).expect("JSON is UTF-8"))
    }

    #[test]
    fn each_form_is_wrapped_in_its_own_way() {
        let text = "{\"b\":1.0,\"a\":\"<\"}\n";
        let sorted = r#"{"a":"\u003c","b":1}"#;
        let string = r#""{\"b\":1.0,\"a\":\"\u003c\"}\n""#;
        let custom = format!(r#"{{"Data":{string},"Timestamp":"2026-03-01T10:00:00Z"}}"#);
        for (name, wanted) in [
            ("spdxjson", sorted),
            ("cyclonedx", sorted),
            ("openvex", sorted),
            ("https://example.com/t", sorted),
            ("urn:example:t", sorted),
            ("https://spdx.dev/Document", sorted),
            ("spdx", string),
            ("custom", &custom),
            ("https://cosign.sigstore.dev/attestation/v1", &custom),
        ] {
            assert_eq!(written(name, text).expect(name), wanted, "{name}");
        }
        assert!(PredicateType::parse("spdx-json").is_none());
    }

    #[test]
    fn the_statement_has_cosigns_order() {
        let kind = PredicateType::parse("urn:x:<>").expect("a type");
        let image = Repository::parse("busybox")
            .expect("a name")
            .at(Digest::of(b""));
        assert_eq!(
            String::from_utf8_lossy(&kind.statement_start(&image)),
            format!(
                r#"{{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"urn:x:\u003c\u003e","subject":[{{"name":"index.docker.io/library/busybox","digest":{{"sha256":"{}"}}}}],"predicate":"#,
                image.digest.hex()
            )
        );
    }

    #[test]
    fn what_is_no_predicate_is_refused() {
        for name in [
            "spdxjson",
            "https://example.com/t",
            "vuln",
            "slsaprovenance1",
            "link",
        ] {
            for text in ["", "[]", "null", "\"x\"", "{", "{} x", "{\"a\":1,\"a\":2}"] {
                assert!(written(name, text).is_err(), "{name}: {text}");
            }
        }
        let kind = PredicateType::parse("spdx").expect("a type");
        let refused = kind.write(&mut &b"\xff"[..], &mut Vec::new(), "");
        assert!(matches!(
            refused,
            Err(Error::Stream(stream::Error::Utf8(0)))
        ));
        let kind = PredicateType::parse("vuln").expect("a type");
        let mut endless = io::repeat(b' ');
        let refused = kind.write(&mut endless, &mut Vec::new(), "");
        assert!(matches!(refused, Err(Error::Size)));
    }
}

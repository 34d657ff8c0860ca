//! in-toto Statements: who the subjects are and what is claimed of them.
//!
//! Specification: <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md> (and v0.1 beside it).
//! Building the predicate is the work of `format`; this module has the outer shape, and reads any Statement back.

use std::collections::BTreeMap;
use std::str::Utf8Error;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::descriptor::{DescriptorList, ResourceDescriptor};
use crate::digest::Digest;
use crate::reference::{DigestRef, Repository};
use crate::strict_json::{self, Step};

/// Statement type of in-toto attestation framework v0.1.
pub const STATEMENT_V01: &str = "https://in-toto.io/Statement/v0.1";
/// Statement type of in-toto attestation framework v1.
pub const STATEMENT_V1: &str = "https://in-toto.io/Statement/v1";

/// A set of digests of one artifact, algorithm to value, as in-toto's DigestSet.
pub type DigestSet = BTreeMap<String, String>;

/// What a Statement of ours speaks of: a name and the digests of its content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// For an image: its repository, without tag and digest.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Algorithm to digest, without prefix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: DigestSet,
}

impl Subject {
    /// A Subject with a name and digests.
    #[must_use]
    pub fn new(name: String, digest: DigestSet) -> Self {
        Self { name, digest }
    }

    /// The Subject that stands for `image`.
    #[must_use]
    pub fn of_image(image: &DigestRef) -> Self {
        Self {
            name: image.repository.to_string(),
            digest: BTreeMap::from([("sha256".to_owned(), image.digest.hex().to_owned())]),
        }
    }

    /// The image that this Subject is: its name is a repository and it has a `sha256` digest.
    #[must_use]
    pub fn image(&self) -> Option<DigestRef> {
        let digest: Digest = format!("sha256:{}", self.digest.get("sha256")?)
            .parse()
            .ok()?;
        Some(Repository::parse(&self.name).ok()?.at(digest))
    }
}

impl From<&ResourceDescriptor> for Subject {
    /// Name and digests; the other members have no place in a Subject.
    fn from(descriptor: &ResourceDescriptor) -> Self {
        Self {
            name: descriptor.name.clone(),
            digest: descriptor.digest.clone(),
        }
    }
}

/// A Statement as it was read back. It keeps the text it was read from, so nothing of it is lost: unknown members, the order of members,
/// and the way in which strings are escaped.
#[derive(Clone, Debug)]
pub struct Statement {
    text: String,
    statement_type: String,
    subjects: Vec<ResourceDescriptor>,
    predicate_type: String,
    predicate: Option<Box<RawValue>>,
}

/// Why bytes are no Statement.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not text.
    #[error("not UTF-8")]
    Utf8(#[source] Utf8Error),
    /// JSON of another kind, or none.
    #[error("not a JSON object")]
    NotAnObject,
    /// Another reader might read something else in it.
    #[error("not JSON that every reader understands alike")]
    Ambiguous(#[source] strict_json::Error),
    /// A member of the Statement is absent, or is not what it should be.
    #[error("without what a Statement must have")]
    Shape(#[source] serde_json::Error),
    /// A subject is no ResourceDescriptor.
    #[error("/subject/{at} is not a resource descriptor")]
    Subject {
        /// Its place in the list.
        at: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Statement {
    /// Reads a Statement, of any version and with any predicate.
    ///
    /// # Errors
    /// For what is no Statement, and for what another reader may understand differently: a member that stands twice at any depth, a
    /// member of the Statement or of a subject that is spelled almost as a known one (`Subject`), nesting beyond
    /// [`strict_json::MAX_DEPTH`], bytes after the object, and more subjects than [`MOST_DESCRIPTORS`](crate::descriptor::MOST_DESCRIPTORS).
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(bytes).map_err(Error::Utf8)?;
        if !text.trim_ascii_start().starts_with('{') {
            return Err(Error::NotAnObject);
        }
        strict_json::check(text, known_names).map_err(Error::Ambiguous)?;
        let members: Members = serde_json::from_str(text).map_err(Error::Shape)?;
        let subjects = members.subject.read();
        Ok(Self {
            subjects: subjects.map_err(|(at, source)| Error::Subject { at, source })?,
            statement_type: members.statement_type,
            predicate_type: members.predicate_type,
            predicate: members.predicate.map(ToOwned::to_owned),
            text: text.to_owned(),
        })
    }

    /// `_type`: which version of the in-toto Statement this is, a URI.
    #[must_use]
    pub fn statement_type(&self) -> &str {
        &self.statement_type
    }

    /// What the Statement speaks of; `null` and absent are nothing.
    #[must_use]
    pub fn subjects(&self) -> &[ResourceDescriptor] {
        &self.subjects
    }

    /// What kind of claim the predicate is, a URI.
    #[must_use]
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// The claim, as it stands in the signed bytes; `null` and absent are none.
    #[must_use]
    pub fn predicate(&self) -> Option<&RawValue> {
        self.predicate.as_deref()
    }

    /// The exact bytes that were parsed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.text.as_bytes().to_vec()
    }
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(rename = "_type")]
    statement_type: String,
    #[serde(borrow, default)]
    subject: DescriptorList<'a>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    #[serde(borrow, default)]
    predicate: Option<&'a RawValue>,
}

/// The names that mean something to readers of the outer shape; a predicate has its own.
fn known_names(place: &[Step]) -> &'static [&'static str] {
    match place {
        [] => &["_type", "subject", "predicateType", "predicate"],
        [Step::Member(list), Step::Item(_)] if list == "subject" => ResourceDescriptor::MEMBERS,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"{"x-first":[1.50,1e2],"_type":"t","subject":[{"mediaType":"m","digest":{"sha1":"b","sha256":"a"},"name":"n\u003c<","uri":"u","content":"YQ==","downloadLocation":"d","annotations":{"k":[true]},"future":1}],"predicateType":"p","predicate":{"z":"\u0026&","a":12345678901234567890123}, "last":null}"#;

    fn told(text: &str) -> String {
        use std::error::Error as _;
        let error = Statement::parse(text.as_bytes()).expect_err(text);
        error
            .source()
            .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
    }

    #[test]
    fn everything_is_read_and_nothing_is_lost() {
        let statement = Statement::parse(FULL.as_bytes()).expect("well formed");
        assert_eq!(String::from_utf8_lossy(&statement.to_bytes()), FULL);
        assert_eq!(statement.statement_type(), "t");
        assert_eq!(statement.predicate_type(), "p");
        assert_eq!(
            statement.predicate().map(RawValue::get),
            Some(r#"{"z":"\u0026&","a":12345678901234567890123}"#)
        );
        let [subject] = statement.subjects() else {
            panic!("one subject")
        };
        let digest = [("sha1", "b"), ("sha256", "a")];
        assert_eq!(
            *subject,
            ResourceDescriptor {
                name: "n<<".into(),
                uri: "u".into(),
                digest: digest.map(|(k, v)| (k.into(), v.into())).into(),
                content: "YQ==".into(),
                download_location: "d".into(),
                media_type: "m".into(),
                annotations: serde_json::Map::from_iter([("k".into(), vec![true].into())]),
            }
        );
        assert_eq!(Subject::from(subject).name, "n<<");
    }

    #[test]
    fn null_and_absent_subjects_and_predicates_are_none() {
        for rest in [
            "",
            r#","subject":null,"predicate":null"#,
            r#","subject":[]"#,
        ] {
            let text = format!(r#"{{"_type":"t","predicateType":"p"{rest}}}"#);
            let statement = Statement::parse(text.as_bytes()).expect(rest);
            assert!(statement.subjects().is_empty() && statement.predicate().is_none());
            assert_eq!(statement.to_bytes(), text.as_bytes());
        }
        let sparse =
            br#"{"_type":"t","predicateType":"p","subject":[{"name":null,"digest":null}]}"#;
        let statement = Statement::parse(sparse).expect("null is absent");
        assert_eq!(statement.subjects(), [ResourceDescriptor::default()]);
    }

    #[test]
    fn what_is_no_statement_or_may_be_read_differently_is_refused() {
        let with = |rest: &str| format!(r#"{{"_type":"t","predicateType":"p"{rest}}}"#);
        for (text, wanted) in [
            (String::new(), "not a JSON object"),
            ("null".into(), "not a JSON object"),
            (r#"["t",[],"p",{}]"#.into(), "not a JSON object"),
            ("{".into(), "not one JSON document"),
            (with("") + "{}", "not one JSON document"),
            ("{}".into(), "missing field `_type`"),
            (with(r#","subject":{}"#), "expected a list"),
            (
                with(r#","subject":[{},["n"]]"#),
                "a list stands at \"/subject/1\" where an object belongs",
            ),
            (with(r#","subject":[null]"#), "/subject/0 is not"),
            (
                with(r#","subject":[{"digest":{"sha256":1}}]"#),
                "/subject/0 is not",
            ),
            (
                with(r#","predicateType":"q""#),
                "the member /predicateType stands there twice",
            ),
            (
                with(r#","predicate":{"builder":{"id":"a","id":"b"}}"#),
                "the member /predicate/builder/id stands there twice",
            ),
            (
                with(r#","Subject":[]"#),
                "the member /Subject for \"subject\"",
            ),
            (
                with(r#","subject":[{"Digest":{}}]"#),
                "the member /subject/0/Digest for \"digest\"",
            ),
            (
                with(&format!(r#","predicate":{}"#, "[".repeat(10_000))),
                "nested deeper",
            ),
        ] {
            let told = told(&text);
            assert!(told.contains(wanted), "{text}: {told}");
        }
        assert!(matches!(Statement::parse(b"{\xff}"), Err(Error::Utf8(_))));
    }
}

//! Predicates that cosign decodes into a Go struct and encodes again: members that the struct does not have vanish, absent ones appear.
//!
//! Go takes `URI` for `uri`; here a member that is almost one of the type's is refused. Only the id of an invocation may be spelled as the
//! specifications of SLSA spell it (`invocationId`) or as Go does (`invocationID`), and keeps its spelling: cosign 2 writes Go's for
//! both, which cosign 3 has mended.

mod shapes;

use serde::de::Error as _;
use serde::{Deserialize, Serialize};

use self::shapes::{Link, Slsa1, Slsa02, Vuln};
use super::Error;
use crate::gojson;
use crate::strict_json::{self, Step};

/// How many members that are left out are told.
const MOST_TOLD: usize = 20;

/// One of the types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// <https://slsa.dev/provenance/v0.2>
    Slsa02,
    /// <https://slsa.dev/provenance/v1>
    Slsa1,
    /// <https://in-toto.io/Link/v1>
    Link,
    /// <https://cosign.sigstore.dev/attestation/vuln/v1>
    Vuln,
}

impl Typed {
    /// The predicate as cosign writes it, and places of members that are not in it.
    pub(super) fn rewrite(self, bytes: &[u8]) -> Result<(Vec<u8>, Vec<String>), Error> {
        let shape = |message: &str| Error::Shape(serde_json::Error::custom(message));
        let text = std::str::from_utf8(bytes).map_err(|_| shape("it is not UTF-8"))?;
        if !text.trim_ascii_start().starts_with('{') {
            return Err(shape("it is not a JSON object"));
        }
        let known = match self {
            Self::Slsa02 => slsa02_names,
            Self::Slsa1 => slsa1_names,
            Self::Link => link_names,
            Self::Vuln => vuln_names,
        };
        let left_out =
            strict_json::check_and_list(text, known, MOST_TOLD).map_err(Error::Ambiguous)?;
        let written = match self {
            Self::Slsa02 => again(text, Slsa02::is_clear),
            Self::Slsa1 => again(text, Slsa1::is_clear),
            Self::Link => again(text, |_: &Link| true),
            Self::Vuln => again(text, |_: &Vuln| true),
        };
        Ok((written.map_err(Error::Shape)?, left_out))
    }
}

fn again<'a, T: Deserialize<'a> + Serialize>(
    text: &'a str,
    is_clear: impl Fn(&T) -> bool,
) -> serde_json::Result<Vec<u8>> {
    let value: T = serde_json::from_str(text)?;
    if !is_clear(&value) {
        let error = "the id of the invocation stands there in two spellings";
        return Err(serde_json::Error::custom(error));
    }
    Ok(gojson::to_vec(&value))
}

/// The way to a place, with `*` for each item of a list.
fn way(place: &[Step]) -> Vec<&str> {
    let steps = place.iter().map(|step| match step {
        Step::Member(name) => name.as_str(),
        Step::Item(_) => "*",
    });
    steps.collect()
}

/// Names of the members of objects. Where there are none, everything is taken over.
type Names = &'static [&'static str];

const DESCRIPTOR: Names = &[
    "uri",
    "digest",
    "name",
    "downloadLocation",
    "mediaType",
    "content",
    "annotations",
];

fn slsa02_names(place: &[Step]) -> Names {
    match way(place)[..] {
        [] => &[
            "builder",
            "buildType",
            "invocation",
            "buildConfig",
            "metadata",
            "materials",
        ],
        ["builder"] => &["id"],
        ["invocation"] => &["configSource", "parameters", "environment"],
        ["invocation", "configSource"] => &["uri", "digest", "entryPoint"],
        ["metadata"] => &[
            "buildInvocationID",
            "buildInvocationId",
            "buildStartedOn",
            "buildFinishedOn",
            "completeness",
            "reproducible",
        ],
        ["metadata", "completeness"] => &["parameters", "environment", "materials"],
        ["materials", "*"] => &["uri", "digest"],
        _ => &[],
    }
}

fn slsa1_names(place: &[Step]) -> Names {
    match way(place)[..] {
        [] => &["buildDefinition", "runDetails"],
        ["buildDefinition"] => &[
            "buildType",
            "externalParameters",
            "internalParameters",
            "resolvedDependencies",
        ],
        ["runDetails"] => &["builder", "metadata", "byproducts"],
        ["runDetails", "builder"] => &["id", "version", "builderDependencies"],
        ["runDetails", "metadata"] => &["invocationID", "invocationId", "startedOn", "finishedOn"],
        ["buildDefinition", "resolvedDependencies", "*"]
        | ["runDetails", "byproducts", "*"]
        | ["runDetails", "builder", "builderDependencies", "*"] => DESCRIPTOR,
        _ => &[],
    }
}

fn link_names(place: &[Step]) -> Names {
    match way(place)[..] {
        [] => &[
            "_type",
            "name",
            "materials",
            "products",
            "byproducts",
            "command",
            "environment",
        ],
        _ => &[],
    }
}

fn vuln_names(place: &[Step]) -> Names {
    match way(place)[..] {
        [] => &["invocation", "scanner", "metadata"],
        ["invocation"] => &["parameters", "uri", "event_id", "builder.id"],
        ["scanner"] => &["uri", "version", "db", "result"],
        ["scanner", "db"] => &["uri", "version"],
        ["metadata"] => &["scanStartedOn", "scanFinishedOn"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(typed: Typed, text: &str) -> Result<(String, Vec<String>), String> {
        let (bytes, left_out) = typed.rewrite(text.as_bytes()).map_err(|error| {
            let source = std::error::Error::source(&error);
            source.map_or_else(|| error.to_string(), ToString::to_string)
        })?;
        Ok((String::from_utf8(bytes).expect("JSON is UTF-8"), left_out))
    }

    #[test]
    fn what_the_type_does_not_have_is_left_out_and_told() {
        let text =
            r#"{"scanner":{"db":{"lastUpdate":"x","uri":"u"},"result":{"any":1}},"extra":[1]}"#;
        let (written, left_out) = told(Typed::Vuln, text).expect("a report");
        assert_eq!(
            written,
            r#"{"invocation":{"parameters":null,"uri":"","event_id":"","builder.id":""},"scanner":{"uri":"","version":"","db":{"uri":"u","version":""},"result":{"any":1}},"metadata":{"scanStartedOn":"0001-01-01T00:00:00Z","scanFinishedOn":"0001-01-01T00:00:00Z"}}"#
        );
        assert_eq!(left_out, ["/scanner/db/lastUpdate", "/extra"]);
        let many: Vec<String> = (0..50).map(|n| format!("\"x{n}\":0")).collect();
        let (_, left_out) = told(Typed::Vuln, &format!("{{{}}}", many.join(","))).expect("empty");
        assert_eq!(left_out.len(), MOST_TOLD);
    }

    #[test]
    fn the_id_of_an_invocation_keeps_its_spelling() {
        for name in ["invocationId", "invocationID"] {
            let text = format!(
                r#"{{"buildDefinition":{{}},"runDetails":{{"metadata":{{"{name}":"1"}}}}}}"#
            );
            let (written, _) = told(Typed::Slsa1, &text).expect(name);
            assert!(
                written.contains(&format!(r#""metadata":{{"{name}":"1"}}"#)),
                "{written}"
            );
        }
        let both = r#"{"buildDefinition":{},"runDetails":{"metadata":{"invocationId":"1","invocationID":"1"}}}"#;
        assert!(
            told(Typed::Slsa1, both)
                .expect_err("two")
                .contains("two spellings")
        );
        let both = r#"{"builder":{},"buildType":"","metadata":{"buildInvocationId":"1","buildInvocationID":"1"}}"#;
        assert!(
            told(Typed::Slsa02, both)
                .expect_err("two")
                .contains("two spellings")
        );
    }

    #[test]
    fn what_is_not_of_the_type_or_may_be_read_differently_is_refused() {
        for (typed, text, wanted) in [
            (
                Typed::Slsa02,
                r#"{"builder":{"id":"b"}}"#,
                "missing field `buildType`",
            ),
            (
                Typed::Slsa02,
                r#"{"buildType":"b"}"#,
                "missing field `builder`",
            ),
            (
                Typed::Slsa1,
                r#"{"runDetails":{}}"#,
                "missing field `buildDefinition`",
            ),
            (Typed::Link, r#"{"_type":"link"}"#, "missing field `name`"),
            (
                Typed::Link,
                r#"{"_type":"link","name":"n","materials":{},"products":{},"byproducts":{},"environment":{}}"#,
                "missing field `command`",
            ),
            (Typed::Vuln, r#"{"Scanner":{}}"#, "/Scanner for \"scanner\""),
            (
                Typed::Vuln,
                r#"{"scanner":{"DB":{}}}"#,
                "/scanner/DB for \"db\"",
            ),
            (
                Typed::Vuln,
                r#"{"metadata":{"scanStartedOn":"today"}}"#,
                "RFC 3339",
            ),
            (
                Typed::Vuln,
                r#"{"scanner":{"result":1e999}}"#,
                "not one JSON document",
            ),
            (
                Typed::Vuln,
                r#"{"scanner":[]}"#,
                "a list stands at \"/scanner\"",
            ),
            (Typed::Vuln, r#"{"scanner":"x"}"#, "invalid type"),
            (Typed::Vuln, "[]", "not a JSON object"),
            (Typed::Vuln, r#"{"scanner":{},"scanner":{}}"#, "twice"),
        ] {
            let told = told(typed, text).expect_err(text);
            assert!(told.contains(wanted), "{text}: {told}");
        }
    }
}

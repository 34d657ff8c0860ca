//! SLSA provenance read back: what a verifier asks of a predicate, the same for v0.2 and v1.
//!
//! A view, not the predicate: what nobody asks for is not in it, and unknown members are passed over. The predicate's own text stays in
//! the [`Statement`]. Writing provenance is the work of `format`.
//!
//! Specification: <https://slsa.dev/spec/v0.2/provenance>, <https://slsa.dev/spec/v1.0/provenance>; `runSpec` and `buildConfigSource`
//! are those of Chains' build types.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::descriptor::{DescriptorList, ResourceDescriptor};
use crate::statement::{DigestSet, Statement};

/// Predicate type of SLSA provenance v0.2.
pub const PROVENANCE_V02: &str = "https://slsa.dev/provenance/v0.2";
/// Predicate type of SLSA provenance v1.
pub const PROVENANCE_V1: &str = "https://slsa.dev/provenance/v1";

/// Which provenance it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// SLSA provenance v0.2.
    V02,
    /// SLSA provenance v1.
    V1,
}

impl Version {
    /// How people call it: `v0.2`, `v1`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V02 => "v0.2",
            Self::V1 => "v1",
        }
    }
}

/// What provenance says of a build. Nothing in it is true before the Statement is verified, and then it is what the signer says.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// Which provenance it was read from.
    pub version: Version,
    /// `builder.id`, `runDetails.builder.id`: who built. May be empty where Chains is configured so.
    pub builder_id: Option<String>,
    /// `buildType`, `buildDefinition.buildType`: how the parameters are to be understood.
    pub build_type: Option<String>,
    /// `invocation.configSource`, `externalParameters.buildConfigSource`: where the build's definition came from.
    pub config_source: Option<ConfigSource>,
    /// `invocation.parameters`, `externalParameters`: what the caller gave, as it stands there.
    pub parameters: Option<Box<RawValue>>,
    /// `externalParameters.runSpec`: the spec of the run, as it stands there. v0.2 has none.
    pub run_spec: Option<Box<RawValue>>,
    /// `materials`, `resolvedDependencies`: what went into the build.
    pub dependencies: Vec<ResourceDescriptor>,
    /// `metadata.buildInvocationId`, `metadata.invocationId`: which build it was.
    pub invocation_id: Option<String>,
    /// `buildStartedOn`, `startedOn`: an RFC 3339 time, as it stands there.
    pub started_on: Option<String>,
    /// `buildFinishedOn`, `finishedOn`: an RFC 3339 time, as it stands there.
    pub finished_on: Option<String>,
}

/// Where a build's definition came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigSource {
    /// The repository or bundle.
    pub uri: String,
    /// Algorithm to digest of what was fetched from there; for v1 the one that `ref` names.
    pub digest: DigestSet,
    /// The file or the name in it.
    pub entry_point: String,
}

/// Why a predicate is no provenance of the type that its Statement names.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Statement has no predicate.
    #[error("the statement has no predicate")]
    NoPredicate,
    /// A member that is asked for is of another type than provenance has.
    #[error("{place} is not what provenance has there")]
    Shape {
        /// A JSON pointer into the Statement.
        place: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl Provenance {
    /// The provenance in `statement`, or nothing where the predicate type is another than SLSA provenance v0.2 and v1.
    pub fn of(statement: &Statement) -> Result<Option<Self>, Error> {
        let read = match statement.predicate_type() {
            PROVENANCE_V02 => Self::v02,
            PROVENANCE_V1 => Self::v1,
            _ => return Ok(None),
        };
        let raw = statement.predicate().ok_or(Error::NoPredicate)?;
        read(&Object::read("/predicate".to_owned(), raw)?).map(Some)
    }

    fn v02(predicate: &Object<'_>) -> Result<Self, Error> {
        let invocation = predicate.object("invocation")?;
        let metadata = predicate.object("metadata")?;
        let source = invocation.object("configSource")?;
        let config_source = ConfigSource {
            uri: source.text("uri")?.unwrap_or_default(),
            digest: source.get("digest")?.unwrap_or_default(),
            entry_point: source.text("entryPoint")?.unwrap_or_default(),
        };
        Ok(Self {
            version: Version::V02,
            builder_id: predicate.object("builder")?.text("id")?,
            build_type: predicate.text("buildType")?,
            // Chains writes `{}` where it knows of none.
            config_source: Some(config_source).filter(|s| *s != ConfigSource::default()),
            parameters: invocation.raw("parameters"),
            run_spec: None,
            dependencies: predicate.descriptors("materials")?,
            invocation_id: metadata.first_text(["buildInvocationId", "buildInvocationID"])?,
            started_on: metadata.text("buildStartedOn")?,
            finished_on: metadata.text("buildFinishedOn")?,
        })
    }

    fn v1(predicate: &Object<'_>) -> Result<Self, Error> {
        let definition = predicate.object("buildDefinition")?;
        let details = predicate.object("runDetails")?;
        let metadata = details.object("metadata")?;
        let parameters = definition.object("externalParameters")?;
        let source = parameters.object("buildConfigSource")?;
        let config_source = ConfigSource {
            uri: source.text("repository")?.unwrap_or_default(),
            digest: source
                .text("ref")?
                .as_deref()
                .and_then(|text| text.split_once(':'))
                .map(|(algorithm, hex)| BTreeMap::from([(algorithm.into(), hex.into())]))
                .unwrap_or_default(),
            entry_point: source.text("path")?.unwrap_or_default(),
        };
        Ok(Self {
            version: Version::V1,
            builder_id: details.object("builder")?.text("id")?,
            build_type: definition.text("buildType")?,
            config_source: Some(config_source).filter(|s| *s != ConfigSource::default()),
            parameters: definition.raw("externalParameters"),
            run_spec: parameters.raw("runSpec"),
            dependencies: definition.descriptors("resolvedDependencies")?,
            invocation_id: metadata.first_text(["invocationId", "invocationID"])?,
            started_on: metadata.text("startedOn")?,
            finished_on: metadata.text("finishedOn")?,
        })
    }
}

/// The members of an object, each still as its text. Absent and `null` are the same, as in Go.
struct Object<'a> {
    place: String,
    members: BTreeMap<String, &'a RawValue>,
}

impl<'a> Object<'a> {
    fn read(place: String, raw: &'a RawValue) -> Result<Self, Error> {
        match serde_json::from_str(raw.get()) {
            Ok(members) => Ok(Self { place, members }),
            Err(source) => Err(Error::Shape { place, source }),
        }
    }

    fn member(&self, name: &str) -> Option<&'a RawValue> {
        self.members
            .get(name)
            .copied()
            .filter(|raw| raw.get() != "null")
    }

    /// The object that a member is; an empty one where it is absent.
    fn object(&self, name: &str) -> Result<Self, Error> {
        let place = format!("{}/{name}", self.place);
        match self.member(name) {
            Some(raw) => Self::read(place, raw),
            None => Ok(Self {
                place,
                members: BTreeMap::new(),
            }),
        }
    }

    fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let Some(raw) = self.member(name) else {
            return Ok(None);
        };
        let value = serde_json::from_str(raw.get()).map_err(|source| Error::Shape {
            place: format!("{}/{name}", self.place),
            source,
        })?;
        Ok(Some(value))
    }

    fn text(&self, name: &str) -> Result<Option<String>, Error> {
        self.get(name)
    }

    /// The specifications write `Id`, Go's library of in-toto writes `ID`.
    fn first_text(&self, names: [&str; 2]) -> Result<Option<String>, Error> {
        let [first, second] = names;
        let found = self.text(first)?;
        if found.is_some() {
            return Ok(found);
        }
        self.text(second)
    }

    fn raw(&self, name: &str) -> Option<Box<RawValue>> {
        self.member(name).map(ToOwned::to_owned)
    }

    fn descriptors(&self, name: &str) -> Result<Vec<ResourceDescriptor>, Error> {
        let Some(raw) = self.member(name) else {
            return Ok(Vec::new());
        };
        let place = format!("{}/{name}", self.place);
        let list: DescriptorList<'_> = match serde_json::from_str(raw.get()) {
            Ok(list) => list,
            Err(source) => return Err(Error::Shape { place, source }),
        };
        list.read().map_err(|(at, source)| Error::Shape {
            place: format!("{place}/{at}"),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(predicate_type: &str, predicate: &str) -> Result<Option<Provenance>, Error> {
        let text = format!(
            r#"{{"_type":"t","predicateType":"{predicate_type}","predicate":{predicate}}}"#
        );
        Provenance::of(&Statement::parse(text.as_bytes()).expect("the test's statement"))
    }

    #[test]
    fn v02_is_read() {
        let provenance = read(PROVENANCE_V02, r#"{"builder":{"id":"b","x":1},"buildType":"t","new":[],
            "invocation":{"configSource":{"uri":"u","digest":{"sha1":"c"},"entryPoint":"e"},"parameters":{"p": "\u003c"}},
            "materials":[{"uri":"m","digest":{"sha256":"d"}},{"uri":"n"}],
            "metadata":{"buildInvocationId":"i","buildStartedOn":"s","buildFinishedOn":"f"}}"#)
        .expect("well formed").expect("provenance");
        assert_eq!(provenance.version, Version::V02);
        assert_eq!(provenance.builder_id.as_deref(), Some("b"));
        assert_eq!(provenance.build_type.as_deref(), Some("t"));
        let source = provenance.config_source.expect("it has one");
        assert_eq!(
            (source.uri.as_str(), source.entry_point.as_str()),
            ("u", "e")
        );
        assert_eq!(source.digest["sha1"], "c");
        assert_eq!(
            provenance.parameters.expect("it has some").get(),
            r#"{"p": "\u003c"}"#
        );
        assert_eq!(provenance.dependencies.len(), 2);
        assert_eq!(provenance.dependencies[0].digest["sha256"], "d");
        assert_eq!(provenance.invocation_id.as_deref(), Some("i"));
        assert_eq!(provenance.started_on.as_deref(), Some("s"));
        assert_eq!(provenance.finished_on.as_deref(), Some("f"));
    }

    #[test]
    fn v1_is_read() {
        let provenance = read(PROVENANCE_V1, r#"{"buildDefinition":{"buildType":"t","internalParameters":{},
            "externalParameters":{"runSpec":{"a":[]},"buildConfigSource":{"repository":"u","ref":"sha1:c","path":"e"}},
            "resolvedDependencies":[{"name":"task","uri":"m","digest":{"sha256":"d"},"content":"YQ==","mediaType":"x"}]},
            "runDetails":{"builder":{"id":""},"byproducts":null,"metadata":{"invocationID":"i","startedOn":"s","finishedOn":null}}}"#)
        .expect("well formed").expect("provenance");
        assert_eq!(provenance.version, Version::V1);
        assert_eq!(provenance.builder_id.as_deref(), Some(""));
        assert_eq!(provenance.build_type.as_deref(), Some("t"));
        let source = provenance.config_source.expect("it has one");
        assert_eq!(source.digest["sha1"], "c");
        assert_eq!(
            (source.uri.as_str(), source.entry_point.as_str()),
            ("u", "e")
        );
        assert_eq!(
            provenance.run_spec.expect("it has one").get(),
            r#"{"a":[]}"#
        );
        assert_eq!(provenance.dependencies[0].name, "task");
        assert_eq!(provenance.invocation_id.as_deref(), Some("i"));
        assert_eq!(provenance.started_on.as_deref(), Some("s"));
        assert_eq!(provenance.finished_on, None);
    }

    #[test]
    fn other_predicates_are_none_and_empty_ones_say_nothing() {
        assert!(matches!(
            read("https://example.com/x", r#"{"builder":{"id":"b"}}"#),
            Ok(None)
        ));
        for version in [PROVENANCE_V02, PROVENANCE_V1] {
            let empty = read(version, "{}").expect("tolerated").expect("provenance");
            assert!(empty.builder_id.is_none() && empty.config_source.is_none());
            assert!(empty.dependencies.is_empty() && empty.run_spec.is_none());
        }
    }

    #[test]
    fn members_of_another_type_are_refused_with_their_place() {
        let place = |version, predicate| match read(version, predicate) {
            Err(Error::Shape { place, .. }) => place,
            other => panic!("{predicate}: {other:?}"),
        };
        assert!(matches!(
            read(PROVENANCE_V1, "null"),
            Err(Error::NoPredicate)
        ));
        assert_eq!(place(PROVENANCE_V02, "[]"), "/predicate");
        assert_eq!(
            place(PROVENANCE_V02, r#"{"builder":["b"]}"#),
            "/predicate/builder"
        );
        assert_eq!(
            place(PROVENANCE_V1, r#"{"runDetails":{"builder":{"id":1}}}"#),
            "/predicate/runDetails/builder/id"
        );
        assert_eq!(
            place(PROVENANCE_V02, r#"{"materials":[{},["u"]]}"#),
            "/predicate/materials/1"
        );
    }
}

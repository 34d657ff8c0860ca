//! What a manifest is, by its content alone, and what it lists.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use tekseal_core::excerpt::Excerpt;
use tekseal_core::strict_json::{self, Step};
use tekseal_core::{Digest, is_invisible};

use super::{Fault, MOST_LISTED};
use crate::registry::Manifest;
use crate::store::manifest::{
    DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, is_index, object,
};

/// Media type of a layer that is an in-toto Statement: BuildKit keeps its attestations so.
const IN_TOTO_LAYER: &str = "application/vnd.in-toto+json";

/// The longest word of a platform that is shown.
const LONGEST_WORD: usize = 64;

/// What a manifest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An image.
    Image,
    /// An index of manifests.
    Index,
    /// An image manifest all of whose layers are in-toto Statements: what BuildKit puts beside an image. No machine can run it, whatever platform it
    /// is listed for.
    Attestations,
}

/// A manifest as far as it matters here.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) kind: Kind,
    pub(super) media_type: &'static str,
    pub(super) lists: Vec<Listed>,
}

/// An entry of an index.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) media_type: &'static str,
    pub(super) platform: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said<'a> {
    #[serde(default, borrow)]
    media_type: Option<Cow<'a, str>>,
    #[serde(default)]
    config: Option<IgnoredAny>,
    #[serde(default)]
    layers: Option<Layers>,
    #[serde(default, borrow)]
    manifests: Option<Entries<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    #[serde(default, borrow)]
    media_type: Cow<'a, str>,
    digest: Digest,
    size: u64,
    #[serde(default, borrow)]
    platform: Option<Platform<'a>>,
}

#[derive(Deserialize)]
struct Platform<'a> {
    #[serde(default, borrow)]
    os: Cow<'a, str>,
    #[serde(default, borrow)]
    architecture: Cow<'a, str>,
    #[serde(default, borrow)]
    variant: Option<Cow<'a, str>>,
}

impl Kind {
    /// What is listed with one of the four media types.
    pub(super) fn of_media_type(media_type: &str) -> Self {
        match is_index(media_type) {
            true => Self::Index,
            false => Self::Image,
        }
    }
}

impl Content {
    /// Reads what a registry handed out.
    pub(super) fn read(found: &Manifest) -> Result<Self, Fault> {
        let text = std::str::from_utf8(&found.bytes).map_err(Fault::Utf8)?;
        strict_json::check(text, known_names).map_err(Fault::Ambiguous)?;
        let said: Said<'_> = object(&found.bytes).map_err(Fault::Json)?;
        let Said {
            media_type,
            config,
            layers,
            manifests,
        } = said;
        let (usual, dockers) = match (&config, &layers, &manifests) {
            (Some(_), _, None) => (OCI_MANIFEST, DOCKER_MANIFEST),
            (None, None, Some(_)) => (OCI_INDEX, DOCKER_LIST),
            _ => return Err(Fault::Neither),
        };
        let called = own(&found.media_type);
        // OCI lets a manifest leave out what it is; then the registry tells.
        let own = match media_type.as_deref() {
            Some(said) if said == dockers => dockers,
            Some(said) if said == usual => usual,
            Some(other) if !other.is_empty() => return Err(Fault::Kind(Excerpt::of(other))),
            _ if called == Some(dockers) => dockers,
            _ => usual,
        };
        if let Some(said) = called.filter(|called| is_index(called) != is_index(own)) {
            return Err(Fault::Called { said, is: own });
        }
        let lists = manifests.map_or_else(|| Ok(Vec::new()), Entries::read)?;
        let kind = match Kind::of_media_type(own) {
            Kind::Image if layers.is_some_and(|layers| layers.are_statements()) => {
                Kind::Attestations
            }
            kind => kind,
        };
        Ok(Self {
            kind,
            media_type: own,
            lists,
        })
    }
}

impl Listed {
    fn read(position: usize, text: &RawValue) -> Result<Self, Fault> {
        let said: Descriptor<'_> =
            object(text.get().as_bytes()).map_err(|source| Fault::Entry { position, source })?;
        let Some(media_type) = own(&said.media_type) else {
            let media_type = Excerpt::of(&said.media_type);
            return Err(Fault::Foreign {
                position,
                media_type,
            });
        };
        Ok(Self {
            digest: said.digest,
            size: said.size,
            media_type,
            platform: said.platform.and_then(|platform| platform.text()),
        })
    }
}

impl Platform<'_> {
    /// `os/architecture[/variant]`; nothing where one of the first two is missing.
    fn text(&self) -> Option<String> {
        let (os, architecture) = (word(&self.os), word(&self.architecture));
        if os.is_empty() || architecture.is_empty() {
            return None;
        }
        let variant = self.variant.as_deref().map(word).unwrap_or_default();
        Some(match variant.as_str() {
            "" => format!("{os}/{architecture}"),
            variant => format!("{os}/{architecture}/{variant}"),
        })
    }
}

/// What is shown of what somebody wrote.
fn word(text: &str) -> String {
    let shown = text.chars().filter(|c| !is_invisible(*c));
    shown.take(LONGEST_WORD).collect()
}

/// The media type, if it is one of an image or an index.
fn own(media_type: &str) -> Option<&'static str> {
    [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST]
        .into_iter()
        .find(|own| *own == media_type)
}

fn known_names(place: &[Step]) -> &'static [&'static str] {
    match place {
        [] => &["mediaType", "config", "layers", "manifests"],
        [Step::Member(list), Step::Item(_)] if list == "manifests" => {
            &["mediaType", "digest", "size", "platform"]
        }
        [Step::Member(list), Step::Item(_)] if list == "layers" => &["mediaType"],
        _ => &[],
    }
}

/// The entries of an index, as far as they are read; and how many there are.
struct Entries<'a> {
    first: Vec<&'a RawValue>,
    count: usize,
}

impl Entries<'_> {
    fn read(self) -> Result<Vec<Listed>, Fault> {
        if self.count > MOST_LISTED {
            return Err(Fault::Many);
        }
        let read = |(position, text)| Listed::read(position, text);
        self.first.into_iter().enumerate().map(read).collect()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Gather;
        impl<'de> Visitor<'de> for Gather {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of descriptors")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut entries = Entries {
                    first: Vec::new(),
                    count: 0,
                };
                // What is beyond the limit is only counted: of the shortest there may be a million.
                while entries.count < MOST_LISTED
                    && let Some(entry) = list.next_element()?
                {
                    entries.first.push(entry);
                    entries.count += 1;
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    entries.count += 1;
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_seq(Gather)
    }
}

/// What the layers of a manifest are, as far as it matters.
#[derive(Clone, Copy, Default)]
struct Layers {
    count: usize,
    statements: usize,
}

impl Layers {
    fn are_statements(self) -> bool {
        self.count > 0 && self.statements == self.count
    }
}

impl<'de> Deserialize<'de> for Layers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Layer<'a> {
            #[serde(default, borrow)]
            media_type: Cow<'a, str>,
        }
        struct Count;
        impl<'de> Visitor<'de> for Count {
            type Value = Layers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of layers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Layers, A::Error> {
                let mut layers = Layers::default();
                while let Some(layer) = list.next_element::<Layer<'de>>()? {
                    layers.count += 1;
                    layers.statements += usize::from(layer.media_type == IN_TOTO_LAYER);
                }
                Ok(layers)
            }
        }
        deserializer.deserialize_seq(Count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, media_type: &str) -> Result<Content, Fault> {
        Content::read(&Manifest {
            bytes: text.as_bytes().to_vec(),
            media_type: media_type.to_owned(),
            digest: Digest::of(text.as_bytes()),
        })
    }

    fn told(text: &str, media_type: &str) -> String {
        let fault = read(text, media_type).expect_err(text);
        let source = std::error::Error::source(&fault).map(ToString::to_string);
        format!("{fault}: {}", source.unwrap_or_default())
    }

    #[test]
    fn a_manifest_is_what_its_content_is() {
        let of = |layers: &str| format!(r#"{{"config":{{}},"layers":[{layers}]}}"#);
        let statement = format!(r#"{{"mediaType":"{IN_TOTO_LAYER}"}}"#);
        for (layers, kind) in [
            (String::new(), Kind::Image),
            (statement.clone(), Kind::Attestations),
            (format!("{statement},{statement}"), Kind::Attestations),
            (format!("{statement},{{}}"), Kind::Image),
        ] {
            let content = read(&of(&layers), "").expect("an image");
            assert_eq!((content.kind, content.media_type), (kind, OCI_MANIFEST));
        }
        let docker = read(&of(""), DOCKER_MANIFEST).expect("an image");
        assert_eq!(docker.media_type, DOCKER_MANIFEST);
        for media_type in ["", "text/plain", OCI_INDEX] {
            let index = read(r#"{"manifests":[]}"#, media_type).expect("an index");
            assert_eq!((index.kind, index.media_type), (Kind::Index, OCI_INDEX));
        }
        let list = format!(r#"{{"mediaType":"{DOCKER_LIST}","manifests":[]}}"#);
        let list = read(&list, OCI_INDEX).expect("a list");
        assert_eq!(list.media_type, DOCKER_LIST);
    }

    #[test]
    fn what_readers_could_take_for_two_things_is_nothing() {
        let index = r#"{"manifests":[]}"#;
        for (text, media_type, wanted) in [
            ("{}", "", "neither an image nor an index"),
            (r#"{"config":{},"manifests":[]}"#, "", "neither"),
            (r#"{"layers":[],"manifests":[]}"#, "", "neither"),
            (r#"{"manifests":[],"manifests":[{}]}"#, "", "twice"),
            (r#"{"Manifests":[],"config":{}}"#, "", "some readers take"),
            ("[]", "", "a list stands"),
            ("", "", "one JSON document"),
            (index, OCI_MANIFEST, "the registry calls it"),
            (r#"{"mediaType":"x/y","config":{}}"#, "", r#""x/y" is not"#),
            (r#"{"manifests":[7]}"#, "", "entry 0"),
            (r#"{"manifests":[{}]}"#, "", "entry 0"),
            (r#"{"manifests":{}}"#, "", "well-formed"),
        ] {
            let told = told(text, media_type);
            assert!(told.contains(wanted), "{text}: {told}");
        }
        let disguised = format!(r#"{{"mediaType":"{OCI_INDEX}","config":{{}}}}"#);
        assert!(told(&disguised, "").contains("is not the media type of what it is"));
        let bad = Manifest {
            bytes: b"\xff".to_vec(),
            media_type: String::new(),
            digest: Digest::of(b"\xff"),
        };
        assert!(matches!(Content::read(&bad), Err(Fault::Utf8(_))));
    }

    #[test]
    fn entries_are_images_and_indexes_with_a_platform_for_people() {
        let digest = Digest::of(b"");
        let of = |media_type: &str, more: &str| {
            format!(
                r#"{{"manifests":[{{"mediaType":"{media_type}","digest":"{digest}","size":1{more}}}]}}"#
            )
        };
        let platform = |more: &str| {
            let content = read(&of(OCI_MANIFEST, more), "").expect("an index");
            let listed = content.lists.into_iter().next().expect("one entry");
            listed.platform
        };
        let arm = r#","platform":{"os":"linux","architecture":"arm64","variant":"v8"}"#;
        assert_eq!(platform(arm).as_deref(), Some("linux/arm64/v8"));
        let strange =
            r#","platform":{"os":"l\u001b\u202ei","architecture":"x"},"urls":["http://x.example"]"#;
        assert_eq!(platform(strange).as_deref(), Some("li/x"));
        for none in ["", r#","platform":null"#, r#","platform":{"os":"linux"}"#] {
            assert_eq!(platform(none), None);
        }
        for foreign in ["", "application/vnd.oci.image.layer.v1.tar", "x\\u001by"] {
            let told = told(&of(foreign, ""), "");
            assert!(told.contains("only images and indexes"), "{told}");
            assert!(!told.contains('\u{1b}'));
        }
    }

    #[test]
    fn a_million_entries_are_counted_and_not_kept() {
        let text = format!(r#"{{"manifests":[{}7]}}"#, "7,".repeat(1_000_000));
        assert!(matches!(read(&text, ""), Err(Fault::Many)));
    }
}

//! The platform of an image: for what machine and system it is.

use std::fmt;

use anyhow::anyhow;
use serde::{Deserialize, Deserializer, Serialize};

/// A platform. Field order is the order of the bytes; names are those of the image configuration and of an index.
///
/// Specification: <https://github.com/opencontainers/image-spec/blob/main/image-index.md#image-index-property-descriptions>.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Platform {
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) os: String,
    #[serde(
        rename = "os.version",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    os_version: String,
    #[serde(
        rename = "os.features",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    os_features: Vec<String>,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    variant: String,
    /// Only an index of the format docker has it.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    features: Vec<String>,
}

/// What stands for «for no machine»: BuildKit gives it to its attestations.
const UNKNOWN: &str = "unknown";

/// No real platform has longer words, or more of them.
const LONGEST_WORD: usize = 128;
const MOST_WORDS: usize = 64;

impl Platform {
    /// The same without what only an index of the format docker has.
    pub(super) fn without_features(self) -> Self {
        Self {
            features: Vec::new(),
            ..self
        }
    }

    /// Whether it says both for which system and for which machine.
    pub(super) fn is_whole(&self) -> bool {
        !self.os.is_empty() && !self.architecture.is_empty()
    }

    /// Whether it says that it is for no machine.
    pub(super) fn is_unknown(&self) -> bool {
        self.os == UNKNOWN && self.architecture == UNKNOWN
    }

    /// What somebody wrote into an image is copied into the index only if it is a word.
    pub(super) fn check(&self) -> Result<(), anyhow::Error> {
        let words = [
            &self.os,
            &self.architecture,
            &self.os_version,
            &self.variant,
        ];
        let lists = self.os_features.iter().chain(&self.features);
        if lists.clone().count() > MOST_WORDS {
            return Err(anyhow!("its platform has more than {MOST_WORDS} features"));
        }
        let is_word = |word: &String| {
            word.len() <= LONGEST_WORD
                && word
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-+~".contains(&b))
        };
        match words.into_iter().chain(lists).find(|word| !is_word(word)) {
            None => Ok(()),
            Some(word) => {
                let shown: String = word.chars().take(LONGEST_WORD).collect();
                Err(anyhow!("its platform has the strange word {shown:?}"))
            }
        }
    }

    /// Whether no machine could tell which of the two to take: a variant that is the usual one need not be said.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let sorted = |list: &[String]| {
            let mut list = list.to_vec();
            list.sort_unstable();
            list
        };
        self.os == other.os
            && self.architecture == other.architecture
            && self.usual_variant() == other.usual_variant()
            && self.os_version == other.os_version
            && sorted(&self.os_features) == sorted(&other.os_features)
            && sorted(&self.features) == sorted(&other.features)
    }

    fn usual_variant(&self) -> &str {
        match (self.architecture.as_str(), self.variant.as_str()) {
            ("arm64", "8" | "v8") | ("amd64", "v1") => "",
            ("arm", "" | "7") => "v7",
            ("arm", "6") => "v6",
            ("arm", "5") => "v5",
            (_, variant) => variant,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        if !self.os_version.is_empty() {
            write!(f, " {}", self.os_version)?;
        }
        Ok(())
    }
}

/// Go writes `null` for empty lists in places.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Platform {
        serde_json::from_str(text).expect("a platform")
    }

    #[test]
    fn the_usual_variant_need_not_be_said() {
        for (one, other, same) in [
            ("", "v8", true),
            ("v8", "8", true),
            ("", "v9", false),
            ("v9", "v9", true),
        ] {
            let arm = |variant| {
                of(&format!(
                    r#"{{"os":"linux","architecture":"arm64","variant":"{variant}"}}"#
                ))
            };
            assert_eq!(arm(one).is_same(&arm(other)), same, "{one} {other}");
        }
        let arm = |variant| {
            of(&format!(
                r#"{{"os":"linux","architecture":"arm","variant":"{variant}"}}"#
            ))
        };
        assert!(arm("").is_same(&arm("v7")) && !arm("v6").is_same(&arm("")));
        let windows = |version| {
            of(&format!(
                r#"{{"os":"windows","architecture":"amd64","os.version":"{version}"}}"#
            ))
        };
        assert!(!windows("10.0.20348.1").is_same(&windows("10.0.17763.1")));
        assert_eq!(windows("10.0").to_string(), "windows/amd64 10.0");
    }

    #[test]
    fn only_words_are_taken_over() {
        let good =
            of(r#"{"os":"linux","architecture":"ppc64le","os.features":["sse4"],"variant":null}"#);
        good.check().expect("words");
        for bad in [
            r#"{"os":"linux\n","architecture":"amd64"}"#,
            r#"{"os":"linux","architecture":"amd64","variant":"<script>"}"#,
            r#"{"os":"linux","architecture":"amd64","os.features":["a b"]}"#,
        ] {
            assert!(of(bad).check().is_err(), "{bad}");
        }
        let long = format!(r#"{{"os":"{}","architecture":"a"}}"#, "x".repeat(129));
        assert!(of(&long).check().is_err());
        let many = format!(
            r#"{{"os":"l","architecture":"a","os.features":[{}"x"]}}"#,
            "\"x\",".repeat(64)
        );
        assert!(of(&many).check().is_err());
    }
}

//! Counts the signatures of an envelope without keeping them.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

/// An envelope of which only the number of signatures is kept.
#[derive(Deserialize)]
pub(crate) struct EnvelopeShape {
    #[serde(default)]
    signatures: Count,
}

impl EnvelopeShape {
    /// How many signatures there are.
    pub(crate) fn signatures(&self) -> usize {
        self.signatures.0
    }
}

#[derive(Default)]
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counter;
        impl<'de> Visitor<'de> for Counter {
            type Value = Count;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of signatures")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Count, A::Error> {
                let mut count = 0;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Count(count))
            }
        }
        deserializer.deserialize_seq(Counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_counted_whatever_they_are() {
        for (json, count) in [
            ("{}", 0),
            (r#"{"signatures":[]}"#, 0),
            (r#"{"payload":"x","signatures":[{"sig":"a"},1,[]]}"#, 3),
        ] {
            let shape: EnvelopeShape = serde_json::from_str(json).expect("an object");
            assert_eq!(shape.signatures(), count, "{json}");
        }
        assert!(serde_json::from_str::<EnvelopeShape>(r#"{"signatures":7}"#).is_err());
        assert!(
            serde_json::from_str::<EnvelopeShape>(r#"{"signatures":[],"signatures":[]}"#).is_err()
        );
    }
}

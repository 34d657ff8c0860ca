//! Strict JSON: refuses a document that two readers may understand differently, before anybody reads it.
//!
//! JSON says nothing of a member that stands twice; readers take the first, the last, or give up. Go's `encoding/json` also takes `Subject`
//! for `subject`, and protojson takes `predicate_type` for `predicateType`. Whoever signs such a document can show one thing to us and
//! another to the next reader. serde_json by itself refuses the first kind only for the members of a struct, and skips what it does not know.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The deepest nesting of lists and objects that is read. Real documents stay below 30; the JSON reader itself gives up at 128.
pub const MAX_DEPTH: usize = 120;

/// Why a document is not read. Places are JSON pointers (RFC 6901).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or something follows it.
    #[error("not one JSON document")]
    Json(#[source] serde_json::Error),
    /// Lists and objects in one another beyond `MAX_DEPTH`.
    #[error("nested deeper than {MAX_DEPTH} levels at {0}")]
    Depth(String),
    /// A member stands twice in one object.
    #[error("the member {0} stands there twice")]
    Duplicate(String),
    /// A list where an object belongs: serde takes its items for the members in their order, Go takes none.
    #[error("a list stands at {0:?} where an object belongs")]
    List(String),
    /// A member that some readers take for another one.
    #[error("some readers take the member {place} for {name:?}")]
    LookAlike {
        /// The member.
        place: String,
        /// The name that they take it for.
        name: &'static str,
    },
}

/// The names that mean something in the object at a place of the document.
pub type KnownNames = fn(&[Step]) -> &'static [&'static str];

/// One step on the way to a place in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into a member of an object.
    Member(String),
    /// Into an item of a list.
    Item(usize),
}

/// The deepest object that has names in the formats which are matched by [`path`].
const DEEPEST_PATH: usize = 8;

/// The place as the names of members, and `[]` for any item, to be matched; nothing beyond `DEEPEST_PATH`.
pub(crate) fn path<'a, 'b>(
    place: &'a [Step],
    names: &'b mut [&'a str; DEEPEST_PATH],
) -> Option<&'b [&'a str]> {
    let path = names.get_mut(..place.len())?;
    for (name, step) in path.iter_mut().zip(place) {
        *name = match step {
            Step::Member(name) => name,
            Step::Item(_) => "[]",
        };
    }
    Some(path)
}

/// Reads all of `text` once, and finds what makes it ambiguous: a member that stands twice, one that is spelled almost as one
/// of the names that `known` gives for its object, and a list in the place of such an object.
///
/// # Errors
/// The first that was found, or that it is no JSON.
pub fn check(text: &str, known: KnownNames) -> Result<(), Error> {
    check_and_list(text, known, 0).map(drop)
}

/// The same, and the places of the first `most` members that have none of the names which `known` gives for their object.
pub(crate) fn check_and_list(
    text: &str,
    known: KnownNames,
    most: usize,
) -> Result<Vec<String>, Error> {
    let mut walk = Walk {
        place: Vec::new(),
        known,
        found: None,
        unknown: Vec::new(),
        most,
    };
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Place(&mut walk)
        .deserialize(&mut reader)
        .and_then(|()| reader.end());
    match (walk.found, read) {
        (Some(found), _) => Err(found),
        (None, read) => read.map(|()| walk.unknown).map_err(Error::Json),
    }
}

/// The way from the top of the document to the value that is being read.
struct Walk {
    place: Vec<Step>,
    known: KnownNames,
    /// What was found; serde's own errors can only carry text.
    found: Option<Error>,
    /// Members of other names than the known ones.
    unknown: Vec<String>,
    /// How many of them are listed.
    most: usize,
}

impl Walk {
    fn pointer(&self) -> String {
        let steps = self.place.iter().map(|step| match step {
            Step::Member(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            Step::Item(at) => format!("/{at}"),
        });
        steps.collect()
    }

    fn stop<E: serde::de::Error>(&mut self, found: Error) -> E {
        self.found = Some(found);
        E::custom("ambiguous")
    }

    /// Called when a list or an object begins.
    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.place.len() < MAX_DEPTH {
            return Ok(());
        }
        let found = Error::Depth(self.pointer());
        Err(self.stop(found))
    }
}

/// Reads the value at the place where the walk stands.
struct Place<'a>(&'a mut Walk);

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.0.enter()?;
        if !(self.0.known)(&self.0.place).is_empty() {
            let found = Error::List(self.0.pointer());
            return Err(self.0.stop(found));
        }
        for at in 0.. {
            self.0.place.push(Step::Item(at));
            if list.next_element_seed(Place(self.0))?.is_none() {
                break;
            }
            self.0.place.pop();
        }
        self.0.place.pop();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.0.enter()?;
        let known = (self.0.known)(&self.0.place);
        let mut names = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let is_known = known.contains(&name.as_str());
            let mut look_alike = known.iter().filter(|_| !is_known);
            let look_alike = look_alike.find(|k| reads_as(&name, k));
            let is_new = names.insert(name.clone());
            self.0.place.push(Step::Member(name));
            if let Some(name) = look_alike {
                let place = self.0.pointer();
                return Err(self.0.stop(Error::LookAlike { place, name }));
            }
            if !is_new {
                let found = Error::Duplicate(self.0.pointer());
                return Err(self.0.stop(found));
            }
            if !known.is_empty() && !is_known && self.0.unknown.len() < self.0.most {
                let place = self.0.pointer();
                self.0.unknown.push(place);
            }
            map.next_value_seed(Place(self.0))?;
            self.0.place.pop();
        }
        Ok(())
    }
}

/// Whether a reader may take the member `name` for `known`: Go folds case, and with it two letters outside ASCII; protojson takes
/// the names of the protobuf fields, which have underscores.
fn reads_as(name: &str, known: &str) -> bool {
    let folded = |text: &str| -> Vec<char> {
        text.chars()
            .filter(|c| *c != '_')
            .map(|c| match c {
                '\u{17f}' => 's',
                '\u{212a}' => 'k',
                other => other.to_ascii_lowercase(),
            })
            .collect()
    };
    folded(name) == folded(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(place: &[Step]) -> &'static [&'static str] {
        match place {
            [] => &["subject", "predicateType"],
            [Step::Member(name), Step::Item(_)] if name == "subject" => &["digest"],
            _ => &[],
        }
    }

    fn told(text: &str) -> String {
        check(text, known).map_or_else(|e| e.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn what_stands_twice_is_found_at_any_depth() {
        for (text, wanted) in [
            (r#"{"a":1,"b":{"a":1},"c":[{"a":1},{"a":2}]}"#, "fine"),
            (r#"{"a":1,"a":1}"#, "the member /a stands there twice"),
            (r#"{"a":1,"\u0061":1}"#, "the member /a stands there twice"),
            (
                r#"{"x":[0,{"y/~":{"":1,"":2}}]}"#,
                "the member /x/1/y~1~0/ stands there twice",
            ),
        ] {
            assert_eq!(told(text), wanted, "{text}");
        }
    }

    #[test]
    fn look_alikes_of_known_names_are_found_where_they_are_known() {
        for (text, wanted) in [
            (
                r#"{"subject":[{"digest":{}}],"x":{"Digest":1,"digest":2}}"#,
                "fine",
            ),
            (
                r#"{"Subject":[]}"#,
                "some readers take the member /Subject for \"subject\"",
            ),
            (
                r#"{"predicate_type":""}"#,
                "some readers take the member /predicate_type for \"predicateType\"",
            ),
            (
                "{\"\u{17f}ubject\":[]}",
                "some readers take the member /\u{17f}ubject for \"subject\"",
            ),
            (
                r#"{"subject":[{},{"digest":{},"DIGEST":{}}]}"#,
                "some readers take the member /subject/1/DIGEST for \"digest\"",
            ),
        ] {
            assert_eq!(told(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_list_is_no_object() {
        for (text, wanted) in [
            (r#"{"subject":[{}],"x":[["digest"]]}"#, "fine"),
            (
                r#"{"subject":[{},["x"]]}"#,
                "a list stands at \"/subject/1\" where an object belongs",
            ),
            ("[]", "a list stands at \"\" where an object belongs"),
        ] {
            assert_eq!(told(text), wanted, "{text}");
        }
    }

    #[test]
    fn members_of_unknown_names_are_listed_where_names_are_known() {
        let text = r#"{"subject":[{"new":1,"digest":{"x":1}}],"more":{"digest":1},"last":2}"#;
        let listed = |most| check_and_list(text, known, most).expect("unambiguous");
        assert_eq!(listed(9), ["/subject/0/new", "/more", "/last"]);
        assert_eq!(listed(1), ["/subject/0/new"]);
    }

    #[test]
    fn what_is_not_one_document_is_refused() {
        for text in [
            "",
            "{",
            "{} {}",
            "{}x",
            "{\"a\":\"\\ud800\"}",
            "{'a':1}",
            "{\"a\":[1,]}",
        ] {
            assert!(matches!(check(text, known), Err(Error::Json(_))), "{text}");
        }
        assert_eq!(told(" {} \n"), "fine");
    }

    #[test]
    fn depth_is_counted_before_the_stack_ends() {
        let nested = |levels: usize| {
            let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
            format!("{{\"a\":{open}{close}}}")
        };
        assert_eq!(told(&nested(MAX_DEPTH)), "fine");
        for levels in [MAX_DEPTH + 1, 1_000_000] {
            assert!(matches!(
                check(&nested(levels), known),
                Err(Error::Depth(_))
            ));
        }
        let objects = "{\"a\":".repeat(100_000);
        assert!(matches!(check(&objects, known), Err(Error::Depth(_))));
    }
}

//! The first look at a document: its apiVersion and kind, without reading the rest where they stand in front.

use std::cell::RefCell;
use std::fmt;

use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::run::Error;

/// What a document says that it is.
#[derive(Debug, Default)]
pub(crate) struct Header {
    pub(crate) api_version: Option<String>,
    pub(crate) kind: Option<String>,
}

impl Header {
    /// That this is no kind that can be attested.
    pub(crate) fn unknown(&self) -> Error {
        Error::Kind {
            api_version: self.api_version.clone().unwrap_or_default(),
            kind: self.kind.clone().unwrap_or_default(),
        }
    }

    fn is_whole(&self) -> bool {
        self.api_version.is_some() && self.kind.is_some()
    }
}

/// Reads the header of a document.
///
/// # Errors
/// If the document is no JSON object as far as it was read.
pub(crate) fn read(document: &[u8]) -> Result<Header, serde_json::Error> {
    let found = RefCell::new(Header::default());
    let mut deserializer = serde_json::Deserializer::from_slice(document);
    let outcome = deserializer.deserialize_map(Look(&found));
    let header = found.into_inner();
    match outcome {
        Err(error) if !header.is_whole() => Err(error),
        _ => Ok(header),
    }
}

/// Stops, with an error, as soon as both are known.
struct Look<'h>(&'h RefCell<Header>);

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let mut header = self.0.borrow_mut();
            match key.as_str() {
                "apiVersion" => header.api_version = map.next_value()?,
                "kind" => header.kind = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            if header.is_whole() {
                return Err(A::Error::custom("both are known"));
            }
        }
        Ok(())
    }
}

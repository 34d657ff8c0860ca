//! Reading a document into typed structs, as Go's decoder does.
//!
//! `null` is absent, unknown fields are passed over, names are compared by case. Stricter than Go in two ways: a field that stands
//! twice is refused (Go merges the two), and there is a limit to how many values a document may have.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;

use serde::Deserialize as _;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::older::{OLD_NAMES, give_termination_reason};
use super::schema::{Field, Kind, Schema, Struct};
use super::{Object, ParamValue, Value};
use crate::time::Time;
use crate::{duration, quantity};

/// The most values (fields, elements, entries) that one document of `bytes` may have. A run that fills an API server's limit of 1.5 MiB
/// has some 60,000, one for every 25 bytes; the limit keeps the memory for a hostile one in proportion to its size.
const fn most_values(bytes: usize) -> usize {
    20_000 + bytes / 16
}

/// As how many values a result counts: hints become artifacts, which need more memory than what they were read from.
const VALUES_OF_A_RESULT: usize = 32;

/// Why a document could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{}", place(path))]
pub struct Error {
    /// Where: `spec.params[2].value`; empty for the document itself.
    pub path: String,
    /// What is wrong there.
    #[source]
    pub source: serde_json::Error,
}

/// Which API version the document is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `tekton.dev/v1`.
    V1,
    /// `tekton.dev/v1beta1`: fields that were renamed or moved are read at their old place.
    V1beta1,
}

/// What a document says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RootKind {
    /// A TaskRun.
    TaskRun,
    /// A PipelineRun.
    PipelineRun,
}

/// Reads a document of this kind.
pub(crate) fn decode(bytes: &[u8], kind: RootKind, dialect: Dialect) -> Result<Object<'_>, Error> {
    let schema = Schema::get();
    let decoder = Decoder {
        schema,
        dialect,
        failed_at: RefCell::default(),
        left: Cell::new(most_values(bytes.len())),
        fields: RefCell::default(),
        elements: RefCell::default(),
    };
    let root = Kind::Struct(match kind {
        RootKind::TaskRun => schema.task_run,
        RootKind::PipelineRun => schema.pipeline_run,
    });
    // Once for the whole document, which is quicker than for each string.
    let text = std::str::from_utf8(bytes).map_err(serde_json::Error::custom);
    let read = text.and_then(|text| {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let value = decoder.seed(&root).deserialize(&mut deserializer)?;
        deserializer.end().map(|()| value)
    });
    match read {
        Ok(Some(Value::Struct(object))) => Ok(object),
        Ok(_) => Err(Error {
            path: String::new(),
            source: serde_json::Error::custom("null is no object"),
        }),
        Err(source) => Err(Error {
            path: decoder.path(),
            source,
        }),
    }
}

struct Decoder<'de> {
    schema: &'static Schema,
    dialect: Dialect,
    /// Where it failed, innermost first: each level adds itself on the way out.
    failed_at: RefCell<Vec<Step>>,
    left: Cell<usize>,
    /// Fields of all structs that are being read, outermost first. What is finished is moved into an allocation of its exact size.
    fields: RefCell<Vec<(u16, Value<'de>)>>,
    /// The same for the elements of lists.
    elements: RefCell<Vec<Value<'de>>>,
}

enum Step {
    Field(&'static str),
    Index(usize),
    Key(String),
}

/// Reads one value of a kind; `None` for `null`, where that is not a value of its own.
#[derive(Clone, Copy)]
struct Seed<'d, 'de> {
    decoder: &'d Decoder<'de>,
    kind: &'d Kind,
}

impl<'de> Decoder<'de> {
    fn seed<'d>(&'d self, kind: &'d Kind) -> Seed<'d, 'de> {
        Seed {
            decoder: self,
            kind,
        }
    }

    fn path(&self) -> String {
        let mut text = String::new();
        for step in self.failed_at.borrow().iter().rev() {
            match step {
                Step::Field(name) if text.is_empty() => text.push_str(name),
                Step::Field(name) => text.extend([".", name]),
                Step::Index(at) => text.push_str(&format!("[{at}]")),
                Step::Key(key) => text.push_str(&format!("[{key:?}]")),
            }
        }
        text
    }

    /// So many values more.
    fn count<E: serde::de::Error>(&self, values: usize) -> Result<(), E> {
        let left = self.left.get().saturating_sub(values);
        self.left.set(left);
        if left == 0 {
            return Err(E::custom("the document has too many values for its size"));
        }
        Ok(())
    }

    /// Notes a level that failed.
    fn failed<T, E>(&self, result: Result<T, E>, step: impl FnOnce() -> Step) -> Result<T, E> {
        if result.is_err() {
            self.failed_at.borrow_mut().push(step());
        }
        result
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_, 'de> {
    type Value = Option<Value<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let raw = match self.kind {
            Kind::Quantity | Kind::IntOrString | Kind::ParamValue | Kind::Raw => {
                <&RawValue>::deserialize(deserializer)?.get()
            }
            _ => return deserializer.deserialize_any(self),
        };
        if raw == "null" {
            return Ok(None);
        }
        let value = match self.kind {
            Kind::ParamValue => {
                let value = ParamValue::from_json(raw, &self.decoder.left);
                let value = value.map_err(D::Error::custom)?;
                self.decoder.count(0)?;
                Value::Param(Box::new(value))
            }
            Kind::Quantity => Value::Text(quantity::canonical_json(raw).map_err(D::Error::custom)?),
            Kind::IntOrString if !raw.starts_with('"') => Value::Int(
                raw.parse::<i32>()
                    .map_err(|_| D::Error::custom("wanted a string or an integer of 32 bits"))?
                    .into(),
            ),
            Kind::IntOrString => Value::Text(
                serde_json::from_str::<String>(raw)
                    .map_err(D::Error::custom)?
                    .into(),
            ),
            _ => Value::Raw(Cow::Borrowed(raw)),
        };
        Ok(Some(value))
    }
}

impl<'de> Visitor<'de> for Seed<'_, 'de> {
    type Value = Option<Value<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::String => "a string",
            Kind::Bool => "true or false",
            Kind::Int(_) => "an integer",
            Kind::Duration => "a duration such as \"1h30m\"",
            Kind::Time => "a time such as \"2026-03-01T10:00:00Z\"",
            Kind::Struct(_) | Kind::Map(_) => "an object",
            Kind::List(_) => "a list",
            Kind::Quantity | Kind::IntOrString | Kind::ParamValue | Kind::Raw => "a value",
        })
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Self::Value, E> {
        match self.kind {
            Kind::Bool => Ok(Some(Value::Bool(value))),
            _ => Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self)),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        match self.kind {
            Kind::Int(64) => Ok(Some(Value::Int(value))),
            Kind::Int(_) if i32::try_from(value).is_ok() => Ok(Some(Value::Int(value))),
            Kind::Int(_) => Err(E::custom(format_args!("{value} needs more than 32 bits"))),
            _ => Err(E::invalid_type(serde::de::Unexpected::Signed(value), &self)),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => Err(E::invalid_type(
                serde::de::Unexpected::Unsigned(value),
                &self,
            )),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        Err(E::invalid_type(serde::de::Unexpected::Float(value), &self))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        self.text(Cow::Owned(text.to_owned()))
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        self.text(Cow::Borrowed(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Kind::List(element) = self.kind else {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        };
        let elements = &self.decoder.elements;
        let start = elements.borrow().len();
        loop {
            let next = seq.next_element_seed(self.decoder.seed(element));
            let at = || Step::Index(elements.borrow().len() - start);
            let Some(value) = self.decoder.failed(next, at)? else {
                break;
            };
            self.decoder.count(1)?;
            let value = value.unwrap_or_else(|| Value::zero(element));
            elements.borrow_mut().push(value);
        }
        let list = elements.borrow_mut().drain(start..).collect();
        Ok(Some(Value::List(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        match self.kind {
            Kind::Struct(id) => self
                .decoder
                .fields(self.decoder.schema.at(*id), map)
                .map(|object| Some(Value::Struct(object))),
            Kind::Map(element) => self.decoder.entries(element, map).map(Some),
            _ => Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self)),
        }
    }
}

impl<'de> Seed<'_, 'de> {
    fn text<E: serde::de::Error>(self, text: Cow<'de, str>) -> Result<Option<Value<'de>>, E> {
        Ok(Some(match self.kind {
            Kind::String => Value::Text(text),
            Kind::Duration => Value::Text(duration::canonical(&text).map_err(E::custom)?.into()),
            Kind::Time => Value::Time(Time::parse(&text).map_err(E::custom)?),
            _ => return Err(E::invalid_type(serde::de::Unexpected::Str(&text), &self)),
        }))
    }
}

impl<'de> Decoder<'de> {
    fn fields<A: MapAccess<'de>>(
        &self,
        table: &'static Struct,
        mut map: A,
    ) -> Result<Object<'de>, A::Error> {
        let start = self.fields.borrow().len();
        if table.is_result {
            self.count(VALUES_OF_A_RESULT)?;
        }
        let mut seen = 0u64;
        while let Some(found) = map.next_key_seed(FieldSeed {
            table,
            dialect: self.dialect,
        })? {
            let at = match found {
                Found::Nothing => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                Found::Moved(outer, inner) => {
                    self.moved(start, table.field(outer), (outer, inner), &mut map)?;
                    continue;
                }
                Found::Field(at) => at,
            };
            let field = table.field(at);
            if seen & (1 << at) != 0 {
                return Err(A::Error::duplicate_field(field.name));
            }
            seen |= 1 << at;
            self.count(1)?;
            let value = map.next_value_seed(self.seed(&field.kind));
            let value = match self.failed(value, || Step::Field(field.name))? {
                // Go hands `null` to the type's own reader, which makes a value of it, but not through a pointer.
                None if field.kind == Kind::ParamValue && !field.is_pointer => {
                    Some(Value::zero(&field.kind))
                }
                value => value,
            };
            if let Some(value) = value {
                self.fields.borrow_mut().push((at, value));
            }
        }
        let fields = self.fields.borrow_mut().drain(start..).collect();
        let mut object = Object { table, fields };
        if self.dialect == Dialect::V1beta1 && table.name == "tekton.StepState" {
            give_termination_reason(&mut object);
        }
        Ok(object)
    }

    /// A field of v1beta1 that lies one struct deeper in v1: in `outer`, which is a field of the struct whose fields begin at `start`.
    fn moved<A: MapAccess<'de>>(
        &self,
        start: usize,
        outer: &Field,
        (outer_at, inner): (u16, &'static str),
        map: &mut A,
    ) -> Result<(), A::Error> {
        let wrong = || A::Error::custom("the table of moved fields is wrong");
        let Kind::Struct(id) = outer.kind else {
            return Err(wrong());
        };
        let table = self.schema.at(id);
        let at = table.position(inner).ok_or_else(wrong)?;
        let field = table.field(at);
        let value = map.next_value_seed(self.seed(&field.kind));
        let Some(value) = self.failed(value, || Step::Field(field.name))? else {
            return Ok(());
        };
        let mut fields = self.fields.borrow_mut();
        let known = fields[start..].iter().position(|(at, _)| *at == outer_at);
        let known = known.map_or_else(
            || {
                fields.push((outer_at, Value::Struct(Object::new(table))));
                fields.len() - 1
            },
            |known| start + known,
        );
        if let Value::Struct(deeper) = &mut fields[known].1
            && deeper.at(at).is_none()
        {
            deeper.push(at, value);
        }
        Ok(())
    }

    fn entries<A: MapAccess<'de>>(
        &self,
        element: &Kind,
        mut map: A,
    ) -> Result<Value<'de>, A::Error> {
        let mut entries: Vec<(Cow<'de, str>, Value<'de>)> = Vec::new();
        while let Some(KeyText(key)) = map.next_key()? {
            self.count(1)?;
            let value = map.next_value_seed(self.seed(element));
            let value = self.failed(value, || Step::Key(key.to_string()))?;
            entries.push((key, value.unwrap_or_else(|| Value::zero(element))));
        }
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if let Some(twice) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(A::Error::custom(format_args!(
                "duplicate key {:?}",
                twice[0].0
            )));
        }
        Ok(Value::Map(entries))
    }
}

/// A key of a map, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct KeyText<'a>(#[serde(borrow)] Cow<'a, str>);

/// Finds the field of a key without keeping the key.
struct FieldSeed {
    table: &'static Struct,
    dialect: Dialect,
}

enum Found {
    Nothing,
    Field(u16),
    Moved(u16, &'static str),
}

impl<'de> DeserializeSeed<'de> for FieldSeed {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for FieldSeed {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Found, E> {
        if let Some(at) = self.table.position(key) {
            return Ok(Found::Field(at));
        }
        // No old name is also a new one of the same struct.
        let old = match self.dialect {
            Dialect::V1 => None,
            Dialect::V1beta1 => OLD_NAMES
                .iter()
                .find(|(table, name, _)| *name == key && *table == self.table.name),
        };
        let Some((_, _, place)) = old else {
            return Ok(Found::Nothing);
        };
        let (outer, inner) = match place.split_once('.') {
            Some((outer, inner)) => (outer, Some(inner)),
            None => (*place, None),
        };
        Ok(match (self.table.position(outer), inner) {
            (None, _) => Found::Nothing,
            (Some(at), None) => Found::Field(at),
            (Some(at), Some(inner)) => Found::Moved(at, inner),
        })
    }
}

fn place(path: &str) -> String {
    if path.is_empty() {
        return "the run is not a JSON document that Tekton could have written".to_owned();
    }
    format!("the run's field {path} is not as Tekton writes it")
}

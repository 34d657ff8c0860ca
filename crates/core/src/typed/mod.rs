//! Kubernetes and Tekton objects as Go holds them: decoded into typed structs, and written again as Go writes those.
//!
//! Tekton Chains signs no copy of a run's document: it decodes it into Tekton's Go types and encodes these. On the way unknown fields
//! vanish, empty structs appear, quantities, durations and times take their canonical form. This module does the same with tables
//! (`schema`) in place of types: one decoder and one encoder for all structs.
//!
//! ```text
//!   document ── decode ──▶ Object ── write ──▶ JSON of Go's encoder (declaration order), or through a protobuf Struct (sorted)
//! ```
//!
//! What it does not do: say what the fields mean; that is `run`.

mod decode;
mod encode;
mod older;
mod param;
mod schema;
mod walk;

use std::borrow::Cow;

pub use decode::Error;
pub(crate) use decode::{Dialect, RootKind, decode};
pub(crate) use encode::Encoding;
pub use param::ParamValue;
use schema::{Kind, Schema, Struct};

use crate::time::Time;

/// A struct: its non-absent fields, in the order in which they were read.
#[derive(Clone, Debug)]
pub(crate) struct Object<'a> {
    table: &'static Struct,
    /// Position in the table, and value.
    fields: Box<[(u16, Value<'a>)]>,
}

/// The value of a field.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Bool(bool),
    Int(i64),
    /// A string, or a quantity or duration in canonical form.
    Text(Cow<'a, str>),
    Time(Time),
    /// JSON text of a type that Go keeps raw.
    Raw(Cow<'a, str>),
    Param(Box<ParamValue<'a>>),
    List(Vec<Value<'a>>),
    /// Sorted by key, each key once.
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
    Struct(Object<'a>),
}

impl<'a> Object<'a> {
    fn new(table: &'static Struct) -> Self {
        Self {
            table,
            fields: Box::default(),
        }
    }

    /// The value of a field; `None` where it is absent.
    ///
    /// # Panics
    /// In development builds, if the table has no field of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Value<'a>> {
        let at = self.table.position(name);
        debug_assert!(at.is_some(), "{} has no field {name}", self.table.name);
        self.at(at?)
    }

    fn at(&self, at: u16) -> Option<&Value<'a>> {
        self.fields
            .iter()
            .find(|(known, _)| *known == at)
            .map(|(_, value)| value)
    }

    /// Puts a text into a field of type string.
    pub(crate) fn set_text(&mut self, name: &str, text: &'a str) {
        let Some(at) = self.table.position(name) else {
            return;
        };
        let text = Value::Text(Cow::Borrowed(text));
        match self.fields.iter_mut().find(|(known, _)| *known == at) {
            Some((_, value)) => *value = text,
            None => self.push(at, text),
        }
    }

    /// Adds a field that was absent.
    fn push(&mut self, at: u16, value: Value<'a>) {
        let mut fields = std::mem::take(&mut self.fields).into_vec();
        fields.push((at, value));
        self.fields = fields.into_boxed_slice();
    }

    /// Takes entries out of a map of strings that lies in a struct of this one. An empty map is absent, as Go leaves it out.
    pub(crate) fn retain_texts(&mut self, object: &str, map: &str, keep: impl Fn(&str) -> bool) {
        let at = self.table.position(object);
        let fields = self.fields.iter_mut();
        let found = fields.filter(|(known, _)| Some(*known) == at);
        for (_, value) in found {
            let Value::Struct(inner) = value else {
                continue;
            };
            let at = inner.table.position(map);
            let mut fields = std::mem::take(&mut inner.fields).into_vec();
            fields.retain_mut(|(known, value)| match value {
                Value::Map(entries) if Some(*known) == at => {
                    entries.retain(|(key, _)| keep(key));
                    !entries.is_empty()
                }
                _ => true,
            });
            inner.fields = fields.into_boxed_slice();
        }
    }

    /// The text of a string field, empty where it is absent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).map_or("", Value::text)
    }

    /// The time of a field.
    pub(crate) fn time(&self, name: &str) -> Option<Time> {
        match self.get(name) {
            Some(Value::Time(time)) => Some(*time),
            _ => None,
        }
    }

    /// The struct in a field.
    pub(crate) fn object(&self, name: &str) -> Option<&Object<'a>> {
        self.get(name).and_then(Value::object)
    }

    /// The elements of a list, none where it is absent.
    pub(crate) fn list(&self, name: &str) -> &[Value<'a>] {
        match self.get(name) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    /// The structs of a list.
    pub(crate) fn objects(&self, name: &str) -> impl DoubleEndedIterator<Item = &Object<'a>> {
        self.list(name).iter().filter_map(Value::object)
    }

    /// The entries of a map of strings, sorted by key.
    pub(crate) fn texts(&self, name: &str) -> impl Iterator<Item = (&str, &str)> {
        let entries: &[_] = match self.get(name) {
            Some(Value::Map(map)) => map,
            _ => &[],
        };
        entries
            .iter()
            .map(|(key, value)| (key.as_ref(), value.text()))
    }

    /// The value of a parameter or result in a field.
    pub(crate) fn param(&self, name: &str) -> Option<&ParamValue<'a>> {
        match self.get(name) {
            Some(Value::Param(value)) => Some(value),
            _ => None,
        }
    }
}

impl<'a> Value<'a> {
    /// The text of a string, empty for every other type.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }

    fn object(&self) -> Option<&Object<'a>> {
        match self {
            Self::Struct(object) => Some(object),
            _ => None,
        }
    }

    /// The zero of a type: what Go has where `null` stands in a list or a map.
    fn zero(kind: &Kind) -> Self {
        match kind {
            Kind::String | Kind::Duration => Self::Text(Cow::Borrowed("")),
            Kind::Quantity => Self::Text(Cow::Borrowed("0")),
            Kind::Bool => Self::Bool(false),
            Kind::Int(_) | Kind::IntOrString => Self::Int(0),
            Kind::Time => Self::Time(Time::ZERO),
            Kind::ParamValue => Self::Param(Box::default()),
            Kind::Raw => Self::Raw(Cow::Borrowed("null")),
            Kind::Struct(id) => Self::Struct(Object::new(Schema::get().at(*id))),
            Kind::List(_) => Self::List(Vec::new()),
            Kind::Map(_) => Self::Map(Vec::new()),
        }
    }
}

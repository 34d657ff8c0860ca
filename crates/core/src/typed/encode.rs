//! Writing typed structs as Go does.
//!
//! Two forms. Go's own encoder keeps the order of the declaration and integers as they are. What becomes part of a predicate passes
//! through a protobuf Struct: keys are sorted, and all numbers are 64-bit floats.

use super::schema::{Emit, Field, Kind, MOST_FIELDS, Schema};
use super::{Object, ParamValue, Value};
use crate::gojson::{self, Escape, Members, Writer};
use crate::time::Time;

/// Which of the two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Go's encoder.
    Go,
    /// Through a protobuf Struct.
    Struct,
}

impl Encoding {
    fn escape(self) -> Escape {
        match self {
            Self::Go => Escape::Go,
            Self::Struct => Escape::Proto,
        }
    }
}

impl Object<'_> {
    /// Writes the struct. What Go cannot write (a parameter without a value) is a fault of the writer that names the field.
    pub(crate) fn write(&self, writer: &mut Writer, encoding: Encoding) {
        debug_assert_eq!(writer.escape(), encoding.escape());
        // Looking for each field of the table among those that are there would be most of the work.
        let mut values = [None; MOST_FIELDS];
        for (at, value) in self.fields.iter().rev() {
            values[usize::from(*at)] = Some(value);
        }
        let write = |at: u16, members: &mut Members<'_>| {
            let value = values[usize::from(at)];
            self.member(self.table.field(at), value, members, encoding);
        };
        match encoding {
            Encoding::Go => writer.declared(|members| {
                for (at, _) in (0..).zip(&self.table.fields) {
                    write(at, members);
                }
            }),
            Encoding::Struct => writer.sorted(|members| {
                for &at in &self.table.by_name {
                    write(at, members);
                }
            }),
        }
    }

    /// Writes the value of one field, absent or not.
    pub(crate) fn write_field(&self, name: &str, writer: &mut Writer, encoding: Encoding) {
        let Some(at) = self.table.position(name) else {
            return writer.null();
        };
        match self.at(at) {
            Some(value) => value.write(writer, encoding),
            None => self.absent(self.table.field(at), writer, encoding),
        }
    }

    fn member(
        &self,
        field: &Field,
        value: Option<&Value<'_>>,
        members: &mut Members<'_>,
        encoding: Encoding,
    ) {
        match (field.emit, value) {
            (Emit::NotEmpty, None) => {}
            (Emit::NotEmpty, Some(value)) if !field.is_pointer && value.is_empty() => {}
            (Emit::NotZero, None) => {}
            (Emit::NotZero, Some(Value::Time(time))) if *time == Time::ZERO => {}
            (_, Some(value)) => value.write(members.key(field.name), encoding),
            (_, None) => self.absent(field, members.key(field.name), encoding),
        }
    }

    /// Writes what Go writes for a field that is always written and was absent.
    fn absent(&self, field: &Field, writer: &mut Writer, encoding: Encoding) {
        if field.is_pointer {
            writer.null();
            return;
        }
        match &field.kind {
            Kind::List(_) | Kind::Map(_) | Kind::Time | Kind::Raw => writer.null(),
            // Tekton's type has no form for this, and Go fails.
            Kind::ParamValue => {
                let (owner, name) = (self.table.name, self.text("name"));
                writer.fail(|| format!("{owner} {name:?} has no {}", field.name));
            }
            Kind::Struct(id) => Object::new(Schema::get().at(*id)).write(writer, encoding),
            Kind::Duration => writer.text("0s"),
            kind => Value::zero(kind).write(writer, encoding),
        }
    }
}

impl Value<'_> {
    /// Whether Go's `omitempty` leaves it out.
    fn is_empty(&self) -> bool {
        match self {
            Self::Bool(value) => !value,
            Self::Int(value) => *value == 0,
            Self::Text(text) => text.is_empty(),
            Self::List(list) => list.is_empty(),
            Self::Map(map) => map.is_empty(),
            Self::Time(_) | Self::Raw(_) | Self::Param(_) | Self::Struct(_) => false,
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer, encoding: Encoding) {
        match self {
            Self::Bool(value) => writer.bool(*value),
            Self::Int(value) => match encoding {
                Encoding::Go => writer.int(*value),
                Encoding::Struct => writer.float_of_int(*value),
            },
            Self::Text(text) => writer.text(text),
            Self::Time(value) => match value.to_kubernetes() {
                Some(text) => writer.text(&text),
                None => writer.null(),
            },
            Self::Raw(json) => match encoding {
                Encoding::Go => gojson::write_raw(writer.raw(), json),
                Encoding::Struct => {
                    if let Err(error) = gojson::write_struct(writer.raw(), json) {
                        writer.fail(|| error.to_string());
                    }
                }
            },
            Self::Param(value) => value.write(writer),
            Self::List(list) => writer.list(|elements| {
                for value in list {
                    value.write(elements.next(), encoding);
                }
            }),
            Self::Map(map) => writer.sorted(|members| {
                for (key, value) in map {
                    value.write(members.key(key), encoding);
                }
            }),
            Self::Struct(object) => object.write(writer, encoding),
        }
    }
}

impl ParamValue<'_> {
    /// Writes the value by its shape.
    pub(crate) fn write(&self, writer: &mut Writer) {
        match self {
            Self::String(text) => writer.text(text),
            Self::Array(list) => writer.list(|elements| {
                for text in list {
                    elements.next().text(text);
                }
            }),
            Self::Object(map) => writer.sorted(|members| {
                for (key, text) in map {
                    members.text(key, text);
                }
            }),
        }
    }
}

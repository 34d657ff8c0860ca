//! Visiting every struct and every text of a document.

use std::borrow::Cow;

use super::{Object, ParamValue, Value};

/// The tables of named values: parameters as they are given and as they are declared.
const NAMED: [(&str, &str); 2] = [("tekton.Param", "value"), ("tekton.ParamSpec", "default")];

/// What names a thing and is checked elsewhere: changing it would make a statement about something else.
const IDENTITIES: [&str; 3] = ["imageID", "uid", "refSource"];

impl<'a> Object<'a> {
    /// Every parameter in the struct, given or declared, however deep: its name and value.
    pub(crate) fn each_param<'o>(&'o self, see: &mut dyn FnMut(&'o str, &'o ParamValue<'a>)) {
        if let Some((_, field)) = NAMED.iter().find(|(table, _)| *table == self.table.name)
            && let Some(value) = self.param(field)
        {
            see(self.text("name"), value);
        }
        for (_, value) in &self.fields {
            value.each_param(see);
        }
    }

    /// Changes texts: the values of parameters with the first function, which is given their name, all other texts with the second.
    /// Texts that identify something stay.
    pub(crate) fn change(
        &mut self,
        param: &mut dyn FnMut(&str, &mut Cow<'a, str>),
        text: &mut dyn FnMut(&mut Cow<'a, str>),
    ) {
        let named = NAMED.iter().find(|(table, _)| *table == self.table.name);
        let name = named.map(|_| self.text("name").to_owned());
        for (at, value) in &mut self.fields {
            let field = self.table.field(*at).name;
            if IDENTITIES.contains(&field) {
                continue;
            }
            match (&name, value) {
                (Some(name), Value::Param(value)) => value.change(&mut |text| param(name, text)),
                (_, value) => value.change(param, text),
            }
        }
    }
}

impl<'a> Value<'a> {
    fn each_param<'o>(&'o self, see: &mut dyn FnMut(&'o str, &'o ParamValue<'a>)) {
        match self {
            Self::Struct(object) => object.each_param(see),
            Self::List(list) => list.iter().for_each(|value| value.each_param(see)),
            Self::Map(map) => map.iter().for_each(|(_, value)| value.each_param(see)),
            Self::Bool(_)
            | Self::Int(_)
            | Self::Text(_)
            | Self::Time(_)
            | Self::Raw(_)
            | Self::Param(_) => {}
        }
    }

    fn change(
        &mut self,
        param: &mut dyn FnMut(&str, &mut Cow<'a, str>),
        text: &mut dyn FnMut(&mut Cow<'a, str>),
    ) {
        match self {
            Self::Text(one) | Self::Raw(one) => text(one),
            Self::Param(value) => value.change(text),
            Self::List(list) => list.iter_mut().for_each(|value| value.change(param, text)),
            Self::Map(map) => map
                .iter_mut()
                .for_each(|(_, value)| value.change(param, text)),
            Self::Struct(object) => object.change(param, text),
            Self::Bool(_) | Self::Int(_) | Self::Time(_) => {}
        }
    }
}

impl<'a> ParamValue<'a> {
    fn change(&mut self, change: &mut dyn FnMut(&mut Cow<'a, str>)) {
        match self {
            Self::String(text) => change(text),
            Self::Array(list) => list.iter_mut().for_each(change),
            Self::Object(map) => map.values_mut().for_each(change),
        }
    }
}

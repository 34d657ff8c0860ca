//! Visiting every struct and every text of a document.

use std::borrow::Cow;

use super::{Object, ParamValue, Value};

/// The tables of named values: parameters as they are given and as they are declared.
const NAMED: [(&str, &str); 2] = [("tekton.Param", "value"), ("tekton.ParamSpec", "default")];

/// What names a thing and is checked elsewhere: changing it would make a statement about something else.
const IDENTITIES: [&str; 3] = ["imageID", "uid", "refSource"];

/// Texts that are looked up or decide something. A tenant who could change one by the value of a parameter would hide a task by it.
const DECIDING: [&str; 10] = [
    "name",
    "namespace",
    "kind",
    "apiVersion",
    "type",
    "resolver",
    "status",
    "container",
    "pipelineTaskName",
    "operator",
];

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
            let is_deciding = matches!(value, Value::Text(_)) && DECIDING.contains(&field);
            if is_deciding || IDENTITIES.contains(&field) {
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
            Self::Text(one) => text(one),
            Self::Raw(json) => change_json(json, text),
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

/// Changes the strings of JSON text, keys too, and its numbers, which become strings: whatever a change puts there, it stays JSON.
fn change_json<'a>(json: &mut Cow<'a, str>, text: &mut dyn FnMut(&mut Cow<'a, str>)) {
    let mut changed = String::new();
    let mut rest = json.as_ref();
    let mut kept = rest;
    while let Some(start) = rest.find(['"', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
    {
        let (token, after) = rest[start..].split_at(token_length(&rest[start..]));
        rest = after;
        // Half a pair of surrogates is no string; its escapes are text then.
        let old =
            serde_json::from_str(token).unwrap_or_else(|_| token.trim_matches('"').to_owned());
        let mut new = Cow::Owned(old.clone());
        text(&mut new);
        if new != old {
            changed.push_str(&kept[..kept.len() - token.len() - after.len()]);
            changed.push_str(&serde_json::Value::from(new).to_string());
            kept = after;
        }
    }
    if kept.len() < json.len() {
        changed.push_str(kept);
        *json = Cow::Owned(changed);
    }
}

/// The length of the string or number with which `json` begins.
fn token_length(json: &str) -> usize {
    let bytes = json.as_bytes();
    if bytes.first() != Some(&b'"') {
        let is_number = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        return bytes.iter().take_while(|b| is_number(b)).count();
    }
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    bytes.len().min(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_json_whatever_is_changed_in_it() {
        let changed = |json: &'static str| {
            let mut json = Cow::Borrowed(json);
            change_json(&mut json, &mut |text| {
                if text.contains("secret") || text.contains("123456") {
                    *text = Cow::Owned(text.replace("secret", "<\">").replace("123456", "n"));
                }
            });
            json.into_owned()
        };
        for (json, wanted) in [
            (r#"{"n":1234567, "m":-1.5e3}"#, r#"{"n":"n7", "m":-1.5e3}"#),
            (r#"[123456]"#, r#"["n"]"#),
            (
                r#"{"a secret":["\u0073ecret\n",null]}"#,
                r#"{"a <\">":["<\">\n",null]}"#,
            ),
            (r#""a\\""#, r#""a\\""#),
            (
                r#"{"\ud800secret":"\"secret"}"#,
                r#"{"\\ud800<\">":"\"<\">"}"#,
            ),
            (r#"["secre","t"]"#, r#"["secre","t"]"#),
            ("null", "null"),
        ] {
            assert_eq!(changed(json), wanted);
        }
    }
}

//! A writer of JSON objects and lists, for bytes that get signed: it knows commas and escapes, and checks the order of sorted keys.

use super::{Escape, write_i64_as_f64, write_string};

/// Writes JSON values one after the other into a buffer.
#[derive(Debug)]
pub(crate) struct Writer {
    out: Vec<u8>,
    escape: Escape,
    fault: Option<String>,
}

/// Writes the members of an object.
#[derive(Debug)]
pub(crate) struct Members<'w> {
    writer: &'w mut Writer,
    is_first: bool,
    /// The last key, where keys must be sorted.
    #[cfg(debug_assertions)]
    last: Option<String>,
}

/// Writes the elements of a list.
#[derive(Debug)]
pub(crate) struct Elements<'w> {
    writer: &'w mut Writer,
    is_first: bool,
}

/// The order of an object's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Sorted,
    Declared,
}

impl Writer {
    /// A writer with these escapes.
    pub(crate) fn new(escape: Escape) -> Self {
        Self {
            out: Vec::with_capacity(1024),
            escape,
            fault: None,
        }
    }

    /// What was written, or the first fault.
    pub(crate) fn finish(self) -> Result<Vec<u8>, String> {
        self.fault.map_or(Ok(self.out), Err)
    }

    /// The escapes of this writer.
    pub(crate) fn escape(&self) -> Escape {
        self.escape
    }

    /// The buffer, for JSON that is made elsewhere.
    pub(crate) fn raw(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Says that the bytes cannot be made.
    pub(crate) fn fail(&mut self, why: impl FnOnce() -> String) {
        self.fault.get_or_insert_with(why);
    }

    /// An object whose keys are written in the order of their bytes.
    pub(crate) fn sorted(&mut self, members: impl FnOnce(&mut Members<'_>)) {
        self.object(Order::Sorted, members);
    }

    /// An object whose keys are written in the order that its type declares.
    pub(crate) fn declared(&mut self, members: impl FnOnce(&mut Members<'_>)) {
        self.object(Order::Declared, members);
    }

    #[cfg_attr(
        not(debug_assertions),
        expect(unused_variables, reason = "only development builds check the order")
    )]
    fn object(&mut self, order: Order, members: impl FnOnce(&mut Members<'_>)) {
        self.out.push(b'{');
        members(&mut Members {
            writer: self,
            is_first: true,
            #[cfg(debug_assertions)]
            last: (order == Order::Sorted).then(String::new),
        });
        self.out.push(b'}');
    }

    /// A list.
    pub(crate) fn list(&mut self, elements: impl FnOnce(&mut Elements<'_>)) {
        self.out.push(b'[');
        elements(&mut Elements {
            writer: self,
            is_first: true,
        });
        self.out.push(b']');
    }

    /// A string.
    pub(crate) fn text(&mut self, text: &str) {
        write_string(&mut self.out, text, self.escape);
    }

    /// A string in parts, none of which needs an escape with another.
    pub(crate) fn literal(&mut self, json: &str) {
        self.out.extend_from_slice(json.as_bytes());
    }

    /// A text, or the reason why there is none as the fault.
    pub(crate) fn text_or_fail<E: std::fmt::Display>(&mut self, text: Result<String, E>) {
        match text {
            Ok(text) => self.text(&text),
            Err(why) => self.fail(|| why.to_string()),
        }
    }

    /// `true` or `false`.
    pub(crate) fn bool(&mut self, value: bool) {
        self.literal(if value { "true" } else { "false" });
    }

    /// `null`.
    pub(crate) fn null(&mut self) {
        self.literal("null");
    }

    /// An integer, exactly.
    pub(crate) fn int(&mut self, value: i64) {
        self.literal(&value.to_string());
    }

    /// An integer that passed through a 64-bit float.
    pub(crate) fn float_of_int(&mut self, value: i64) {
        write_i64_as_f64(&mut self.out, value);
    }
}

impl Members<'_> {
    /// Begins a member; its value must be written next.
    pub(crate) fn key(&mut self, key: &str) -> &mut Writer {
        #[cfg(debug_assertions)]
        if let Some(last) = &mut self.last {
            assert!(
                self.is_first || last.as_str() < key,
                "{key} must not follow {last}"
            );
            key.clone_into(last);
        }
        if !self.is_first {
            self.writer.out.push(b',');
        }
        self.is_first = false;
        self.writer.text(key);
        self.writer.out.push(b':');
        self.writer
    }

    /// A member with a string.
    pub(crate) fn text(&mut self, key: &str, text: &str) {
        self.key(key).text(text);
    }

    /// A member with a string, left out when that is empty.
    pub(crate) fn text_unless_empty(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.text(key, text);
        }
    }

    /// A member with an object of sorted keys.
    pub(crate) fn sorted(&mut self, key: &str, members: impl FnOnce(&mut Members<'_>)) {
        self.key(key).sorted(members);
    }

    /// A member with a list.
    pub(crate) fn list(&mut self, key: &str, elements: impl FnOnce(&mut Elements<'_>)) {
        self.key(key).list(elements);
    }
}

impl Elements<'_> {
    /// Begins an element; its value must be written next.
    pub(crate) fn next(&mut self) -> &mut Writer {
        if !self.is_first {
            self.writer.out.push(b',');
        }
        self.is_first = false;
        self.writer
    }
}

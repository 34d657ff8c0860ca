//! The field tables of Tekton's types: which fields a struct has, of what type, in which order, and when Go writes them.
//!
//! The tables are data (`tekton.txt`, printed by Go reflection over Tekton's own types: `tests/chains`), not Rust types: there are some
//! 160 structs, of which our own code reads a dozen. They are read once, when the first run is decoded.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The tables, as `tests/chains schema` prints them.
const TABLES: &str = include_str!("tekton.txt");

/// The most fields that a struct has: those that were read are noted in as many bits.
pub(crate) const MOST_FIELDS: usize = 64;

/// The structs that are results of a run.
const RESULTS: [&str; 2] = ["tekton.TaskRunResult", "tekton.PipelineRunResult"];

/// All structs.
#[derive(Debug)]
pub(crate) struct Schema {
    structs: Vec<Struct>,
    /// The struct of a TaskRun.
    pub(crate) task_run: usize,
    /// The struct of a PipelineRun.
    pub(crate) pipeline_run: usize,
}

/// One struct of Go.
#[derive(Debug, Default)]
pub(crate) struct Struct {
    /// Its name with its package, such as `tekton.TaskRun`.
    pub(crate) name: &'static str,
    /// Whether it is a result of a run.
    pub(crate) is_result: bool,
    /// Its fields in the order in which Go's encoder writes them.
    pub(crate) fields: Vec<Field>,
    /// Positions of the fields in the order of the bytes of their names.
    pub(crate) by_name: Vec<u16>,
    /// Positions of the fields at the hashes of their names, or the next free place. A power of two, at most half full.
    by_hash: Vec<Option<u16>>,
}

/// One field.
#[derive(Debug)]
pub(crate) struct Field {
    /// Its key in JSON.
    pub(crate) name: &'static str,
    /// Whether it is behind a pointer: absent then differs from zero.
    pub(crate) is_pointer: bool,
    /// Its type.
    pub(crate) kind: Kind,
    /// When it is written.
    pub(crate) emit: Emit,
}

/// When Go's encoder writes a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Emit {
    /// Also when absent.
    Always,
    /// Not when empty (`omitempty`).
    NotEmpty,
    /// Not when zero (`omitzero`).
    NotZero,
}

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    Bool,
    /// An integer of so many bits.
    Int(u32),
    /// `resource.Quantity`: kept in its canonical form.
    Quantity,
    /// `metav1.Duration`: kept as Go prints it.
    Duration,
    /// `metav1.Time` and `apis.VolatileTime`.
    Time,
    IntOrString,
    /// Tekton's `ParamValue`.
    ParamValue,
    /// `runtime.RawExtension` and `metav1.FieldsV1`: JSON text.
    Raw,
    /// The struct at this position of the schema.
    Struct(usize),
    List(Box<Kind>),
    Map(Box<Kind>),
}

impl Schema {
    /// The tables of this program.
    pub(crate) fn get() -> &'static Self {
        static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::parse(TABLES));
        &SCHEMA
    }

    /// The struct at `id`.
    pub(crate) fn at(&self, id: usize) -> &Struct {
        &self.structs[id]
    }

    /// The struct of this name.
    #[cfg(test)]
    pub(crate) fn named(&self, name: &str) -> Option<&Struct> {
        self.structs.iter().find(|one| one.name == name)
    }

    fn parse(tables: &'static str) -> Self {
        let ids: HashMap<&str, usize> = tables
            .lines()
            .filter_map(|line| line.strip_prefix("struct "))
            .enumerate()
            .map(|(id, name)| (name, id))
            .collect();
        let mut structs: Vec<Struct> = Vec::with_capacity(ids.len());
        let lines = tables
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            if let Some(name) = line.strip_prefix("struct ") {
                structs.push(Struct {
                    name,
                    is_result: RESULTS.contains(&name),
                    ..Struct::default()
                });
                continue;
            }
            let current = structs
                .last_mut()
                .expect("a struct comes before its fields");
            current.fields.push(Field::parse(line, &ids));
        }
        for one in &mut structs {
            let count = u16::try_from(one.fields.len()).expect("no struct has that many fields");
            one.by_name = (0..count).collect();
            one.by_name
                .sort_unstable_by_key(|&at| one.fields[usize::from(at)].name);
            one.by_hash = vec![None; 2 * one.fields.len().next_power_of_two()];
            for at in 0..count {
                let place = one.place(one.fields[usize::from(at)].name);
                one.by_hash[place] = Some(at);
            }
        }
        let id = |name| *ids.get(name).expect("the tables begin with the two runs");
        Self {
            task_run: id("tekton.TaskRun"),
            pipeline_run: id("tekton.PipelineRun"),
            structs,
        }
    }
}

impl Struct {
    /// Position of the field with this key.
    pub(crate) fn position(&self, key: &str) -> Option<u16> {
        self.by_hash[self.place(key)]
    }

    /// Where the field with this key stands in `by_hash`, or would. Every field of every document is looked up here, so it must be quick;
    /// the keys are not chosen by anyone hostile, and a strange key is at worst compared with all of a struct.
    fn place(&self, key: &str) -> usize {
        let bytes = key.as_bytes();
        let byte = |at: usize| usize::from(bytes.get(at).copied().unwrap_or(0));
        let hash = bytes.len() * 5
            + byte(0) * 3
            + byte(bytes.len() / 2) * 17
            + byte(bytes.len().wrapping_sub(1)) * 7;
        let mask = self.by_hash.len() - 1;
        let mut place = hash & mask;
        while let Some(at) = self.by_hash[place]
            && self.field(at).name != key
        {
            place = (place + 1) & mask;
        }
        place
    }

    /// The field at this position.
    pub(crate) fn field(&self, at: u16) -> &Field {
        &self.fields[usize::from(at)]
    }
}

impl Field {
    fn parse(line: &'static str, ids: &HashMap<&str, usize>) -> Self {
        let mut words = line.split_whitespace();
        let (Some(name), Some(kind), Some(emit), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            panic!("not a field of the tables: {line:?}");
        };
        let pointed = kind.strip_prefix('*');
        Self {
            name,
            is_pointer: pointed.is_some(),
            kind: Kind::parse(pointed.unwrap_or(kind), ids),
            emit: match emit {
                "always" => Emit::Always,
                "omit" => Emit::NotEmpty,
                "omitzero" => Emit::NotZero,
                _ => panic!("not a rule of the tables: {line:?}"),
            },
        }
    }
}

impl Kind {
    fn parse(text: &str, ids: &HashMap<&str, usize>) -> Self {
        if let Some(element) = text.strip_prefix("[]") {
            return Self::List(Box::new(Self::parse(element, ids)));
        }
        if let Some(element) = text.strip_prefix("map[string]") {
            return Self::Map(Box::new(Self::parse(element, ids)));
        }
        match text {
            "string" => Self::String,
            "bool" => Self::Bool,
            "int" | "int64" => Self::Int(64),
            "int32" => Self::Int(32),
            "Quantity" => Self::Quantity,
            "Duration" => Self::Duration,
            "Time" | "VolatileTime" => Self::Time,
            "IntOrString" => Self::IntOrString,
            "ParamValue" => Self::ParamValue,
            "RawExtension" | "FieldsV1" => Self::Raw,
            name => Self::Struct(
                *ids.get(name)
                    .unwrap_or_else(|| panic!("no table of {name}")),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_whole() {
        let schema = Schema::get();
        assert!(schema.structs.len() > 150, "{}", schema.structs.len());
        let spec = schema.named("tekton.TaskRunSpec").expect("in the tables");
        let at = spec.position("serviceAccountName").expect("in the table");
        assert_eq!(spec.field(at).emit, Emit::Always);
        assert!(spec.position("serviceaccountname").is_none());
        assert!(spec.position("").is_none());
        assert_eq!(
            schema.structs.iter().filter(|one| one.is_result).count(),
            RESULTS.len()
        );
        for one in &schema.structs {
            assert!(one.fields.len() <= MOST_FIELDS, "{}", one.name);
            for (field, at) in one.fields.iter().zip(0..) {
                assert_eq!(
                    one.position(field.name),
                    Some(at),
                    "{} {}",
                    one.name,
                    field.name
                );
            }
        }
    }
}

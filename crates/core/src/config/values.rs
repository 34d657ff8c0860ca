//! How the text of a value is read: Chains' rules for each type of value.
//!
//! Each reader puts what it read into `target`, and leaves `target` alone where it objects.

use std::collections::BTreeSet;

use super::settings::{Encoding, Secret, Storage, TagIdentity, Upload};
use super::{Reason, formats};
use crate::format::Format;
use crate::layout::Layout;
use crate::patterns::NamePatterns;

/// A closed set of values, each with its name in a configuration.
pub trait Choice: Copy + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// The name, as it stands in the configuration.
    fn name(self) -> &'static str;
}

/// Why a value was not taken.
pub(super) enum Objection {
    /// It is an error.
    Refused(Reason),
    /// Chains passes over it in silence, and the default stays. Holds what would have been taken.
    Ignored(&'static str),
}

/// Any text.
pub(super) fn text(target: &mut String, value: &str) -> Result<(), Objection> {
    value.clone_into(target);
    Ok(())
}

/// Any text, where the empty one differs from none.
pub(super) fn optional(target: &mut Option<String>, value: &str) -> Result<(), Objection> {
    *target = Some(value.to_owned());
    Ok(())
}

/// Any text that must not be told.
pub(super) fn secret(target: &mut Secret, value: &str) -> Result<(), Objection> {
    *target = Secret::new(value);
    Ok(())
}

/// A boolean as Go's `strconv.ParseBool` takes it.
pub(super) fn boolean(target: &mut bool, value: &str) -> Result<(), Objection> {
    *target = match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => true,
        "0" | "f" | "F" | "FALSE" | "false" | "False" => false,
        _ => return Err(Objection::Ignored("true or false")),
    };
    Ok(())
}

/// A boolean, of whether names with tags are signed.
pub(super) fn tag_identity(target: &mut TagIdentity, value: &str) -> Result<(), Objection> {
    let mut is_on = false;
    boolean(&mut is_on, value)?;
    *target = match is_on {
        true => TagIdentity::On,
        false => TagIdentity::Off,
    };
    Ok(())
}

/// One of a closed set, by its exact name.
pub(super) fn choice<T: Choice>(target: &mut T, value: &str) -> Result<(), Objection> {
    *target = one_of(value, T::ALL)?;
    Ok(())
}

/// One of a closed set, unset by default.
pub(super) fn choice_or_unset<T: Choice>(
    target: &mut Option<T>,
    value: &str,
) -> Result<(), Objection> {
    *target = Some(one_of(value, T::ALL)?);
    Ok(())
}

/// The one value that there is.
pub(super) fn only(allowed: &'static str, value: &str) -> Result<(), Objection> {
    if value == allowed {
        return Ok(());
    }
    Err(not_one_of(value, vec![allowed]))
}

/// A set of some of the storages; the empty text is the empty set, an empty piece is refused.
pub(super) fn storages(
    target: &mut BTreeSet<Storage>,
    allowed: &[Storage],
    value: &str,
) -> Result<(), Objection> {
    let read = if value.is_empty() {
        BTreeSet::new()
    } else {
        value
            .split(',')
            .map(|piece| one_of(piece.trim(), allowed))
            .collect::<Result<_, _>>()?
    };
    *target = read;
    Ok(())
}

/// One of Chains' encodings, or a comma list of both.
pub(super) fn encodings(target: &mut Layout, value: &str) -> Result<(), Objection> {
    let Some((first, rest)) = value.split_once(',') else {
        *target = one_of(value, Encoding::ALL)?.layout();
        return Ok(());
    };
    let first = one_of(first.trim(), Encoding::ALL)?;
    let mut layout = first.layout();
    for piece in rest.split(',') {
        if one_of(piece.trim(), Encoding::ALL)? != first {
            layout = Layout::Both;
        }
    }
    *target = layout;
    Ok(())
}

/// Texts with commas between them; empty ones count for nothing.
pub(super) fn list(target: &mut Vec<String>, value: &str) -> Result<(), Objection> {
    let pieces = value.split(',').map(str::trim);
    *target = pieces
        .filter(|piece| !piece.is_empty())
        .map(str::to_owned)
        .collect();
    Ok(())
}

/// A set of any texts, also the empty one.
pub(super) fn free_set(target: &mut BTreeSet<String>, value: &str) -> Result<(), Objection> {
    *target = value
        .split(',')
        .map(|piece| piece.trim().to_owned())
        .collect();
    Ok(())
}

/// A format of Chains, or a comma list of them.
pub(super) fn format_list(target: &mut Vec<Format>, value: &str) -> Result<(), Objection> {
    *target = formats(value).map_err(|error| Objection::Refused(Reason::Format(error)))?;
    Ok(())
}

/// Exactly `true` or `manual`. Anything else is off, which is told unless it looks meant.
pub(super) fn upload(target: &mut Upload, value: &str) -> Result<(), Objection> {
    *target = match value {
        "true" => Upload::Always,
        "manual" => Upload::Manual,
        "false" | "" => Upload::Off,
        _ => return Err(Objection::Ignored("true, manual or false")),
    };
    Ok(())
}

/// A comma list of name patterns.
pub(super) fn patterns(target: &mut NamePatterns, value: &str) -> Result<(), Objection> {
    *target =
        NamePatterns::parse(value).map_err(|error| Objection::Refused(Reason::Patterns(error)))?;
    Ok(())
}

fn one_of<T: Choice>(value: &str, allowed: &[T]) -> Result<T, Objection> {
    allowed
        .iter()
        .copied()
        .find(|choice| choice.name() == value)
        .ok_or_else(|| not_one_of(value, allowed.iter().map(|choice| choice.name()).collect()))
}

fn not_one_of(value: &str, allowed: Vec<&'static str>) -> Objection {
    Objection::Refused(Reason::NotOneOf {
        value: value.to_owned(),
        allowed,
    })
}

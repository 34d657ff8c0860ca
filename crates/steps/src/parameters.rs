//! Parameters of Tasks as texts: Tekton substitutes every parameter, also those that nobody gave, so an empty text means the same as an
//! absent one, and a number or a switch comes as text that must be read.

use std::str::FromStr;
use std::time::Duration;

use anyhow::anyhow;

use crate::Failure;

/// Format of a manifest, the parameter FORMAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Oci,
    Docker,
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "oci" => Ok(Self::Oci),
            "docker" => Ok(Self::Docker),
            _ => Err("oci or docker"),
        }
    }
}

/// A parameter that is there and not empty.
pub(crate) fn given(value: &Option<String>) -> Option<&str> {
    value
        .as_deref()
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

/// The failure of a parameter with a value that it cannot have.
pub(crate) fn wrong(name: &str, value: &str, wanted: &str) -> Failure {
    Failure::misuse(anyhow!("{name} is {value:?}")).hint(format!("{name} must be {wanted}"))
}

/// A parameter with one of several names; the error of its type says which.
pub(crate) fn named<T: FromStr<Err = &'static str>>(
    name: &str,
    value: Option<&str>,
    default: &str,
) -> Result<T, Failure> {
    let value = value.unwrap_or(default);
    value.parse().map_err(|wanted| wrong(name, value, wanted))
}

/// A parameter that is `true` or `false`.
pub(crate) fn switch(name: &str, value: &Option<String>, default: bool) -> Result<bool, Failure> {
    match given(value) {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(wrong(name, other, "true or false")),
    }
}

/// The value of a parameter with two names: that of the stronger one, if it is given.
pub(crate) fn either<'a>(
    stronger: &'a Option<String>,
    weaker: &'a Option<String>,
) -> &'a Option<String> {
    match given(stronger) {
        Some(_) => stronger,
        None => weaker,
    }
}

/// `10m`, `1h30m`, `90s`, or seconds alone.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => text.parse::<jiff::SignedDuration>().ok()?.try_into().ok(),
    }
}

//! PKCS#11 URIs (RFC 7512): which token, which key, and where module and PIN are.
//!
//! `pkcs11:token=T;object=K?module-path=/usr/lib/m.so&pin-source=file:/run/pin`. In a key reference the scheme stands in front of it already. Like
//! cosign this wants `token` (or another attribute of the token) or `slot-id`, and `id` or `object`; unlike cosign it refuses what it does not know,
//! for an attribute that is passed over may be one that tells two keys apart.

use std::fmt;
use std::path::PathBuf;

use tekseal_signing::Zeroizing;
use tekseal_signing::key_ref::percent_decoded;

use crate::error::Error;

/// A token, a key in it, and how to get there.
#[derive(Default)]
pub(crate) struct Uri {
    pub(crate) token: TokenName,
    pub(crate) key: KeyName,
    pub(crate) module: Option<PathBuf>,
    pub(crate) pin: Pin,
}

/// What is known of the token; all of it must be so.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenName {
    pub(crate) label: Option<String>,
    pub(crate) manufacturer: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) serial: Option<String>,
    pub(crate) slot: Option<u64>,
}

/// What is known of the key.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyName {
    /// CKA_LABEL.
    pub(crate) label: Option<Vec<u8>>,
    /// CKA_ID.
    pub(crate) id: Option<Vec<u8>>,
}

/// Where the PIN is, besides COSIGN_PKCS11_PIN.
#[derive(Default)]
pub(crate) enum Pin {
    /// Nowhere else.
    #[default]
    Elsewhere,
    /// In the URI, where everybody reads it.
    Here(Zeroizing<String>),
    /// In this file.
    File(PathBuf),
}

impl Uri {
    /// Reads a URI, with or without its scheme.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let text = text.strip_prefix("pkcs11:").unwrap_or(text);
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let mut uri = Self::default();
        for (name, value) in attributes(path, &[';'])? {
            let text = || as_text(name, &value);
            match name {
                "token" => once(name, &mut uri.token.label, text()?)?,
                "manufacturer" => once(name, &mut uri.token.manufacturer, text()?)?,
                "model" => once(name, &mut uri.token.model, text()?)?,
                "serial" => once(name, &mut uri.token.serial, text()?)?,
                "slot-id" => {
                    let slot = text()?.parse();
                    let slot = slot.map_err(|_| {
                        wrong(format!("slot-id {:?} is no number", as_shown(&value)))
                    })?;
                    once(name, &mut uri.token.slot, slot)?;
                }
                "object" => once(name, &mut uri.key.label, value)?,
                "id" => once(name, &mut uri.key.id, value)?,
                // Both halves are meant anyway.
                "type" if matches!(&*value, b"private" | b"public") => {}
                _ => {
                    return Err(wrong(format!(
                        "the attribute {name:?} is not known, or not with this value"
                    )));
                }
            }
        }
        // cosign separates these by semicolons too; no value may have one.
        for (name, value) in attributes(query, &['&', ';'])? {
            let pin = match name {
                "module-path" => {
                    let path = PathBuf::from(as_text(name, &value)?);
                    once(name, &mut uri.module, path)?;
                    continue;
                }
                "pin-value" => Pin::Here(Zeroizing::new(as_text(name, &value)?)),
                "pin-source" => Pin::File(pin_file(&as_text(name, &value)?)?),
                // A bound of cosign's library; here there is one session.
                "max-sessions" => continue,
                _ => return Err(wrong(format!("the attribute {name:?} is not known"))),
            };
            if !matches!(uri.pin, Pin::Elsewhere) {
                return Err(wrong("it says twice where the PIN is".to_owned()));
            }
            uri.pin = pin;
        }
        if uri.token == TokenName::default() {
            return Err(wrong("it names no token; give token or slot-id".to_owned()));
        }
        if uri.key == KeyName::default() {
            return Err(wrong("it names no key; give object or id".to_owned()));
        }
        Ok(uri)
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut word = "with";
        for (name, value) in [
            ("label", &self.label),
            ("manufacturer", &self.manufacturer),
            ("model", &self.model),
            ("serial number", &self.serial),
        ] {
            if let Some(value) = value {
                write!(f, "{word} the {name} {value:?}")?;
                word = " and";
            }
        }
        match self.slot {
            Some(slot) if word == "with" => write!(f, "in slot {slot}"),
            Some(slot) => write!(f, " in slot {slot}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.label, &self.id) {
            (Some(label), None) => write!(f, "with the label {:?}", as_shown(label)),
            (None, Some(id)) => write!(f, "with the id {}", as_hex(id)),
            (Some(label), Some(id)) => write!(
                f,
                "with the label {:?} and the id {}",
                as_shown(label),
                as_hex(id)
            ),
            (None, None) => Ok(()),
        }
    }
}

fn wrong(what: String) -> Error {
    Error::Uri(what)
}

/// Names, and values without percent signs.
fn attributes<'a>(text: &'a str, separators: &[char]) -> Result<Vec<(&'a str, Vec<u8>)>, Error> {
    text.split(separators)
        .filter(|attribute| !attribute.is_empty())
        .map(|attribute| {
            // A value without its name may be a PIN.
            let (name, value) = attribute
                .split_once('=')
                .ok_or_else(|| wrong("a part of it is not of the form NAME=VALUE".to_owned()))?;
            let value = percent_decoded(value);
            let value = value.filter(|value| !value.is_empty()).ok_or_else(|| {
                wrong(format!(
                    "the value of {name:?} is empty, or has a % without two hexadecimal digits"
                ))
            })?;
            Ok((name, value))
        })
        .collect()
}

fn once<T>(name: &str, place: &mut Option<T>, value: T) -> Result<(), Error> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(wrong(format!("{name:?} stands in it twice"))),
    }
}

fn as_text(name: &str, value: &[u8]) -> Result<String, Error> {
    let text = std::str::from_utf8(value).ok();
    let text = text.filter(|text| !text.contains('\0'));
    text.map(str::to_owned)
        .ok_or_else(|| wrong(format!("the value of {name:?} is no text")))
}

/// RFC 7512 leaves open what a source is; a program (`|program`) is none here.
fn pin_file(source: &str) -> Result<PathBuf, Error> {
    let path = match source.split_once(':') {
        Some(("file", path)) => path.strip_prefix("//").unwrap_or(path),
        _ => source,
    };
    match path.starts_with('/') {
        true => Ok(PathBuf::from(path)),
        false => Err(wrong(
            "pin-source is no absolute path, such as file:/run/secrets/pin".to_owned(),
        )),
    }
}

fn as_shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn as_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_a_key_a_module_and_a_pin_are_read() {
        for text in [
            "token=My%20token;slot-id=7;id=%01%ff;object=a&b?module-path=/usr/lib/m.so&pin-source=file:/run/pin",
            "pkcs11:token=My token;slot-id=7;id=%01%FF;object=a&b?pin-source=/run/pin;module-path=%2Fusr%2Flib%2Fm.so",
            "object=a&b;id=%01%ff;slot-id=7;token=My%20token;type=private?module-path=/usr/lib/m.so&pin-source=file:///run/pin&max-sessions=4",
        ] {
            let uri = Uri::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(uri.token.label.as_deref(), Some("My token"), "{text}");
            assert_eq!(uri.token.slot, Some(7));
            assert_eq!(uri.key.label.as_deref(), Some(&b"a&b"[..]));
            assert_eq!(uri.key.id.as_deref(), Some(&[1, 255][..]));
            assert_eq!(uri.module, Some(PathBuf::from("/usr/lib/m.so")));
            assert!(matches!(uri.pin, Pin::File(path) if path == *"/run/pin"));
            assert_eq!(
                format!("{} | {}", uri.token, uri.key),
                r#"with the label "My token" in slot 7 | with the label "a&b" and the id 01ff"#
            );
        }
        let uri = Uri::parse("serial=12;id=%00?pin-value=12%2634").expect("it is one");
        assert!(matches!(uri.pin, Pin::Here(pin) if *pin == "12&34"));
        assert_eq!(uri.token.to_string(), r#"with the serial number "12""#);
    }

    #[test]
    fn what_is_not_understood_is_refused_and_no_pin_is_shown() {
        for (text, why) in [
            ("", "names no token"),
            ("object=k", "names no token"),
            ("token=t", "names no key"),
            ("token=t;object=", "is empty"),
            ("token=t;object=%4", "is empty, or has a %"),
            ("token=t;object=%zz", "is empty, or has a %"),
            ("token=t;token=u;object=k", "twice"),
            ("token=t;objekt=k;object=k", r#""objekt""#),
            ("token=t;object=k;type=cert", r#""type""#),
            ("token=%ff;object=k", "no text"),
            ("slot-id=one;object=k", "no number"),
            ("slot-id=-1;object=k", "no number"),
            ("token=t;object=k?pin-source=|program", "no absolute path"),
            ("token=t;object=k?pin-source=pin", "no absolute path"),
            ("token=t;object=k?pin-value=1&pin-source=/p", "twice"),
            ("token=t;object=k?pin-value=12%%34", "pin-value"),
            ("token=t;object=k?1234", "NAME=VALUE"),
            ("token=t;object=k?pin=1234", r#""pin""#),
            ("//token=t;object=k", "token"),
        ] {
            let error = Uri::parse(text)
                .err()
                .unwrap_or_else(|| panic!("{text} is refused"));
            let error = error.to_string();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("1234") && !error.contains("34"), "{error}");
        }
    }
}

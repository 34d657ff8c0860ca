//! Texts as Go reads and writes them: what was written is read again and stays as it is, and JSON says the same before and after.

#![no_main]

use std::str;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;
use tekseal_core::gojson::{self, Escape};
use tekseal_core::time::Time;
use tekseal_core::{duration, quantity};

fuzz_target!(|data: &[u8]| {
    if let Ok(bits) = data.try_into().map(u64::from_le_bytes) {
        check_float(f64::from_bits(bits));
    }
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    check_quantity(text);
    check_duration(text);
    check_time(text);
    check_string(text);
    if let Ok(float) = text.parse() {
        check_float(float);
    }
    if let Ok(raw) = serde_json::from_str::<&RawValue>(text) {
        check_raw(raw.get());
        check_struct(raw.get());
    }
});

fn check_quantity(text: &str) {
    let Ok(once) = quantity::canonical_json(text) else {
        return;
    };
    assert!(!once.contains(['"', '\\', ' ']), "{once} is no quantity");
    assert_eq!(
        quantity::canonical_json(&format!("\"{once}\"")),
        quantity::canonical(&once)
    );
    let twice = quantity::canonical(&once).expect("what was written is read");
    // With a binary suffix Kubernetes itself needs two rounds: 244140625000000 is what it makes of a part of 1Ei, and 244140625M of that.
    if !text.contains('i') {
        assert_eq!(once, twice);
    }
    assert_eq!(quantity::canonical(&twice).as_ref(), Ok(&twice));
}

fn check_duration(text: &str) {
    if let Ok(once) = duration::canonical(text) {
        assert_eq!(duration::canonical(&once), Ok(once));
    }
}

fn check_time(text: &str) {
    let Ok(time) = Time::parse(text) else {
        return;
    };
    for written in [time.to_rfc3339_nano(), time.to_protojson()] {
        let Ok(written) = written else {
            continue;
        };
        assert_eq!(Time::parse(&written), Ok(time));
    }
    let Some(whole) = time.to_kubernetes() else {
        assert_eq!(time, Time::ZERO);
        return;
    };
    // Years outside of 0 to 9999 are written here, and refused only where a payload must have the time.
    let Ok(cut) = Time::parse(&whole) else {
        assert!(time.to_rfc3339_nano().is_err());
        return;
    };
    assert!(cut <= time);
    assert_eq!(cut.to_kubernetes().unwrap_or(whole.clone()), whole);
}

fn check_string(text: &str) {
    for (escape, plain) in [
        (Escape::Go, gojson::to_vec(text)),
        (Escape::Proto, gojson::to_vec_protojson(text)),
    ] {
        let mut json = Vec::new();
        gojson::write_string(&mut json, text, escape);
        assert_eq!(json, plain, "both writers escape alike");
        assert_eq!(
            serde_json::from_slice::<String>(&json).ok().as_deref(),
            Some(text)
        );
        if escape == Escape::Go {
            assert!(!is_in_html(&json));
        }
    }
}

fn check_float(value: f64) {
    if !value.is_finite() {
        return;
    }
    let mut json = Vec::new();
    gojson::write_f64(&mut json, value);
    let text = str::from_utf8(&json).expect("a number is ASCII");
    assert_eq!(text.parse().map(f64::to_bits), Ok(value.to_bits()));
    assert!(serde_json::from_str::<&RawValue>(text).is_ok());
}

/// What `encoding/json` carries without looking inside.
fn check_raw(raw: &str) {
    let mut once = b"before".to_vec();
    gojson::write_raw(&mut once, raw);
    let once = str::from_utf8(&once[6..]).expect("text in, text out");
    let mut again = Vec::new();
    gojson::write_raw(&mut again, once);
    assert_eq!(once.as_bytes(), again);
    assert!(!is_in_html(once.as_bytes()));
    assert_eq!(value(raw), value(once));
}

/// What passes through a protobuf Struct.
fn check_struct(raw: &str) {
    let mut once = b"before".to_vec();
    if gojson::write_struct(&mut once, raw).is_err() {
        assert_eq!(once, b"before");
        return;
    }
    let once = str::from_utf8(&once[6..]).expect("text in, text out");
    let mut again = Vec::new();
    assert_eq!(gojson::write_struct(&mut again, once), Ok(()));
    assert_eq!(once.as_bytes(), again);
    // serde_json reads one level less.
    let (Some(before), Some(after)) = (value(raw), value(once)) else {
        return;
    };
    assert!(is_same(&before, &after), "{before} {after}");
}

/// The JSON as a tree; none where it has no single meaning, or nests deeper than serde_json reads.
fn value(json: &str) -> Option<Value> {
    serde_json::from_str(json).ok()
}

/// Equal, with numbers as 64-bit floats. serde_json may miss the nearest one by some bits; `check_float` is exact.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else {
                return false;
            };
            (a - b).abs() <= a.abs() * 1e-12 + f64::MIN_POSITIVE || a == b
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| is_same(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Whether a browser could take a part of it for more than text.
fn is_in_html(json: &[u8]) -> bool {
    let text = str::from_utf8(json).expect("JSON is text");
    text.contains(['<', '>', '&', '\u{2028}', '\u{2029}'])
}

//! Forms and queries (`application/x-www-form-urlencoded`).

use std::collections::BTreeMap;

/// The pairs of a form; the last one of a name counts.
pub(super) fn pairs(text: &str) -> BTreeMap<String, String> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                let digits = String::from_utf8(digits).expect("hex digits");
                u8::from_str_radix(&digits, 16).expect("hex digits")
            }
            byte => byte,
        });
    }
    String::from_utf8(out).expect("forms are UTF-8")
}

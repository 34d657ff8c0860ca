//! Percent encoding, RFC 3986 section 2.1: a text as one segment of a path, or one value of a query or a form.

use zeroize::Zeroizing;

/// Everything but letters, digits and `-._~` as a code.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut all = String::new();
    push(&mut all, text);
    all
}

/// The same of a secret: nothing of it is left behind.
#[must_use]
pub fn encoded_secret(text: &str) -> Zeroizing<String> {
    // As large as it may become.
    let mut all = Zeroizing::new(String::with_capacity(text.len() * 3));
    push(&mut all, text);
    all
}

fn push(all: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            all.push(char::from(byte));
        } else {
            all.push('%');
            all.push(char::from(HEX[usize::from(byte >> 4)]));
            all.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_what_rfc_3986_reserves_for_nothing_is_a_code() {
        let (text, code) = ("a b@c/ü%\u{1}~+-._Z9", "a%20b%40c%2F%C3%BC%25%01~%2B-._Z9");
        assert_eq!(encoded(text), code);
        assert_eq!(encoded_secret(text).as_str(), code);
        assert_eq!(encoded(""), "");
    }
}

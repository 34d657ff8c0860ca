//! Quantities of resources, as Kubernetes rewrites them: `0.5` is `500m`, `1024Mi` is `1Gi`, `0.1Gi` is `107374182400m`.
//!
//! The Go type keeps the text of a number that looks canonical to it, counts others in an int64 or an arbitrary decimal, and writes
//! those with the largest suffix that leaves no fraction. What it does by accident is part of what was signed and is done here too:
//! `+1` and `1.500` stay, `-` is `0`, and `1000E` is `1`, since there is no suffix beyond `E`.
//! There is no limit to the digits of a quantity, and none are counted one by one that do not matter.
//!
//! Specification: <https://pkg.go.dev/k8s.io/apimachinery/pkg/api/resource#Quantity>; its code is the reference, its words are not.

use std::borrow::Cow;

use crate::excerpt::Excerpt;

/// Why a text is no quantity.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Empty, or something after the suffix.
    #[error("quantity {0} is not a number with a suffix")]
    Format(Excerpt),
    /// A suffix without a digit before it.
    #[error("quantity {0} has no digits")]
    Number(Excerpt),
    /// Not one of the suffixes.
    #[error(
        "quantity {0} has an unknown suffix, wanted one of n, u, m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei or an exponent"
    )]
    Suffix(Excerpt),
}

/// What becomes of a quantity that was read and written again.
///
/// # Errors
/// If Kubernetes would not read it.
pub fn canonical(text: &str) -> Result<Cow<'_, str>, Error> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::Format(Excerpt::of(text)));
    }
    if text == "0" {
        return Ok(Cow::Borrowed(text));
    }
    let parts = Parts::split(text).ok_or_else(|| Error::Format(Excerpt::of(text)))?;
    let suffix = Suffix::read(parts.suffix).ok_or_else(|| Error::Suffix(Excerpt::of(text)))?;
    let is_small = suffix.is_counted_in_int64(&parts);
    if is_small && suffix.keeps_the_text(&parts) {
        return Ok(Cow::Borrowed(text));
    }
    // Only the arbitrary decimal asks for a digit; the int64 takes none for zero.
    if !is_small && !parts.value.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(Error::Number(Excerpt::of(text)));
    }
    Ok(Cow::Owned(match suffix {
        Suffix::Decimal { exponent, style } => parts.decimal(parts.scale(exponent), style),
        Suffix::Binary { exponent } => parts.binary(exponent),
    }))
}

/// The same for a JSON value as Kubernetes sees it: a string without its quotes (and with its escapes, which no quantity has),
/// a number, or `null`, which is zero. The result has no quotes; it is written with them.
///
/// # Errors
/// If Kubernetes would not read it.
pub fn canonical_json(raw: &str) -> Result<Cow<'_, str>, Error> {
    if raw == "null" {
        return Ok(Cow::Borrowed("0"));
    }
    let unquoted = raw
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    canonical(unquoted.unwrap_or(raw))
}

/// How the powers of ten of a number are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// `n` to `E`.
    Letter,
    /// `e3`.
    Exponent,
}

/// What stands after the digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suffix {
    /// A power of 10.
    Decimal { exponent: i32, style: Style },
    /// A power of 2, from 10 to 60.
    Binary { exponent: u32 },
}

/// Powers of ten that have a letter.
const LETTERS: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

/// Powers of 1024 that have letters, from the first.
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// The smallest power of ten that is kept; what is below is rounded away from zero.
const NANO: i32 = -9;

/// Decimal digits that surely fit an int64.
const INT64_DIGITS: usize = 18;

/// The largest quantity with a binary suffix.
const MAX: u128 = i64::MAX as u128;

impl Suffix {
    fn read(text: &str) -> Option<Self> {
        if let Some((_, exponent)) = LETTERS.iter().find(|(letter, _)| *letter == text) {
            return Some(Self::Decimal {
                exponent: *exponent,
                style: Style::Letter,
            });
        }
        if let Some(at) = BINARY.iter().position(|letters| *letters == text) {
            let exponent = [10, 20, 30, 40, 50, 60][at];
            return Some(Self::Binary { exponent });
        }
        let exponent: i64 = text.strip_prefix(['e', 'E'])?.parse().ok()?;
        // Go keeps the low 32 bits, so 1e4294967296 counts as 1e0.
        let exponent = exponent as i32;
        Some(Self::Decimal {
            exponent,
            style: Style::Exponent,
        })
    }

    /// Whether Go takes its shorter way for small numbers.
    fn is_counted_in_int64(self, parts: &Parts<'_>) -> bool {
        match self {
            Self::Decimal { exponent, .. } => {
                parts.whole.len() + parts.fraction.len() <= INT64_DIGITS
                    && parts.scale(exponent) >= NANO
            }
            Self::Binary { exponent } => {
                let digits = match exponent {
                    10 => 11,
                    20 => 8,
                    30 => 5,
                    40 => 2,
                    _ => 0,
                };
                parts.fraction.is_empty() && parts.whole.len() <= digits
            }
        }
    }

    /// Whether a number counted in an int64 looks canonical to Go, which then keeps its text, sign, zeros and all.
    fn keeps_the_text(self, parts: &Parts<'_>) -> bool {
        match self {
            Self::Decimal { exponent, .. } => {
                let mut last = parts.whole.bytes().chain(parts.fraction.bytes()).rev();
                parts.scale(exponent) % 3 == 0
                    && !parts.whole.starts_with('0')
                    && !(0..3).all(|_| last.next() == Some(b'0'))
            }
            // A multiple of 8 might have one factor of 1024 more.
            Self::Binary { .. } => {
                let number: u64 = parts.whole.parse().unwrap_or(0);
                !number.is_multiple_of(8)
            }
        }
    }
}

/// A quantity, cut as Go cuts it.
struct Parts<'a> {
    is_negative: bool,
    /// Sign, digits and point.
    value: &'a str,
    /// Digits before the point without leading zeros, or `0`.
    whole: &'a str,
    /// Digits after the point.
    fraction: &'a str,
    suffix: &'a str,
}

impl<'a> Parts<'a> {
    /// `None` if something stands after the suffix. The suffix may still be nonsense, and there may be no digits.
    fn split(text: &'a str) -> Option<Self> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let after_zeros = unsigned.trim_start_matches('0');
        let (whole, mut rest) = digits(after_zeros);
        let mut fraction = "";
        if let Some(after_point) = rest.strip_prefix('.') {
            (fraction, rest) = digits(after_point);
        }
        let suffix = rest;
        let exponent = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if !digits(exponent).1.is_empty() {
            return None;
        }
        Some(Self {
            is_negative: text.starts_with('-'),
            value: &text[..text.len() - suffix.len()],
            whole: if whole.is_empty() { "0" } else { whole },
            fraction,
            suffix,
        })
    }

    /// The power of ten of the last digit, in the 32 bits in which Go counts it.
    fn scale(&self, exponent: i32) -> i32 {
        exponent.wrapping_sub(self.fraction.len() as i32)
    }

    fn decimal(&self, scale: i32, style: Style) -> String {
        let mut digits = Vec::with_capacity(self.whole.len() + self.fraction.len() + 3);
        digits.extend_from_slice(self.whole.as_bytes());
        digits.extend_from_slice(self.fraction.as_bytes());
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        if digits.is_empty() {
            return "0".to_owned();
        }
        if scale >= NANO {
            return self.signed(digits, scale, style);
        }
        let dropped = usize::try_from(scale.abs_diff(NANO)).unwrap_or(usize::MAX);
        let kept = digits.len().saturating_sub(dropped);
        let is_exact = dropped < digits.len() && digits[kept..].iter().all(|digit| *digit == b'0');
        digits.truncate(kept);
        if !is_exact {
            increment(&mut digits);
        }
        self.signed(digits, NANO, style)
    }

    fn binary(&self, exponent: u32) -> String {
        let whole = self.whole.parse().unwrap_or(u128::MAX);
        let (carry, nanos) = scale_fraction(self.fraction, exponent);
        let whole = whole
            .checked_mul(1 << exponent)
            .map_or(u128::MAX, |product| product.saturating_add(carry));
        let nanos = if whole > MAX {
            MAX * NANOS
        } else {
            (whole * NANOS + nanos).min(MAX * NANOS)
        };
        if nanos == 0 {
            return "0".to_owned();
        }
        if nanos < 1024 * NANOS || !nanos.is_multiple_of(NANOS) {
            return self.signed(nanos.to_string().into_bytes(), NANO, Style::Letter);
        }
        let mut number = nanos / NANOS;
        let mut suffix = "";
        for letters in BINARY {
            if !number.is_multiple_of(1024) {
                break;
            }
            number /= 1024;
            suffix = letters;
        }
        let sign = if self.is_negative { "-" } else { "" };
        format!("{sign}{number}{suffix}")
    }

    /// `digits` times 10 to the `scale`, which are not zero, with the largest suffix that leaves no fraction.
    fn signed(&self, mut digits: Vec<u8>, scale: i32, style: Style) -> String {
        let zeros = digits
            .iter()
            .rev()
            .take_while(|digit| **digit == b'0')
            .count();
        digits.truncate(digits.len() - zeros);
        let exponent = scale.wrapping_add(zeros as i32);
        let missing = match exponent % 3 {
            1 | -2 => 1,
            2 | -1 => 2,
            _ => 0,
        };
        let exponent = exponent.wrapping_sub(missing);
        let mut text = String::with_capacity(digits.len() + 16);
        if self.is_negative {
            text.push('-');
        }
        text.extend(digits.into_iter().map(char::from));
        text.extend((0..missing).map(|_| '0'));
        match style {
            Style::Letter => {
                let letter = LETTERS.iter().find(|(_, power)| *power == exponent);
                // Go looks the suffix up, finds none beyond E, and writes none.
                text.push_str(letter.map_or("", |(letter, _)| letter));
            }
            Style::Exponent if exponent == 0 => {}
            Style::Exponent => {
                text.push('e');
                text.push_str(&exponent.to_string());
            }
        }
        text
    }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// Adds one to a decimal number; nothing is zero.
fn increment(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit != b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
    digits.insert(0, b'1');
}

/// Parts of a unit that are kept.
const NANOS: u128 = 1_000_000_000;

/// Groups of nine digits. The product of more digits with 2^60 cannot be a whole number of nanos again unless those are zeros,
/// since 10^69 is the largest power of ten that divides 2^60 * 10^9 times a number that does not end in zero.
const GROUPS: usize = 8;

/// `0.fraction` times 2 to the `exponent`: the whole part, and nanos rounded up (so perhaps 10^9 of them).
fn scale_fraction(fraction: &str, exponent: u32) -> (u128, u128) {
    let mut groups = [0u64; GROUPS];
    let (counted, beyond) = fraction.split_at(fraction.len().min(9 * GROUPS));
    for (group, digits) in groups.iter_mut().zip(counted.as_bytes().chunks(9)) {
        for place in 0..9 {
            let digit = digits.get(place).map_or(0, |byte| u64::from(byte - b'0'));
            *group = *group * 10 + digit;
        }
    }
    let mut whole = 0u128;
    // In two steps, so that the product of a group fits 64 bits.
    for shift in [exponent / 2, exponent - exponent / 2] {
        let mut carry = 0u64;
        for group in groups.iter_mut().rev() {
            let product = (*group << shift) + carry;
            *group = product % 1_000_000_000;
            carry = product / 1_000_000_000;
        }
        whole = (whole << shift) + u128::from(carry);
    }
    let is_exact =
        groups[1..].iter().all(|group| *group == 0) && beyond.bytes().all(|digit| digit == b'0');
    (whole, u128::from(groups[0]) + u128::from(!is_exact))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::go_tables;

    #[test]
    fn quantities_become_what_kubernetes_makes_of_them() {
        go_tables::compare("quantities", |raw| canonical_json(raw).map(Cow::into_owned));
    }

    #[test]
    fn the_error_says_what_is_wrong() {
        assert!(matches!(canonical(""), Err(Error::Format(_))));
        assert!(matches!(canonical("1 Gi"), Err(Error::Format(_))));
        assert!(matches!(canonical("1GiB"), Err(Error::Format(_))));
        assert!(matches!(canonical("1gi"), Err(Error::Format(_))));
        assert!(matches!(canonical("1K"), Err(Error::Suffix(_))));
        assert!(matches!(canonical(".e-10"), Err(Error::Number(_))));
    }

    #[test]
    fn megabytes_of_digits_are_no_work() {
        let nines = "9".repeat(4_000_000);
        assert_eq!(canonical(&nines).as_deref(), Ok(nines.as_str()));
        let most = canonical(&format!("-{nines}.{nines}Ki")).map(Cow::into_owned);
        assert_eq!(most.as_deref(), Ok("-9223372036854775807"));
        assert_eq!(canonical(&format!("0.{nines}")).as_deref(), Ok("1"));
        assert_eq!(canonical(&format!("0.{nines}Ei")).as_deref(), Ok("1Ei"));
        assert_eq!(canonical(&format!("1e-{nines}")).map_err(|_| ()), Err(()));
        assert_eq!(canonical("12e-2147483648").as_deref(), Ok("1e-9"));
        let huge = "1234567890123456789e2147483640";
        assert_eq!(canonical(huge).as_deref(), Ok(huge));
    }

    proptest! {
        #![proptest_config(go_tables::fixed_cases())]

        #[test]
        fn a_canonical_quantity_stays(text in "[+-]?[0-9]{0,25}(\\.[0-9]{0,25})?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,3})?") {
            if let Ok(once) = canonical(&text) {
                prop_assert_eq!(canonical(&once), Ok(Cow::Borrowed(once.as_ref())));
            }
        }

        #[test]
        fn no_text_is_too_odd(text in any::<String>(), near in "[-+0-9.eEinumkKMGTP \"]{0,40}") {
            let _ = canonical_json(&text);
            if let Ok(once) = canonical_json(&near) {
                prop_assert_eq!(canonical(&once), Ok(Cow::Borrowed(once.as_ref())));
            }
        }
    }
}

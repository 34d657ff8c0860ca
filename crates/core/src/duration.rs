//! Durations as Go's `time.Duration` reads and writes them, which is how `metav1.Duration` rewrites every timeout of a run.
//!
//! Specification: <https://pkg.go.dev/time#ParseDuration> and <https://pkg.go.dev/time#Duration.String>.

use std::fmt::Write as _;
use std::time::Duration;

use crate::excerpt::Excerpt;

/// Why a text is no duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// No number where one must stand, or more than 2^63 nanoseconds.
    #[error("duration {0} is no sequence of numbers with units, or beyond 292 years")]
    Invalid(Excerpt),
    /// Below zero, where that means nothing.
    #[error("duration {0} is negative")]
    Negative(Excerpt),
    /// A number without a unit.
    #[error("duration {0} has a number without a unit")]
    MissingUnit(Excerpt),
    /// Not one of Go's units.
    #[error("duration {text} has unit {unit}, wanted one of ns, us, ms, s, m, h")]
    UnknownUnit {
        /// The whole duration.
        text: Excerpt,
        /// What stands for a unit.
        unit: Excerpt,
    },
}

/// What becomes of a duration that was read and written again: `90m` is `1h30m0s`, and `0` is `0s`.
///
/// # Errors
/// If Go's `time.ParseDuration` would not read it.
pub fn canonical(text: &str) -> Result<String, Error> {
    parse(text).map(format)
}

/// A duration of zero or more, in the same form.
///
/// # Errors
/// If Go's `time.ParseDuration` would not read it, or it is negative.
pub fn span(text: &str) -> Result<Duration, Error> {
    let nanoseconds = parse(text)?;
    u64::try_from(nanoseconds)
        .map(Duration::from_nanos)
        .map_err(|_| Error::Negative(Excerpt::of(text)))
}

/// 2^63, the size of the most negative duration in nanoseconds.
const LIMIT: u64 = 1 << 63;

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000 * MICROSECOND;
const SECOND: u64 = 1_000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Nanoseconds.
fn parse(text: &str) -> Result<i64, Error> {
    let invalid = || Error::Invalid(Excerpt::of(text));
    let is_negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0u64;
    while !rest.is_empty() {
        let (term, after) = Term::read(rest).ok_or_else(invalid)?;
        let unit = match term.unit {
            "ns" => 1,
            // Micro sign U+00B5 and Greek letter mu U+03BC.
            "us" | "µs" | "μs" => MICROSECOND,
            "ms" => MILLISECOND,
            "s" => SECOND,
            "m" => MINUTE,
            "h" => HOUR,
            "" => return Err(Error::MissingUnit(Excerpt::of(text))),
            unknown => {
                return Err(Error::UnknownUnit {
                    text: Excerpt::of(text),
                    unit: Excerpt::of(unknown),
                });
            }
        };
        let nanoseconds = term.nanoseconds(unit).ok_or_else(invalid)?;
        // Both are at most 2^63; if both are exactly that, Go's sum wraps to nothing and is accepted.
        total = total.wrapping_add(nanoseconds);
        if total > LIMIT {
            return Err(invalid());
        }
        rest = after;
    }
    if is_negative {
        return Ok(0i64.wrapping_sub_unsigned(total));
    }
    i64::try_from(total).map_err(|_| invalid())
}

/// A number and its unit.
struct Term<'a> {
    whole: u64,
    fraction: u64,
    /// 10 to the number of digits in `fraction`.
    scale: f64,
    unit: &'a str,
}

impl<'a> Term<'a> {
    /// The first term of `text` and what follows it.
    fn read(text: &'a str) -> Option<(Self, &'a str)> {
        let (whole_digits, mut rest) = digits(text);
        let whole = whole(whole_digits)?;
        let mut fraction_digits = "";
        if let Some(after) = rest.strip_prefix('.') {
            (fraction_digits, rest) = digits(after);
        }
        if whole_digits.is_empty() && fraction_digits.is_empty() {
            return None;
        }
        let (fraction, scale) = fraction(fraction_digits);
        let end = rest
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(end);
        let term = Self {
            whole,
            fraction,
            scale,
            unit,
        };
        Some((term, rest))
    }

    /// At most 2^63. The fraction is computed in floats because Go does, and the last nanosecond depends on it.
    fn nanoseconds(&self, unit: u64) -> Option<u64> {
        if self.whole > LIMIT / unit {
            return None;
        }
        let fraction = self.fraction as f64 * (unit as f64 / self.scale);
        let sum = self.whole * unit + fraction as u64;
        (sum <= LIMIT).then_some(sum)
    }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// At most 2^63.
fn whole(digits: &str) -> Option<u64> {
    if digits.is_empty() {
        return Some(0);
    }
    digits.parse().ok().filter(|whole| *whole <= LIMIT)
}

/// The digits that fit, and 10 to their number; further digits are below a nanosecond and are dropped.
fn fraction(digits: &str) -> (u64, f64) {
    let mut fraction = 0u64;
    let mut scale = 1.0;
    for digit in digits.bytes() {
        if fraction > (LIMIT - 1) / 10 {
            break;
        }
        let longer = fraction * 10 + u64::from(digit - b'0');
        if longer > LIMIT {
            break;
        }
        fraction = longer;
        scale *= 10.0;
    }
    (fraction, scale)
}

fn format(nanoseconds: i64) -> String {
    let size = nanoseconds.unsigned_abs();
    let mut text = String::with_capacity(32);
    if nanoseconds < 0 {
        text.push('-');
    }
    match size {
        0 => text.push_str("0s"),
        1..MICROSECOND => write_decimal(&mut text, size, 1, "ns"),
        MICROSECOND..MILLISECOND => write_decimal(&mut text, size, MICROSECOND, "µs"),
        MILLISECOND..SECOND => write_decimal(&mut text, size, MILLISECOND, "ms"),
        SECOND.. => {
            let (hours, minutes) = (size / HOUR, size % HOUR / MINUTE);
            if hours > 0 {
                write!(text, "{hours}h").expect("a String takes any text");
            }
            if hours > 0 || minutes > 0 {
                write!(text, "{minutes}m").expect("a String takes any text");
            }
            write_decimal(&mut text, size % MINUTE, SECOND, "s");
        }
    }
    text
}

/// `size` counted in `unit`, a power of ten, without trailing zeros.
fn write_decimal(text: &mut String, size: u64, unit: u64, name: &str) {
    write!(text, "{}", size / unit).expect("a String takes any text");
    let mut fraction = size % unit;
    if fraction > 0 {
        text.push('.');
    }
    let mut place = unit;
    while fraction > 0 {
        place /= 10;
        let digit = u8::try_from(fraction / place).expect("the fraction is below ten places");
        text.push(char::from(b'0' + digit));
        fraction %= place;
    }
    text.push_str(name);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::go_tables;

    #[test]
    fn durations_become_what_go_makes_of_them() {
        go_tables::compare("durations", canonical);
    }

    #[test]
    fn the_error_says_what_is_wrong() {
        assert!(matches!(canonical(""), Err(Error::Invalid(_))));
        assert!(matches!(canonical("1h30"), Err(Error::MissingUnit(_))));
        assert!(matches!(canonical("1d"), Err(Error::UnknownUnit { .. })));
    }

    #[test]
    fn megabytes_are_no_work() {
        let long = "1ns".repeat(1_000_000);
        assert_eq!(canonical(&long).as_deref(), Ok("1ms"));
        let long = "0".repeat(4_000_000) + "." + &"9".repeat(4_000_000) + "s";
        assert_eq!(canonical(&long).as_deref(), Ok("1s"));
    }

    proptest! {
        #![proptest_config(go_tables::fixed_cases())]

        #[test]
        fn any_duration_is_read_back(nanoseconds in any::<i64>(), shift in 0..63) {
            let nanoseconds = nanoseconds >> shift;
            prop_assert_eq!(parse(&format(nanoseconds)), Ok(nanoseconds));
        }

        #[test]
        fn no_text_is_too_odd(text in any::<String>(), near in "[-+0-9.nuµμmsh]{0,40}") {
            let _ = canonical(&text);
            if let Ok(once) = canonical(&near) {
                prop_assert_eq!(canonical(&once), Ok(once));
            }
        }
    }
}

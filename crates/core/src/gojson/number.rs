//! Numbers, as both of Go's encoders write a float64.

use std::io::Write as _;

/// The shortest digits that read back as `value`; with an exponent below 1e-6 and from 1e21 on.
///
/// JSON has finite numbers only, and nothing that was read from JSON is anything else; `null` is written otherwise.
pub fn write_f64(out: &mut Vec<u8>, value: f64) {
    debug_assert!(value.is_finite(), "{value} is no JSON number");
    if !value.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    let is_negative_zero = value == 0.0 && value.is_sign_negative();
    if value.abs() < EXACT_INTEGERS && value.fract() == 0.0 && !is_negative_zero {
        write!(out, "{}", value as i64).expect("a Vec takes any byte");
        return;
    }
    let shortest = shortest(value);
    let (mantissa, exponent) = shortest
        .split_once('e')
        .expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent was just written");
    let mantissa = match mantissa.strip_prefix('-') {
        Some(mantissa) => {
            out.push(b'-');
            mantissa
        }
        None => mantissa,
    };
    if (-6..21).contains(&exponent) {
        write_positional(out, mantissa, exponent);
        return;
    }
    write!(out, "{mantissa}e{exponent:+}").expect("a Vec takes any byte");
}

/// 2^53: below, each integer is a float, and its digits are the shortest.
const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

/// `value` with the fewest digits that read back as it, and of those the nearest, as `d.ddde-d`.
///
/// Where two are equally near (960400509403099.25 between .2 and .3), Go takes the even one and Rust the larger. Rust does round
/// to even when the number of digits is given; that may fall outside of what reads back, next to a power of two.
fn shortest(value: f64) -> String {
    let shortest = format!("{value:e}");
    let digits = shortest
        .bytes()
        .take_while(|byte| *byte != b'e')
        .filter(u8::is_ascii_digit)
        .count();
    let even = format!("{value:.*e}", digits - 1);
    if even.parse() == Ok(value) {
        even
    } else {
        shortest
    }
}

/// `d.ddd` times 10 to the `exponent`, without an exponent.
fn write_positional(out: &mut Vec<u8>, mantissa: &str, exponent: i32) {
    let mut digits = mantissa.bytes().filter(u8::is_ascii_digit);
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend((exponent + 1..0).map(|_| b'0'));
        out.extend(digits);
        return;
    }
    out.extend((0..=exponent).map(|_| digits.next().unwrap_or(b'0')));
    if let Some(first) = digits.next() {
        out.extend([b'.', first]);
        out.extend(digits);
    }
}

/// An integer that became a float64 on its way, as all numbers in a protobuf Struct: 2^53 + 1 loses its last digit.
pub(crate) fn write_i64_as_f64(out: &mut Vec<u8>, value: i64) {
    write_f64(out, value as f64);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::go_tables;

    fn written(value: f64) -> String {
        let mut out = Vec::new();
        write_f64(&mut out, value);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn floats_are_written_as_go_does() {
        go_tables::compare("json-floats", |text| text.parse().map(written));
    }

    #[test]
    fn integers_lose_what_they_lose_in_a_struct() {
        let mut count = 0;
        for row in go_tables::rows("json-floats") {
            // Minus zero is no integer.
            let Ok(integer) = row.text.parse().map(|i: i64| i) else {
                continue;
            };
            if row.text == "-0" {
                continue;
            }
            let mut out = Vec::new();
            write_i64_as_f64(&mut out, integer);
            assert_eq!(Some(String::from_utf8_lossy(&out).into_owned()), row.out);
            count += 1;
        }
        assert!(count > 50, "only {count} integers");
    }

    proptest! {
        #![proptest_config(go_tables::fixed_cases())]

        #[test]
        fn a_float_is_read_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(written(value).parse::<f64>().map(f64::to_bits), Ok(bits));
        }
    }
}

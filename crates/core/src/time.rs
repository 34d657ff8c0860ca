//! Times as Go reads and writes them: `metav1.Time` in runs, `time.Time` and `google.protobuf.Timestamp` in payloads.
//!
//! Go's layout `time.RFC3339` reads more than RFC 3339 (hours of one digit, a comma before the fraction, offsets of 24:60) and less
//! (no lower-case `t` and `z`, no leap seconds), and an offset may move a time into the year -1 or 10000, which `jiff` has not.
//!
//! Specification: <https://pkg.go.dev/time#Parse>.

use std::fmt::Write as _;

use crate::excerpt::Excerpt;

/// Why a text is no time, or a time cannot be written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Not what Go reads with the layout `time.RFC3339`.
    #[error("{0} is not an RFC 3339 time")]
    Format(Excerpt),
    /// Its offset moves it out of the years that the format has.
    #[error("time {0} is out of the years that can be written")]
    Range(String),
}

/// A moment, to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Since 1970 in UTC; of a year from -1 to 10000.
    seconds: i64,
    nanoseconds: u32,
}

/// What becomes of a `metav1.Time` that was read and written again: UTC and whole seconds. `None` is `null`, for Go's zero time.
///
/// # Errors
/// If Go's `time.Parse` would not read it.
pub fn canonical(text: &str) -> Result<Option<String>, Error> {
    Time::parse(text).map(Time::to_kubernetes)
}

/// `0001-01-01T00:00:00Z`, Go's zero time and the first second of a protobuf timestamp.
const FIRST_SECOND: i64 = -62_135_596_800;

/// `9999-12-31T23:59:59Z`, the last second of a protobuf timestamp.
const LAST_SECOND: i64 = 253_402_300_799;

/// `0000-01-01T00:00:00Z`, the first second that Go's `time.Time` writes as JSON.
const FIRST_SECOND_OF_JSON: i64 = -62_167_219_200;

const SECONDS_PER_DAY: i64 = 86_400;

impl Time {
    /// Go's zero time.
    pub const ZERO: Self = Self {
        seconds: FIRST_SECOND,
        nanoseconds: 0,
    };

    /// Reads what Go reads with the layout `time.RFC3339`.
    ///
    /// # Errors
    /// If Go would not read it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Reader(text.as_bytes())
            .time()
            .ok_or_else(|| Error::Format(Excerpt::of(text)))
    }

    /// A whole second since 1970 in UTC.
    #[must_use]
    pub fn of_second(seconds: i64) -> Self {
        Self {
            seconds,
            nanoseconds: 0,
        }
    }

    /// The last whole second that is not after it, since 1970 in UTC.
    #[must_use]
    pub fn second_before(self) -> i64 {
        self.seconds
    }

    /// The first whole second that is not before it, since 1970 in UTC.
    #[must_use]
    pub fn second_after(self) -> i64 {
        self.seconds + i64::from(self.nanoseconds > 0)
    }

    /// As `metav1.Time` is written: whole seconds; `None`, which is `null`, for the zero time.
    #[must_use]
    pub fn to_kubernetes(self) -> Option<String> {
        let is_zero = self.seconds == FIRST_SECOND && self.nanoseconds == 0;
        (!is_zero).then(|| self.whole_seconds() + "Z")
    }

    /// As `time.Time` is written in SLSA v0.2 payloads: up to nine digits of a fraction, without trailing zeros.
    ///
    /// # Errors
    /// Outside the years 0 to 9999.
    pub fn to_rfc3339_nano(self) -> Result<String, Error> {
        let text = self.within(FIRST_SECOND_OF_JSON)?;
        let fraction = format!(".{:09}", self.nanoseconds);
        let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
        Ok(text + fraction + "Z")
    }

    /// As `google.protobuf.Timestamp` is written in SLSA v1 payloads: 0, 3, 6 or 9 digits of a fraction.
    ///
    /// # Errors
    /// Outside the years 1 to 9999.
    pub fn to_protojson(self) -> Result<String, Error> {
        let text = self.within(FIRST_SECOND)?;
        let fraction = match self.nanoseconds {
            0 => String::new(),
            n if n % 1_000_000 == 0 => format!(".{:03}", n / 1_000_000),
            n if n % 1_000 == 0 => format!(".{:06}", n / 1_000),
            n => format!(".{n:09}"),
        };
        Ok(text + &fraction + "Z")
    }

    fn within(self, first: i64) -> Result<String, Error> {
        let text = self.whole_seconds();
        if (first..=LAST_SECOND).contains(&self.seconds) {
            return Ok(text);
        }
        Err(Error::Range(text + "Z"))
    }

    /// Date and time of day in UTC, without `Z`.
    fn whole_seconds(self) -> String {
        let (year, month, day) = date(self.seconds.div_euclid(SECONDS_PER_DAY));
        let second = self.seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let mut text = String::with_capacity("2026-03-01T10:00:00.123456789Z".len());
        if year < 0 {
            text.push('-');
        }
        write!(
            text,
            "{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}",
            year.abs()
        )
        .expect("a String takes any text");
        text
    }
}

/// What is left of the text.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn time(mut self) -> Option<Time> {
        let year = i64::from(self.number(2)? * 100 + self.number(2)?);
        self.literal(b'-')?;
        let month = self.number(2).filter(|month| (1..=12).contains(month))?;
        self.literal(b'-')?;
        let day = self
            .number(2)
            .filter(|day| (1..=days_in(year, month)).contains(day))?;
        self.literal(b'T')?;
        let hour = self
            .number(2)
            .or_else(|| self.number(1))
            .filter(|hour| *hour < 24)?;
        self.literal(b':')?;
        let minute = self.number(2).filter(|minute| *minute < 60)?;
        self.literal(b':')?;
        let second = self.number(2).filter(|second| *second < 60)?;
        let nanoseconds = self.fraction();
        let offset = self.offset()?;
        if !self.0.is_empty() {
            return None;
        }
        let of_day = i64::from((hour * 60 + minute) * 60 + second);
        Some(Time {
            seconds: days(year, month, day) * SECONDS_PER_DAY + of_day - offset,
            nanoseconds,
        })
    }

    /// Exactly `width` digits.
    fn number(&mut self, width: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(width)?;
        let number = digits.iter().try_fold(0, |number, byte| {
            let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
            Some(number * 10 + digit)
        })?;
        self.0 = rest;
        Some(number)
    }

    fn literal(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    /// Nanoseconds after the seconds; digits beyond the ninth are dropped.
    fn fraction(&mut self) -> u32 {
        let [b'.' | b',', rest @ ..] = self.0 else {
            return 0;
        };
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return 0;
        }
        self.0 = &rest[digits..];
        let mut place = 100_000_000;
        let mut nanoseconds = 0;
        for byte in rest[..digits].iter().take(9) {
            nanoseconds += u32::from(byte - b'0') * place;
            place /= 10;
        }
        nanoseconds
    }

    /// Seconds east of UTC. 24 hours and 60 minutes are let through because «some people do write» them (Go's source says so).
    fn offset(&mut self) -> Option<i64> {
        if self.literal(b'Z').is_some() {
            return Some(0);
        }
        let sign = match self.0 {
            [b'+', ..] => 1,
            [b'-', ..] => -1,
            _ => return None,
        };
        self.0 = &self.0[1..];
        let hours = self.number(2).filter(|hours| *hours <= 24)?;
        self.literal(b':')?;
        let minutes = self.number(2).filter(|minutes| *minutes <= 60)?;
        Some(sign * i64::from((hours * 60 + minutes) * 60))
    }
}

fn days_in(year: i64, month: u32) -> u32 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the first of March of the year 0, from which leap days are easily counted: they end a year.
const DAYS_TO_MARCH_OF_YEAR_0: i64 = -719_468;

/// Days of 400 years.
const DAYS_PER_ERA: i64 = 146_097;

/// Days since 1970-01-01 in the Gregorian calendar.
///
/// Method: <https://howardhinnant.github.io/date_algorithms.html>.
fn days(year: i64, month: u32, day: u32) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let of_era = year.rem_euclid(400);
    let of_year = i64::from((153 * ((month + 9) % 12) + 2) / 5 + day - 1);
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    year.div_euclid(400) * DAYS_PER_ERA + day_of_era + DAYS_TO_MARCH_OF_YEAR_0
}

/// Year, month and day: the inverse of `days`.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days - DAYS_TO_MARCH_OF_YEAR_0;
    let of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + days.div_euclid(DAYS_PER_ERA) * 400;
    (if month > 2 { year } else { year + 1 }, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::go_tables;

    #[test]
    fn times_become_what_go_makes_of_them() {
        go_tables::compare("times", |text| {
            canonical(text).map(|time| time.unwrap_or_else(|| "null".to_owned()))
        });
    }

    #[test]
    fn fractions_are_written_as_go_and_protojson_do() {
        for row in go_tables::rows("times") {
            let Ok(time) = Time::parse(&row.text) else {
                assert!(row.error.is_some(), "{row:?}");
                continue;
            };
            assert_eq!(time.to_rfc3339_nano().ok(), row.nano, "{}", row.text);
            assert_eq!(time.to_protojson().ok(), row.proto, "{}", row.text);
        }
    }

    #[test]
    fn a_fraction_is_between_two_seconds() {
        for (text, before, after) in [
            ("1970-01-01T00:00:05Z", 5, 5),
            ("1970-01-01T00:00:05.000000001Z", 5, 6),
            ("1969-12-31T23:59:59.5Z", -1, 0),
        ] {
            let time = Time::parse(text).expect("RFC 3339");
            assert_eq!((time.second_before(), time.second_after()), (before, after));
        }
    }

    #[test]
    fn a_megabyte_of_fraction_is_no_work() {
        let long = format!("2026-03-01T10:00:00.{}Z", "9".repeat(4_000_000));
        let time = Time::parse(&long).and_then(Time::to_rfc3339_nano);
        assert_eq!(time.as_deref(), Ok("2026-03-01T10:00:00.999999999Z"));
    }

    proptest! {
        #![proptest_config(go_tables::fixed_cases())]

        #[test]
        fn any_time_is_read_back(seconds in FIRST_SECOND_OF_JSON..=LAST_SECOND, nanoseconds in 0..1_000_000_000u32) {
            let time = Time { seconds, nanoseconds };
            let text = time.to_rfc3339_nano();
            prop_assert_eq!(text.and_then(|text| Time::parse(&text)), Ok(time));
            let calendar = jiff::Timestamp::new(seconds, 0).map(|time| time.to_string());
            prop_assert_eq!(calendar.ok(), Some(time.whole_seconds() + "Z"));
        }

        #[test]
        fn no_text_is_too_odd(text in any::<String>(), near in "[0-9]{4}-[0-1][0-9]-[0-3][0-9]T[0-9:.,Z+-]{0,30}") {
            let _ = canonical(&text);
            if let Ok(Some(once)) = canonical(&near) {
                prop_assert_eq!(canonical(&once), Ok(Some(once)));
            }
        }
    }
}

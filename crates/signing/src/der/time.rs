//! UTCTime and GeneralizedTime, in the forms that RFC 5280 section 4.1.2.5 and RFC 3161 section 2.4.2 allow: in UTC, with seconds.

use super::{Malformed, Reader, tag};

impl Reader<'_> {
    /// The next value, a UTCTime or a GeneralizedTime of whole seconds: seconds since 1970.
    pub(crate) fn time(&mut self) -> Result<i64, Malformed> {
        let value = self.any()?;
        let (seconds, fraction) = match value.tag {
            tag::UTC_TIME => {
                let (year, rest) = number(value.content, 2)?;
                // RFC 5280 section 4.1.2.5.1
                let year = if year < 50 { 2000 + year } else { 1900 + year };
                since_1970(year, rest)?
            }
            tag::GENERALIZED_TIME => generalized(value.content)?,
            _ => return Err(Malformed),
        };
        if fraction != b"Z" {
            return Err(Malformed);
        }
        Ok(seconds)
    }

    /// The next value, a GeneralizedTime that may have a fraction of a second, which is left out: seconds since 1970.
    pub(crate) fn time_with_fraction(&mut self) -> Result<i64, Malformed> {
        let (seconds, fraction) = generalized(self.value(tag::GENERALIZED_TIME)?)?;
        match fraction {
            b"Z" => Ok(seconds),
            // DER: no zeros at the end.
            [b'.', digits @ .., b'1'..=b'9', b'Z'] => {
                if digits.iter().all(u8::is_ascii_digit) {
                    Ok(seconds)
                } else {
                    Err(Malformed)
                }
            }
            _ => Err(Malformed),
        }
    }
}

fn generalized(text: &[u8]) -> Result<(i64, &[u8]), Malformed> {
    let (year, rest) = number(text, 4)?;
    since_1970(year, rest)
}

/// The number that the first `digits` digits make, and what follows.
fn number(text: &[u8], digits: usize) -> Result<(i64, &[u8]), Malformed> {
    let (head, rest) = text.split_at_checked(digits).ok_or(Malformed)?;
    let mut number = 0;
    for digit in head {
        if !digit.is_ascii_digit() {
            return Err(Malformed);
        }
        number = number * 10 + i64::from(digit - b'0');
    }
    Ok((number, rest))
}

/// Reads month, day, hour, minute and second.
fn since_1970(year: i64, text: &[u8]) -> Result<(i64, &[u8]), Malformed> {
    let (month, text) = number(text, 2)?;
    let (day, text) = number(text, 2)?;
    let (hour, text) = number(text, 2)?;
    let (minute, text) = number(text, 2)?;
    let (second, text) = number(text, 2)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return Err(Malformed),
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return Err(Malformed);
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Ok((seconds, text))
}

/// Days of the Gregorian calendar, counted in years that begin in March so that the leap day is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 1
        - 719_468
}

/// The time in RFC 3339's form, for messages.
pub(crate) fn text(time: i64) -> String {
    let (days, second) = (time.div_euclid(86_400), time.rem_euclid(86_400));
    // The calendar repeats itself every 400 years, which are 146,097 days.
    let (era, day) = (
        (days + 719_468).div_euclid(146_097),
        (days + 719_468).rem_euclid(146_097),
    );
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::encode;

    fn utc(text: &str) -> Result<i64, Malformed> {
        Reader::new(&encode(tag::UTC_TIME, text.as_bytes())).time()
    }

    fn general(text: &str) -> Result<i64, Malformed> {
        Reader::new(&encode(tag::GENERALIZED_TIME, text.as_bytes())).time()
    }

    #[test]
    fn times_are_read_and_told() {
        for (text_of_it, seconds) in [
            ("19700101000000Z", 0),
            ("19691231235959Z", -1),
            ("20000229123456Z", 951_827_696),
            ("20261123035515Z", 1_795_406_115),
            ("21000301000000Z", 4_107_542_400),
            ("99991231235959Z", 253_402_300_799),
            ("00010101000000Z", -62_135_596_800),
        ] {
            assert_eq!(general(text_of_it), Ok(seconds), "{text_of_it}");
            let digits: String = text(seconds)
                .chars()
                .filter(|c| c.is_ascii_digit() || *c == 'Z')
                .collect();
            assert_eq!(digits, text_of_it);
        }
        assert_eq!(text(1_795_406_115), "2026-11-23T03:55:15Z");
        assert_eq!(utc("261123035515Z"), Ok(1_795_406_115));
        assert_eq!(utc("500101000000Z"), Ok(-631_152_000));
        assert_eq!(utc("491231235959Z"), Ok(2_524_607_999));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "",
            "20260229000000Z",
            "21000229000000Z",
            "20261301000000Z",
            "20260001000000Z",
            "20260100000000Z",
            "20260131240000Z",
            "20260131006000Z",
            "20260131000060Z",
            "20260131000000",
            "202601310000Z",
            "20260131000000+0100",
            "20260131000000.5Z",
            "2026013100000aZ",
            "-0260131000000Z",
        ] {
            assert_eq!(general(bad), Err(Malformed), "{bad}");
        }
        assert_eq!(utc("20260131000000Z"), Err(Malformed));
        assert_eq!(utc("2601310000Z"), Err(Malformed));
        assert_eq!(
            Reader::new(&encode(tag::OCTET_STRING, b"20260131000000Z")).time(),
            Err(Malformed)
        );
    }

    #[test]
    fn a_fraction_is_read_where_it_may_stand() {
        let read = |text: &str| {
            Reader::new(&encode(tag::GENERALIZED_TIME, text.as_bytes())).time_with_fraction()
        };
        for good in [
            "19700101000001Z",
            "19700101000001.5Z",
            "19700101000001.005Z",
        ] {
            assert_eq!(read(good), Ok(1), "{good}");
        }
        for bad in [
            "19700101000001.Z",
            "19700101000001.50Z",
            "19700101000001.0Z",
            "19700101000001.x5Z",
            "19700101000001,5Z",
            "19700101000001.5",
        ] {
            assert_eq!(read(bad), Err(Malformed), "{bad}");
        }
    }
}

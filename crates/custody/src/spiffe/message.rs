//! The two messages of the Workload API that are sent and read here, in protobuf.
//!
//! Specification: <https://github.com/spiffe/go-spiffe/blob/main/proto/spiffe/workload/workload.proto> and
//! <https://protobuf.dev/programming-guides/encoding/>. Fields that are not known are passed over; everything has an end.

/// How many identities one answer may have.
const MOST_SVIDS: usize = 1000;
/// How a field is told: its number, and the kind of what follows.
const LENGTH_DELIMITED: u64 = 2;

/// A member of `JWTSVIDResponse.svids`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct JwtSvid<'a> {
    pub(super) spiffe_id: &'a str,
    pub(super) svid: &'a str,
}

/// `JWTSVIDRequest`, with one audience, for all identities.
pub(super) fn request(audience: &str) -> Vec<u8> {
    const AUDIENCE: u8 = 1 << 3 | 2;
    let mut message = vec![AUDIENCE];
    let mut length = audience.len();
    while length > 0x7f {
        message.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    message.push(u8::try_from(length).expect("seven bits"));
    message.extend_from_slice(audience.as_bytes());
    message
}

/// `JWTSVIDResponse`: the first identity, which the specification calls the default one; nothing where there is none. `Err` says what is wrong.
pub(super) fn first(response: &[u8]) -> Result<Option<JwtSvid<'_>>, &'static str> {
    let mut first = None;
    let mut count = 0;
    let mut rest = response;
    while let Some((number, content)) = field(&mut rest)? {
        if number != 1 {
            continue;
        }
        count += 1;
        if count > MOST_SVIDS {
            return Err("more than 1,000 identities");
        }
        let content = content.ok_or("an identity that is none")?;
        // Each is read: what has a malformed part is not to be relied upon.
        let svid = svid(content)?;
        first.get_or_insert(svid);
    }
    Ok(first)
}

fn svid(mut rest: &[u8]) -> Result<JwtSvid<'_>, &'static str> {
    let mut read = JwtSvid::default();
    while let Some((number, content)) = field(&mut rest)? {
        let place = match number {
            1 => &mut read.spiffe_id,
            2 => &mut read.svid,
            _ => continue,
        };
        let text = content.and_then(|content| std::str::from_utf8(content).ok());
        *place = text.ok_or("an identity that is no text")?;
    }
    Ok(read)
}

/// The number of a field, and its content where that has a length.
type Field<'a> = (u64, Option<&'a [u8]>);

/// The next field; nothing at the end.
fn field<'a>(rest: &mut &'a [u8]) -> Result<Option<Field<'a>>, &'static str> {
    const MALFORMED: &str = "a message that is no protobuf";
    if rest.is_empty() {
        return Ok(None);
    }
    let key = varint(rest).ok_or(MALFORMED)?;
    let (number, kind) = (key >> 3, key & 7);
    let length = match kind {
        0 => {
            varint(rest).ok_or(MALFORMED)?;
            return Ok(Some((number, None)));
        }
        1 => 8,
        LENGTH_DELIMITED => varint(rest).ok_or(MALFORMED)?,
        5 => 4,
        _ => return Err(MALFORMED),
    };
    let length = usize::try_from(length).map_err(|_| MALFORMED)?;
    let (content, after) = rest.split_at_checked(length).ok_or(MALFORMED)?;
    *rest = after;
    Ok(Some((
        number,
        (kind == LENGTH_DELIMITED).then_some(content),
    )))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).expect("short");
        [&[number << 3 | 2, length], content].concat()
    }

    fn svid_of(id: &str, text: &str) -> Vec<u8> {
        of(1, &[of(1, id.as_bytes()), of(2, text.as_bytes())].concat())
    }

    #[test]
    fn a_request_has_its_audience() {
        assert_eq!(request("sigstore"), b"\x0a\x08sigstore");
        let long = "a".repeat(300);
        assert_eq!(request(&long), [b"\x0a\xac\x02", long.as_bytes()].concat());
    }

    #[test]
    fn the_first_identity_is_taken_and_unknown_fields_are_passed_over() {
        let hinted = of(
            1,
            &[of(1, b"spiffe://a/b"), of(3, b"hint"), of(2, b"t")].concat(),
        );
        let unknown = [of(9, b"x"), vec![0x78, 0xff, 0x01], vec![0x7d, 1, 2, 3, 4]].concat();
        let second = svid_of("spiffe://a/c", "u");
        let message = [unknown, hinted, second].concat();
        let read = first(&message).expect("well-formed").expect("one");
        let wanted = JwtSvid {
            spiffe_id: "spiffe://a/b",
            svid: "t",
        };
        assert_eq!(read, wanted);
        assert_eq!(first(b"").expect("an empty message"), None);
        let empty = first(&[0x0a, 0]).expect("well-formed").expect("one");
        assert_eq!(empty, JwtSvid::default());
    }

    #[test]
    fn what_is_malformed_or_has_no_end_is_refused() {
        let whole = svid_of("spiffe://a/b", "t");
        for end in 1..whole.len() {
            assert!(first(&whole[..end]).is_err(), "{end}");
        }
        let many = [0x0a, 0].repeat(MOST_SVIDS + 1);
        for bad in [
            // A group, a number in the place of an identity, a text that is none, a length of 2^64 and one of ten full bytes.
            &[0x0b][..],
            &[0x08, 1],
            &[0x0a, 3, 0x0a, 1, 0xff],
            &[
                0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
            ],
            &[0xff; 11],
            &many,
        ] {
            assert!(first(bad).is_err(), "{bad:?}");
        }
        let malformed_second = [whole, vec![0x0a, 2, 0x0a, 9]].concat();
        assert!(first(&malformed_second).is_err());
    }
}

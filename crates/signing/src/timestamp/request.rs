//! Asks an authority for a timestamp, and judges whether what came back is the answer to that.
//!
//! Specification: RFC 3161 section 2.4.1.

use sha2::{Digest as _, Sha256};

use super::token::{Token, oid};
use super::{Error, LARGEST, Timestamp, verify};
use crate::der::{self, tag, time as moment};
use crate::random::{self, Random};
use crate::trust::Trust;
use crate::witness::{Age, MOST_SKEW, can_be};

/// A TimeStampReq: over the SHA-256 of some bytes, with a number that nobody can foresee, and with the wish for the authority's certificate.
#[derive(Debug)]
pub struct Request {
    der: Vec<u8>,
    /// The content of the INTEGER.
    nonce: [u8; NONCE_LENGTH],
}

/// Why an answer is none to the request.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AnswerError {
    /// It is no timestamp of these bytes, or not to be believed.
    #[error(transparent)]
    Timestamp(#[from] Error),
    /// Nobody who is trusted signed it.
    #[error("the timestamp is by no authority of the trusted root")]
    Foreign,
    /// The authority is trusted for another time than now.
    #[error("the timestamp authority {authority} is not in use at {now}, as the trusted root says")]
    OutOfUse {
        /// Which authority.
        authority: String,
        /// What time it is.
        now: String,
    },
    /// The authority tells another time than it is.
    #[error(
        "the timestamp is of {found}, and it is {now}: they are more than {MOST_SKEW} seconds apart"
    )]
    Time {
        /// The authority's time.
        found: String,
        /// What time it is.
        now: String,
    },
    /// An answer to another request: an old one, perhaps.
    #[error("the timestamp has not the number (nonce) of the request: it answers another one")]
    Nonce,
}

impl AnswerError {
    /// Whether it is the caller's trusted root that does not have the authority, or not for now, and no fault of the answer.
    #[must_use]
    pub fn is_of_trusted_root(&self) -> bool {
        matches!(self, Self::Foreign | Self::OutOfUse { .. })
    }
}

const NONCE_LENGTH: usize = 16;

impl Request {
    /// Asks for a timestamp of `message`.
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn new(message: &[u8], random: Random<'_>) -> Result<Self, random::Error> {
        let mut nonce = [0; NONCE_LENGTH];
        random(&mut nonce)?;
        // So that it is positive, and as long as it is, in any reader's eyes.
        nonce[0] = nonce[0] & 0x3f | 0x40;
        let null = der::encode(tag::NULL, &[]);
        let algorithm = [der::encode(tag::OID, oid::SHA256), null].concat();
        let imprint = [
            der::encode(tag::SEQUENCE, &algorithm),
            der::encode(tag::OCTET_STRING, &Sha256::digest(message)),
        ];
        let content = [
            der::encode(tag::INTEGER, &[VERSION]),
            der::encode(tag::SEQUENCE, &imprint.concat()),
            der::encode(tag::INTEGER, &nonce),
            der::encode(tag::BOOLEAN, &[0xff]),
        ];
        Ok(Self {
            der: der::encode(tag::SEQUENCE, &content.concat()),
            nonce,
        })
    }

    /// The exact bytes, an `application/timestamp-query`.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Judges an answer: that it is a timestamp of `message`, made for this request, by an authority of the trusted root that is in use at `now`
    /// (seconds since 1970), and of about that time.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn judge(
        &self,
        trust: &Trust,
        response: &[u8],
        message: &[u8],
        now: i64,
    ) -> Result<Timestamp, AnswerError> {
        if response.len() > LARGEST {
            return Err(Error::TooLarge(response.len()).into());
        }
        if Token::read(response)?.nonce != Some(&self.nonce) {
            return Err(AnswerError::Nonce);
        }
        let timestamp = verify(trust, response, message)?.ok_or(AnswerError::Foreign)?;
        if !timestamp.authority_was_in_use_at(now) {
            return Err(AnswerError::OutOfUse {
                authority: timestamp.authority,
                now: moment::text(now),
            });
        }
        if !can_be(timestamp.time, now, Age::New) {
            return Err(AnswerError::Time {
                found: moment::text(timestamp.time),
                now: moment::text(now),
            });
        }
        Ok(timestamp)
    }
}

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::Reader;

    fn foreseeable(bytes: &mut [u8]) -> Result<(), random::Error> {
        bytes.fill(0xff);
        Ok(())
    }

    #[test]
    fn a_request_has_its_bytes() {
        let request = Request::new(b"hello", &mut foreseeable).expect("it is foreseeable");
        let hash = Sha256::digest(b"hello");
        // openssl ts -query -sha256 -cert makes the same, but for the nonce.
        let head = [
            0x30, 0x4b, 2, 1, 1, 0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2,
            1, 5, 0, 4, 0x20,
        ];
        let mut nonce = vec![2, 16, 0x7f];
        nonce.extend([0xff; 15]);
        let wanted = [&head[..], &hash[..], &nonce, &[1, 1, 0xff]].concat();
        assert_eq!(request.der(), wanted);
        let mut reader = Reader::new(request.der());
        assert!(reader.open(tag::SEQUENCE).is_ok());
    }

    #[test]
    fn two_requests_have_two_numbers() {
        let request = || Request::new(b"hello", &mut random::system).expect("randomness");
        let (one, other) = (request(), request());
        assert_ne!(one.nonce, other.nonce);
        assert_eq!(one.der.len(), other.der.len());
    }
}

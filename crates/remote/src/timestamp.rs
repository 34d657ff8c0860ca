//! Asks a timestamp authority to sign the time.
//!
//! Specification: RFC 3161, 3.4, <https://www.rfc-editor.org/rfc/rfc3161#section-3.4>. What comes back is handed on as it came:
//! `tekseal-signing` makes requests, and verifies answers.

pub use crate::service::{Error, Failed, Options};

use crate::service::{Ask, Kind, Service};

/// As much as is read of a timestamp later.
const LARGEST: u64 = 128 << 10;
const QUERY: &str = "application/timestamp-query";
const REPLY: &str = "application/timestamp-reply";
/// With which every TimeStampResp begins, and no page and no JSON does.
const DER_SEQUENCE: u8 = 0x30;

/// One timestamp authority. Clones share connections.
#[derive(Clone, Debug)]
pub struct TimestampAuthority {
    service: Service,
}

impl TimestampAuthority {
    /// The authority at `url`, the whole one, such as `https://timestamp.sigstore.dev/api/v1/timestamp`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Url`] where that is no URL of a service.
    pub fn new(url: &str, options: &Options) -> Result<Self, Error> {
        Ok(Self {
            service: Service::new(Kind::TimestampAuthority, url, options)?,
        })
    }

    /// Its URL, for people.
    #[must_use]
    pub fn url(&self) -> String {
        self.service.shown()
    }

    /// Sends a TimeStampReq, DER, and gives the TimeStampResp, DER. Only that it begins as one is looked at.
    ///
    /// # Errors
    /// [`Error::Timestamp`] where the authority refuses, does not answer, or answers with something else or too much.
    pub async fn timestamp(&self, request: &[u8]) -> Result<Vec<u8>, Error> {
        let url = self.service.base().clone();
        let ask = Ask::post(url, QUERY, request, REPLY, LARGEST);
        let failed = |source| Error::Timestamp {
            url: self.url(),
            source: Box::new(source),
        };
        let answer = self.service.ask(&ask).await.map_err(failed)?;
        if answer.body.first() != Some(&DER_SEQUENCE) {
            return Err(failed(Failed::Answer {
                url: self.url(),
                wanted: "a timestamp".to_owned(),
            }));
        }
        Ok(answer.body)
    }
}

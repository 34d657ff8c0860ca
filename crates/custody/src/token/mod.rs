//! Identity tokens: who we are, on the word of an issuer that Fulcio trusts.
//!
//! ```text
//!   Source (file, variable, GitHub, Google …) ─ fetch ─▶ text ─ IdentityToken::parse ─▶ who, on whose word, until when
//! ```
//!
//! A token is a JWT (RFC 7519) that an OpenID Connect issuer has signed. It is a password: whoever has it gets certificates in our name, so it is never
//! shown, and what cannot be good is refused before it is sent anywhere. Whether the issuer signed it is for Fulcio to say.

mod error;
mod source;
#[cfg(test)]
pub(crate) mod testing;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use zeroize::Zeroizing;

pub use error::Error;
pub use source::{DEFAULT_FILE, Provider, Source};

/// For whom a token for Fulcio must be.
pub const AUDIENCE: &str = "sigstore";
/// The largest token, in bytes: those of GitHub have some 2,000.
pub(crate) const LARGEST: usize = 16 * 1024;
/// The longest claim that becomes a name.
const LONGEST_NAME: usize = 2048;
/// How far the clock of an issuer may be ahead of ours, in seconds.
const MOST_AHEAD: i64 = 60;

/// A token that was read, and that may be good.
pub struct IdentityToken {
    text: Zeroizing<String>,
    subject: String,
    issuers: Vec<String>,
    names: Vec<String>,
    has_made_up_name: bool,
    sub: String,
    expires: i64,
}

impl fmt::Debug for IdentityToken {
    /// Without the token itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityToken of {:?}", self.subject)
    }
}

#[derive(Deserialize)]
struct Head {
    alg: String,
}

/// The claims that are looked at; all others are for Fulcio.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    #[serde(default)]
    aud: Audience,
    exp: Moment,
    nbf: Option<Moment>,
    email: Option<String>,
    #[serde(default)]
    email_verified: Flag,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<Kubernetes>,
    federated_claims: Option<Federated>,
    job_workflow_ref: Option<String>,
    ci_config_ref_uri: Option<String>,
}

#[derive(Deserialize)]
struct Kubernetes {
    namespace: String,
    serviceaccount: Named,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Federated {
    connector_id: Option<String>,
}

/// One or several.
#[derive(Default, Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    #[default]
    None,
    One(String),
    Several(Vec<String>),
}

/// A NumericDate, seconds since 1970.
pub(crate) struct Moment(i64);

/// true, also where it is written as a text.
#[derive(Default)]
struct Flag(bool);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        // Beyond it whole seconds are none any more.
        const MOST: f64 = 9_007_199_254_740_992.0;
        if !(0.0..MOST).contains(&seconds) {
            return Err(D::Error::custom("not a time"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the range was looked at, and fractions do not matter"
        )]
        Ok(Self(seconds as i64))
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Flag(bool),
            Text(String),
        }
        Ok(Self(match Written::deserialize(deserializer)? {
            Written::Flag(flag) => flag,
            Written::Text(text) => text == "true",
        }))
    }
}

impl IdentityToken {
    /// Reads a token, which must be good at this time (seconds since 1970) for [`AUDIENCE`]. Blanks and line ends around it are no part of it.
    ///
    /// # Errors
    /// For what is no token, and for one that Fulcio cannot accept; no error has a part of its signature, and only what it says of its issuer, subject and
    /// times is told.
    pub fn parse(text: &str, now: i64) -> Result<Self, Error> {
        let text = text.trim_ascii();
        let claims: Claims = read(text)?;
        check(&claims.aud, AUDIENCE, &claims.exp, claims.nbf.as_ref(), now)?;
        let (subject, email) = claims.subject()?;
        Ok(Self {
            names: claims.names(email.as_deref()),
            has_made_up_name: email.is_none() && claims.kubernetes.is_none(),
            issuers: claims.issuers(),
            text: Zeroizing::new(text.to_owned()),
            expires: claims.exp.0,
            sub: claims.sub,
            subject,
        })
    }

    /// Whom Fulcio takes us for: the e-mail address if there is one, else the subject. What proves that we have the key is a signature over this.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Who vouches for it; and where that passes on the word of somebody else, as Dex does, that one too.
    #[must_use]
    pub fn issuers(&self) -> &[String] {
        &self.issuers
    }

    /// The names that a certificate may have for it, whatever Fulcio is told of the issuer.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The subject, where Fulcio may make up a name by a template: for issuers of build services.
    #[must_use]
    pub fn subject_of_template(&self) -> Option<&str> {
        self.has_made_up_name.then_some(&*self.sub)
    }

    /// When it ends, seconds since 1970.
    #[must_use]
    pub fn expires(&self) -> i64 {
        self.expires
    }

    pub(crate) fn secret(&self) -> &Zeroizing<String> {
        &self.text
    }
}

/// The claims of a token, which somebody signed. No error has a part of it but the name of an algorithm.
pub(crate) fn read<C: DeserializeOwned>(text: &str) -> Result<C, Error> {
    if text.is_empty() {
        return Err(Error::Malformed("it is empty"));
    }
    if text.len() > LARGEST {
        return Err(Error::Malformed("it has more than 16 KiB"));
    }
    let mut parts = text.split('.');
    let (Some(head), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Error::Malformed(
            "a JWT has three parts, with dots between them",
        ));
    };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map(Zeroizing::new);
    let (Ok(head), Ok(claims), Ok(signature)) = (decode(head), decode(claims), decode(signature))
    else {
        return Err(Error::Malformed("a part of it is not base64url"));
    };
    // The text of the error could have a part of the token.
    let head: Head = serde_json::from_slice(&head)
        .map_err(|_| Error::Malformed("its head is no JSON with an alg"))?;
    check_algorithm(&head.alg, signature.is_empty())?;
    serde_json::from_slice(&claims).map_err(|_| {
        Error::Malformed(
            "its claims are no JSON with iss, sub, aud and exp as OpenID Connect has them",
        )
    })
}

/// Whether a token is for this audience, and good now.
pub(crate) fn check(
    aud: &Audience,
    audience: &str,
    exp: &Moment,
    nbf: Option<&Moment>,
    now: i64,
) -> Result<(), Error> {
    let found: &[String] = match aud {
        Audience::None => &[],
        Audience::One(one) => std::slice::from_ref(one),
        Audience::Several(several) => several,
    };
    if !found.iter().any(|one| one == audience) {
        return Err(Error::Audience {
            found: found.iter().take(5).map(|one| shown(one)).collect(),
            wanted: shown(audience),
        });
    }
    if exp.0 <= now {
        return Err(Error::Expired { end: exp.0, now });
    }
    match nbf {
        Some(Moment(start)) if *start > now + MOST_AHEAD => {
            Err(Error::NotYetValid { start: *start, now })
        }
        _ => Ok(()),
    }
}

fn check_algorithm(alg: &str, is_unsigned: bool) -> Result<(), Error> {
    const SIGNED: [&str; 10] = [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    ];
    if alg.eq_ignore_ascii_case("none") || is_unsigned {
        return Err(Error::Unsigned);
    }
    if !SIGNED.contains(&alg) {
        return Err(Error::Algorithm(shown(alg)));
    }
    Ok(())
}

impl Claims {
    /// The subject, and the e-mail address if that is it.
    fn subject(&self) -> Result<(String, Option<String>), Error> {
        let is_name = |text: &str| {
            !text.is_empty() && text.len() <= LONGEST_NAME && !text.chars().any(char::is_control)
        };
        if !is_name(&self.iss) {
            return Err(Error::Malformed("its iss is empty, too long, or no name"));
        }
        if !is_name(&self.sub) {
            return Err(Error::Malformed("its sub is empty, too long, or no name"));
        }
        match self.email.as_deref().filter(|email| !email.is_empty()) {
            None => Ok((self.sub.clone(), None)),
            Some(email) if !is_name(email) => {
                Err(Error::Malformed("its email is too long, or no name"))
            }
            Some(_) if !self.email_verified.0 => Err(Error::EmailNotVerified),
            Some(email) => Ok((email.to_owned(), Some(email.to_owned()))),
        }
    }

    fn issuers(&self) -> Vec<String> {
        let federated = self.federated_claims.as_ref();
        let federated = federated.and_then(|claims| claims.connector_id.clone());
        std::iter::once(self.iss.clone()).chain(federated).collect()
    }

    /// Specification: <https://github.com/sigstore/fulcio/blob/main/docs/oidc.md>.
    fn names(&self, email: Option<&str>) -> Vec<String> {
        let service_account = self.kubernetes.as_ref().map(|of| {
            format!(
                "https://kubernetes.io/namespaces/{}/serviceaccounts/{}",
                of.namespace, of.serviceaccount.name
            )
        });
        let workflow = self.job_workflow_ref.as_ref();
        let workflow = workflow.map(|of| format!("https://github.com/{of}"));
        let pipeline = self.ci_config_ref_uri.as_ref();
        let pipeline = pipeline.map(|of| format!("https://{of}"));
        let email = email.map(str::to_owned);
        let special = email.into_iter().chain(service_account);
        let special = special.chain(workflow).chain(pipeline);
        special.chain([self.sub.clone()]).collect()
    }
}

/// A text of a token, for people.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().count() > 80 {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;

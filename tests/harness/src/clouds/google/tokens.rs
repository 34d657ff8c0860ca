//! The issuers of Google's tokens, and the metadata server.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{AUDIENCE, EMAIL, Google, REFRESH, SCOPE, SUBJECT, WIDE_SCOPE, refusal};
use crate::clouds::form::pairs;
use crate::clouds::server::{bearer, json_answer};
use crate::http::{Answer, Request, find};
use crate::run::Run;

impl Google {
    fn issue(&mut self, scope: &'static str) -> String {
        self.issued += 1;
        let token = format!("ya29.t0ken-{}", self.issued);
        self.tokens.insert(token.clone(), scope);
        token
    }

    fn grant(&mut self, scope: &'static str) -> Answer {
        let token = self.issue(scope);
        json_answer(
            200,
            &json!({"access_token": token, "expires_in": self.expires_in, "token_type": "Bearer"}),
        )
    }

    pub(super) fn token(&mut self, request: &Request) -> Answer {
        let form = pairs(&String::from_utf8_lossy(&request.body));
        let invalid = |what: &str| {
            json_answer(
                400,
                &json!({"error": "invalid_grant", "error_description": what}),
            )
        };
        match form["grant_type"].as_str() {
            "refresh_token" if REFRESH.iter().all(|(name, value)| form[*name] == *value) => {
                self.grant(SCOPE)
            }
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                match self.assertion(&form["assertion"]) {
                    Ok(()) => self.grant(SCOPE),
                    Err(what) => invalid(what),
                }
            }
            _ => invalid("Bad Request"),
        }
    }

    /// Whether an assertion says what a service account must say, and is signed with its key.
    fn assertion(&self, text: &str) -> Result<(), &'static str> {
        let (said, signature) = text.rsplit_once('.').ok_or("no JWT")?;
        let (head, claims) = said.split_once('.').ok_or("no JWT")?;
        let part = |text: &str| -> Result<Value, &'static str> {
            let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| "no base64url")?;
            serde_json::from_slice(&bytes).map_err(|_| "no JSON")
        };
        let (head, claims) = (part(head)?, part(claims)?);
        if head["alg"] != "RS256" || head["typ"] != "JWT" || head["kid"] != "0123456789abcdef" {
            return Err("another header");
        }
        if claims["iss"] != EMAIL || claims["aud"] != format!("http://{}/token", self.address) {
            return Err("another issuer or audience");
        }
        if claims["scope"] != SCOPE {
            return Err("another scope");
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("it is not 1970").as_secs();
        let (from, to) = (claims["iat"].as_u64(), claims["exp"].as_u64());
        let (Some(from), Some(to)) = (from, to) else {
            return Err("no times");
        };
        if from.abs_diff(now) > 60 || to <= now || to - from > 3600 {
            return Err("other times");
        }
        let file = self.folder.join("assertion.sig");
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| "no base64url")?;
        fs::write(&file, signature).expect("the folder is ours");
        let verify = Run::new("openssl").args(["dgst", "-sha256", "-verify"]);
        let verify = verify
            .arg(self.folder.join("account.pub"))
            .arg("-signature");
        match verify.arg(&file).stdin(said).run().code() {
            Some(0) => Ok(()),
            _ => Err("Invalid JWT Signature."),
        }
    }

    pub(super) fn exchange(&mut self, request: &Request) -> Answer {
        let form = pairs(&String::from_utf8_lossy(&request.body));
        let is_good = form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
            && form["audience"] == AUDIENCE
            && form["requested_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
            && form["subject_token_type"] == "urn:ietf:params:oauth:token-type:jwt"
            && form["subject_token"] == SUBJECT;
        match (is_good, form["scope"].as_str()) {
            (true, SCOPE) => self.grant(SCOPE),
            // Google's clients do not agree which one they ask for here.
            (true, WIDE_SCOPE | "https://www.googleapis.com/auth/iam") => self.grant(WIDE_SCOPE),
            _ => json_answer(
                400,
                &json!({"error": "invalid_grant", "error_description": "The given credential is rejected."}),
            ),
        }
    }

    pub(super) fn impersonate(&mut self, request: &Request) -> Answer {
        let mut asked: Value = serde_json::from_slice(&request.body).expect("it is JSON");
        // Some clients say that they have nobody between.
        if asked["delegates"].as_array().is_none_or(Vec::is_empty) {
            let fields = asked.as_object_mut().expect("it has fields");
            fields.remove("delegates");
        }
        let is_known = self.tokens.get(bearer(request)) == Some(&WIDE_SCOPE);
        if !is_known || !request.path().contains(EMAIL) {
            return refusal(
                403,
                "PERMISSION_DENIED",
                "iam.serviceAccounts.getAccessToken denied",
            );
        }
        if asked != json!({"scope": [SCOPE], "lifetime": "1800s"}) {
            return refusal(400, "INVALID_ARGUMENT", "another request");
        }
        let token = self.issue(SCOPE);
        json_answer(
            200,
            &json!({"accessToken": token, "expireTime": "2099-01-01T00:00:00Z"}),
        )
    }

    pub(super) fn metadata(&mut self, request: &Request) -> Answer {
        let mut answer = match find(&request.headers, "metadata-flavor") {
            Some("Google") => self.grant(SCOPE),
            _ => Answer::new(403, &[], b"Missing Metadata-Flavor:Google header."),
        };
        answer.set_header("Metadata-Flavor", "Google");
        answer
    }
}

//! For tests: tokens that nobody signed, since nobody here verifies one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// 2027-01-15T08:00:00Z
pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const SUBJECT: &str = "system:serviceaccount:team:builder";

/// The claims of a projected ServiceAccount token.
pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": ["sigstore"],
        "iat": NOW - 10,
        "nbf": NOW - 10,
        "exp": NOW + 600,
        "kubernetes.io": {
            "namespace": "team",
            "pod": {"name": "build"},
            "serviceaccount": {"name": "builder", "uid": "1"},
        },
    })
}

/// A token with this head and these claims.
pub(crate) fn token(head: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2lnbmF0dXJl", part(head), part(claims))
}

/// A token with these claims, as issuers sign them.
pub(crate) fn signed(claims: &Value) -> String {
    token(&json!({"alg": "RS256", "kid": "k"}), claims)
}

//! Tokens that an earlier process wrote into the volumes of pods that still run.
//!
//! They are good until their renewal is due, so that a restart of the kubelet asks the API server for none of them:
//! with a hundred pods, its limit of requests would hold up their statuses. The file is the pod's to write where the
//! pod may write its volume; what is planted there reaches nobody but the pod itself.
//!
//! Only the claims are read (RFC 7519): whether the signature holds is for those who are shown the token.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::Deserialize;

use super::{Cached, TokenKey};

/// Longest token that is read, bytes: what a header of a request can carry.
pub(crate) const MOST: u64 = 1 << 16;

/// What a bound token says of itself. Others than these claims are of no use here.
#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    aud: Audiences,
    exp: i64,
    iat: i64,
    #[serde(rename = "kubernetes.io")]
    bound: Bound,
}

/// One or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

impl Default for Audiences {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

#[derive(Deserialize)]
struct Bound {
    namespace: String,
    pod: Named,
    serviceaccount: Named,
    /// The API server has made it last longer than it was asked to: it should be renewed as if it ended then.
    warnafter: Option<i64>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    uid: String,
}

/// A token as it was before the restart, if it is the one that is wanted and has not ended.
pub(super) fn recall(token: &str, key: &TokenKey, now: Timestamp) -> Option<Cached> {
    let payload = token.split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let bound = &claims.bound;
    let same = bound.namespace == key.namespace
        && (bound.pod.name.as_str(), bound.pod.uid.as_str()) == (key.pod_name.as_str(), key.pod_uid.as_str())
        && bound.serviceaccount.name == key.service_account
        && claims.aud.is(&key.audience);
    let issued = Timestamp::from_second(claims.iat).ok()?;
    let end = bound.warnafter.map_or(claims.exp, |warn| warn.min(claims.exp));
    let expires = Timestamp::from_second(end).ok()?;
    // The clock may have been set back since.
    if !same || issued > now || expires <= now {
        return None;
    }
    let seconds = end.saturating_sub(claims.iat);
    Some(Cached::new(token.to_owned(), expires, seconds))
}

impl Audiences {
    /// The API server's own audience has no name here: then any will do, since a pod's spec does not change.
    fn is(&self, wanted: &str) -> bool {
        match self {
            Self::One(one) => wanted.is_empty() || one == wanted,
            Self::Several(all) => wanted.is_empty() || matches!(all.as_slice(), [one] if one == wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_767_323_045;

    fn key(audience: &str) -> TokenKey {
        TokenKey {
            pod_uid: "u1".into(),
            pod_name: "web".into(),
            namespace: "ns".into(),
            service_account: "robot".into(),
            audience: audience.into(),
            seconds: Some(3607),
        }
    }

    fn claims() -> Value {
        json!({
            "aud": ["https://kubernetes.default.svc"], "iss": "x", "sub": "y", "nbf": NOW - 100,
            "exp": NOW + 31_535_900, "iat": NOW - 100,
            "kubernetes.io": {
                "namespace": "ns", "node": {"name": "n", "uid": "n1"}, "pod": {"name": "web", "uid": "u1"},
                "serviceaccount": {"name": "robot", "uid": "s1"}, "warnafter": NOW + 3507
            }
        })
    }

    fn recalled(claims: &Value, audience: &str) -> Option<Cached> {
        let token = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string()));
        recall(&token, &key(audience), Timestamp::from_second(NOW).unwrap())
    }

    #[test]
    fn what_was_asked_for_counts_not_what_the_server_made_of_it() {
        let known = recalled(&claims(), "").unwrap();
        assert_eq!(known.expires.as_second(), NOW + 3507);
        let due = known.due.as_second();
        assert!((NOW + 2770..=NOW + 2786).contains(&due), "four fifths of 3607 after it was issued: {due}");
    }

    #[test]
    fn only_the_same_token_is_taken() {
        let with = |path: &[&str], value: Value| {
            let mut changed = claims();
            let mut at = &mut changed;
            for part in path {
                at = &mut at[*part];
            }
            *at = value;
            changed
        };
        let bound = "kubernetes.io";
        let others = [
            with(&[bound, "pod", "uid"], json!("u2")),
            with(&[bound, "pod", "name"], json!("other")),
            with(&[bound, "namespace"], json!("other")),
            with(&[bound, "serviceaccount", "name"], json!("admin")),
            with(&[bound, "warnafter"], json!(NOW - 1)),
            with(&["exp"], json!(NOW)),
            with(&["iat"], json!(NOW + 1)),
            with(&[bound, "pod"], Value::Null),
        ];
        for other in others {
            assert!(recalled(&other, "").is_none(), "{other}");
        }
        assert!(recalled(&claims(), "vault").is_none());
        assert!(recalled(&with(&["aud"], json!("vault")), "vault").is_some());
        assert!(recalled(&with(&["aud"], json!(["vault", "more"])), "vault").is_none());
    }

    #[test]
    fn what_is_no_token_is_none() {
        let now = Timestamp::from_second(NOW).unwrap();
        for text in ["", "token-0", "a.b.c", "..", "e30.e30.e30"] {
            assert!(recall(text, &key(""), now).is_none(), "{text}");
        }
    }
}

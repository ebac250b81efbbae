//! Service account tokens of pods: fetched once, renewed before they run out (contract §14.3).
//!
//! ```text
//!   fetched ──── 80 % of its life, or 24 h, less a jitter ────► due ──── renewed ────► fetched
//!                                                                └── renewal fails: the old one serves until it ends
//! ```
//!
//! Tokens have neither `Debug` nor `Display` here.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use parking_lot::Mutex;
use seams::{ObjectError, Objects};

use crate::error::SetUpError;

pub(crate) mod recall;

/// No token is used longer than this, however long it would live.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(24);
/// Renewals of many pods started together are spread over this much.
const MAX_JITTER_MILLIS: u64 = 10_000;

/// Which token: one per pod, service account, audience and wanted life.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TokenKey {
    /// Uid of the pod it is bound to.
    pub(crate) pod_uid: String,
    /// Name of that pod.
    pub(crate) pod_name: String,
    /// Namespace of pod and account.
    pub(crate) namespace: String,
    /// Service account.
    pub(crate) service_account: String,
    /// Audience; empty is the API server's own.
    pub(crate) audience: String,
    /// Wanted life, seconds.
    pub(crate) seconds: Option<i64>,
}

impl TokenKey {
    fn request(&self) -> TokenRequest {
        TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: (!self.audience.is_empty()).then(|| vec![self.audience.clone()]),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(self.pod_name.clone()),
                    uid: Some(self.pod_uid.clone()),
                }),
                expiration_seconds: self.seconds,
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        }
    }
}

struct Cached {
    token: String,
    expires: Timestamp,
    /// When to renew it.
    due: Timestamp,
}

/// A number that differs from token to token: renewals are spread without a source of randomness.
fn jitter(token: &str) -> SignedDuration {
    let hash = token.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    SignedDuration::from_millis(i64::try_from(hash % MAX_JITTER_MILLIS).unwrap_or(0))
}

/// When a token that ends at `expires` after a life of `seconds` is to be renewed.
fn due(expires: Timestamp, seconds: i64, jitter: SignedDuration) -> Timestamp {
    let less = |end: Timestamp, by: SignedDuration| end.checked_sub(by).unwrap_or(Timestamp::MIN);
    let life = SignedDuration::from_secs(seconds);
    let issued = less(expires, life);
    let oldest = issued.checked_add(MAX_AGE).unwrap_or(Timestamp::MAX);
    let last_fifth = less(expires, SignedDuration::from_secs(seconds.saturating_mul(20) / 100));
    less(oldest.min(last_fifth), jitter)
}

/// All tokens in use.
#[derive(Default)]
pub(crate) struct Tokens {
    cache: Mutex<BTreeMap<TokenKey, Cached>>,
}

impl Tokens {
    /// A token that is good now: from the cache, from an earlier process, or fetched.
    pub(crate) async fn get(
        &self,
        objects: &dyn Objects,
        key: &TokenKey,
        earlier: impl FnOnce() -> Option<String>,
        now: Timestamp,
    ) -> Result<String, SetUpError> {
        if !self.cache.lock().contains_key(key)
            && let Some(recalled) = earlier().and_then(|token| recall::recall(&token, key, now))
        {
            self.cache.lock().entry(key.clone()).or_insert(recalled);
        }
        let known =
            self.cache.lock().get(key).map(|cached| (cached.token.clone(), cached.due, cached.expires));
        if let Some((token, due, _)) = &known
            && now <= *due
        {
            return Ok(token.clone());
        }
        match objects.token(&key.namespace, &key.service_account, &key.request()).await {
            Ok(answer) => self.keep(key, &answer, now),
            Err(cause) => Self::serve_old(key, known.map(|(token, _, expires)| (token, expires)), cause, now),
        }
    }

    fn keep(&self, key: &TokenKey, answer: &TokenRequest, now: Timestamp) -> Result<String, SetUpError> {
        let status = answer.status.as_ref();
        let token = status.and_then(|status| status.token.clone()).filter(|token| !token.is_empty());
        let expires = status.and_then(|status| status.expiration_timestamp.as_ref()).map(|time| time.0);
        let (Some(token), Some(expires)) = (token, expires) else {
            return Err(SetUpError::NoToken {
                namespace: key.namespace.clone(),
                service_account: key.service_account.clone(),
            });
        };
        let left = expires.duration_since(now).as_secs().max(0);
        let seconds =
            answer.spec.as_ref().and_then(|spec| spec.expiration_seconds).or(key.seconds).unwrap_or(left);
        let cached = Cached { token: token.clone(), expires, due: due(expires, seconds, jitter(&token)) };
        let mut cache = self.cache.lock();
        cache.retain(|_, old| old.expires > now);
        cache.insert(key.clone(), cached);
        Ok(token)
    }

    fn serve_old(
        key: &TokenKey,
        known: Option<(String, Timestamp)>,
        cause: ObjectError,
        now: Timestamp,
    ) -> Result<String, SetUpError> {
        match known {
            None => Err(SetUpError::Token(cause)),
            Some((_, expires)) if now > expires => Err(SetUpError::TokenExpired {
                namespace: key.namespace.clone(),
                service_account: key.service_account.clone(),
                cause,
            }),
            Some((token, _)) => {
                tracing::error!(
                    namespace = key.namespace,
                    service_account = key.service_account,
                    pod = key.pod_name,
                    error = %cause,
                    "cannot renew a token, the old one still serves"
                );
                Ok(token)
            }
        }
    }

    /// Delay until the first of a pod's tokens is due.
    pub(crate) fn refresh_after(&self, pod_uid: &str, now: Timestamp) -> Option<Duration> {
        let cache = self.cache.lock();
        let of_pod = cache.iter().filter(|(key, _)| key.pod_uid == pod_uid);
        let first = of_pod.map(|(_, cached)| cached.due).min()?;
        // A renewal that failed is due already: not at once again.
        let delay = first.duration_since(now).max(SignedDuration::from_secs(1));
        Duration::try_from(delay).ok()
    }

    /// Forgets a pod's tokens.
    pub(crate) fn forget(&self, pod_uid: &str) {
        self.cache.lock().retain(|key, _| key.pod_uid != pod_uid);
    }
}

#[cfg(test)]
mod tests;

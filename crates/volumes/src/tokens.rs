//! Service account tokens of pods: fetched once, renewed before they run out (contract §14.3).
//!
//! ```text
//!   fetched ──── 80 % of its life, or 24 h, less a jitter ────► due ──── renewed ────► fetched
//!                                                                └── renewal fails: the old one serves until it ends,
//!                                                                    and is not asked for again before its pause is over
//! ```
//!
//! Tokens have neither `Debug` nor `Display` here.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use lifecycle::delay::fnv;
use parking_lot::Mutex;
use seams::{ObjectError, Objects};

use crate::{
    error::SetUpError,
    retry::{self, LEAST_WAIT},
};

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
    /// Of the last renewal, if it failed.
    failure: Option<Failure>,
}

/// A renewal that failed.
struct Failure {
    /// How many failed in a row, at least this one.
    failures: u32,
    cause: ObjectError,
    /// Until then nobody is asked: with a hundred pods, the node's limit of requests would hold up their statuses.
    not_before: Timestamp,
}

impl Cached {
    fn new(token: String, expires: Timestamp, seconds: i64) -> Self {
        let due = due(expires, seconds, jitter(&token));
        Self { token, expires, due, failure: None }
    }

    /// When to ask for another one.
    fn renewal(&self) -> Timestamp {
        self.failure.as_ref().map_or(self.due, |failure| failure.not_before.max(self.due))
    }

    /// It could not be renewed at `now`. Told when it is news.
    fn failed(&mut self, key: &TokenKey, cause: ObjectError, now: Timestamp) {
        let (failures, is_news) = match &self.failure {
            Some(before) => (before.failures.saturating_add(1), before.cause != cause),
            None => (1, true),
        };
        let pause = retry::pause(failures, &key.pod_uid);
        if is_news {
            tracing::error!(
                namespace = key.namespace,
                service_account = key.service_account,
                pod = key.pod_name,
                error = %cause,
                expires = %self.expires,
                hint = "the old token serves until it expires; does the service account exist, does the API server answer?",
                "cannot renew a token"
            );
        }
        let not_before = now.checked_add(pause).unwrap_or(Timestamp::MAX);
        self.failure = Some(Failure { failures, cause, not_before });
    }

    /// The token, or why there is none any more.
    fn served(&self, key: &TokenKey, now: Timestamp) -> Result<String, SetUpError> {
        match &self.failure {
            Some(failure) if now > self.expires => Err(SetUpError::TokenExpired {
                namespace: key.namespace.clone(),
                service_account: key.service_account.clone(),
                cause: failure.cause.clone(),
            }),
            _ => Ok(self.token.clone()),
        }
    }
}

/// Differs from token to token: renewals are spread without a source of randomness.
fn jitter(token: &str) -> SignedDuration {
    SignedDuration::from_millis(i64::try_from(fnv(token.bytes()) % MAX_JITTER_MILLIS).unwrap_or(0))
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
    /// By the pod's uid: a token that has ended stays until its pod goes, since it is what the renewal hangs on.
    pods: Mutex<BTreeMap<String, BTreeMap<TokenKey, Cached>>>,
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
        let is_new = !self.pods.lock().entry(key.pod_uid.clone()).or_default().contains_key(key);
        if is_new && let Some(recalled) = earlier().and_then(|token| recall::recall(&token, key, now)) {
            self.keep(key, recalled);
        }
        let held = self.with(key, |cached| (now <= cached.renewal()).then(|| cached.served(key, now)));
        if let Some(served) = held.flatten() {
            return served;
        }
        let answer = objects.token(&key.namespace, &key.service_account, &key.request()).await;
        let cause = match answer.and_then(|answer| Self::read(key, &answer, now)) {
            Ok(cached) => {
                let token = cached.token.clone();
                self.keep(key, cached);
                return Ok(token);
            }
            Err(cause) => cause,
        };
        let old = self.with(key, |cached| {
            cached.failed(key, cause.clone(), now);
            cached.served(key, now)
        });
        old.unwrap_or(Err(SetUpError::Token(cause)))
    }

    fn read(key: &TokenKey, answer: &TokenRequest, now: Timestamp) -> Result<Cached, ObjectError> {
        let status = answer.status.as_ref();
        let token = status.and_then(|status| status.token.clone()).filter(|token| !token.is_empty());
        let expires = status.and_then(|status| status.expiration_timestamp.as_ref()).map(|time| time.0);
        let (Some(token), Some(expires)) = (token, expires) else {
            let (namespace, account) = (&key.namespace, &key.service_account);
            return Err(ObjectError::Unavailable(format!(
                "the API server returned no token for service account {namespace}/{account}"
            )));
        };
        let left = expires.duration_since(now).as_secs().max(0);
        let seconds =
            answer.spec.as_ref().and_then(|spec| spec.expiration_seconds).or(key.seconds).unwrap_or(left);
        Ok(Cached::new(token, expires, seconds))
    }

    fn with<T>(&self, key: &TokenKey, look: impl FnOnce(&mut Cached) -> T) -> Option<T> {
        self.pods.lock().get_mut(&key.pod_uid).and_then(|pod| pod.get_mut(key)).map(look)
    }

    /// Nothing is kept of a pod that was forgotten meanwhile.
    fn keep(&self, key: &TokenKey, cached: Cached) {
        if let Some(pod) = self.pods.lock().get_mut(&key.pod_uid) {
            pod.insert(key.clone(), cached);
        }
    }

    /// Delay until the first of a pod's tokens is due.
    pub(crate) fn refresh_after(&self, pod_uid: &str, now: Timestamp) -> Option<Duration> {
        let first = self.pods.lock().get(pod_uid)?.values().map(Cached::renewal).min()?;
        Some(Duration::try_from(first.duration_since(now)).unwrap_or_default().max(LEAST_WAIT))
    }

    /// Forgets a pod's tokens.
    pub(crate) fn forget(&self, pod_uid: &str) {
        self.pods.lock().remove(pod_uid);
    }
}

#[cfg(test)]
mod tests;

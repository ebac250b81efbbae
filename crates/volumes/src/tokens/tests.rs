use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use k8s_openapi::{
    api::{
        authentication::v1::TokenRequestStatus,
        core::v1::{ConfigMap, Pod, Secret, Service},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use tokio::sync::{mpsc, watch};

use super::*;

/// Gives out numbered tokens that live for an hour from `now`, or fails.
struct Issuer {
    asked: AtomicUsize,
    issued: AtomicUsize,
    now: Mutex<Timestamp>,
    failing: Mutex<bool>,
}

#[async_trait]
impl Objects for Issuer {
    fn register(&self, _pod: &Pod) {}
    fn unregister(&self, _uid: &str) {}
    async fn config_map(&self, _: &str, _: &str) -> Result<Arc<ConfigMap>, ObjectError> {
        Err(ObjectError::Unavailable("not here".into()))
    }
    async fn secret(&self, _: &str, _: &str) -> Result<Arc<Secret>, ObjectError> {
        Err(ObjectError::Unavailable("not here".into()))
    }
    async fn token(&self, _: &str, _: &str, request: &TokenRequest) -> Result<TokenRequest, ObjectError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if *self.failing.lock() {
            return Err(ObjectError::Unavailable("refused".into()));
        }
        let number = self.issued.fetch_add(1, Ordering::SeqCst);
        let mut answer = request.clone();
        let seconds = answer.spec.as_ref().unwrap().expiration_seconds.unwrap();
        answer.status = Some(TokenRequestStatus {
            token: Some(format!("token-{number}")),
            expiration_timestamp: Some(Time(*self.now.lock() + SignedDuration::from_secs(seconds))),
        });
        Ok(answer)
    }
    fn services(&self) -> watch::Receiver<Option<Arc<BTreeMap<(String, String), Arc<Service>>>>> {
        watch::channel(None).1
    }
    fn changes(&self) -> mpsc::Receiver<String> {
        mpsc::channel(1).1
    }
}

fn start() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn key(uid: &str, audience: &str, seconds: i64) -> TokenKey {
    TokenKey {
        pod_uid: uid.into(),
        pod_name: "web".into(),
        namespace: "ns".into(),
        service_account: "robot".into(),
        audience: audience.into(),
        seconds: Some(seconds),
    }
}

fn issuer() -> Issuer {
    Issuer {
        asked: AtomicUsize::new(0),
        issued: AtomicUsize::new(0),
        now: Mutex::new(start()),
        failing: Mutex::new(false),
    }
}

#[test]
fn renewal_is_due_at_four_fifths_or_a_day() {
    let none = SignedDuration::ZERO;
    let after = |seconds: i64| {
        let expires = start() + SignedDuration::from_secs(seconds);
        due(expires, seconds, none).duration_since(start()).as_secs()
    };
    assert_eq!(after(3600), 2880);
    assert_eq!(after(600), 480);
    assert_eq!(after(100 * 3600), 24 * 3600);
    let late = due(start() + SignedDuration::from_secs(3600), 3600, SignedDuration::from_secs(9));
    assert_eq!(late.duration_since(start()).as_secs(), 2871);
    for token in ["", "a", "b", "eyJhbGciOi"] {
        assert!(jitter(token) < SignedDuration::from_secs(10));
    }
}

#[tokio::test]
async fn one_token_serves_until_it_is_due() {
    let (tokens, issuer) = (Tokens::default(), issuer());
    let get = async |key: &TokenKey, seconds: i64| {
        let now = start() + SignedDuration::from_secs(seconds);
        *issuer.now.lock() = now;
        tokens.get(&issuer, key, || None, now).await.map_err(|error| error.to_string())
    };
    let hour = key("u1", "", 3600);
    assert_eq!(get(&hour, 0).await.unwrap(), "token-0");
    assert_eq!(get(&hour, 2860).await.unwrap(), "token-0");
    assert_eq!(get(&key("u1", "vault", 3600), 0).await.unwrap(), "token-1");
    assert_eq!(get(&key("u2", "", 3600), 0).await.unwrap(), "token-2");
    assert_eq!(get(&hour, 2881).await.unwrap(), "token-3");
    assert_eq!(get(&hour, 2882).await.unwrap(), "token-3");

    // Renewal fails: the old one serves while it lives.
    *issuer.failing.lock() = true;
    assert_eq!(get(&hour, 2881 + 3599).await.unwrap(), "token-3");
    assert_eq!(
        get(&hour, 2881 + 3601).await.unwrap_err(),
        "token of service account ns/robot expired and refresh failed: refused"
    );
    assert_eq!(get(&key("u3", "", 3600), 0).await.unwrap_err(), "failed to fetch token: refused");
}

#[tokio::test]
async fn refresh_times_and_forgetting() {
    let (tokens, issuer) = (Tokens::default(), issuer());
    assert_eq!(tokens.refresh_after("u1", start()), None);
    tokens.get(&issuer, &key("u1", "", 3600), || None, start()).await.ok().unwrap();
    tokens.get(&issuer, &key("u1", "x", 600), || None, start()).await.ok().unwrap();
    let first = tokens.refresh_after("u1", start()).unwrap();
    assert!((Duration::from_secs(470)..=Duration::from_secs(480)).contains(&first), "{first:?}");
    let late = start() + SignedDuration::from_secs(599);
    assert_eq!(tokens.refresh_after("u1", late), Some(Duration::from_secs(1)));
    tokens.forget("u1");
    assert_eq!(tokens.refresh_after("u1", start()), None);
    assert_eq!(tokens.get(&issuer, &key("u1", "", 3600), || None, start()).await.ok().unwrap(), "token-2");
}

#[tokio::test]
async fn a_token_of_an_earlier_process_serves_until_it_is_due() {
    let (tokens, issuer) = (Tokens::default(), issuer());
    let issued = start().as_second();
    let claims = serde_json::json!({
        "exp": issued + 3600, "iat": issued, "kubernetes.io": {
            "namespace": "ns", "pod": {"name": "web", "uid": "u1"}, "serviceaccount": {"name": "robot"}
        }
    });
    let payload =
        base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims.to_string());
    let token = format!("e30.{payload}.sig");
    let get = async |seconds: i64| {
        let (now, key) = (start() + SignedDuration::from_secs(seconds), key("u1", "", 3600));
        tokens.get(&issuer, &key, || Some(token.clone()), now).await.map_err(|error| error.to_string())
    };
    assert_eq!(get(10).await.unwrap(), token);
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 0);
    assert!(tokens.refresh_after("u1", start()).is_some());
    *issuer.failing.lock() = true;
    assert_eq!(get(2881).await.unwrap(), token, "it serves while it cannot be renewed");
    *issuer.failing.lock() = false;
    assert_eq!(get(2882).await.unwrap(), token, "the pause is not over");
    assert_eq!(get(2892).await.unwrap(), "token-0");
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_asked_for_ever_more_seldom() {
    let (tokens, issuer) = (Tokens::default(), issuer());
    let key = key("u1", "", 3600);
    tokens.get(&issuer, &key, || None, start()).await.ok().unwrap();
    *issuer.failing.lock() = true;
    // Looked at once a second from when it is due: for ten minutes it serves, for another ten there is none.
    let asked = async |from: i64| {
        let before = issuer.asked.load(Ordering::SeqCst);
        for second in from..from + 600 {
            let now = start() + SignedDuration::from_secs(second);
            let got = tokens.get(&issuer, &key, || None, now).await;
            assert_eq!(got.is_ok(), second <= 3600, "{second}");
            assert!(tokens.refresh_after("u1", now).is_some_and(|wait| wait <= Duration::from_secs(300)));
        }
        issuer.asked.load(Ordering::SeqCst) - before
    };
    let (first, later) = (asked(2900).await, asked(3601).await);
    assert!((5..=10).contains(&first), "{first} in the first ten minutes");
    assert!((2..=3).contains(&later), "{later} in ten minutes of a longer outage");

    *issuer.failing.lock() = false;
    let now = start() + SignedDuration::from_secs(3601 + 600 + 300);
    *issuer.now.lock() = now;
    assert_eq!(tokens.get(&issuer, &key, || None, now).await.ok().unwrap(), "token-1");
    assert!(tokens.refresh_after("u1", now).unwrap() > Duration::from_secs(2800));
}

#[tokio::test]
async fn an_answer_without_a_token_is_a_failure_like_any_other() {
    let key = key("u1", "", 3600);
    let error = Tokens::read(&key, &TokenRequest::default(), start()).err().unwrap();
    assert_eq!(error.to_string(), "the API server returned no token for service account ns/robot");
    assert_eq!(error.obstacle(), lifecycle::Obstacle::ApiServer);
}

#[tokio::test]
async fn a_token_that_has_ended_is_asked_for_again_whatever_its_neighbours_do() {
    let (tokens, issuer) = (Tokens::default(), issuer());
    let late = start() + SignedDuration::from_secs(700);
    tokens.get(&issuer, &key("u1", "", 600), || None, start()).await.ok().unwrap();
    let get = async |uid: &str, refused: bool| {
        (*issuer.failing.lock(), *issuer.now.lock()) = (refused, late);
        tokens.get(&issuer, &key(uid, "", 600), || None, late).await.is_ok()
    };
    assert!(!get("u1", true).await);
    assert!(get("u2", false).await);
    assert!(!get("u1", true).await);
    assert!(tokens.refresh_after("u1", late).is_some());
}

#[tokio::test]
async fn nothing_is_kept_of_a_pod_that_goes_while_its_token_is_on_its_way() {
    let (tokens, issuer) = (Tokens::default(), issuer());
    let key = key("u1", "", 600);
    tokens.get(&issuer, &key, || None, start()).await.ok().unwrap();
    tokens.forget("u1");
    let answer = issuer.token("ns", "robot", &key.request()).await.unwrap();
    tokens.keep(&key, Tokens::read(&key, &answer, start()).unwrap());
    assert!(tokens.pods.lock().is_empty());
}

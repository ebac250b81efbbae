//! TokenReview and SubjectAccessReview, as an API server gets and answers them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{sync::Arc, time::Duration};

use cluster::{Access, ApiCluster, ApiOptions, ChangeDetection, RateLimit};
use fakes::apiserver::{FakeApi, Fault, Matching, Network};
use seams::{
    ApiError, Reviews as _, SystemClock,
    reviews::{NodeAccess, User},
};
use serde_json::{Value, json};

const TOKENS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

struct Rig {
    fake: FakeApi,
    cluster: ApiCluster,
    _folder: tempfile::TempDir,
}

async fn start() -> Rig {
    let fake = FakeApi::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let text = format!(
        "current-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: \"{}\"}}}}]\nusers: [{{name: u, user: {{token: secret}}}}]\n",
        fake.url()
    );
    std::fs::write(&path, text).unwrap();
    let cluster = ApiCluster::start(ApiOptions {
        access: Access::load(&path).unwrap(),
        node_name: "n1".to_owned(),
        // So slow that a review which waited for it would be late.
        rate_limit: RateLimit::from_config(1, 1),
        heartbeat_timeout: Duration::from_secs(2),
        change_detection: ChangeDetection::Watch,
        kubelet_version: "v1.37.2".to_owned(),
        clock: Arc::new(SystemClock::start()),
        metrics: metrics::Metrics::new(),
    });
    Rig { fake, cluster, _folder: folder }
}

impl Rig {
    fn asked(&self, path: &str) -> Vec<Value> {
        let requests = self.fake.requests();
        let asked = requests.iter().filter(|request| request.method == "POST" && request.path == path);
        asked.map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
    }
}

fn get_pods() -> NodeAccess {
    NodeAccess { verb: "get", subresource: "pods", node: "n1".to_owned() }
}

#[tokio::test]
async fn a_token_is_somebodys_or_nobodys() {
    let rig = start().await;
    rig.fake.respond("tokenreviews", |mut review| {
        review["status"] = match review["spec"]["token"].as_str() {
            Some("ada") => json!({
                "authenticated": true,
                "user": {"username": "ada", "uid": "7", "groups": ["dev", "ops"], "extra": {"scopes": ["a", "b"]}},
            }),
            Some("bare") => json!({"authenticated": true, "user": {"username": "bare"}}),
            Some("odd") => json!({"authenticated": true}),
            Some("false") => json!({"authenticated": false, "user": {"username": "eve"}, "error": "expired"}),
            _ => json!({}),
        };
        review
    });
    let ada = User {
        name: "ada".to_owned(),
        uid: "7".to_owned(),
        groups: vec!["dev".to_owned(), "ops".to_owned()],
        extra: [("scopes".to_owned(), vec!["a".to_owned(), "b".to_owned()])].into(),
    };
    assert_eq!(rig.cluster.token("ada").await.unwrap(), Some(ada));
    let bare = User { name: "bare".to_owned(), ..User::default() };
    assert_eq!(rig.cluster.token("bare").await.unwrap(), Some(bare));
    for nobodys in ["odd", "false", "unknown"] {
        assert_eq!(rig.cluster.token(nobodys).await.unwrap(), None, "{nobodys}");
    }
    let asked = rig.asked(TOKENS);
    assert_eq!(asked.len(), 5);
    assert_eq!(asked[0]["spec"], json!({"token": "ada"}));
    assert_eq!(
        (&asked[0]["kind"], &asked[0]["apiVersion"]),
        (&json!("TokenReview"), &json!("authentication.k8s.io/v1"))
    );
}

#[tokio::test]
async fn access_is_asked_for_with_all_that_is_known_of_the_user() {
    let rig = start().await;
    rig.fake.respond("subjectaccessreviews", |mut review| {
        review["status"] = match review["spec"]["user"].as_str() {
            Some("ada") => json!({"allowed": true}),
            // Both at once: a no is a no.
            Some("both") => json!({"allowed": true, "denied": true}),
            _ => json!({"allowed": false, "reason": "no rule"}),
        };
        review
    });
    let ada = User {
        name: "ada".to_owned(),
        uid: "7".to_owned(),
        groups: vec!["dev".to_owned()],
        extra: [("scopes".to_owned(), vec!["a".to_owned()])].into(),
    };
    assert!(rig.cluster.access(&ada, &get_pods()).await.unwrap());
    for name in ["both", "eve"] {
        let user = User { name: name.to_owned(), ..User::default() };
        let none = NodeAccess { verb: "", subresource: "proxy", node: "n1".to_owned() };
        assert!(!rig.cluster.access(&user, &none).await.unwrap(), "{name}");
    }
    let asked = rig.asked(ACCESS);
    let expected = json!({
        "user": "ada",
        "uid": "7",
        "groups": ["dev"],
        "extra": {"scopes": ["a"]},
        "resourceAttributes":
            {"verb": "get", "version": "v1", "resource": "nodes", "subresource": "pods", "name": "n1"},
    });
    assert_eq!(asked[0]["spec"], expected);
    assert_eq!(asked[1]["spec"]["resourceAttributes"]["verb"], Value::Null, "no verb has no name");
    assert_eq!(asked[1]["spec"]["extra"], Value::Null);
}

#[tokio::test]
async fn a_review_that_fails_is_neither_yes_nor_no() {
    let rig = start().await;
    let user = User { name: "ada".to_owned(), ..User::default() };
    for fault in [Fault::Status(500), Fault::Status(403), Fault::Garbage, Fault::Cut] {
        rig.fake.faults().always(Matching::any(), fault.clone());
        assert!(rig.cluster.token("ada").await.is_err(), "{fault:?}");
        assert!(rig.cluster.access(&user, &get_pods()).await.is_err(), "{fault:?}");
        rig.fake.faults().clear();
    }
    rig.fake.faults().network(Network::Hang);
    let begun = tokio::time::Instant::now();
    let error = rig.cluster.token("ada").await.unwrap_err();
    assert!(matches!(error, ApiError::Unreachable { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10), "a heartbeat's deadline, not a call's");
}

#[tokio::test]
async fn many_reviews_do_not_wait_for_the_rate_of_calls() {
    let rig = start().await;
    rig.fake.respond("tokenreviews", |mut review| {
        review["status"] = json!({"authenticated": true, "user": {"username": "ada"}});
        review
    });
    let begun = tokio::time::Instant::now();
    for _ in 0..30 {
        assert!(rig.cluster.token("ada").await.unwrap().is_some());
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

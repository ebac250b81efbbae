//! Create, read, replace, delete, tokens.

use http::Method;
use k8s_openapi::api::core::v1::{Node, Pod, Secret, ServiceAccount};
use serde_json::{Value, json};

use super::{Asker, BOUND, FakeApi, pod, pod_body};
use crate::apiserver::Matching;

#[tokio::test]
async fn a_created_pod_starts_pending_and_exists_once() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    let (status, created) = asker.ask(Method::POST, "/api/v1/namespaces/a/pods", pod_body("p")).await;
    assert_eq!(status, 201);
    assert_eq!(created["status"], json!({ "phase": "Pending" }), "a client cannot create a running pod");
    assert_eq!(created["metadata"]["generation"], 1);
    let (status, refused) = asker.ask(Method::POST, "/api/v1/namespaces/a/pods", pod_body("p")).await;
    assert_eq!((status.as_u16(), &refused["reason"]), (409, &json!("AlreadyExists")));
    assert_eq!(refused["message"], "pods \"p\" already exists");
    let (status, missing) = asker.get("/api/v1/namespaces/a/pods/q").await;
    assert_eq!((status.as_u16(), &missing["message"]), (404, &json!("pods \"q\" not found")));
    let stored: Pod = api.get("a", "p").unwrap();
    assert_eq!(stored.metadata.uid.as_deref(), created["metadata"]["uid"].as_str());
    assert_eq!(asker.get("/apis/nowhere.io/v1/things").await.0, 404);
    assert_eq!(asker.ask(Method::PUT, "/api/v1/namespaces/a/pods", pod_body("p")).await.0, 405);
}

#[tokio::test]
async fn what_does_not_decode_is_refused() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    let mut body = pod_body("p");
    body["spec"]["containers"] = json!("none");
    assert_eq!(asker.ask(Method::POST, "/api/v1/namespaces/a/pods", body).await.0, 400);
    let mut body = pod_body("p");
    body["kind"] = json!("Node");
    assert_eq!(asker.ask(Method::POST, "/api/v1/namespaces/a/pods", body).await.0, 400);
    assert_eq!(api.revision(), 0, "nothing was stored");
}

#[tokio::test]
async fn a_replace_is_guarded_and_leaves_the_status_alone() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    api.put(pod("p", "n"));
    let path = "/api/v1/namespaces/a/pods/p";
    let (_, mut object) = asker.get(path).await;
    object["status"] = json!({ "phase": "Failed" });
    object["metadata"]["labels"] = json!({ "x": "y" });
    let (status, replaced) = asker.ask(Method::PUT, path, object.clone()).await;
    assert_eq!(status, 200);
    assert_eq!(replaced["status"]["phase"], "Running");
    assert_eq!(replaced["metadata"]["labels"]["x"], "y");
    let (status, refused) = asker.ask(Method::PUT, path, object.clone()).await;
    assert_eq!((status.as_u16(), &refused["reason"]), (409, &json!("Conflict")), "the old resource version");
    object["metadata"]["resourceVersion"] = Value::Null;
    let (status, replaced) = asker.ask(Method::PUT, &format!("{path}/status"), object).await;
    assert_eq!((status.as_u16(), &replaced["status"]["phase"]), (200, &json!("Failed")));
}

#[tokio::test]
async fn a_lease_may_be_made_by_put_and_wants_its_version_afterwards() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    let path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n";
    let lease = json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "n" },
        "spec": { "holderIdentity": "n" } });
    assert_eq!(asker.ask(Method::PUT, path, lease.clone()).await.0, 200);
    assert_eq!(asker.ask(Method::PUT, path, lease).await.0, 422);
    let (_, stored) = asker.get(path).await;
    assert_eq!(asker.ask(Method::PUT, path, stored).await.0, 200);
}

#[tokio::test]
async fn a_pod_is_deleted_in_two_steps() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    let uid = api.put(pod("p", "n")).metadata.uid.unwrap();
    let path = "/api/v1/namespaces/a/pods/p";
    let (status, deleted) = asker.ask(Method::DELETE, path, Value::Null).await;
    assert_eq!(status, 200);
    assert_eq!(deleted["metadata"]["deletionGracePeriodSeconds"], 40, "the pod's own grace period");
    let first: jiff::Timestamp = deleted["metadata"]["deletionTimestamp"].as_str().unwrap().parse().unwrap();

    let (_, same) = asker.ask(Method::DELETE, path, json!({ "gracePeriodSeconds": 60 })).await;
    assert_eq!(same, deleted, "a later deletion cannot lengthen it");
    let (_, shorter) = asker.ask(Method::DELETE, path, json!({ "gracePeriodSeconds": 10 })).await;
    let second: jiff::Timestamp = shorter["metadata"]["deletionTimestamp"].as_str().unwrap().parse().unwrap();
    assert_eq!(first.duration_since(second).as_secs(), 30, "counted from the first request");

    let options = |uid: &str| json!({ "gracePeriodSeconds": 0, "preconditions": { "uid": uid } });
    let (status, refused) = asker.ask(Method::DELETE, path, options("another")).await;
    assert_eq!(status, 409);
    assert!(refused["message"].as_str().unwrap().contains("UID in precondition: another"), "{refused}");
    let (status, last) = asker.ask(Method::DELETE, path, options(&uid)).await;
    assert_eq!((status.as_u16(), &last["kind"]), (200, &json!("Pod")));
    assert!(api.get::<Pod>("a", "p").is_none());
    assert_eq!(asker.ask(Method::DELETE, path, Value::Null).await.0, 404);
}

#[tokio::test]
async fn a_pod_that_needs_no_grace_goes_at_once() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    api.put(pod("unbound", ""));
    let mut ended = pod("ended", "n");
    ended.status.as_mut().unwrap().phase = Some("Succeeded".to_owned());
    api.put(ended);
    for name in ["unbound", "ended"] {
        asker.ask(Method::DELETE, &format!("/api/v1/namespaces/a/pods/{name}"), Value::Null).await;
        assert!(api.get::<Pod>("a", name).is_none(), "{name}");
    }
}

#[tokio::test]
async fn a_finalizer_holds_until_it_is_taken_off() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    let mut held = pod("p", "n");
    held.metadata.finalizers = Some(vec!["test/held".to_owned()]);
    api.put(held);
    let path = "/api/v1/namespaces/a/pods/p";
    asker.ask(Method::DELETE, path, json!({ "gracePeriodSeconds": 0 })).await;
    assert!(api.get::<Pod>("a", "p").unwrap().metadata.deletion_timestamp.is_some());
    let body = json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": ["test/held"] } });
    assert_eq!(asker.patch(path, body).await.0, 200);
    assert!(api.get::<Pod>("a", "p").is_none());
}

#[tokio::test]
async fn lists_are_selected_and_paged() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    for (name, node) in [("p1", "n"), ("p2", "other"), ("p3", "n"), ("p4", "n")] {
        let mut pod = pod(name, node);
        pod.metadata.labels = Some([("app".to_owned(), name.to_owned())].into());
        api.put(pod);
    }
    let names = async |query: &str| {
        let (status, list) = asker.get(&format!("/api/v1/pods?{query}")).await;
        assert_eq!(status, 200, "{list}");
        let items = list["items"].as_array().unwrap();
        let names: Vec<_> =
            items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect();
        (names.join(" "), list["metadata"]["continue"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(names("fieldSelector=spec.nodeName%3Dn").await.0, "p1 p3 p4");
    assert_eq!(names("fieldSelector=spec.nodeName!%3Dn,metadata.namespace%3Da").await.0, "p2");
    assert_eq!(names("labelSelector=app+in+(p1,p2),app!%3Dp2").await.0, "p1");
    assert_eq!(names("labelSelector=!app").await.0, "");
    assert_eq!(names("labelSelector=app+notin+(p1)").await.0, "p2 p3 p4");
    let (first, token) = names("limit=3").await;
    assert_eq!(first, "p1 p2 p3");
    assert_eq!(names(&format!("limit=3&continue={token}")).await, ("p4".to_owned(), String::new()));
    let (status, refused) = asker.get("/api/v1/pods?fieldSelector=spec.hostname%3Dx").await;
    assert_eq!(
        (status.as_u16(), &refused["message"]),
        (400, &json!("field label not supported: spec.hostname"))
    );
}

#[tokio::test]
async fn tokens_are_for_accounts_and_pods_that_exist() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    let path = "/api/v1/namespaces/a/serviceaccounts/default/token";
    let request = |uid: &str, seconds: u32| {
        json!({ "spec": { "audiences": ["vault"], "expirationSeconds": seconds,
            "boundObjectRef": { "kind": "Pod", "apiVersion": "v1", "name": "p", "uid": uid } } })
    };
    assert_eq!(asker.ask(Method::POST, path, request("u", 600)).await.0, 404);
    api.put::<ServiceAccount>(
        serde_json::from_value(json!({ "metadata": { "namespace": "a", "name": "default" } })).unwrap(),
    );
    assert_eq!(asker.ask(Method::POST, path, request("u", 600)).await.0, 404, "no such pod");
    let uid = api.put(pod("p", "n")).metadata.uid.unwrap();
    assert_eq!(asker.ask(Method::POST, path, request("u", 600)).await.0, 409, "another pod of that name");
    assert_eq!(asker.ask(Method::POST, path, request(&uid, 599)).await.0, 422);
    let (status, answer) = asker.ask(Method::POST, path, request(&uid, 600)).await;
    assert_eq!(status, 201);
    let token = answer["status"]["token"].as_str().unwrap();
    use base64::Engine as _;
    let payload =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload["sub"], "system:serviceaccount:a:default");
    assert_eq!(payload["aud"], json!(["vault"]));
    assert_eq!(payload["kubernetes.io"]["pod"]["uid"], uid);
    assert_eq!(payload["exp"].as_i64().unwrap() - payload["iat"].as_i64().unwrap(), 600);
    let (_, again) = asker.ask(Method::POST, path, request(&uid, 600)).await;
    assert_ne!(again["status"]["token"], token);
}

#[tokio::test]
async fn the_tests_own_view() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    api.put::<Node>(serde_json::from_value(json!({ "metadata": { "name": "n" } })).unwrap());
    let revision = api.revision();
    let same: Node = api.get("", "n").unwrap();
    api.put(same);
    assert_eq!(api.revision(), revision, "the same again is no change");
    assert!(
        api.update::<Node>("", "n", |node| node.spec.get_or_insert_default().unschedulable = Some(true))
            .is_some()
    );
    assert!(api.update::<Node>("", "m", |_| ()).is_none());
    assert_eq!(api.all::<Node>().len(), 1);
    assert!(api.all::<Secret>().is_empty());

    let changed = api.wait_for::<Node>("", "n", BOUND, |node| node.metadata.labels.is_some());
    let patch = asker.patch("/api/v1/nodes/n", json!({ "metadata": { "labels": { "a": "b" } } }));
    let (changed, (status, _)) = tokio::join!(changed, patch);
    assert_eq!(status, 200);
    assert_eq!(changed.unwrap().metadata.labels.unwrap()["a"], "b");

    let requests = api.requests();
    let patch = requests.last().unwrap();
    assert_eq!(
        (patch.method.as_str(), patch.path.as_str(), patch.answered),
        ("PATCH", "/api/v1/nodes/n", Some(200))
    );
    assert_eq!(patch.header("content-type"), "application/strategic-merge-patch+json");
    assert_eq!(patch.json()["metadata"]["labels"]["a"], "b");
    assert_eq!(api.count(&Matching::path("/nodes/").method("PATCH")), 1);
    assert_eq!(api.count(&Matching::path("/nodes/").method("GET")), 0);
    assert!(api.remove::<Node>("", "n") && !api.remove::<Node>("", "n"));

    api.respond("tokenreviews", |mut review| {
        review["status"] = json!({ "authenticated": review["spec"]["token"] == "good" });
        review
    });
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let (status, review) = asker.ask(Method::POST, path, json!({ "spec": { "token": "good" } })).await;
    assert_eq!((status.as_u16(), &review["status"]["authenticated"]), (201, &json!(true)));
}

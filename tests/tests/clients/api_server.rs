//! [`ApiCluster`] as the node's own user, against an API server with Node authorization and NodeRestriction. Everything is
//! made in namespaces of its own; no kubelet runs.

use std::{sync::Arc, time::Duration};

use cluster::{Access, ApiCluster, ApiOptions, ChangeDetection, RateLimit};
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    coordination::v1::{Lease, LeaseSpec},
    core::v1::{ConfigMap, Event, Node, Pod, PodCondition, PodStatus, Secret},
};
use lab::{Lab, wait};
use seams::{ApiError, Cluster as _, ObjectError, Objects as _, SystemClock, cluster::PodEvent, patch};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::timeout};

const LONG: Duration = Duration::from_secs(60);

fn start(lab: &Lab) -> ApiCluster {
    ApiCluster::start(ApiOptions {
        access: Access::load(&lab.paths().kubelet_kubeconfig).unwrap(),
        node_name: lab.plan().node_name.clone(),
        rate_limit: RateLimit::from_config(50, 100),
        heartbeat_timeout: Duration::from_secs(10),
        change_detection: ChangeDetection::Watch,
        kubelet_version: "v1.37.2".to_owned(),
        clock: Arc::new(SystemClock::start()),
        metrics: metrics::Metrics::new(),
    })
}

/// Makes objects, as the administrator.
fn make(lab: &Lab, objects: &[Value]) {
    for object in objects {
        let namespace = object["metadata"]["namespace"].as_str().unwrap();
        let kind = match object["kind"].as_str().unwrap() {
            "ConfigMap" => "configmaps",
            "Secret" => "secrets",
            "Pod" => "pods",
            other => panic!("{other}"),
        };
        let path = format!("/api/v1/namespaces/{namespace}/{kind}");
        lab.api().unwrap().send("POST", &path, "json", &object.to_string()).unwrap();
    }
}

/// A namespace in which pods may be made.
fn namespace(lab: &Lab, name: &str) -> String {
    let api = lab.api().unwrap();
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    api.send("POST", "/api/v1/namespaces", "json", &object.to_string()).unwrap();
    let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
    wait::until_true("the default service account", LONG, || matches!(api.find(&account), Ok(Some(_))))
        .unwrap();
    name.to_owned()
}

fn a_pod(lab: &Lab, namespace: &str, name: &str, objects: usize) -> Value {
    let mut volumes: Vec<Value> = (0..objects)
        .map(|i| json!({"name": format!("v{i}"), "configMap": {"name": format!("{name}-{i}"), "optional": true}}))
        .collect();
    // A node may ask only for tokens that a pod of its own mounts.
    volumes.push(
        json!({"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}),
    );
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "nodeName": lab.plan().node_name, "automountServiceAccountToken": false, "serviceAccountName": "default",
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "i", "envFrom": [{"configMapRef": {"name": "cm"}}, {"secretRef": {"name": "s"}}],
                "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "gone", "key": "k", "optional": true}}}]}],
            "volumes": volumes,
        }
    })
}

async fn event(pods: &mut mpsc::Receiver<PodEvent>) -> PodEvent {
    timeout(LONG, pods.recv()).await.expect("an event in time").expect("the stream lives")
}

async fn applied(
    pods: &mut mpsc::Receiver<PodEvent>,
    namespace: &str,
    name: &str,
    want: impl Fn(&Pod) -> bool,
) -> Arc<Pod> {
    let is = |pod: &Pod| {
        pod.metadata.name.as_deref() == Some(name) && pod.metadata.namespace.as_deref() == Some(namespace)
    };
    loop {
        let found = match event(pods).await {
            PodEvent::Snapshot(all) => all,
            PodEvent::Applied(pod) => vec![pod],
            PodEvent::Deleted(_) => Vec::new(),
        };
        if let Some(pod) = found.into_iter().find(|pod| is(pod) && want(pod)) {
            return pod;
        }
    }
}

async fn ensure_node(lab: &Lab, api: &ApiCluster) -> Node {
    let mut node = Node::default();
    node.metadata.name = Some(lab.plan().node_name.clone());
    match api.create_node(&node).await {
        Ok(node) => node,
        Err(ApiError::Conflict { reason, .. }) if reason == "AlreadyExists" => api.get_node().await.unwrap(),
        Err(error) => panic!("{error}"),
    }
}

pub(crate) async fn node_lease_and_heartbeat(lab: &Lab) {
    let api = start(lab);
    let mut seen = api.node();
    let node = ensure_node(lab, &api).await;
    timeout(LONG, seen.wait_for(Option::is_some)).await.unwrap().unwrap();
    let mut wanted = node.clone();
    let mark = format!("{}", std::process::id());
    wanted.metadata.labels.get_or_insert_default().insert("example.com/mark".into(), mark.clone());
    let status = wanted.status.get_or_insert_default();
    status.phase = None;
    status.addresses = serde_json::from_value(json!([
        {"type": "InternalIP", "address": "10.9.9.9"}, {"type": "InternalIP", "address": "fd00::9"},
        {"type": "Hostname", "address": mark},
    ]))
    .unwrap();
    let patch = node::status::patch(&node, &wanted).unwrap();
    let patched = api.patch_node_status(&patch).await.unwrap();
    assert_eq!(patched.status.as_ref().unwrap().addresses, wanted.status.as_ref().unwrap().addresses);
    let hears = seen.wait_for(|n| {
        n.as_ref().is_some_and(|n| {
            n.metadata.labels.as_ref().is_some_and(|l| l.get("example.com/mark") == Some(&mark))
        })
    });
    let heard = timeout(LONG, hears).await.unwrap().unwrap().clone().unwrap();
    assert_eq!(heard.metadata.managed_fields, None);
    // The controller manager annotates nodes whenever it likes.
    wanted.metadata.annotations.clone_from(&heard.metadata.annotations);
    assert_eq!(node::status::patch(&heard, &wanted), None);

    let mut lease = Lease::default();
    lease.metadata.name = Some(lab.plan().node_name.clone());
    lease.metadata.namespace = Some("kube-node-lease".into());
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(lab.plan().node_name.clone()),
        lease_duration_seconds: Some(40),
        ..LeaseSpec::default()
    });
    let lease = match api.get_lease().await {
        Ok(lease) => lease,
        Err(ApiError::NotFound(_)) => api.create_lease(&lease).await.unwrap(),
        Err(error) => panic!("{error}"),
    };
    let mut renewed = lease.clone();
    let seconds = lease.spec.as_ref().and_then(|s| s.lease_duration_seconds).unwrap();
    renewed.spec.as_mut().unwrap().lease_duration_seconds = Some(seconds + 1);
    let first = api.update_lease(&renewed).await.unwrap();
    renewed.spec.as_mut().unwrap().lease_duration_seconds = Some(seconds + 2);
    let stale = api.update_lease(&renewed).await;
    assert!(
        matches!(stale, Err(ApiError::Conflict { ref reason, .. }) if reason == "Conflict"),
        "{stale:?} {first:?}"
    );
}

pub(crate) async fn pods_statuses_and_events(lab: &Lab) {
    let api = start(lab);
    ensure_node(lab, &api).await;
    let ns = namespace(lab, "pods");
    let mut pods = api.pods();
    assert!(matches!(event(&mut pods).await, PodEvent::Snapshot(_)));
    make(lab, &[a_pod(lab, &ns, "a", 0)]);
    let pod = applied(&mut pods, &ns, "a", |_| true).await;
    assert_eq!(pod.metadata.managed_fields, None);
    let uid = pod.metadata.uid.clone().unwrap();

    let old = pod.status.clone().unwrap_or_default();
    let mut new = PodStatus { phase: Some("Running".into()), ..old.clone() };
    new.conditions.get_or_insert_default().push(PodCondition {
        type_: "Ready".into(),
        status: "True".into(),
        ..PodCondition::default()
    });
    let patch = patch::status_patch_pod(&old, &new, &uid).unwrap();
    let answer = api.patch_pod_status(&ns, "a", &patch).await.unwrap();
    assert_eq!(answer.status.as_ref().unwrap().phase.as_deref(), Some("Running"));
    applied(&mut pods, &ns, "a", |p| {
        p.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Running"))
    })
    .await;
    let foreign = patch::status_patch_pod(&old, &new, "another-uid").unwrap();
    let refused = api.patch_pod_status(&ns, "a", &foreign).await;
    assert!(matches!(refused, Err(ApiError::Status { code: 422, .. })), "{refused:?}");

    let mut event: Event = serde_json::from_value(json!({
        "metadata": {"name": "a.1", "namespace": ns}, "reason": "Pulled", "message": "m", "type": "Normal", "count": 1,
        "involvedObject": {"kind": "Pod", "namespace": ns, "name": "a", "uid": uid}, "source": {"component": "kubelet"},
    }))
    .unwrap();
    event.reporting_component = Some("kubelet".into());
    api.create_event(&event).await.unwrap();
    let patched = api.patch_event(&ns, "a.1", &json!({"count": 2})).await.unwrap();
    assert_eq!(patched.count, Some(2));

    let token = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(3600),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Pod".into()),
                name: Some("a".into()),
                uid: Some(uid.clone()),
            }),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = api.token(&ns, "default", &token).await.unwrap();
    assert!(answer.status.unwrap().token.is_some_and(|token| token.len() > 100));

    let wrong = api.delete_pod(&ns, "a", "another-uid", 0).await;
    assert!(matches!(wrong, Err(ApiError::Conflict { .. })), "{wrong:?}");
    api.delete_pod(&ns, "a", &uid, 0).await.unwrap();
    loop {
        if matches!(self::event(&mut pods).await, PodEvent::Deleted(p) if p.metadata.uid.as_ref() == Some(&uid))
        {
            break;
        }
    }
    // The node authorizer knows pods by their node: one that is gone is nobody's.
    let gone = api.get_pod(&ns, "a").await;
    assert!(matches!(gone, Err(ApiError::Forbidden(_) | ApiError::NotFound(_))), "{gone:?}");
}

pub(crate) async fn objects_of_pods_under_node_authorization(lab: &Lab) {
    let api = start(lab);
    ensure_node(lab, &api).await;
    let ns = namespace(lab, "objects");
    let mut changes = api.changes();
    let mut pods = api.pods();
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm", "namespace": ns}, "data": {"k": "1"}});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": ns}, "immutable": true, "stringData": {"k": "1"}});
    make(lab, &[config, secret]);
    // Not yet referred to by a pod of this node.
    let early = api.config_map(&ns, "cm").await;
    assert!(matches!(early, Err(ObjectError::Unavailable(_))), "{early:?}");
    make(lab, &[a_pod(lab, &ns, "a", 0)]);
    let pod = applied(&mut pods, &ns, "a", |_| true).await;
    api.register(&pod);
    let map: Arc<ConfigMap> = api.config_map(&ns, "cm").await.unwrap();
    assert_eq!(map.data.as_ref().unwrap()["k"], "1");
    let secret: Arc<Secret> = api.secret(&ns, "s").await.unwrap();
    assert_eq!(secret.data.as_ref().unwrap()["k"].0, b"1");
    let missing = api.secret(&ns, "gone").await.unwrap_err();
    assert_eq!(missing.to_string(), "secret \"gone\" not found");

    let path = format!("/api/v1/namespaces/{ns}/configmaps/cm");
    lab.api().unwrap().send("PATCH", &path, "merge-patch+json", r#"{"data":{"k":"2"}}"#).unwrap();
    let uid = timeout(LONG, changes.recv()).await.unwrap().unwrap();
    assert_eq!(Some(uid), pod.metadata.uid);
    assert_eq!(api.config_map(&ns, "cm").await.unwrap().data.as_ref().unwrap()["k"], "2");
}

pub(crate) async fn more_watches_than_one_connection_carries(lab: &Lab) {
    let api = start(lab);
    ensure_node(lab, &api).await;
    let ns = namespace(lab, "many");
    let mut pods = api.pods();
    let objects: Vec<Value> = (0..4).map(|i| a_pod(lab, &ns, &format!("p{i}"), 40)).collect();
    make(lab, &objects);
    for i in 0..4 {
        api.register(&*applied(&mut pods, &ns, &format!("p{i}"), |_| true).await);
    }
    for i in 0..4 {
        for j in 0..40 {
            let missing = api.config_map(&ns, &format!("p{i}-{j}")).await.unwrap_err();
            assert_eq!(missing.to_string(), format!("configmap \"p{i}-{j}\" not found"));
        }
    }
    // Room for calls is left.
    timeout(Duration::from_secs(5), api.get_pod(&ns, "p0")).await.unwrap().unwrap();
}

//! The bench's pods: what is asked for, and what of a pod's object the measures look at.

use serde_json::{Value, json};

use crate::images;

/// Selects the bench's pods, as `key=value` in a query string.
pub(super) const BENCH_LABEL: &str = "app%3Dbench";

/// Whether a pod's container is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// Ready as soon as it runs.
    None,
    /// Ready when it answers over HTTP.
    Http,
}

/// A pod with one container that ends at once when asked to, a token volume (the API server adds it) and an address of
/// its own, and that stays where it is whatever befalls the node.
pub(super) fn manifest(name: &str, probe: Probe) -> Value {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": "bench" } },
        "spec": {
            "terminationGracePeriodSeconds": 30,
            "tolerations": [{ "operator": "Exists" }],
            "containers": [{
                "name": "main",
                "image": images::TESTBOX,
                "imagePullPolicy": "IfNotPresent",
                "args": ["sleep"],
            }],
        },
    });
    if probe == Probe::Http {
        let container = &mut pod["spec"]["containers"][0];
        container["args"] = json!(["serve"]);
        container["readinessProbe"] = json!({ "httpGet": { "path": "/healthz", "port": 8080 } });
    }
    pod
}

/// The one container of a pod's status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Container {
    /// Id in the runtime, without the `containerd://`.
    pub(super) id: String,
    /// Whether its state is `running`.
    pub(super) is_running: bool,
    /// Whether it is ready.
    pub(super) is_ready: bool,
    /// How often it was started again.
    pub(super) restarts: u64,
}

/// What a watch event shows of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) uid: String,
    /// `metadata.generation`.
    pub(super) generation: i64,
    /// `status.observedGeneration`: the generation that the kubelet has acted on.
    pub(super) observed: i64,
    /// `status.phase`.
    pub(super) phase: String,
    /// Whether the condition Ready is True.
    pub(super) is_ready: bool,
    pub(super) container: Container,
}

impl Pod {
    /// Read an object; `None` if it is no pod.
    pub(super) fn of(object: &Value) -> Option<Self> {
        let (meta, status) = (&object["metadata"], &object["status"]);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let container = &status["containerStatuses"][0];
        let id = container["containerID"].as_str().unwrap_or_default();
        let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        Some(Self {
            name: text(&meta["name"])?,
            uid: text(&meta["uid"])?,
            generation: meta["generation"].as_i64().unwrap_or_default(),
            observed: status["observedGeneration"].as_i64().unwrap_or_default(),
            phase: text(&status["phase"]).unwrap_or_default(),
            is_ready: conditions
                .iter()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True"),
            container: Container {
                id: id.rsplit_once("://").map_or(id, |(_, id)| id).to_owned(),
                is_running: container["state"]["running"].is_object(),
                is_ready: container["ready"] == true,
                restarts: container["restartCount"].as_u64().unwrap_or_default(),
            },
        })
    }

    /// Whether its phase is Running.
    pub(super) fn is_running(&self) -> bool {
        self.phase == "Running"
    }

    /// Whether it and its container are Ready and the container is the one it was.
    pub(super) fn is_as_before(&self, before: &Self) -> bool {
        self.is_running()
            && self.is_ready
            && self.container.is_ready
            && self.container.id == before.container.id
            && self.container.restarts == before.container.restarts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> Value {
        json!({
            "metadata": { "name": "a", "uid": "u", "generation": 2 },
            "status": {
                "phase": "Running",
                "observedGeneration": 1,
                "conditions": [{ "type": "Initialized", "status": "True" }, { "type": "Ready", "status": "True" }],
                "containerStatuses": [{
                    "containerID": "containerd://c1", "ready": true, "restartCount": 0, "state": { "running": {} },
                }],
            },
        })
    }

    #[test]
    fn a_pods_object_is_read() {
        let pod = Pod::of(&running()).unwrap();
        assert_eq!((pod.generation, pod.observed, pod.is_running(), pod.is_ready), (2, 1, true, true));
        let container = Container { id: "c1".to_owned(), is_running: true, is_ready: true, restarts: 0 };
        assert_eq!(pod.container, container);
        let new = Pod::of(&json!({ "metadata": { "name": "a", "uid": "u" } })).unwrap();
        assert!(!new.is_running() && !new.is_ready && new.container == Container::default());
        assert_eq!(Pod::of(&json!({ "message": "no pod" })), None);
    }

    #[test]
    fn every_kind_of_flap_is_seen() {
        let before = Pod::of(&running()).unwrap();
        assert!(before.is_as_before(&before));
        for (at, value) in [
            ("/status/phase", json!("Pending")),
            ("/status/conditions/1/status", json!("False")),
            ("/status/containerStatuses/0/ready", json!(false)),
            ("/status/containerStatuses/0/restartCount", json!(1)),
            ("/status/containerStatuses/0/containerID", json!("containerd://c2")),
        ] {
            let mut object = running();
            *object.pointer_mut(at).unwrap() = value;
            assert!(!Pod::of(&object).unwrap().is_as_before(&before), "{at}");
        }
    }

    #[test]
    fn only_a_probed_pod_serves() {
        assert!(manifest("a", Probe::None)["spec"]["containers"][0]["readinessProbe"].is_null());
        assert_eq!(manifest("a", Probe::Http)["spec"]["containers"][0]["args"][0], "serve");
    }
}

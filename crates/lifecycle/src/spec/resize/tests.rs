use serde_json::{Value, json};

use super::*;

fn resources(memory: &str) -> Value {
    json!({"requests": {"cpu": "100m", "memory": memory}, "limits": {"memory": memory, "hugepages-2Mi": "4Mi"}})
}

fn pod(main: &Value, status: &Value) -> Arc<Pod> {
    let pod = json!({
        "metadata": {"name": "p"},
        "spec": {
            "initContainers": [{"name": "side", "restartPolicy": "Always", "resources": resources("64Mi")}],
            "containers": [{"name": "main", "resources": main}, {"name": "plain"}]
        },
        "status": status
    });
    Arc::new(serde_json::from_value(pod).unwrap())
}

/// What is reported of the container `main`.
fn reported(id: &str, allocated: &Value, in_force: &Value) -> Value {
    json!({"containerStatuses": [
        {"name": "main", "containerID": id, "allocatedResources": allocated, "resources": in_force,
         "image": "i", "imageID": "i", "ready": true, "restartCount": 0},
        {"name": "plain", "containerID": "cri://2", "resources": {},
         "image": "i", "imageID": "i", "ready": true, "restartCount": 0}
    ]})
}

fn of<'a>(pod: &'a Pod, name: &str) -> Option<&'a ResourceRequirements> {
    let mut containers = pod.spec.as_ref().unwrap().containers.iter();
    containers.find(|container| container.name == name).unwrap().resources.as_ref()
}

fn parsed(value: &Value) -> ResourceRequirements {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn a_running_pod_keeps_what_it_was_admitted_with() {
    let before = pod(&resources("128Mi"), &json!({}));
    let after = pod(&resources("32Mi"), &json!({"phase": "Running"}));
    let frozen = as_before(&after, &before);
    assert_eq!(of(&frozen, "main"), Some(&parsed(&resources("128Mi"))));
    assert_eq!(frozen.status, after.status, "all else is the new version's");
    assert!(Arc::ptr_eq(&as_before(&before, &before), &before));
    // What it did not have is not given either.
    let mut level = after.as_ref().clone();
    level.spec.as_mut().unwrap().resources = Some(parsed(&resources("1Gi")));
    assert_eq!(as_before(&Arc::new(level), &before).spec.as_ref().unwrap().resources, None);
}

#[test]
fn after_a_restart_the_status_tells_what_was_admitted() {
    let (old, new) = (resources("128Mi"), resources("32Mi"));
    let told = json!({"requests": {"cpu": "0.1", "memory": "134217728"}, "limits": {"memory": "128Mi"}});
    let frozen = as_reported(&pod(&new, &reported("cri://1", &told["requests"], &told)));
    let main = of(&frozen, "main").unwrap();
    let amount = |list: &Option<Amounts>, name: &str| list.as_ref().unwrap()[name].0.clone();
    assert_eq!(amount(&main.limits, "memory"), "128Mi");
    assert_eq!(amount(&main.requests, "memory"), "134217728");
    assert_eq!(amount(&main.requests, "cpu"), "100m", "the same amount, as the spec spells it");
    assert_eq!(amount(&main.limits, "hugepages-2Mi"), "4Mi", "which cannot be resized");
    assert_eq!(of(&frozen, "plain"), None);

    let at_rest = pod(&old, &reported("cri://1", &told["requests"], &told));
    assert!(Arc::ptr_eq(&as_reported(&at_rest), &at_rest));
    let unmade = pod(&new, &reported("", &told["requests"], &told));
    assert!(Arc::ptr_eq(&as_reported(&unmade), &unmade), "nothing has been made with other resources");
    let unreported = pod(&new, &json!({}));
    assert!(Arc::ptr_eq(&as_reported(&unreported), &unreported));
}

#[test]
fn a_limit_that_was_added_is_not_in_force() {
    let told = json!({"requests": {"cpu": "100m"}});
    let wanted = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}});
    let frozen = as_reported(&pod(&wanted, &reported("cri://1", &told["requests"], &told)));
    assert_eq!(of(&frozen, "main").unwrap().limits, None);
    let added = as_reported(&pod(&Value::Null, &reported("cri://1", &Value::Null, &json!({}))));
    assert_eq!(of(&added, "main"), None);
}

#[test]
fn a_pod_that_names_resources_itself_keeps_those_too() {
    let level = |cpu: &str| json!({"requests": {"cpu": cpu}, "limits": {"cpu": cpu}});
    let mut status = reported("cri://1", &Value::Null, &json!({}));
    status["allocatedResources"] = json!({"cpu": "1", "memory": "64Mi"});
    status["resources"] = json!({"requests": {"cpu": "1", "memory": "64Mi"}, "limits": {"cpu": "1"}});
    let mut wanted = pod(&Value::Null, &status).as_ref().clone();
    wanted.spec.as_mut().unwrap().resources = Some(parsed(&level("2")));
    let frozen = as_reported(&Arc::new(wanted));
    assert_eq!(frozen.spec.as_ref().unwrap().resources, Some(parsed(&level("1"))));
}

use serde_json::{Value, json};

use k8s_openapi::api::core::v1::PodStatus;

use super::super::log_status;

fn id(status: &Value, previous: bool) -> Result<String, String> {
    let status = json!({ "containerStatuses": [{
        "name": "c", "ready": false, "restartCount": 0, "image": "i", "imageID": "",
        "containerID": "fake://now", "state": status["state"], "lastState": status["lastState"],
    }] });
    let status: PodStatus = serde_json::from_value(status).unwrap();
    log_status::container_id("p", &status, "c", previous)
}

fn ended(id: &str) -> Value {
    json!({ "terminated": { "exitCode": 0, "containerID": id } })
}

#[test]
fn the_instance_whose_log_is_meant() {
    let running = json!({ "state": { "running": {} }, "lastState": ended("fake://before") });
    assert_eq!(id(&running, false).unwrap(), "fake://now");
    assert_eq!(id(&running, true).unwrap(), "fake://before");
    let crashed =
        json!({ "state": { "waiting": { "reason": "CrashLoopBackOff" } }, "lastState": ended("fake://l") });
    assert_eq!(id(&crashed, false).unwrap(), "fake://l");
    assert_eq!(id(&json!({ "state": ended("fake://e") }), false).unwrap(), "fake://e");
    let lost = json!({ "state": ended(""), "lastState": ended("fake://l") });
    assert_eq!(id(&lost, false).unwrap(), "fake://l");
}

#[test]
fn refusals_are_in_upstreams_words() {
    let waiting = |reason: &str| json!({ "state": { "waiting": { "reason": reason } } });
    for (status, previous, text) in [
        (
            waiting("ContainerCreating"),
            false,
            r#"container "c" in pod "p" is waiting to start: ContainerCreating"#,
        ),
        (
            waiting("ErrImagePull"),
            false,
            r#"container "c" in pod "p" is waiting to start: image can't be pulled"#,
        ),
        (
            waiting("ImagePullBackOff"),
            false,
            r#"container "c" in pod "p" is waiting to start: trying and failing to pull image"#,
        ),
        (json!({ "state": {} }), false, r#"container "c" in pod "p" is waiting to start - no logs yet"#),
        (json!({ "state": ended("") }), false, r#"container "c" in pod "p" is terminated"#),
        (
            json!({ "state": { "waiting": {} }, "lastState": ended("") }),
            false,
            r#"container "c" in pod "p" is terminated"#,
        ),
        (waiting("x"), true, r#"previous terminated container "c" in pod "p" not found"#),
    ] {
        assert_eq!(id(&status, previous).unwrap_err(), text);
    }
    let none = log_status::container_id("p", &PodStatus::default(), "c", false).unwrap_err();
    assert_eq!(none, r#"container "c" in pod "p" is not available"#);
}

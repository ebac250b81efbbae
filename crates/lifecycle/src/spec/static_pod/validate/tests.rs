#![allow(clippy::panic, reason = "a test that finds another kind of error fails with what it found")]

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    PodSource,
    spec::static_pod::{ManifestError, from_manifest},
};

/// What upstream says; `validation.go` beside it writes it.
const ANSWERS: &str = include_str!("../../../../testdata/validation.txt");

/// Merges a patch into a small pod (RFC 7386).
fn patched(patch: &Value) -> Value {
    fn merge(target: &mut Value, patch: &Value) {
        let Value::Object(patch) = patch else {
            *target = patch.clone();
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        for (name, value) in patch {
            merge(&mut target[name.as_str()], value);
        }
    }
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    merge(&mut pod, patch);
    pod
}

/// `field: detail` of each problem.
fn problems(patch: &Value) -> Vec<String> {
    let now = "2026-01-02T03:04:05Z".parse().unwrap();
    match from_manifest(patched(patch), "/m.yaml", PodSource::File, "node-1", now) {
        Err(ManifestError::Invalid(problems)) => {
            problems.into_iter().map(|problem| format!("{}: {}", problem.field, problem.detail)).collect()
        }
        Ok(_) | Err(ManifestError::Reference { .. }) => Vec::new(),
        Err(other) => panic!("{other:?}"),
    }
}

/// Writes `@N@` out as N times the letter x.
fn written_out(line: &str) -> String {
    let mut out = String::new();
    for (index, part) in line.split('@').enumerate() {
        match part.parse::<usize>() {
            Ok(count) if index % 2 == 1 => out.push_str(&"x".repeat(count)),
            _ => out.push_str(part),
        }
    }
    out
}

#[test]
fn the_answers_are_upstreams() {
    let mut cases: Vec<(Value, Vec<String>)> = Vec::new();
    for line in ANSWERS.lines() {
        if let Some(answer) = line.strip_prefix("  ") {
            cases.last_mut().unwrap().1.push(written_out(answer));
        } else if line.starts_with('{') {
            cases.push((serde_json::from_str(&written_out(line)).unwrap(), Vec::new()));
        }
    }
    assert!(cases.len() > 80);
    let mut differences = String::new();
    for (patch, mut expected) in cases {
        let mut found = problems(&patch);
        found.sort();
        expected.sort();
        if found != expected {
            let mut patch = patch.to_string();
            patch.truncate(600);
            let _ = writeln!(differences, "{patch}\n  found    {found:#?}\n  expected {expected:#?}");
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn mounts_are_named_in_every_path() {
    let patch = json!({"spec": {"volumes": [{"name": "v"}], "containers": [{"name": "c", "image": "i", "volumeMounts": [
        {"name": "v", "mountPath": "/a", "subPath": "/x"},
        {"name": "v", "mountPath": "/b", "subPath": "x", "subPathExpr": "../y"},
        {"name": "v", "mountPath": "/c", "mountPropagation": "Both", "recursiveReadOnly": "Always"},
        {"name": "v", "mountPath": "/d", "readOnly": true, "mountPropagation": "HostToContainer",
         "recursiveReadOnly": "Enabled"},
        {"name": "v", "mountPath": "/e", "mountPropagation": "None", "recursiveReadOnly": "IfPossible"},
        {"name": "v", "mountPath": "/f", "mountPropagation": "Bidirectional", "recursiveReadOnly": "Disabled"},
    ]}]}});
    let mount = |index: usize, rest: &str| format!("spec.containers[0].volumeMounts[{index}].{rest}");
    assert_eq!(
        problems(&patch),
        [
            mount(0, "subPath: Invalid value: \"/x\": must be a relative path"),
            mount(1, "subPathExpr: Invalid value: \"../y\": subPathExpr and subPath are mutually exclusive"),
            mount(1, "subPathExpr: Invalid value: \"../y\": must not contain '..'"),
            mount(
                2,
                "mountPropagation: Unsupported value: \"Both\": supported values: \"Bidirectional\", \
                 \"HostToContainer\", \"None\""
            ),
            mount(
                2,
                "recursiveReadOnly: Unsupported value: \"Always\": supported values: \"Disabled\", \"Enabled\", \
                 \"IfPossible\""
            ),
            mount(
                3,
                "recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified"
            ),
            mount(4, "recursiveReadOnly: Forbidden: may only be specified when readOnly is true"),
            mount(
                5,
                "mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged \
                 containers"
            ),
        ]
    );
}

#[test]
fn who_may_not_gain_privileges_may_not_have_them() {
    let of = |context: Value| {
        problems(&json!({"spec": {"containers": [{"name": "c", "image": "i", "securityContext": context}]}}))
    };
    let said = |rest: &str| {
        let start = "spec.containers[0].securityContext: Invalid value: \"\": cannot set";
        vec![format!("{start} `allowPrivilegeEscalation` to false and {rest}")]
    };
    assert_eq!(
        of(json!({"allowPrivilegeEscalation": false, "privileged": true})),
        said("`privileged` to true")
    );
    assert_eq!(
        of(
            json!({"allowPrivilegeEscalation": false, "capabilities": {"add": ["CAP_SYS_ADMIN", "SYS_ADMIN"]}})
        ),
        said("`capabilities.Add` CAP_SYS_ADMIN")
    );
    assert!(
        of(json!({"allowPrivilegeEscalation": false, "capabilities": {"add": ["SYS_ADMIN"]}})).is_empty()
    );
    assert!(of(json!({"privileged": true, "capabilities": {"add": ["CAP_SYS_ADMIN"]}})).is_empty());
}

#[test]
fn what_is_no_amount_is_said_wherever_it_stands() {
    let found = problems(&json!({"spec": {
        "containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "many"}}, "env": [
            {"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "one"}}},
        ]}],
        "resources": {"requests": {"cpu": "some"}},
        "overhead": {"cpu": "more"},
    }}));
    assert_eq!(
        found,
        [
            "spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"one\": is not a quantity",
            "spec.containers[0].resources.limits[cpu]: Invalid value: \"many\": is not a quantity",
            "spec.containers[0].resources.requests[cpu]: Invalid value: \"many\": is not a quantity",
            "spec.resources.requests[cpu]: Invalid value: \"some\": is not a quantity",
            "spec.overhead.limits[cpu]: Invalid value: \"more\": is not a quantity",
        ]
    );
}

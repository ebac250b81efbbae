#![allow(clippy::panic, reason = "a test that finds another kind of error fails with what it found")]

use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-01-02T03:04:05.678Z".parse().unwrap()
}

fn make(value: Value) -> Result<Pod, ManifestError> {
    from_manifest(value, "/etc/kubernetes/manifests/web.yaml", PodSource::File, "node-1", now())
}

fn manifest(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec})
}

fn small() -> Value {
    manifest(json!({"containers": [{"name": "c", "image": "busybox:1.36"}]}))
}

fn problems(spec: Value) -> Vec<(String, String)> {
    match make(manifest(spec)) {
        Err(ManifestError::Invalid(problems)) => problems.into_iter().map(|p| (p.field, p.detail)).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_small_pod_is_completed_as_the_api_would() {
    let pod = make(small()).unwrap();
    let uid = pod.metadata.uid.clone().unwrap();
    assert_eq!(uid.len(), 32);
    assert_eq!(
        serde_json::to_value(&pod).unwrap(),
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "web-node-1",
                "namespace": "default",
                "uid": uid,
                "annotations": {
                    "kubernetes.io/config.source": "file",
                    "kubernetes.io/config.seen": "2026-01-02T03:04:05.678Z",
                    "kubernetes.io/config.hash": uid,
                },
            },
            "spec": {
                "containers": [{
                    "name": "c",
                    "image": "busybox:1.36",
                    "imagePullPolicy": "IfNotPresent",
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                }],
                "dnsPolicy": "ClusterFirst",
                "enableServiceLinks": true,
                "nodeName": "node-1",
                "restartPolicy": "Always",
                "schedulerName": "default-scheduler",
                "securityContext": {},
                "terminationGracePeriodSeconds": 30,
                "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
            },
            "status": {"phase": "Pending"},
        })
    );
}

#[test]
fn every_default() {
    let pod = make(manifest(json!({
        "hostNetwork": true,
        "terminationGracePeriodSeconds": -3,
        "containers": [{
            "name": "c",
            "image": "busybox",
            "ports": [{"containerPort": 80}],
            "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "resources": {"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": "100m"}},
            "livenessProbe": {"httpGet": {"port": 80}},
            "readinessProbe": {"grpc": {"port": 80}, "periodSeconds": 5},
            "lifecycle": {"preStop": {"httpGet": {"port": "x"}}},
        }],
        "volumes": [
            {"name": "none"},
            {"name": "host", "hostPath": {"path": "/x"}},
            {"name": "down", "downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            {"name": "proj", "projected": {"sources": [{"downwardAPI": {}}]}},
            {"name": "img", "image": {"reference": "r/x:1"}},
        ],
    })))
    .unwrap();
    let spec = serde_json::to_value(pod.spec.unwrap()).unwrap();
    let container = &spec["containers"][0];
    assert_eq!(container["imagePullPolicy"], "Always");
    assert_eq!(container["ports"], json!([{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]));
    assert_eq!(container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"], "v1");
    assert_eq!(
        container["resources"],
        json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "1Gi"}})
    );
    assert_eq!(
        container["livenessProbe"],
        json!({
            "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
            "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
        })
    );
    assert_eq!(container["readinessProbe"]["grpc"], json!({"port": 80, "service": ""}));
    assert_eq!(container["readinessProbe"]["periodSeconds"], 5);
    assert_eq!(
        container["lifecycle"]["preStop"]["httpGet"],
        json!({"port": "x", "path": "/", "scheme": "HTTP"})
    );
    assert_eq!(spec["terminationGracePeriodSeconds"], 1);
    assert_eq!(
        spec["volumes"],
        json!([
            {"name": "none", "emptyDir": {}},
            {"name": "host", "hostPath": {"path": "/x", "type": ""}},
            {"name": "down", "downwardAPI": {"defaultMode": 420, "items": [
                {"path": "p", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}
            ]}},
            {"name": "proj", "projected": {"defaultMode": 420, "sources": [{"downwardAPI": {}}]}},
            {"name": "img", "image": {"reference": "r/x:1", "pullPolicy": "IfNotPresent"}},
        ])
    );
}

#[test]
fn identity() {
    let first = make(small()).unwrap();
    assert_eq!(first, make(small()).unwrap());
    let edited = make(manifest(json!({"containers": [{"name": "c", "image": "busybox:1.37"}]}))).unwrap();
    assert_ne!(first.metadata.uid, edited.metadata.uid);

    let mut named = small();
    named["metadata"] = json!({"name": "web", "namespace": "kube-system", "uid": "mine"});
    let pod = from_manifest(named, "http://x/", PodSource::Http, "n", now()).unwrap();
    assert_eq!(pod.metadata.uid.as_deref(), Some("mine"));
    assert_eq!(pod.metadata.namespace.as_deref(), Some("kube-system"));
    let annotations = pod.metadata.annotations.unwrap();
    assert_eq!(annotations[SOURCE_ANNOTATION], "http");
    assert_eq!(annotations[HASH_ANNOTATION], "mine");
    assert_eq!(pod.spec.unwrap().tolerations, None);
}

#[test]
fn the_toleration_is_not_doubled() {
    let mut value = small();
    value["spec"]["tolerations"] =
        json!([{"operator": "Exists", "effect": "NoExecute"}, {"key": "a", "operator": "Exists"}]);
    assert_eq!(make(value).unwrap().spec.unwrap().tolerations.unwrap().len(), 2);
}

#[test]
fn not_a_pod() {
    let error = make(json!({"apiVersion": "apps/v1", "kind": "Deployment"})).unwrap_err().to_string();
    assert!(error.starts_with("not a pod: apiVersion \"apps/v1\", kind \"Deployment\"\nhint: "), "{error}");
    assert!(matches!(make(json!([1])), Err(ManifestError::NotAPod { .. })));
    assert_eq!(make(json!({"apiVersion": "v1", "kind": "Pod"})), Err(ManifestError::NoName));
}

#[test]
fn type_errors_name_the_field() {
    let mut value = small();
    value["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "x"}, {"name": "B", "value": 5}]);
    match make(value).unwrap_err() {
        ManifestError::Type { field, message } => {
            assert_eq!(field, "spec.containers[0].env[1].value");
            // Without a line and a column: they would be of a text that nobody wrote.
            assert_eq!(message, "invalid type: integer `5`, expected a string");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn problems_come_together_with_their_fields() {
    let found = problems(json!({
        "restartPolicy": "Sometimes",
        "hostname": "A",
        "containers": [
            {"name": "c", "image": "x", "ports": [
                {"name": "p", "containerPort": 80, "hostPort": 8080},
                {"name": "p", "containerPort": 70000, "protocol": "ICMP"},
                {"containerPort": 0},
            ]},
            {"name": "c", "ports": [{"containerPort": 1, "hostPort": 8080}], "imagePullPolicy": "Ever"},
            {"name": "Bad_Name", "image": "x", "volumeMounts": [
                {"name": "nope", "mountPath": "/a"},
                {"name": "v", "mountPath": "/a", "subPath": "../x"},
                {"name": "v", "mountPath": "/b", "mountPropagation": "Bidirectional"},
            ]},
        ],
        "initContainers": [{"name": "c", "image": "x", "livenessProbe": {"exec": {"command": ["x"]}}}],
        "volumes": [{"name": "v"}, {"name": "v"}, {"name": "h", "hostPath": {"path": "/a/../b", "type": "Door"}},
                    {"name": "two", "emptyDir": {}, "hostPath": {"path": "/"}}],
    }));
    let label = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    let expected = [
        ("spec.volumes[1].name", "Duplicate value: \"v\"".to_owned()),
        ("spec.volumes[2].hostPath.path", "Invalid value: \"/a/../b\": must not contain '..'".to_owned()),
        ("spec.volumes[2].hostPath.type", "Unsupported value: \"Door\": supported values: \"\", \"BlockDevice\", \"CharDevice\", \"Directory\", \"DirectoryOrCreate\", \"File\", \"FileOrCreate\", \"Socket\"".to_owned()),
        ("spec.volumes[3].hostPath", "Forbidden: may not specify more than 1 volume type".to_owned()),
        ("spec.containers[0].ports[1].name", "Duplicate value: \"p\"".to_owned()),
        ("spec.containers[0].ports[1].containerPort", "Invalid value: 70000: must be between 1 and 65535, inclusive".to_owned()),
        ("spec.containers[0].ports[1].protocol", "Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"".to_owned()),
        ("spec.containers[0].ports[2].containerPort", "Required value".to_owned()),
        ("spec.containers[1].image", "Required value".to_owned()),
        ("spec.containers[1].imagePullPolicy", "Unsupported value: \"Ever\": supported values: \"Always\", \"IfNotPresent\", \"Never\"".to_owned()),
        ("spec.containers[1].name", "Duplicate value: \"c\"".to_owned()),
        ("spec.containers[1].ports[0].hostPort", "Duplicate value: \"TCP//8080\"".to_owned()),
        ("spec.containers[2].name", format!("Invalid value: \"Bad_Name\": {label}")),
        ("spec.containers[2].volumeMounts[0].name", "Not found: \"nope\"".to_owned()),
        ("spec.containers[2].volumeMounts[1].mountPath", "Invalid value: \"/a\": must be unique".to_owned()),
        ("spec.containers[2].volumeMounts[1].subPath", "Invalid value: \"../x\": must not contain '..'".to_owned()),
        ("spec.containers[2].volumeMounts[2].mountPropagation", "Forbidden: Bidirectional mount propagation is available only to privileged containers".to_owned()),
        ("spec.initContainers[0].livenessProbe", "Forbidden: may not be set for init containers without restartPolicy=Always".to_owned()),
        ("spec.initContainers[0].name", "Duplicate value: \"c\"".to_owned()),
        ("spec.hostname", format!("Invalid value: \"A\": {label}")),
        ("spec.restartPolicy", "Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"".to_owned()),
    ];
    let expected: Vec<(String, String)> = expected.into_iter().map(|(f, d)| (f.to_owned(), d)).collect();
    assert_eq!(found, expected);
}

#[test]
fn problems_are_printed_with_hints() {
    let error = make(manifest(json!({"containers": [{"name": "c"}]}))).unwrap_err().to_string();
    assert_eq!(
        error,
        "invalid pod:\n  spec.containers[0].image: Required value\n    hint: name the image to run, such as registry.k8s.io/pause:3.10"
    );
}

#[test]
fn probes_and_resources() {
    let found = problems(json!({"containers": [{
        "name": "c", "image": "x",
        "livenessProbe": {"successThreshold": 2, "tcpSocket": {"port": 0}, "exec": {}},
        "readinessProbe": {"terminationGracePeriodSeconds": 5},
        "resources": {
            "requests": {"cpu": "2", "memory": "lots", "example.com/gpu": 1, "hugepages-2Mi": "4Mi"},
            "limits": {"cpu": "1", "hugepages-2Mi": "2Mi", "disk": "1"},
        },
    }]}));
    let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
    let p = "spec.containers[0]";
    for expected in [
        format!("{p}.livenessProbe.tcpSocket"),
        format!("{p}.livenessProbe.exec.command"),
        format!("{p}.livenessProbe.successThreshold"),
        format!("{p}.readinessProbe"),
        format!("{p}.readinessProbe.terminationGracePeriodSeconds"),
        format!("{p}.resources.requests[memory]"),
        format!("{p}.resources.limits[disk]"),
        format!("{p}.resources.requests"),
        format!("{p}.resources.limits"),
    ] {
        assert!(fields.contains(&expected.as_str()), "{expected} not in {found:?}");
    }
    let details: Vec<&str> = found.iter().map(|(_, detail)| detail.as_str()).collect();
    assert!(details.contains(&"Invalid value: \"2\": must be less than or equal to cpu limit of 1"));
    assert!(details.contains(&"Invalid value: \"4Mi\": must be equal to hugepages-2Mi limit of 2Mi"));
}

#[test]
fn references_to_the_api_are_refused() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut value = small();
        change(&mut value["spec"]);
        match make(value).unwrap_err() {
            ManifestError::Reference { resource } => resource,
            other => panic!("{other:?}"),
        }
    };
    let volume = |source: Value| {
        with(&|spec: &mut Value| {
            let mut volume = source.clone();
            volume["name"] = json!("v");
            spec["volumes"] = json!([volume]);
        })
    };
    assert_eq!(with(&|spec| spec["serviceAccountName"] = json!("x")), "serviceaccounts");
    assert_eq!(with(&|spec| spec["serviceAccount"] = json!("x")), "serviceaccounts");
    assert_eq!(with(&|spec| spec["imagePullSecrets"] = json!([{"name": "x"}])), "secrets");
    assert_eq!(
        with(&|spec| spec["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "x"}}])),
        "secrets"
    );
    assert_eq!(
        with(&|spec| {
            spec["containers"][0]["env"] =
                json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "k"}}}]);
        }),
        "configmaps"
    );
    assert_eq!(with(&|spec| spec["resourceClaims"] = json!([{"name": "x"}])), "resourceclaims");
    assert_eq!(volume(json!({"secret": {"secretName": "x"}})), "secrets");
    assert_eq!(volume(json!({"configMap": {"name": "x"}})), "configmaps");
    assert_eq!(volume(json!({"persistentVolumeClaim": {"claimName": "x"}})), "persistentvolumeclaims");
    assert_eq!(volume(json!({"ephemeral": {}})), "persistentvolumeclaims (via ephemeral volumes)");
    assert_eq!(volume(json!({"csi": {"driver": "d"}})), "csidrivers (via CSI volumes)");
    assert_eq!(
        volume(json!({"projected": {"sources": [{"clusterTrustBundle": {"path": "p"}}]}})),
        "clustertrustbundles"
    );
    let error = ManifestError::Reference { resource: "secrets" }.to_string();
    assert!(error.starts_with("static pods may not reference secrets\nhint: "));
}

#[test]
fn priority_warnings() {
    let warn = |priority: Value, class: &str| {
        let mut value = small();
        value["spec"]["priority"] = priority;
        value["spec"]["priorityClassName"] = json!(class);
        priority_warning(&make(value).unwrap())
    };
    assert_eq!(warn(Value::Null, ""), None);
    assert_eq!(warn(json!(2_000_001_000), "system-node-critical"), None);
    assert!(warn(Value::Null, "x").unwrap().contains("nil priority"));
    assert!(warn(json!(1), "").unwrap().contains("without priorityClassName"));
    assert!(warn(json!(1), "system-node-critical").unwrap().contains("other than 2000001000"));
}

#[test]
fn amounts_of_the_pod_and_its_overhead_are_checked_as_those_of_containers() {
    let of = |field: &str, value: Value| {
        let mut spec = json!({"containers": [{"name": "c", "image": "i"}]});
        spec[field] = value;
        problems(spec)
    };
    let said = |field: &str, detail: &str| vec![(field.to_owned(), detail.to_owned())];
    assert_eq!(
        of("overhead", json!({"cpu": "-1"})),
        said("spec.overhead.limits[cpu]", "Invalid value: \"-1\": must be greater than or equal to 0")
    );
    assert_eq!(
        of("resources", json!({"requests": {"memory": "-1Gi"}})),
        said(
            "spec.resources.requests[memory]",
            "Invalid value: \"-1Gi\": must be greater than or equal to 0"
        )
    );
    assert_eq!(
        of("resources", json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}})),
        said("spec.resources.requests", "Invalid value: \"2\": must be less than or equal to cpu limit of 1")
    );
    assert_eq!(
        of("resources", json!({"limits": {"ephemeral-storage": "1Gi"}})),
        said(
            "spec.resources.limits[ephemeral-storage]",
            "Unsupported value: \"ephemeral-storage\": supported values: \"cpu\", \"hugepages-\", \"memory\""
        )
    );
    assert!(
        make(manifest(json!({
            "containers": [{"name": "c", "image": "i"}],
            "overhead": {"cpu": "10m", "memory": "1Mi"},
            "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "hugepages-2Mi": "4Mi"}},
        })))
        .is_ok()
    );
}

//! The node object, and the statuses of five pods at rest, as upstream's kubelet and ours report them on one machine:
//! they differ only where `docs/compat.md` says so.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lab::Runtime;
use node_tests::{
    OBJECTS,
    beside::{Beside, NODE},
    known::Known,
    normal::Normal,
    play::{Case, End, play},
    recorder::Past,
};
use serde_json::{Map, Value, json};

const BOUND: Duration = Duration::from_secs(120);

const BEST_EFFORT: &str = r#"
containers:
- {name: main, image: $BUSYBOX, command: [sleep, "1000"]}
"#;

const GUARANTEED: &str = r#"
containers:
- name: main
  image: $TESTBOX
  args: [serve]
  ports: [{containerPort: 8080, name: http}]
  resources:
    requests: {cpu: 250m, memory: 64Mi}
    limits: {cpu: 250m, memory: 64Mi}
  startupProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1, timeoutSeconds: 10, failureThreshold: 30}
  readinessProbe: {grpc: {port: 8082}, periodSeconds: 1, timeoutSeconds: 10}
  livenessProbe: {tcpSocket: {port: 8081}, periodSeconds: 5, timeoutSeconds: 10}
"#;

const SIDECAR: &str = r#"
securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 2000, supplementalGroups: [3000]}
initContainers:
- name: prepare
  image: $TESTBOX
  args: [exit, --stdout, prepared, --message, done]
  resources: {requests: {cpu: 300m, memory: 32Mi}}
- name: helper
  image: $TESTBOX
  args: [serve]
  restartPolicy: Always
  startupProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1, timeoutSeconds: 10, failureThreshold: 30}
  resources: {requests: {cpu: 50m, memory: 16Mi}, limits: {memory: 256Mi}}
containers:
- name: main
  image: $BUSYBOX
  command: [sleep, "1000"]
  resources: {requests: {cpu: 100m}, limits: {cpu: "1"}}
- name: beside
  image: $BUSYBOX
  command: [sleep, "1000"]
"#;

const VOLUMES: &str = r#"
hostNetwork: true
containers:
- name: main
  image: $BUSYBOX
  command: [sleep, "1000"]
  env:
  - {name: GREETING, valueFrom: {configMapKeyRef: {name: settings, key: greeting}}}
  - {name: PASSWORD, valueFrom: {secretKeyRef: {name: credentials, key: password}}}
  resources: {requests: {cpu: 10m, memory: 16Mi, ephemeral-storage: 1Mi}, limits: {memory: 128Mi}}
  volumeMounts:
  - {name: settings, mountPath: /settings}
  - {name: credentials, mountPath: /credentials, readOnly: true, recursiveReadOnly: IfPossible}
  - {name: about, mountPath: /about}
  - {name: scratch, mountPath: /scratch}
  - {name: all, mountPath: /all, readOnly: true}
volumes:
- {name: settings, configMap: {name: settings}}
- {name: credentials, secret: {secretName: credentials}}
- name: about
  downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}
- {name: scratch, emptyDir: {}}
- name: all
  projected:
    sources:
    - {serviceAccountToken: {path: token, expirationSeconds: 3600}}
    - {configMap: {name: settings}}
"#;

const FAILS: &str = r#"
restartPolicy: Never
containers:
- {name: bad, image: $TESTBOX, args: [exit, --code, "3", --message, no luck]}
- {name: good, image: $TESTBOX, args: [exit]}
"#;

fn running_and_ready(past: &Past) -> bool {
    past.phase() == "Running" && past.holds("Ready")
}

fn cases() -> Vec<Case> {
    let ready = |name, spec| Case::pod(name, spec, End::Rest(running_and_ready));
    vec![
        ready("best-effort", BEST_EFFORT),
        ready("guaranteed", GUARANTEED),
        ready("sidecar", SIDECAR),
        ready("volumes", VOLUMES).with(OBJECTS),
        Case::pod("fails", FAILS, End::Rest(|past| past.phase() == "Failed")),
    ]
}

/// What a kubelet says of its node. What the API server and the controllers write is left out.
fn node(node: &Value) -> Value {
    let keys = |list: &Value, own: &[&str]| -> Value {
        let fields = list.as_object().into_iter().flatten();
        fields.filter(|(key, _)| !own.contains(&key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    json!({
        "metadata": {
            "name": node["metadata"]["name"],
            "labels": node["metadata"]["labels"],
            "annotations": keys(&node["metadata"]["annotations"], &["node.alpha.kubernetes.io/ttl"]),
        },
        "spec": keys(&node["spec"], &["podCIDR", "podCIDRs", "taints"]),
        "status": node["status"],
    })
}

fn compare(runtime: Runtime, name: &str) -> Result<()> {
    let beside = Beside::up(name, runtime)?;
    let cases = cases();
    let seen = beside.each(|lab| {
        let normal = Normal::of(lab)?;
        let mut objects = Map::new();
        for (case, played) in cases.iter().zip(play(lab, &cases, BOUND)?) {
            let status = &played.past.now()["status"];
            ensure!(played.ended, "{} did not come to rest within {BOUND:?}: {status}", case.name);
            let mut status = json!({ "status": status });
            normal.numbered(&mut status);
            objects.insert(format!("Pod {}", case.name), status);
        }
        let mut node = node(&lab.api()?.get(&format!("/api/v1/nodes/{NODE}"))?);
        normal.named(&mut node);
        objects.insert("Node".to_owned(), node);
        Ok(Value::Object(objects))
    })?;
    seen.keep(Path::new(env!("CARGO_TARGET_TMPDIR")), "statuses")?;
    let mut known = Known::of("statuses")?;
    known.sort(&seen);
    beside.down().context("take the labs down")?;
    known.check()
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn statuses_beside_upstream_on_containerd_2() {
    compare(Runtime::Containerd2, "t-status").unwrap();
}

//! Configuration that is missing, wrong or unusual; images; what the node refuses.

use anyhow::Result;
use lab::Lab;
use node_tests::{
    beside::NODE,
    play::{Case, End},
    recorder::Past,
};
use serde_json::Value;

use super::{phase_failed, ready};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = configuration();
    all.extend(images());
    all.extend(admission());
    all
}

fn configuration() -> Vec<Case> {
    vec![
        Case::pod("config-map-later", CONFIG_MAP_LATER, End::Rest(ready)).step(
            |past| past.reason("main") == "CreateContainerConfigError" && past.event("Failed"),
            |lab| lab.kubectl(&["create", "configmap", "later", "--from-literal=key=value"]).map(drop),
        ),
        Case::pod("secret-later", SECRET_LATER, End::Rest(ready)).step(
            |past| past.event("FailedMount"),
            |lab| {
                lab.kubectl(&["create", "secret", "generic", "later", "--from-literal=key=value"]).map(drop)
            },
        ),
        Case::pod("not-root", &not_root("registry.test/busybox:1"), End::Rest(tried_again)),
        Case::pod("not-root-by-name", &not_root("registry.test/testbox:named"), End::Rest(tried_again)),
        Case::pod("volumes", VOLUMES, End::Rest(ready)),
        Case::pod("sub-path-expression", SUB_PATH_EXPRESSION, End::Rest(config_error)),
        Case::pod(
            "host",
            "hostNetwork: true\nhostPID: true\nhostIPC: true\ncontainers:\n- {name: main, image: $TESTBOX, args: [sleep]}",
            End::Rest(ready),
        ),
        Case::pod(
            "shared-processes",
            "shareProcessNamespace: true\ncontainers:\n\
             - {name: main, image: $TESTBOX, args: [sleep]}\n- {name: other, image: $TESTBOX, args: [sleep]}",
            End::Rest(ready),
        ),
        Case::pod("resources", RESOURCES, End::Rest(ready)),
        Case::pod("gates", GATES, End::Rest(ready)).step(
            |past| past.holds("ContainersReady"),
            |lab| {
                let patch = r#"{"status":{"conditions":[{"type":"example.com/b","status":"True"}]}}"#;
                lab.kubectl(&["patch", "pod", "gates", "--subresource=status", "--patch", patch]).map(drop)
            },
        ),
    ]
}

/// The second try finds the image that the first one pulled.
fn tried_again(past: &Past) -> bool {
    let told = |event: &Value| event["message"].as_str().is_some_and(|text| text.contains("already present"));
    config_error(past) && past.events.iter().any(|event| told(event))
}

fn config_error(past: &Past) -> bool {
    past.reason("main") == "CreateContainerConfigError" && past.event("Failed")
}

const CONFIG_MAP_LATER: &str = r#"
containers:
- name: main
  image: $TESTBOX
  args: [sleep]
  env: [{name: KEY, valueFrom: {configMapKeyRef: {name: later, key: key}}}]
"#;

const SECRET_LATER: &str = r#"
containers:
- {name: main, image: $TESTBOX, args: [sleep], volumeMounts: [{name: v, mountPath: /v}]}
volumes: [{name: v, secret: {secretName: later}}]
"#;

fn not_root(image: &str) -> String {
    format!(
        "securityContext: {{runAsNonRoot: true}}\ncontainers:\n- {{name: main, image: {image}, command: [sleep, '1000']}}"
    )
}

const VOLUMES: &str = r#"
securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 2000}
containers:
- name: main
  image: $TESTBOX
  args: [sleep]
  volumeMounts:
  - {name: scratch, mountPath: /scratch, subPath: one}
  - {name: scratch, mountPath: /again, subPathExpr: two, readOnly: true}
  - {name: all, mountPath: /all}
  - {name: memory, mountPath: /memory}
volumes:
- {name: scratch, emptyDir: {}}
- {name: memory, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
- name: all
  projected:
    sources:
    - {serviceAccountToken: {path: token, expirationSeconds: 3600}}
    - {downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}
    - {configMap: {name: missing, optional: true}}
"#;

const SUB_PATH_EXPRESSION: &str = r#"
containers:
- {name: main, image: $TESTBOX, args: [sleep], volumeMounts: [{name: v, mountPath: /v, subPathExpr: $(NOTHING)}]}
volumes: [{name: v, emptyDir: {}}]
"#;

const RESOURCES: &str = r#"
containers:
- {name: a, image: $TESTBOX, args: [sleep], resources: {requests: {cpu: 1m, memory: 1Mi}, limits: {cpu: 5m, memory: 64Mi}}}
- {name: b, image: $TESTBOX, args: [sleep], resources: {requests: {cpu: "0.1", memory: 1000k}, limits: {cpu: 1500m, memory: 128M}}}
- {name: c, image: $TESTBOX, args: [sleep], resources: {limits: {ephemeral-storage: 1Gi}}}
"#;

const GATES: &str = r#"
readinessGates: [{conditionType: example.com/b}]
containers:
- {name: main, image: $TESTBOX, args: [sleep]}
"#;

fn images() -> Vec<Case> {
    let image = |image: &str, policy: &str, more: &str| {
        format!(
            "{more}containers:\n- {{name: main, image: '{image}', imagePullPolicy: {policy}, command: [/testbox, sleep]}}"
        )
    };
    let waits = |name, spec: &str, end| Case::pod(name, spec, End::Rest(end));
    vec![
        waits("never-pulled", &image("registry.test/testbox:2", "Never", ""), |past| {
            past.reason("main") == "ErrImageNeverPull" && has_sandbox(past)
        }),
        waits("no-name", &image("registry.test/NO:1", "IfNotPresent", ""), |past| {
            past.reason("main") == "InvalidImageName" && has_sandbox(past)
        }),
        waits("no-image", &image("registry.test/nothing:1", "IfNotPresent", ""), image_back_off),
        waits("no-registry", &image("127.0.0.1:1/nothing:1", "IfNotPresent", ""), image_back_off),
        waits("no-password", &image("private.registry.test/testbox:1", "IfNotPresent", ""), image_back_off),
        waits(
            "no-secret",
            &image(
                "private.registry.test/testbox:1",
                "IfNotPresent",
                "imagePullSecrets: [{name: nowhere}]\n",
            ),
            image_back_off,
        ),
        waits(
            "wrong-password",
            &image("private.registry.test/testbox:1", "IfNotPresent", "imagePullSecrets: [{name: wrong}]\n"),
            image_back_off,
        )
        .with(&password("wrong", "sesam")),
        waits("pulled", &image("registry.test/testbox:user1000", "Always", ""), ready),
    ]
}

fn image_back_off(past: &Past) -> bool {
    past.reason("main") == "ImagePullBackOff" && has_sandbox(past)
}

/// Ours looks for the image while the sandbox is made.
fn has_sandbox(past: &Past) -> bool {
    past.holds("PodReadyToStartContainers")
}

fn password(secret: &str, password: &str) -> String {
    let login = format!(
        "{{\"auths\": {{\"private.registry.test\": {{\"username\": \"lab\", \"password\": \"{password}\"}}}}}}"
    );
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {secret}}}\ntype: kubernetes.io/dockerconfigjson\n\
         stringData: {{.dockerconfigjson: '{login}'}}"
    )
}

fn admission() -> Vec<Case> {
    let refused = |name, spec: &str| {
        let spec = format!(
            "nodeName: {NODE}\n{spec}\ncontainers:\n- {{name: main, image: $TESTBOX, args: [sleep]}}"
        );
        Case::pod(name, &spec, End::Rest(phase_failed))
    };
    vec![
        refused("affinity", "nodeSelector: {no: such}"),
        refused("sysctl", "securityContext: {sysctls: [{name: kernel.msgmax, value: '65536'}]}"),
        refused("windows", "os: {name: windows}"),
        Case::pod(
            "out-of-cpu",
            "nodeName: node\ncontainers:\n- {name: main, image: $TESTBOX, resources: {requests: {cpu: '1000'}}}",
            End::Rest(phase_failed),
        ),
        Case::pod(
            "out-of-extended",
            "containers:\n- {name: main, image: $TESTBOX, args: [sleep], resources: {limits: {example.com/thing: 2}}}",
            End::Rest(|past| past.phase() == "Pending"),
        ),
        Case::pod("port", PORT, End::Rest(ready)).step(ready, same_port),
        Case::later("same-port", End::Rest(phase_failed)),
        Case::pod(
            "no-handler",
            "runtimeClassName: nothing\ncontainers:\n- {name: main, image: $TESTBOX, args: [sleep]}",
            End::Rest(|past| past.event("FailedCreatePodSandBox")),
        )
        .with("apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: nothing}\nhandler: nothing"),
    ]
}

const PORT: &str = r#"
containers:
- {name: main, image: $TESTBOX, args: [serve], ports: [{containerPort: 8080, hostPort: 18080}]}
"#;

fn same_port(lab: &Lab) -> Result<()> {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: same-port}\nspec:\n  nodeName: node\n  containers:\n  \
               - {name: main, image: registry.test/testbox:1, ports: [{containerPort: 8080, hostPort: 18080}]}\n";
    lab.apply(pod).map(drop)
}

//! What containers are given: their environment from every source, their words, and paths made of both.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{NODE, api, seen::Seen, stage::Case};

/// What is there before the pods.
pub(super) const OBJECTS: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: environment}
data: {plain: value-1, dotted.key-1: value-2, 1digit: value-3}
---
apiVersion: v1
kind: Secret
metadata: {name: environment}
stringData: {password: s3cret, other: value-4}
---
apiVersion: v1
kind: Service
metadata: {name: foo-service}
spec: {ports: [{port: 8765, name: web}], selector: {nobody: here}}
"#;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::pod(&[11, 12, 14], "environment", ENVIRONMENT).must(|seen| {
            seen.ready()?;
            configured(seen)?;
            service(seen)?;
            downward(seen)
        }),
        Case::pod(&[24], "expanded", EXPANDED).must(|seen| {
            seen.phase("Succeeded")?;
            let words = seen.log("words");
            ensure!(words == "test-value\n$(MISSING)\n$(TEST)\nin test-value\n", "it got {words}");
            seen.printed("variables", &["FOOBAR=foo-value;;bar-value", "EARLY=$(LATE)"])?;
            seen.printed("sub-path", &["here"])
        }),
        Case::pod(&[24], "sub-path-refused", REFUSED)
            .never(|seen| {
                for name in ["up", "absolute"] {
                    let state = &seen.container(name)["state"];
                    ensure!(
                        state["running"].is_null() && state["terminated"].is_null(),
                        "{name} ran: {state}"
                    );
                }
                Ok(())
            })
            .must(|seen| ["up", "absolute"].iter().try_for_each(|name| refused(seen, name))),
        sub_path_later(),
        Case::pod(&[20], "words", WORDS).must(|seen| {
            // Of the image: `/testbox serve`.
            seen.printed("image", &["serving"])?;
            for (name, want) in
                [("command", "command alone\n"), ("args", "args alone\n"), ("both", "command\nargs\n")]
            {
                seen.reason(name, "Completed")?;
                let words = seen.log(name);
                ensure!(words == want, "{name} got {words:?}");
            }
            Ok(())
        }),
    ]
}

const ENVIRONMENT: &str = r#"
terminationGracePeriodSeconds: 1
containers:
- name: limited
  image: $TESTBOX
  args: [print-env, --stay]
  resources: {requests: {cpu: 20m, memory: 16Mi}, limits: {cpu: 250m, memory: 64Mi}}
  envFrom:
  - {configMapRef: {name: environment}}
  - {configMapRef: {name: environment}, prefix: C_}
  - {secretRef: {name: environment}, prefix: S_}
  - {configMapRef: {name: missing, optional: true}}
  - {secretRef: {name: missing, optional: true}}
  env:
  - {name: FROM_CONFIG, valueFrom: {configMapKeyRef: {name: environment, key: plain}}}
  - {name: FROM_SECRET, valueFrom: {secretKeyRef: {name: environment, key: password}}}
  - {name: NO_KEY, valueFrom: {configMapKeyRef: {name: environment, key: missing, optional: true}}}
  - {name: NO_SECRET, valueFrom: {secretKeyRef: {name: missing, key: missing, optional: true}}}
  - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
  - {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
  - {name: UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
  - {name: LABEL, valueFrom: {fieldRef: {fieldPath: "metadata.labels['case']"}}}
  - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
  - {name: POD_IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
  - {name: HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
  - {name: HOST_IPS, valueFrom: {fieldRef: {fieldPath: status.hostIPs}}}
  - {name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
  - {name: ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
  - {name: CPU_LIMIT, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
  - {name: CPU_LIMIT_MILLI, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
  - {name: CPU_REQUEST, valueFrom: {resourceFieldRef: {resource: requests.cpu, divisor: 1m}}}
  - {name: MEMORY_LIMIT, valueFrom: {resourceFieldRef: {resource: limits.memory}}}
  - {name: MEMORY_REQUEST, valueFrom: {resourceFieldRef: {resource: requests.memory, divisor: 1Mi}}}
- name: unlimited
  image: $TESTBOX
  args: [print-env, --stay, CPU, MEMORY]
  env:
  - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
  - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory}}}
"#;

/// Variables from ConfigMaps and Secrets; what is optional and missing is left out.
fn configured(seen: &Seen<'_>) -> Result<()> {
    let lines = [
        "FROM_CONFIG=value-1",
        "FROM_SECRET=s3cret",
        "plain=value-1",
        // No names for a shell, but names for the kernel.
        "dotted.key-1=value-2",
        "1digit=value-3",
        "C_plain=value-1",
        "C_1digit=value-3",
        "S_password=s3cret",
        "S_other=value-4",
    ];
    seen.printed("limited", &lines)?;
    let log = seen.log("limited");
    let unwanted = log.lines().find(|line| line.starts_with("NO_"));
    ensure!(unwanted.is_none(), "it has {unwanted:?}");
    Ok(())
}

/// The seven variables of a service.
fn service(seen: &Seen<'_>) -> Result<()> {
    let service = seen.lab.api()?.get("services/foo-service")?;
    let ip = service["spec"]["clusterIP"].as_str().context("the service has no address")?;
    let lines = [
        format!("FOO_SERVICE_SERVICE_HOST={ip}"),
        "FOO_SERVICE_SERVICE_PORT=8765".to_owned(),
        "FOO_SERVICE_SERVICE_PORT_WEB=8765".to_owned(),
        format!("FOO_SERVICE_PORT=tcp://{ip}:8765"),
        format!("FOO_SERVICE_PORT_8765_TCP=tcp://{ip}:8765"),
        "FOO_SERVICE_PORT_8765_TCP_PROTO=tcp".to_owned(),
        "FOO_SERVICE_PORT_8765_TCP_PORT=8765".to_owned(),
        format!("FOO_SERVICE_PORT_8765_TCP_ADDR={ip}"),
    ];
    seen.printed("limited", &lines.each_ref().map(String::as_str))
}

/// Fields of the pod, and resources; without a limit, what the node can give.
fn downward(seen: &Seen<'_>) -> Result<()> {
    let ip = seen.status()["podIP"].as_str().context("no address")?;
    let host = seen.lab.plan().addresses.node;
    let lines = [
        "NAME=environment".to_owned(),
        "NAMESPACE=default".to_owned(),
        format!("UID={}", seen.uid()),
        "LABEL=environment".to_owned(),
        format!("POD_IP={ip}"),
        format!("POD_IPS={ip}"),
        format!("HOST_IP={host}"),
        format!("HOST_IPS={host}"),
        format!("NODE_NAME={NODE}"),
        "ACCOUNT=default".to_owned(),
        // Rounded up.
        "CPU_LIMIT=1".to_owned(),
        "CPU_LIMIT_MILLI=250".to_owned(),
        "CPU_REQUEST=20".to_owned(),
        "MEMORY_LIMIT=67108864".to_owned(),
        "MEMORY_REQUEST=16".to_owned(),
    ];
    seen.printed("limited", &lines.each_ref().map(String::as_str))?;
    let (cpu, memory) = allocatable(seen)?;
    seen.printed("unlimited", &[&format!("CPU={cpu}"), &format!("MEMORY={memory}")])
}

/// What the node can give, in thousandths of a CPU and bytes.
pub(super) fn allocatable(seen: &Seen<'_>) -> Result<(i64, i64)> {
    let node = seen.lab.api()?.get(&format!("/api/v1/nodes/{NODE}"))?;
    let amount = |resource: &str, suffix: &str, with: i64, without: i64| -> Result<i64> {
        let text = node["status"]["allocatable"][resource].as_str().unwrap_or_default();
        let (digits, scale) = text.strip_suffix(suffix).map_or((text, without), |digits| (digits, with));
        let number: i64 = digits.parse().with_context(|| format!("{resource} is {text}"))?;
        Ok(number * scale)
    };
    Ok((amount("cpu", "m", 1, 1000)?, amount("memory", "Ki", 1024, 1)?))
}

const EXPANDED: &str = r#"
restartPolicy: Never
containers:
- name: words
  image: $TESTBOX
  command: [/testbox, print-args, $(TEST), $(MISSING), $$(TEST)]
  args: [in $(TEST)]
  env: [{name: TEST, value: test-value}]
- name: variables
  image: $TESTBOX
  args: [print-env]
  env:
  - {name: FOO, value: foo-value}
  - {name: BAR, value: bar-value}
  - {name: FOOBAR, value: $(FOO);;$(BAR)}
  - {name: EARLY, value: $(LATE)}
  - {name: LATE, value: late-value}
- name: sub-path
  image: $BUSYBOX
  command: [sh, -c, "echo here > /part/file; cat /all/expanded/file"]
  env: [{name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
  volumeMounts: [{name: all, mountPath: /part, subPathExpr: $(POD_NAME)}, {name: all, mountPath: /all}]
volumes: [{name: all, emptyDir: {}}]
"#;

const REFUSED: &str = r#"
containers:
- name: up
  image: $TESTBOX
  args: [sleep]
  env: [{name: PART, value: ..}]
  volumeMounts: [{name: all, mountPath: /part, subPathExpr: $(PART)}]
- name: absolute
  image: $TESTBOX
  args: [sleep]
  env: [{name: PART, value: /tmp}]
  volumeMounts: [{name: all, mountPath: /part, subPathExpr: $(PART)}]
volumes: [{name: all, emptyDir: {}}]
"#;

fn refused(seen: &Seen<'_>, container: &str) -> Result<()> {
    seen.reason(container, "CreateContainerConfigError")?;
    seen.phase("Pending")
}

const LATER: &str = r#"
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: $TESTBOX
  args: [write, --path, /part/file, --text, here, --stay]
  env:
  - {name: LAST, value: last}
  - {name: FIRST, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['first']"}}}
  volumeMounts: [{name: all, mountPath: /part, subPathExpr: $(FIRST)/$(LAST)}]
volumes: [{name: all, emptyDir: {}}]
"#;

/// Without the annotation its path is absolute. With it the container starts; changed, it goes on as it is, and that
/// its path now leads elsewhere does not keep the pod.
fn sub_path_later() -> Case {
    let annotate = |value: &str| {
        let patch: Value = json!({"metadata": {"annotations": {"first": value}}});
        move |seen: &Seen<'_>| api::patch(seen.lab, "sub-path-later", &patch)
    };
    let file = |seen: &Seen<'_>| {
        let pod = seen.lab.paths().kubelet_root.join("pods").join(seen.uid());
        pod.join("volumes/kubernetes.io~empty-dir/all/path/last/file")
    };
    Case::pod(&[24], "sub-path-later", LATER)
        .step(|seen| refused(seen, "main"), annotate("path"))
        .step(
            move |seen| {
                seen.ready()?;
                let file = file(seen);
                ensure!(file.is_file(), "there is no {}", file.display());
                Ok(())
            },
            annotate("other"),
        )
        .step(
            |seen| {
                ensure!(seen.pod()["metadata"]["annotations"]["first"] == "other", "not yet");
                seen.ready()?;
                seen.never_restarted("main")
            },
            |seen| api::delete(seen.lab, "sub-path-later", None),
        )
        .must(|seen| seen.gone())
}

const WORDS: &str = r#"
restartPolicy: Never
terminationGracePeriodSeconds: 1
containers:
- {name: image, image: $TESTBOX}
- {name: command, image: $TESTBOX, command: [/testbox, print-args, command alone]}
- {name: args, image: $TESTBOX, args: [print-args, args alone]}
- {name: both, image: $TESTBOX, command: [/testbox, print-args, command], args: [args]}
"#;

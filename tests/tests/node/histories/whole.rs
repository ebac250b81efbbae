//! One pod with everything, whose kubelet is killed while it runs.

use std::time::Duration;

use anyhow::{Result, ensure};
use lab::{Lab, Service, wait};
use node_tests::play::{Case, End};

use super::{delete, gone, ready};

pub(crate) fn case() -> Case {
    Case::pod("whole", POD, End::Rest(gone))
        .with(OBJECTS)
        .step(ready, kill_kubelet)
        .step(ready, |lab| delete(lab, "whole"))
}

/// SIGKILL, and a new process that has said that it started.
fn kill_kubelet(lab: &Lab) -> Result<()> {
    let before = starts(lab)?;
    lab.service(Service::Kubelet).kill()?;
    lab.service(Service::Kubelet).start()?;
    wait::until("the next kubelet to start", Duration::from_secs(60), || {
        let seen = starts(lab).and_then(|now| {
            ensure!(now > before, "{now} starts so far");
            Ok(())
        });
        Ok(match seen {
            Ok(()) => wait::Look::Ready(()),
            Err(error) => wait::Look::NotYet(format!("{error:#}")),
        })
    })
}

/// How often a kubelet told the API that it started.
fn starts(lab: &Lab) -> Result<i64> {
    let events = lab.api()?.events("involvedObject.kind=Node,reason=Starting")?;
    Ok(events.iter().map(|event| event["count"].as_i64().unwrap_or(1)).sum())
}

const OBJECTS: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: whole}
data: {greeting: hello}
---
apiVersion: v1
kind: Secret
metadata: {name: whole}
stringData: {password: sesame}
"#;

const POD: &str = r#"
terminationGracePeriodSeconds: 10
initContainers:
- {name: prepare, image: $TESTBOX, args: [exit, --after, 1s, --message, prepared]}
- name: helper
  image: $TESTBOX
  args: [trap, --after, 1s]
  restartPolicy: Always
  startupProbe: {exec: {command: [/testbox, exists, /testbox]}, periodSeconds: 1, timeoutSeconds: 10, failureThreshold: 30}
containers:
- name: main
  image: $TESTBOX
  args: [serve]
  env:
  - {name: PASSWORD, valueFrom: {secretKeyRef: {name: whole, key: password}}}
  volumeMounts: [{name: settings, mountPath: /settings}]
  startupProbe: {exec: {command: [/testbox, exists, /settings/greeting]}, periodSeconds: 1, timeoutSeconds: 10, failureThreshold: 30}
  readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1, timeoutSeconds: 10}
  livenessProbe: {grpc: {port: 8082}, periodSeconds: 5, timeoutSeconds: 10}
  lifecycle: {preStop: {exec: {command: [/testbox, write, --path, /tmp/stopped, --after, 1s]}}}
- {name: other, image: $TESTBOX, args: [trap, --exit, "3"]}
volumes:
- {name: settings, configMap: {name: whole}}
"#;

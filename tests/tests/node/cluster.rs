use std::time::Duration;

use anyhow::{Result, ensure};
use lab::{Mode, Runtime};
use node_tests::{Node, OBJECTS, all_ready, nothing_left, pods};

const BOUND: Duration = Duration::from_secs(120);

const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 10
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: web
        image: registry.test/testbox:1
        args: [serve]
        env:
        - {name: GREETING, valueFrom: {configMapKeyRef: {name: settings, key: greeting}}}
        - {name: PASSWORD, valueFrom: {secretKeyRef: {name: credentials, key: password}}}
        volumeMounts:
        - {name: settings, mountPath: /settings}
        - {name: credentials, mountPath: /credentials}
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 2}
      volumes:
      - {name: settings, configMap: {name: settings}}
      - {name: credentials, secret: {secretName: credentials}}
"#;

fn deployment(runtime: Runtime, name: &str) -> Result<()> {
    let mut node = Node::plain(name, Mode::Cluster, runtime)?;
    node.apply(OBJECTS)?;
    node.apply(DEPLOYMENT)?;
    let first = node.eventually("ten pods to be Ready", BOUND, |lab| all_ready(lab, "app=web", 10))?;

    node.lab()?.kubelet().kill()?;
    node.kubectl(&["scale", "deployment/web", "--replicas=20"])?;
    node.lab()?.kubelet().start()?;
    let grown = node.eventually("twenty pods to be Ready", BOUND, |lab| all_ready(lab, "app=web", 20))?;
    let ids = |pods: &[serde_json::Value]| -> Vec<String> {
        pods.iter().map(|pod| pod["status"]["containerStatuses"][0]["containerID"].to_string()).collect()
    };
    let after = ids(&grown);
    ensure!(ids(&first).iter().all(|id| after.contains(id)), "the kill of the kubelet replaced a container");

    node.kubectl(&["scale", "deployment/web", "--replicas=10"])?;
    node.eventually("ten pods again", BOUND, |lab| all_ready(lab, "app=web", 10))?;
    node.kubectl(&["set", "image", "deployment/web", "web=registry.test/testbox:2"])?;
    node.eventually("the new image everywhere", BOUND, |lab| {
        let pods = all_ready(lab, "app=web", 10)?;
        let old = pods
            .iter()
            .filter(|pod| pod["spec"]["containers"][0]["image"] != "registry.test/testbox:2")
            .count();
        ensure!(old == 0, "{old} pods have the old image");
        Ok(())
    })?;

    node.kubectl(&["delete", "deployment/web"])?;
    node.eventually("nothing to be left", BOUND, |lab| {
        ensure!(pods(lab, "app=web")?.is_empty(), "pods are left");
        nothing_left(lab)
    })?;
    node.down()
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn a_deployment_on_containerd_2() {
    deployment(Runtime::Containerd2, "t-deploy2").unwrap();
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn a_deployment_on_containerd_1() {
    deployment(Runtime::Containerd1, "t-deploy1").unwrap();
}

//! metrics-server of a lab: it reads `/metrics/resource` of the kubelet and serves what `kubectl top` asks for.
//!
//! It stands to the cluster as it does elsewhere, except that it is a process and not a pod: it is a service account, with
//! the rights that its manual gives it and a token that kubelets have reviewed; and it is an API of the API server's, which
//! finds it by a service and believes a certificate of the cluster's authority.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    api::Api,
    control_plane::kubectl,
    daemon::{Daemon, Invocation},
    pki,
    plan::{Plan, Service},
    run,
};

/// Longest for the API server to have found it. It starts in a second; a machine that also compiles needs more.
const READY_BOUND: Duration = Duration::from_secs(120);
/// How long its token is good: longer than a lab that somebody left up over the holidays.
const TOKEN_LIFE: &str = "8760h";
/// Its service account and its service, and the namespace of both.
const NAME: &str = "metrics-server";
const NAMESPACE: &str = "kube-system";
/// The API it serves.
const API_SERVICE: &str = "v1beta1.metrics.k8s.io";

/// Name under which the API server checks its certificate.
pub(crate) fn host_name() -> String {
    format!("{NAME}.{NAMESPACE}.svc")
}

/// Its command line. The kubelet's certificate is signed by itself, so it is not checked.
pub(crate) fn invocation(plan: &Plan) -> Result<Invocation> {
    let pki = |file: &str| plan.paths.pki_file(file).display().to_string();
    let kubeconfig = pki("metrics-server.kubeconfig");
    let arguments = [
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        format!("--bind-address={}", plan.addresses.node),
        format!("--secure-port={}", plan.ports.metrics_server),
        format!("--tls-cert-file={}", pki("metrics-server.crt")),
        format!("--tls-private-key-file={}", pki("metrics-server.key")),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        "--kubelet-use-node-status-port".to_owned(),
        "--kubelet-insecure-tls".to_owned(),
        // The shortest it takes, and a time for a request that fits into it.
        "--metric-resolution=10s".to_owned(),
        "--kubelet-request-timeout=5s".to_owned(),
    ];
    let program = plan.tools.metrics_server.as_ref().context("this lab has no metrics-server")?;
    Ok(Invocation::new(program, arguments))
}

/// Start it, and wait until the API server has found it. The API server must be ready.
///
/// It has figures of a node after its second look at it, 10 to 20 s after the node is there.
///
/// # Errors
/// It does not start, or the API server does not find it in time; the error shows the end of its log.
pub(crate) fn up(plan: &Plan) -> Result<()> {
    let authority = plan.paths.pki_file("ca.crt");
    let authority = fs::read(&authority).with_context(|| format!("cannot read {}", authority.display()))?;
    let objects = json!({ "apiVersion": "v1", "kind": "List", "items": objects(plan, &authority) });
    run::output_with_input(kubectl(plan)?.args(["apply", "-f", "-"]), &objects.to_string())
        .context("cannot make way for metrics-server")?;
    let duration = format!("--duration={TOKEN_LIFE}");
    let token =
        run::output(kubectl(plan)?.args(["create", "token", NAME, "--namespace", NAMESPACE, &duration]))?;
    let kubeconfig = plan.paths.pki_file("metrics-server.kubeconfig");
    pki::write_kubeconfig(plan, &kubeconfig, &json!({ "token": token.trim() }))?;
    let daemon = Daemon::new(plan, Service::MetricsServer);
    daemon.start()?;
    let api = Api::new(plan)?;
    let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/{API_SERVICE}");
    daemon.ready(READY_BOUND, || api.look(&path, "Available"))
}

/// What it may do, where it is, and what it serves.
fn objects(plan: &Plan, authority: &[u8]) -> Vec<Value> {
    const RBAC: &str = "rbac.authorization.k8s.io";
    let rbac = format!("{RBAC}/v1");
    let binding = |kind: &str, metadata: Value, role_kind: &str, role: &str| {
        json!({
            "apiVersion": rbac,
            "kind": kind,
            "metadata": metadata,
            "roleRef": { "apiGroup": RBAC, "kind": role_kind, "name": role },
            "subjects": [{ "kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE }],
        })
    };
    let own = json!({ "name": NAME, "namespace": NAMESPACE });
    vec![
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": own }),
        json!({
            "apiVersion": rbac,
            "kind": "ClusterRole",
            "metadata": { "name": "lab:metrics-server" },
            "rules": [
                // All that it may ask a kubelet.
                { "apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"] },
                { "apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["get", "list", "watch"] },
            ],
        }),
        binding(
            "ClusterRoleBinding",
            json!({ "name": "lab:metrics-server" }),
            "ClusterRole",
            "lab:metrics-server",
        ),
        // Who asks it, and whether they may, is for the API server to say.
        binding(
            "ClusterRoleBinding",
            json!({ "name": "lab:metrics-server:delegate" }),
            "ClusterRole",
            "system:auth-delegator",
        ),
        binding("RoleBinding", own.clone(), "Role", "extension-apiserver-authentication-reader"),
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": own,
            "spec": { "ports": [{ "name": "https", "port": 443, "targetPort": plan.ports.metrics_server }] },
        }),
        // The service selects no pods, so nobody else writes this.
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": NAME,
                "namespace": NAMESPACE,
                "labels": { "kubernetes.io/service-name": NAME },
            },
            "addressType": "IPv4",
            "endpoints": [{ "addresses": [plan.addresses.node] }],
            "ports": [{ "name": "https", "port": plan.ports.metrics_server }],
        }),
        json!({
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": { "name": API_SERVICE },
            "spec": {
                "group": "metrics.k8s.io",
                "version": "v1beta1",
                "service": own,
                "caBundle": STANDARD.encode(authority),
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        artifacts::Tools,
        plan::Slot,
        spec::{MetricsApi, Mode, Spec},
    };

    #[test]
    fn it_listens_where_the_api_server_looks() {
        let mut spec = Spec::new("a", Mode::Cluster).unwrap();
        (spec.state, spec.metrics_api) = ("/s".into(), MetricsApi::MetricsServer);
        let tools = Tools { metrics_server: Some("/t/metrics-server".into()), ..Tools::default() };
        let plan = Plan::new(spec, Slot(1), tools, "/k".into()).unwrap();
        let slice = objects(&plan, b"").into_iter().find(|object| object["kind"] == "EndpointSlice").unwrap();
        let (address, port) = (&slice["endpoints"][0]["addresses"][0], &slice["ports"][0]["port"]);
        let arguments = invocation(&plan).unwrap().arguments;
        for flag in [format!("--bind-address={}", address.as_str().unwrap()), format!("--secure-port={port}")]
        {
            assert!(arguments.contains(&flag.clone().into()), "{flag}");
        }
    }
}

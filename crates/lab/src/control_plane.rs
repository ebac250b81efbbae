//! etcd, API server, controller manager and scheduler of a lab.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    api::Api,
    daemon::{Daemon, Invocation},
    metrics_server,
    network::enter,
    pki::BOOTSTRAP_TOKEN,
    plan::{Plan, Service, make_dir, write},
    run,
    spec::{Credentials, MetricsApi},
    wait,
};

/// Longest for a part to be ready. The API server takes 5 s on two idle cores; a machine that also compiles needs more.
const READY_BOUND: Duration = Duration::from_secs(180);

/// Each request is written to the audit log without bodies: tests count requests there.
const AUDIT_POLICY: &str =
    "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Metadata\n";

/// A program of the control plane. It collects its garbage at five times what lives rather than at twice: memory is there,
/// and what a node is tested or measured with should take as little of its processors as can be.
fn program(plan: &Plan, name: &str, arguments: Vec<String>) -> Result<Invocation> {
    let mut invocation = Invocation::new(plan.tools.control_plane_program(name)?, arguments);
    invocation.environment.push(("GOGC".to_owned(), "400".into()));
    Ok(invocation)
}

/// Command line of etcd. It does not sync its files: a lab's data need not survive the machine.
pub(crate) fn etcd(plan: &Plan) -> Result<Invocation> {
    let client = format!("http://127.0.0.1:{}", plan.ports.etcd);
    let peer = format!("http://127.0.0.1:{}", plan.ports.etcd_peer);
    let arguments = vec![
        format!("--data-dir={}", plan.paths.etcd.display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    program(plan, "server", arguments)
}

/// Command line of the API server.
pub(crate) fn api_server(plan: &Plan) -> Result<Invocation> {
    let pki = |file: &str| plan.paths.pki_file(file).display().to_string();
    let mut arguments = vec![
        format!("--etcd-servers=http://127.0.0.1:{}", plan.ports.etcd),
        format!("--advertise-address={}", plan.addresses.node),
        format!("--secure-port={}", plan.ports.api_server),
        format!("--tls-cert-file={}", pki("apiserver.crt")),
        format!("--tls-private-key-file={}", pki("apiserver.key")),
        format!("--client-ca-file={}", pki("ca.crt")),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-key-file={}", pki("sa.pub")),
        format!("--service-account-signing-key-file={}", pki("sa.key")),
        format!("--service-cluster-ip-range={}", plan.addresses.service_cidr),
        format!("--kubelet-client-certificate={}", pki("apiserver-kubelet-client.crt")),
        format!("--kubelet-client-key={}", pki("apiserver-kubelet-client.key")),
        "--kubelet-preferred-address-types=InternalIP,Hostname".to_owned(),
        "--enable-bootstrap-token-auth=true".to_owned(),
        "--allow-privileged=true".to_owned(),
        // There is no kube-proxy: a service's own address leads nowhere.
        "--enable-aggregator-routing=true".to_owned(),
        format!("--requestheader-client-ca-file={}", pki("front-proxy-ca.crt")),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        format!("--proxy-client-cert-file={}", pki("front-proxy-client.crt")),
        format!("--proxy-client-key-file={}", pki("front-proxy-client.key")),
        format!("--audit-policy-file={}", pki("audit-policy.yaml")),
        format!("--audit-log-path={}", plan.paths.logs.join("audit.log").display()),
    ];
    arguments.extend(plan.spec.api_server_flags.iter().cloned());
    program(plan, "kube-apiserver", arguments)
}

/// Command line of the controller manager.
pub(crate) fn controller_manager(plan: &Plan) -> Result<Invocation> {
    let pki = |file: &str| plan.paths.pki_file(file).display().to_string();
    let kubeconfig = pki("controller-manager.kubeconfig");
    let arguments = vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        format!("--service-account-private-key-file={}", pki("sa.key")),
        format!("--root-ca-file={}", pki("ca.crt")),
        format!("--cluster-signing-cert-file={}", pki("ca.crt")),
        format!("--cluster-signing-key-file={}", pki("ca.key")),
        "--use-service-account-credentials=true".to_owned(),
        "--leader-elect=false".to_owned(),
        "--allocate-node-cidrs=true".to_owned(),
        format!("--cluster-cidr={}", plan.addresses.cluster_cidr),
        "--node-cidr-mask-size=24".to_owned(),
        format!("--service-cluster-ip-range={}", plan.addresses.service_cidr),
        "--controllers=*,bootstrap-signer-controller,token-cleaner-controller".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", plan.ports.controller_manager),
    ];
    program(plan, "kube-controller-manager", arguments)
}

/// Command line of the scheduler.
pub(crate) fn scheduler(plan: &Plan) -> Result<Invocation> {
    let kubeconfig = plan.paths.pki_file("scheduler.kubeconfig").display().to_string();
    let arguments = vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--leader-elect=false".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", plan.ports.scheduler),
    ];
    program(plan, "kube-scheduler", arguments)
}

/// `kubectl` as the administrator.
///
/// # Errors
/// The lab has no control plane.
pub fn kubectl(plan: &Plan) -> Result<Command> {
    let mut command = enter(plan, &plan.tools.control_plane_program("kubectl")?);
    command.arg("--kubeconfig").arg(&plan.paths.kubeconfig);
    // Its cache would otherwise be in the home folder.
    command.arg("--cache-dir").arg(plan.paths.dir.join("kubectl-cache"));
    Ok(command)
}

/// Start all four and wait until the API server takes pods. The keys must be there.
///
/// # Errors
/// A part does not start in time; the error shows the end of its log.
pub fn up(plan: &Plan) -> Result<()> {
    make_dir(&plan.paths.etcd)?;
    write(&plan.paths.pki_file("audit-policy.yaml"), AUDIT_POLICY)?;
    // The API server waits for etcd by itself, so they start together.
    Daemon::new(plan, Service::Etcd).start()?;
    let api_server = Daemon::new(plan, Service::ApiServer);
    api_server.start()?;
    let address = (plan.addresses.node, plan.ports.api_server).into();
    api_server.ready(READY_BOUND, || {
        match std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
            Ok(_) => wait::Look::Ready(()),
            Err(error) => wait::Look::NotYet(error.to_string()),
        }
    })?;
    let api = Api::new(plan)?;
    let until = |answers: &dyn Fn() -> Result<()>| {
        api_server.ready(READY_BOUND, || match answers() {
            Ok(()) => wait::Look::Ready(()),
            Err(error) => wait::Look::NotYet(format!("{error:#}")),
        })
    };
    until(&|| api.ready())?;
    for service in [Service::ControllerManager, Service::Scheduler] {
        Daemon::new(plan, service).start()?;
    }
    if plan.spec.credentials == Credentials::BootstrapToken {
        allow_bootstrap(plan)?;
    }
    // Pods are refused until the controller manager has made the service account that they run under by default.
    until(&|| api.get("serviceaccounts/default").map(drop))?;
    match plan.spec.metrics_api {
        MetricsApi::MetricsServer => metrics_server::up(plan),
        MetricsApi::Nobody => Ok(()),
    }
}

/// The token's Secret, and the three bindings that let its bearer ask for a certificate, approve it, and renew it.
fn allow_bootstrap(plan: &Plan) -> Result<()> {
    let (id, secret) = BOOTSTRAP_TOKEN;
    let binding = |name: &str, role: &str, group: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group }],
        })
    };
    const REQUESTS: &str = "system:certificates.k8s.io:certificatesigningrequests";
    let list = json!({
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "bootstrap.kubernetes.io/token",
                "metadata": { "name": format!("bootstrap-token-{id}"), "namespace": "kube-system" },
                "stringData": {
                    "token-id": id,
                    "token-secret": secret,
                    "usage-bootstrap-authentication": "true",
                    "usage-bootstrap-signing": "true",
                },
            },
            binding("lab:bootstrap", "system:node-bootstrapper", "system:bootstrappers"),
            binding("lab:approve", &format!("{REQUESTS}:nodeclient"), "system:bootstrappers"),
            binding("lab:renew", &format!("{REQUESTS}:selfnodeclient"), "system:nodes"),
        ],
    });
    run::output_with_input(kubectl(plan)?.args(["apply", "-f", "-"]), &list.to_string())
        .context("cannot allow the bootstrap token")?;
    Ok(())
}

/// Folder of the control plane's programs, for `PATH`.
#[must_use]
pub fn programs(plan: &Plan) -> Option<&Path> {
    plan.tools.control_plane.as_deref()
}

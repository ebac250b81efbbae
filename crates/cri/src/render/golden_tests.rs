//! Whole messages against upstream's: `testdata/upstream-1.37.2.json` holds pods and the protobuf bytes (base64) that
//! upstream's `generatePodSandboxConfig` and `generateContainerConfig` made of them, or their error text. The
//! numbers that upstream derives from the machine (cgroup values, `thermal_throttle` paths) are taken over as given.

use base64::{Engine, prelude::BASE64_STANDARD};
use k8s_openapi::api::core::v1::Pod;
use lifecycle::spec::dns::DnsConfig;
use prost::Message;
use proto::cri::{
    ContainerConfig, LinuxContainerResources, NamespaceMode, NamespaceOption, PodSandboxConfig, UserNamespace,
};
use seams::runtime::{ContainerRequest, ImageInfo, LinuxResources, SandboxRequest};
use serde::Deserialize;

use super::{HostFacts, container, sandbox};

#[derive(Deserialize)]
struct Case {
    pod: Pod,
    sandbox: String,
    containers: Vec<ContainerCase>,
}

#[derive(Deserialize)]
struct ContainerCase {
    name: String,
    #[serde(default)]
    config: String,
    #[serde(default)]
    error: String,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("testdata/upstream-1.37.2.json")).unwrap()
}

fn decode<M: Message + Default>(text: &str) -> M {
    M::decode(BASE64_STANDARD.decode(text).unwrap().as_slice()).unwrap()
}

fn from_wire(wire: Option<&LinuxContainerResources>) -> LinuxResources {
    let wire = wire.cloned().unwrap_or_default();
    LinuxResources {
        cpu_period: wire.cpu_period,
        cpu_quota: wire.cpu_quota,
        cpu_shares: wire.cpu_shares,
        memory_limit: wire.memory_limit_in_bytes,
        oom_score_adj: wire.oom_score_adj,
        memory_swap_limit: wire.memory_swap_limit_in_bytes,
        hugepage_limits: wire.hugepage_limits.into_iter().map(|h| (h.page_size, h.limit)).collect(),
        unified: wire.unified.into_iter().collect(),
    }
}

fn sandbox_request(pod: &Pod, upstream: &PodSandboxConfig) -> SandboxRequest {
    let linux = upstream.linux.as_ref().unwrap();
    let host_network = pod.spec.as_ref().unwrap().host_network == Some(true);
    let meta = &pod.metadata;
    SandboxRequest {
        attempt: 2,
        hostname: if host_network { String::new() } else { "host-1".into() },
        dns: DnsConfig {
            servers: vec!["10.0.0.10".into()],
            searches: vec!["a.b".into()],
            options: vec!["ndots:5".into()],
        },
        log_directory: format!(
            "/var/log/pods/{}_{}_{}",
            meta.namespace.as_deref().unwrap(),
            meta.name.as_deref().unwrap(),
            meta.uid.as_deref().unwrap()
        ),
        resources: Some(from_wire(linux.resources.as_ref())),
        seccomp_root: "/fakeSeccompProfileRoot".into(),
        ..fakes::runtime::sandbox_request(pod.clone())
    }
}

fn image_of(name: &str) -> ImageInfo {
    let (uid, username) = match name {
        "img/uid1000" => (Some(1000), ""),
        "img/uid0" => (Some(0), ""),
        "img/uidneg" => (Some(-3), ""),
        "img/app" => (None, "app"),
        _ => (None, ""),
    };
    ImageInfo { uid, username: username.into(), ..Default::default() }
}

/// The helper that stood in for the kubelet when the messages were made knows nothing of user namespaces; a kubelet says
/// whose every pod has.
fn with_users_of_the_node(options: &mut Option<NamespaceOption>) {
    let options = options.as_mut().unwrap();
    assert!(options.userns_options.is_none());
    options.userns_options =
        Some(UserNamespace { mode: NamespaceMode::Node as i32, ..UserNamespace::default() });
}

#[test]
fn sandboxes_are_upstreams() {
    for case in cases() {
        let mut upstream: PodSandboxConfig = decode(&case.sandbox);
        let linux = upstream.linux.as_mut().unwrap();
        with_users_of_the_node(&mut linux.security_context.as_mut().unwrap().namespace_options);
        let ours = sandbox::config(&sandbox_request(&case.pod, &upstream)).unwrap();
        assert_eq!(ours, upstream, "{:?}", case.pod.metadata.name);
    }
}

#[test]
fn sysctls_may_be_written_with_slashes() {
    let mut compared = 0;
    for case in cases() {
        let upstream: PodSandboxConfig = decode(&case.sandbox);
        let mut pod = case.pod.clone();
        let context = pod.spec.as_mut().and_then(|spec| spec.security_context.as_mut());
        for sysctl in context.and_then(|context| context.sysctls.as_mut()).into_iter().flatten() {
            sysctl.name = sysctl.name.replace('.', "/");
            compared += 1;
        }
        let ours = sandbox::config(&sandbox_request(&pod, &upstream)).unwrap();
        assert_eq!(ours.linux.unwrap().sysctls, upstream.linux.unwrap().sysctls);
    }
    assert!(compared > 1);
}

#[test]
fn containers_are_upstreams() {
    let mut compared = 0;
    for case in cases() {
        let sandbox = sandbox_request(&case.pod, &decode(&case.sandbox));
        for expected in &case.containers {
            let mut upstream: ContainerConfig = decode(&expected.config);
            if let Some(context) = upstream.linux.as_mut().and_then(|linux| linux.security_context.as_mut()) {
                with_users_of_the_node(&mut context.namespace_options);
            }
            let linux = upstream.linux.clone().unwrap_or_default();
            let masked = linux.security_context.map(|s| s.masked_paths).unwrap_or_default();
            let host = HostFacts {
                thermal_throttle: masked.into_iter().filter(|p| p.ends_with("thermal_throttle")).collect(),
                selinux: false,
            };
            let found = container::find(&case.pod, &expected.name).unwrap();
            let request = ContainerRequest {
                image_ref: format!("sha256:ref-of-{}", expected.name),
                image: image_of(found.container.image.as_deref().unwrap()),
                command: found.container.command.clone().unwrap_or_default(),
                args: found.container.args.clone().unwrap_or_default(),
                resources: from_wire(linux.resources.as_ref()),
                ..fakes::runtime::container_request(&sandbox, &"s".into(), &expected.name, 3)
            };
            let at = format!("{:?}/{}", case.pod.metadata.name, expected.name);
            match container::config(&request, &found, None, &host) {
                Ok(ours) => {
                    assert_eq!(expected.error, "", "{at}");
                    assert_eq!(ours, upstream, "{at}");
                }
                Err(error) => assert_eq!(error.to_string(), expected.error, "{at}"),
            }
            compared += 1;
        }
    }
    assert!(compared > 25, "{compared} containers compared");
}

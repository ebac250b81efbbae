//! Security contexts (contract §15): the container's field, else the pod's, else the default.

use k8s_openapi::api::core::v1::{Capabilities, Container, Pod, PodSecurityContext, PodSpec, SELinuxOptions};
use proto::cri::{
    Capability, IdMapping, Int64Value, LinuxContainerSecurityContext, LinuxSandboxSecurityContext,
    NamespaceMode, NamespaceOption, SeLinuxOption, SupplementalGroupsPolicy, security_profile::ProfileType,
};
use seams::runtime::{SandboxRequest, UserNamespace};

use super::{HostFacts, RenderError, profiles, user::ImageUser};

/// Hidden from containers with the default `procMount`; the machine's `thermal_throttle` directories follow.
const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// Read-only in containers with the default `procMount`.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What holds for one container after the pod's and its own security context are laid over each other.
#[derive(Clone, Debug, Default)]
pub struct Effective<'a> {
    /// Uid.
    pub run_as_user: Option<i64>,
    /// Gid.
    pub run_as_group: Option<i64>,
    /// Must not be root.
    pub run_as_non_root: Option<bool>,
    /// SELinux label; the container's replaces the pod's as a whole.
    pub selinux: Option<&'a SELinuxOptions>,
    /// Capabilities to add and drop.
    pub capabilities: Option<&'a Capabilities>,
    /// All devices, all capabilities, no confinement.
    pub privileged: bool,
    /// Root filesystem cannot be written.
    pub read_only_root: bool,
    /// `false` sets `no_new_privs`; unset leaves it off.
    pub allow_privilege_escalation: Option<bool>,
    /// `procMount: Unmasked`.
    pub unmasked_proc: bool,
}

impl<'a> Effective<'a> {
    /// Lays the container's context over the pod's.
    #[must_use]
    pub fn of(pod: &'a Pod, container: &'a Container) -> Self {
        let pods = pod.spec.as_ref().and_then(|s| s.security_context.as_ref());
        let mut all = pods.map_or_else(Self::default, |p| Self {
            run_as_user: p.run_as_user,
            run_as_group: p.run_as_group,
            run_as_non_root: p.run_as_non_root,
            selinux: p.se_linux_options.as_ref(),
            ..Self::default()
        });
        let Some(own) = &container.security_context else { return all };
        all.run_as_user = own.run_as_user.or(all.run_as_user);
        all.run_as_group = own.run_as_group.or(all.run_as_group);
        all.run_as_non_root = own.run_as_non_root.or(all.run_as_non_root);
        all.selinux = own.se_linux_options.as_ref().or(all.selinux);
        all.capabilities = own.capabilities.as_ref();
        all.privileged = own.privileged.unwrap_or(false);
        all.read_only_root = own.read_only_root_filesystem.unwrap_or(false);
        all.allow_privilege_escalation = own.allow_privilege_escalation;
        all.unmasked_proc = own.proc_mount.as_deref() == Some("Unmasked");
        all
    }
}

/// Namespaces of a pod's sandbox and of its containers.
#[must_use]
pub fn namespaces(spec: &PodSpec, users: Option<UserNamespace>) -> NamespaceOption {
    let node_or_pod = |host: Option<bool>| match host {
        Some(true) => NamespaceMode::Node,
        _ => NamespaceMode::Pod,
    };
    let pid = match (spec.host_pid, spec.share_process_namespace) {
        (Some(true), _) => NamespaceMode::Node,
        (_, Some(true)) => NamespaceMode::Pod,
        _ => NamespaceMode::Container,
    };
    NamespaceOption {
        network: node_or_pod(spec.host_network) as i32,
        pid: pid as i32,
        ipc: node_or_pod(spec.host_ipc) as i32,
        target_id: String::new(),
        userns_options: Some(users.map_or_else(of_the_node, of_its_own)),
    }
}

/// Said, and not left open: a runtime may have a default of its own for pods that ask for nothing.
fn of_the_node() -> proto::cri::UserNamespace {
    proto::cri::UserNamespace { mode: NamespaceMode::Node as i32, ..Default::default() }
}

fn of_its_own(given: UserNamespace) -> proto::cri::UserNamespace {
    let ids = id_mapping(given);
    proto::cri::UserNamespace { mode: NamespaceMode::Pod as i32, uids: vec![ids], gids: vec![ids] }
}

/// What the ids of a pod are on the node.
#[must_use]
pub fn id_mapping(given: UserNamespace) -> IdMapping {
    IdMapping { host_id: given.first, container_id: 0, length: given.length }
}

/// A pod that asks for a user namespace never runs without one.
///
/// # Errors
/// [`RenderError::UserNamespace`].
pub fn verify_user_namespace(request: &SandboxRequest) -> Result<(), RenderError> {
    let asked = request.pod.spec.as_ref().and_then(|spec| spec.host_users) == Some(false);
    if asked && request.user_namespace.is_none() { Err(RenderError::UserNamespace) } else { Ok(()) }
}

/// Context of a sandbox. Its seccomp profile is always the runtime's default: the pause process needs no more.
///
/// # Errors
/// A policy for supplemental groups that the API does not know.
pub fn of_sandbox(
    pod: &Pod,
    users: Option<UserNamespace>,
) -> Result<LinuxSandboxSecurityContext, RenderError> {
    let spec = pod.spec.as_ref();
    let context = spec.and_then(|s| s.security_context.as_ref());
    Ok(LinuxSandboxSecurityContext {
        namespace_options: spec.map(|spec| namespaces(spec, users)),
        selinux_options: context.and_then(|c| c.se_linux_options.as_ref()).map(selinux),
        run_as_user: context.and_then(|c| c.run_as_user).map(int),
        run_as_group: context.and_then(|c| c.run_as_group).map(int),
        readonly_rootfs: false,
        supplemental_groups: context.map(groups).unwrap_or_default(),
        supplemental_groups_policy: context.map_or(Ok(0), groups_policy)?,
        privileged: spec.is_some_and(any_privileged),
        seccomp: Some(profiles::plain(ProfileType::RuntimeDefault)),
        ..Default::default()
    })
}

/// Context of a container. `target` is the container whose processes it shall see (ephemeral containers).
///
/// # Errors
/// Profiles or policies that cannot be.
pub fn of_container(
    sandbox: &SandboxRequest,
    container: &Container,
    image: &ImageUser,
    target: Option<&str>,
    host: &HostFacts,
) -> Result<LinuxContainerSecurityContext, RenderError> {
    let pod = sandbox.pod.as_ref();
    let effective = Effective::of(pod, container);
    let context = pod.spec.as_ref().and_then(|s| s.security_context.as_ref());
    let (apparmor, apparmor_old) = profiles::apparmor(pod, container)?;
    let (run_as_user, run_as_username) = match (effective.run_as_user, image) {
        (Some(uid), _) => (Some(int(uid)), String::new()),
        (None, ImageUser::Id(uid)) => (Some(int(*uid)), String::new()),
        (None, ImageUser::Name(name)) => (None, name.clone()),
    };
    let spec = pod.spec.as_ref();
    let mut namespaces = spec.map(|spec| namespaces(spec, sandbox.user_namespace)).unwrap_or_default();
    if let Some(id) = target.filter(|_| namespaces.pid == NamespaceMode::Container as i32) {
        namespaces.pid = NamespaceMode::Target as i32;
        id.clone_into(&mut namespaces.target_id);
    }
    #[expect(deprecated, reason = "older runtimes read only the old form of the AppArmor profile")]
    Ok(LinuxContainerSecurityContext {
        capabilities: effective.capabilities.map(capabilities),
        privileged: effective.privileged,
        namespace_options: Some(namespaces),
        selinux_options: effective.selinux.map(selinux),
        run_as_user,
        run_as_group: effective.run_as_group.map(int),
        run_as_username,
        readonly_rootfs: effective.read_only_root,
        supplemental_groups: context.map(groups).unwrap_or_default(),
        supplemental_groups_policy: context.map_or(Ok(0), groups_policy)?,
        no_new_privs: effective.allow_privilege_escalation == Some(false),
        masked_paths: if effective.unmasked_proc { Vec::new() } else { masked_paths(host) },
        readonly_paths: if effective.unmasked_proc {
            Vec::new()
        } else {
            READ_ONLY.map(str::to_owned).to_vec()
        },
        seccomp: Some(profiles::seccomp(pod, container, &sandbox.seccomp_root, sandbox.seccomp_default)?),
        apparmor,
        apparmor_profile: apparmor_old,
        seccomp_profile_path: String::new(),
    })
}

fn int(value: i64) -> Int64Value {
    Int64Value { value }
}

fn masked_paths(host: &HostFacts) -> Vec<String> {
    MASKED.into_iter().map(str::to_owned).chain(host.thermal_throttle.iter().cloned()).collect()
}

fn selinux(options: &SELinuxOptions) -> SeLinuxOption {
    SeLinuxOption {
        user: options.user.clone().unwrap_or_default(),
        role: options.role.clone().unwrap_or_default(),
        r#type: options.type_.clone().unwrap_or_default(),
        level: options.level.clone().unwrap_or_default(),
    }
}

fn capabilities(capabilities: &Capabilities) -> Capability {
    Capability {
        add_capabilities: capabilities.add.clone().unwrap_or_default(),
        drop_capabilities: capabilities.drop.clone().unwrap_or_default(),
        add_ambient_capabilities: Vec::new(),
    }
}

/// `fsGroup` first, then the listed groups, as upstream appends them.
fn groups(context: &PodSecurityContext) -> Vec<i64> {
    context.fs_group.into_iter().chain(context.supplemental_groups.iter().flatten().copied()).collect()
}

fn groups_policy(context: &PodSecurityContext) -> Result<i32, RenderError> {
    match context.supplemental_groups_policy.as_deref() {
        None | Some("Merge") => Ok(SupplementalGroupsPolicy::Merge as i32),
        Some("Strict") => Ok(SupplementalGroupsPolicy::Strict as i32),
        Some(other) => Err(RenderError::GroupsPolicy(other.to_owned())),
    }
}

/// A sandbox is privileged when any of its containers is, of whatever kind.
fn any_privileged(spec: &PodSpec) -> bool {
    let regular = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let contexts = regular.map(|c| c.security_context.as_ref());
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|c| c.security_context.as_ref());
    contexts.chain(ephemeral).flatten().any(|s| s.privileged == Some(true))
}

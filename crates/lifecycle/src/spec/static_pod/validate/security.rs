//! Checks of security contexts and of what user namespaces go with.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, PodSpec, Sysctl};

use super::{Checker, containers_of, profiles};

/// Longest name of a sysctl in bytes.
const SYSCTL_MAX: usize = 253;
/// Sysctls of the IPC namespace; so are those below `fs.mqueue`.
const IPC_SYSCTLS: [&str; 10] = [
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "kernel.shm",
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.msg",
];

fn is_sysctl_name(name: &str) -> bool {
    let is_segment = |segment: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        segment.bytes().next().is_some_and(plain)
            && segment.bytes().last().is_some_and(plain)
            && segment.bytes().all(|byte| plain(byte) || matches!(byte, b'-' | b'_'))
    };
    name.len() <= SYSCTL_MAX && name.split(['.', '/']).all(is_segment)
}

/// The name with dots between its parts: one whose first separator is a slash has the two exchanged.
fn with_dots(name: &str) -> String {
    if name.find(['.', '/']).is_some_and(|at| name[at..].starts_with('/')) {
        let exchange = |c| match c {
            '.' => '/',
            '/' => '.',
            c => c,
        };
        name.chars().map(exchange).collect()
    } else {
        name.to_owned()
    }
}

fn sysctls(checker: &mut Checker, spec: &PodSpec, sysctls: &[Sysctl]) {
    let mut seen = BTreeSet::new();
    for (index, Sysctl { name, .. }) in sysctls.iter().enumerate() {
        let field = format!("spec.securityContext.sysctls[{index}].name");
        if name.is_empty() {
            checker.required(&field, "", "");
        } else if !is_sysctl_name(name) {
            let detail = format!(
                "must have at most {SYSCTL_MAX} characters and match regex \
                 ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
            );
            checker.invalid(&field, name, &detail);
        } else if seen.contains(name) {
            checker.duplicate(&field, name, "");
        }
        seen.insert(name);
        let dotted = with_dots(name);
        let of_ipc = IPC_SYSCTLS.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.");
        if spec.host_network == Some(true) && dotted.starts_with("net.") {
            checker.invalid(&field, name, "may not be specified when 'hostNetwork' is true");
        } else if spec.host_ipc == Some(true) && of_ipc {
            checker.invalid(&field, name, "may not be specified when 'hostIPC' is true");
        }
    }
}

fn pod_context(checker: &mut Checker, spec: &PodSpec) {
    let Some(context) = &spec.security_context else { return };
    let path = "spec.securityContext";
    checker.id(&format!("{path}.fsGroup"), context.fs_group);
    checker.id(&format!("{path}.runAsUser"), context.run_as_user);
    checker.id(&format!("{path}.runAsGroup"), context.run_as_group);
    for (index, group) in context.supplemental_groups.iter().flatten().enumerate() {
        checker.id(&format!("{path}.supplementalGroups[{index}]"), Some(*group));
    }
    sysctls(checker, spec, context.sysctls.as_deref().unwrap_or_default());
    profiles::seccomp(checker, context.seccomp_profile.as_ref(), &format!("{path}.seccompProfile"));
    profiles::apparmor(checker, context.app_armor_profile.as_ref(), &format!("{path}.appArmorProfile"));
    let policies: [(&str, &Option<String>, [&str; 2]); 3] = [
        ("fsGroupChangePolicy", &context.fs_group_change_policy, ["Always", "OnRootMismatch"]),
        ("supplementalGroupsPolicy", &context.supplemental_groups_policy, ["Merge", "Strict"]),
        ("seLinuxChangePolicy", &context.se_linux_change_policy, ["MountOption", "Recursive"]),
    ];
    for (field, policy, allowed) in policies {
        if let Some(policy) = policy {
            checker.supported(&format!("{path}.{field}"), policy, &allowed);
        }
    }
}

/// What a user namespace of the pod's own does not go with.
fn user_namespace(checker: &mut Checker, spec: &PodSpec) {
    if spec.host_users != Some(false) {
        return;
    }
    let refused = "when `hostUsers` is false";
    for (field, shared) in [
        ("spec.hostNetwork", spec.host_network),
        ("spec.HostPID", spec.host_pid),
        ("spec.HostIPC", spec.host_ipc),
    ] {
        if shared == Some(true) {
            checker.forbidden(field, refused);
        }
    }
    for (path, container) in containers_of(spec) {
        if container.volume_devices.iter().flatten().next().is_some() {
            checker.forbidden(&format!("{path}.volumeDevices"), refused);
        }
    }
}

/// The options of Windows in a pod that says it is for Linux.
fn windows_options(checker: &mut Checker, spec: &PodSpec) {
    if spec.os.as_ref().is_none_or(|os| os.name != "linux") {
        return;
    }
    let refused = "windows options cannot be set for a linux pod";
    if spec.security_context.as_ref().is_some_and(|context| context.windows_options.is_some()) {
        checker.forbidden("spec.securityContext.windowsOptions", refused);
    }
    for (path, container) in containers_of(spec) {
        if container.security_context.as_ref().is_some_and(|context| context.windows_options.is_some()) {
            checker.forbidden(&format!("{path}.securityContext.windowsOptions"), refused);
        }
    }
}

/// Checks the pod's security context and its user namespace.
pub(super) fn of_pod(checker: &mut Checker, spec: &PodSpec) {
    pod_context(checker, spec);
    user_namespace(checker, spec);
    windows_options(checker, spec);
}

/// Checks a container's security context.
pub(super) fn of_container(checker: &mut Checker, container: &Container, spec: &PodSpec, path: &str) {
    let Some(context) = &container.security_context else { return };
    let path = format!("{path}.securityContext");
    checker.id(&format!("{path}.runAsUser"), context.run_as_user);
    checker.id(&format!("{path}.runAsGroup"), context.run_as_group);
    if let Some(mode) = &context.proc_mount {
        let field = format!("{path}.procMount");
        checker.supported(&field, mode, &["Default", "Unmasked"]);
        if mode == "Unmasked" && spec.host_users != Some(false) {
            checker.invalid(&field, mode, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    profiles::seccomp(checker, context.seccomp_profile.as_ref(), &format!("{path}.seccompProfile"));
    if context.allow_privilege_escalation == Some(false) {
        if context.privileged == Some(true) {
            checker.invalid(
                &path,
                "",
                "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            );
        }
        let added = context.capabilities.iter().flat_map(|capabilities| capabilities.add.iter().flatten());
        for _ in added.filter(|capability| *capability == "CAP_SYS_ADMIN") {
            let detail =
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            checker.invalid(&path, "", detail);
        }
    }
    profiles::apparmor(checker, context.app_armor_profile.as_ref(), &format!("{path}.appArmorProfile"));
}

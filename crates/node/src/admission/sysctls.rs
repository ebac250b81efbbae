//! Which sysctls a pod may set: those that are safe on this kernel, and those that the operator allowed
//! (`allowedUnsafeSysctls`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

/// Kernel namespace that isolates a sysctl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Namespace {
    Ipc,
    Net,
    Uts,
    User,
}

impl Namespace {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ipc => "IPC",
            Self::Net => "Net",
            Self::Uts => "UTS",
            Self::User => "User",
        }
    }
}

/// Safe sysctls with the first kernel (major, minor) that isolates them (contract §5).
const SAFE: [(&str, (u32, u32)); 14] = [
    ("kernel.shm_rmid_forced", (0, 0)),
    ("net.ipv4.ip_local_port_range", (0, 0)),
    ("net.ipv4.tcp_syncookies", (0, 0)),
    ("net.ipv4.ping_group_range", (0, 0)),
    ("net.ipv4.ip_unprivileged_port_start", (0, 0)),
    ("net.ipv4.ip_local_reserved_ports", (3, 16)),
    ("net.ipv4.tcp_keepalive_time", (4, 5)),
    ("net.ipv4.tcp_fin_timeout", (4, 6)),
    ("net.ipv4.tcp_keepalive_intvl", (4, 5)),
    ("net.ipv4.tcp_keepalive_probes", (4, 5)),
    ("net.ipv4.tcp_rmem", (4, 15)),
    ("net.ipv4.tcp_wmem", (4, 15)),
    ("net.ipv4.tcp_slow_start_after_idle", (4, 15)),
    ("net.ipv4.tcp_notsent_lowat", (4, 6)),
];

/// Longest sysctl name.
const MAX_LENGTH: usize = 253;

/// Why a pattern of `allowedUnsafeSysctls` is no use; the kubelet does not start then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Not a sysctl name.
    #[error(
        "sysctl {0:?} must have at most 253 characters and match regex \
         ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*([a-z0-9][-_a-z0-9]*)?[a-z0-9*]$"
    )]
    Malformed(String),
    /// The kernel does not isolate it: it would change the node.
    #[error("the sysctls {0:?} are not known to be namespaced")]
    NotNamespaced(String),
}

/// Why a sysctl is not allowed. `Display` is upstream's text after `forbidden sysctl: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SysctlRefusal {
    /// Not in the list.
    #[error("{0:?} not allowlisted")]
    NotAllowlisted(String),
    /// It would change the host: the pod shares that namespace with it.
    #[error("{name:?} not allowed with host {namespace} enabled")]
    HostNamespace {
        /// Sysctl.
        name: String,
        /// `IPC`, `Net` or `User`.
        namespace: &'static str,
    },
}

/// Allowed names and prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SysctlAllowlist {
    names: BTreeMap<String, Namespace>,
    prefixes: BTreeMap<String, Namespace>,
}

impl SysctlAllowlist {
    /// The safe sysctls of a kernel (`uname -r`; one that cannot be read allows those safe on all), and the patterns
    /// that the operator adds: names, or prefixes that end in `*`.
    ///
    /// # Errors
    /// [`PatternError`] for the first pattern that cannot be used.
    pub fn new(kernel_release: &str, unsafe_patterns: &[String]) -> Result<Self, PatternError> {
        let version = kernel_version(kernel_release);
        let mut list = Self::default();
        for (name, since) in SAFE {
            if since == (0, 0) || version.is_some_and(|version| version >= since) {
                list.add(name)?;
            }
        }
        for pattern in unsafe_patterns {
            list.add(pattern)?;
        }
        Ok(list)
    }

    fn add(&mut self, pattern: &str) -> Result<(), PatternError> {
        if !is_pattern(pattern) {
            return Err(PatternError::Malformed(pattern.to_owned()));
        }
        let name = normalized(pattern);
        let (stem, list) = match name.split_once('*') {
            Some((prefix, _)) => (prefix.to_owned(), &mut self.prefixes),
            None => (name, &mut self.names),
        };
        let Some(namespace) = namespace_of(&stem) else { return Err(PatternError::NotNamespaced(stem)) };
        list.insert(stem, namespace);
        Ok(())
    }

    /// Checks the sysctls of a pod's security context.
    ///
    /// # Errors
    /// The first [`SysctlRefusal`].
    pub fn check(&self, pod: &Pod) -> Result<(), SysctlRefusal> {
        let Some(spec) = &pod.spec else { return Ok(()) };
        let sysctls = spec.security_context.as_ref().and_then(|context| context.sysctls.as_deref());
        for sysctl in sysctls.unwrap_or_default() {
            let name = normalized(&sysctl.name);
            let by_prefix = || self.prefixes.iter().find(|(prefix, _)| name.starts_with(prefix.as_str()));
            let known = self.names.get(&name).or_else(|| by_prefix().map(|(_, namespace)| namespace));
            let Some(namespace) = known else { return Err(SysctlRefusal::NotAllowlisted(name)) };
            let shared = match namespace {
                Namespace::Ipc => spec.host_ipc.unwrap_or(false),
                Namespace::Net => spec.host_network.unwrap_or(false),
                Namespace::User => spec.host_users.unwrap_or(true),
                Namespace::Uts => false,
            };
            if shared {
                return Err(SysctlRefusal::HostNamespace { name, namespace: namespace.as_str() });
            }
        }
        Ok(())
    }
}

fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// `a.b.c` from either way of writing it. When the first separator is a slash, slashes separate and dots belong to
/// names.
#[must_use]
pub fn normalized(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(first) if name.get(first..=first) == Some("/") => name
            .chars()
            .map(|character| match character {
                '/' => '.',
                '.' => '/',
                other => other,
            })
            .collect(),
        _ => name.to_owned(),
    }
}

fn namespace_of(name: &str) -> Option<Namespace> {
    match name {
        "kernel.domainname" => Some(Namespace::Uts),
        "kernel.sem"
        | "kernel.shmall"
        | "kernel.shmmax"
        | "kernel.shmmni"
        | "kernel.shm_rmid_forced"
        | "kernel.shm"
        | "kernel.msgmax"
        | "kernel.msgmnb"
        | "kernel.msgmni"
        | "kernel.msg" => Some(Namespace::Ipc),
        _ if name.starts_with("net.") => Some(Namespace::Net),
        _ if name.starts_with("fs.mqueue.") => Some(Namespace::Ipc),
        _ if name.starts_with("user.") => Some(Namespace::User),
        _ => None,
    }
}

fn is_pattern(pattern: &str) -> bool {
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let inner = |byte: u8| lower(byte) || byte == b'-' || byte == b'_';
    let segment = |text: &[u8]| {
        matches!((text.first(), text.last()), (Some(first), Some(last)) if lower(*first) && lower(*last))
            && text.iter().copied().all(inner)
    };
    let last_segment = |text: &[u8]| match text.split_last() {
        Some((last, before)) => {
            (lower(*last) || *last == b'*')
                && before.first().is_none_or(|first| lower(*first))
                && before.iter().copied().all(inner)
        }
        None => false,
    };
    let segments: Vec<&[u8]> = pattern.as_bytes().split(|byte| *byte == b'.' || *byte == b'/').collect();
    match segments.split_last() {
        Some((last, before)) => {
            pattern.len() <= MAX_LENGTH && last_segment(last) && before.iter().all(|part| segment(part))
        }
        None => false,
    }
}

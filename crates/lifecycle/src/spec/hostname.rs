//! Hostname and domain of a pod (contract §12).

use k8s_openapi::api::core::v1::Pod;

use super::names;

/// Longest name the kernel takes (`uname(2)`: 64 bytes without the terminator).
const KERNEL_MAX: usize = 64;

/// How a pod is called inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hostname {
    /// Short name: `spec.hostname`, else the pod's name, cut to 63 characters. Goes into the hosts file.
    pub hostname: String,
    /// `<subdomain>.<namespace>.svc.<cluster domain>` when the pod has a subdomain. Goes into the hosts file.
    pub domain: Option<String>,
    /// What CRI gets as the sandbox's hostname: the short name, the full name with `setHostnameAsFQDN`, or empty with
    /// host network (the node's own name stays).
    pub kernel_hostname: String,
}

/// Why a pod has no usable hostname. The texts are upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostnameError {
    /// `spec.hostnameOverride` is not a DNS subdomain.
    #[error("pod HostnameOverride {value:?} is not a valid DNS subdomain: {problems}")]
    Override {
        /// The value.
        value: String,
        /// What is wrong with it.
        problems: String,
    },
    /// `spec.hostname` is not a DNS label.
    #[error("pod Hostname {value:?} is not a valid DNS label: {problems}")]
    Hostname {
        /// The value.
        value: String,
        /// What is wrong with it.
        problems: String,
    },
    /// `spec.subdomain` is not a DNS label.
    #[error("pod Subdomain {value:?} is not a valid DNS label: {problems}")]
    Subdomain {
        /// The value.
        value: String,
        /// What is wrong with it.
        problems: String,
    },
    /// Nothing is left after cutting.
    #[error("hostname for pod {pod:?} was invalid: {value:?}")]
    Empty {
        /// Pod name.
        pod: String,
        /// The value before it was cut.
        value: String,
    },
    /// With `setHostnameAsFQDN`, the full name does not fit the kernel.
    #[error(
        "failed to construct FQDN from pod hostname and cluster domain, FQDN {fqdn} is too long ({KERNEL_MAX} \
         characters is the max, {length} characters requested)"
    )]
    FqdnTooLong {
        /// Full name.
        fqdn: String,
        /// Its length in bytes.
        length: usize,
    },
}

/// Cuts at 63 bytes; only a cut name loses trailing `-` and `.`.
fn cut(pod: &str, value: &str) -> Result<String, HostnameError> {
    if value.len() <= names::LABEL_MAX {
        return Ok(value.to_owned());
    }
    let head = value.get(..names::LABEL_MAX).unwrap_or_default().trim_end_matches(['-', '.']);
    if head.is_empty() {
        return Err(HostnameError::Empty { pod: pod.to_owned(), value: value.to_owned() });
    }
    Ok(head.to_owned())
}

/// Hostname and domain of a pod; `cluster_domain` is the kubelet's `clusterDomain`.
///
/// # Errors
/// A name that is no DNS name, or a full name too long for the kernel: the sandbox cannot be made.
pub fn of(pod: &Pod, cluster_domain: &str) -> Result<Hostname, HostnameError> {
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    let spec = pod.spec.as_ref();
    let host_network = spec.and_then(|spec| spec.host_network).unwrap_or(false);
    if let Some(value) = spec.and_then(|spec| spec.hostname_override.as_deref()) {
        let problems = names::subdomain_problems(value);
        if !problems.is_empty() {
            return Err(HostnameError::Override { value: value.to_owned(), problems: problems.join(";") });
        }
        let hostname = cut(pod_name, value)?;
        let kernel_hostname = if host_network { String::new() } else { hostname.clone() };
        return Ok(Hostname { hostname, domain: None, kernel_hostname });
    }

    let wanted = spec.and_then(|spec| spec.hostname.as_deref()).filter(|name| !name.is_empty());
    if let Some(value) = wanted {
        let problems = names::label_problems(value);
        if !problems.is_empty() {
            return Err(HostnameError::Hostname { value: value.to_owned(), problems: problems.join(";") });
        }
    }
    let hostname = cut(pod_name, wanted.unwrap_or(pod_name))?;

    let domain = match spec.and_then(|spec| spec.subdomain.as_deref()).filter(|name| !name.is_empty()) {
        None => None,
        Some(value) => {
            let problems = names::label_problems(value);
            if !problems.is_empty() {
                return Err(HostnameError::Subdomain {
                    value: value.to_owned(),
                    problems: problems.join(";"),
                });
            }
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            Some(format!("{value}.{namespace}.svc.{cluster_domain}"))
        }
    };

    let as_fqdn = spec.and_then(|spec| spec.set_hostname_as_fqdn).unwrap_or(false);
    let kernel_hostname = match &domain {
        _ if host_network => String::new(),
        Some(domain) if as_fqdn => {
            let fqdn = format!("{hostname}.{domain}");
            if fqdn.len() > KERNEL_MAX {
                return Err(HostnameError::FqdnTooLong { length: fqdn.len(), fqdn });
            }
            fqdn
        }
        _ => hostname.clone(),
    };
    Ok(Hostname { hostname, domain, kernel_hostname })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodSpec;

    use super::*;

    fn pod(name: &str, change: impl FnOnce(&mut PodSpec)) -> Pod {
        let mut spec = PodSpec::default();
        change(&mut spec);
        let mut pod = Pod { spec: Some(spec), ..Pod::default() };
        pod.metadata.name = Some(name.to_owned());
        pod.metadata.namespace = Some("ns".to_owned());
        pod
    }

    fn names(pod: &Pod) -> (String, Option<String>, String) {
        let found = of(pod, "cluster.local").unwrap();
        (found.hostname, found.domain, found.kernel_hostname)
    }

    #[test]
    fn table() {
        let s = str::to_owned;
        assert_eq!(names(&pod("web", |_| ())), (s("web"), None, s("web")));
        assert_eq!(names(&pod("web", |p| p.hostname = Some(s("h")))), (s("h"), None, s("h")));
        assert_eq!(
            names(&pod("web", |p| p.subdomain = Some(s("sub")))),
            (s("web"), Some(s("sub.ns.svc.cluster.local")), s("web"))
        );
        assert_eq!(
            names(&pod("web", |p| {
                p.subdomain = Some(s("sub"));
                p.set_hostname_as_fqdn = Some(true);
            })),
            (s("web"), Some(s("sub.ns.svc.cluster.local")), s("web.sub.ns.svc.cluster.local"))
        );
        assert_eq!(names(&pod("web", |p| p.host_network = Some(true))), (s("web"), None, s("")));
        assert_eq!(
            names(&pod("web", |p| {
                p.hostname_override = Some(s("over.ride"));
                p.subdomain = Some(s("sub"));
            })),
            (s("over.ride"), None, s("over.ride"))
        );
    }

    #[test]
    fn long_names_are_cut_and_only_then_trimmed() {
        let long = format!("{}-.tail", "a".repeat(61));
        assert_eq!(names(&pod(&long, |_| ())).0, "a".repeat(61));
        assert_eq!(names(&pod("abc-", |_| ())).0, "abc-");
        let dashes = "-".repeat(64);
        assert_eq!(
            of(&pod(&dashes, |_| ()), "").unwrap_err().to_string(),
            format!("hostname for pod \"{dashes}\" was invalid: \"{dashes}\"")
        );
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let bad = pod("web", |p| p.hostname = Some("a.b".to_owned()));
        assert_eq!(
            of(&bad, "").unwrap_err().to_string(),
            "pod Hostname \"a.b\" is not a valid DNS label: must not contain dots"
        );
        let long = pod(&"a".repeat(50), |p| {
            p.subdomain = Some("subdomain".to_owned());
            p.set_hostname_as_fqdn = Some(true);
        });
        assert!(
            of(&long, "cluster.local")
                .unwrap_err()
                .to_string()
                .ends_with("is too long (64 characters is the max, 81 characters requested)")
        );
    }
}

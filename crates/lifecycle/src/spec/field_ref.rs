//! `fieldRef`: fields of the pod as texts, for environment variables and downward API files (contract §13).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

use super::{names, quote::go_quote};

/// What is not in the pod object itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldContext {
    /// Node name, for a pod whose `spec.nodeName` is not set.
    pub node_name: String,
    /// Node addresses, primary first.
    pub host_ips: Vec<String>,
    /// Pod addresses as the sandbox reports them; with host network the node's.
    pub pod_ips: Vec<String>,
}

/// Why a field has no value. The texts are upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// `apiVersion` is not `v1`.
    #[error("unsupported pod version: {0}")]
    Version(String),
    /// A field that may be used, but that has no text.
    #[error("unsupported fieldPath: {0}")]
    Unsupported(String),
    /// A field that may not be used.
    #[error("field label not supported: {0}")]
    Label(String),
    /// `['key']` after something that is neither labels nor annotations.
    #[error("field label does not support subscript: {0}")]
    Subscript(String),
    /// The same, in a volume.
    #[error("fieldPath {} does not support subscript", go_quote(.0))]
    VolumeSubscript(String),
    /// The subscript is not a label key.
    #[error("invalid key subscript in {path}: {problems}")]
    Key {
        /// Field path.
        path: String,
        /// What is wrong with the key.
        problems: String,
    },
    /// The node's address is not known.
    #[error("cannot get host IPs: the node has no address yet")]
    NoHostIp,
}

/// Pod addresses in the node's order of families: the first address of the node's primary family, then the first of
/// the other one.
#[must_use]
pub fn order_pod_ips(pod_ips: &[String], host_ips: &[String]) -> Vec<String> {
    let Some(first) = host_ips.first() else {
        return pod_ips.to_vec();
    };
    let primary_is_v6 = first.contains(':');
    let of = |v6: bool| pod_ips.iter().find(|ip| ip.contains(':') == v6).cloned();
    of(primary_is_v6).into_iter().chain(of(!primary_is_v6)).collect()
}

/// Splits `metadata.labels['key']` into path and key; `None` when there is no subscript.
pub(crate) fn split_subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(field, _)| !field.is_empty())
}

fn format_map(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> =
        map.into_iter().flatten().map(|(key, value)| format!("{key}={}", go_quote(value))).collect();
    lines.join("\n")
}

/// A field of the pod's metadata: what downward API volumes may show.
///
/// # Errors
/// Any other path, or a malformed key.
pub fn metadata_value(pod: &Pod, path: &str) -> Result<String, FieldError> {
    let metadata = &pod.metadata;
    if let Some((field, key)) = split_subscript(path) {
        let (map, checked) = match field {
            "metadata.annotations" => (&metadata.annotations, key.to_lowercase()),
            "metadata.labels" => (&metadata.labels, key.to_owned()),
            _ => return Err(FieldError::VolumeSubscript(path.to_owned())),
        };
        let problems = names::label_key_problems(&checked);
        if !problems.is_empty() {
            return Err(FieldError::Key { path: path.to_owned(), problems: problems.join(";") });
        }
        return Ok(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    match path {
        "metadata.annotations" => Ok(format_map(metadata.annotations.as_ref())),
        "metadata.labels" => Ok(format_map(metadata.labels.as_ref())),
        "metadata.name" => Ok(metadata.name.clone().unwrap_or_default()),
        "metadata.namespace" => Ok(metadata.namespace.clone().unwrap_or_default()),
        "metadata.uid" => Ok(metadata.uid.clone().unwrap_or_default()),
        _ => Err(FieldError::Unsupported(path.to_owned())),
    }
}

/// The path of a reference as it is spelt today, if the API knows it.
///
/// # Errors
/// A version other than `v1`, a field that nobody can refer to, or `['key']` after one that has no keys.
pub(crate) fn known<'a>(version: &str, path: &'a str) -> Result<&'a str, FieldError> {
    if version != "v1" {
        return Err(FieldError::Version(version.to_owned()));
    }
    match split_subscript(path) {
        Some(("metadata.annotations" | "metadata.labels", _)) => return Ok(path),
        Some(_) => return Err(FieldError::Subscript(path.to_owned())),
        None => {}
    }
    match path {
        "metadata.annotations"
        | "metadata.labels"
        | "metadata.name"
        | "metadata.namespace"
        | "metadata.uid"
        | "spec.nodeName"
        | "spec.restartPolicy"
        | "spec.serviceAccountName"
        | "spec.schedulerName"
        | "status.phase"
        | "status.hostIP"
        | "status.hostIPs"
        | "status.podIP"
        | "status.podIPs" => Ok(path),
        "spec.host" => Ok("spec.nodeName"),
        _ => Err(FieldError::Label(path.to_owned())),
    }
}

/// A field for an environment variable. `version` is the reference's `apiVersion`.
///
/// # Errors
/// A path that environment variables may not use, or the node's address before it is known.
pub fn value(pod: &Pod, version: &str, path: &str, context: &FieldContext) -> Result<String, FieldError> {
    let spec = pod.spec.as_ref();
    match known(version, path)? {
        "spec.nodeName" => Ok(spec
            .and_then(|spec| spec.node_name.clone())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| context.node_name.clone())),
        "spec.serviceAccountName" => {
            Ok(spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_default())
        }
        "status.hostIP" => context.host_ips.first().cloned().ok_or(FieldError::NoHostIp),
        "status.hostIPs" if context.host_ips.is_empty() => Err(FieldError::NoHostIp),
        "status.hostIPs" => Ok(context.host_ips.join(",")),
        "status.podIP" => {
            Ok(order_pod_ips(&context.pod_ips, &context.host_ips).into_iter().next().unwrap_or_default())
        }
        "status.podIPs" => Ok(order_pod_ips(&context.pod_ips, &context.host_ips).join(",")),
        path => metadata_value(pod, path),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodSpec;

    use super::*;

    fn pod() -> Pod {
        let mut pod = Pod {
            spec: Some(PodSpec {
                node_name: Some("node-1".into()),
                service_account_name: Some("robot".into()),
                ..PodSpec::default()
            }),
            ..Pod::default()
        };
        let map = |pairs: &[(&str, &str)]| {
            Some(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
        };
        pod.metadata.name = Some("web".into());
        pod.metadata.namespace = Some("ns".into());
        pod.metadata.uid = Some("u-1".into());
        pod.metadata.labels = map(&[("b", "2"), ("a", "say \"hi\"\n")]);
        pod.metadata.annotations = map(&[("ex.com/Key", "v"), ("Ex.Com/Key", "w")]);
        pod
    }

    fn context() -> FieldContext {
        let strings = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        FieldContext {
            node_name: "fallback".into(),
            host_ips: strings(&["fd00::9", "192.0.2.9"]),
            pod_ips: strings(&["10.88.0.2", "fd00::2"]),
        }
    }

    #[test]
    fn environment_fields() {
        for (path, expected) in [
            ("metadata.name", "web"),
            ("metadata.namespace", "ns"),
            ("metadata.uid", "u-1"),
            ("metadata.labels['a']", "say \"hi\"\n"),
            ("metadata.labels['none']", ""),
            ("metadata.annotations['ex.com/Key']", "v"),
            ("metadata.annotations['Ex.Com/Key']", "w"),
            ("metadata.labels", "a=\"say \\\"hi\\\"\\n\"\nb=\"2\""),
            ("spec.nodeName", "node-1"),
            ("spec.host", "node-1"),
            ("spec.serviceAccountName", "robot"),
            ("status.hostIP", "fd00::9"),
            ("status.hostIPs", "fd00::9,192.0.2.9"),
            ("status.podIP", "fd00::2"),
            ("status.podIPs", "fd00::2,10.88.0.2"),
        ] {
            assert_eq!(value(&pod(), "v1", path, &context()).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn errors() {
        for (path, expected) in [
            ("status.phase", "unsupported fieldPath: status.phase"),
            ("spec.hostname", "field label not supported: spec.hostname"),
            ("spec.nodeName['x']", "field label does not support subscript: spec.nodeName['x']"),
        ] {
            assert_eq!(value(&pod(), "v1", path, &context()).unwrap_err().to_string(), expected);
        }
        assert!(
            value(&pod(), "v1", "metadata.labels['']", &context())
                .unwrap_err()
                .to_string()
                .starts_with("invalid key subscript in metadata.labels['']: name part must be non-empty;")
        );
        assert_eq!(value(&pod(), "v1", "status.hostIP", &FieldContext::default()), Err(FieldError::NoHostIp));
        assert_eq!(
            metadata_value(&pod(), "spec.x['a']").unwrap_err().to_string(),
            "fieldPath \"spec.x['a']\" does not support subscript"
        );
        assert_eq!(
            metadata_value(&pod(), "spec.nodeName").unwrap_err().to_string(),
            "unsupported fieldPath: spec.nodeName"
        );
    }
}

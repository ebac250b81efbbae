//! Names and values of labels and taints: what the API server would refuse is refused here first.

pub mod taints;

/// Label keys of `kubernetes.io` and `k8s.io` that a node may give itself.
pub const ALLOWED: [&str; 11] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

/// Namespaces (with those below them) in which a node may give itself any label.
pub const ALLOWED_NAMESPACES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

/// Whether a key is reserved and not among those that a node may give itself.
#[must_use]
pub fn is_reserved(key: &str) -> bool {
    let Some((namespace, _)) = key.split_once('/') else { return false };
    let within = |parent: &str| {
        namespace == parent || namespace.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
    };
    (within("kubernetes.io") || within("k8s.io"))
        && !ALLOWED.contains(&key)
        && !ALLOWED_NAMESPACES.iter().any(|allowed| within(allowed))
}

/// What is wrong with a qualified name (`[prefix/]name`), in upstream's words; `None` when nothing is.
#[must_use]
pub fn name_problem(key: &str) -> Option<&'static str> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    match prefix {
        Some("") => return Some("prefix part must be non-empty"),
        Some(prefix) if !is_dns_subdomain(prefix) => {
            return Some(
                "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
                 and must start and end with an alphanumeric character",
            );
        }
        _ => {}
    }
    if name.is_empty() {
        Some("name part must be non-empty")
    } else if name.len() > 63 {
        Some("name part must be no more than 63 bytes")
    } else if !is_word(name) {
        Some(
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        )
    } else {
        None
    }
}

/// What is wrong with a label value, in upstream's words; `None` when nothing is.
#[must_use]
pub fn value_problem(value: &str) -> Option<&'static str> {
    if value.len() > 63 {
        Some("must be no more than 63 bytes")
    } else if !value.is_empty() && !is_word(value) {
        Some(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
             and must start and end with an alphanumeric character",
        )
    } else {
        None
    }
}

fn is_word(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    edge(text.as_bytes().first())
        && edge(text.as_bytes().last())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// RFC 1123: labels of lower-case letters, digits and inner `-`, joined by dots, 253 bytes in all.
#[must_use]
pub fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_allowed_reserved_labels_pass() {
        for key in [
            "kubernetes.io/role",
            "x.kubernetes.io/a",
            "k8s.io/a",
            "a.k8s.io/b",
            "node-role.kubernetes.io/worker",
        ] {
            assert!(is_reserved(key), "{key}");
        }
        for key in [
            "a",
            "example.com/a",
            "kubernetes.io/hostname",
            "node.kubernetes.io/a",
            "x.kubelet.kubernetes.io/a",
            "notkubernetes.io/a",
        ] {
            assert!(!is_reserved(key), "{key}");
        }
    }

    #[test]
    fn names_and_values() {
        for key in ["a", "A_b.c-d", "example.com/a", "a.b-c/d"] {
            assert_eq!(name_problem(key), None, "{key}");
        }
        for key in ["", "/a", "a/", "-a", "a-", "Example.com/a", "a/b/c", "a b", &"x".repeat(64)] {
            assert!(name_problem(key).is_some(), "{key}");
        }
        for value in ["", "a", "1.2_3"] {
            assert_eq!(value_problem(value), None, "{value}");
        }
        for value in ["-", "a b", "a=", &"x".repeat(64)] {
            assert!(value_problem(value).is_some(), "{value}");
        }
    }
}

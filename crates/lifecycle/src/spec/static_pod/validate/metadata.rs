//! Checks of a pod's metadata. What annotations say of seccomp and AppArmor is with the profiles.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

use super::Checker;
use crate::spec::names;

/// Bytes of all keys and values of annotations together.
const ANNOTATIONS_MAX: usize = 256 << 10;
/// How much a controller would lose if it had this pod deleted.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Labels, wherever they are.
pub(super) fn labels(checker: &mut Checker, labels: Option<&BTreeMap<String, String>>, field: &str) {
    for (key, value) in labels.into_iter().flatten() {
        checker.names(field, key, names::label_key_problems(key));
        checker.names(field, value, names::label_value_problems(value));
    }
}

fn annotations(checker: &mut Checker, annotations: &BTreeMap<String, String>) {
    let field = "metadata.annotations";
    for key in annotations.keys() {
        checker.names(field, key, names::label_key_problems(&key.to_lowercase()));
    }
    if annotations.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > ANNOTATIONS_MAX {
        checker.too_long(field, ANNOTATIONS_MAX);
    }
    if let Some(cost) = annotations.get(DELETION_COST)
        && !is_plain_number(cost)
    {
        checker.invalid(&format!("{field}[{DELETION_COST}]"), cost, "must be a 32bit integer");
    }
}

/// 32 bits, without a plus or leading zeros.
fn is_plain_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    text.parse::<i32>().is_ok()
        && !text.starts_with('+')
        && (digits != text || !digits.starts_with('0') || digits == "0")
}

/// Checks name, namespace, labels and annotations.
pub(super) fn check(checker: &mut Checker, pod: &Pod) {
    let metadata = &pod.metadata;
    let name = metadata.name.as_deref().unwrap_or_default();
    checker.names("metadata.name", name, names::subdomain_problems(name));
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    checker.names("metadata.namespace", namespace, names::label_problems(namespace));
    labels(checker, metadata.labels.as_ref(), "metadata.labels");
    if let Some(all) = &metadata.annotations {
        annotations(checker, all);
    }
}

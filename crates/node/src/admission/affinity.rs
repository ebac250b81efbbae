//! Node selector and required node affinity, against the labels and the name of the node.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, Pod};

/// Whether the node is one that the pod asks for.
pub(super) fn matches(pod: &Pod, node: &Node) -> bool {
    let none = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&none);
    let Some(spec) = &pod.spec else { return true };
    let selected = spec.node_selector.iter().flatten().all(|(name, value)| labels.get(name) == Some(value));
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let name = node.metadata.name.as_deref().unwrap_or_default();
    selected
        && required.is_none_or(|required| {
            required.node_selector_terms.iter().any(|term| term_matches(term, labels, name))
        })
}

/// All requirements of a term hold. An empty term matches nothing, and so does one that cannot be understood.
fn term_matches(term: &NodeSelectorTerm, labels: &BTreeMap<String, String>, name: &str) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    expressions.iter().all(|requirement| label_matches(requirement, labels).unwrap_or(false))
        && fields.iter().all(|requirement| field_matches(requirement, name).unwrap_or(false))
}

/// `None`: the requirement is malformed.
fn label_matches(requirement: &NodeSelectorRequirement, labels: &BTreeMap<String, String>) -> Option<bool> {
    let values = requirement.values.as_deref().unwrap_or_default();
    let value = labels.get(&requirement.key);
    let compared = |holds: fn(i64, i64) -> bool| {
        let [bound] = values else { return None };
        let bound: i64 = bound.parse().ok()?;
        Some(value.and_then(|value| value.parse().ok()).is_some_and(|value| holds(value, bound)))
    };
    match requirement.operator.as_str() {
        "In" if !values.is_empty() => Some(value.is_some_and(|value| values.contains(value))),
        "NotIn" if !values.is_empty() => Some(value.is_none_or(|value| !values.contains(value))),
        "Exists" if values.is_empty() => Some(value.is_some()),
        "DoesNotExist" if values.is_empty() => Some(value.is_none()),
        "Gt" => compared(|value, bound| value > bound),
        "Lt" => compared(|value, bound| value < bound),
        _ => None,
    }
}

/// `metadata.name` is the only field of a node; others are empty.
fn field_matches(requirement: &NodeSelectorRequirement, name: &str) -> Option<bool> {
    let [wanted] = requirement.values.as_deref().unwrap_or_default() else { return None };
    let value = if requirement.key == "metadata.name" { name } else { "" };
    match requirement.operator.as_str() {
        "In" => Some(value == wanted),
        "NotIn" => Some(value != wanted),
        _ => None,
    }
}

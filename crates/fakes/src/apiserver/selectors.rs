//! Field and label selectors.

use serde_json::Value;

use super::{resources::Served, status::Refusal};

/// Fields by which a resource can be selected besides its name and namespace, as the real server registers them.
const FIELDS: &[(&str, &[&str])] = &[
    (
        "pods",
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
    ),
    ("nodes", &["spec.unschedulable"]),
    ("secrets", &["type"]),
    ("namespaces", &["status.phase"]),
    ("certificatesigningrequests", &["spec.signerName"]),
    ("clustertrustbundles", &["spec.signerName"]),
    ("podcertificaterequests", &["spec.signerName", "spec.nodeName"]),
    ("resourceslices", &["spec.nodeName", "spec.driver"]),
    (
        "events",
        &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
    ),
];

/// What a list or watch is restricted to.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector {
    fields: Vec<Condition>,
    labels: Vec<Condition>,
}

#[derive(Clone, Debug)]
struct Condition {
    name: String,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

impl Selector {
    /// Read both; what the real server does not support is refused.
    pub(super) fn parse(served: &Served, fields: &str, labels: &str) -> Result<Self, Refusal> {
        let mut selector = Self::default();
        for part in fields.split(',').filter(|part| !part.is_empty()) {
            let condition = equality(part).ok_or_else(|| {
                Refusal::bad_request(format!("invalid selector: '{fields}'; can't understand '{part}'"))
            })?;
            let more = FIELDS
                .iter()
                .find(|(plural, _)| *plural == served.plural)
                .map_or(&[][..], |(_, names)| names);
            let known = condition.name == "metadata.name"
                || condition.name == "metadata.namespace"
                || more.contains(&condition.name.as_str());
            if !known {
                return Err(Refusal::bad_request(format!("field label not supported: {}", condition.name)));
            }
            selector.fields.push(condition);
        }
        for part in split_outside_parentheses(labels) {
            let condition = label(part)
                .ok_or_else(|| Refusal::bad_request(format!("unable to parse requirement: '{part}'")))?;
            selector.labels.push(condition);
        }
        Ok(selector)
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        let field = |name: &str| {
            let found = name.split('.').try_fold(object, |value, part| value.get(part));
            // A field that is not set compares as its zero value.
            let zero = if matches!(name, "spec.unschedulable" | "spec.hostNetwork") { "false" } else { "" };
            Some(match found {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None => zero.to_owned(),
                Some(other) => other.to_string(),
            })
        };
        let label = |name: &str| object["metadata"]["labels"][name].as_str().map(str::to_owned);
        self.fields.iter().all(|condition| condition.holds(field(&condition.name)))
            && self.labels.iter().all(|condition| condition.holds(label(&condition.name)))
    }
}

impl Condition {
    fn holds(&self, value: Option<String>) -> bool {
        match (&self.test, value) {
            (Test::In(wanted), Some(value)) => wanted.contains(&value),
            (Test::NotIn(unwanted), Some(value)) => !unwanted.contains(&value),
            (Test::Exists, value) => value.is_some(),
            (Test::Absent, value) => value.is_none(),
            (Test::In(_), None) => false,
            (Test::NotIn(_), None) => true,
        }
    }
}

/// `a=b`, `a==b`, `a!=b`.
fn equality(part: &str) -> Option<Condition> {
    let (name, value, equal) = if let Some((name, value)) = part.split_once("!=") {
        (name, value, false)
    } else if let Some((name, value)) = part.split_once("==") {
        (name, value, true)
    } else {
        let (name, value) = part.split_once('=')?;
        (name, value, true)
    };
    let values = vec![value.trim().to_owned()];
    let test = if equal { Test::In(values) } else { Test::NotIn(values) };
    Some(Condition { name: name.trim().to_owned(), test })
}

/// Also `a in (b,c)`, `a notin (b,c)`, `a`, `!a`.
fn label(part: &str) -> Option<Condition> {
    let part = part.trim();
    if let Some((head, list)) = part.split_once('(') {
        let values = list.strip_suffix(')')?.split(',').map(|value| value.trim().to_owned()).collect();
        let (name, operator) = head.trim().rsplit_once(' ')?;
        let test = match operator {
            "in" => Test::In(values),
            "notin" => Test::NotIn(values),
            _ => return None,
        };
        return Some(Condition { name: name.trim().to_owned(), test });
    }
    if part.contains('=') {
        return equality(part);
    }
    match part.strip_prefix('!') {
        Some(name) => Some(Condition { name: name.to_owned(), test: Test::Absent }),
        None if part.contains(' ') => None,
        None => Some(Condition { name: part.to_owned(), test: Test::Exists }),
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_u32, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

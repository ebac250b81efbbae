//! How two JSON values differ, path by path, so that a person can read it and a row of a table can name it.
//!
//! Items of lists that carry a name of their own (conditions their type, container statuses their name) are compared with
//! their namesakes, and their order apart from that: one item more is one difference, not one in each item after it.

use std::{collections::BTreeSet, fmt};

use serde_json::Value;

/// Fields that name the items of a list, the first that all of them have.
const NAMES: [&str; 5] = ["mountPath", "type", "name", "ip", "topologyKey"];

/// One place where two values differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where: fields, names or numbers of list items, each behind a `/`. `(order)` at the end: of the items of a list.
    pub path: String,
    /// What upstream has there.
    pub upstream: Option<Value>,
    /// What we have.
    pub ours: Option<Value>,
}

/// A side of a difference as people read it: JSON, or `absent`.
#[must_use]
pub fn shown(side: Option<&Value>) -> String {
    side.map_or_else(|| "absent".to_owned(), Value::to_string)
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (upstream, ours) = (shown(self.upstream.as_ref()), shown(self.ours.as_ref()));
        write!(f, "{}\n    upstream: {upstream}\n    here:     {ours}", self.path)
    }
}

/// All places where two values differ.
#[must_use]
pub fn differences(upstream: &Value, ours: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(String::new(), Some(upstream), Some(ours), &mut found);
    found
}

fn compare(path: String, upstream: Option<&Value>, ours: Option<&Value>, found: &mut Vec<Difference>) {
    match (upstream, ours) {
        (Some(Value::Object(theirs)), Some(Value::Object(own))) => {
            let names: BTreeSet<&String> = theirs.keys().chain(own.keys()).collect();
            for name in names {
                compare(below(&path, name), theirs.get(name), own.get(name), found);
            }
        }
        (Some(Value::Array(theirs)), Some(Value::Array(own))) => lists(&path, theirs, own, found),
        (upstream, ours) if upstream == ours => {}
        (upstream, ours) => {
            found.push(Difference { path, upstream: upstream.cloned(), ours: ours.cloned() });
        }
    }
}

fn lists(path: &str, upstream: &[Value], ours: &[Value], found: &mut Vec<Difference>) {
    let Some((theirs, own)) =
        NAMES.iter().find_map(|field| Some((names(upstream, field)?, names(ours, field)?)))
    else {
        for at in 0..upstream.len().max(ours.len()) {
            compare(below(path, &at.to_string()), upstream.get(at), ours.get(at), found);
        }
        return;
    };
    let item = |list: &[Value], known: &[&str], name: &str| {
        known.iter().position(|known| *known == name).and_then(|at| list.get(at).cloned())
    };
    let all: BTreeSet<&str> = theirs.iter().chain(&own).copied().collect();
    for name in all {
        let (upstream, ours) = (item(upstream, &theirs, name), item(ours, &own, name));
        compare(below(path, name), upstream.as_ref(), ours.as_ref(), found);
    }
    let common = |list: &[&str], other: &[&str]| -> Vec<Value> {
        list.iter().filter(|name| other.contains(name)).map(|name| Value::from(*name)).collect()
    };
    let (theirs, own) = (common(&theirs, &own), common(&own, &theirs));
    if theirs != own {
        found.push(Difference {
            path: below(path, "(order)"),
            upstream: Some(Value::Array(theirs)),
            ours: Some(Value::Array(own)),
        });
    }
}

/// Names of all items, if each has one of its own.
fn names<'v>(list: &'v [Value], field: &str) -> Option<Vec<&'v str>> {
    let names: Vec<&str> = list.iter().map(|item| item.get(field)?.as_str()).collect::<Option<_>>()?;
    let different: BTreeSet<&&str> = names.iter().collect();
    (different.len() == names.len()).then_some(names)
}

/// `~1` for a `/` inside a name, as in RFC 6901.
fn below(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(upstream: &Value, ours: &Value) -> Vec<String> {
        differences(upstream, ours).iter().map(|found| found.path.clone()).collect()
    }

    #[test]
    fn equal_values_do_not_differ() {
        let value = json!({"a": [1, {"type": "x", "b": null}], "c": "d"});
        assert!(found(&value, &value).is_empty());
    }

    #[test]
    fn namesakes_are_compared_and_their_order_apart() {
        let upstream = json!({"conditions": [{"type": "A", "status": "True"}, {"type": "B"}, {"type": "C"}]});
        let ours = json!({"conditions": [{"type": "C"}, {"type": "A", "status": "False"}]});
        assert_eq!(found(&upstream, &ours), ["/conditions/A/status", "/conditions/B", "/conditions/(order)"]);
    }

    #[test]
    fn other_lists_are_compared_by_place() {
        assert_eq!(found(&json!([1, 2]), &json!([1, 3, 4])), ["/1", "/2"]);
        // Two of one name have none of their own.
        let twice = json!([{"name": "a"}, {"name": "a", "b": 1}]);
        assert_eq!(found(&twice, &json!([{"name": "a"}, {"name": "a"}])), ["/1/b"]);
    }

    #[test]
    fn null_and_absent_are_not_the_same() {
        let difference = &differences(&json!({"a/b": null}), &json!({}))[0];
        assert_eq!(difference.to_string(), "/a~1b\n    upstream: null\n    here:     absent");
    }
}

//! YAML or JSON bytes to a document, with the duplicate keys that it holds.
//!
//! As upstream: YAML 1.1 scalars (`yes` is true, `010` is eight), later duplicates win, only the first value of a key
//! path counts as "the" field. A text that starts with `{` is JSON.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use super::schema::join;

/// A parsed text.
#[derive(Debug)]
pub struct Document {
    /// The object.
    pub root: Map<String, Value>,
    /// Dotted paths of keys that occur more than once in one object.
    pub duplicates: Vec<String>,
}

/// Why a text is no document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Nothing in it.
    #[error("the file is empty")]
    Empty,
    /// Not UTF-8.
    #[error("not UTF-8 text: {0}")]
    Utf8(std::str::Utf8Error),
    /// Not YAML.
    #[error("yaml: {0}")]
    Yaml(String),
    /// Not JSON.
    #[error("json: {0}")]
    Json(serde_json::Error),
    /// A list or a scalar.
    #[error("the top level is not an object")]
    NotAnObject,
}

/// Reads a text.
///
/// # Errors
/// [`DocumentError`].
pub fn read(bytes: &[u8]) -> Result<Document, DocumentError> {
    let text = std::str::from_utf8(bytes).map_err(DocumentError::Utf8)?;
    if text.trim().is_empty() {
        return Err(DocumentError::Empty);
    }
    let node: Node = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(DocumentError::Json)?
    } else {
        let options = serde_saphyr::options! {
            duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
            legacy_octal_numbers: true,
            strict_booleans: false,
            with_snippet: false,
        };
        serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| DocumentError::Yaml(error.to_string()))?
    };
    let mut duplicates = Vec::new();
    match node.into_value("", &mut duplicates) {
        Value::Object(root) => Ok(Document { root, duplicates }),
        _ => Err(DocumentError::NotAnObject),
    }
}

/// A value that still knows every pair of its maps.
enum Node {
    Scalar(Value),
    List(Vec<Node>),
    Pairs(Vec<(String, Node)>),
}

impl Node {
    fn into_value(self, path: &str, duplicates: &mut Vec<String>) -> Value {
        match self {
            Self::Scalar(value) => value,
            Self::List(items) => {
                let item =
                    |(index, node): (usize, Self)| node.into_value(&format!("{path}[{index}]"), duplicates);
                Value::Array(items.into_iter().enumerate().map(item).collect())
            }
            Self::Pairs(pairs) => {
                let mut map = Map::new();
                for (key, node) in pairs {
                    let at = join(path, &key);
                    let value = node.into_value(&at, duplicates);
                    if map.insert(key, value).is_some() {
                        duplicates.push(at);
                    }
                }
                Value::Object(map)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = entries.next_entry()? {
            pairs.push(pair);
        }
        Ok(Node::Pairs(pairs))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_scalars_are_those_of_1_1_and_duplicates_are_found() {
        let text = "a: yes\nb: 010\nc: 1.5\nd: ~\ne: {x: 1, x: 2}\nf: [{k: 1, k: 2}]\na: off\n";
        let document = read(text.as_bytes()).unwrap();
        let expected = json!({"a": false, "b": 8, "c": 1.5, "d": null, "e": {"x": 2}, "f": [{"k": 2}]});
        assert_eq!(Value::Object(document.root), expected);
        assert_eq!(document.duplicates, ["e.x", "f[0].k", "a"]);
    }

    #[test]
    fn json_is_read_as_json() {
        let document = read(b" {\"a\": 1,\n\t\"a\": \"yes\"}").unwrap();
        assert_eq!(Value::Object(document.root), json!({"a": "yes"}));
        assert_eq!(document.duplicates, ["a"]);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(matches!(read(b""), Err(DocumentError::Empty)));
        assert!(matches!(read(b"- a\n"), Err(DocumentError::NotAnObject)));
        assert!(matches!(read(b"\xff"), Err(DocumentError::Utf8(_))));
        assert!(matches!(read(b"a: [1\n"), Err(DocumentError::Yaml(_))));
        assert!(matches!(read(b"{\"a\":"), Err(DocumentError::Json(_))));
    }
}

//! Reads the pod of a document, and finds the field that a type error is about. The reader of the API's types reports
//! none, but it is quick: leaving out one part of a document at a time shows which part it stumbles over.

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

/// Reads a document as a pod, by way of its text: the reader of text is in the program for the API's objects, and one that
/// reads values would be a second copy of all its code, a good part of a megabyte.
pub(super) fn pod(document: &Value) -> Result<Pod, serde_json::Error> {
    serde_json::from_slice(&serde_json::to_vec(document)?)
}

/// The reader's message without the place in a text that nobody wrote.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// Path of the field and the reader's message. Where two fields are wrong, the path ends at what they share.
pub(super) fn type_error(document: &Value, error: &serde_json::Error) -> (String, String) {
    let mut path: Vec<Step> = Vec::new();
    while let Some(step) = culprit(document, &path) {
        path.push(step);
    }
    let mut text = String::new();
    for step in &path {
        match step {
            Step::Field(name) if text.is_empty() => text.clone_from(name),
            Step::Field(name) => text.push_str(&format!(".{name}")),
            Step::Item(index) => text.push_str(&format!("[{index}]")),
        }
    }
    if text.is_empty() {
        text.push_str("(document)");
    }
    (text, message(error))
}

#[derive(Clone)]
enum Step {
    Field(String),
    Item(usize),
}

fn at<'a>(document: &'a mut Value, path: &[Step]) -> Option<&'a mut Value> {
    path.iter().try_fold(document, |value, step| match step {
        Step::Field(name) => value.get_mut(name.as_str()),
        Step::Item(index) => value.get_mut(*index),
    })
}

/// The one child at `path` without which the document can be read.
fn culprit(document: &Value, path: &[Step]) -> Option<Step> {
    let mut whole = document.clone();
    let children: Vec<Step> = match at(&mut whole, path)? {
        Value::Object(map) => map.keys().cloned().map(Step::Field).collect(),
        Value::Array(items) => (0..items.len()).map(Step::Item).collect(),
        _ => return None,
    };
    children.into_iter().find(|child| {
        let mut copy = document.clone();
        match (at(&mut copy, path), child) {
            (Some(Value::Object(map)), Step::Field(name)) => {
                map.remove(name);
            }
            (Some(Value::Array(items)), Step::Item(index)) => {
                items.remove(*index);
            }
            _ => return false,
        }
        pod(&copy).is_ok()
    })
}

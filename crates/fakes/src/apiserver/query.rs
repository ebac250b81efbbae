//! Query parameters, read leniently as Go's decoder does for booleans, strictly for numbers.

use std::collections::BTreeMap;

use super::status::Refusal;

/// Decode a query string. A repeated name keeps its last value.
pub(super) fn decode(query: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// A boolean parameter.
pub(super) fn flag(query: &BTreeMap<String, String>, name: &str) -> bool {
    matches!(query.get(name).map(String::as_str), Some("true" | "1"))
}

/// A number parameter; empty means not given.
pub(super) fn number(query: &BTreeMap<String, String>, name: &str) -> Result<Option<u64>, Refusal> {
    match query.get(name).map(String::as_str) {
        None | Some("") => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|_| Refusal::bad_request(format!("invalid {name}: \"{text}\" is not a number"))),
    }
}

//! `configMap` volumes.

use k8s_openapi::api::core::v1::{ConfigMap, KeyToPath};

use crate::{
    error::SetUpError,
    payload::{Payload, Projection, file_mode},
};

/// Files of a config map: all keys, or those that `items` choose.
pub(crate) fn payload(
    items: &[KeyToPath],
    config_map: &ConfigMap,
    default_mode: Option<i32>,
    optional: bool,
) -> Result<Payload, SetUpError> {
    let default_mode = default_mode.ok_or(SetUpError::NoDefaultMode)?;
    let text = config_map.data.iter().flatten().map(|(key, value)| (key, value.as_bytes()));
    let binary = config_map.binary_data.iter().flatten().map(|(key, value)| (key, value.0.as_slice()));
    let file =
        |data: &[u8], mode: i32| Projection { data: data.to_vec(), mode: file_mode(mode), owner: None };
    if items.is_empty() {
        return Ok(text.chain(binary).map(|(key, data)| (key.clone(), file(data, default_mode))).collect());
    }
    let mut payload = Payload::new();
    for item in items {
        match text.clone().chain(binary.clone()).find(|(key, _)| **key == item.key) {
            Some((_, data)) => {
                payload.insert(item.path.clone(), file(data, item.mode.unwrap_or(default_mode)));
            }
            None if optional => {}
            None => return Err(SetUpError::ConfigMapKey(item.key.clone())),
        }
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config_map() -> ConfigMap {
        serde_json::from_value(json!({"data": {"a": "1", "b": "2"}, "binaryData": {"bin": "/w=="}})).unwrap()
    }

    fn items(value: serde_json::Value) -> Vec<KeyToPath> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn all_keys() {
        let files = payload(&[], &config_map(), Some(0o644), false).ok().unwrap();
        let seen: Vec<_> =
            files.iter().map(|(path, file)| (path.as_str(), file.data.as_slice(), file.mode)).collect();
        assert_eq!(seen, [("a", &b"1"[..], 0o644), ("b", &b"2"[..], 0o644), ("bin", &b"\xff"[..], 0o644)]);
    }

    #[test]
    fn chosen_keys() {
        let chosen = items(json!([{"key": "bin", "path": "x/y"}, {"key": "a", "path": "z", "mode": 256}]));
        let files = payload(&chosen, &config_map(), Some(0o644), false).ok().unwrap();
        let seen: Vec<_> =
            files.iter().map(|(path, file)| (path.as_str(), file.data.as_slice(), file.mode)).collect();
        assert_eq!(seen, [("x/y", &b"\xff"[..], 0o644), ("z", &b"1"[..], 0o400)]);
    }

    #[test]
    fn missing_keys() {
        let chosen = items(json!([{"key": "none", "path": "x"}]));
        assert_eq!(
            payload(&chosen, &config_map(), Some(0o644), false).err().unwrap().to_string(),
            "configmap references non-existent config key: none"
        );
        assert!(payload(&chosen, &config_map(), Some(0o644), true).ok().unwrap().is_empty());
        assert!(matches!(payload(&[], &config_map(), None, false), Err(SetUpError::NoDefaultMode)));
    }
}

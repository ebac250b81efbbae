//! `secret` volumes.

use k8s_openapi::api::core::v1::{KeyToPath, Secret};

use crate::{
    error::SetUpError,
    payload::{Payload, Projection, file_mode},
};

/// Files of a secret: all keys, or those that `items` choose.
pub(crate) fn payload(
    items: &[KeyToPath],
    secret: &Secret,
    default_mode: Option<i32>,
    optional: bool,
) -> Result<Payload, SetUpError> {
    let default_mode = default_mode.ok_or(SetUpError::NoDefaultMode)?;
    let file =
        |data: &[u8], mode: i32| Projection { data: data.to_vec(), mode: file_mode(mode), owner: None };
    let data = || secret.data.iter().flatten();
    if items.is_empty() {
        return Ok(data().map(|(key, value)| (key.clone(), file(&value.0, default_mode))).collect());
    }
    let mut payload = Payload::new();
    for item in items {
        match data().find(|(key, _)| **key == item.key) {
            Some((_, value)) => {
                payload.insert(item.path.clone(), file(&value.0, item.mode.unwrap_or(default_mode)));
            }
            None if optional => {}
            None => return Err(SetUpError::SecretKey(item.key.clone())),
        }
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys() {
        let secret: Secret = serde_json::from_value(json!({"data": {"a": "AQ==", "b": "Ag=="}})).unwrap();
        let items = |value: serde_json::Value| -> Vec<KeyToPath> { serde_json::from_value(value).unwrap() };
        let all = payload(&[], &secret, Some(0o400), false).ok().unwrap();
        let seen: Vec<_> =
            all.iter().map(|(path, file)| (path.as_str(), file.data.as_slice(), file.mode)).collect();
        assert_eq!(seen, [("a", &[1_u8][..], 0o400), ("b", &[2_u8][..], 0o400)]);
        let chosen = items(json!([{"key": "b", "path": "d/e", "mode": 511}]));
        let some = payload(&chosen, &secret, Some(0o400), false).ok().unwrap();
        assert_eq!(some["d/e"].mode, 0o777);
        let missing = items(json!([{"key": "c", "path": "c"}]));
        assert_eq!(
            payload(&missing, &secret, Some(0o400), false).err().unwrap().to_string(),
            "references non-existent secret key: c"
        );
        assert!(payload(&missing, &secret, Some(0o400), true).ok().unwrap().is_empty());
    }
}

//! Registry credentials from pull secrets.
//!
//! Keys of a docker configuration are a host, a host with a port, or a URL with a path; a host label may be a `*`
//! glob. The longest path that fits is tried first (contract §16 `imagePullSecrets`).

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::Secret;
use lifecycle::spec::image_reference;
use seams::runtime::RegistryAuth;
use serde::Deserialize;

/// Why a pull secret cannot be used. Never shows its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Neither of the two docker types.
    #[error("type is neither kubernetes.io/dockerconfigjson nor kubernetes.io/dockercfg")]
    Type,
    /// The key that the type promises is not there.
    #[error("data has no key {0}")]
    NoKey(&'static str),
    /// Not the JSON that the type promises.
    #[error("{0} is not a docker configuration in JSON")]
    Json(&'static str),
}

#[derive(Deserialize)]
struct ConfigJson {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize, Default)]
struct Entry {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    auth: String,
}

/// Credentials by registry pattern.
#[derive(Default)]
pub struct Keyring(Vec<(String, RegistryAuth)>);

impl Keyring {
    /// Adds what a pull secret holds.
    pub fn add(&mut self, secret: &Secret) -> Result<(), CredentialError> {
        let data = |key: &'static str| {
            let value = secret.data.as_ref().and_then(|data| data.get(key));
            value.map(|bytes| bytes.0.as_slice()).ok_or(CredentialError::NoKey(key))
        };
        let entries = match secret.type_.as_deref() {
            Some("kubernetes.io/dockerconfigjson") => {
                const KEY: &str = ".dockerconfigjson";
                let parsed: ConfigJson =
                    serde_json::from_slice(data(KEY)?).map_err(|_| CredentialError::Json(KEY))?;
                parsed.auths
            }
            Some("kubernetes.io/dockercfg") => {
                const KEY: &str = ".dockercfg";
                serde_json::from_slice(data(KEY)?).map_err(|_| CredentialError::Json(KEY))?
            }
            _ => return Err(CredentialError::Type),
        };
        for (key, entry) in entries {
            self.0.push((pattern(&key), entry.credential()));
        }
        Ok(())
    }

    /// Credentials that fit an image, the most specific first.
    #[must_use]
    pub fn lookup(&self, image: &str) -> Vec<RegistryAuth> {
        let Ok(parsed) = image_reference::parse(image) else { return Vec::new() };
        let host = parsed.registry.unwrap_or("docker.io");
        let path = if parsed.registry.is_none() && !parsed.path.contains('/') {
            format!("library/{}", parsed.path)
        } else {
            parsed.path.to_owned()
        };
        let mut fitting: Vec<_> = self.0.iter().filter(|(pattern, _)| fits(pattern, host, &path)).collect();
        fitting.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.len()));
        fitting.into_iter().map(|(_, auth)| auth.clone()).collect()
    }
}

impl Entry {
    /// `auth` is base64 of `user:password` and wins over the two fields.
    fn credential(self) -> RegistryAuth {
        let decoded = STANDARD.decode(self.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        match decoded.as_deref().and_then(|text| text.split_once(':')) {
            Some((username, password)) if !self.auth.is_empty() => RegistryAuth {
                username: username.to_owned(),
                password: password.trim_end_matches('\0').to_owned(),
                ..RegistryAuth::default()
            },
            _ => RegistryAuth { username: self.username, password: self.password, ..RegistryAuth::default() },
        }
    }
}

/// Drops the scheme, and the API version that old docker clients wrote.
fn pattern(key: &str) -> String {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    match key {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        other => other.to_owned(),
    }
}

fn fits(pattern: &str, host: &str, path: &str) -> bool {
    let (pattern_host, pattern_path) = pattern.split_once('/').unwrap_or((pattern, ""));
    host_fits(pattern_host, host)
        && (pattern_path.is_empty()
            || path == pattern_path
            || path.strip_prefix(pattern_path).is_some_and(|rest| rest.starts_with('/')))
}

fn host_fits(pattern: &str, host: &str) -> bool {
    let (pattern, pattern_port) = pattern.split_once(':').unwrap_or((pattern, ""));
    let (host, port) = host.split_once(':').unwrap_or((host, ""));
    let mut wanted = pattern.split('.');
    let mut given = host.split('.');
    pattern_port == port
        && loop {
            match (wanted.next(), given.next()) {
                (None, None) => break true,
                (Some(want), Some(label)) if glob(want.as_bytes(), label.as_bytes()) => {}
                _ => break false,
            }
        }
}

/// `*` fits any run of bytes. Linear in the product of both lengths: a hostile pattern costs nothing.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut pos, mut star) = (0, 0, None);
    while pos < text.len() {
        match (pattern.get(at), text.get(pos)) {
            (Some(b'*'), _) => {
                star = Some((at, pos));
                at += 1;
            }
            (Some(want), Some(byte)) if want == byte => {
                at += 1;
                pos += 1;
            }
            _ => match star {
                Some((star_at, eaten)) => {
                    star = Some((star_at, eaten + 1));
                    at = star_at + 1;
                    pos = eaten + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn keyring(json: &str) -> Keyring {
        let mut keyring = Keyring::default();
        let secret = Secret {
            type_: Some("kubernetes.io/dockerconfigjson".to_owned()),
            data: Some([(".dockerconfigjson".to_owned(), ByteString(json.as_bytes().to_vec()))].into()),
            ..Secret::default()
        };
        keyring.add(&secret).unwrap();
        keyring
    }

    #[test]
    fn the_longest_path_comes_first() {
        let keyring = keyring(
            r#"{"auths":{"https://r.test:5000":{"username":"a","password":"1"},"r.test:5000/team":{"auth":"Yjoy"}}}"#,
        );
        let users = |image| keyring.lookup(image).into_iter().map(|auth| auth.username).collect::<Vec<_>>();
        assert_eq!(users("r.test:5000/team/app:1"), ["b", "a"]);
        assert_eq!(users("r.test:5000/teams/app:1"), ["a"]);
        assert!(users("r.test/team/app").is_empty());
    }

    #[test]
    fn globs_stay_within_a_label() {
        let keyring = keyring(r#"{"auths":{"*.r.test":{"username":"a","password":"1"}}}"#);
        assert_eq!(keyring.lookup("x.r.test/y").len(), 1);
        assert!(keyring.lookup("x.y.r.test/y").is_empty());
    }

    #[test]
    fn docker_hub_has_several_names() {
        let keyring = keyring(r#"{"auths":{"https://index.docker.io/v1/":{"username":"a","password":"1"}}}"#);
        assert_eq!(keyring.lookup("busybox").len(), 1);
    }
}

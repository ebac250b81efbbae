//! Registry credentials, from pull secrets and from the node's own docker configuration.
//!
//! Which credentials fit an image, and in which order they are tried, is upstream's rule (contract §16): keys of a
//! docker configuration are a host, a host with a port, or either with a path that the image's path begins with; a
//! label of the host may hold `*`. Keys are tried in reverse alphabetical order, which puts the longer of two paths
//! first. Pull secrets come before the node's credentials.
//!
//! Invariant: no error and no log line shows what a configuration holds, only where it is.

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
};

use base64::{
    Engine,
    alphabet::STANDARD as STANDARD_ALPHABET,
    engine::general_purpose::{GeneralPurpose, NO_PAD, PAD},
};
use k8s_openapi::api::core::v1::Secret;
use lifecycle::spec::{hash::go_json_string, image_reference};
use seams::runtime::RegistryAuth;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::records::{PullSecret, PulledWith, hex};

/// Key of the Docker Hub's credentials, as docker clients write it.
const DOCKER_HUB_KEY: &str = "index.docker.io";
/// Host of images without one.
const DOCKER_HUB: &str = "docker.io";
/// Most that is read of a node's file: far above any real one.
const MAX_FILE: u64 = 10 << 20;

/// Why credentials cannot be used. Never shows their content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Neither of the two docker types.
    #[error("type is neither kubernetes.io/dockerconfigjson nor kubernetes.io/dockercfg")]
    Type,
    /// The key that the type promises is not there, or empty.
    #[error("data has nothing under {0}")]
    NoKey(&'static str),
    /// Not the JSON that the type promises.
    #[error("{0} is not a docker configuration in JSON")]
    Json(&'static str),
    /// An `auth` that is no base64 of `user:password`.
    #[error("auth of {0:?} is not base64 of user:password")]
    Auth(String),
}

/// `.dockerconfigjson`, `config.json`.
const CONFIG_JSON: &str = ".dockerconfigjson";
/// `.dockercfg`.
const DOCKERCFG: &str = ".dockercfg";

/// One registry's entry, read as leniently as docker clients and upstream read it: names in any case, of two the last,
/// `null` for nothing.
#[derive(Default)]
struct Entry {
    username: String,
    password: String,
    email: String,
    auth: String,
}

/// Base64 with padding; what its last letter has too much is not looked at.
const PADDED: GeneralPurpose =
    GeneralPurpose::new(&STANDARD_ALPHABET, PAD.with_decode_allow_trailing_bits(true));
/// The same without padding.
const UNPADDED: GeneralPurpose =
    GeneralPurpose::new(&STANDARD_ALPHABET, NO_PAD.with_decode_allow_trailing_bits(true));

/// An object, or `null`.
fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(fields) => Some(fields),
        Value::Null => Some(Map::new()),
        _ => None,
    }
}

/// Entries by registry; `None` where something is not what it has to be.
fn entries(value: Value) -> Option<BTreeMap<String, Entry>> {
    object(value)?.into_iter().map(|(key, value)| Some((key, Entry::read(value)?))).collect()
}

/// A credential, and whose it is.
#[derive(Clone)]
pub struct Credential {
    /// For the registry.
    pub auth: RegistryAuth,
    /// For the record of what it pulled.
    pub with: PulledWith,
}

/// Where credentials come from.
enum Owner<'a> {
    Node,
    Secret(&'a Secret),
}

impl Owner<'_> {
    fn pulled_with(&self, hash: String) -> PulledWith {
        match self {
            Self::Node => PulledWith::Node,
            Self::Secret(secret) => PulledWith::Secret(PullSecret {
                uid: secret.metadata.uid.clone().unwrap_or_default(),
                namespace: secret.metadata.namespace.clone().unwrap_or_default(),
                name: secret.metadata.name.clone().unwrap_or_default(),
                credential_hash: hash,
            }),
        }
    }
}

/// Credentials by registry pattern.
#[derive(Default)]
pub struct Keyring(Vec<(String, Credential)>);

impl Keyring {
    /// Adds what a pull secret holds.
    ///
    /// # Errors
    /// What is wrong with the secret; nothing of it is added then.
    pub fn add(&mut self, secret: &Secret) -> Result<(), CredentialError> {
        let data = |key: &'static str| {
            let value = secret.data.as_ref().and_then(|data| data.get(key));
            let value = value.map(|bytes| bytes.0.as_slice()).filter(|value| !value.is_empty());
            value.ok_or(CredentialError::NoKey(key))
        };
        match secret.type_.as_deref() {
            Some("kubernetes.io/dockerconfigjson") => {
                self.add_config_json(data(CONFIG_JSON)?, &Owner::Secret(secret))
            }
            Some("kubernetes.io/dockercfg") => self.add_dockercfg(data(DOCKERCFG)?, &Owner::Secret(secret)),
            _ => Err(CredentialError::Type),
        }
    }

    /// Adds the first file of the node's that is a docker configuration; the others are not looked at, as upstream
    /// does.
    pub fn add_node_files(&mut self, files: &NodeFiles) {
        let json = |keyring: &mut Self, text: &[u8]| keyring.add_config_json(text, &Owner::Node);
        let legacy = |keyring: &mut Self, text: &[u8]| keyring.add_dockercfg(text, &Owner::Node);
        let found = self.add_first(&files.config_json, json);
        if !found {
            self.add_first(&files.dockercfg, legacy);
        }
    }

    /// Credentials that fit an image, in the order in which they are to be tried.
    #[must_use]
    pub fn lookup(&self, image: &str) -> Vec<Credential> {
        let Ok(parsed) = image_reference::parse(image) else { return Vec::new() };
        let host = match parsed.registry {
            Some("index.docker.io") | None => DOCKER_HUB,
            Some(host) => host,
        };
        let path = if host == DOCKER_HUB && !parsed.path.contains('/') {
            format!("/library/{}", parsed.path)
        } else {
            format!("/{}", parsed.path)
        };
        let mut fitting: Vec<_> = self.0.iter().filter(|(pattern, _)| fits(pattern, host, &path)).collect();
        if fitting.is_empty() && host == DOCKER_HUB {
            fitting = self.0.iter().filter(|(pattern, _)| pattern == DOCKER_HUB_KEY).collect();
        }
        fitting.sort_by(|a, b| b.0.cmp(&a.0));
        fitting.into_iter().map(|(_, credential)| credential.clone()).collect()
    }

    fn add_config_json(&mut self, text: &[u8], owner: &Owner<'_>) -> Result<(), CredentialError> {
        let auths = |value| {
            let mut found = Value::Null;
            for (name, value) in object(value)? {
                if name.eq_ignore_ascii_case("auths") {
                    found = value;
                }
            }
            entries(found)
        };
        let parsed = serde_json::from_slice(text).ok().and_then(auths);
        self.add_entries(parsed.ok_or(CredentialError::Json(CONFIG_JSON))?, owner)
    }

    fn add_dockercfg(&mut self, text: &[u8], owner: &Owner<'_>) -> Result<(), CredentialError> {
        let parsed = serde_json::from_slice(text).ok().and_then(entries);
        self.add_entries(parsed.ok_or(CredentialError::Json(DOCKERCFG))?, owner)
    }

    fn add_entries(
        &mut self,
        entries: BTreeMap<String, Entry>,
        owner: &Owner<'_>,
    ) -> Result<(), CredentialError> {
        let mut added = Vec::with_capacity(entries.len());
        for (key, entry) in entries {
            let email = entry.email.clone();
            let auth = entry.auth().ok_or_else(|| CredentialError::Auth(key.clone()))?;
            let with = owner.pulled_with(hash(&auth, &email));
            added.push((pattern(&key), Credential { auth, with }));
        }
        self.0.extend(added);
        Ok(())
    }

    fn add_first(
        &mut self,
        files: &[PathBuf],
        add: impl Fn(&mut Self, &[u8]) -> Result<(), CredentialError>,
    ) -> bool {
        for file in files {
            let cause = match read(file) {
                Ok(text) => match add(self, &text) {
                    Ok(()) => return true,
                    Err(error) => error.to_string(),
                },
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => error.to_string(),
            };
            let file = file.display().to_string();
            tracing::warn!(
                file,
                cause,
                "Skipping registry credentials of the node\nhint: mend or remove the file"
            );
        }
        false
    }
}

/// Where a node's own credentials may be, in the order in which they are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFiles {
    /// `config.json` files.
    pub config_json: Vec<PathBuf>,
    /// `.dockercfg` files, only looked at when no `config.json` can be used.
    pub dockercfg: Vec<PathBuf>,
}

impl NodeFiles {
    /// Upstream's places: the root directory, the working directory, the home directory, `/`.
    #[must_use]
    pub fn usual(root_dir: &Path, home: Option<&Path>) -> Self {
        let here = Path::new("");
        let (home_docker, slash) = (home.map(|home| home.join(".docker")), Path::new("/"));
        let json = [Some(root_dir), Some(here), home_docker.as_deref(), Some(Path::new("/.docker"))];
        let legacy = [Some(root_dir), Some(here), home, Some(slash)];
        Self {
            config_json: json.into_iter().flatten().map(|dir| dir.join("config.json")).collect(),
            dockercfg: legacy.into_iter().flatten().map(|dir| dir.join(".dockercfg")).collect(),
        }
    }
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    std::fs::File::open(file)?.take(MAX_FILE).read_to_end(&mut text)?;
    Ok(text)
}

impl Entry {
    fn read(value: Value) -> Option<Self> {
        let mut entry = Self::default();
        for (name, value) in object(value)? {
            let field = match name.to_ascii_lowercase().as_str() {
                "username" => &mut entry.username,
                "password" => &mut entry.password,
                "email" => &mut entry.email,
                "auth" => &mut entry.auth,
                _ => continue,
            };
            match value {
                Value::String(text) => *field = text,
                Value::Null => {}
                _ => return None,
            }
        }
        Some(entry)
    }

    /// `auth` is base64 of `user:password`, padded or not, and wins over the two fields. `None`: it is not that.
    fn auth(self) -> Option<RegistryAuth> {
        let (username, password) = if self.auth.is_empty() {
            (self.username, self.password)
        } else {
            let packed: String = self.auth.split_whitespace().collect();
            let engine = if packed.ends_with('=') { &PADDED } else { &UNPADDED };
            let decoded = String::from_utf8(engine.decode(packed).ok()?).ok()?;
            let (username, password) = decoded.split_once(':')?;
            (username.to_owned(), password.to_owned())
        };
        Some(RegistryAuth { username, password, ..RegistryAuth::default() })
    }
}

/// Hex SHA-256 of a credential as upstream's JSON of it: what the records of pulls know it by.
fn hash(auth: &RegistryAuth, email: &str) -> String {
    let fields = [("username", auth.username.as_str()), ("password", &auth.password), ("email", email)];
    let mut text = String::from("{");
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        if text.len() > 1 {
            text.push(',');
        }
        go_json_string(&mut text, name);
        text.push(':');
        go_json_string(&mut text, value);
    }
    text.push('}');
    hex(&Sha256::digest(text))
}

/// Drops the scheme, and the API version that old docker clients wrote.
fn pattern(key: &str) -> String {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.split(['?', '#']).next().unwrap_or(key);
    let (host, path) = match key.find('/') {
        Some(at) => key.split_at(at),
        None => (key, ""),
    };
    let version = ["/v1/", "/v2/"].iter().any(|version| path.starts_with(version));
    let path = if version { path.get(3..).unwrap_or_default() } else { path };
    if path == "/" { host.to_owned() } else { format!("{host}{path}") }
}

fn fits(pattern: &str, host: &str, path: &str) -> bool {
    let (pattern_host, pattern_path) = match pattern.find('/') {
        Some(at) => pattern.split_at(at),
        None => (pattern, ""),
    };
    host_fits(pattern_host, host) && path.starts_with(pattern_path)
}

fn host_fits(pattern: &str, host: &str) -> bool {
    let ((pattern, pattern_port), (host, port)) = (split_port(pattern), split_port(host));
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

/// Host and port. A bracketed IPv6 address has colons of its own.
fn split_port(host: &str) -> (&str, &str) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, ""),
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
mod tests;

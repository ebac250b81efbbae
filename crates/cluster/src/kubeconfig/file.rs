//! The kubeconfig as it is written. Fields that a kubelet has no use for are not read.

use std::path::Path;

use serde::Deserialize;

use super::KubeconfigError;

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Kubeconfig {
    pub(super) current_context: Option<String>,
    pub(super) clusters: Option<Vec<Named<ClusterInfo>>>,
    pub(super) contexts: Option<Vec<Named<Context>>>,
    pub(super) users: Option<Vec<Named<AuthInfo>>>,
}

/// One entry of a list: its name, and its value under the singular of the list's name.
#[derive(Deserialize)]
pub(super) struct Named<T> {
    name: String,
    #[serde(alias = "cluster", alias = "context", alias = "user")]
    value: Option<T>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct ClusterInfo {
    pub(super) server: Option<String>,
    pub(super) tls_server_name: Option<String>,
    pub(super) insecure_skip_tls_verify: bool,
    pub(super) certificate_authority: Option<String>,
    pub(super) certificate_authority_data: Option<String>,
    pub(super) proxy_url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Context {
    pub(super) cluster: String,
    pub(super) user: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct AuthInfo {
    pub(super) client_certificate: Option<String>,
    pub(super) client_certificate_data: Option<String>,
    pub(super) client_key: Option<String>,
    pub(super) client_key_data: Option<String>,
    pub(super) token: Option<String>,
    #[serde(rename = "tokenFile")]
    pub(super) token_file: Option<String>,
    #[serde(rename = "as")]
    pub(super) act_as: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) exec: Option<serde::de::IgnoredAny>,
    pub(super) auth_provider: Option<serde::de::IgnoredAny>,
}

/// The entry of that name.
pub(super) fn find<T: Default>(
    path: &Path,
    kind: &'static str,
    field: &'static str,
    list: Option<Vec<Named<T>>>,
    name: &str,
) -> Result<T, KubeconfigError> {
    let mut available = Vec::new();
    for entry in list.into_iter().flatten() {
        if entry.name == name && !name.is_empty() {
            return Ok(entry.value.unwrap_or_default());
        }
        available.push(entry.name);
    }
    Err(KubeconfigError::Missing { path: path.to_owned(), kind, field, name: name.to_owned(), available })
}

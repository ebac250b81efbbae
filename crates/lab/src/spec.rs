//! What is wanted of a lab: the parameters that a user or a test gives. Everything else follows from them in
//! [`crate::plan`].

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Longest name of a lab: it becomes part of socket paths and of names of cgroups and namespaces.
pub const LONGEST_NAME: usize = 20;

/// Whether there is a control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// A kubelet without an API server.
    Standalone,
    /// etcd, API server, controller manager, scheduler, and a kubelet.
    Cluster,
}

impl FromStr for Mode {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "standalone" => Ok(Self::Standalone),
            "cluster" => Ok(Self::Cluster),
            other => bail!("{other} is no mode\nhint: standalone, cluster"),
        }
    }
}

/// Which container runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// containerd 2.x, a recent runc and CNI plugins, built from Go modules.
    Containerd2,
    /// Debian 12's containerd 1.6, runc and CNI plugins.
    Containerd1,
}

impl FromStr for Runtime {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "containerd2" => Ok(Self::Containerd2),
            "containerd1" => Ok(Self::Containerd1),
            other => bail!("{other} is no runtime\nhint: containerd2, containerd1"),
        }
    }
}

/// Which kubelet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KubeletBinary {
    /// This checkout's release binary.
    Ours,
    /// Upstream's, built with the control plane.
    Upstream,
    /// Any other.
    Path(PathBuf),
}

impl FromStr for KubeletBinary {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "ours" => Self::Ours,
            "upstream" => Self::Upstream,
            path => Self::Path(std::path::absolute(path).with_context(|| format!("{path} is no path"))?),
        })
    }
}

/// How the kubelet of a cluster identifies itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Credentials {
    /// By a client certificate made with the lab.
    Certificate,
    /// By a bootstrap token, with which it asks for a certificate.
    BootstrapToken,
}

impl FromStr for Credentials {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "certificate" => Ok(Self::Certificate),
            "bootstrap-token" => Ok(Self::BootstrapToken),
            other => bail!("{other} is no kind of credentials\nhint: certificate, bootstrap-token"),
        }
    }
}

/// Who serves `metrics.k8s.io`, the API that `kubectl top` and autoscalers ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricsApi {
    /// Nobody; the API is not there.
    #[default]
    Nobody,
    /// metrics-server, which reads `/metrics/resource` of the kubelet.
    MetricsServer,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Name: unique on the machine.
    pub name: String,
    /// State folder, by default `.lab` in the checkout.
    pub state: PathBuf,
    /// With or without a control plane.
    pub mode: Mode,
    /// Container runtime.
    pub runtime: Runtime,
    /// Kubelet.
    pub kubelet: KubeletBinary,
    /// Flags for the kubelet, after the lab's own.
    pub kubelet_flags: Vec<String>,
    /// Environment variables of the kubelet besides the inherited ones.
    #[serde(default)]
    pub kubelet_environment: Vec<(String, String)>,
    /// JSON merge patch over the lab's KubeletConfiguration.
    pub kubelet_config: Map<String, Value>,
    /// How the kubelet identifies itself.
    pub credentials: Credentials,
    /// Flags for kube-apiserver, after the lab's own.
    pub api_server_flags: Vec<String>,
    /// Who serves `metrics.k8s.io` (cluster mode).
    #[serde(default)]
    pub metrics_api: MetricsApi,
    /// Name of the node; the lab's name when not given.
    pub node_name: Option<String>,
    /// First port; the usual ones when not given.
    pub port_base: Option<u16>,
    /// Files to put into the static pod folder before the kubelet starts.
    pub manifests: Vec<PathBuf>,
}

impl Spec {
    /// The usual: this checkout's state folder and kubelet, containerd 2.x, a certificate.
    ///
    /// # Errors
    /// The name cannot be one, or this is no checkout.
    pub fn new(name: &str, mode: Mode) -> Result<Self> {
        check_name(name)?;
        Ok(Self {
            name: name.to_owned(),
            state: checkout()?.join(".lab"),
            mode,
            runtime: Runtime::Containerd2,
            kubelet: KubeletBinary::Ours,
            kubelet_flags: Vec::new(),
            kubelet_environment: Vec::new(),
            kubelet_config: Map::new(),
            credentials: Credentials::Certificate,
            api_server_flags: Vec::new(),
            metrics_api: MetricsApi::Nobody,
            node_name: None,
            port_base: None,
            manifests: Vec::new(),
        })
    }

    /// Look for mistakes that need no machine to be seen.
    ///
    /// # Errors
    /// The first one.
    pub fn check(&self) -> Result<()> {
        check_name(&self.name)?;
        if let Some(base) = self.port_base {
            ensure!((1024..=65_000).contains(&base), "port base {base} is not between 1024 and 65000");
        }
        ensure!(
            self.metrics_api == MetricsApi::Nobody || self.mode == Mode::Cluster,
            "metrics-server wants an API server\nhint: --mode cluster"
        );
        Ok(())
    }
}

/// Whether a text can be the name of a lab: lower-case letters, digits and dashes.
///
/// # Errors
/// It cannot.
pub fn check_name(name: &str) -> Result<()> {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if name.is_empty() || name.len() > LONGEST_NAME || !plain || name.starts_with('-') || name.ends_with('-')
    {
        bail!(
            "{name:?} cannot be the name of a lab\nhint: up to {LONGEST_NAME} lower-case letters, digits and inner dashes"
        );
    }
    Ok(())
}

/// The top folder of the checkout that we are in: the nearest folder upwards with a Cargo.toml of a workspace, else the
/// one that this program was built from.
///
/// # Errors
/// Neither is there.
pub fn checkout() -> Result<PathBuf> {
    let here = std::env::current_dir().context("the current folder is gone")?;
    let is_top = |folder: &&Path| folder.join("crates/lab").is_dir() && folder.join("Cargo.toml").is_file();
    if let Some(top) = here.ancestors().find(is_top) {
        return Ok(top.to_owned());
    }
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR"));
    let top = built_from.ancestors().find(is_top);
    top.map(Path::to_owned).context("not in a checkout of kubelet-rs\nhint: change into one, or give --state")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_fit_everywhere() {
        assert!(check_name("a-1").is_ok());
        for bad in ["", "A", "a_b", "-a", "a-", "a/b", "..", &"a".repeat(LONGEST_NAME + 1)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_checkout_is_found_from_below() {
        assert!(checkout().unwrap().join("crates/lab/Cargo.toml").exists());
    }
}

//! A local image registry: configuration of Debian's `docker-registry` (distribution 2.8), and what a containerd needs to
//! pull from it over plain HTTP.
//!
//! A lab runs two: one open, one that wants a password. Who starts and stops the processes is not this module's matter.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::json;

/// bcrypt's cost: the least it takes. This is a test registry, and each request pays for it.
const BCRYPT_COST: u32 = 4;

/// A user of a registry.
#[derive(Clone)]
pub struct Credentials {
    /// Name.
    pub user: String,
    /// Password, at most 72 bytes (bcrypt's limit).
    pub password: String,
}

/// One registry.
#[derive(Clone)]
pub struct Registry {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it keeps images.
    pub storage: PathBuf,
    /// Who may use it; `None` for everybody.
    pub credentials: Option<Credentials>,
}

impl Registry {
    /// Write `config.yml`, and `htpasswd` if a password is wanted, into a folder, and make the storage folder. Gives the
    /// path of the configuration, for [`command`].
    ///
    /// # Errors
    /// A file cannot be written, or the password is too long.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let folder = std::path::absolute(folder).context("the registry's folder has no absolute path")?;
        let storage =
            std::path::absolute(&self.storage).context("the registry's storage has no absolute path")?;
        for needed in [&folder, &storage] {
            std::fs::create_dir_all(needed).with_context(|| format!("cannot make {}", needed.display()))?;
        }
        let mut config = json!({
            "version": "0.1",
            "log": { "level": "warn", "accesslog": { "disabled": true } },
            "storage": { "filesystem": { "rootdirectory": storage }, "delete": { "enabled": true } },
            "http": { "addr": self.address.to_string() },
        });
        if let Some(credentials) = &self.credentials {
            let file = folder.join("htpasswd");
            let hash = bcrypt::hash_with_result(&credentials.password, BCRYPT_COST)
                .context("cannot hash the registry's password")?
                .format_for_version(bcrypt::Version::TwoY);
            std::fs::write(&file, format!("{}:{hash}\n", credentials.user))
                .with_context(|| format!("cannot write {}", file.display()))?;
            config["auth"] = json!({ "htpasswd": { "realm": "lab", "path": file } });
        }
        // JSON is YAML too.
        let path = folder.join("config.yml");
        std::fs::write(&path, format!("{config:#}\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

/// The registry's process. It is ready when `GET /v2/` answers 200, or 401 with a password. Environment variables that
/// begin with `REGISTRY_` change its configuration, so none are passed on.
#[must_use]
pub fn command(config: &Path) -> Command {
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(config);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("REGISTRY_")) {
        command.env_remove(name);
    }
    command
}

/// Write what containerd (1.6 and 2.x alike) reads from the folder its `config_path` names: for each host part of image
/// names, such as `registry.test` or `registry.test:5000`, the address that really answers.
///
/// # Errors
/// A file cannot be written.
pub fn write_hosts(config_path: &Path, hosts: &[(&str, SocketAddr)]) -> Result<()> {
    for (host, address) in hosts {
        let folder = config_path.join(host);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let file = folder.join("hosts.toml");
        let text = format!(
            "server = \"http://{address}\"\n\n[host.\"http://{address}\"]\n  capabilities = [\"pull\", \"resolve\", \"push\"]\n"
        );
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Which configuration a containerd wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Containerd {
    /// 1.6: configuration version 2.
    V1_6,
    /// 2.x: configuration version 3.
    V2,
}

/// The lines of containerd's configuration that name the folder of [`write_hosts`].
#[must_use]
pub fn containerd_config(generation: Containerd, config_path: &Path) -> String {
    let plugin = match generation {
        Containerd::V1_6 => "io.containerd.grpc.v1.cri",
        Containerd::V2 => "io.containerd.cri.v1.images",
    };
    format!("[plugins.\"{plugin}\".registry]\n  config_path = \"{}\"\n", config_path.display())
}

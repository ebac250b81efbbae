//! Names of groups in both drivers' ways.
//!
//! A name is a list of parts. cgroupfs joins them with slashes. systemd makes a slice of each prefix: parts are joined
//! with `-`, and so a `-` inside a part is written `_`.

use seams::runtime::CgroupDriver;

/// A group, from the root of the hierarchy: `["kubepods", "burstable", "pod1234-abcd"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupName(Vec<String>);

impl CgroupName {
    /// The group of this name inside this one.
    #[must_use]
    pub fn child(&self, part: &str) -> Self {
        let mut parts = self.0.clone();
        parts.push(part.to_owned());
        Self(parts)
    }
}

/// How names become paths.
pub type Driver = CgroupDriver;

/// Extension of a driver with what it means for names.
pub trait Naming {
    /// Path inside a hierarchy, beginning with `/`.
    fn path(self, name: &CgroupName) -> String;
    /// What CRI wants as `cgroup_parent`: the path, or the last slice alone.
    fn parent(self, name: &CgroupName) -> String;
    /// Uid of a pod from the name of its directory inside a group; `None` for other directories.
    fn pod_uid(self, group: &CgroupName, directory: &str) -> Option<String>;
    /// The runtime's id of a container from the name of its directory inside a pod's group. With systemd the runtime puts
    /// a prefix of its own before it (`cri-containerd-<id>.scope`).
    fn container_id(self, directory: &str) -> Option<&str>;
}

impl Naming for Driver {
    fn path(self, name: &CgroupName) -> String {
        match self {
            Self::Cgroupfs => format!("/{}", name.0.join("/")),
            Self::Systemd => {
                let mut path = String::new();
                for end in 1..=name.0.len() {
                    path.push('/');
                    path.push_str(&slice(&name.0[..end]));
                }
                if path.is_empty() { "/".to_owned() } else { path }
            }
        }
    }

    fn parent(self, name: &CgroupName) -> String {
        match self {
            Self::Cgroupfs => self.path(name),
            Self::Systemd => slice(&name.0),
        }
    }

    fn pod_uid(self, group: &CgroupName, directory: &str) -> Option<String> {
        let uid = match self {
            Self::Cgroupfs => directory.strip_prefix("pod")?.to_owned(),
            Self::Systemd => {
                let prefix = format!("{}-pod", slice(&group.0).strip_suffix(".slice")?);
                directory.strip_suffix(".slice")?.strip_prefix(&prefix)?.replace('_', "-")
            }
        };
        (!uid.is_empty()).then_some(uid)
    }

    fn container_id(self, directory: &str) -> Option<&str> {
        let id = match self {
            Self::Cgroupfs => directory,
            Self::Systemd => directory.strip_suffix(".scope")?.rsplit('-').next()?,
        };
        (!id.is_empty()).then_some(id)
    }
}

fn slice(parts: &[String]) -> String {
    let escaped: Vec<String> = parts.iter().map(|part| part.replace('-', "_")).collect();
    format!("{}.slice", escaped.join("-"))
}

/// The name that `cgroupRoot` means. With systemd it may be a slice (`a-b.slice` is inside `a.slice`).
#[must_use]
pub fn parse_root(driver: Driver, root: &str) -> CgroupName {
    let parts: Vec<String> = match (driver, root.trim_matches('/').rsplit('/').next()) {
        (Driver::Systemd, Some(last)) if !last.is_empty() => {
            let stem = last.strip_suffix(".slice").unwrap_or(last);
            stem.split('-').map(|part| part.replace('_', "-")).collect()
        }
        _ => root.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
    };
    CgroupName(parts)
}

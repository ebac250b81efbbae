//! What the edge needs to know, read once at start.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use metrics::Metrics;

use crate::render::HostFacts;

/// Configuration of [`crate::CriRuntime`].
#[derive(Clone, Debug)]
pub struct CriConfig {
    /// `containerRuntimeEndpoint`: `unix:///path`, or a bare path with a warning.
    pub runtime_endpoint: String,
    /// `imageServiceEndpoint`; empty means the runtime's.
    pub image_endpoint: String,
    /// `runtimeRequestTimeout`; upstream's default is 2 m. Zero or less is taken as that default.
    pub request_timeout: Duration,
    /// `podLogsDir`; upstream's default is `/var/log/pods`.
    pub pod_logs_dir: PathBuf,
    /// Directory of links to logs, `/var/log/containers` upstream; `None` makes none.
    pub container_links_dir: Option<PathBuf>,
    /// Facts about this machine: [`host_facts`] in production.
    pub host: HostFacts,
    /// Where calls are counted.
    pub metrics: Arc<Metrics>,
}

/// Upstream's default of `runtimeRequestTimeout`.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

impl CriConfig {
    /// Upstream's defaults for an endpoint.
    #[must_use]
    pub fn new(runtime_endpoint: impl Into<String>) -> Self {
        Self {
            runtime_endpoint: runtime_endpoint.into(),
            image_endpoint: String::new(),
            request_timeout: DEFAULT_REQUEST_TIMEOUT,
            pod_logs_dir: PathBuf::from("/var/log/pods"),
            container_links_dir: Some(PathBuf::from("/var/log/containers")),
            host: HostFacts::default(),
            metrics: Metrics::new(),
        }
    }
}

/// Reads the facts about this machine from sysfs. What cannot be read counts as not there.
#[must_use]
pub fn host_facts() -> HostFacts {
    let possible = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let throttle = |cpu: u32| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle");
    HostFacts {
        thermal_throttle: cpu_list(&possible)
            .into_iter()
            .map(throttle)
            .filter(|path| fs::exists(path).unwrap_or(false))
            .collect(),
        selinux: fs::exists("/sys/fs/selinux/enforce").unwrap_or(false),
    }
}

/// The kernel's list form: `0-3,8`. Empty when it does not parse.
fn cpu_list(text: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.parse::<u32>().ok()?..=to.parse::<u32>().ok()?)
    };
    let ranges: Option<Vec<_>> = text.trim().split(',').map(range).collect();
    // 8192 is the largest NR_CPUS: a wrong file must not cost memory.
    ranges.unwrap_or_default().into_iter().flatten().take(8192).collect()
}

#[cfg(test)]
mod tests {
    use super::cpu_list;

    #[test]
    fn kernel_lists_of_processors() {
        assert_eq!(cpu_list("0-3,8\n"), [0, 1, 2, 3, 8]);
        assert_eq!(cpu_list("0"), [0]);
        assert!(cpu_list("").is_empty());
        assert!(cpu_list("0-x").is_empty());
        assert_eq!(cpu_list("0-4294967295").len(), 8192);
    }
}

//! Annotations on containers (contract §7): with them an orphan is recognised, restarted or stopped without its spec.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::{Container, ContainerPort, LifecycleHandler, Pod};
use lifecycle::spec::hash::{container_hash, container_hash_text, parse_container_hash};

use super::go_json;

/// FNV-32a of name and image, lower-case hexadecimal.
pub const HASH: &str = "io.kubernetes.container.hash";
/// Decimal restart count.
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
/// Path in the container.
pub const TERMINATION_PATH: &str = "io.kubernetes.container.terminationMessagePath";
/// `File` or `FallbackToLogsOnError`.
pub const TERMINATION_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// JSON of the hook.
pub const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";
/// JSON of the ports.
pub const PORTS: &str = "io.kubernetes.container.ports";
/// Decimal seconds of `metadata.deletionGracePeriodSeconds` when the container was made.
pub const DELETION_GRACE: &str = "io.kubernetes.pod.deletionGracePeriod";
/// Decimal seconds of `spec.terminationGracePeriodSeconds`.
pub const TERMINATION_GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";

/// The policy under which an empty message is replaced by the end of the log.
pub const FALLBACK_TO_LOGS: &str = "FallbackToLogsOnError";

/// Annotations of a new container. `image` counts for the hash as the spec writes it.
#[must_use]
pub fn of_container(pod: &Pod, container: &Container, attempt: u32) -> BTreeMap<String, String> {
    let image = container.image.as_deref().unwrap_or_default();
    let mut all = BTreeMap::from([
        (HASH.to_owned(), container_hash_text(container_hash(&container.name, image))),
        (RESTART_COUNT.to_owned(), attempt.to_string()),
        (TERMINATION_PATH.to_owned(), container.termination_message_path.clone().unwrap_or_default()),
        (TERMINATION_POLICY.to_owned(), container.termination_message_policy.clone().unwrap_or_default()),
    ]);
    if let Some(seconds) = pod.metadata.deletion_grace_period_seconds {
        all.insert(DELETION_GRACE.into(), seconds.to_string());
    }
    if let Some(seconds) = pod.spec.as_ref().and_then(|s| s.termination_grace_period_seconds) {
        all.insert(TERMINATION_GRACE.into(), seconds.to_string());
    }
    if let Some(hook) = container.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref()) {
        all.insert(PRE_STOP.into(), go_json::handler(hook));
    }
    if let Some(ports) = container.ports.as_ref().filter(|p| !p.is_empty()) {
        all.insert(PORTS.into(), go_json::ports(ports));
    }
    all
}

/// What a container's annotations say. Unreadable parts count as absent: a container of an unknown kubelet version
/// must still be stoppable.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotated {
    /// 0 when missing: equal to no hash of ours.
    pub hash: u64,
    /// 0 when missing.
    pub restart_count: u32,
    /// Seconds.
    pub deletion_grace: Option<i64>,
    /// Seconds.
    pub termination_grace: Option<i64>,
    /// Empty when missing.
    pub termination_path: String,
    /// [`FALLBACK_TO_LOGS`] or anything else.
    pub fallback_to_logs: bool,
    /// preStop hook.
    pub pre_stop: Option<LifecycleHandler>,
    /// Ports, which a hook may refer to by name.
    pub ports: Vec<ContainerPort>,
}

impl Annotated {
    /// The grace for stopping it without its pod: deletion grace before termination grace, never negative.
    #[must_use]
    pub fn grace(&self) -> Option<Duration> {
        let seconds = self.deletion_grace.or(self.termination_grace)?;
        Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }
}

/// Reads the annotations of a container.
#[must_use]
pub fn read(annotations: &BTreeMap<String, String>) -> Annotated {
    let text = |key: &str| annotations.get(key).map(String::as_str);
    Annotated {
        hash: parse_container_hash(text(HASH)),
        restart_count: text(RESTART_COUNT).and_then(|t| t.parse().ok()).unwrap_or(0),
        deletion_grace: text(DELETION_GRACE).and_then(|t| t.parse().ok()),
        termination_grace: text(TERMINATION_GRACE).and_then(|t| t.parse().ok()),
        termination_path: text(TERMINATION_PATH).unwrap_or_default().to_owned(),
        fallback_to_logs: text(TERMINATION_POLICY) == Some(FALLBACK_TO_LOGS),
        pre_stop: text(PRE_STOP).and_then(|t| serde_json::from_str(t).ok()),
        ports: text(PORTS).and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn reads_what_upstream_wrote() {
        let read = read(&map(&[
            (HASH, "e220f96"),
            (RESTART_COUNT, "4"),
            (TERMINATION_GRACE, "30"),
            (DELETION_GRACE, "5"),
            (TERMINATION_POLICY, "FallbackToLogsOnError"),
            (PRE_STOP, r#"{"exec":{"command":["sh","-c","echo \u003ca\u003e"]}}"#),
            (PORTS, r#"[{"name":"http","containerPort":80,"protocol":"TCP"}]"#),
        ]));
        assert_eq!(read.hash, 0x0e22_0f96);
        assert_eq!(read.restart_count, 4);
        assert_eq!(read.grace(), Some(Duration::from_secs(5)), "the deletion's grace wins");
        assert!(read.fallback_to_logs);
        let hook = read.pre_stop.and_then(|h| h.exec).and_then(|e| e.command).unwrap();
        assert_eq!(hook, ["sh", "-c", "echo <a>"]);
        assert_eq!(read.ports[0].container_port, 80);
    }

    #[test]
    fn nonsense_counts_as_absent() {
        let read = read(&map(&[
            (HASH, "xyz"),
            (RESTART_COUNT, "-1"),
            (TERMINATION_GRACE, "soon"),
            (PRE_STOP, "{"),
            (PORTS, "1"),
        ]));
        assert_eq!(read, Annotated::default());
        assert_eq!(read.grace(), None);
        let negative = super::read(&map(&[(TERMINATION_GRACE, "-3")]));
        assert_eq!(negative.grace(), Some(Duration::ZERO));
    }
}

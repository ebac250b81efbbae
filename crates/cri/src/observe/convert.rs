//! Statuses on the wire to records. Pure.

use std::net::IpAddr;

use jiff::Timestamp;
use lifecycle::{
    SandboxId,
    observation::{ContainerRecord, RuntimeState, SandboxRecord},
};
use proto::cri::{ContainerState, ContainerStatus, Image, NamespaceMode, PodSandboxState, PodSandboxStatus};
use seams::runtime::ImageInfo;

use crate::render::{annotations, labels, resources};

/// A state that we do not know is one that we cannot reason about.
pub(crate) fn container_state(state: i32) -> RuntimeState {
    match ContainerState::try_from(state) {
        Ok(ContainerState::ContainerCreated) => RuntimeState::Created,
        Ok(ContainerState::ContainerRunning) => RuntimeState::Running,
        Ok(ContainerState::ContainerExited) => RuntimeState::Exited,
        Ok(ContainerState::ContainerUnknown) | Err(_) => RuntimeState::Unknown,
    }
}

/// Whether a sandbox is ready.
pub(crate) fn sandbox_ready(state: i32) -> bool {
    state == PodSandboxState::SandboxReady as i32
}

/// Nanoseconds since the epoch, as everywhere in CRI.
fn time(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A sandbox.
pub(crate) fn sandbox(status: &PodSandboxStatus) -> SandboxRecord {
    let options = status.linux.as_ref().and_then(|l| l.namespaces.as_ref()?.options.as_ref());
    let host_network = options.is_some_and(|o| o.network == NamespaceMode::Node as i32);
    SandboxRecord {
        id: status.id.as_str().into(),
        attempt: status.metadata.as_ref().map_or(0, |m| m.attempt),
        ready: sandbox_ready(status.state),
        created_at: time(status.created_at),
        ips: if host_network { Vec::new() } else { ips(status) },
        without_address: !host_network
            && status.network.as_ref().is_some_and(|network| network.ip.is_empty()),
        host_network,
    }
}

/// Primary address first. One that cannot be parsed voids them all, as upstream does: a pod with half of its
/// addresses would be announced wrongly.
fn ips(status: &PodSandboxStatus) -> Vec<String> {
    let Some(network) = &status.network else { return Vec::new() };
    let primary = Some(network.ip.as_str()).filter(|ip| !ip.is_empty());
    let all: Vec<&str> =
        primary.into_iter().chain(network.additional_ips.iter().map(|ip| ip.ip.as_str())).collect();
    if all.iter().any(|ip| ip.parse::<IpAddr>().is_err()) {
        return Vec::new();
    }
    all.into_iter().map(str::to_owned).collect()
}

/// A container. Its message is the runtime's own; the termination message comes on top.
pub(crate) fn container(status: &ContainerStatus, sandbox: SandboxId) -> ContainerRecord {
    let annotated = annotations::read(&status.annotations);
    let state = container_state(status.state);
    let exited = state == RuntimeState::Exited;
    let metadata = status.metadata.as_ref();
    let name = status.labels.get(labels::CONTAINER_NAME);
    let name = name.or(metadata.map(|m| &m.name)).cloned().unwrap_or_default();
    let linux = status.resources.as_ref().and_then(|r| r.linux.as_ref());
    let user = status.user.as_ref().and_then(|u| u.linux.as_ref());
    ContainerRecord {
        id: status.id.as_str().into(),
        name: name.into(),
        attempt: annotated.restart_count,
        sandbox,
        state,
        created_at: time(status.created_at),
        started_at: (state != RuntimeState::Created).then(|| time(status.started_at)),
        finished_at: exited.then(|| time(status.finished_at)),
        exit_code: status.exit_code,
        reason: if exited { status.reason.clone() } else { String::new() },
        message: if exited { status.message.clone() } else { String::new() },
        image: status.image.as_ref().map(|i| i.image.clone()).unwrap_or_default(),
        image_ref: status.image_ref.clone(),
        hash: annotated.hash,
        resources: linux.and_then(resources::from_wire),
        user: user.map(|u| (u.uid, u.gid, u.supplemental_groups.clone())),
        annotated_grace: annotated.grace(),
    }
}

/// An image.
pub(crate) fn image_info(image: Image) -> ImageInfo {
    ImageInfo {
        id: image.id,
        repo_tags: image.repo_tags,
        repo_digests: image.repo_digests,
        size: image.size,
        uid: image.uid.map(|uid| uid.value),
        username: image.username,
        pinned: image.pinned,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::cri::{PodIp, PodSandboxNetworkStatus};

    fn with_ips(ip: &str, more: &[&str]) -> PodSandboxStatus {
        PodSandboxStatus {
            network: Some(PodSandboxNetworkStatus {
                ip: ip.into(),
                additional_ips: more.iter().map(|ip| PodIp { ip: (*ip).into() }).collect(),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn addresses_in_order_and_all_or_none() {
        assert_eq!(sandbox(&with_ips("10.0.0.2", &["fd00::2"])).ips, ["10.0.0.2", "fd00::2"]);
        assert!(sandbox(&with_ips("", &[])).ips.is_empty());
        assert!(sandbox(&with_ips("", &[])).without_address);
        assert!(!sandbox(&with_ips("10.0.0.2", &["rubbish"])).without_address, "there is one");
        assert!(!sandbox(&PodSandboxStatus::default()).without_address, "nothing is told of a network");
        assert!(sandbox(&with_ips("10.0.0.2", &["rubbish"])).ips.is_empty());
        assert!(sandbox(&with_ips("rubbish", &["10.0.0.2"])).ips.is_empty());
    }

    #[test]
    fn times_are_set_only_for_what_has_happened() {
        let status = |state: ContainerState| ContainerStatus {
            state: state as i32,
            created_at: 1_000_000_000,
            ..Default::default()
        };
        let created = container(&status(ContainerState::ContainerCreated), "s".into());
        assert_eq!((created.started_at, created.finished_at), (None, None));
        let running = container(&status(ContainerState::ContainerRunning), "s".into());
        assert!(running.started_at.is_some() && running.finished_at.is_none());
        let exited = container(&status(ContainerState::ContainerExited), "s".into());
        assert!(exited.finished_at.is_some());
        assert_eq!(container_state(77), RuntimeState::Unknown);
    }
}

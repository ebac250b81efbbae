//! What the core holds, as the runtime's account to the agent.

use std::time::Duration;

use jiff::Timestamp;
use lifecycle::{
    observation::{ContainerRecord, RuntimeState, SandboxRecord},
    spec::hash::parse_container_hash,
};
use proto::cri::{ContainerState, PodSandboxState};
use seams::runtime::ImageInfo;

use super::{
    super::core::{Container, Sandbox, is_host_network},
    GRACE, HASH,
};

fn time(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::UNIX_EPOCH)
}

pub(super) fn state(state: ContainerState) -> RuntimeState {
    match state {
        ContainerState::ContainerCreated => RuntimeState::Created,
        ContainerState::ContainerRunning => RuntimeState::Running,
        ContainerState::ContainerExited => RuntimeState::Exited,
        ContainerState::ContainerUnknown => RuntimeState::Unknown,
    }
}

pub(super) fn sandbox_record(sandbox: &Sandbox) -> SandboxRecord {
    SandboxRecord {
        id: sandbox.id.as_str().into(),
        attempt: sandbox.config.metadata.as_ref().map_or(0, |m| m.attempt),
        ready: sandbox.state == PodSandboxState::SandboxReady,
        created_at: time(sandbox.created_at),
        without_address: sandbox.ip.is_empty() && !is_host_network(&sandbox.config),
        ips: Some(sandbox.ip.clone()).filter(|ip| !ip.is_empty()).into_iter().collect(),
        host_network: is_host_network(&sandbox.config),
    }
}

pub(super) fn container_record(container: &Container) -> ContainerRecord {
    let image = container.config.image.clone().unwrap_or_default();
    let grace = container.config.annotations.get(GRACE).and_then(|g| g.parse().ok());
    ContainerRecord {
        id: container.id.as_str().into(),
        name: container.name().into(),
        attempt: container.attempt(),
        sandbox: container.sandbox.as_str().into(),
        state: state(container.state),
        created_at: time(container.created_at),
        started_at: (container.started_at != 0).then(|| time(container.started_at)),
        finished_at: (container.finished_at != 0).then(|| time(container.finished_at)),
        exit_code: container.exit_code,
        reason: container.reason.clone(),
        message: String::new(),
        image: image.user_specified_image,
        image_ref: image.image,
        hash: parse_container_hash(container.config.annotations.get(HASH).map(String::as_str)),
        resources: None,
        user: None,
        annotated_grace: grace.map(Duration::from_secs),
    }
}

pub(super) fn image_info(image: proto::cri::Image) -> ImageInfo {
    ImageInfo {
        id: image.id,
        repo_tags: image.repo_tags,
        repo_digests: image.repo_digests,
        size: image.size,
        uid: image.uid.map(|u| u.value),
        username: image.username,
        pinned: image.pinned,
    }
}

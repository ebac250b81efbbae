//! Which kind a container is, and which of them have ended since the last look: for metrics alone.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{
    ContainerId, Failure, FailureStep,
    observation::{RuntimePod, RuntimeState},
    reason::ContainerKind,
    spec::containers::kind_of,
};
use metrics::{
    Metrics,
    pods::{ContainerType, Ended, StartError, Started},
};

/// The list of the pod that has a container of this name. One that the spec does not have any more is taken for a regular
/// one.
pub(crate) fn container_type(pod: &Pod, name: &str) -> ContainerType {
    match pod.spec.as_ref().and_then(|spec| kind_of(spec, name)) {
        Some(ContainerKind::Init) => ContainerType::InitContainer,
        Some(ContainerKind::Ephemeral) => ContainerType::EphemeralContainer,
        Some(ContainerKind::Regular) | None => ContainerType::Container,
    }
}

/// Containers of one pod that were found ended, so that each counts once. No larger than the runtime's account of the pod.
#[derive(Debug, Default)]
pub(crate) struct Endings {
    known: Option<BTreeSet<ContainerId>>,
}

impl Endings {
    /// Counts those that have ended since. What had ended when the pod was looked at first, another process has counted.
    pub(crate) fn look(&mut self, pod: &Pod, runtime: &RuntimePod, metrics: &Metrics) {
        let ended = runtime.containers.iter().filter(|record| record.state == RuntimeState::Exited);
        if let Some(known) = &self.known {
            for record in ended.clone().filter(|record| !known.contains(&record.id)) {
                metrics.pods.containers_ended.inc(&Ended {
                    container_type: container_type(pod, record.name.as_str()),
                    exit_code: record.exit_code,
                    reason: Arc::from(record.reason.as_str()),
                });
            }
        }
        self.known = Some(ended.map(|record| record.id.clone()).collect());
    }
}

/// A container's start was tried.
pub(crate) fn tried(metrics: &Metrics, pod: &Pod, name: &str) {
    metrics.pods.container_starts.inc(&container_type(pod, name));
}

/// It failed; steps that are none of a start count nothing.
pub(crate) fn failed(metrics: &Metrics, pod: &Pod, name: &str, failure: &Failure) {
    let Some(code) = code(failure.step) else { return };
    let started = Started { code, container_type: container_type(pod, name) };
    metrics.pods.container_start_errors.inc(&started);
}

fn code(step: FailureStep) -> Option<StartError> {
    Some(match step {
        FailureStep::ImageName => StartError::InvalidImageName,
        FailureStep::ImageInspect => StartError::ImageInspect,
        FailureStep::ImageNeverPull => StartError::ImageNeverPull,
        FailureStep::ImagePull => StartError::PullImage,
        FailureStep::RegistryUnavailable => StartError::RegistryUnavailable,
        FailureStep::SignatureValidation => StartError::SignatureValidation,
        FailureStep::ContainerConfig => StartError::ContainerConfig,
        FailureStep::ContainerCreate => StartError::CreateContainer,
        FailureStep::ContainerStart => StartError::RunContainer,
        FailureStep::PostStartHook => StartError::PostStartHook,
        _ => return None,
    })
}

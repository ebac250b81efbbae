//! Which instance's log is meant, by a container's status; or why there is none, in upstream's words (contract §17).

use k8s_openapi::api::core::v1::{ContainerStateTerminated, PodStatus};

use super::status_of;

/// The container's id, with the runtime's name before it.
pub(super) fn container_id(
    pod: &str,
    status: &PodStatus,
    container: &str,
    previous: bool,
) -> Result<String, String> {
    let subject = format!("container {container:?} in pod {pod:?}");
    let Some(status) = status_of(status, container) else {
        return Err(format!("{subject} is not available"));
    };
    let id = |ended: &ContainerStateTerminated| ended.container_id.clone().filter(|id| !id.is_empty());
    let last_ended = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let last = last_ended.and_then(id);
    if previous {
        return last
            .ok_or_else(|| format!("previous terminated container {container:?} in pod {pod:?} not found"));
    }
    let state = status.state.clone().unwrap_or_default();
    if state.running.is_some() {
        return Ok(status.container_id.clone().unwrap_or_default());
    }
    if let Some(ended) = &state.terminated {
        return id(ended).or(last).ok_or_else(|| format!("{subject} is terminated"));
    }
    if last_ended.is_some() {
        return last.ok_or_else(|| format!("{subject} is terminated"));
    }
    let Some(waiting) = state.waiting else {
        return Err(format!("{subject} is waiting to start - no logs yet"));
    };
    let reason = waiting.reason.unwrap_or_default();
    let why = match reason.as_str() {
        "ErrImagePull" => "image can't be pulled",
        "ImagePullBackOff" => "trying and failing to pull image",
        other => other,
    };
    Err(format!("{subject} is waiting to start: {why}"))
}

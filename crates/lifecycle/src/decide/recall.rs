//! What the API's last status tells a process that has just begun: why containers wait. Upstream forgets it at a restart
//! and shows `ContainerCreating` until the step has failed once more.

use k8s_openapi::api::core::v1::ContainerStatus;

use crate::{
    decide::work::Work,
    ids::ContainerName,
    state::{ImageMemo, Trouble},
    status::all_containers,
};

/// Reasons of steps that are simply tried again. A crash loop is not among them: its delay cannot be recalled.
const REASONS: [&str; 10] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// Takes up what containers wait for, before anything was reported by this process.
pub(super) fn troubles(work: &mut Work<'_>) {
    if work.state.reported.is_some() {
        return;
    }
    let Some(status) = work.pod.status.as_ref() else { return };
    for container in all_containers(status) {
        let Some(trouble) = trouble(container) else { continue };
        let memo = work.memo(&ContainerName::from(container.name.as_str()));
        if memo.trouble.is_none() && memo.asked.is_none() && memo.image == ImageMemo::Unknown {
            memo.trouble = Some(trouble);
        }
    }
}

fn trouble(container: &ContainerStatus) -> Option<Trouble> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = REASONS.into_iter().find(|reason| waiting.reason.as_deref() == Some(reason))?;
    Some(Trouble { reason, message: waiting.message.clone().unwrap_or_default() })
}

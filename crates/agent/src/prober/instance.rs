//! Which instance of a container is probed, and what was reported of it before this process looked.

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{
    ContainerName,
    observation::{ContainerRecord, RuntimePod, RuntimeState},
    status::instance_id,
};

/// The instance of a container that runs. Attempts say which is the newer one: the wall clock may have jumped back since
/// its dead predecessor was created.
pub(super) fn running<'s>(runtime: &'s RuntimePod, name: &ContainerName) -> Option<&'s ContainerRecord> {
    let all = runtime.containers.iter().filter(|record| record.name == *name);
    all.filter(|record| record.state == RuntimeState::Running).max_by_key(|record| record.attempt)
}

/// Whether the pod's status says of this very instance that it has started. A startup probe is made for the start of a
/// container: run again by a later process, or after a swap of kubelets, it may fail, and the container would be killed.
pub(super) fn was_started(pod: &Pod, record: &ContainerRecord) -> bool {
    let Some(status) = pod.status.as_ref() else { return false };
    let lists = [&status.container_statuses, &status.init_container_statuses];
    lists.into_iter().flatten().flatten().any(|status| {
        status.name == record.name.as_str()
            && status.started == Some(true)
            && instance_id(status) == Some(record.id.as_str())
    })
}

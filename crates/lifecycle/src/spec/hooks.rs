//! Which hooks a container has.

use k8s_openapi::api::core::v1::Container;

/// Whether something runs after the start, until which the container does not count as running.
#[must_use]
pub fn has_post_start(container: &Container) -> bool {
    container.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.post_start.is_some())
}

/// Whether something runs before the container is stopped.
#[must_use]
pub fn has_pre_stop(container: &Container) -> bool {
    container.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.pre_stop.is_some())
}

//! `activeDeadlineSeconds` counts from `status.startTime` on the wall clock: it is a promise made in the object, and has to
//! hold across restarts of this process.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::PodSpec, apimachinery::pkg::apis::meta::v1::Time};

/// What is left of the pod's time; `None` without a limit. A pod that has not been reported starts now.
pub(crate) fn left(spec: &PodSpec, start: Option<&Time>, now: Timestamp) -> Option<Duration> {
    let limit = u64::try_from(spec.active_deadline_seconds?).ok()?;
    let start = start.map_or(now, |time| time.0);
    let active = Duration::try_from(now.duration_since(start)).unwrap_or(Duration::ZERO);
    Some(Duration::from_secs(limit).saturating_sub(active))
}

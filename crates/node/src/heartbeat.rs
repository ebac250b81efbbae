//! When the node reports, and its lease (contract §2.3).
//!
//! ```text
//! computed status ──changed────────────────────────────▶ patch, next forced report at 5 m ± 50 %
//!                 └─unchanged─┬─ first ever ───────────▶ patch, next forced report at 5 m ± 50 %
//!                             ├─ forced report is due ─▶ patch, next one at 5 m
//!                             └─ else ─────────────────▶ nothing
//! ```
//!
//! The shift after a change spreads the forced reports of nodes that changed at one moment. A failed patch leaves the
//! time of the last report as it was, so that the next round tries again.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference},
};

/// Namespace of node leases.
pub const LEASE_NAMESPACE: &str = "kube-node-lease";

/// When this kubelet last reported, on a monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReportClock {
    last: Option<Duration>,
    /// Part of the report frequency by which the next forced report is shifted, -0.5 to 0.5.
    shift: f64,
}

/// Why a report is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportDue {
    /// Something other than a heartbeat time changed.
    Changed,
    /// The first of this process.
    First,
    /// Nothing changed for the report frequency.
    Forced,
}

impl ReportClock {
    /// Whether to report at `now`. `frequency` is `nodeStatusReportFrequency`.
    #[must_use]
    pub fn due(&self, now: Duration, changed: bool, frequency: Duration) -> Option<ReportDue> {
        let Some(last) = self.last else {
            return Some(if changed { ReportDue::Changed } else { ReportDue::First });
        };
        if changed {
            return Some(ReportDue::Changed);
        }
        let wait = frequency.mul_f64(1.0 + self.shift);
        (now.saturating_sub(last) >= wait).then_some(ReportDue::Forced)
    }

    /// The clock after a report that succeeded at `now`. `random` is from 0 to 1.
    #[must_use]
    pub fn reported(self, now: Duration, due: ReportDue, random: f64) -> Self {
        let shift = match due {
            ReportDue::Changed | ReportDue::First => random.clamp(0.0, 1.0) - 0.5,
            ReportDue::Forced => 0.0,
        };
        Self { last: Some(now), shift }
    }
}

/// The lease to create or to update to: renewed now, for as long as is configured now, everything else of `existing` kept.
/// The owner is added as soon as the node's uid is known; a lease without owner would outlive the node.
#[must_use]
pub fn lease(
    existing: Option<&Lease>,
    node_name: &str,
    node_uid: Option<&str>,
    duration_seconds: i32,
    now: Timestamp,
) -> Lease {
    let mut lease = existing.cloned().unwrap_or_else(|| Lease {
        metadata: ObjectMeta {
            name: Some(node_name.to_owned()),
            namespace: Some(LEASE_NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec { holder_identity: Some(node_name.to_owned()), ..LeaseSpec::default() }),
    });
    let owned = lease.metadata.owner_references.as_ref().is_some_and(|owners| !owners.is_empty());
    if let Some(uid) = node_uid.filter(|_| !owned) {
        lease.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: node_name.to_owned(),
            uid: uid.to_owned(),
            block_owner_deletion: None,
            controller: None,
        }]);
    }
    let spec = lease.spec.get_or_insert_default();
    // An earlier process may have had another duration, and who watches goes by what the lease says.
    spec.lease_duration_seconds = Some(duration_seconds);
    spec.renew_time = Some(MicroTime(now));
    lease
}

#[cfg(test)]
mod tests;

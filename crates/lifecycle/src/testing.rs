//! What tests of this crate share.

use jiff::Timestamp;

use crate::observation::SandboxRecord;

/// The first sandbox of a pod, ready, without an address.
pub(crate) fn sandbox(id: &str, at: Timestamp) -> SandboxRecord {
    SandboxRecord {
        id: id.into(),
        attempt: 0,
        ready: true,
        created_at: at,
        ips: Vec::new(),
        without_address: false,
        host_network: false,
    }
}

//! What flags do here that write no field: facts for docs/compat.md, and for the warning at the start.

use crate::config::schema::Support;

/// Whether a flag without a field does anything.
#[must_use]
pub fn of(name: &str) -> Support {
    let why = match name {
        "experimental-mounter-path" => "mounts are system calls; no program is run",
        "housekeeping-interval" => "statistics are read when they are asked for, not in intervals",
        "image-credential-provider-bin-dir" | "image-credential-provider-config" => {
            "credential plugins are not built yet"
        }
        "minimum-container-ttl-duration"
        | "maximum-dead-containers"
        | "maximum-dead-containers-per-container" => "container garbage collection is not built yet",
        "bootstrap-kubeconfig" => "TLS bootstrap is not built yet",
        _ => return Support::Effective,
    };
    Support::AcceptedNoEffect { why }
}

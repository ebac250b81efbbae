//! Order of versions of one object.
//!
//! Resource versions are opaque in general, but those of one object are ordered decimal numbers on every conforming
//! server (KEP-5504).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The version as a number; 0 when there is none, so that anything from the server is newer.
pub(crate) fn number(metadata: &ObjectMeta) -> u128 {
    metadata.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default()
}

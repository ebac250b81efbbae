//! Image names on the wire.

use k8s_openapi::api::core::v1::Pod;
use proto::cri::{AuthConfig, ImageSpec};
use seams::runtime::RegistryAuth;

/// An image to look up or to remove, by reference or id.
#[must_use]
pub fn plain(image: &str) -> ImageSpec {
    ImageSpec { image: image.to_owned(), ..Default::default() }
}

/// An image to pull for a pod: runtimes choose mirrors and decryption keys by the pod's annotations.
#[must_use]
pub fn for_pull(image: &str, pod: &Pod) -> ImageSpec {
    ImageSpec {
        image: image.to_owned(),
        annotations: pod.metadata.annotations.clone().unwrap_or_default(),
        ..Default::default()
    }
}

/// Credentials of a pull.
#[must_use]
pub fn auth(auth: &RegistryAuth) -> AuthConfig {
    AuthConfig {
        username: auth.username.clone(),
        password: auth.password.clone(),
        auth: auth.auth.clone(),
        server_address: auth.server_address.clone(),
        identity_token: auth.identity_token.clone(),
        registry_token: auth.registry_token.clone(),
    }
}

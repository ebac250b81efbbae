//! Pods with no more than an identity and containers, and the plainest look at them. What a test is about it adds itself.

use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

/// A pod with containers, each a name and an image.
#[must_use]
pub fn pod(namespace: &str, name: &str, uid: &str, containers: &[(&str, &str)]) -> Pod {
    let container = |(name, image): &(&str, &str)| Container {
        name: (*name).to_owned(),
        image: Some((*image).to_owned()),
        ..Container::default()
    };
    Pod {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
            uid: Some(uid.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec { containers: containers.iter().map(container).collect(), ..PodSpec::default() }),
        status: None,
    }
}

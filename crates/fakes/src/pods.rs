//! Pods with no more than an identity and containers, and the plainest look at them. What a test is about it adds itself.

use std::sync::Arc;

use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use lifecycle::{Admission, Intent, Observation, PodSource, observation::RuntimePod};

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

/// A pod of the API that is to run, and of which the runtime knows nothing yet.
#[must_use]
pub fn observation(pod: Arc<Pod>) -> Observation {
    Observation {
        pod,
        source: PodSource::Api,
        intent: Intent::Run,
        admission: Admission::Admitted,
        runtime: Ok(RuntimePod::default()),
        network: Ok(()),
        outcomes: Vec::new(),
        node: Default::default(),
        volumes_stale: false,
        probes: Default::default(),
        logged: Default::default(),
    }
}

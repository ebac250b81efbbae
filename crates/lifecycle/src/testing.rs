//! What tests of this crate share: the plainest of observations.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::{
    Admission, Intent, PodSource, ProbeResults,
    observation::{NodeFacts, Observation, RuntimePod, SandboxRecord},
};

/// A pod of the API that is to run, and of which the runtime has nothing yet.
pub(crate) fn observation(pod: Pod) -> Observation {
    Observation {
        pod: Arc::new(pod),
        source: PodSource::Api,
        intent: Intent::Run,
        admission: Admission::Admitted,
        runtime: Ok(RuntimePod::default()),
        network: Ok(()),
        outcomes: Vec::new(),
        node: NodeFacts::default(),
        volumes_stale: false,
        probes: ProbeResults::default(),
        logged: Arc::default(),
    }
}

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

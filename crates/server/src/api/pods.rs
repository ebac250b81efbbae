//! `/pods`, `/runningpods/` and `/allocatedPods`: pods in the API's own form.

use std::borrow::Borrow;

use hyper::{Response, StatusCode};
use k8s_openapi::{
    api::core::v1::{Pod, PodSpec, PodStatus},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use seams::NodeApi;
use serde::Serialize;

use super::{
    answer::{Body, json, text},
    paths::Parameters,
};

/// `PodList`, whose items do not repeat their kind.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PodList<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Nothing,
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Item<'a> {
    metadata: &'a ObjectMeta,
    spec: Option<&'a PodSpec>,
    status: &'a PodStatus,
}

fn list<P: Borrow<Pod>>(pods: &[P]) -> Response<Body> {
    let none = PodStatus::default();
    let items = pods.iter().map(Borrow::borrow).map(|pod| Item {
        metadata: &pod.metadata,
        spec: pod.spec.as_ref(),
        status: pod.status.as_ref().unwrap_or(&none),
    });
    json(&PodList { kind: "PodList", api_version: "v1", metadata: Nothing {}, items: items.collect() })
}

pub(super) fn all(node: &dyn NodeApi) -> Response<Body> {
    let pods = node.pods();
    let pods: Vec<&Pod> = pods.iter().map(AsRef::as_ref).collect();
    list(&pods)
}

/// What was allocated to all pods or to one, without statuses. A pod is admitted as its spec is, and not resized.
pub(super) fn allocated(node: &dyn NodeApi, path: &Parameters) -> Response<Body> {
    let pods = node.pods().into_iter().map(|pod| Pod { status: None, ..Pod::clone(&pod) });
    if path.pod.is_empty() {
        return list(&pods.collect::<Vec<_>>());
    }
    let is_meant = |pod: &Pod| {
        let meta = &pod.metadata;
        meta.namespace.as_deref() == Some(path.namespace.as_str())
            && meta.name.as_deref() == Some(path.pod.as_str())
            && (path.uid.is_none() || meta.uid == path.uid)
    };
    match pods.into_iter().find(is_meant) {
        Some(pod) => json(&pod),
        None => text(StatusCode::NOT_FOUND, "pod not found"),
    }
}

pub(super) async fn running(node: &dyn NodeApi) -> Response<Body> {
    match node.running_pods().await {
        Ok(pods) => list(&pods),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.rpc()),
    }
}

//! The API server, reduced to what the node's own tasks ask of it: this node's object with its watch, its lease, events,
//! and the creation of pods. Everything else waits for ever.

use std::{future::pending, sync::Arc};

use async_trait::async_trait;
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Event, Node, Pod},
    node::v1::RuntimeClass,
};
use seams::{
    ApiError, Cluster,
    cluster::PodEvent,
    patch::{self, PatchKind},
};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

/// What it holds and was asked.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// This node's object.
    pub node: Option<Node>,
    /// Events, in order.
    pub events: Vec<Event>,
    /// Calls about the node, in order: `get`, `create`, `patch`.
    pub calls: Vec<&'static str>,
    /// Pods that were created, in order.
    pub pods: Vec<Pod>,
    /// The node's lease.
    pub lease: Option<Lease>,
    /// Calls about it, in order: `get`, `create`, `update`.
    pub lease_calls: Vec<&'static str>,
    /// What calls about it are answered with, whatever they ask.
    pub lease_refusal: Option<ApiError>,
    /// How often connections were given up.
    pub resets: usize,
    /// Nothing is answered.
    pub away: bool,
    /// Pods are created, and nobody is told.
    pub creations_held: bool,
    version: u64,
}

/// It.
#[derive(Debug)]
pub struct FakeCluster {
    state: watch::Sender<State>,
    shown: watch::Sender<Option<Arc<Node>>>,
}

impl Default for FakeCluster {
    fn default() -> Self {
        Self { state: watch::channel(State::default()).0, shown: watch::channel(None).0 }
    }
}

impl FakeCluster {
    /// Somebody writes the node's object, and the watch tells.
    pub fn show(&self, node: Node) {
        self.keep(node);
        self.shown.send_replace(self.state.borrow().node.clone().map(Arc::new));
    }

    /// Somebody writes the node's object, and the watch has not told yet.
    pub fn keep(&self, node: Node) {
        self.state.send_modify(|state| state.put(node));
    }

    /// Somebody deletes the node's object, and the watch tells.
    pub fn remove(&self) {
        self.state.send_modify(|state| state.node = None);
        self.shown.send_replace(None);
    }

    /// Somebody deletes the lease.
    pub fn remove_lease(&self) {
        self.state.send_modify(|state| state.lease = None);
    }

    /// Calls about the lease are refused so, or not any more.
    pub fn refuse_leases(&self, refusal: Option<ApiError>) {
        self.state.send_modify(|state| state.lease_refusal = refusal);
    }

    /// It goes away, or comes back.
    pub fn set_away(&self, away: bool) {
        self.state.send_modify(|state| state.away = away);
    }

    /// The node's object.
    #[must_use]
    pub fn stored(&self) -> Option<Node> {
        self.state.borrow().node.clone()
    }

    /// Events so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.state.borrow().events.clone()
    }

    /// Calls about the node so far.
    #[must_use]
    pub fn calls(&self) -> Vec<&'static str> {
        self.state.borrow().calls.clone()
    }

    /// Pods that were created so far.
    #[must_use]
    pub fn pods_created(&self) -> Vec<Pod> {
        self.state.borrow().pods.clone()
    }

    /// Creations of pods have their effect, and are answered when this is over.
    pub fn hold_creations(&self, held: bool) {
        self.state.send_modify(|state| state.creations_held = held);
    }

    /// Waits until something is so.
    pub async fn until(&self, so: impl FnMut(&State) -> bool) {
        // The sender is here: it cannot be closed.
        drop(self.state.subscribe().wait_for(so).await);
    }

    /// The lease.
    #[must_use]
    pub fn stored_lease(&self) -> Option<Lease> {
        self.state.borrow().lease.clone()
    }

    /// Calls about the lease so far.
    #[must_use]
    pub fn lease_calls(&self) -> Vec<&'static str> {
        self.state.borrow().lease_calls.clone()
    }

    /// How often connections were given up so far.
    #[must_use]
    pub fn resets(&self) -> usize {
        self.state.borrow().resets
    }

    fn on_lease(
        &self,
        call: &'static str,
        change: impl FnOnce(&mut State) -> Result<(), ApiError>,
    ) -> Result<Lease, ApiError> {
        let mut answer = Err(no_answer());
        self.state.send_modify(|state| {
            state.lease_calls.push(call);
            if state.away {
                return;
            }
            if let Some(refusal) = &state.lease_refusal {
                answer = Err(refusal.clone());
                return;
            }
            answer = match (change(state), &state.lease) {
                (Err(error), _) => Err(error),
                (Ok(()), Some(lease)) => Ok(lease.clone()),
                (Ok(()), None) => Err(ApiError::NotFound("leases \"n\" not found".to_owned())),
            };
        });
        answer
    }

    fn on_node(
        &self,
        call: &'static str,
        change: impl FnOnce(&mut State) -> Result<(), ApiError>,
    ) -> Result<Node, ApiError> {
        let mut answer = Err(no_answer());
        self.state.send_modify(|state| {
            state.calls.push(call);
            if state.away {
                return;
            }
            answer = match (change(state), &state.node) {
                (Err(error), _) => Err(error),
                (Ok(()), Some(node)) => Ok(node.clone()),
                (Ok(()), None) => Err(ApiError::NotFound("nodes \"n\" not found".to_owned())),
            };
        });
        answer
    }
}

fn no_answer() -> ApiError {
    ApiError::Unreachable { server: "https://api.test".to_owned(), message: "away".to_owned() }
}

impl State {
    fn put(&mut self, mut node: Node) {
        self.version += 1;
        node.metadata.uid.get_or_insert_with(|| "uid-n".to_owned());
        node.metadata.resource_version = Some(self.version.to_string());
        self.node = Some(node);
    }
}

#[async_trait]
impl Cluster for FakeCluster {
    fn pods(&self) -> mpsc::Receiver<PodEvent> {
        let (sender, receiver) = mpsc::channel(1);
        // A watch that never says anything.
        tokio::spawn(async move { sender.closed().await });
        receiver
    }
    fn node(&self) -> watch::Receiver<Option<Arc<Node>>> {
        self.shown.subscribe()
    }
    async fn get_pod(&self, _: &str, _: &str) -> Result<Pod, ApiError> {
        pending().await
    }
    async fn patch_pod_status(&self, _: &str, _: &str, _: &Value) -> Result<Pod, ApiError> {
        pending().await
    }
    async fn create_pod(&self, pod: &Pod) -> Result<Pod, ApiError> {
        let mut pod = pod.clone();
        self.state.send_modify(|state| {
            state.version += 1;
            pod.metadata.uid = Some(format!("uid-{}", state.version));
            pod.metadata.resource_version = Some(state.version.to_string());
            state.pods.push(pod.clone());
        });
        self.until(|state| !state.creations_held).await;
        Ok(pod)
    }
    async fn delete_pod(&self, _: &str, _: &str, _: &str, _: u32) -> Result<(), ApiError> {
        pending().await
    }
    async fn get_node(&self) -> Result<Node, ApiError> {
        self.on_node("get", |_| Ok(()))
    }
    async fn create_node(&self, node: &Node) -> Result<Node, ApiError> {
        self.on_node("create", |state| {
            if state.node.is_some() {
                let (reason, message) = ("AlreadyExists".to_owned(), "nodes \"n\" already exists".to_owned());
                return Err(ApiError::Conflict { reason, message });
            }
            state.put(node.clone());
            Ok(())
        })
    }
    async fn patch_node(&self, _: &Value) -> Result<Node, ApiError> {
        pending().await
    }
    async fn patch_node_status(&self, body: &Value) -> Result<Node, ApiError> {
        self.on_node("patch", |state| {
            let malformed = |error: serde_json::Error| ApiError::Malformed(error.to_string());
            let Some(node) = &state.node else { return Ok(()) };
            let mut value = serde_json::to_value(node).map_err(malformed)?;
            patch::apply(PatchKind::Node, &mut value, body);
            let node = serde_json::from_value(value).map_err(malformed)?;
            state.put(node);
            Ok(())
        })
    }
    async fn get_lease(&self) -> Result<Lease, ApiError> {
        self.on_lease("get", |_| Ok(()))
    }
    async fn create_lease(&self, lease: &Lease) -> Result<Lease, ApiError> {
        self.on_lease("create", |state| {
            if state.lease.is_some() {
                let (reason, message) =
                    ("AlreadyExists".to_owned(), "leases \"n\" already exists".to_owned());
                return Err(ApiError::Conflict { reason, message });
            }
            state.lease = Some(lease.clone());
            Ok(())
        })
    }
    async fn update_lease(&self, lease: &Lease) -> Result<Lease, ApiError> {
        self.on_lease("update", |state| {
            if let Some(known) = &mut state.lease {
                known.clone_from(lease);
            }
            Ok(())
        })
    }
    async fn create_event(&self, event: &Event) -> Result<Event, ApiError> {
        self.state.send_modify(|state| state.events.push(event.clone()));
        Ok(event.clone())
    }
    async fn patch_event(&self, _: &str, _: &str, _: &Value) -> Result<Event, ApiError> {
        pending().await
    }
    async fn runtime_class(&self, _: &str) -> Result<Arc<RuntimeClass>, ApiError> {
        pending().await
    }
    fn reset_connections(&self) {
        self.state.send_modify(|state| state.resets += 1);
    }
}

//! The Kubernetes API, in the agent's terms.

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::{
    authentication::v1::TokenRequest,
    coordination::v1::Lease,
    core::v1::{ConfigMap, Event, Node, Pod, Secret},
    node::v1::RuntimeClass,
};
use lifecycle::{Obstacle, action::MissingObject, spec::service_env::ServiceMap};
use tokio::sync::{mpsc, watch};

/// A failed call to the API server.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ApiError {
    /// 404. Displays as the API's message, for example `configmap "x" not found`.
    #[error("{0}")]
    NotFound(String),
    /// 409: a precondition or a resource version did not hold, or the object exists already.
    #[error("{message}")]
    Conflict {
        /// `status.reason`: `AlreadyExists` or `Conflict`.
        reason: String,
        /// API's message.
        message: String,
    },
    /// 401 or 403.
    #[error("{0}")]
    Forbidden(String),
    /// 410, or an expired resource version in a watch.
    #[error("{0}")]
    Gone(String),
    /// Any other answer of the server.
    #[error("{message}")]
    Status {
        /// HTTP status.
        code: u16,
        /// API's message.
        message: String,
    },
    /// No answer: refused, timed out, TLS.
    #[error("cannot reach the API server at {server}: {message}")]
    Unreachable {
        /// Server URL.
        server: String,
        /// Transport's text, with its causes.
        message: String,
    },
    /// The answer could not be understood.
    #[error("unexpected answer from the API server: {0}")]
    Malformed(String),
}

/// Full contents of the watched pod set, after each change; the receiver compares.
#[derive(Clone, Debug)]
pub enum PodEvent {
    /// The first list, or a re-list after a gap: everything there is.
    Snapshot(Vec<Arc<Pod>>),
    /// Added or changed.
    Applied(Arc<Pod>),
    /// Gone.
    Deleted(Arc<Pod>),
}

/// The calls that the agent makes. One connection and one rate limit (`kubeAPIQPS`), but for heartbeats, which have both
/// of their own, and events, which are not limited here; deadlines inside.
#[async_trait]
pub trait Cluster: Send + Sync + 'static {
    /// Pods bound to this node: a list, then changes, for ever; reconnects by itself. Call once.
    fn pods(&self) -> mpsc::Receiver<PodEvent>;
    /// This node's object as last seen in its watch; `None` until it exists.
    fn node(&self) -> watch::Receiver<Option<Arc<Node>>>;

    /// GET pod.
    async fn get_pod(&self, namespace: &str, name: &str) -> Result<Pod, ApiError>;
    /// Strategic merge PATCH of `pods/status`; the body carries `metadata.uid` as guard.
    async fn patch_pod_status(
        &self,
        namespace: &str,
        name: &str,
        patch: &serde_json::Value,
    ) -> Result<Pod, ApiError>;
    /// POST pod (mirror pods).
    async fn create_pod(&self, pod: &Pod) -> Result<Pod, ApiError>;
    /// DELETE with a grace period and a UID precondition.
    async fn delete_pod(&self, namespace: &str, name: &str, uid: &str, grace: u32) -> Result<(), ApiError>;

    /// GET this node, live.
    async fn get_node(&self) -> Result<Node, ApiError>;
    /// POST this node.
    async fn create_node(&self, node: &Node) -> Result<Node, ApiError>;
    /// Strategic merge PATCH of the node object (labels, annotations).
    async fn patch_node(&self, patch: &serde_json::Value) -> Result<Node, ApiError>;
    /// Strategic merge PATCH of `nodes/status`, over the heartbeat client (no rate limit, own deadline).
    async fn patch_node_status(&self, patch: &serde_json::Value) -> Result<Node, ApiError>;

    /// GET this node's lease.
    async fn get_lease(&self) -> Result<Lease, ApiError>;
    /// POST it.
    async fn create_lease(&self, lease: &Lease) -> Result<Lease, ApiError>;
    /// PUT it.
    async fn update_lease(&self, lease: &Lease) -> Result<Lease, ApiError>;

    /// POST an event. Not limited: the caller paces itself (`eventRecordQPS`).
    async fn create_event(&self, event: &Event) -> Result<Event, ApiError>;
    /// PATCH count and timestamps of an event.
    async fn patch_event(
        &self,
        namespace: &str,
        name: &str,
        patch: &serde_json::Value,
    ) -> Result<Event, ApiError>;

    /// GET a runtime class (cached by a watch).
    async fn runtime_class(&self, name: &str) -> Result<Arc<RuntimeClass>, ApiError>;

    /// Lets go of the connections that heartbeats go over, after some that nobody answered; the next dials anew. Young ones
    /// and dials under way stay, and so do watches and calls: those have pings of their own.
    fn reset_connections(&self);
}

/// Why an object that a pod refers to could not be had.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ObjectError {
    /// There is none. Displays as upstream does: `configmap "x" not found`.
    #[error("{kind} \"{name}\" not found")]
    NotFound {
        /// Lower-case kind.
        kind: &'static str,
        /// Name.
        name: String,
    },
    /// Not known: the server did not answer, or not registered in standalone mode.
    #[error("{0}")]
    Unavailable(String),
}

impl ObjectError {
    /// What stands in the way.
    #[must_use]
    pub fn obstacle(&self) -> Obstacle {
        match self {
            Self::NotFound { kind, name } => {
                Obstacle::Objects(vec![MissingObject { kind, name: name.clone(), key: None }])
            }
            Self::Unavailable(_) => Obstacle::ApiServer,
        }
    }
}

/// What pods refer to: config maps, secrets, tokens, services. Watches are opened per object, on demand, while a
/// registered pod refers to it.
#[async_trait]
pub trait Objects: Send + Sync + 'static {
    /// Start following what this pod refers to. Idempotent; a newer version of the pod replaces the older.
    fn register(&self, pod: &Pod);
    /// Stop.
    fn unregister(&self, uid: &str);
    /// A config map, at least as new as the registration of the pod that asks.
    async fn config_map(&self, namespace: &str, name: &str) -> Result<Arc<ConfigMap>, ObjectError>;
    /// A secret, likewise.
    async fn secret(&self, namespace: &str, name: &str) -> Result<Arc<Secret>, ObjectError>;
    /// TokenRequest for a service account; not cached here (`volumes` caches and refreshes).
    async fn token(
        &self,
        namespace: &str,
        service_account: &str,
        request: &TokenRequest,
    ) -> Result<TokenRequest, ObjectError>;
    /// Services of all namespaces by (namespace, name); `None` until first listed.
    fn services(&self) -> watch::Receiver<Option<Arc<ServiceMap>>>;
    /// Uids of pods one of whose objects changed since registration: their volumes want another look.
    fn changes(&self) -> mpsc::Receiver<String>;
}

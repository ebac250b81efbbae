//! The calls of [`seams::Cluster`], one for one.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use k8s_openapi::{
    api::{
        coordination::v1::Lease,
        core::v1::{Event, Node, Pod},
        node::v1::RuntimeClass,
    },
    apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions},
};
use seams::{ApiError, Cluster, cluster::PodEvent};
use tokio::{
    sync::{mpsc, watch as channel},
    time::Instant,
};

use crate::{
    ApiCluster,
    api::{PatchType, encoded},
    feeds,
    watch::{Backoff, Feed, Watcher},
};

/// Pod events on their way to the agent. When it falls behind, the API server's stream waits.
const POD_EVENTS: usize = 64;
/// How long a runtime class is taken from memory. Its handler cannot change; overhead is copied into pods at admission.
const RUNTIME_CLASS: Duration = Duration::from_mins(1);
/// Namespace of node leases.
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

fn pods(namespace: &str) -> String {
    format!("/api/v1/namespaces/{}/pods", encoded(namespace))
}

fn pod(namespace: &str, name: &str) -> String {
    format!("{}/{}", pods(namespace), encoded(name))
}

fn events(namespace: &str) -> String {
    format!("/api/v1/namespaces/{}/events", encoded(namespace))
}

impl ApiCluster {
    pub(crate) fn watcher<K>(&self, path: &str, fields: String) -> Watcher<K>
    where
        K: serde::de::DeserializeOwned
            + k8s_openapi::Metadata<Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>,
    {
        let feed = Feed { path: path.to_owned(), fields };
        Watcher::new(Arc::clone(&self.main), Arc::clone(&self.streaming), feed, Backoff::reflector())
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.stop.clone().run_until_cancelled_owned(task));
    }

    fn node_path(&self) -> String {
        format!("/api/v1/nodes/{}", encoded(&self.node_name))
    }

    fn lease_path(&self) -> String {
        format!("{LEASES}/{}", encoded(&self.node_name))
    }
}

#[async_trait]
impl Cluster for ApiCluster {
    fn pods(&self) -> mpsc::Receiver<PodEvent> {
        let (sender, receiver) = mpsc::channel(POD_EVENTS);
        let watcher = self.watcher("/api/v1/pods", format!("spec.nodeName={}", self.node_name));
        self.spawn(feeds::pods(watcher, sender));
        receiver
    }

    fn node(&self) -> channel::Receiver<Option<Arc<Node>>> {
        let mut kept = self.node.lock();
        kept.get_or_insert_with(|| {
            let (sender, receiver) = channel::channel(None);
            let watcher = self.watcher("/api/v1/nodes", format!("metadata.name={}", self.node_name));
            self.spawn(feeds::node(watcher, sender));
            receiver
        })
        .clone()
    }

    async fn get_pod(&self, namespace: &str, name: &str) -> Result<Pod, ApiError> {
        self.main.get(&pod(namespace, name)).await
    }

    async fn patch_pod_status(
        &self,
        namespace: &str,
        name: &str,
        patch: &serde_json::Value,
    ) -> Result<Pod, ApiError> {
        let path = format!("{}/status", pod(namespace, name));
        self.main.patch(&path, PatchType::StrategicMerge, patch).await
    }

    async fn create_pod(&self, pod: &Pod) -> Result<Pod, ApiError> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        self.main.create(&pods(namespace), pod).await
    }

    async fn delete_pod(&self, namespace: &str, name: &str, uid: &str, grace: u32) -> Result<(), ApiError> {
        let options = DeleteOptions {
            grace_period_seconds: Some(i64::from(grace)),
            preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
            ..DeleteOptions::default()
        };
        self.main.delete(&pod(namespace, name), &options).await
    }

    async fn get_node(&self) -> Result<Node, ApiError> {
        self.heartbeat.get(&self.node_path()).await
    }

    async fn create_node(&self, node: &Node) -> Result<Node, ApiError> {
        self.main.create("/api/v1/nodes", node).await
    }

    async fn patch_node(&self, patch: &serde_json::Value) -> Result<Node, ApiError> {
        self.main.patch(&self.node_path(), PatchType::StrategicMerge, patch).await
    }

    async fn patch_node_status(&self, patch: &serde_json::Value) -> Result<Node, ApiError> {
        let path = format!("{}/status", self.node_path());
        self.heartbeat.patch(&path, PatchType::StrategicMerge, patch).await
    }

    async fn get_lease(&self) -> Result<Lease, ApiError> {
        self.heartbeat.get(&self.lease_path()).await
    }

    async fn create_lease(&self, lease: &Lease) -> Result<Lease, ApiError> {
        self.heartbeat.create(LEASES, lease).await
    }

    async fn update_lease(&self, lease: &Lease) -> Result<Lease, ApiError> {
        self.heartbeat.update(&self.lease_path(), lease).await
    }

    async fn create_event(&self, event: &Event) -> Result<Event, ApiError> {
        let namespace = event.metadata.namespace.as_deref().unwrap_or("default");
        self.events.create(&events(namespace), event).await
    }

    async fn patch_event(
        &self,
        namespace: &str,
        name: &str,
        patch: &serde_json::Value,
    ) -> Result<Event, ApiError> {
        let path = format!("{}/{}", events(namespace), encoded(name));
        self.events.patch(&path, PatchType::StrategicMerge, patch).await
    }

    async fn runtime_class(&self, name: &str) -> Result<Arc<RuntimeClass>, ApiError> {
        let kept = self.runtime_classes.lock().get(name).cloned();
        if let Some((read_at, class)) = &kept
            && read_at.elapsed() < RUNTIME_CLASS
        {
            return Ok(Arc::clone(class));
        }
        let path = format!("/apis/node.k8s.io/v1/runtimeclasses/{}", encoded(name));
        match self.main.get::<RuntimeClass>(&path).await {
            Ok(class) => {
                let class = Arc::new(class);
                self.runtime_classes.lock().insert(name.to_owned(), (Instant::now(), Arc::clone(&class)));
                Ok(class)
            }
            Err(error @ ApiError::NotFound(_)) => {
                self.runtime_classes.lock().remove(name);
                Err(error)
            }
            // An old answer is better than none: a pod is not refused because the API server is away.
            Err(error) => kept.map(|(_, class)| class).ok_or(error),
        }
    }

    /// Those of heartbeats alone: they are what has failed, and a watch that answers pings costs a list to open anew. The
    /// connections of the other calls have their pings.
    fn reset_connections(&self) {
        self.heartbeat.transport().retire();
    }
}

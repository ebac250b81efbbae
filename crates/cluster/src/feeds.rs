//! The three watches that last as long as the node: its pods, itself, and the services of the cluster.

use std::sync::Arc;

use k8s_openapi::{
    api::core::v1::{Node, Pod, Service, ServiceSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use lifecycle::spec::service_env::ServiceMap;
use seams::{ApiError, cluster::PodEvent};
use tokio::sync::{mpsc, watch as channel};

use crate::{
    shrink,
    watch::{Change, Watcher},
};

/// Sends the node's pods until nobody listens.
pub(crate) async fn pods(mut watcher: Watcher<Pod>, events: mpsc::Sender<PodEvent>) {
    loop {
        let change = tokio::select! {
            // Nothing is left to be lost once nobody listens.
            () = events.closed() => return,
            change = watcher.next() => change,
        };
        let slim = |mut pod: Pod| {
            shrink::pod(&mut pod);
            Arc::new(pod)
        };
        let event = match change {
            Change::Snapshot(all) => PodEvent::Snapshot(all.into_iter().map(slim).collect()),
            Change::Applied(pod) => PodEvent::Applied(slim(pod)),
            Change::Deleted(pod) => PodEvent::Deleted(slim(pod)),
            Change::Failed(error) => {
                failed("this node's pods", &error);
                continue;
            }
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

/// Keeps the newest node object; `None` while there is none.
pub(crate) async fn node(mut watcher: Watcher<Node>, newest: channel::Sender<Option<Arc<Node>>>) {
    loop {
        match watcher.next().await {
            Change::Snapshot(mut all) => {
                newest.send_replace(all.pop().map(Arc::new));
            }
            Change::Applied(node) => {
                newest.send_replace(Some(Arc::new(node)));
            }
            Change::Deleted(_) => {
                newest.send_replace(None);
            }
            Change::Failed(error) => failed("this node's object", &error),
        }
    }
}

/// Keeps the services of all namespaces, with only what environment variables need.
pub(crate) async fn services(mut watcher: Watcher<Service>, all: channel::Sender<Option<Arc<ServiceMap>>>) {
    loop {
        match watcher.next().await {
            Change::Snapshot(found) => {
                let map: ServiceMap = found.into_iter().map(named).collect();
                all.send_if_modified(|kept| {
                    let differs = kept.as_deref() != Some(&map);
                    if differs {
                        *kept = Some(Arc::new(map));
                    }
                    differs
                });
            }
            Change::Applied(service) => {
                let (name, service) = named(service);
                all.send_if_modified(|kept| {
                    let map = kept.get_or_insert_default();
                    if map.get(&name) == Some(&service) {
                        return false;
                    }
                    Arc::make_mut(map).insert(name, service);
                    true
                });
            }
            Change::Deleted(service) => {
                let (name, _) = named(service);
                all.send_if_modified(|kept| {
                    kept.as_mut().is_some_and(|map| Arc::make_mut(map).remove(&name).is_some())
                });
            }
            Change::Failed(error) => failed("services", &error),
        }
    }
}

/// An outage is told by the transport, once for all.
fn failed(what: &str, error: &ApiError) {
    match error {
        ApiError::Unreachable { .. } => tracing::debug!(%error, "cannot follow {what}; trying again"),
        _ => tracing::warn!(%error, "cannot follow {what}; trying again"),
    }
}

fn named(service: Service) -> ((String, String), Arc<Service>) {
    let meta = service.metadata;
    let namespace = meta.namespace.unwrap_or_default();
    let name = meta.name.unwrap_or_default();
    let spec = service.spec.unwrap_or_default();
    let ports = spec.ports.map(|mut ports| {
        for port in &mut ports {
            port.app_protocol = None;
            port.target_port = None;
            port.node_port = None;
        }
        ports.shrink_to_fit();
        ports
    });
    let slim = Service {
        metadata: ObjectMeta {
            namespace: Some(namespace.clone()),
            name: Some(name.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            cluster_ip: spec.cluster_ip,
            cluster_ips: spec.cluster_ips,
            type_: spec.type_,
            ports,
            ..ServiceSpec::default()
        }),
        status: None,
    };
    ((namespace, name), Arc::new(slim))
}

//! What the next node object is computed from: the settings, the machine, and what the runtime says.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Node;
use node::{
    conditions::{NodeEvent, Pressures},
    status::{self, Image, RuntimeHandler, RuntimeReport, StatusInputs},
};

use super::{Keeper, known::PATIENCE};

/// How long the runtime's version and the list of images are good for.
const VERSION_AGE: Duration = Duration::from_secs(60);
const IMAGES_AGE: Duration = Duration::from_secs(30);
/// How long what the hostname stands for is good for: every report asks, the tries of one report do not.
const RESOLVED_AGE: Duration = Duration::from_secs(5);

impl Keeper {
    /// The next object, and the events that tell of what changed.
    pub(super) async fn computed(&mut self, base: &Node) -> (Node, Vec<NodeEvent>) {
        self.refresh_version().await;
        self.refresh_images().await;
        self.refresh_resolved(PATIENCE).await;
        self.next_object(base)
    }

    /// The same from what is known, asking nobody.
    pub(super) fn next_object(&self, base: &Node) -> (Node, Vec<NodeEvent>) {
        let reported =
            base.status.as_ref().and_then(|status| status.addresses.as_deref()).unwrap_or_default();
        let resolved = self.resolved.newest().map(Vec::as_slice).unwrap_or_default();
        let addresses = self.settings.addresses(reported, resolved);
        if let Err(error) = &addresses {
            tracing::error!(error, "Cannot choose the node's address");
        }
        let resources = self.settings.resources(&self.edges);
        let runtime = self.runtime_report();
        let images = self.images.newest();
        let ready = self.ready_inputs();
        let inputs = StatusInputs {
            node_name: &self.settings.registration.node_name,
            addresses: addresses.as_ref().ok(),
            machine: &self.identity,
            resources: &resources,
            runtime: &runtime,
            kubelet_version: &self.settings.kubelet_version,
            port: self.settings.port,
            images: images.map(Vec::as_slice),
            max_images: self.settings.max_images,
            declared_features: &self.settings.declared_features,
            unserved: self.devices.listed(),
            volumes_in_use: None,
            pressures: Pressures::default(),
            ready: &ready,
        };
        status::next(base, &inputs, self.edges.clock.now().wall)
    }

    async fn refresh_version(&mut self) {
        let runtime = Arc::clone(&self.edges.runtime);
        self.version.refresh(VERSION_AGE, async move { runtime.version().await.ok() }).await;
    }

    /// Asks the node's resolver, where blocking holds nobody up. With dead name servers the last answer stands.
    pub(super) async fn refresh_resolved(&mut self, patience: Duration) {
        if !self.settings.wants_resolver() {
            return;
        }
        let (resolve, name) =
            (Arc::clone(&self.settings.resolve), self.settings.registration.hostname.clone());
        let ask = async move { tokio::task::spawn_blocking(move || resolve(&name)).await.ok().flatten() };
        self.resolved.refresh_within(patience, RESOLVED_AGE, ask).await;
    }

    fn runtime_report(&self) -> RuntimeReport {
        let version = self.version.newest();
        let status = self.channels.runtime.borrow().status.clone();
        let handlers = status.iter().flat_map(|status| &status.handlers).map(|handler| RuntimeHandler {
            name: handler.name.clone(),
            recursive_read_only_mounts: handler.recursive_read_only_mounts,
            user_namespaces: handler.user_namespaces,
        });
        RuntimeReport {
            name: version.map(|version| version.name.clone()).unwrap_or_default(),
            version: version.map(|version| version.version.clone()),
            handlers: handlers.collect(),
            supplemental_groups_policy: status.as_ref().map(|status| status.supplemental_groups_policy),
        }
    }

    async fn refresh_images(&mut self) {
        let runtime = Arc::clone(&self.edges.runtime);
        let ask = async move {
            let images = runtime.list_images().await.ok()?.into_iter().map(|image| Image {
                id: image.id,
                repo_digests: image.repo_digests,
                repo_tags: image.repo_tags,
                size_bytes: image.size,
            });
            Some(images.collect())
        };
        self.images.refresh(IMAGES_AGE, ask).await;
    }
}

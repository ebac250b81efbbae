//! What the rest of the kubelet is told of the node.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::Node;
use node::addresses::host_ips;

use super::Keeper;

impl Keeper {
    /// The object before it was sent, and although nothing may get through: no pod is looked at until there is one. What
    /// the API is known to hold goes before what would be created.
    pub(super) fn publish_unregistered(&self) {
        let watched = self.edges.cluster.as_ref().and_then(|cluster| cluster.node().borrow().clone());
        let base = watched.map_or_else(|| self.settings.registration.node(), |node| Node::clone(&node));
        let (node, _) = self.next_object(&base);
        self.publish(&node);
    }

    /// What pods need to know of the node.
    fn publish_facts(&self, node: &Node) {
        let status = node.status.as_ref();
        let addresses = status.and_then(|status| status.addresses.as_deref()).unwrap_or_default();
        let ips = host_ips(addresses);
        let runtime = self.version.newest().map(|version| version.name.clone());
        self.channels.facts.send_if_modified(|facts| {
            let before = facts.clone();
            if !ips.is_empty() {
                facts.host_ips.clone_from(&ips);
            }
            if let Some(name) = runtime {
                facts.runtime_name = name;
            }
            if let Some(status) = &self.channels.runtime.borrow().status {
                let handlers = status.handlers.iter().filter(|handler| handler.recursive_read_only_mounts);
                facts.recursive_read_only = handlers.map(|handler| handler.name.clone()).collect();
            }
            *facts != before
        });
    }

    /// All of it. It does not wait for the registration: static pods do not either.
    pub(super) fn publish(&self, node: &Node) {
        self.publish_facts(node);
        let status = node.status.as_ref();
        let allocatable: BTreeMap<String, String> = status
            .and_then(|status| status.allocatable.as_ref())
            .into_iter()
            .flatten()
            .map(|(name, amount)| (name.clone(), amount.0.clone()))
            .collect();
        self.channels.allocatable.send_if_modified(|known| {
            let changed = *known != allocatable;
            *known = allocatable;
            changed
        });
        self.channels.object.send_replace(Some(Arc::new(node.clone())));
    }
}

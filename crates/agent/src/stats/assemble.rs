//! A reading of the tree, with names and rates.

use lifecycle::spec::{containers::image_of, image_reference};
use seams::{
    host::MachineFacts,
    stats::{
        ContainerUse, Depth, GroupReading, GroupUse, NodeUse, PodReading, PodUse, Snapshot, SystemGroup,
        TreeReading,
    },
};

use super::{names::Names, rates::Rates};
use crate::pods::wanted::Wanted;

/// What a snapshot is made from.
pub(super) struct Assembly<'a> {
    pub(super) names: &'a Names,
    pub(super) wanted: &'a Wanted,
    pub(super) facts: &'a MachineFacts,
    pub(super) rates: &'a mut Rates,
}

impl Assembly<'_> {
    pub(super) fn snapshot(mut self, tree: TreeReading, depth: Depth) -> Snapshot {
        let at = tree.root.read_at;
        self.rates.begin(at, depth);
        let hugepages: u64 =
            self.facts.hugepages.iter().map(|(size, pages)| size.saturating_mul(*pages)).sum();
        let node = NodeUse {
            name: String::new(),
            booted_at: tree.booted_at,
            group: self.group(tree.root),
            network: tree.network,
            tasks: tree.tasks,
            memory_bytes: self.facts.memory_bytes.saturating_sub(hugepages),
            swap_bytes: self.facts.swap_bytes,
        };
        let kubepods = tree.kubepods.into_iter().map(|group| ("pods", group));
        let system = kubepods.chain(tree.system);
        let system = system.map(|(name, group)| SystemGroup { name, group: self.group(group) }).collect();
        let qos = tree.qos.into_iter().map(|group| self.group(group)).collect();
        let mut pods: Vec<PodUse> = tree.pods.into_iter().map(|pod| self.pod(pod, depth)).collect();
        pods.sort_by(|a, b| (&a.namespace, &a.name, &a.uid).cmp(&(&b.namespace, &b.name, &b.uid)));
        self.rates.end(at);
        Snapshot { incomplete: false, node, system, qos, pods }
    }

    fn group(&mut self, reading: GroupReading) -> GroupUse {
        GroupUse { nano_cores: self.rates.of(&reading), reading }
    }

    fn pod(&mut self, pod: PodReading, depth: Depth) -> PodUse {
        let PodReading { uid, group, inside, network } = pod;
        let wanted = self.wanted.get(&uid);
        let mut found = PodUse {
            namespace: wanted.as_ref().and_then(|pod| pod.metadata.namespace.clone()).unwrap_or_default(),
            name: wanted.as_ref().and_then(|pod| pod.metadata.name.clone()).unwrap_or_default(),
            started_at: None,
            group: self.group(group),
            sandboxes: Vec::new(),
            containers: Vec::new(),
            network,
            uid,
        };
        for (id, reading) in inside {
            // A group that another has put there, or one whose name is not known yet.
            let Some(named) = self.names.of(&id).filter(|named| named.uid == found.uid) else { continue };
            let image = match (&named.container, depth) {
                (_, Depth::Resource | Depth::Summary) => String::new(),
                (None, Depth::Everything) => named.image.clone(),
                (Some(name), Depth::Everything) => {
                    let asked = wanted.as_ref().and_then(|pod| image_of(pod.spec.as_ref()?, name));
                    full_reference(asked.unwrap_or(&named.image))
                }
            };
            let container = ContainerUse {
                name: named.container.clone().unwrap_or_default(),
                image,
                created_at: named.created_at,
                group: self.group(reading),
                id,
            };
            if named.container.is_some() {
                found.containers.push(container);
            } else {
                found.started_at = found.started_at.max(Some(named.created_at));
                found.sandboxes.push(container);
            }
            if found.name.is_empty() {
                found.namespace.clone_from(&named.namespace);
                found.name.clone_from(&named.pod);
            }
        }
        found.containers.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }
}

/// An image with its registry and tag, as runtimes name it.
fn full_reference(image: &str) -> String {
    let Ok(parsed) = image_reference::parse(image) else { return image.to_owned() };
    let (host, library) = match parsed.registry {
        Some(host) => (host, ""),
        None if parsed.path.contains('/') => ("docker.io", ""),
        None => ("docker.io", "library/"),
    };
    let path = parsed.path;
    match (parsed.tag, parsed.digest) {
        (_, Some(digest)) => format!("{host}/{library}{path}@{digest}"),
        (tag, None) => format!("{host}/{library}{path}:{}", tag.unwrap_or("latest")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_named_in_full() {
        for (image, full) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("me/tool:1", "docker.io/me/tool:1"),
            ("registry.test:5000/busybox:1", "registry.test:5000/busybox:1"),
            ("sha256:nothing of the kind", "sha256:nothing of the kind"),
        ] {
            assert_eq!(full_reference(image), full);
        }
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(full_reference(&format!("x:1@{digest}")), format!("docker.io/library/x@{digest}"));
    }
}

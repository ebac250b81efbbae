//! Whose samples there are: groups with their labels, written once for the whole page.

use metrics::text::Labels;
use seams::stats::{ContainerUse, GroupUse, Interface, PodUse, Snapshot};

/// Which group of a snapshot.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Node,
    System(usize),
    Qos(usize),
    Pod(usize),
    Sandbox(usize, usize),
    Container(usize, usize),
}

/// A group and its labels.
pub(super) struct Subject {
    place: Place,
    pub(super) labels: Labels,
}

/// All groups of a snapshot, the node first.
pub(super) fn of(snapshot: &Snapshot) -> Vec<Subject> {
    let mut subjects = Vec::new();
    let mut add = |place, labels| subjects.push(Subject { place, labels });
    add(Place::Node, labels(&snapshot.node.group, None, None));
    for (at, system) in snapshot.system.iter().enumerate() {
        add(Place::System(at), labels(&system.group, None, None));
    }
    for (at, group) in snapshot.qos.iter().enumerate() {
        add(Place::Qos(at), labels(group, None, None));
    }
    for (at, pod) in snapshot.pods.iter().enumerate() {
        add(Place::Pod(at), labels(&pod.group, Some(pod), None));
        for (inside, sandbox) in pod.sandboxes.iter().enumerate() {
            add(Place::Sandbox(at, inside), labels(&sandbox.group, Some(pod), Some(sandbox)));
        }
        for (inside, container) in pod.containers.iter().enumerate() {
            add(Place::Container(at, inside), labels(&container.group, Some(pod), Some(container)));
        }
    }
    subjects
}

fn labels(group: &GroupUse, pod: Option<&PodUse>, container: Option<&ContainerUse>) -> Labels {
    Labels::new(&[
        ("container", container.map_or("", |container| &container.name)),
        ("id", &group.reading.path),
        ("image", container.map_or("", |container| &container.image)),
        ("name", container.map_or("", |container| &container.id)),
        ("namespace", pod.map_or("", |pod| &pod.namespace)),
        ("pod", pod.map_or("", |pod| &pod.name)),
    ])
}

impl Subject {
    pub(super) fn is_node(&self) -> bool {
        self.place == Place::Node
    }

    fn container<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a ContainerUse> {
        match self.place {
            Place::Sandbox(pod, inside) => snapshot.pods.get(pod)?.sandboxes.get(inside),
            Place::Container(pod, inside) => snapshot.pods.get(pod)?.containers.get(inside),
            _ => None,
        }
    }

    /// The group. A subject belongs to one snapshot; with another it may be the node's.
    pub(super) fn group<'a>(&self, snapshot: &'a Snapshot) -> &'a GroupUse {
        let found = match self.place {
            Place::Node => None,
            Place::System(at) => snapshot.system.get(at).map(|system| &system.group),
            Place::Qos(at) => snapshot.qos.get(at),
            Place::Pod(at) => snapshot.pods.get(at).map(|pod| &pod.group),
            Place::Sandbox(..) | Place::Container(..) => {
                self.container(snapshot).map(|container| &container.group)
            }
        };
        found.unwrap_or(&snapshot.node.group)
    }

    /// When it was made, seconds since the epoch: of containers the runtime's word counts, of others the group's.
    pub(super) fn created(&self, snapshot: &Snapshot) -> Option<f64> {
        let made = self.container(snapshot).map(|container| container.created_at);
        made.or(self.group(snapshot).reading.created_at).map(|at| at.as_second() as f64)
    }

    /// Interfaces that stand at it.
    pub(super) fn interfaces<'a>(&self, snapshot: &'a Snapshot) -> &'a [Interface] {
        let pod = match self.place {
            Place::Node => return &snapshot.node.network,
            Place::Pod(at) => snapshot.pods.get(at).filter(|pod| pod.sandboxes.is_empty()),
            Place::Sandbox(at, 0) => snapshot.pods.get(at),
            _ => None,
        };
        pod.and_then(|pod| pod.network.as_deref()).unwrap_or_default()
    }
}

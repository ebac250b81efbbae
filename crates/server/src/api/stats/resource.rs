//! `/metrics/resource`: CPU, memory and swap of the node, of pods and of containers.

use std::sync::Arc;

use metrics::{
    table::{Metric, Page as Of, find},
    text::Page as Text,
};
use seams::stats::{ContainerUse, GroupReading, PodUse, Snapshot};

use super::page::family;

/// Whose samples a family has.
enum Subjects {
    Node(fn(&GroupReading) -> Option<f64>),
    Pods(fn(&GroupReading) -> Option<f64>),
    Containers(fn(&GroupReading) -> Option<f64>),
    /// When containers were made: without the time of the reading, since it does not depend on it.
    Started,
    Error,
}

fn cpu(group: &GroupReading) -> Option<f64> {
    Some(group.cpu?.usage_ns as f64 / 1e9)
}

fn memory(group: &GroupReading) -> Option<f64> {
    Some(group.memory?.working_set as f64)
}

fn swap(group: &GroupReading) -> Option<f64> {
    Some(group.swap?.usage as f64)
}

fn swap_limit(group: &GroupReading) -> Option<f64> {
    Some(group.swap?.limit? as f64)
}

/// By name, as they stand on the page.
#[rustfmt::skip]
const FAMILIES: &[(&Metric, Subjects)] = &[
    (find(Of::Resource, "container_cpu_usage_seconds_total"), Subjects::Containers(cpu)),
    (find(Of::Resource, "container_memory_working_set_bytes"), Subjects::Containers(memory)),
    (find(Of::Resource, "container_start_time_seconds"), Subjects::Started),
    (find(Of::Resource, "container_swap_limit_bytes"), Subjects::Containers(swap_limit)),
    (find(Of::Resource, "container_swap_usage_bytes"), Subjects::Containers(swap)),
    (find(Of::Resource, "node_cpu_usage_seconds_total"), Subjects::Node(cpu)),
    (find(Of::Resource, "node_memory_working_set_bytes"), Subjects::Node(memory)),
    (find(Of::Resource, "node_swap_usage_bytes"), Subjects::Node(swap)),
    (find(Of::Resource, "pod_cpu_usage_seconds_total"), Subjects::Pods(cpu)),
    (find(Of::Resource, "pod_memory_working_set_bytes"), Subjects::Pods(memory)),
    (find(Of::Resource, "pod_swap_usage_bytes"), Subjects::Pods(swap)),
    (find(Of::Resource, "resource_scrape_error"), Subjects::Error),
];

/// The page, family by family.
pub(super) struct Page {
    snapshot: Arc<Snapshot>,
    families: std::slice::Iter<'static, (&'static Metric, Subjects)>,
}

impl Page {
    pub(super) fn new(snapshot: Arc<Snapshot>) -> Self {
        Self { snapshot, families: FAMILIES.iter() }
    }
}

impl Iterator for Page {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let (metric, subjects) = self.families.next()?;
        Some(family(metric, |text| write(text, metric.name, subjects, &self.snapshot)))
    }
}

/// Pods that have a container: one that is only made yet, or that has ended, is not told by upstream either.
pub(super) fn pods(snapshot: &Snapshot) -> impl Iterator<Item = &PodUse> {
    snapshot.pods.iter().filter(|pod| !pod.containers.is_empty())
}

fn containers(snapshot: &Snapshot) -> impl Iterator<Item = (&PodUse, &ContainerUse)> {
    pods(snapshot).flat_map(|pod| pod.containers.iter().map(move |container| (pod, container)))
}

fn write(text: &mut Text, name: &str, subjects: &Subjects, snapshot: &Snapshot) {
    match subjects {
        Subjects::Node(of) => {
            let group = &snapshot.node.group.reading;
            if let Some(value) = of(group) {
                text.sample(name, &[], value, Some(group.read_at.as_millisecond()));
            }
        }
        Subjects::Pods(of) => {
            for pod in pods(snapshot) {
                let group = &pod.group.reading;
                if let Some(value) = of(group) {
                    let labels = [("namespace", pod.namespace.as_str()), ("pod", &pod.name)];
                    text.sample(name, &labels, value, Some(group.read_at.as_millisecond()));
                }
            }
        }
        Subjects::Containers(of) => {
            for (pod, container) in containers(snapshot) {
                let group = &container.group.reading;
                if let Some(value) = of(group) {
                    text.sample(name, &labels(pod, container), value, Some(group.read_at.as_millisecond()));
                }
            }
        }
        Subjects::Started => {
            for (pod, container) in containers(snapshot) {
                let made = container.created_at;
                let seconds = made.as_second() as f64 + f64::from(made.subsec_nanosecond()) / 1e9;
                text.sample(name, &labels(pod, container), seconds, None);
            }
        }
        Subjects::Error => text.sample(name, &[], f64::from(u8::from(snapshot.incomplete)), None),
    }
}

fn labels<'a>(pod: &'a PodUse, container: &'a ContainerUse) -> [(&'static str, &'a str); 3] {
    [("container", &container.name), ("namespace", &pod.namespace), ("pod", &pod.name)]
}

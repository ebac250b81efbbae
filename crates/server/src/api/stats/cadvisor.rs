//! `/metrics/cadvisor`: everything about groups, file systems and the machine, under upstream's names.

mod families;
mod subjects;

use std::sync::Arc;

use metrics::{table::Metric, text::Page as Text};
use seams::{
    host::FsUsage,
    stats::{Detailed, DiskCounters, Filesystem, Interface},
};

use self::{
    families::{FAMILIES, Value},
    subjects::Subject,
};
use super::page::family;

/// The page, family by family.
pub(super) struct Page {
    found: Detailed,
    subjects: Arc<[Subject]>,
    families: std::slice::Iter<'static, (&'static Metric, Value)>,
}

impl Page {
    pub(super) fn new(found: Detailed) -> Self {
        let subjects = subjects::of(&found.snapshot).into();
        Self { found, subjects, families: FAMILIES.iter() }
    }

    fn write(&self, text: &mut Text, name: &'static str, value: &Value) {
        match value {
            Value::Group(of) => {
                for subject in self.subjects.iter() {
                    let group = &subject.group(&self.found.snapshot).reading;
                    if let Some(value) = of(group) {
                        text.sample_of(
                            name,
                            &subject.labels,
                            &[],
                            value,
                            Some(group.read_at.as_millisecond()),
                        );
                    }
                }
            }
            Value::Constant(of) => {
                for subject in self.subjects.iter() {
                    if let Some(value) = of(subject, &self.found) {
                        text.sample_of(name, &subject.labels, &[], value, None);
                    }
                }
            }
            Value::Labelled(of) => {
                for subject in self.subjects.iter() {
                    let group = &subject.group(&self.found.snapshot).reading;
                    let stamp = Some(group.read_at.as_millisecond());
                    of(group, &mut |more, value| text.sample_of(name, &subject.labels, more, value, stamp));
                }
            }
            Value::Interface(of) => self.interfaces(|subject, interface, stamp| {
                let more = [("interface", interface.name.as_str())];
                text.sample_of(name, &subject.labels, &more, of(interface) as f64, Some(stamp));
            }),
            Value::Space(of) => self.filesystems(|subject, one, space, stamp| {
                if let Some(space) = space {
                    let more = [("device", one.device.as_str())];
                    text.sample_of(name, &subject.labels, &more, of(space) as f64, Some(stamp));
                }
            }),
            Value::Device { of_node, of_groups } => {
                let none = DiskCounters::default();
                self.filesystems(|subject, one, _, stamp| {
                    let value = of_node(one.counters.as_ref().unwrap_or(&none));
                    let more = [("device", one.device.as_str())];
                    text.sample_of(name, &subject.labels, &more, value, Some(stamp));
                });
                let Some(of) = of_groups else { return };
                for subject in self.subjects.iter().filter(|subject| !subject.is_node()) {
                    let group = &subject.group(&self.found.snapshot).reading;
                    for io in &group.io {
                        let more = [("device", io.device.as_str())];
                        let stamp = Some(group.read_at.as_millisecond());
                        text.sample_of(name, &subject.labels, &more, of(io) as f64, stamp);
                    }
                }
            }
            Value::Machine(of) => {
                let facts = &self.found.machine.facts;
                let labels = [
                    ("boot_id", facts.boot_id.as_str()),
                    ("machine_id", &facts.machine_id),
                    ("system_uuid", &facts.system_uuid),
                ];
                text.sample(name, &labels, of(&self.found.machine), None);
            }
            Value::Once(write) => write(text, name, &self.found),
        }
    }

    /// Interfaces of the node, and of each pod with a network of its own: they stand at its sandbox, as upstream has them,
    /// or at the pod where the runtime makes no group for that.
    fn interfaces(&self, mut each: impl FnMut(&Subject, &Interface, i64)) {
        for subject in self.subjects.iter() {
            let stamp = subject.group(&self.found.snapshot).reading.read_at.as_millisecond();
            for interface in subject.interfaces(&self.found.snapshot) {
                each(subject, interface, stamp);
            }
        }
    }

    /// File systems, which are the node's.
    fn filesystems(&self, mut each: impl FnMut(&Subject, &Filesystem, Option<&FsUsage>, i64)) {
        let Some(node) = self.subjects.first() else { return };
        let stamp = self.found.snapshot.node.group.reading.read_at.as_millisecond();
        for (one, space) in &self.found.filesystems {
            each(node, one, space.as_ref(), stamp);
        }
    }
}

impl Iterator for Page {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let (metric, value) = self.families.next()?;
        Some(family(metric, |text| self.write(text, metric.name, value)))
    }
}

#[cfg(test)]
mod tests;

//! One set of pods out of several sources.
//!
//! Invariant: at most one pod per (source, namespace, name); the first one seen keeps its place and a namesake is
//! refused with an event until it is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{PodKey, PodSource, PodUid, spec::static_pod::SEEN_ANNOTATION};

use super::SourceUpdate;

/// What changed.
#[derive(Clone, Debug)]
pub enum Change {
    /// New, or newer than before.
    Applied(PodSource, Arc<Pod>),
    /// No longer in its source.
    Removed(PodUid),
    /// Refused: a pod of that name from the same source is there already, or its identity cannot be used.
    Refused(Arc<Pod>, String),
}

/// The pods of all sources.
#[derive(Debug, Default)]
pub struct Merger {
    pods: BTreeMap<PodUid, (PodSource, Arc<Pod>)>,
    delivered: Vec<PodSource>,
    /// What was refused in each source's last delivery: told once, not at each.
    refused: Vec<(PodSource, BTreeSet<String>)>,
}

impl Merger {
    /// Whether a source has delivered at least once.
    #[must_use]
    pub fn has_delivered(&self, source: PodSource) -> bool {
        self.delivered.contains(&source)
    }

    /// Takes an update and tells what changed. Pods that were added are ordered by creation time.
    pub fn take(&mut self, update: SourceUpdate) -> Vec<Change> {
        match update {
            SourceUpdate::Set(source, mut pods) => {
                if !self.has_delivered(source) {
                    self.delivered.push(source);
                }
                pods.sort_by(|a, b| a.metadata.creation_timestamp.cmp(&b.metadata.creation_timestamp));
                let kept: Vec<PodUid> = pods.iter().map(|pod| PodKey::of(pod).uid).collect();
                let gone: Vec<PodUid> = self
                    .pods
                    .iter()
                    .filter(|(uid, (from, _))| *from == source && !kept.contains(uid))
                    .map(|(uid, _)| uid.clone())
                    .collect();
                let mut changes: Vec<_> = gone.into_iter().filter_map(|uid| self.remove(&uid)).collect();
                changes.extend(pods.into_iter().filter_map(|pod| self.apply(source, pod)));
                self.only_new_refusals(source, changes)
            }
            SourceUpdate::Applied(source, pod) => self.apply(source, pod).into_iter().collect(),
            SourceUpdate::Deleted(_, pod) => self.remove(&PodKey::of(&pod).uid).into_iter().collect(),
            SourceUpdate::Refused(source, pod) => vec![namesake_refused(source, pod)],
        }
    }

    fn only_new_refusals(&mut self, source: PodSource, mut changes: Vec<Change>) -> Vec<Change> {
        let told = self.refused.iter().position(|(from, _)| *from == source);
        let before = told.map(|at| self.refused.swap_remove(at).1).unwrap_or_default();
        let mut now = BTreeSet::new();
        changes.retain(|change| match change {
            Change::Refused(_, message) => {
                let new = !before.contains(message);
                now.insert(message.clone());
                new
            }
            _ => true,
        });
        if !now.is_empty() {
            self.refused.push((source, now));
        }
        changes
    }

    fn remove(&mut self, uid: &PodUid) -> Option<Change> {
        self.pods.remove(uid).map(|_| Change::Removed(uid.clone()))
    }

    fn apply(&mut self, source: PodSource, pod: Arc<Pod>) -> Option<Change> {
        let key = PodKey::of(&pod);
        if let Err(problem) = usable(&key) {
            return Some(Change::Refused(pod, problem));
        }
        let known = self.pods.get(&key.uid).map(|(_, known)| known);
        let pod = known
            .filter(|_| source.is_static())
            .map_or_else(|| Arc::clone(&pod), |known| seen_as(known, &pod));
        if let Some(known) = known
            && known.metadata == pod.metadata
            && known.spec == pod.spec
            && known.status == pod.status
        {
            return None;
        }
        let namesake = self.pods.iter().any(|(uid, (from, other))| {
            *uid != key.uid
                && *from == source
                && other.metadata.name == pod.metadata.name
                && other.metadata.namespace == pod.metadata.namespace
                && source.is_static()
        });
        if namesake {
            return Some(namesake_refused(source, pod));
        }
        self.pods.insert(key.uid, (source, Arc::clone(&pod)));
        Some(Change::Applied(source, pod))
    }
}

fn namesake_refused(source: PodSource, pod: Arc<Pod>) -> Change {
    let key = PodKey::of(&pod);
    let from = match source {
        PodSource::File => "file",
        PodSource::Http => "http",
        _ => "api",
    };
    let message = format!(
        "Error validating pod {key} from {from} due to duplicate pod name \"{}\", ignoring",
        key.name
    );
    Change::Refused(pod, message)
}

/// A new version of a static pod, first seen when the version before it was.
fn seen_as(known: &Pod, pod: &Arc<Pod>) -> Arc<Pod> {
    let seen = |pod: &Pod| pod.metadata.annotations.as_ref()?.get(SEEN_ANNOTATION).cloned();
    match seen(known) {
        Some(first) if seen(pod).as_ref() != Some(&first) => {
            let mut pod = Pod::clone(pod);
            pod.metadata.annotations.get_or_insert_default().insert(SEEN_ANNOTATION.to_owned(), first);
            Arc::new(pod)
        }
        _ => Arc::clone(pod),
    }
}

/// A pod's uid, namespace and name become path components: nothing may come in that could leave its directory.
fn usable(key: &PodKey) -> Result<(), String> {
    for (what, text) in [("uid", key.uid.as_str()), ("namespace", &*key.namespace), ("name", &*key.name)] {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        if text.is_empty() || text.len() > 253 || !plain || text.starts_with('.') {
            return Err(format!(
                "Error validating pod {key}: its {what} {text:?} cannot name a directory, ignoring"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, uid: &str) -> Arc<Pod> {
        Arc::new(fakes::pods::pod("default", name, uid, &[]))
    }

    #[test]
    fn a_set_replaces_only_its_own_source() {
        let mut merger = Merger::default();
        merger.take(SourceUpdate::Set(PodSource::Api, vec![pod("a", "1")]));
        merger.take(SourceUpdate::Set(PodSource::File, vec![pod("b", "2"), pod("c", "3")]));
        let changes = merger.take(SourceUpdate::Set(PodSource::File, vec![pod("c", "3")]));
        assert!(matches!(&changes[..], [Change::Removed(uid)] if uid.as_str() == "2"), "{changes:?}");
    }

    #[test]
    fn an_edited_manifest_replaces_its_pod() {
        let mut merger = Merger::default();
        merger.take(SourceUpdate::Set(PodSource::File, vec![pod("a", "1")]));
        let changes = merger.take(SourceUpdate::Set(PodSource::File, vec![pod("a", "2")]));
        assert!(
            matches!(&changes[..], [Change::Removed(old), Change::Applied(_, new)]
                if old.as_str() == "1" && new.metadata.uid.as_deref() == Some("2")),
            "{changes:?}"
        );
    }

    #[test]
    fn the_second_of_two_namesakes_is_refused() {
        let mut merger = Merger::default();
        let changes = merger.take(SourceUpdate::Set(PodSource::File, vec![pod("a", "1"), pod("a", "2")]));
        assert!(matches!(&changes[..], [Change::Applied(..), Change::Refused(..)]), "{changes:?}");
    }

    #[test]
    fn what_a_source_leaves_out_is_refused_and_changes_nothing() {
        let mut merger = Merger::default();
        merger.take(SourceUpdate::Set(PodSource::File, vec![pod("a", "1")]));
        let changes = merger.take(SourceUpdate::Refused(PodSource::File, pod("a", "2")));
        let message = "Error validating pod a_default(2) from file due to duplicate pod name \"a\", ignoring";
        assert!(matches!(&changes[..], [Change::Refused(_, told)] if told == message), "{changes:?}");
        assert_eq!(merger.take(SourceUpdate::Set(PodSource::File, vec![pod("a", "1")])).len(), 0);
    }

    #[test]
    fn a_refusal_is_told_once_until_it_ends() {
        let mut merger = Merger::default();
        let both = || SourceUpdate::Set(PodSource::File, vec![pod("a", "1"), pod("a", "2")]);
        assert_eq!(merger.take(both()).len(), 2);
        assert_eq!(merger.take(both()).len(), 0);
        merger.take(SourceUpdate::Set(PodSource::File, vec![pod("a", "1")]));
        assert!(matches!(&merger.take(both())[..], [Change::Refused(..)]));
    }

    #[test]
    fn identities_that_leave_their_directory_are_refused() {
        let mut merger = Merger::default();
        for uid in ["", "../x", "a/b", ".."] {
            let changes = merger.take(SourceUpdate::Applied(PodSource::Api, pod("a", uid)));
            assert!(matches!(&changes[..], [Change::Refused(..)]), "{uid:?}: {changes:?}");
        }
    }
}

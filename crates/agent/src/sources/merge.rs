//! One set of pods out of several sources.
//!
//! Invariant: at most one pod per (source, namespace, name); the first one seen keeps its place and a namesake is
//! refused with an event until it is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use lifecycle::{
    PodKey, PodSource, PodUid,
    spec::{
        names::names_a_directory,
        static_pod::{SEEN_ANNOTATION, SOURCE_ANNOTATION},
    },
};

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

    /// Takes an update that came `now` and tells what changed. Pods that were added are ordered by creation time, and all
    /// say where they came from and when they were first seen, whatever the object itself says about that.
    pub fn take(&mut self, update: SourceUpdate, now: Timestamp) -> Vec<Change> {
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
                changes.extend(pods.into_iter().filter_map(|pod| self.apply(source, pod, now)));
                self.only_new_refusals(source, changes)
            }
            SourceUpdate::Applied(source, pod) => self.apply(source, pod, now).into_iter().collect(),
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

    fn apply(&mut self, source: PodSource, pod: Arc<Pod>, now: Timestamp) -> Option<Change> {
        let key = PodKey::of(&pod);
        if let Err(problem) = usable(&key) {
            return Some(Change::Refused(pod, problem));
        }
        let known = self.pods.get(&key.uid).map(|(_, known)| known);
        let pod = marked(pod, source, known, now);
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

/// The pod with its marks: its source and when its first version was seen. What the manifest of a static pod says about
/// that was written when it was read; what an object of the API says is anybody's.
fn marked(pod: Arc<Pod>, source: PodSource, known: Option<&Arc<Pod>>, now: Timestamp) -> Arc<Pod> {
    let mark = |pod: &Pod, key: &str| pod.metadata.annotations.as_ref()?.get(key).cloned();
    let first = known.and_then(|known| mark(known, SEEN_ANNOTATION));
    let (from, seen) = match source {
        PodSource::Api => (Some("api".to_owned()), first.or_else(|| Some(now.to_string()))),
        _ => (None, first),
    };
    let wanted = [(SOURCE_ANNOTATION, from), (SEEN_ANNOTATION, seen)];
    let missing = |(key, value): &(&str, Option<String>)| value.is_some() && mark(&pod, key) != *value;
    if !wanted.iter().any(missing) {
        return pod;
    }
    let mut pod = Arc::unwrap_or_clone(pod);
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.extend(wanted.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    Arc::new(pod)
}

/// A pod's uid, namespace and name become path components: nothing may come in that could leave its directory.
fn usable(key: &PodKey) -> Result<(), String> {
    for (what, text) in [("uid", key.uid.as_str()), ("namespace", &*key.namespace), ("name", &*key.name)] {
        if !names_a_directory(text) {
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

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn pod(name: &str, uid: &str) -> Arc<Pod> {
        Arc::new(fakes::pods::pod("default", name, uid, &[]))
    }

    #[test]
    fn a_set_replaces_only_its_own_source() {
        let mut merger = Merger::default();
        merger.take(SourceUpdate::Set(PodSource::Api, vec![pod("a", "1")]), NOW);
        merger.take(SourceUpdate::Set(PodSource::File, vec![pod("b", "2"), pod("c", "3")]), NOW);
        let changes = merger.take(SourceUpdate::Set(PodSource::File, vec![pod("c", "3")]), NOW);
        assert!(matches!(&changes[..], [Change::Removed(uid)] if uid.as_str() == "2"), "{changes:?}");
    }

    #[test]
    fn an_edited_manifest_replaces_its_pod() {
        let mut merger = Merger::default();
        merger.take(SourceUpdate::Set(PodSource::File, vec![pod("a", "1")]), NOW);
        let changes = merger.take(SourceUpdate::Set(PodSource::File, vec![pod("a", "2")]), NOW);
        assert!(
            matches!(&changes[..], [Change::Removed(old), Change::Applied(_, new)]
                if old.as_str() == "1" && new.metadata.uid.as_deref() == Some("2")),
            "{changes:?}"
        );
    }

    #[test]
    fn the_second_of_two_namesakes_is_refused() {
        let mut merger = Merger::default();
        let changes =
            merger.take(SourceUpdate::Set(PodSource::File, vec![pod("a", "1"), pod("a", "2")]), NOW);
        assert!(matches!(&changes[..], [Change::Applied(..), Change::Refused(..)]), "{changes:?}");
    }

    #[test]
    fn what_a_source_leaves_out_is_refused_and_changes_nothing() {
        let mut merger = Merger::default();
        merger.take(SourceUpdate::Set(PodSource::File, vec![pod("a", "1")]), NOW);
        let changes = merger.take(SourceUpdate::Refused(PodSource::File, pod("a", "2")), NOW);
        let message = "Error validating pod a_default(2) from file due to duplicate pod name \"a\", ignoring";
        assert!(matches!(&changes[..], [Change::Refused(_, told)] if told == message), "{changes:?}");
        assert_eq!(merger.take(SourceUpdate::Set(PodSource::File, vec![pod("a", "1")]), NOW).len(), 0);
    }

    #[test]
    fn a_refusal_is_told_once_until_it_ends() {
        let mut merger = Merger::default();
        let both = || SourceUpdate::Set(PodSource::File, vec![pod("a", "1"), pod("a", "2")]);
        assert_eq!(merger.take(both(), NOW).len(), 2);
        assert_eq!(merger.take(both(), NOW).len(), 0);
        merger.take(SourceUpdate::Set(PodSource::File, vec![pod("a", "1")]), NOW);
        assert!(matches!(&merger.take(both(), NOW)[..], [Change::Refused(..)]));
    }

    #[test]
    fn identities_that_leave_their_directory_are_refused() {
        let mut merger = Merger::default();
        for uid in ["", "../x", "a/b", ".."] {
            let changes = merger.take(SourceUpdate::Applied(PodSource::Api, pod("a", uid)), NOW);
            assert!(matches!(&changes[..], [Change::Refused(..)]), "{uid:?}: {changes:?}");
        }
    }

    #[test]
    fn who_wrote_a_pod_does_not_decide_where_it_came_from() {
        let mut merger = Merger::default();
        let later = Timestamp::from_second(60).unwrap();
        let mut object = fakes::pods::pod("default", "a", "1", &[]);
        object.metadata.annotations = Some(
            [(SOURCE_ANNOTATION.to_owned(), "file".to_owned()), ("x".to_owned(), "y".to_owned())].into(),
        );
        let object = Arc::new(object);
        let changes = merger.take(SourceUpdate::Applied(PodSource::Api, Arc::clone(&object)), NOW);
        let [Change::Applied(PodSource::Api, seen)] = &changes[..] else { panic!("{changes:?}") };
        let annotations = seen.metadata.annotations.as_ref().unwrap();
        assert_eq!(annotations[SOURCE_ANNOTATION], "api");
        assert_eq!(annotations[SEEN_ANNOTATION], NOW.to_string());
        assert_eq!(annotations["x"], "y");
        assert_eq!(merger.take(SourceUpdate::Applied(PodSource::Api, Arc::clone(&object)), later).len(), 0);
        let mut newer = Pod::clone(&object);
        newer.metadata.labels = Some([("new".to_owned(), "1".to_owned())].into());
        let changes = merger.take(SourceUpdate::Applied(PodSource::Api, Arc::new(newer)), later);
        let [Change::Applied(PodSource::Api, seen)] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!(seen.metadata.annotations.as_ref().unwrap()[SEEN_ANNOTATION], NOW.to_string());
    }
}

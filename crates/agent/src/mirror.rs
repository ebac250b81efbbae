//! Mirror pods: what the API server knows of static pods (contract §4).
//!
//! [`plan`] is pure: static pods and mirrors in, deletions and creations out. A static pod never depends on its
//! mirror; without an API server there are none.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::{Node, Pod},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use lifecycle::{
    PodUid,
    status::{all_containers, is_terminal},
};
use parking_lot::Mutex;
use seams::{ApiError, Cluster};
use tokio::sync::Notify;

use crate::status::{StatusQueue, newer};

/// Marks a mirror; its value is the static pod's hash.
pub const MIRROR: &str = "kubernetes.io/config.mirror";
/// A static pod's hash: its uid.
pub const HASH: &str = "kubernetes.io/config.hash";

/// First and longest delay before a failed step is tried again: a mirror is for people to look at, nothing waits for it.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

type Name = (String, String);

/// Whether an API pod is the mirror of a static pod.
#[must_use]
pub fn is_mirror(pod: &Pod) -> bool {
    pod.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(MIRROR))
}

/// Whether an object carries a status that a kubelet has reported: none of them leaves out the start time.
#[must_use]
pub fn is_reported(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| status.start_time.is_some())
}

/// Whether a mirror carries a status that its static pod goes on from. Nothing is written to such a mirror before the pod's
/// worker has taken that up; to any other at once.
#[must_use]
pub fn is_recallable(mirror: &Pod) -> bool {
    is_reported(mirror) && !tells_of_a_rejection(mirror)
}

fn recalled(pod: &Pod, mirror: &Pod) -> Option<Arc<Pod>> {
    if is_reported(pod) || !is_recallable(mirror) || annotation(mirror, MIRROR) != annotation(pod, HASH) {
        return None;
    }
    let mut pod = pod.clone();
    let mut status = mirror.status.clone()?;
    if is_terminal(status.phase.as_deref()) {
        // What it has come to is seen in the runtime. A node that was shut down may have said `Failed` of a pod that it runs
        // again.
        (status.phase, status.reason, status.message) = (None, None, None);
        if let Some(conditions) = &mut status.conditions {
            conditions.retain(|condition| condition.type_ != "DisruptionTarget");
        }
    }
    pod.status = Some(status);
    Some(Arc::new(pod))
}

/// A pod that was not admitted is asked about anew, and may run by now: of what was said of it nothing goes on.
fn tells_of_a_rejection(mirror: &Pod) -> bool {
    mirror
        .status
        .as_ref()
        .is_some_and(|status| is_terminal(status.phase.as_deref()) && all_containers(status).next().is_none())
}

/// Whether a mirror is that of the static pod with this uid.
#[must_use]
pub fn is_mirror_of(mirror: &Pod, uid: &str) -> bool {
    annotation(mirror, MIRROR) == Some(uid)
}

/// What has to be done to the API's mirrors.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Delete this mirror (namespace, name, uid): no static pod, or another version of it, stands behind it.
    Delete(Name, String),
    /// Create the mirror of this static pod.
    Create(Name),
}

/// Whether a mirror without a static pod is one that is left over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sources {
    /// It may still turn out to belong to a pod: not every source has delivered.
    #[default]
    Awaited,
    /// It is.
    Delivered,
}

/// Compares. `held` are names of static pods whose worker is still stopping: their mirrors stay. `ended` are uids of those
/// that have ended for good under this process: what such a mirror tells is of a former life, and the API server would not
/// have it taken back, so that a pod that comes back gets another one.
#[must_use]
pub fn plan(
    statics: &BTreeMap<Name, Arc<Pod>>,
    mirrors: &BTreeMap<Name, Arc<Pod>>,
    held: &BTreeSet<Name>,
    ended: &BTreeSet<String>,
    sources: Sources,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for (name, mirror) in mirrors {
        let wanted = match statics.get(name) {
            Some(pod) => {
                let hash = annotation(pod, HASH);
                annotation(mirror, MIRROR) == hash
                    && !hash.is_some_and(|uid| ended.contains(uid))
                    && mirror.metadata.deletion_timestamp.is_none()
            }
            None => held.contains(name) || sources == Sources::Awaited,
        };
        if !wanted {
            steps.push(Step::Delete(name.clone(), mirror.metadata.uid.clone().unwrap_or_default()));
        }
    }
    for name in statics.keys() {
        if !mirrors.contains_key(name) {
            steps.push(Step::Create(name.clone()));
        }
    }
    steps
}

fn annotation<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// The object to create for a static pod.
#[must_use]
pub fn mirror_of(pod: &Pod, node: &Node) -> Pod {
    let mut mirror = pod.clone();
    let hash = annotation(pod, HASH).unwrap_or_default().to_owned();
    mirror.metadata.annotations.get_or_insert_default().insert(MIRROR.to_owned(), hash);
    mirror.metadata.uid = None;
    mirror.metadata.resource_version = None;
    mirror.metadata.creation_timestamp = None;
    mirror.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.metadata.name.clone().unwrap_or_default(),
        uid: node.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        ..OwnerReference::default()
    }]);
    mirror
}

/// Keeps mirrors in line with static pods.
pub struct Mirrors {
    cluster: Arc<dyn Cluster>,
    statuses: Arc<StatusQueue>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    statics: BTreeMap<Name, Arc<Pod>>,
    /// Static pods that left their source and are still being stopped. By uid: while one of them stops, another of its name
    /// may come and go without ever having run.
    held: BTreeMap<String, Name>,
    mirrors: BTreeMap<Name, Arc<Pod>>,
    /// The API source has delivered: a mirror that is not in `mirrors` does not exist.
    listed: bool,
    sources: Sources,
    /// The mirror that is being created, and whether the API source has told of its end meanwhile.
    creating: Option<(Name, Fate)>,
    /// What was said last of a pod whose mirror cannot be brought up to date, so that it is said once.
    reported: BTreeMap<Name, String>,
}

/// What the API source has told of a mirror whose creation is not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nothing, or that it is there.
    Open,
    /// It may be gone again.
    Overtaken,
}

impl State {
    fn applied(&mut self, pod: &Arc<Pod>) {
        self.held.remove(&uid_of(pod));
        self.statics.insert(name_of(pod), Arc::clone(pod));
    }

    fn stopping(&mut self, pod: &Pod) {
        let name = name_of(pod);
        if self.statics.get(&name).is_some_and(|known| known.metadata.uid == pod.metadata.uid) {
            self.statics.remove(&name);
            self.held.insert(uid_of(pod), name);
        }
    }

    fn gone(&mut self, pod: &Pod) {
        self.held.remove(&uid_of(pod));
    }

    /// The API source has told of an end: of this mirror, or of any that is not in its list.
    fn overtake(&mut self, deleted: Option<&Name>) {
        if let Some((name, fate)) = &mut self.creating
            && deleted.is_none_or(|deleted| deleted == name)
        {
            *fate = Fate::Overtaken;
        }
    }

    /// Takes the answer to a creation unless the API source has told more meanwhile.
    fn created(&mut self, mirror: Pod) -> Option<Arc<Pod>> {
        let (name, mirror) = (name_of(&mirror), Arc::new(mirror));
        let overtaken = self.creating.take().is_some_and(|(_, fate)| fate == Fate::Overtaken);
        let newest = match self.mirrors.get(&name) {
            Some(known) if known.metadata.uid != mirror.metadata.uid => return None,
            Some(known) => newer(known, &mirror),
            None if overtaken => return None,
            None => mirror,
        };
        self.mirrors.insert(name, Arc::clone(&newest));
        Some(newest)
    }

    fn plan(&self, ended: &BTreeSet<String>) -> Vec<Step> {
        let held = self.held.values().cloned().collect();
        plan(&self.statics, &self.mirrors, &held, ended, self.sources)
    }
}

impl std::fmt::Debug for Mirrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mirrors").finish_non_exhaustive()
    }
}

impl Mirrors {
    /// Nothing known yet.
    #[must_use]
    pub fn new(cluster: Arc<dyn Cluster>, statuses: Arc<StatusQueue>) -> Self {
        Self { cluster, statuses, state: Mutex::default(), changed: Notify::new() }
    }

    /// Every source has delivered: a mirror without a static pod is left over.
    pub fn sources_delivered(&self) {
        self.change(|state| state.sources = Sources::Delivered);
    }

    /// A static pod runs, or was changed.
    pub fn static_applied(&self, pod: &Arc<Pod>) {
        self.change(|state| state.applied(pod));
    }

    /// A static pod left its source; its worker is still stopping it.
    pub fn static_stopping(&self, pod: &Pod) {
        self.change(|state| state.stopping(pod));
    }

    /// Nothing is left of a static pod.
    pub fn static_gone(&self, pod: &Pod) {
        self.change(|state| state.gone(pod));
    }

    /// A static pod with the status that its mirror carries, if it has none yet and the mirror has one.
    #[must_use]
    pub fn with_status(&self, pod: &Arc<Pod>) -> Option<Arc<Pod>> {
        if self.statuses.has_ended_before(&PodUid::from(uid_of(pod))) {
            return None;
        }
        recalled(pod, self.state.lock().mirrors.get(&name_of(pod))?)
    }

    /// How many the API server has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state.lock().mirrors.len()
    }

    /// The API source's full list of mirrors.
    pub fn listed(&self, mirrors: Vec<Arc<Pod>>) {
        let names: BTreeSet<_> = mirrors.iter().map(|pod| name_of(pod)).collect();
        let gone: Vec<_> =
            self.state.lock().mirrors.keys().filter(|name| !names.contains(*name)).cloned().collect();
        for (namespace, name) in gone {
            self.statuses.observed_mirror(&namespace, &name, None);
        }
        for mirror in &mirrors {
            let (namespace, name) = name_of(mirror);
            self.statuses.observed_mirror(&namespace, &name, Some(Arc::clone(mirror)));
        }
        self.change(|state| {
            state.overtake(None);
            state.mirrors = mirrors.into_iter().map(|pod| (name_of(&pod), pod)).collect();
            state.listed = true;
        });
    }

    /// A mirror was added or changed.
    pub fn mirror_applied(&self, mirror: &Arc<Pod>) {
        let (namespace, name) = name_of(mirror);
        self.statuses.observed_mirror(&namespace, &name, Some(Arc::clone(mirror)));
        self.change(|state| {
            state.mirrors.insert(name_of(mirror), Arc::clone(mirror));
        });
    }

    /// A mirror is gone.
    pub fn mirror_deleted(&self, mirror: &Pod) {
        let (namespace, name) = name_of(mirror);
        self.change(|state| {
            state.overtake(Some(&name_of(mirror)));
            if state
                .mirrors
                .get(&name_of(mirror))
                .is_some_and(|known| known.metadata.uid == mirror.metadata.uid)
            {
                state.mirrors.remove(&name_of(mirror));
                self.statuses.observed_mirror(&namespace, &name, None);
            }
        });
    }

    /// The answer to a creation.
    fn mirror_created(&self, mirror: Pod) {
        let (namespace, name) = name_of(&mirror);
        self.change(|state| {
            if let Some(newest) = state.created(mirror) {
                self.statuses.observed_mirror(&namespace, &name, Some(newest));
            }
        });
    }

    fn change(&self, with: impl FnOnce(&mut State)) {
        with(&mut self.state.lock());
        self.changed.notify_one();
    }

    /// Works for ever. Mirrors are made while the node's object exists, since they are owned by it: none while it is being
    /// deleted, as it would go with the node at once.
    pub async fn run(self: Arc<Self>) {
        let mut node = self.cluster.node();
        let mut round = Round::Done;
        loop {
            // Cancel-safe: the notification keeps a permit, and the watch its newest value.
            tokio::select! {
                () = self.changed.notified() => {}
                shown = node.changed(), if round == Round::Withheld => if shown.is_err() { return },
            }
            let mut delay = RETRY.0;
            loop {
                let Ok(now) = node.wait_for(Option::is_some).await.map(|node| node.clone()) else { return };
                let Some(now) = now else { continue };
                round = self.round(&now).await;
                if round != Round::Failed {
                    break;
                }
                // Cancel-safe: the notification is spent on the round that follows anyway.
                tokio::select! {
                    () = tokio::time::sleep(delay) => delay = (delay * 2).min(RETRY.1),
                    () = self.changed.notified() => {}
                }
            }
        }
    }

    /// One comparison and its steps.
    async fn round(&self, node: &Node) -> Round {
        let (steps, statics) = {
            let state = self.state.lock();
            if !state.listed {
                return Round::Done;
            }
            (state.plan(&self.statuses.ended_static_pods()), state.statics.clone())
        };
        let mut round = Round::Done;
        let leaving = node.metadata.deletion_timestamp.is_some();
        for step in steps {
            if leaving && matches!(step, Step::Create(_)) {
                if round == Round::Done {
                    round = Round::Withheld;
                }
                continue;
            }
            let result = match &step {
                Step::Delete((namespace, name), uid) => {
                    match self.cluster.delete_pod(namespace, name, uid, 0).await {
                        // It is gone, or another object has its name: the watch will tell.
                        Err(ApiError::NotFound(_) | ApiError::Conflict { .. }) => Ok(()),
                        result => result,
                    }
                }
                Step::Create(name) => match statics.get(name) {
                    Some(pod) => {
                        self.state.lock().creating = Some((name.clone(), Fate::Open));
                        let created = self.cluster.create_pod(&mirror_of(pod, node)).await;
                        created.map(|created| self.mirror_created(created))
                    }
                    None => Ok(()),
                },
            };
            let (Step::Delete(name, _) | Step::Create(name)) = &step;
            match result {
                Ok(()) => {
                    self.state.lock().reported.remove(name);
                }
                // Told by the edge, once for all.
                Err(ApiError::Unreachable { .. }) => round = Round::Failed,
                Err(error) => {
                    self.report(name, &step, &error);
                    round = Round::Failed;
                }
            }
        }
        round
    }

    fn report(&self, name: &Name, step: &Step, error: &ApiError) {
        let text = error.to_string();
        if self.state.lock().reported.insert(name.clone(), text.clone()).as_ref() == Some(&text) {
            return;
        }
        let hint = match (step, error) {
            (Step::Create(_), ApiError::Conflict { .. }) => {
                "another pod of that name exists: rename one of them"
            }
            (Step::Create(_), ApiError::NotFound(_)) => "create the pod's namespace",
            _ => "the static pod runs all the same; only the API server does not show it as it is",
        };
        let pod = format!("{}/{}", name.0, name.1);
        tracing::warn!(
            pod,
            error = text,
            hint,
            "Could not bring the mirror of a static pod up to date; will try again"
        );
    }
}

/// How a round went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// All mirrors are as they should be, or will be when the watch has told.
    Done,
    /// Mirrors are to be made when the node's object is another.
    Withheld,
    /// Something is to be tried again.
    Failed,
}

fn uid_of(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

fn name_of(pod: &Pod) -> Name {
    (pod.metadata.namespace.clone().unwrap_or_default(), pod.metadata.name.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests;

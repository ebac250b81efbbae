//! How far the runtime's hints are trusted, and so, how often it is asked for a list.
//!
//! ```text
//!   Young, lists each second ──a minute──► trusted, lists each minute ◄──5 minutes── doubted, lists each second
//!                                              └──a list shows an end that nothing announced──►┘
//! ```
//! A stream of events that is open may lose some all the same: a runtime may give them to others, or drop them. That shows
//! when a list tells of an end that came without an event. Nothing else counts: what begins and what is removed is mostly
//! our own doing, and not every runtime tells of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lifecycle::{PodUid, observation::RuntimeState};
use seams::runtime::ListedPod;
use tokio::time::Instant;

/// Between two lists while hints are trusted. Upstream lists every second because its list is the truth; here it only
/// catches lost events.
pub(super) const SELDOM: Duration = Duration::from_secs(60);
/// Between two lists otherwise: what upstream takes always.
pub(super) const OFTEN: Duration = Duration::from_secs(1);
/// After the start: what an earlier kubelet has left open may swallow events yet.
const YOUNG: Duration = Duration::from_secs(60);
/// How long hints are doubted after an end that none announced.
const DOUBT: Duration = Duration::from_secs(300);
/// A list may be read just before the event arrives that tells the same: how long that is waited for. Not for longer, since
/// what is done about an end makes events too.
const ON_ITS_WAY: Duration = Duration::from_millis(50);

/// What hints come of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Events,
    /// Lists that the edge makes every second: there is nothing to doubt, and no need for more of them.
    Lists,
}

/// What speaks for and against hints.
#[derive(Debug)]
pub(super) struct Trust {
    doubted_until: Instant,
    source: Source,
    /// Pods of which hints told since the list before the last was begun.
    hinted: BTreeSet<PodUid>,
    /// Of those, the ones since the last list was begun.
    newest: BTreeSet<PodUid>,
    /// Pods in which something ended without a hint as yet, and until when it may come.
    silent: BTreeMap<PodUid, Instant>,
}

impl Trust {
    /// A kubelet has just started.
    pub(super) fn new() -> Self {
        Self {
            doubted_until: Instant::now() + YOUNG,
            source: Source::Events,
            hinted: BTreeSet::new(),
            newest: BTreeSet::new(),
            silent: BTreeMap::new(),
        }
    }

    /// How long after one list the next is due.
    pub(super) fn pause(&self) -> Duration {
        let doubted = self.source == Source::Events && Instant::now() < self.doubted_until;
        if doubted { OFTEN } else { SELDOM }
    }

    /// The edge compares lists by itself.
    pub(super) fn lists_are_made(&mut self) {
        self.source = Source::Lists;
        self.silent.clear();
    }

    /// A hint about a pod.
    pub(super) fn hinted(&mut self, uid: &PodUid) {
        self.silent.remove(uid);
        self.hinted.insert(uid.clone());
        self.newest.insert(uid.clone());
    }

    /// Pods of which hints told since the last list was begun.
    pub(super) fn since_list(&self) -> impl Iterator<Item = &PodUid> {
        self.newest.iter()
    }

    /// A gap in the hints: what ends in it is not held against them.
    pub(super) fn gap(&mut self, known: &BTreeMap<PodUid, ListedPod>) {
        self.source = Source::Events;
        for uid in known.keys() {
            self.hinted(uid);
        }
    }

    /// A list is asked for.
    pub(super) fn begins(&mut self) {
        self.hinted = std::mem::take(&mut self.newest);
    }

    /// It was not answered: what was hinted before it was asked for is not compared with anything yet.
    pub(super) fn failed(&mut self) {
        self.newest.append(&mut self.hinted);
    }

    /// A list was read: compares it with the last.
    pub(super) fn listed(&mut self, before: &BTreeMap<PodUid, ListedPod>, now: &BTreeMap<PodUid, ListedPod>) {
        if self.source == Source::Lists {
            return;
        }
        let until = Instant::now() + ON_ITS_WAY;
        for (uid, pod) in before {
            if has_ended(pod, now.get(uid)) && !self.hinted.contains(uid) {
                self.silent.insert(uid.clone(), until);
            }
        }
    }

    /// When [`Self::judge`] is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.silent.values().min().copied()
    }

    /// Doubts hints for a while if one has not come in time.
    pub(super) fn judge(&mut self) {
        let now = Instant::now();
        let before = self.silent.len();
        self.silent.retain(|_, until| *until > now);
        if self.silent.len() < before {
            if now >= self.doubted_until {
                tracing::info!(
                    "the container runtime did not tell of a container that ended; it is asked for a list every second for a while"
                );
            }
            self.doubted_until = self.doubted_until.max(now + DOUBT);
        }
    }
}

/// Whether something that ran in a pod does not any more.
fn has_ended(before: &ListedPod, now: Option<&ListedPod>) -> bool {
    let runs = |state: &RuntimeState| *state == RuntimeState::Running;
    let (sandboxes, containers) = now.map_or((&[][..], &[][..]), |now| (&now.sandboxes, &now.containers));
    let mut boxes = before.sandboxes.iter().filter(|(_, ready)| *ready);
    let mut living = before.containers.iter().filter(|(_, state)| runs(state));
    boxes.any(|(id, _)| !sandboxes.iter().any(|(other, ready)| other == id && *ready))
        || living.any(|(id, _)| !containers.iter().any(|(other, state)| other == id && runs(state)))
}

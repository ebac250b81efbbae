//! Wakes a worker and says why; several rings before the worker looks are one.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
};

use lifecycle::account::{Digest, ObjectEvent};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Shared by a worker and whoever may wake it.
#[derive(Debug, Default)]
pub struct Bell {
    notify: Notify,
    runtime: AtomicBool,
    events: Mutex<BTreeSet<ObjectEvent>>,
    volumes: AtomicBool,
    known: Mutex<Known>,
}

/// What the worker knew of what the runtime holds when it looked last; `None`: the runtime did not tell.
#[derive(Clone, Copy, Debug)]
struct Known(Option<Digest>);

impl Default for Known {
    /// Nothing yet. What there is will be found by the first look.
    fn default() -> Self {
        Self(Some(Digest::default()))
    }
}

impl Bell {
    /// The runtime's account of the pod may have changed.
    pub fn runtime_changed(&self) {
        self.runtime.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// A list shows this of the pod: rings where the worker does not know it.
    pub(crate) fn listed(&self, shown: Digest) {
        if self.known.lock().0 != Some(shown) {
            self.runtime_changed();
        }
    }

    /// The worker knows this now; `None`: the runtime did not tell.
    pub(crate) fn knows(&self, account: Option<Digest>) {
        self.known.lock().0 = account;
    }

    /// The runtime tells what became of a container or sandbox of the pod.
    pub fn told(&self, event: ObjectEvent) {
        self.events.lock().insert(event);
        self.notify.notify_one();
    }

    /// Something that the pod's volumes show has changed, or wants a refresh.
    pub fn volumes_changed(&self) {
        self.volumes.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// A probe's result has changed; it is read from its owner.
    pub fn probes_changed(&self) {
        self.notify.notify_one();
    }

    /// Waits for a ring; one that came before the call counts.
    pub async fn rung(&self) {
        self.notify.notified().await;
    }

    /// Whether the runtime's account may have changed and nobody has looked yet.
    pub(super) fn is_about_runtime(&self) -> bool {
        self.runtime.load(Ordering::Acquire) || !self.events.lock().is_empty()
    }

    pub(crate) fn take_runtime(&self) -> bool {
        self.runtime.swap(false, Ordering::AcqRel)
    }

    pub(super) fn take_events(&self) -> BTreeSet<ObjectEvent> {
        std::mem::take(&mut self.events.lock())
    }

    pub(super) fn take_volumes(&self) -> bool {
        self.volumes.swap(false, Ordering::AcqRel)
    }
}

//! Wakes a worker and says why; several rings before the worker looks are one.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
};

use lifecycle::ContainerId;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Shared by a worker and whoever may wake it.
#[derive(Debug, Default)]
pub struct Bell {
    notify: Notify,
    runtime: AtomicBool,
    made: Mutex<BTreeSet<ContainerId>>,
    volumes: AtomicBool,
}

impl Bell {
    /// The runtime's account of the pod may have changed.
    pub fn runtime_changed(&self) {
        self.runtime.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// The runtime says that it made a container, or a sandbox, which is one to it.
    pub fn made(&self, id: ContainerId) {
        self.made.lock().insert(id);
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
        self.runtime.load(Ordering::Acquire) || !self.made.lock().is_empty()
    }

    pub(super) fn take_runtime(&self) -> bool {
        self.runtime.swap(false, Ordering::AcqRel)
    }

    pub(super) fn take_made(&self) -> BTreeSet<ContainerId> {
        std::mem::take(&mut self.made.lock())
    }

    pub(super) fn take_volumes(&self) -> bool {
        self.volumes.swap(false, Ordering::AcqRel)
    }
}

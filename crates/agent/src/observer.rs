//! Watches the runtime and rings the bells of the pods concerned.
//!
//! Hints make a change known at once; a slow full relist is the safety net; the runtime's own health is asked for
//! every few seconds. The observer knows no pod: it compares what is listed with what was listed before, and rings.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lifecycle::PodUid;
use node::conditions::NotReady;
use parking_lot::Mutex;
use seams::{
    Runtime,
    runtime::{ListedPod, RuntimeHint, RuntimeStatus},
};
use tokio::sync::{mpsc, watch};

use crate::worker::bell::Bell;

/// `updateRuntimeUp` period (contract §2.3).
const STATUS_PERIOD: Duration = Duration::from_secs(5);
/// The safety net. Upstream lists every second because its list is the truth; here it only catches lost events.
const RELIST_PERIOD: Duration = Duration::from_secs(60);

/// The bells of all workers.
#[derive(Debug, Default)]
pub struct Bells(Mutex<BTreeMap<PodUid, Arc<Bell>>>);

impl Bells {
    /// Adds a worker's bell.
    pub fn add(&self, uid: PodUid, bell: Arc<Bell>) {
        self.0.lock().insert(uid, bell);
    }

    /// Removes a worker's bell.
    pub fn remove(&self, uid: &PodUid) {
        self.0.lock().remove(uid);
    }

    /// The bell of a pod.
    #[must_use]
    pub fn of(&self, uid: &PodUid) -> Option<Arc<Bell>> {
        self.0.lock().get(uid).cloned()
    }

    fn ring_all(&self) {
        for bell in self.0.lock().values() {
            bell.runtime_changed();
        }
    }
}

/// What the observer publishes.
#[derive(Debug)]
pub struct Reports {
    /// CRI `NetworkReady`.
    pub network: watch::Sender<Result<(), String>>,
    /// The runtime's status; `Err` is why it could not be had.
    pub status: watch::Sender<Option<Result<RuntimeStatus, String>>>,
    /// Pods in the runtime that have no worker.
    pub strangers: mpsc::Sender<PodUid>,
}

/// Follows hints and relists. Runs for ever.
pub async fn watch_pods(runtime: Arc<dyn Runtime>, bells: Arc<Bells>, strangers: mpsc::Sender<PodUid>) {
    let mut hints = runtime.hints();
    let mut known: BTreeMap<PodUid, ListedPod> = BTreeMap::new();
    let mut relist = tokio::time::interval(RELIST_PERIOD);
    relist.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        // Both arms are cancel-safe: `recv` and `tick` lose nothing when dropped.
        let hint = tokio::select! {
            hint = hints.recv() => match hint {
                Some(hint) => hint,
                // The edge ended its stream: live on the safety net alone.
                None => { relist.tick().await; RuntimeHint::Everything }
            },
            _ = relist.tick() => {
                relist_once(&*runtime, &bells, &strangers, &mut known).await;
                continue;
            }
        };
        match hint {
            RuntimeHint::Pod(uid) => match bells.of(&uid) {
                Some(bell) => bell.runtime_changed(),
                None => drop(strangers.try_send(uid)),
            },
            RuntimeHint::Everything => {
                // Events may have been lost, so what was listed before proves nothing.
                bells.ring_all();
                relist_once(&*runtime, &bells, &strangers, &mut known).await;
            }
        }
    }
}

async fn relist_once(
    runtime: &dyn Runtime,
    bells: &Bells,
    strangers: &mpsc::Sender<PodUid>,
    known: &mut BTreeMap<PodUid, ListedPod>,
) {
    let pods = match runtime.list_pods().await {
        Ok(pods) => pods,
        Err(error) => {
            tracing::warn!(%error, "Could not list the runtime's pods");
            return;
        }
    };
    let listed: BTreeMap<PodUid, ListedPod> = pods.into_iter().map(|pod| (pod.uid.clone(), pod)).collect();
    for uid in known.keys().filter(|uid| !listed.contains_key(*uid)) {
        if let Some(bell) = bells.of(uid) {
            bell.runtime_changed();
        }
    }
    for (uid, pod) in &listed {
        match bells.of(uid) {
            Some(bell) if known.get(uid) != Some(pod) => bell.runtime_changed(),
            Some(_) => {}
            None => drop(strangers.try_send(uid.clone())),
        }
    }
    *known = listed;
}

/// Asks for the runtime's health. Runs for ever.
pub async fn watch_status(runtime: Arc<dyn Runtime>, reports: Reports) {
    let mut period = tokio::time::interval(STATUS_PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        let status = runtime.status().await.map_err(|error| error.to_string());
        let network = match &status {
            Ok(status) => match &status.network_ready {
                Some(condition) if condition.ready => Ok(()),
                Some(condition) => Err(NotReady::NetworkNotReady(condition.clone()).to_string()),
                None => Err(NotReady::NetworkUnknown.to_string()),
            },
            // Unknown is not "not ready": pods on the way keep their last answer.
            Err(_) => reports.network.borrow().clone(),
        };
        reports.network.send_if_modified(|known| {
            let changed = *known != network;
            *known = network;
            changed
        });
        reports.status.send_if_modified(|known| {
            let new = Some(status);
            let changed = *known != new;
            if changed && let Some(Err(error)) = &new {
                tracing::error!(error, "The container runtime does not answer");
            }
            *known = new;
            changed
        });
    }
}

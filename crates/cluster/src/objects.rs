//! What pods refer to: config maps and secrets, followed one by one while a registered pod needs them.
//!
//! ```text
//!   register: first reference                     immutable
//!   (nothing) ──────────────► Loading ──► Present ──────────► Present, watch closed
//!       ▲                        │  ▲        │ ▲
//!       │                        ▼  │        ▼ │
//!       └── last reference      Failed      Absent
//!           is gone
//! ```
//!
//! Why one watch per object: the node authorizer lets a node read an object only by its name, and only while a pod
//! bound to the node refers to it.
//!
//! Invariants:
//! * an object is in memory only while a registered pod refers to it, once for all of them;
//! * a get never answers from before the object's first list;
//! * a change names every pod that refers to the object, once per change;
//! * a first list that a get did not wait for is a change.

mod entry;
mod refs;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use k8s_openapi::api::{
    authentication::v1::TokenRequest,
    core::v1::{ConfigMap, Pod, Secret},
};
use lifecycle::spec::service_env::ServiceMap;
use parking_lot::Mutex;
use seams::{ApiError, ObjectError, Objects};
use tokio::{
    sync::{mpsc, watch as channel},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    ApiCluster,
    api::{Api, encoded},
    feeds,
    watch::Streaming,
};
use entry::{Object, Slot};
use refs::{Key, Kind};

/// How long a get waits for the first list of its object. Upstream waits 1 s and then fails the pod's sync; waiting a
/// little longer costs nothing here, because nothing polls.
const FIRST_LIST: Duration = Duration::from_secs(3);
/// Waits before a token that was refused is asked for again. The API server grants a token to the node that the pod is
/// bound to, and may hear of the pod or its binding some milliseconds after us, since it watches its own store as we do.
const BINDING_LAG: [Duration; 5] = [
    Duration::from_millis(20),
    Duration::from_millis(40),
    Duration::from_millis(80),
    Duration::from_millis(160),
    Duration::from_millis(320),
];
/// Change notes on their way to the agent.
const CHANGES: usize = 1024;

/// `configMapAndSecretChangeDetectionStrategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChangeDetection {
    /// A watch per object (the default). Changes are reported at once.
    #[default]
    Watch,
    /// Answers are kept for a time. Changes are seen when the volume is looked at again.
    Cache {
        /// Life of an answer: the node's annotation `node.alpha.kubernetes.io/ttl`, or one minute.
        ttl: Duration,
    },
    /// Every get asks the API server.
    Get,
}

/// All followed objects.
pub(crate) struct Store {
    api: Arc<Api>,
    streaming: Arc<Streaming>,
    strategy: ChangeDetection,
    stop: CancellationToken,
    changes: mpsc::Sender<String>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    pods: HashMap<String, BTreeSet<Key>>,
    followed: HashMap<Key, Followed>,
    kept: HashMap<Key, (Instant, Object)>,
}

struct Followed {
    pods: BTreeSet<String>,
    slot: channel::Receiver<Slot>,
    given_up: GivenUp,
    stop: CancellationToken,
}

/// Whether a get has gone without the object's first list. Then that list is news, as a change is.
#[derive(Clone, Debug, Default)]
struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    fn tell(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn told(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Store {
    pub(crate) fn new(
        api: Arc<Api>,
        streaming: Arc<Streaming>,
        strategy: ChangeDetection,
        stop: CancellationToken,
    ) -> (Arc<Self>, mpsc::Receiver<String>) {
        let (changes, receiver) = mpsc::channel(CHANGES);
        let store = Self { api, streaming, strategy, stop, changes, inner: Mutex::default() };
        (Arc::new(store), receiver)
    }

    fn register(self: &Arc<Self>, pod: &Pod) {
        let Some(uid) = pod.metadata.uid.clone() else { return };
        let wanted = refs::of(pod);
        let mut inner = self.inner.lock();
        let before = inner.pods.insert(uid.clone(), wanted.clone()).unwrap_or_default();
        for key in before.difference(&wanted) {
            inner.release(key, &uid);
        }
        for key in wanted.difference(&before) {
            match self.strategy {
                ChangeDetection::Watch => self.follow(&mut inner, key, &uid),
                // The pod that asks next wants to see what was written before the pod was.
                ChangeDetection::Cache { .. } => {
                    inner.kept.remove(key);
                }
                ChangeDetection::Get => {}
            }
        }
    }

    fn follow(self: &Arc<Self>, inner: &mut Inner, key: &Key, uid: &str) {
        let followed = inner.followed.entry(key.clone()).or_insert_with(|| {
            let (sender, slot) = channel::channel(Slot::Loading);
            let stop = self.stop.child_token();
            let given_up = GivenUp::default();
            let task = entry::follow(Arc::clone(self), key.clone(), sender, given_up.clone());
            tokio::spawn(stop.clone().run_until_cancelled_owned(task));
            Followed { pods: BTreeSet::new(), slot, given_up, stop }
        });
        followed.pods.insert(uid.to_owned());
    }

    fn unregister(&self, uid: &str) {
        let mut inner = self.inner.lock();
        for key in inner.pods.remove(uid).unwrap_or_default() {
            inner.release(&key, uid);
        }
    }

    /// Tells the agent which pods refer to a changed object.
    async fn changed(&self, key: &Key) {
        let pods = self.inner.lock().followed.get(key).map(|f| f.pods.clone()).unwrap_or_default();
        for uid in pods {
            // An error only means that nobody listens.
            let _ = self.changes.send(uid).await;
        }
    }

    async fn get(&self, key: Key) -> Result<Object, ObjectError> {
        let slot = {
            let inner = self.inner.lock();
            if let (ChangeDetection::Cache { ttl }, Some((read_at, object))) =
                (self.strategy, inner.kept.get(&key))
                && read_at.elapsed() < ttl
            {
                return Ok(object.clone());
            }
            inner.followed.get(&key).map(|followed| (followed.slot.clone(), followed.given_up.clone()))
        };
        match slot {
            Some((slot, given_up)) => wait(slot, &given_up, &key).await,
            // Not registered, or a strategy without watches.
            None => self.fetch(key).await,
        }
    }

    async fn fetch(&self, key: Key) -> Result<Object, ObjectError> {
        let path = format!(
            "/api/v1/namespaces/{}/{}/{}",
            encoded(&key.namespace),
            key.kind.plural(),
            encoded(&key.name)
        );
        let object = match key.kind {
            Kind::ConfigMap => self.api.get::<ConfigMap>(&path).await.map(|o| Object::ConfigMap(Arc::new(o))),
            Kind::Secret => self.api.get::<Secret>(&path).await.map(|o| Object::Secret(Arc::new(o))),
        };
        match object {
            Ok(object) => {
                let mut inner = self.inner.lock();
                // Only what a registered pod refers to may stay in memory.
                if matches!(self.strategy, ChangeDetection::Cache { .. })
                    && inner.pods.values().any(|keys| keys.contains(&key))
                {
                    inner.kept.insert(key, (Instant::now(), object.clone()));
                }
                Ok(object)
            }
            Err(ApiError::NotFound(_)) => Err(not_found(&key)),
            Err(error) => Err(ObjectError::Unavailable(error.to_string())),
        }
    }
}

impl Inner {
    fn release(&mut self, key: &Key, uid: &str) {
        if let Some(followed) = self.followed.get_mut(key) {
            followed.pods.remove(uid);
            if followed.pods.is_empty() {
                followed.stop.cancel();
                self.followed.remove(key);
            }
        }
        if !self.pods.values().any(|keys| keys.contains(key)) {
            self.kept.remove(key);
        }
    }
}

async fn wait(
    mut slot: channel::Receiver<Slot>,
    given_up: &GivenUp,
    key: &Key,
) -> Result<Object, ObjectError> {
    let settled = slot.wait_for(|slot| matches!(slot, Slot::Present(_) | Slot::Absent));
    let in_time = timeout(FIRST_LIST, settled).await.is_ok_and(|result| result.is_ok());
    if !in_time {
        given_up.tell();
    }
    // Looked at after it was told: either the list is seen here, or whoever brings it sees that it is news.
    let cause = match &*slot.borrow() {
        Slot::Present(object) => return Ok(object.clone()),
        Slot::Absent => return Err(not_found(key)),
        Slot::Failed(message) => message.clone(),
        Slot::Loading => "timed out waiting for the condition".to_owned(),
    };
    Err(ObjectError::Unavailable(format!("failed to sync {} cache: {cause}", key.kind.singular())))
}

fn not_found(key: &Key) -> ObjectError {
    ObjectError::NotFound { kind: key.kind.singular(), name: key.name.clone() }
}

fn key(kind: Kind, namespace: &str, name: &str) -> Key {
    Key { kind, namespace: namespace.to_owned(), name: name.to_owned() }
}

#[async_trait]
impl Objects for ApiCluster {
    fn register(&self, pod: &Pod) {
        self.store.register(pod);
    }

    fn unregister(&self, uid: &str) {
        self.store.unregister(uid);
    }

    async fn config_map(&self, namespace: &str, name: &str) -> Result<Arc<ConfigMap>, ObjectError> {
        match self.store.get(key(Kind::ConfigMap, namespace, name)).await? {
            Object::ConfigMap(object) => Ok(object),
            Object::Secret(_) => {
                Err(ObjectError::Unavailable("a secret in the place of a config map".to_owned()))
            }
        }
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Arc<Secret>, ObjectError> {
        match self.store.get(key(Kind::Secret, namespace, name)).await? {
            Object::Secret(object) => Ok(object),
            Object::ConfigMap(_) => {
                Err(ObjectError::Unavailable("a config map in the place of a secret".to_owned()))
            }
        }
    }

    async fn token(
        &self,
        namespace: &str,
        service_account: &str,
        request: &TokenRequest,
    ) -> Result<TokenRequest, ObjectError> {
        let path = format!(
            "/api/v1/namespaces/{}/serviceaccounts/{}/token",
            encoded(namespace),
            encoded(service_account)
        );
        let mut answer = self.main.create(&path, request).await;
        for wait in BINDING_LAG {
            let is_early = match &answer {
                Err(ApiError::Forbidden(_)) => true,
                Err(ApiError::NotFound(message)) => message.starts_with("pod"),
                _ => false,
            };
            if !is_early {
                break;
            }
            tokio::time::sleep(wait).await;
            answer = self.main.create(&path, request).await;
        }
        match answer {
            Ok(token) => Ok(token),
            Err(ApiError::NotFound(message)) if message.starts_with("serviceaccounts ") => {
                Err(ObjectError::NotFound { kind: "serviceaccounts", name: service_account.to_owned() })
            }
            Err(error) => Err(ObjectError::Unavailable(error.to_string())),
        }
    }

    fn services(&self) -> channel::Receiver<Option<Arc<ServiceMap>>> {
        let mut kept = self.services.lock();
        kept.get_or_insert_with(|| {
            let (sender, receiver) = channel::channel(None);
            let watcher = self.watcher("/api/v1/services", "spec.clusterIP!=None".to_owned());
            self.spawn(feeds::services(watcher, sender));
            receiver
        })
        .clone()
    }

    fn changes(&self) -> mpsc::Receiver<String> {
        self.changes.lock().take().unwrap_or_else(|| {
            tracing::error!(
                "changes of config maps and secrets were asked for twice; the second asker hears nothing"
            );
            mpsc::channel(1).1
        })
    }
}

#[cfg(test)]
mod tests;

//! One followed object.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    Metadata,
    api::core::v1::{ConfigMap, Secret},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::de::DeserializeOwned;
use tokio::sync::watch as channel;

use super::{GivenUp, Key, Kind, Store};
use crate::{
    api::encoded,
    watch::{Backoff, Change, Feed, Watcher},
};

/// First pause after a failure. The node authorizer learns of a new pod a moment after the kubelet does, and answers
/// 403 until then: the pod should not wait for the usual 0.8 s.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// An object in memory.
#[derive(Clone)]
pub(super) enum Object {
    /// A config map.
    ConfigMap(Arc<ConfigMap>),
    /// A secret.
    Secret(Arc<Secret>),
}

/// What is known of an object.
#[derive(Clone)]
pub(super) enum Slot {
    /// Nothing yet.
    Loading,
    /// The first list failed, why; another attempt follows.
    Failed(String),
    /// Its newest state.
    Present(Object),
    /// There is none.
    Absent,
}

/// Follows the object until the task is cancelled, or until it is immutable.
pub(super) async fn follow(store: Arc<Store>, key: Key, slot: channel::Sender<Slot>, given_up: GivenUp) {
    match key.kind {
        Kind::ConfigMap => {
            run(&store, &key, (&slot, &given_up), |object: ConfigMap| {
                let frozen = object.immutable == Some(true);
                (Object::ConfigMap(Arc::new(object)), frozen)
            })
            .await;
        }
        Kind::Secret => {
            run(&store, &key, (&slot, &given_up), |object: Secret| {
                let frozen = object.immutable == Some(true);
                (Object::Secret(Arc::new(object)), frozen)
            })
            .await;
        }
    }
}

async fn run<K>(
    store: &Store,
    key: &Key,
    (slot, given_up): (&channel::Sender<Slot>, &GivenUp),
    wrap: impl Fn(K) -> (Object, bool) + Send,
) where
    K: DeserializeOwned + Metadata<Ty = ObjectMeta> + Send,
{
    let feed = Feed {
        path: format!("/api/v1/namespaces/{}/{}", encoded(&key.namespace), key.kind.plural()),
        fields: format!("metadata.name={}", key.name),
    };
    let backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut watcher = Watcher::<K>::new(Arc::clone(&store.api), Arc::clone(&store.streaming), feed, backoff);
    let mut version: Option<String> = None;
    loop {
        let newest = match watcher.next().await {
            Change::Snapshot(mut all) => all.pop(),
            Change::Applied(object) => Some(object),
            Change::Deleted(_) => None,
            Change::Failed(error) => {
                tracing::debug!(kind = key.kind.singular(), key.namespace, key.name, %error, "cannot follow");
                // What is known stays: a pod keeps working with it while the API server is away.
                slot.send_if_modified(|slot| {
                    let first = matches!(slot, Slot::Loading | Slot::Failed(_));
                    if first {
                        *slot = Slot::Failed(error.to_string());
                    }
                    first
                });
                continue;
            }
        };
        let seen = newest.as_ref().and_then(|object| object.metadata().resource_version.clone());
        let first = matches!(&*slot.borrow(), Slot::Loading);
        let known = matches!(&*slot.borrow(), Slot::Present(_) | Slot::Absent);
        if known && seen == version {
            continue;
        }
        version = seen;
        let (next, frozen) = match newest.map(&wrap) {
            Some((object, frozen)) => (Slot::Present(object), frozen),
            None => (Slot::Absent, false),
        };
        slot.send_replace(next);
        // The first list is no change, unless somebody went on without it.
        if !first || given_up.told() {
            store.changed(key).await;
        }
        if frozen {
            break;
        }
    }
    drop(watcher);
    // Immutable: nothing to listen for any more, but the value lives on as long as somebody refers to it.
    slot.closed().await;
}

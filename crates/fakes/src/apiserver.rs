//! A Kubernetes API server in the test's own process: enough of the real one for `cluster` and `agent`, plus every fault
//! that a network and a control plane have.
//!
//! It listens on a real port (HTTP/1.1 and HTTP/2, plain or TLS), so that what is tested is the real client, its
//! connections included. Objects are JSON, kept by (group, resource, namespace, name) with one revision counter; lists,
//! watches, patches, deletion with grace and the token subresource follow the real server's rules for the resources in
//! [`resources`](self::resources). What it does not do: admission, defaulting beyond a few fields, garbage collection,
//! authentication, authorization, server-side apply, protobuf.
//!
//! Invariants: a watcher sees every change after its revision exactly once and in order, or is told that the revision is
//! gone; a request is recorded before anything happens to it; a fault acts on requests, never on what is stored.

mod delete;
mod faults;
mod patch;
mod query;
mod requests;
mod resources;
mod routes;
mod selectors;
mod serve;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod watching;
mod write;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use k8s_openapi::{Metadata, Resource, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};

pub use faults::{Fault, Faults, Gone, Matching, Network};
pub use requests::Request;
pub use tls::ClientCertificate;

use store::{Key, Store};

/// The fake. Dropping it closes the port and every connection.
pub struct FakeApi {
    shared: Arc<Shared>,
    address: SocketAddr,
    tls: Option<tls::Authority>,
    server: JoinHandle<()>,
}

/// Answers a POST instead of the store: gets the body, gives the answer's.
type Responder = Arc<dyn Fn(Value) -> Value + Send + Sync>;

/// What the tasks of the server share.
struct Shared {
    store: Mutex<Store>,
    faults: Mutex<faults::Rules>,
    requests: Mutex<Vec<Request>>,
    responders: Mutex<std::collections::BTreeMap<String, Responder>>,
    signals: watch::Sender<Signals>,
}

/// What watchers and connections wait for.
#[derive(Clone, Debug, Default)]
struct Signals {
    /// Revision of the newest change.
    revision: u64,
    /// Counts requests to end all watches.
    watches_closed: u64,
    /// Counts requests to cut all connections.
    severed: u64,
    /// Counts requests to send a bookmark.
    bookmarks: u64,
    /// State of the network.
    network: Network,
}

impl Shared {
    fn signal(&self, change: impl FnOnce(&mut Signals)) {
        self.signals.send_modify(change);
    }
}

impl FakeApi {
    /// Start on a free port of 127.0.0.1, plain HTTP.
    ///
    /// # Panics
    /// No port can be bound.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Start with TLS and a certificate authority of its own; offers h2 and http/1.1, and takes client certificates of that
    /// authority without wanting one.
    ///
    /// # Panics
    /// No port can be bound, or no certificate made.
    pub async fn start_tls() -> Self {
        Self::start_with(Some(tls::Authority::new())).await
    }

    async fn start_with(tls: Option<tls::Authority>) -> Self {
        let shared = Arc::new(Shared {
            store: Mutex::default(),
            faults: Mutex::default(),
            requests: Mutex::default(),
            responders: Mutex::default(),
            signals: watch::Sender::new(Signals::default()),
        });
        let listener = serve::listen(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = serve::address(&listener);
        let acceptor = tls.as_ref().map(tls::Authority::acceptor);
        let server = tokio::spawn(serve::run(Arc::clone(&shared), listener, acceptor));
        Self { shared, address, tls, server }
    }

    /// `http://127.0.0.1:PORT` or `https://…`; stays the same over [`Faults::network`] changes.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The authority's certificate in PEM; `None` without TLS.
    #[must_use]
    pub fn ca_pem(&self) -> Option<String> {
        self.tls.as_ref().map(tls::Authority::pem)
    }

    /// A client certificate of the authority, valid for longer than any test; `None` without TLS.
    /// The organization is what the real server takes for a group, `system:nodes` for example. Requests made with it are recorded
    /// with its common name.
    #[must_use]
    pub fn client_certificate(&self, common_name: &str, organization: &str) -> Option<ClientCertificate> {
        self.tls.as_ref().map(|tls| tls.client(common_name, organization))
    }

    /// Make things go wrong.
    #[must_use]
    pub fn faults(&self) -> Faults<'_> {
        Faults { shared: &self.shared }
    }

    /// Store an object as it is given, as another client with full rights would: created, or replaced with its status.
    /// uid, creationTimestamp and resourceVersion are filled in. Gives what is stored.
    ///
    /// # Panics
    /// The object has no name.
    pub fn put<K>(&self, object: K) -> K
    where
        K: Resource + Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned,
    {
        let mut value = to_value(&object);
        value["apiVersion"] = K::API_VERSION.into();
        value["kind"] = K::KIND.into();
        let key = key_of::<K>(object.metadata());
        let revision;
        let stored = {
            let mut store = self.shared.store.lock();
            let stored = store.put(key, value);
            revision = store.revision();
            stored
        };
        self.shared.signal(|signals| signals.revision = revision);
        from_value(stored)
    }

    /// What is stored. The namespace is empty for what has none.
    #[must_use]
    pub fn get<K>(&self, namespace: &str, name: &str) -> Option<K>
    where
        K: Resource + DeserializeOwned,
    {
        self.shared.store.lock().get(&key::<K>(namespace, name)).cloned().map(from_value)
    }

    /// Every object of that kind, in the order of namespace and name.
    #[must_use]
    pub fn all<K>(&self) -> Vec<K>
    where
        K: Resource + DeserializeOwned,
    {
        let store = self.shared.store.lock();
        store.of(K::GROUP, K::URL_PATH_SEGMENT).map(|(_, value)| from_value(value.clone())).collect()
    }

    /// Change an object in place, as another client would. `None` if it does not exist.
    pub fn update<K>(&self, namespace: &str, name: &str, change: impl FnOnce(&mut K)) -> Option<K>
    where
        K: Resource + Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned,
    {
        let mut object = self.get::<K>(namespace, name)?;
        change(&mut object);
        Some(self.put(object))
    }

    /// Take an object out, at once and whatever its finalizers. Tells whether it was there.
    pub fn remove<K: Resource>(&self, namespace: &str, name: &str) -> bool {
        let (removed, revision) = {
            let mut store = self.shared.store.lock();
            (store.remove(&key::<K>(namespace, name)).is_some(), store.revision())
        };
        self.shared.signal(|signals| signals.revision = revision);
        removed
    }

    /// Wait until an object is so that `wanted` says yes, and give it; `None` when the bound passes first.
    pub async fn wait_for<K>(
        &self,
        namespace: &str,
        name: &str,
        bound: Duration,
        wanted: impl Fn(&K) -> bool,
    ) -> Option<K>
    where
        K: Resource + DeserializeOwned,
    {
        self.wait_until(bound, || self.get::<K>(namespace, name).filter(|object| wanted(object))).await
    }

    /// Wait until `look` finds something; it is asked after each change of the store and each request. `None` when the
    /// bound passes first.
    pub async fn wait_until<T>(&self, bound: Duration, look: impl Fn() -> Option<T>) -> Option<T> {
        let mut changes = self.shared.signals.subscribe();
        let found = async {
            loop {
                changes.borrow_and_update();
                if let Some(found) = look() {
                    return Some(found);
                }
                if changes.changed().await.is_err() {
                    return None;
                }
            }
        };
        tokio::time::timeout(bound, found).await.ok().flatten()
    }

    /// Every request so far, in the order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().clone()
    }

    /// How many requests so far are like this.
    #[must_use]
    pub fn count(&self, matching: &Matching) -> usize {
        self.shared.requests.lock().iter().filter(|request| matching.matches(request)).count()
    }

    /// Answer POSTs to a resource (its plural name: `tokenreviews`, `subjectaccessreviews`) by a function of the body, with
    /// 201. Nothing is stored.
    pub fn respond(&self, plural: &str, responder: impl Fn(Value) -> Value + Send + Sync + 'static) {
        self.shared.responders.lock().insert(plural.to_owned(), Arc::new(responder));
    }

    /// Forget the past, as etcd's compaction does: watches from an older revision are told that it is gone.
    pub fn compact(&self) {
        self.shared.store.lock().compact();
    }

    /// Send a bookmark to each watch that asked for them.
    pub fn send_bookmarks(&self) {
        self.shared.signal(|signals| signals.bookmarks += 1);
    }

    /// Revision of the newest change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.shared.store.lock().revision()
    }
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn key<K: Resource>(namespace: &str, name: &str) -> Key {
    Key {
        group: K::GROUP.to_owned(),
        plural: K::URL_PATH_SEGMENT.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn key_of<K: Resource>(metadata: &ObjectMeta) -> Key {
    let name = metadata.name.as_deref().unwrap_or_default();
    assert!(!name.is_empty(), "an object of kind {} wants a name", K::KIND);
    key::<K>(metadata.namespace.as_deref().unwrap_or_default(), name)
}

fn to_value(object: &impl Serialize) -> Value {
    match serde_json::to_value(object) {
        Ok(value) => value,
        Err(error) => unreachable!("API types serialise: {error}"),
    }
}

/// # Panics
/// What a client stored is not of the type that the test asks for: the test should know.
fn from_value<K: DeserializeOwned>(value: Value) -> K {
    match serde_json::from_value(value.clone()) {
        Ok(object) => object,
        Err(error) => unreachable!("the stored object is not what the test takes it for: {error}: {value}"),
    }
}

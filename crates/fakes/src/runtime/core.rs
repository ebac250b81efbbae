//! The runtime's memory, and what a test may do to it behind the caller's back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use proto::cri::{
    ContainerConfig, ContainerEventResponse, ContainerEventType, ContainerState, Image, Int64Value,
    NamespaceMode, PodSandboxConfig, PodSandboxState,
};
use tokio::{
    sync::{broadcast, watch},
    time::Instant,
};
use tonic::{Code, Status};

use super::{
    calls::{Call, Calls},
    script::{ContainerScript, Fault, ImageScript, Planned, Script, When},
};

/// A sandbox.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// Id.
    pub id: String,
    /// As it was asked for.
    pub config: PodSandboxConfig,
    /// Handler that was asked for.
    pub handler: String,
    /// State.
    pub state: PodSandboxState,
    /// Nanoseconds since the epoch.
    pub created_at: i64,
    /// Address; empty with host network.
    pub ip: String,
}

/// A container.
#[derive(Clone, Debug)]
pub struct Container {
    /// Id.
    pub id: String,
    /// Sandbox.
    pub sandbox: String,
    /// As it was asked for.
    pub config: ContainerConfig,
    /// State.
    pub state: ContainerState,
    /// Nanoseconds since the epoch; 0 is not yet.
    pub created_at: i64,
    /// Likewise.
    pub started_at: i64,
    /// Likewise.
    pub finished_at: i64,
    /// Exit code.
    pub exit_code: i32,
    /// Runtime's reason.
    pub reason: String,
    /// Absolute path of its log.
    pub log_path: String,
}

impl Container {
    /// Name in the spec.
    #[must_use]
    pub fn name(&self) -> &str {
        self.config.metadata.as_ref().map(|m| m.name.as_str()).unwrap_or_default()
    }

    /// Attempt.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.config.metadata.as_ref().map_or(0, |m| m.attempt)
    }
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) sandboxes: BTreeMap<String, Sandbox>,
    pub(crate) containers: BTreeMap<String, Container>,
    pub(crate) images: BTreeMap<String, Image>,
    /// Names handed out: (uid, attempt) and (uid, name, attempt).
    pub(crate) reserved: BTreeSet<String>,
    pub(crate) script: Script,
    pub(crate) calls: Calls,
    next: i64,
}

/// The runtime. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Core {
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) events: broadcast::Sender<ContainerEventResponse>,
    changed: watch::Sender<u64>,
    /// Bumped to end every event stream.
    pub(crate) streams: watch::Sender<u64>,
    began: (Instant, i64),
}

impl Default for Core {
    fn default() -> Self {
        Self::new()
    }
}

impl Core {
    /// An empty runtime.
    #[must_use]
    pub fn new() -> Self {
        let wall = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(0);
        Self {
            state: Arc::default(),
            events: broadcast::channel(1024).0,
            changed: watch::channel(0).0,
            streams: watch::channel(0).0,
            began: (Instant::now(), wall),
        }
    }

    /// Nanoseconds since the epoch, never the same twice.
    pub(crate) fn stamp(&self, state: &mut State) -> i64 {
        let since = i64::try_from(self.began.0.elapsed().as_nanos()).unwrap_or(i64::MAX);
        state.next = (self.began.1.saturating_add(since)).max(state.next + 1);
        state.next
    }

    /// Something changed: wakes [`Core::until`].
    pub(crate) fn touch(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    pub(crate) fn emit(&self, state: &mut State, id: &str, kind: ContainerEventType, sandbox: &str) {
        self.touch();
        if state.script.lose_events > 0 {
            state.script.lose_events -= 1;
            return;
        }
        let now = self.stamp(state);
        let event = ContainerEventResponse {
            container_id: id.to_owned(),
            container_event_type: kind as i32,
            created_at: now,
            pod_sandbox_status: state.sandboxes.get(sandbox).map(Self::sandbox_status),
            containers_statuses: Vec::new(),
        };
        // Nobody listening is fine.
        let _ = self.events.send(event);
    }

    /// Enters a call: records it and lets a fault strike before its effect.
    pub(crate) async fn enter(&self, method: &'static str, object: &str) -> Result<Guard, Status> {
        let fault = {
            let mut state = self.state.lock();
            state.calls.enter(method, object);
            state.script.strike(method, When::Before)
        };
        self.touch();
        let guard = Guard { core: self.clone(), method };
        suffer(fault).await?;
        Ok(guard)
    }

    /// Plans a fault for a CRI method: for every call (`times` `None`), or for the next so many.
    pub fn plan(&self, method: &'static str, fault: Fault, when: When, times: Option<u32>) {
        self.state.lock().script.faults.insert(method, Planned { fault, when, left: times });
    }

    /// The method works again. Calls that already hang go on hanging.
    pub fn heal(&self, method: &'static str) {
        self.state.lock().script.faults.remove(method);
    }

    /// Says how containers of a name live.
    pub fn script_container(&self, name: &str, script: ContainerScript) {
        self.state.lock().script.containers.insert(name.to_owned(), script);
    }

    /// Says what pulling an image does.
    pub fn script_image(&self, image: &str, script: ImageScript) {
        self.state.lock().script.images.insert(image.to_owned(), script);
    }

    /// Puts an image there, with the user it names, if any.
    pub fn add_image(&self, image: &str, uid: Option<i64>, username: &str) {
        let mut state = self.state.lock();
        let image = Image {
            id: id_of_image(image),
            repo_tags: vec![image.to_owned()],
            size: 1_000_000,
            uid: uid.map(|value| Int64Value { value }),
            username: username.to_owned(),
            ..Default::default()
        };
        state.images.insert(image.id.clone(), image);
        drop(state);
        self.touch();
    }

    /// The next so many events are lost.
    pub fn lose_events(&self, count: u32) {
        self.state.lock().script.lose_events = count;
    }

    /// Whether the event stream exists, as in containerd 2, or not, as in 1.6.
    pub fn events_supported(&self, supported: bool) {
        self.state.lock().script.no_events = !supported;
    }

    /// What the runtime says it is, such as `containerd`, `v1.7.24`.
    pub fn runtime_is(&self, name: &str, version: &str) {
        self.state.lock().script.identity = Some((name.to_owned(), version.to_owned()));
    }

    /// Name and version.
    pub(crate) fn identity(&self) -> (String, String) {
        let scripted = self.state.lock().script.identity.clone();
        scripted.unwrap_or_else(|| ("fake".to_owned(), "1.0.0".to_owned()))
    }

    /// Whether `RuntimeConfig` exists.
    pub fn runtime_config_supported(&self, supported: bool) {
        self.state.lock().script.no_runtime_config = !supported;
    }

    /// Conditions of `Status`: reason and message of what is not ready.
    pub fn set_ready(&self, runtime: Result<(), (&str, &str)>, network: Result<(), (&str, &str)>) {
        let own = |r: Result<(), (&str, &str)>| r.err().map(|(a, b)| (a.to_owned(), b.to_owned()));
        let mut state = self.state.lock();
        state.script.not_ready = own(runtime);
        state.script.network_not_ready = own(network);
    }

    /// Ends all event streams.
    pub fn break_event_streams(&self) {
        self.streams.send_modify(|n| *n += 1);
    }

    /// A container exits by itself.
    pub fn exit_container(&self, id: &str, code: i32) {
        self.finish(id, code, "");
    }

    /// The runtime learns why a container ended, and tells nobody.
    pub fn learn_reason(&self, id: &str, reason: &str) {
        if let Some(container) = self.state.lock().containers.get_mut(id) {
            reason.clone_into(&mut container.reason);
        }
    }

    /// A sandbox dies, its containers with it.
    pub fn kill_sandbox(&self, id: &str) {
        self.stop_sandbox_now(id);
    }

    /// Every sandbox, oldest first.
    #[must_use]
    pub fn sandboxes(&self) -> Vec<Sandbox> {
        let mut all: Vec<Sandbox> = self.state.lock().sandboxes.values().cloned().collect();
        all.sort_by_key(|s| s.created_at);
        all
    }

    /// Every container, oldest first.
    #[must_use]
    pub fn containers(&self) -> Vec<Container> {
        let mut all: Vec<Container> = self.state.lock().containers.values().cloned().collect();
        all.sort_by_key(|c| c.created_at);
        all
    }

    /// Every call so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state.lock().calls.all.clone()
    }

    /// How often a method was called.
    #[must_use]
    pub fn count(&self, method: &str) -> usize {
        self.state.lock().calls.all.iter().filter(|c| c.method == method).count()
    }

    /// Calls of a method that have not been answered.
    #[must_use]
    pub fn in_flight(&self, method: &str) -> usize {
        self.state.lock().calls.in_flight(method)
    }

    /// Most calls of a method that were ever unanswered together.
    #[must_use]
    pub fn most_in_flight(&self, method: &str) -> usize {
        self.state.lock().calls.most_in_flight(method)
    }

    /// Waits until a condition holds.
    ///
    /// # Errors
    /// It did not hold within `limit`; `what` names it.
    pub async fn until(
        &self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut(&Self) -> bool,
    ) -> Result<(), String> {
        let mut changes = self.changed.subscribe();
        let wait = async {
            // `changed` only fails when the core is gone, and we hold it.
            while !condition(self) && changes.changed().await.is_ok() {}
        };
        tokio::time::timeout(limit, wait).await.map_err(|_| format!("not within {limit:?}: {what}"))
    }

    pub(crate) fn script_of(state: &State, name: &str) -> ContainerScript {
        state.script.containers.get(name).cloned().unwrap_or_default()
    }
}

pub(crate) fn id_of_image(image: &str) -> String {
    if image.starts_with("sha256:") { image.to_owned() } else { format!("sha256:id-of-{image}") }
}

pub(crate) fn is_host_network(config: &PodSandboxConfig) -> bool {
    let context = config.linux.as_ref().and_then(|l| l.security_context.as_ref());
    let options = context.and_then(|c| c.namespace_options.as_ref());
    options.is_some_and(|o| o.network == NamespaceMode::Node as i32)
}

/// A call being worked on.
#[derive(Debug)]
pub(crate) struct Guard {
    core: Core,
    method: &'static str,
}

impl Guard {
    /// Lets a fault strike after the effect.
    pub(crate) async fn leave<T>(self, answer: T) -> Result<T, Status> {
        let fault = self.core.state.lock().script.strike(self.method, When::After);
        suffer(fault).await?;
        Ok(answer)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.core.state.lock().calls.leave(self.method);
        self.core.touch();
    }
}

async fn suffer(fault: Option<Fault>) -> Result<(), Status> {
    match fault {
        None => Ok(()),
        Some(Fault::Fail(code, message)) => Err(Status::new(code, message)),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Panic) => std::panic::resume_unwind(Box::new("a planned panic")),
        Some(Fault::Delay(time)) => {
            tokio::time::sleep(time).await;
            Ok(())
        }
    }
}

pub(crate) fn not_found(what: &str, id: &str) -> Status {
    Status::new(Code::NotFound, format!("an error occurred when try to find {what} {id:?}: not found"))
}

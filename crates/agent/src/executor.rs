//! Runs actions. Decides nothing: every choice was made by `decide`, every value comes from the pod, the settings or
//! the world.
//!
//! Each action is idempotent and may be cancelled by dropping its future; what it did by then is found by the next
//! inspection.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    future::Future,
    sync::Arc,
};

use k8s_openapi::api::core::v1::{Container, Pod};
use lifecycle::{
    Action, ContainerId, ContainerName, Done, Failure, FailureStep, Observation, PodKey, PodSource,
    observation::{NodeFacts, RuntimePod, RuntimeState},
    reason::ContainerRef,
    spec::containers,
};
use parking_lot::Mutex;
use seams::{
    RuntimeError,
    runtime::{HandlerInfo, ImageInfo},
    volumes::MountedVolume,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::{
    config::AgentConfig, edges::Edges, events::EventSink, images::Images, log_rotation::Notices,
    node_status::DeviceCheckpoint, observer::RuntimeHealth, user_namespaces::UserNamespaces,
};

mod container;
mod devices;
mod directories;
mod environment;
mod hooks;
mod mounts;
mod resources;
mod sandbox;
mod teardown;
mod turns;

pub(crate) use turns::Turns;

/// Runs actions of all pods.
#[derive(Debug)]
pub struct Executor {
    /// Settings.
    pub config: AgentConfig,
    /// The world.
    pub edges: Edges,
    /// Image pulls.
    pub images: Images,
    /// Who may have something made or started.
    pub(crate) turns: Turns,
    /// Takes events.
    pub events: EventSink,
    /// The node's allocatable by resource name, for the downward API and memory volumes.
    pub allocatable: watch::Receiver<BTreeMap<String, String>>,
    /// The runtime's newest status: what its handlers can do.
    pub runtime: watch::Receiver<RuntimeHealth>,
    /// Is told whose logs grow.
    pub logs: Notices,
    /// What device plugins had registered with the kubelet before.
    pub devices: Arc<DeviceCheckpoint>,
    /// Ids of pods with user namespaces of their own.
    pub users: Arc<UserNamespaces>,
}

/// What the executor has learnt about one pod while its worker lives. A cache: all of it can be had again.
#[derive(Debug)]
pub struct PodSession {
    /// Whose.
    pub key: PodKey,
    mounted: Mutex<BTreeMap<String, MountedVolume>>,
    images: Mutex<HashMap<ContainerName, ImageInfo>>,
    /// Containers whose preStop hook runs before they are stopped, and until when it may.
    hooks: Mutex<HashMap<ContainerId, watch::Sender<Instant>>>,
    /// Containers whose postStart hook runs. Told when the container has ended: nobody waits for the hook then.
    post_starts: Mutex<HashMap<ContainerId, Arc<Notify>>>,
    /// Likewise those whose preStop hook runs before their turn to be stopped.
    pre_stops: Mutex<HashMap<ContainerId, Arc<Notify>>>,
}

impl PodSession {
    /// Nothing learnt yet.
    #[must_use]
    pub fn new(key: PodKey) -> Self {
        Self {
            key,
            mounted: Mutex::default(),
            images: Mutex::default(),
            hooks: Mutex::default(),
            post_starts: Mutex::default(),
            pre_stops: Mutex::default(),
        }
    }

    /// Lets go of hooks in containers that have ended, be it by themselves: a server that is silent would keep the pod.
    pub(crate) fn seen(&self, runtime: &RuntimePod) {
        for hooks in [&self.post_starts, &self.pre_stops] {
            for (id, hook) in &*hooks.lock() {
                let mut records = runtime.containers.iter();
                if !records.any(|record| record.id == *id && record.state != RuntimeState::Exited) {
                    hook.notify_one();
                }
            }
        }
    }

    /// A container was stopped.
    fn stopped(&self, id: &ContainerId) {
        for hooks in [&self.post_starts, &self.pre_stops] {
            if let Some(hook) = hooks.lock().get(id) {
                hook.notify_one();
            }
        }
    }
}

/// A hook that others may find by its container, for as long as it runs: also one whose task dies leaves.
struct Listed<'a, T> {
    hooks: &'a Mutex<HashMap<ContainerId, T>>,
    id: &'a ContainerId,
}

impl<'a, T> Listed<'a, T> {
    fn new(hooks: &'a Mutex<HashMap<ContainerId, T>>, id: &'a ContainerId, handle: T) -> Self {
        hooks.lock().insert(id.clone(), handle);
        Self { hooks, id }
    }
}

impl<T> Drop for Listed<'_, T> {
    fn drop(&mut self) {
        self.hooks.lock().remove(self.id);
    }
}

/// The pod at the moment an action was decided.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    session: Arc<PodSession>,
    pod: Arc<Pod>,
    source: PodSource,
    node: NodeFacts,
    /// Addresses of the newest ready sandbox.
    pod_ips: Vec<String>,
    runtime: Option<RuntimePod>,
}

impl Scene {
    fn new(session: Arc<PodSession>, pod: Arc<Pod>, source: PodSource, seen: &Observation) -> Self {
        let runtime = seen.runtime.as_ref().ok().cloned();
        let sandbox = runtime.as_ref().and_then(|pod| pod.sandboxes.iter().find(|sandbox| sandbox.ready));
        let node = seen.node.clone();
        let pod_ips = match sandbox {
            Some(sandbox) if sandbox.host_network => node.host_ips.clone(),
            Some(sandbox) => sandbox.ips.clone(),
            None => Vec::new(),
        };
        Self { session, pod, source, node, pod_ips, runtime }
    }

    /// A container of the spec, of whatever kind, with the field path that events about it carry.
    fn container(&self, name: &ContainerName) -> Option<(Cow<'_, Container>, String)> {
        let (kind, container) = containers::find(self.pod.spec.as_ref()?, name.as_str())?;
        Some((container, ContainerRef { kind, name: name.clone() }.field_path()))
    }
}

impl Executor {
    /// The future that carries out an action.
    pub fn job(
        self: Arc<Self>,
        action: Action,
        session: Arc<PodSession>,
        pod: Arc<Pod>,
        source: PodSource,
        seen: &Observation,
    ) -> impl Future<Output = Result<Done, Failure>> + Send + 'static {
        let scene = Scene::new(session, pod, source, seen);
        async move { self.run(action, &scene).await }
    }

    /// Whether a runtime handler (empty: the default one) says that it can do something.
    fn handler_can(&self, handler: &str, feature: impl Fn(&HandlerInfo) -> bool) -> bool {
        let runtime = self.runtime.borrow();
        let mut handlers = runtime.status.iter().flat_map(|status| &status.handlers);
        handlers.any(|known| known.name == handler && feature(known))
    }

    async fn run(&self, action: Action, scene: &Scene) -> Result<Done, Failure> {
        match action {
            Action::PrepareDirs => self.prepare_directories(scene).await,
            Action::EnsureCgroup => self.ensure_cgroup(scene).await,
            Action::MountVolumes => self.mount_volumes(scene).await,
            Action::CreateSandbox { attempt } => self.create_sandbox(scene, attempt).await,
            Action::StopSandbox { id } => self.stop_sandbox(scene, &id).await,
            Action::EnsureImage { container } => self.ensure_image(scene, &container).await,
            Action::FindImage { container } => self.find_image(scene, &container).await,
            Action::CreateContainer { container, attempt, sandbox, image_ref } => {
                self.create_container(scene, &container, attempt, sandbox, image_ref).await
            }
            Action::StartContainer { id, container } => self.start_container(scene, &container, &id).await,
            Action::StopContainer { id, container, grace, run_pre_stop } => {
                self.stop_container(scene, &container, &id, grace, run_pre_stop).await
            }
            Action::HurryContainer { id, grace, .. } => self.hurry_container(scene, &id, grace).await,
            Action::RunPreStop { id, container, grace } => {
                self.run_pre_stop(scene, &container, &id, grace).await
            }
            Action::RemoveContainer { id, log } => self.remove_container(&id, log).await,
            Action::RemoveSandbox { id } => self.remove_sandbox(&id).await,
            Action::UnmountVolumes => self.unmount_volumes(scene).await,
            Action::RemoveCgroup => self.remove_cgroup(scene).await,
            Action::RemoveDirs => self.remove_directories(scene).await,
        }
    }
}

/// A failure with a text.
fn failed(step: FailureStep, message: impl Into<String>) -> Failure {
    Failure::new(step, message)
}

/// A failed call to the runtime, told in the words that upstream has for this step.
fn runtime_failed(step: FailureStep, error: &RuntimeError, told: String) -> Failure {
    Failure::new(step, told).because_of(error.obstacle())
}

/// A container that the spec does not have (any more).
fn no_such_container(step: FailureStep, name: &ContainerName) -> Failure {
    failed(step, format!("the pod's spec has no container \"{name}\""))
}

#[cfg(test)]
mod tests {
    use lifecycle::observation::ContainerRecord;

    use super::*;

    #[tokio::test]
    async fn hooks_are_let_go_with_their_containers() {
        let key = PodKey { namespace: "ns".into(), name: "p".into(), uid: "u".into() };
        let session = PodSession::new(key);
        let record = |id: &str, state| ContainerRecord {
            state,
            ..ContainerRecord::created(id, id, 0, "s", jiff::Timestamp::UNIX_EPOCH)
        };
        let ids: [ContainerId; 4] = ["made", "runs", "ended", "gone"].map(Into::into);
        let hooks = [&session.post_starts, &session.pre_stops];
        let listed = hooks.map(|hooks| {
            ids.each_ref().map(|id| {
                let told = Arc::new(Notify::new());
                (Listed::new(hooks, id, Arc::clone(&told)), told)
            })
        });
        session.seen(&RuntimePod {
            sandboxes: Vec::new(),
            containers: vec![
                record("made", RuntimeState::Created),
                record("runs", RuntimeState::Running),
                record("ended", RuntimeState::Exited),
            ],
        });
        for list in &listed {
            let mut told = Vec::new();
            for (_, notify) in list {
                told.push(futures::poll!(std::pin::pin!(notify.notified())).is_ready());
            }
            assert_eq!(told, [false, false, true, true]);
        }
        session.stopped(&ids[1]);
        assert!(futures::poll!(std::pin::pin!(listed[0][1].1.notified())).is_ready());
        drop(listed);
        assert!(hooks.iter().all(|hooks| hooks.lock().is_empty()));
    }
}

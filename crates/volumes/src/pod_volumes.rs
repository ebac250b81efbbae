//! All volumes of all pods: the implementation of [`Volumes`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Volume};
use lifecycle::{
    PodUid,
    spec::{
        env::{EnvFile, EnvFileFailure},
        mounts,
        quote::go_quote,
    },
};
use metrics::{End, Metrics};
use seams::{
    Clock, Objects, VolumeError, Volumes,
    volumes::{MountedVolume, VolumeContext},
};
use tokio::time::Instant;

use crate::{
    counts::{Counts, plugin_name},
    empty_dir::Medium,
    env_file,
    error::SetUpError,
    host_path::Checked,
    lanes::Lanes,
    layout::PodPaths,
    pods_dir,
    retry::Retries,
    sub_path, teardown,
    tokens::Tokens,
};

mod plan;
mod set_up;

use plan::{Failed, Plan, Planner};

/// Settings that do not change while the kubelet runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// `--root-dir`, `/var/lib/kubelet` by default. Pods are below `pods`, which may be a symbolic link.
    pub root_dir: PathBuf,
}

/// The volumes of all pods.
pub struct PodVolumes {
    config: Config,
    objects: Option<Arc<dyn Objects>>,
    clock: Arc<dyn Clock>,
    tokens: Tokens,
    retries: Arc<Retries>,
    host_paths: Arc<Checked>,
    lanes: Lanes,
    counts: Arc<Counts>,
}

impl PodVolumes {
    /// Volumes below `config.root_dir`. Without `objects` (standalone), volumes that need the API server fail with a
    /// clear text.
    #[must_use]
    pub fn new(
        config: Config,
        objects: Option<Arc<dyn Objects>>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let counts = Counts::new(metrics);
        let (tokens, retries, lanes) = (Tokens::default(), Arc::default(), Lanes::default());
        Self { config, objects, clock, tokens, retries, host_paths: Arc::default(), lanes, counts }
    }
}

fn set_up_failed(volume: &str, message: String) -> VolumeError {
    VolumeError::SetUp { volume: volume.to_owned(), message, obstacle: None }
}

type Mounted = Result<BTreeMap<String, MountedVolume>, Vec<VolumeError>>;

/// A volume, its plugin, and what to do.
type Planned = (String, &'static str, Result<Plan, Failed>);

/// Why a container does not get its sub path, as far as the pod's author is told.
enum NoSubPath {
    /// The volume itself is not there: the whole text, which tells no more of the node than where that should be.
    NoVolume(String),
    /// The step that failed, and the cause, which is for the log: the author does not learn about the node's files.
    Step(&'static str, String),
}

/// Whether what is in a pod's volumes is what should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contents {
    Fresh,
    /// Of some at least, an older set serves.
    Old,
}

/// The blocking half of a mount: every plan, one after the other.
fn carry_out(
    root_dir: &Path,
    pod: &Pod,
    plans: Vec<Planned>,
    now: Timestamp,
    counts: &Counts,
    host_paths: &Checked,
) -> (Mounted, Contents) {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let ready = pods_dir::make(root_dir).and_then(|root| {
        let paths = PodPaths::new(uid).map_err(|error| error.to_string())?;
        Ok((root, paths))
    });
    let (root, paths) = match ready {
        Ok(ready) => ready,
        Err(message) => {
            let failed = plans.iter().map(|(volume, ..)| set_up_failed(volume, message.clone()));
            return (Err(failed.collect()), Contents::Fresh);
        }
    };
    let worker = set_up::Worker { root: &root, paths: &paths, pod, now, host_paths };
    let mut mounted = BTreeMap::new();
    let mut errors = Vec::new();
    let mut plugins = Vec::new();
    let mut contents = Contents::Fresh;
    for (volume, plugin, plan) in plans {
        let began = Instant::now();
        let result = match plan {
            Ok(plan) => worker.set_up(&volume, plan),
            Err(Failed::Kind(kind)) => {
                errors.push(VolumeError::Unsupported { volume, kind });
                continue;
            }
            Err(Failed::Contents { plugin, error }) => {
                let old = worker.serve_old(&volume, plugin, error);
                if old.is_ok() {
                    contents = Contents::Old;
                }
                old
            }
            Err(Failed::Other(error)) => Err(error),
        };
        counts.set_up(plugin, began.elapsed(), End::of(&result));
        match result {
            Ok(found) => {
                plugins.push(plugin);
                mounted.insert(volume, found);
            }
            Err(error) => {
                let (message, obstacle) = (error.to_string(), error.obstacle());
                errors.push(VolumeError::SetUp { volume, message, obstacle });
            }
        }
    }
    counts.mounted(uid, plugins);
    (if errors.is_empty() { Ok(mounted) } else { Err(errors) }, contents)
}

#[async_trait]
impl Volumes for PodVolumes {
    async fn mount(&self, pod: &Arc<Pod>, context: &VolumeContext) -> Mounted {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let now = self.clock.now().wall;
        let planner = Planner {
            root_dir: &self.config.root_dir,
            pod: pod.as_ref(),
            objects: self.objects.as_deref(),
            tokens: &self.tokens,
            allocatable: &context.allocatable,
            now,
        };
        let used = mounts::used_volumes(pod);
        let volumes: Vec<&Volume> = pod
            .spec
            .iter()
            .flat_map(|spec| spec.volumes.iter().flatten())
            .filter(|volume| used.contains(volume.name.as_str()))
            .collect();
        let names: Vec<String> = volumes.iter().map(|volume| volume.name.clone()).collect();
        let plugins: Vec<&'static str> = volumes.iter().map(|volume| plugin_name(volume)).collect();
        self.counts.wished(&uid, plugins.clone());
        let plans = futures::future::join_all(volumes.iter().map(|volume| planner.plan(volume))).await;
        let plans = names.iter().cloned().zip(plugins).zip(plans);
        let plans: Vec<Planned> = plans.map(|((name, plugin), plan)| (name, plugin, plan)).collect();
        let (root_dir, pod) = (self.config.root_dir.clone(), Arc::clone(pod));
        let (counts, retries, clock) =
            (Arc::clone(&self.counts), Arc::clone(&self.retries), Arc::clone(&self.clock));
        let (owner, host_paths) = (uid.clone(), Arc::clone(&self.host_paths));
        // What is remembered is remembered in the lane: an unmount that comes after it forgets it.
        let work = move || {
            let (mounted, contents) = carry_out(&root_dir, &pod, plans, now, &counts, &host_paths);
            match contents {
                Contents::Old => retries.served_old(&owner, clock.now().mono),
                // What failed altogether is tried again by whoever wanted it mounted.
                Contents::Fresh if mounted.is_ok() => retries.forget(&owner),
                Contents::Fresh => {}
            }
            mounted
        };
        match self.lanes.run(&uid, work).await {
            Ok(result) => result,
            Err(error) => Err(names.iter().map(|name| set_up_failed(name, error.to_string())).collect()),
        }
    }

    async fn sub_path(
        &self,
        pod: &PodUid,
        volume: &str,
        root: &Path,
        sub_path: &str,
        container: &str,
        index: usize,
    ) -> Result<PathBuf, VolumeError> {
        let (root_dir, uid, name) =
            (self.config.root_dir.clone(), pod.as_str().to_owned(), volume.to_owned());
        let (volume_root, path, owner) = (root.to_path_buf(), sub_path.to_owned(), container.to_owned());
        const PREPARE: &str = "prepare subPath";
        let work = move || -> Result<PathBuf, NoSubPath> {
            let root = pods_dir::make(&root_dir).map_err(|error| NoSubPath::Step(PREPARE, error))?;
            let paths = PodPaths::new(&uid).map_err(|error| NoSubPath::Step(PREPARE, error.to_string()))?;
            let request = sub_path::Request {
                root: &root,
                pod: &paths,
                volume: &name,
                volume_root: &volume_root,
                path: &path,
                container: &owner,
                index,
            };
            sub_path::prepare(&request).map_err(|error| match error {
                SetUpError::NoVolume { .. } => NoSubPath::NoVolume(error.to_string()),
                SetUpError::SubPath(_) => NoSubPath::Step("create subPath directory", error.to_string()),
                _ => NoSubPath::Step(PREPARE, error.to_string()),
            })
        };
        let result = self.lanes.run(pod.as_str(), work).await;
        let result = result.unwrap_or_else(|error| Err(NoSubPath::Step(PREPARE, error.to_string())));
        result.map_err(|failure| {
            let (step, cause) = match failure {
                NoSubPath::NoVolume(text) => return set_up_failed(volume, text),
                NoSubPath::Step(step, cause) => (step, cause),
            };
            tracing::error!(pod = %pod, volume, container, sub_path, error = cause, "Cannot {step}");
            let (name, container) = (go_quote(volume), go_quote(container));
            let text = format!("failed to {step} for volumeMount {name} of container {container}");
            set_up_failed(volume, text)
        })
    }

    async fn env_file(&self, pod: &PodUid, root: &Path, path: &str) -> Result<EnvFile, EnvFileFailure> {
        let (root, path) = (root.to_path_buf(), path.to_owned());
        let read = self.lanes.run(pod.as_str(), move || env_file::read_env_file(&root, &path)).await;
        read.unwrap_or_else(|error| Err(EnvFileFailure::Unreadable(error.to_string())))
    }

    async fn unmount(&self, uid: &PodUid) -> Result<(), Vec<VolumeError>> {
        self.tokens.forget(uid.as_str());
        let whole_pod = |message: String| vec![VolumeError::TearDown { volume: "*".to_owned(), message }];
        let (root_dir, name) = (self.config.root_dir.clone(), uid.as_str().to_owned());
        let (retries, host_paths) = (Arc::clone(&self.retries), Arc::clone(&self.host_paths));
        let work = move || {
            retries.forget(&name);
            host_paths.forget(&name);
            let paths = PodPaths::new(&name).map_err(|error| whole_pod(error.to_string()))?;
            match pods_dir::find(&root_dir).map_err(whole_pod)? {
                Some(pods) => teardown::tear_down(&pods, &root_dir, &paths),
                // No pod ever had anything here.
                None => Ok(()),
            }
        };
        let began = Instant::now();
        let done = self.lanes.run(uid.as_str(), work).await;
        let done = done.unwrap_or_else(|error| Err(whole_pod(error.to_string())));
        self.counts.taken_down(uid.as_str(), began.elapsed(), End::of(&done));
        done
    }

    fn refresh_after(&self, uid: &PodUid) -> Option<Duration> {
        let now = self.clock.now();
        let token = self.tokens.refresh_after(uid.as_str(), now.wall);
        token.into_iter().chain(self.retries.after(uid.as_str(), now.mono)).min()
    }
}

//! Volumes of pods on a real disk with real mounts: what is in them (`contents`), parts of them (`sub_paths`), and those
//! that another process left or that go (`leftovers`). Needs root; mounts are below temporary directories and are taken
//! away when a test ends, however it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    collections::BTreeMap,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    ByteString,
    api::{
        authentication::v1::{TokenRequest, TokenRequestStatus},
        core::v1::{ConfigMap, Pod, Secret, Service},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use lifecycle::{PodUid, Tick};
use linux::mounts::{self, MountTable, Unmount};
use parking_lot::Mutex;
use seams::{Clock, ObjectError, Objects, VolumeError, Volumes, volumes::VolumeContext};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use volumes::{Config, PodVolumes};

mod contents;
mod leftovers;
mod sub_paths;

/// A clock that is set by hand.
struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Tick {
        let seconds = self.0.load(Ordering::SeqCst);
        Tick {
            mono: Duration::from_secs(u64::try_from(seconds).unwrap()),
            wall: "2026-01-02T03:04:05Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds),
        }
    }
}

/// Objects in memory.
struct Api {
    clock: Arc<HandClock>,
    config_maps: Mutex<BTreeMap<String, ConfigMap>>,
    secrets: Mutex<BTreeMap<String, Secret>>,
    away: Mutex<bool>,
    tokens: AtomicUsize,
}

impl Api {
    fn reachable(&self) -> Result<(), ObjectError> {
        if *self.away.lock() { Err(ObjectError::Unavailable("connection refused".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Objects for Api {
    fn register(&self, _pod: &Pod) {}
    fn unregister(&self, _uid: &str) {}
    async fn config_map(&self, namespace: &str, name: &str) -> Result<Arc<ConfigMap>, ObjectError> {
        assert_eq!(namespace, "ns");
        self.reachable()?;
        let found = self.config_maps.lock().get(name).cloned();
        found.map(Arc::new).ok_or(ObjectError::NotFound { kind: "configmap", name: name.into() })
    }
    async fn secret(&self, namespace: &str, name: &str) -> Result<Arc<Secret>, ObjectError> {
        assert_eq!(namespace, "ns");
        self.reachable()?;
        let found = self.secrets.lock().get(name).cloned();
        found.map(Arc::new).ok_or(ObjectError::NotFound { kind: "secret", name: name.into() })
    }
    async fn token(
        &self,
        namespace: &str,
        service_account: &str,
        request: &TokenRequest,
    ) -> Result<TokenRequest, ObjectError> {
        self.reachable()?;
        let bound = serde_json::to_value(&request.spec).unwrap()["boundObjectRef"].clone();
        assert_eq!(bound, json!({"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u1"}));
        let number = self.tokens.fetch_add(1, Ordering::SeqCst);
        let mut answer = request.clone();
        let seconds = request.spec.as_ref().unwrap().expiration_seconds.unwrap();
        answer.status = Some(TokenRequestStatus {
            token: Some(format!("{namespace}/{service_account}/{number}")),
            expiration_timestamp: Some(Time(self.clock.now().wall + SignedDuration::from_secs(seconds))),
        });
        Ok(answer)
    }
    fn services(&self) -> watch::Receiver<Option<Arc<BTreeMap<(String, String), Arc<Service>>>>> {
        watch::channel(None).1
    }
    fn changes(&self) -> mpsc::Receiver<String> {
        mpsc::channel(1).1
    }
}

/// A root directory with volumes in it.
struct Node {
    scratch: tempfile::TempDir,
    root: PathBuf,
    clock: Arc<HandClock>,
    api: Arc<Api>,
    volumes: PodVolumes,
    context: VolumeContext,
}

impl Drop for Node {
    fn drop(&mut self) {
        // Not below the root alone: a test may have its pods elsewhere.
        let _ = mounts::unmount_below(self.root.parent().unwrap_or(&self.root), Unmount::Lazy);
    }
}

fn volumes_of(root: &Path, api: &Arc<Api>, clock: &Arc<HandClock>) -> PodVolumes {
    PodVolumes::new(
        Config { root_dir: root.to_owned() },
        Some(Arc::clone(api) as Arc<dyn Objects>),
        Arc::clone(clock) as Arc<dyn Clock>,
        metrics::Metrics::new(),
    )
}

fn node() -> Node {
    assert!(rustix::process::geteuid().is_root(), "this test mounts filesystems: run it as root");
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().canonicalize().unwrap().join("kubelet");
    std::fs::create_dir(&root).unwrap();
    let clock = Arc::new(HandClock(AtomicI64::new(0)));
    let api = Arc::new(Api {
        clock: Arc::clone(&clock),
        config_maps: Mutex::default(),
        secrets: Mutex::default(),
        away: Mutex::new(false),
        tokens: AtomicUsize::new(0),
    });
    let volumes = volumes_of(&root, &api, &clock);
    let context = VolumeContext {
        node_name: "n".into(),
        host_ips: vec!["192.0.2.1".into()],
        allocatable: [("cpu".to_owned(), "2".to_owned()), ("memory".to_owned(), "1Gi".to_owned())].into(),
    };
    Node { scratch, root, clock, api, volumes, context }
}

/// A pod that mounts each of its volumes; `spec` is merged over.
fn pod(volumes: Value, spec: Value) -> Arc<Pod> {
    let mounts: Vec<Value> = volumes
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(index, volume)| json!({"name": volume["name"], "mountPath": format!("/m{index}")}))
        .collect();
    let mut whole = json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "u1", "labels": {"app": "web"}},
        "spec": {
            "serviceAccountName": "robot",
            "containers": [{"name": "c", "volumeMounts": mounts}],
            "volumes": volumes,
        },
    });
    for (field, value) in spec.as_object().unwrap() {
        whole["spec"][field] = value.clone();
    }
    Arc::new(serde_json::from_value(whole).unwrap())
}

impl Node {
    /// As another process would find what is on disk.
    fn restart(&mut self) {
        self.volumes = volumes_of(&self.root, &self.api, &self.clock);
    }

    async fn mount(&self, pod: &Arc<Pod>) -> BTreeMap<String, PathBuf> {
        let mounted = self.volumes.mount(pod, &self.context).await.unwrap();
        mounted.into_iter().map(|(name, volume)| (name, volume.host_path)).collect()
    }

    async fn errors(&self, pod: &Arc<Pod>) -> Vec<String> {
        let errors = self.volumes.mount(pod, &self.context).await.unwrap_err();
        errors.iter().map(ToString::to_string).collect()
    }

    fn set_config(&self, name: &str, data: Value) {
        let config_map = serde_json::from_value(json!({"data": data})).unwrap();
        self.api.config_maps.lock().insert(name.into(), config_map);
    }

    fn set_secret(&self, name: &str, data: &[(&str, &str)]) {
        let data = data.iter().map(|(k, v)| ((*k).to_owned(), ByteString(v.as_bytes().to_vec()))).collect();
        self.api.secrets.lock().insert(name.into(), Secret { data: Some(data), ..Secret::default() });
    }

    fn below(&self, path: &str) -> PathBuf {
        self.root.join("pods/u1").join(path)
    }

    async fn unmount(&self) {
        self.volumes.unmount(&PodUid::from("u1")).await.unwrap();
    }

    async fn sub_path(
        &self,
        volume: &str,
        root: &Path,
        path: &str,
        index: usize,
    ) -> Result<PathBuf, VolumeError> {
        self.volumes.sub_path(&PodUid::from("u1"), volume, root, path, "c", index).await
    }
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().mode() & 0o7777
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

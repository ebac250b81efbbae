//! Volumes of pods on a real disk with real mounts. Needs root; mounts are below temporary directories and are taken
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
        let _ = mounts::unmount_below(&self.root, Unmount::Lazy);
    }
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
    let volumes = PodVolumes::new(
        Config { root_dir: root.clone() },
        Some(Arc::clone(&api) as Arc<dyn Objects>),
        Arc::clone(&clock) as Arc<dyn Clock>,
        metrics::Metrics::new(),
    );
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

#[tokio::test]
async fn every_kind_has_upstreams_place_and_modes() {
    let node = node();
    node.set_config("cm", json!({"a": "1"}));
    node.set_secret("sec", &[("k", "v")]);
    let pod = pod(
        json!([
            {"name": "disk", "emptyDir": {}},
            {"name": "mem", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
            {"name": "host", "hostPath": {"path": "/dev/null", "type": "CharDevice"}},
            {"name": "cm", "configMap": {"name": "cm", "defaultMode": 420}},
            {"name": "sec", "secret": {"secretName": "sec", "defaultMode": 256}},
            {"name": "down", "downwardAPI": {"defaultMode": 420, "items": [
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}},
            ]}},
            {"name": "kube-api-access-x", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                {"configMap": {"name": "cm", "items": [{"key": "a", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
            ]}},
        ]),
        json!({}),
    );
    let mounted = node.volumes.mount(&pod, &node.context).await.unwrap();
    for (name, path, directory_mode, read_only) in [
        ("disk", "volumes/kubernetes.io~empty-dir/disk", 0o777, false),
        ("mem", "volumes/kubernetes.io~empty-dir/mem", 0o1777, false),
        ("cm", "volumes/kubernetes.io~configmap/cm", 0o777, true),
        ("sec", "volumes/kubernetes.io~secret/sec", 0o1777, true),
        ("down", "volumes/kubernetes.io~downward-api/down", 0o1777, true),
        ("kube-api-access-x", "volumes/kubernetes.io~projected/kube-api-access-x", 0o1777, true),
    ] {
        let found = &mounted[name];
        assert_eq!(found.host_path, node.below(path), "{name}");
        assert_eq!(mode(&found.host_path), directory_mode, "{name}");
        assert_eq!((found.read_only, found.selinux_relabel), (read_only, true), "{name}");
    }
    assert_eq!(mounted["host"].host_path, Path::new("/dev/null"));
    assert!(!mounted["host"].selinux_relabel && !mounted["host"].read_only);
    for (path, expected) in [
        ("", 0o750),
        ("volumes", 0o750),
        ("volumes/kubernetes.io~secret", 0o755),
        ("plugins", 0o750),
        ("plugins/kubernetes.io~empty-dir/disk", 0o750),
        ("plugins/kubernetes.io~empty-dir/disk/ready", 0o644),
        ("plugins/kubernetes.io~empty-dir/wrapped_cm/ready", 0o644),
        ("plugins/kubernetes.io~empty-dir/wrapped_kube-api-access-x/ready", 0o644),
    ] {
        assert_eq!(mode(&node.below(path)), expected, "{path}");
    }
    let file = |volume: &str, path: &str| mounted[volume].host_path.join(path);
    assert_eq!(read(&file("cm", "a")), "1");
    assert_eq!(mode(&file("cm", "..data/a")), 0o644);
    assert_eq!(read(&file("sec", "k")), "v");
    assert_eq!(mode(&file("sec", "..data/k")), 0o400);
    assert_eq!(read(&file("down", "labels")), "app=\"web\"");
    assert_eq!(read(&file("down", "cpu")), "2");
    assert_eq!(read(&file("kube-api-access-x", "token")), "ns/robot/0");
    assert_eq!(mode(&file("kube-api-access-x", "..data/token")), 0o644);
    assert_eq!(read(&file("kube-api-access-x", "ca.crt")), "1");
    assert_eq!(read(&file("kube-api-access-x", "namespace")), "ns");

    let table = MountTable::read().unwrap();
    let tmpfs =
        |name: &str| table.mounted_at(&mounted[name].host_path).map(|entry| entry.super_options.clone());
    assert!(tmpfs("mem").unwrap().contains("size=8192k"), "{:?}", tmpfs("mem"));
    assert!(tmpfs("sec").unwrap().contains("size=1048576k"));
    assert!(tmpfs("down").is_some() && tmpfs("kube-api-access-x").is_some());
    assert!(tmpfs("disk").is_none() && tmpfs("cm").is_none());

    // Again: nothing is mounted twice, nothing rewritten.
    let before = std::fs::read_link(file("cm", "..data")).unwrap();
    node.clock.0.store(60, Ordering::SeqCst);
    assert_eq!(node.volumes.mount(&pod, &node.context).await.unwrap(), mounted);
    assert_eq!(std::fs::read_link(file("cm", "..data")).unwrap(), before);
    assert_eq!(mounts::mounts_below(&node.root).unwrap().len(), 4);

    node.unmount().await;
    assert!(mounts::mounts_below(&node.root).unwrap().is_empty());
    let left: Vec<_> = std::fs::read_dir(node.below("")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    node.unmount().await;
}

#[tokio::test]
async fn updates_arrive_and_an_absent_api_takes_nothing_away() {
    let node = node();
    node.set_config("cm", json!({"a": "1", "gone": "x"}));
    let pod = pod(
        json!([
            {"name": "cm", "configMap": {"name": "cm", "defaultMode": 420}},
            {"name": "opt", "secret": {"secretName": "late", "optional": true, "defaultMode": 420}},
        ]),
        json!({}),
    );
    let mounted = node.mount(&pod).await;
    assert!(!mounted["opt"].join("k").exists());

    node.set_config("cm", json!({"a": "2", "new": "y"}));
    node.set_secret("late", &[("k", "v")]);
    node.mount(&pod).await;
    assert_eq!(read(&mounted["cm"].join("a")), "2");
    assert_eq!(read(&mounted["cm"].join("new")), "y");
    assert!(mounted["cm"].join("gone").symlink_metadata().is_err());
    assert_eq!(read(&mounted["opt"].join("k")), "v");

    *node.api.away.lock() = true;
    assert_eq!(node.mount(&pod).await, mounted);
    assert_eq!(read(&mounted["cm"].join("a")), "2");
    *node.api.away.lock() = false;
    node.api.config_maps.lock().clear();
    assert_eq!(node.mount(&pod).await, mounted);
    assert_eq!(read(&mounted["cm"].join("a")), "2");
    node.api.secrets.lock().clear();
    node.mount(&pod).await;
    assert!(mounted["opt"].join("k").symlink_metadata().is_err());
}

#[tokio::test]
async fn a_killed_kubelet_s_half_made_volume_is_not_taken_for_whole() {
    let node = node();
    node.set_config("cm", json!({"a": "1"}));
    let pod = pod(json!([{"name": "cm", "configMap": {"name": "cm", "defaultMode": 420}}]), json!({}));
    let path = node.mount(&pod).await["cm"].clone();
    // As if killed before the set was linked, with the API away afterwards.
    std::fs::remove_file(path.join("..data")).unwrap();
    *node.api.away.lock() = true;
    assert_eq!(node.errors(&pod).await, ["connection refused"]);
    *node.api.away.lock() = false;
    node.mount(&pod).await;
    assert_eq!(read(&path.join("a")), "1");
}

#[tokio::test]
async fn tokens_are_renewed_and_private() {
    let node = node();
    let volumes = json!([{"name": "t", "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600, "audience": "vault"}},
    ]}}]);
    let of_user = pod(volumes.clone(), json!({"securityContext": {"runAsUser": 1234}}));
    let path = node.mount(&of_user).await["t"].clone();
    let seen = path.join("..data/token").metadata().unwrap();
    assert_eq!((seen.mode() & 0o7777, seen.uid(), seen.gid()), (0o600, 1234, 0));
    let uid = PodUid::from("u1");
    let refresh = node.volumes.refresh_after(&uid).unwrap();
    assert!((Duration::from_secs(2870)..=Duration::from_secs(2880)).contains(&refresh), "{refresh:?}");

    node.clock.0.store(2881, Ordering::SeqCst);
    node.mount(&of_user).await;
    assert_eq!(read(&path.join("token")), "ns/robot/1");
    node.unmount().await;
    assert_eq!(node.volumes.refresh_after(&uid), None);

    let of_group = pod(volumes, json!({"securityContext": {"fsGroup": 77}}));
    let path = node.mount(&of_group).await["t"].clone();
    let seen = path.join("..data/token").metadata().unwrap();
    assert_eq!((seen.mode() & 0o7777, seen.uid(), seen.gid()), (0o640, 0, 77));
}

#[tokio::test]
async fn groups_own_volumes() {
    let node = node();
    node.set_secret("sec", &[("k", "v")]);
    let pod = pod(
        json!([
            {"name": "disk", "emptyDir": {}},
            {"name": "mem", "emptyDir": {"medium": "Memory"}},
            {"name": "sec", "secret": {"secretName": "sec", "defaultMode": 256}},
        ]),
        json!({"securityContext": {"fsGroup": 77}}),
    );
    let mounted = node.mount(&pod).await;
    let seen = |path: &Path| {
        let seen = path.symlink_metadata().unwrap();
        (seen.mode() & 0o7777, seen.gid())
    };
    assert_eq!(seen(&mounted["disk"]), (0o2777, 77));
    assert_eq!(seen(&mounted["mem"]), (0o3777, 77));
    assert_eq!(seen(&mounted["sec"].join("..data/k")), (0o440, 77));
    assert_eq!(
        seen(&mounted["sec"].join(std::fs::read_link(mounted["sec"].join("..data")).unwrap())),
        (0o2755, 77)
    );

    // What the pod made stays as it made it.
    std::fs::write(mounted["disk"].join("mine"), "x").unwrap();
    std::os::unix::fs::chown(mounted["disk"].join("mine"), Some(5), Some(6)).unwrap();
    node.mount(&pod).await;
    assert_eq!(mounted["disk"].join("mine").metadata().unwrap().gid(), 6);
}

#[tokio::test]
async fn errors_are_upstreams_and_come_one_per_volume() {
    let node = node();
    node.set_config("cm", json!({"a": "1"}));
    let broken = pod(
        json!([
            {"name": "a", "configMap": {"name": "none", "defaultMode": 420}},
            {"name": "b", "secret": {"secretName": "none", "defaultMode": 420}},
            {"name": "c", "configMap": {"name": "cm", "defaultMode": 420, "items": [{"key": "zz", "path": "p"}]}},
            {"name": "d", "configMap": {"name": "cm", "defaultMode": 420, "items": [{"key": "a", "path": "../p"}]}},
            {"name": "e", "nfs": {"server": "s", "path": "/"}},
            {"name": "f", "emptyDir": {"medium": "Paper"}},
            {"name": "g", "emptyDir": {"medium": "HugePages-2Mi"}},
            {"name": "h", "projected": {"defaultMode": 420, "sources": [
                {"clusterTrustBundle": {"path": "p"}}, {"secret": {"name": "none"}},
            ]}},
            {"name": "ok", "emptyDir": {}},
        ]),
        json!({}),
    );
    let mut errors = node.errors(&broken).await;
    errors.sort();
    let mut expected = vec![
        "configmap \"none\" not found".to_owned(),
        "secret \"none\" not found".to_owned(),
        "configmap references non-existent config key: zz".to_owned(),
        "invalid path: must not contain '..': ../p".to_owned(),
        "volume \"e\" is of kind nfs, which this kubelet does not support yet".to_owned(),
        "unknown storage medium \"Paper\"".to_owned(),
        "volume \"g\" is of kind emptyDir with medium HugePages-2Mi, which this kubelet does not support yet".to_owned(),
        "[projected source clusterTrustBundle is not supported by this kubelet yet (docs/compat.md), secret \"none\" not found]".to_owned(),
    ];
    expected.sort();
    assert_eq!(errors, expected);
    assert!(node.below("volumes/kubernetes.io~empty-dir/ok").is_dir());
    assert!(!node.below("volumes/kubernetes.io~configmap/a").exists());

    // A volume that nobody mounts does not matter.
    let mut unused = (*broken).clone();
    unused.spec.as_mut().unwrap().containers[0].volume_mounts = None;
    assert!(node.mount(&Arc::new(unused)).await.is_empty());
}

#[tokio::test]
async fn without_an_api_server() {
    let node = node();
    let alone = PodVolumes::new(
        Config { root_dir: node.root.clone() },
        None,
        Arc::clone(&node.clock) as Arc<dyn Clock>,
        metrics::Metrics::new(),
    );
    let pod = pod(
        json!([
            {"name": "a", "configMap": {"name": "x", "defaultMode": 420}},
            {"name": "b", "secret": {"secretName": "x", "defaultMode": 420}},
            {"name": "c", "projected": {"defaultMode": 420, "sources": [{"serviceAccountToken": {"path": "p"}}]}},
        ]),
        json!({}),
    );
    let errors = alone.mount(&pod, &node.context).await.unwrap_err();
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "couldn't get configMap ns/x, no kubeClient defined",
            "couldn't get secret ns/x, no kubeClient defined",
            "cannot setup projected volume c because kube client is not configured",
        ]
    );
}

#[tokio::test]
async fn nested_mount_points_are_made_in_read_only_volumes() {
    let node = node();
    node.set_config("cm", json!({"a": "1"}));
    let pod = pod(
        json!([{"name": "cm", "configMap": {"name": "cm", "defaultMode": 420}}, {"name": "e", "emptyDir": {}}]),
        json!({"containers": [{"name": "c", "volumeMounts": [
            {"name": "cm", "mountPath": "/etc/app"}, {"name": "e", "mountPath": "/etc/app/run/x"},
            {"name": "e", "mountPath": "/etc/app/a/b"},
        ]}]}),
    );
    let path = node.mount(&pod).await["cm"].clone();
    assert!(path.join("run/x").is_dir());
    node.mount(&pod).await;
    assert!(path.join("run/x").is_dir());
}

#[tokio::test]
async fn sub_paths_are_bound_and_follow_updates() {
    let node = node();
    node.set_config("cm", json!({"a": "1"}));
    let pod = pod(
        json!([{"name": "cm", "configMap": {"name": "cm", "defaultMode": 420}}, {"name": "e", "emptyDir": {}}]),
        json!({}),
    );
    let mounted = node.mount(&pod).await;
    let file = node.sub_path("cm", &mounted["cm"], "a", 0).await.unwrap();
    assert_eq!(file, node.below("volume-subpaths/cm/c/0"));
    assert_eq!(read(&file), "1");
    assert_eq!(node.sub_path("cm", &mounted["cm"], "a", 0).await.unwrap(), file);
    assert_eq!(mounts::mounts_below(&file).unwrap().len(), 1);

    node.set_config("cm", json!({"a": "2"}));
    node.mount(&pod).await;
    assert_eq!(read(&file), "1", "a bound file does not change under a container");
    node.sub_path("cm", &mounted["cm"], "a", 0).await.unwrap();
    assert_eq!(read(&file), "2");
    assert_eq!(mounts::mounts_below(&file).unwrap().len(), 1);

    let directory = node.sub_path("e", &mounted["e"], "deep/er", 1).await.unwrap();
    assert_eq!(mode(&mounted["e"].join("deep")), 0o777);
    std::fs::write(directory.join("f"), "x").unwrap();
    assert_eq!(read(&mounted["e"].join("deep/er/f")), "x");
    assert_eq!(mode(&node.below("volume-subpaths/e/c")), 0o750);

    // The same place for a file now.
    let again = node.sub_path("e", &mounted["e"], "deep/er/f", 1).await.unwrap();
    assert_eq!(read(&again), "x");

    node.unmount().await;
    assert!(mounts::mounts_below(&node.root).unwrap().is_empty());
    assert!(!node.below("volume-subpaths").exists());
}

#[tokio::test]
async fn sub_paths_do_not_lead_out_of_the_volume() {
    let node = node();
    let pod = pod(json!([{"name": "e", "emptyDir": {}}]), json!({}));
    let volume = node.mount(&pod).await["e"].clone();
    let outside = node.scratch.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "x").unwrap();
    symlink("/etc", volume.join("absolute")).unwrap();
    symlink("../../../../../../outside", volume.join("up")).unwrap();
    symlink("/proc/self/root", volume.join("magic")).unwrap();
    symlink("real/dir", volume.join("inside")).unwrap();
    std::fs::create_dir_all(volume.join("real/dir")).unwrap();
    for bad in [
        "absolute",
        "absolute/passwd",
        "up",
        "up/secret",
        "up/new",
        "absolute/new/dir",
        "magic",
        "magic/etc",
        "../x",
    ] {
        let error = node.sub_path("e", &volume, bad, 0).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to prepare subPath for volumeMount \"e\" of container \"c\"",
            "{bad}"
        );
    }
    assert!(mounts::mounts_below(&node.root).unwrap().is_empty());
    assert!(!outside.join("new").exists() && !Path::new("/etc/new").exists());
    let inside = node.sub_path("e", &volume, "inside", 0).await.unwrap();
    std::fs::write(inside.join("f"), "y").unwrap();
    assert_eq!(read(&volume.join("real/dir/f")), "y");
    // Names from a manifest do not lead anywhere either.
    let uid = PodUid::from("../../outside");
    assert!(node.volumes.sub_path(&uid, "e", &volume, "real", "c", 0).await.is_err());
    assert!(node.volumes.sub_path(&PodUid::from("u1"), "e", &volume, "real", "../../..", 0).await.is_err());
    assert!(node.volumes.unmount(&uid).await.is_err());
    assert_eq!(read(&outside.join("secret")), "x");
}

#[tokio::test]
async fn removing_follows_no_link_and_crosses_no_mount() {
    let node = node();
    let pod = pod(json!([{"name": "e", "emptyDir": {}}]), json!({}));
    let volume = node.mount(&pod).await["e"].clone();
    let outside = node.scratch.path().join("outside");
    std::fs::create_dir_all(outside.join("d")).unwrap();
    std::fs::write(outside.join("d/keep"), "x").unwrap();
    symlink(&outside, volume.join("link")).unwrap();
    std::fs::create_dir_all(volume.join("a/b/c")).unwrap();

    // A mount that is in use cannot be unmounted: the rest has to wait, and nothing behind the mount may go.
    let busy = volume.join("a/b");
    mounts::bind(&outside, &busy, mounts::BindOptions::default()).unwrap();
    let held = std::fs::File::open(busy.join("d/keep")).unwrap();
    let errors = node.volumes.unmount(&PodUid::from("u1")).await.unwrap_err();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].to_string().starts_with("volume \"e\": cannot unmount "), "{}", errors[0]);
    assert_eq!(read(&outside.join("d/keep")), "x");
    assert!(volume.join("link").symlink_metadata().is_ok());

    drop(held);
    node.unmount().await;
    assert_eq!(read(&outside.join("d/keep")), "x");
    assert!(!volume.exists());
}

#[tokio::test]
async fn volumes_of_unknown_drivers_are_left_to_their_kubelet() {
    let node = node();
    let pod = pod(json!([{"name": "e", "emptyDir": {}}]), json!({}));
    let empty = node.mount(&pod).await["e"].clone();
    let csi = node.below("volumes/kubernetes.io~csi/pvc-1");
    std::fs::create_dir_all(csi.join("mount")).unwrap();
    let errors = node.volumes.unmount(&PodUid::from("u1")).await.unwrap_err();
    assert!(
        errors[0]
            .to_string()
            .starts_with("volume \"pvc-1\": it is of kind csi, which this kubelet cannot take down"),
        "{}",
        errors[0]
    );
    assert!(csi.is_dir() && empty.is_dir());
    std::fs::remove_dir_all(&csi).unwrap();
    node.unmount().await;
}

#[tokio::test]
async fn a_volume_that_another_kubelet_wrote_is_taken_over_as_it_is() {
    let node = node();
    node.set_config("cm", json!({"a": "1", "d": "2"}));
    let pod = pod(json!([{"name": "cm", "configMap": {"name": "cm", "defaultMode": 420}}]), json!({}));
    // Laid out by hand, as upstream does.
    let volume = node.below("volumes/kubernetes.io~configmap/cm");
    let set = volume.join("..2025_12_31_23_59_59.1234567890");
    std::fs::create_dir_all(&set).unwrap();
    std::fs::write(set.join("a"), "1").unwrap();
    std::fs::write(set.join("d"), "2").unwrap();
    symlink("..2025_12_31_23_59_59.1234567890", volume.join("..data")).unwrap();
    for name in ["a", "d"] {
        symlink(format!("..data/{name}"), volume.join(name)).unwrap();
    }
    let ready = node.below("plugins/kubernetes.io~empty-dir/wrapped_cm");
    std::fs::create_dir_all(&ready).unwrap();
    std::fs::write(ready.join("ready"), "").unwrap();

    assert_eq!(node.mount(&pod).await["cm"], volume);
    assert_eq!(
        std::fs::read_link(volume.join("..data")).unwrap(),
        Path::new("..2025_12_31_23_59_59.1234567890")
    );
    node.set_config("cm", json!({"a": "3"}));
    node.mount(&pod).await;
    assert!(!set.exists());
    assert_eq!(read(&volume.join("a")), "3");
    assert!(volume.join("d").symlink_metadata().is_err());
}

//! A file system that never answers, in a volume: its figures are missing, everything else is told in time, and it costs
//! one thread.

use std::{
    ffi::CString,
    fs::{self, File, OpenOptions},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use lab::{Lab, Mode, Runtime, Spec, images};
use node_tests::{Node, measure_volumes_often};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::{Value, json};

const BOUND: Duration = Duration::from_secs(120);
/// What a summary may take beside a disk that hangs: two readings and the wait for measurements, and a busy machine.
const PATIENCE: SignedDuration = SignedDuration::from_secs(6);
const PODS: usize = 4;
/// Each takes seconds.
const SUMMARIES: usize = 4;
/// Name of the kubelet's threads that measure.
const THREAD: &str = "disk use";

/// A mount of a FUSE file system whose server never says a word.
struct Hung {
    at: PathBuf,
    server: Option<File>,
}

impl Hung {
    fn mount(at: PathBuf) -> Result<Self> {
        fs::create_dir(&at).with_context(|| at.display().to_string())?;
        let server = OpenOptions::new().read(true).write(true).open("/dev/fuse").context("/dev/fuse")?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        let options = CString::new(options)?;
        mount("hung", &at, "fuse", MountFlags::empty(), Some(options.as_c_str())).context("cannot mount")?;
        Ok(Self { at, server: Some(server) })
    }

    /// Lets everybody go who waits for it.
    fn end(&mut self) {
        self.server = None;
        let _ = unmount(&self.at, UnmountFlags::DETACH);
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        self.end();
    }
}

fn objects() -> String {
    let pods = (0..PODS).map(|at| {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": format!("pod-{at}")},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "main",
                    "image": images::BUSYBOX,
                    "command": ["sleep", "100000"],
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }],
                "volumes": [{"name": "data", "emptyDir": {}}],
            },
        })
        .to_string()
    });
    pods.collect::<Vec<_>>().join("\n---\n")
}

/// The directory of a pod's volume, when the pod runs.
fn volume(lab: &Lab, pod: &str) -> Result<PathBuf> {
    let pod = lab.pod(pod)?;
    ensure!(pod["status"]["phase"] == "Running", "{}", pod["status"]);
    let uid = pod["metadata"]["uid"].as_str().context("no uid")?;
    Ok(lab.paths().kubelet_root.join("pods").join(uid).join("volumes/kubernetes.io~empty-dir/data"))
}

/// Whether the volume of a pod is told.
fn is_told(summary: &Value, pod: &str) -> bool {
    let pods = summary["pods"].as_array().into_iter().flatten();
    let found = pods.into_iter().find(|found| found["podRef"]["name"] == pod);
    let volumes = found.and_then(|pod| pod["volume"].as_array()).into_iter().flatten();
    volumes.into_iter().any(|volume| volume["name"] == "data")
}

fn threads(pid: i32) -> Result<usize> {
    let mut count = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // One that ends meanwhile is none.
        let name = fs::read_to_string(task?.path().join("comm")).unwrap_or_default();
        count += usize::from(name.trim() == THREAD);
    }
    Ok(count)
}

fn hangs(runtime: Runtime, name: &str) -> Result<()> {
    ensure!(Path::new("/dev/fuse").exists(), "the kernel has no FUSE");
    let mut spec = Spec::new(name, Mode::Cluster)?;
    spec.runtime = runtime;
    measure_volumes_often(&mut spec);
    let mut node = Node::up(spec)?;
    node.apply(&objects())?;
    let pods: Vec<String> = (0..PODS).map(|at| format!("pod-{at}")).collect();
    let directory = node.eventually("running pods", BOUND, |lab| {
        pods.iter().map(|pod| volume(lab, pod)).collect::<Result<Vec<_>>>()
    })?;
    let mut hung = Hung::mount(directory.first().context("no pod")?.join("hung"))?;
    let pid = node.lab()?.kubelet().pid().context("no kubelet")?.as_raw_nonzero().get();
    let mut told = 0;
    for _ in 0..SUMMARIES {
        let began = Timestamp::now();
        let summary: Value = serde_json::from_str(&node.kubelet_get("/stats/summary")?)?;
        let took = Timestamp::now().duration_since(began);
        ensure!(took < PATIENCE, "a summary took {took}");
        ensure!(!is_told(&summary, "pod-0"), "what hangs was measured");
        told += usize::from(pods.iter().skip(1).all(|pod| is_told(&summary, pod)));
        ensure!(threads(pid)? >= 1, "nothing hangs");
    }
    // The first may come before they were measured.
    ensure!(told + 1 >= SUMMARIES, "the other volumes were told {told} times");
    ensure!(threads(pid)? == 1, "{} threads hang", threads(pid)?);
    hung.end();
    node.eventually("the volume that hung, and no thread", BOUND, |lab| {
        let summary: Value = serde_json::from_str(&lab.kubelet_get("/stats/summary")?)?;
        ensure!(is_told(&summary, "pod-0"), "it is not told");
        ensure!(threads(pid)? == 0, "{} threads", threads(pid)?);
        Ok(())
    })?;
    node.down()
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn a_file_system_that_hangs_harms_only_itself() {
    hangs(Runtime::Containerd2, "t-hung").unwrap();
}

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus, Stdio},
};

use super::*;
use crate::testing::require_root;

/// Shapes of a hybrid machine: one hierarchy mounted twice, two controllers in one, a named one, a v2 beside.
const HYBRID: &[u8] = b"30 22 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 22 0:28 / /mnt rw - cgroup cgroup rw,memory
34 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
35 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

#[test]
fn layouts_are_told_apart() {
    let hybrid = Layout::of(&MountTable::parse(HYBRID)).unwrap();
    assert_eq!(hybrid.version, CgroupVersion::V1);
    assert_eq!(hybrid.mount_of("cpuacct"), Some(Path::new("/sys/fs/cgroup/cpu,cpuacct")));
    assert_eq!(hybrid.mount_of("memory"), Some(Path::new("/mnt")), "the shortest mount");
    assert_eq!(hybrid.mount_of("systemd"), Some(Path::new("/sys/fs/cgroup/systemd")));
    assert_eq!(hybrid.mount_of("hugetlb"), None);
    assert_eq!(hybrid.hybrid.as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
    let unified = b"30 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate\n";
    let unified = Layout::of(&MountTable::parse(unified)).unwrap();
    assert_eq!((unified.version, unified.hierarchies.len()), (CgroupVersion::V2, 1));
    assert!(Layout::of(&MountTable::parse(b"")).is_err());
}

#[test]
fn containers_are_known_by_the_names_of_their_groups() {
    let id = "8d93bab61376199e";
    assert_eq!(Driver::Cgroupfs.container_id(id), Some(id));
    assert_eq!(Driver::Systemd.container_id(&format!("cri-containerd-{id}.scope")), Some(id));
    assert_eq!(Driver::Systemd.container_id("run-u1.service"), None);
    assert_eq!(Driver::Systemd.container_id(".scope"), None);
}

fn pod(uid: &str, qos: QosClass) -> PodCgroup {
    PodCgroup { uid: uid.into(), qos }
}

/// A tree whose mount is an ordinary directory.
fn fixture(driver: Driver, version: CgroupVersion, root: &str) -> (tempfile::TempDir, CgroupTree) {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout {
        version,
        hierarchies: vec![Hierarchy { controllers: vec![], mount: dir.path().to_path_buf() }],
        hybrid: None,
    };
    fs::create_dir_all(dir.path().join(root.trim_matches('/'))).unwrap();
    let tree = CgroupTree::open(layout, driver, root, PodCgroups::PerQos).unwrap();
    (dir, tree)
}

#[test]
fn names_of_both_drivers() {
    let uid = "0b5a3b1e-4f3c-4a5a-9d59-6f1c2d3e4f50";
    let (_dir, plain) = fixture(Driver::Cgroupfs, CgroupVersion::V2, "/");
    assert_eq!(plain.cgroup_parent(&pod(uid, QosClass::Guaranteed)), format!("/kubepods/pod{uid}"));
    assert_eq!(plain.cgroup_parent(&pod(uid, QosClass::Burstable)), format!("/kubepods/burstable/pod{uid}"));
    assert_eq!(
        plain.cgroup_parent(&pod(uid, QosClass::BestEffort)),
        format!("/kubepods/besteffort/pod{uid}")
    );
    let (_dir, lab) = fixture(Driver::Cgroupfs, CgroupVersion::V2, "/lab/one");
    assert_eq!(lab.cgroup_parent(&pod("u", QosClass::Burstable)), "/lab/one/kubepods/burstable/podu");
    let (_dir, systemd) = fixture(Driver::Systemd, CgroupVersion::V2, "");
    assert_eq!(
        systemd.cgroup_parent(&pod(uid, QosClass::Burstable)),
        "kubepods-burstable-pod0b5a3b1e_4f3c_4a5a_9d59_6f1c2d3e4f50.slice"
    );
    assert_eq!(
        Driver::Systemd.path(&systemd.pod_name(&pod("a-b", QosClass::Guaranteed))),
        "/kubepods.slice/kubepods-poda_b.slice"
    );
    assert_eq!(systemd.kubepods_path(), "/kubepods.slice");
    assert_eq!(
        Driver::Systemd.path(&names::parse_root(Driver::Systemd, "/a.slice/a-b_c.slice").child("kubepods")),
        "/a.slice/a-b_c.slice/a-b_c-kubepods.slice"
    );
    assert_eq!(Driver::Systemd.path(&CgroupName::default()), "/");
    assert_eq!(Driver::Cgroupfs.path(&CgroupName::default()), "/");
}

#[test]
fn pods_are_found_by_their_directories() {
    let (dir, tree) = fixture(Driver::Cgroupfs, CgroupVersion::V2, "/r");
    for path in [
        "kubepods/poda-1",
        "kubepods/burstable/podb",
        "kubepods/besteffort/podc",
        "kubepods/burstable/x",
        "kubepods/pod",
    ] {
        fs::create_dir_all(dir.path().join("r").join(path)).unwrap();
    }
    assert_eq!(tree.pods().unwrap(), ["a-1", "b", "c"].map(PodUid::from));
    let (dir, tree) = fixture(Driver::Systemd, CgroupVersion::V2, "");
    let group = dir.path().join("kubepods.slice/kubepods-burstable.slice");
    fs::create_dir_all(group.join("kubepods-burstable-poda_1.slice")).unwrap();
    fs::create_dir_all(group.join("kubepods-burstable-other.slice")).unwrap();
    assert_eq!(tree.pods().unwrap(), [PodUid::from("a-1")]);
}

#[test]
fn a_missing_root_is_refused_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout {
        version: CgroupVersion::V1,
        hierarchies: vec![Hierarchy { controllers: vec!["cpu".to_owned()], mount: dir.path().to_path_buf() }],
        hybrid: None,
    };
    let error = CgroupTree::open(layout, Driver::Cgroupfs, "/nothere", PodCgroups::PerQos).unwrap_err();
    assert!(error.to_string().contains("cgroup-root \"/nothere\" doesn't exist: no "), "{error}");
    assert!(error.to_string().contains("hint: "), "{error}");
}

#[test]
fn odd_uids_never_become_paths() {
    let (_dir, tree) = fixture(Driver::Cgroupfs, CgroupVersion::V2, "/");
    let long = "x".repeat(129);
    for uid in ["", "../x", "a/b", ".", "a\0b", &long] {
        assert!(
            tree.ensure_pod(&pod(uid, QosClass::Burstable), &CgroupValues::default()).is_err(),
            "{uid:?}"
        );
    }
}

#[test]
fn without_pod_groups_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout {
        version: CgroupVersion::V2,
        hierarchies: vec![Hierarchy { controllers: vec![], mount: dir.path().to_path_buf() }],
        hybrid: None,
    };
    let tree = CgroupTree::open(layout, Driver::Cgroupfs, "", PodCgroups::Off).unwrap();
    tree.ensure_node(&values()).unwrap();
    tree.ensure_pod(&pod("u", QosClass::Burstable), &values()).unwrap();
    assert_eq!(tree.cgroup_parent(&pod("u", QosClass::Burstable)), "");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

fn values() -> CgroupValues {
    CgroupValues {
        cpu_shares: Some(512),
        cpu_quota: Some((20_000, 100_000)),
        memory_limit: Some(64 << 20),
        pids_limit: Some(100),
        hugepage_limits: vec![("2MB".to_owned(), 0)],
        ..CgroupValues::default()
    }
}

/// What the kernel makes in a v2 group.
fn populate(group: &Path) {
    fs::create_dir_all(group).unwrap();
    fs::write(group.join("cgroup.controllers"), "cpuset cpu io memory hugetlb pids rdma").unwrap();
    for file in
        ["cgroup.subtree_control", "cpu.weight", "cpu.max", "memory.max", "pids.max", "hugetlb.2MB.max"]
    {
        fs::write(group.join(file), "").unwrap();
    }
}

#[test]
fn values_on_v2() {
    let (dir, tree) = fixture(Driver::Cgroupfs, CgroupVersion::V2, "/");
    let group = dir.path().join("kubepods/burstable/podu");
    for group in [dir.path(), &dir.path().join("kubepods"), &dir.path().join("kubepods/burstable"), &group] {
        populate(group);
    }
    let read = |file: &str| fs::read_to_string(group.join(file)).unwrap();
    tree.ensure_pod(&pod("u", QosClass::Burstable), &values()).unwrap();
    assert_eq!(read("cpu.weight"), "20");
    assert_eq!(read("cpu.max"), "20000 100000");
    assert_eq!(read("memory.max"), (64 << 20).to_string());
    assert_eq!(read("pids.max"), "100");
    assert_eq!(read("hugetlb.2MB.max"), "0");
    // The fixture's files keep what was written longest; the kernel's would not.
    assert!(fs::read_to_string(dir.path().join("kubepods/cgroup.subtree_control")).unwrap().contains("pids"));
    let unlimited =
        CgroupValues { cpu_quota: Some((-1, 100_000)), pids_limit: Some(-1), ..CgroupValues::default() };
    populate(&group);
    tree.ensure_pod(&pod("u", QosClass::Burstable), &unlimited).unwrap();
    assert_eq!((read("cpu.max"), read("pids.max")), ("max 100000".to_owned(), "max".to_owned()));
    assert_eq!(read("memory.max"), "", "what is not given is left alone");
}

#[test]
fn memory_that_an_earlier_kubelet_kept_is_given_back() {
    let (dir, tree) = fixture(Driver::Cgroupfs, CgroupVersion::V2, "/");
    let kubepods = dir.path().join("kubepods");
    let burstable = kubepods.join("burstable");
    for group in [dir.path(), &kubepods, &burstable, &kubepods.join("besteffort")] {
        populate(group);
    }
    for group in [&kubepods, &burstable] {
        fs::write(group.join("memory.min"), "1").unwrap();
        fs::write(group.join("memory.low"), "1").unwrap();
    }
    tree.ensure_node(&node::cgroup::kubepods_values(&Default::default(), &[])).unwrap();
    tree.set_qos(QosClass::Burstable, &node::cgroup::qos_values(QosClass::Burstable, [], &[])).unwrap();
    let read = |group: &Path, file: &str| fs::read_to_string(group.join(file)).unwrap();
    assert_eq!((read(&kubepods, "memory.min"), read(&kubepods, "memory.low")), ("0".into(), "0".into()));
    assert_eq!(read(&burstable, "memory.low"), "0");
    assert!(
        !kubepods.join("besteffort/memory.low").exists(),
        "where the kernel has no such file, none is missed"
    );
}

#[test]
fn a_pod_runs_without_the_value_that_is_refused_and_with_the_others() {
    let (dir, tree) = fixture(Driver::Cgroupfs, CgroupVersion::V2, "/");
    for group in ["", "kubepods", "kubepods/podu"] {
        populate(&dir.path().join(group));
    }
    let file = |name: &str| dir.path().join("kubepods/podu").join(name);
    fs::remove_file(file("memory.max")).unwrap();
    tree.ensure_pod(&pod("u", QosClass::Guaranteed), &values()).unwrap();
    assert_eq!(fs::read_to_string(file("pids.max")).unwrap(), values().pids_limit.unwrap().to_string());
    // Where there are no quotas, none is what is wanted; the group of all pods is another matter.
    fs::remove_file(file("cpu.max")).unwrap();
    let unlimited = CgroupValues { cpu_quota: Some((-1, 100_000)), ..CgroupValues::default() };
    assert!(super::v2::apply(&dir.path().join("kubepods/podu"), &unlimited).is_ok());
    let error = super::v2::apply(&dir.path().join("kubepods/podu"), &values()).unwrap_err();
    assert!(error.to_string().contains("cpu.max"), "the first is told: {error}");
}

/// An own root in every hierarchy of this machine, removed at the end whatever happens.
struct RealRoot {
    layout: Layout,
    root: String,
}

impl RealRoot {
    fn new(name: &str) -> Self {
        require_root();
        let layout = Layout::of(&MountTable::read().unwrap()).unwrap();
        Self::on(layout, name)
    }

    fn on(layout: Layout, name: &str) -> Self {
        let root = format!("/kubelet-rs-test-{name}-{}", std::process::id());
        for hierarchy in &layout.hierarchies {
            fs::create_dir(join(&hierarchy.mount, &root)).unwrap();
        }
        Self { layout, root }
    }

    fn tree(&self) -> CgroupTree {
        CgroupTree::open(self.layout.clone(), Driver::Cgroupfs, &self.root, PodCgroups::PerQos).unwrap()
    }

    fn directories(&self, path: &str) -> Vec<PathBuf> {
        self.layout.hierarchies.iter().map(|one| join(&one.mount, &format!("{}{path}", self.root))).collect()
    }
}

impl Drop for RealRoot {
    fn drop(&mut self) {
        let left = self.directories("");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let done = std::thread::spawn(move || runtime.block_on(remove::remove_all(&left))).join();
        if !std::thread::panicking() {
            done.unwrap().unwrap();
        }
    }
}

/// A process that waits for a long time in a group of every hierarchy. A reaper waits for it, as init would: one that
/// nobody waits for keeps its group busy on v1.
struct Sleeper {
    reaper: Option<std::thread::JoinHandle<ExitStatus>>,
    pid: rustix::process::Pid,
}

impl Sleeper {
    fn new(groups: &[PathBuf]) -> Self {
        let mut command = Command::new("sleep");
        let mut child = command
            .arg("1000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        let sleeper = Self { reaper: Some(std::thread::spawn(move || child.wait().unwrap())), pid };
        for group in groups {
            fs::write(group.join("cgroup.procs"), pid.to_string()).unwrap();
        }
        sleeper
    }

    fn signal(mut self) -> Option<i32> {
        self.reaper.take().unwrap().join().unwrap().signal()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        if let Some(reaper) = self.reaper.take().filter(|reaper| !reaper.is_finished()) {
            let _ = rustix::process::kill_process(self.pid, rustix::process::Signal::KILL);
            let _ = reaper.join();
        }
    }
}

#[tokio::test]
async fn a_real_tree_is_made_limited_and_removed_with_its_processes() {
    let real = RealRoot::new("tree");
    let tree = real.tree();
    let kubepods = CgroupValues {
        cpu_shares: Some(2048),
        memory_limit: Some(1 << 30),
        pids_limit: Some(1000),
        ..CgroupValues::default()
    };
    tree.ensure_node(&kubepods).unwrap();
    tree.ensure_node(&kubepods).unwrap();
    tree.set_qos(QosClass::Burstable, &CgroupValues { cpu_shares: Some(204), ..CgroupValues::default() })
        .unwrap();
    let own = pod("11111111-2222", QosClass::Burstable);
    let limits = CgroupValues { hugepage_limits: vec![], ..values() };
    tree.ensure_pod(&own, &limits).unwrap();
    tree.ensure_pod(&own, &limits).unwrap();
    let path = |controller: &str, rest: &str| {
        let mount = real.layout.mount_of(controller).unwrap_or(&real.layout.hierarchies[0].mount);
        join(mount, &format!("{}/kubepods{rest}", real.root))
    };
    let read = |path: PathBuf| fs::read_to_string(&path).unwrap().trim().to_owned();
    let group = "/burstable/pod11111111-2222";
    match real.layout.version {
        CgroupVersion::V1 => {
            assert_eq!(read(path("cpu", "").join("cpu.shares")), "2048");
            assert_eq!(read(path("cpu", "/burstable").join("cpu.shares")), "204");
            assert_eq!(read(path("cpu", "/besteffort").join("cpu.shares")), "2");
            assert_eq!(read(path("memory", "").join("memory.limit_in_bytes")), (1 << 30).to_string());
            assert_eq!(read(path("cpu", group).join("cpu.shares")), "512");
            assert_eq!(read(path("cpu", group).join("cpu.cfs_quota_us")), "20000");
            assert_eq!(read(path("memory", group).join("memory.limit_in_bytes")), (64 << 20).to_string());
            assert_eq!(read(path("pids", group).join("pids.max")), "100");
            assert_ne!(read(path("cpuset", group).join("cpuset.cpus")), "", "processes could not enter");
        }
        CgroupVersion::V2 => {
            assert_eq!(read(path("", group).join("memory.max")), (64 << 20).to_string());
            assert_eq!(read(path("", group).join("cpu.max")), "20000 100000");
        }
    }
    assert_eq!(tree.pods().unwrap(), std::slice::from_ref(&own.uid));
    // As a runtime leaves it: a container's group inside the pod's, with a process that did not go.
    let inside: Vec<PathBuf> =
        real.directories(&format!("/kubepods{group}")).iter().map(|pod| pod.join("c")).collect();
    for directory in &inside {
        fs::create_dir(directory).unwrap();
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(value) = fs::read_to_string(directory.parent().unwrap().join(file)) {
                fs::write(directory.join(file), value.trim()).unwrap_or_default();
            }
        }
    }
    let sleeper = Sleeper::new(&inside);
    tree.remove_pod(&own.uid).await.unwrap();
    assert_eq!(sleeper.signal(), Some(9));
    assert!(real.directories(&format!("/kubepods{group}")).iter().all(|path| !path.exists()));
    assert!(real.directories("/kubepods/burstable").iter().all(|path| path.exists()));
    assert!(tree.pods().unwrap().is_empty());
    tree.remove_pod(&own.uid).await.unwrap();
}

#[tokio::test]
async fn a_pod_left_in_one_hierarchy_only_is_still_found_and_removed() {
    let real = RealRoot::new("half");
    let tree = real.tree();
    tree.ensure_node(&CgroupValues::default()).unwrap();
    let own = pod("half", QosClass::BestEffort);
    tree.ensure_pod(&own, &CgroupValues::default()).unwrap();
    for directory in real.directories("/kubepods/besteffort/podhalf").iter().skip(1) {
        fs::remove_dir(directory).unwrap();
    }
    assert_eq!(tree.pods().unwrap(), std::slice::from_ref(&own.uid));
    tree.remove_pod(&own.uid).await.unwrap();
    assert!(tree.pods().unwrap().is_empty());
}

#[tokio::test]
async fn the_unified_hierarchy_of_this_machine_works_too() {
    require_root();
    let table = MountTable::read().unwrap();
    let mount = table.entries().iter().find(|entry| entry.fs_type == "cgroup2").unwrap().mount_point.clone();
    let layout = Layout {
        version: CgroupVersion::V2,
        hierarchies: vec![Hierarchy { controllers: vec![], mount }],
        hybrid: None,
    };
    let real = RealRoot::on(layout, "unified");
    let tree = real.tree();
    let own = pod("u2", QosClass::Guaranteed);
    tree.ensure_pod(&own, &CgroupValues::default()).unwrap();
    let sleeper = Sleeper::new(&real.directories("/kubepods/podu2"));
    tree.remove_pod(&own.uid).await.unwrap();
    assert_eq!(sleeper.signal(), Some(9));
    assert!(tree.pods().unwrap().is_empty());
}

#[test]
fn a_limit_below_what_is_used_says_so() {
    let busy = HostError::Path {
        operation: files::WRITE,
        path: "memory.limit_in_bytes".into(),
        source: std::io::Error::from_raw_os_error(16),
    };
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("usage"), "4096\n").unwrap();
    let text = v1::explain_memory(busy, &dir.path().join("usage")).to_string();
    assert!(text.contains("uses 4096 bytes, more than the new limit"), "{text}");
}

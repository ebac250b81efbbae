use std::{fs, path::Path};

use seams::runtime::CgroupDriver;

use super::*;
use crate::cgroup::{Hierarchy, Layout, PodCgroups};

const UID: &str = "0b5a3b1e-4f3c-4a5a-9d59-6f1c2d3e4f50";

/// Files of a made-up machine.
struct Fixture {
    dir: tempfile::TempDir,
    version: CgroupVersion,
}

/// Hierarchies of v1, two controllers in one.
const V1: [&str; 4] = ["cpu,cpuacct", "memory", "pids", "blkio"];

impl Fixture {
    fn new(version: CgroupVersion) -> Self {
        let fixture = Self { dir: tempfile::tempdir().unwrap(), version };
        fixture.write("proc/stat", "cpu 1 2 3\nbtime 1000\n");
        fixture.write("proc/loadavg", "0.1 0.2 0.3 2/345 999\n");
        fixture.write("proc/sys/kernel/pid_max", "32768\n");
        fixture.write("proc/meminfo", "SwapTotal: 100 kB\nSwapFree: 60 kB\n");
        fixture.write("proc/1/net/dev", "a\nb\n  eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n");
        fixture.write("proc/1/limits", "Max open files  512 1024 files\n");
        fixture.write("proc/self/ns/net", "");
        fixture
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn layout(&self) -> Layout {
        let hierarchy = |name: &str| Hierarchy {
            controllers: name.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            mount: self.dir.path().join("cg").join(name),
        };
        let hierarchies = match self.version {
            CgroupVersion::V1 => V1.iter().map(|name| hierarchy(name)).collect(),
            CgroupVersion::V2 => vec![hierarchy("")],
        };
        for one in &hierarchies {
            fs::create_dir_all(&one.mount).unwrap();
        }
        Layout { version: self.version, hierarchies, hybrid: None }
    }

    fn meter(&self, driver: CgroupDriver, system: SystemGroups) -> Meter {
        let tree = CgroupTree::open(self.layout(), driver, "/", PodCgroups::PerQos).unwrap();
        let roots = Roots { proc: self.dir.path().join("proc"), sys: "/none".into(), root: "/none".into() };
        Meter::new(&tree, &roots, system)
    }

    /// Files of a group of v1 that uses `figure` in every way.
    fn v1(&self, path: &str, figure: u64) {
        let stat = format!(
            "cache 1\npgfault 5\npgmajfault 1\nhierarchical_memory_limit 9223372036854771712\n\
             hierarchical_memsw_limit 9223372036854771712\ntotal_cache 300\ntotal_rss {figure}\ntotal_swap 7\n\
             total_mapped_file 11\ntotal_dirty 12\ntotal_writeback 13\ntotal_workingset_refault_file 14\n\
             total_pgfault 50\ntotal_pgmajfault 2\ntotal_inactive_file 100\ntotal_active_file 200\n"
        );
        let files = [
            ("cpu,cpuacct/cpuacct.usage", format!("{}\n", figure * 10)),
            ("cpu,cpuacct/cpuacct.stat", "user 3\nsystem 2\n".to_owned()),
            ("cpu,cpuacct/cpu.shares", "204\n".to_owned()),
            ("cpu,cpuacct/cpu.cfs_period_us", "100000\n".to_owned()),
            ("cpu,cpuacct/cpu.cfs_quota_us", "-1\n".to_owned()),
            ("cpu,cpuacct/cgroup.procs", "7\n8\n".to_owned()),
            ("memory/memory.usage_in_bytes", format!("{}\n", figure + 300)),
            ("memory/memory.stat", stat),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n".to_owned()),
            ("memory/memory.memsw.limit_in_bytes", "9223372036854771712\n".to_owned()),
            ("memory/memory.soft_limit_in_bytes", "9223372036854771712\n".to_owned()),
            ("memory/memory.failcnt", "4\n".to_owned()),
            ("memory/memory.max_usage_in_bytes", "5000\n".to_owned()),
            ("memory/memory.kmem.usage_in_bytes", "600\n".to_owned()),
            ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n".to_owned()),
            ("pids/pids.current", "9\n".to_owned()),
            ("pids/pids.max", "max\n".to_owned()),
            ("blkio/blkio.throttle.io_service_bytes_recursive", "Total 0\n".to_owned()),
        ];
        for (file, text) in files {
            let (hierarchy, name) = file.split_once('/').unwrap();
            self.write(&format!("cg/{hierarchy}{path}/{name}"), &text);
        }
    }

    /// Files of a group of v2 that uses `figure` in every way.
    fn v2(&self, path: &str, figure: u64) {
        let line = "avg10=0.00 avg60=0.00 avg300=0.00";
        let files = [
            (
                "cpu.stat",
                format!(
                    "usage_usec {figure}\nuser_usec 3\nsystem_usec 2\nnr_periods 8\nnr_throttled 1\nthrottled_usec 9\n"
                ),
            ),
            ("cpu.weight", "39\n".to_owned()),
            ("cpu.max", "20000 100000\n".to_owned()),
            ("cpu.pressure", format!("some {line} total=5\nfull {line} total=4\n")),
            ("memory.pressure", format!("some {line} total=6\nfull {line} total=3\n")),
            ("memory.current", format!("{}\n", figure + 300)),
            (
                "memory.stat",
                format!(
                    "anon {figure}\nfile 300\nkernel 600\nfile_mapped 11\ninactive_file 100\nactive_file 200\n\
                     pgfault 50\npgmajfault 2\npgscan 21\npgsteal 20\n"
                ),
            ),
            ("memory.max", "67108864\n".to_owned()),
            ("memory.peak", "5000\n".to_owned()),
            ("memory.low", "4096\n".to_owned()),
            ("memory.min", "8192\n".to_owned()),
            ("memory.events", "low 0\nhigh 1\nmax 2\noom 4\noom_kill 3\n".to_owned()),
            ("memory.swap.current", "7\n".to_owned()),
            ("memory.swap.max", "0\n".to_owned()),
            ("pids.current", "9\n".to_owned()),
            ("pids.max", "100\n".to_owned()),
            ("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4\n".to_owned()),
            ("cgroup.procs", "7\n8\n".to_owned()),
        ];
        for (name, text) in files {
            self.write(&format!("cg{path}/{name}"), &text);
        }
    }
}

#[test]
fn a_group_of_v1_is_put_together_from_its_hierarchies() {
    let fixture = Fixture::new(CgroupVersion::V1);
    for path in ["", "/kubepods", "/kubepods/burstable", "/kubepods/besteffort"] {
        fixture.v1(path, 9000);
    }
    let pod = format!("/kubepods/burstable/pod{UID}");
    fixture.v1(&pod, 2000);
    fixture.v1(&format!("{pod}/c0ffee"), 1000);
    let tree = fixture.meter(CgroupDriver::Cgroupfs, Vec::new()).pass(Depth::Everything).unwrap();
    assert_eq!(tree.root.cpu.unwrap().usage_ns, 90_000);
    assert_eq!(tree.tasks, Some((345, 32768)));
    assert_eq!(tree.network.len(), 1);
    assert_eq!(tree.booted_at.unwrap().as_second(), 1000);
    assert_eq!((tree.kubepods.unwrap().path.as_ref(), tree.qos.len()), ("/kubepods", 2));
    let [seen] = tree.pods.as_slice() else { panic!("{:?}", tree.pods) };
    assert_eq!(seen.uid.as_str(), UID);
    assert_eq!(seen.group.path.as_ref(), pod);
    let (id, container) = &seen.inside[0];
    assert_eq!(id.as_ref(), "c0ffee");
    assert_eq!(container.cpu.unwrap().usage_ns, 10_000);
    assert_eq!(container.cpu.unwrap().split_ns, Some((30_000_000, 20_000_000)));
    assert_eq!(container.cpu.unwrap().throttling, None, "without a quota nothing is held back");
    let memory = container.memory.unwrap();
    assert_eq!((memory.usage, memory.working_set, memory.rss, memory.cache), (1300, 1200, 1000, 300));
    assert_eq!((memory.faults.all, memory.faults.own), (50, 5));
    assert_eq!((memory.limit, container.swap.unwrap().usage), (None, 7));
    let detail = memory.detail.unwrap();
    assert_eq!((detail.kernel, detail.max_usage, detail.limit_hits, detail.oom_kills), (600, 5000, 4, 3));
    assert_eq!(container.tasks, Some(seams::stats::Tasks { count: 9, limit: None }));
    let limits = container.limits.unwrap();
    assert_eq!(limits.cpu.unwrap().shares, 204);
    assert_eq!((limits.cpu.unwrap().quota_us, limits.memory, limits.swap), (None, None, None));
    assert!(container.created_at.is_some() && container.pressure.cpu.is_none());
}

#[test]
fn limits_of_v1_are_seen() {
    let fixture = Fixture::new(CgroupVersion::V1);
    fixture.v1("", 9000);
    let pod = format!("/kubepods/pod{UID}");
    fixture.v1(&pod, 2000);
    let base = format!("cg/memory{pod}");
    fixture.write(&format!("{base}/memory.limit_in_bytes"), "67108864\n");
    fixture.write(&format!("{base}/memory.memsw.limit_in_bytes"), "67112960\n");
    let stat = "total_rss 1\ntotal_inactive_file 9999\nhierarchical_memsw_limit 67112960\n";
    fixture.write(&format!("{base}/memory.stat"), stat);
    fixture.write(&format!("cg/cpu,cpuacct{pod}/cpu.cfs_quota_us"), "20000\n");
    fixture.write(
        &format!("cg/cpu,cpuacct{pod}/cpu.stat"),
        "nr_periods 8\nnr_throttled 1\nthrottled_time 9000\n",
    );
    let meter = fixture.meter(CgroupDriver::Cgroupfs, Vec::new());
    let seen = &meter.pass(Depth::Everything).unwrap().pods[0].group;
    assert_eq!(seen.memory.unwrap().limit, Some(64 << 20));
    assert_eq!(seen.memory.unwrap().working_set, 0, "never negative");
    assert_eq!(seen.swap.unwrap().limit, Some(4096), "of swap alone");
    assert_eq!(seen.limits.unwrap().swap, Some(67_112_960), "of both");
    let throttling = seen.cpu.unwrap().throttling.unwrap();
    assert_eq!((throttling.periods, throttling.throttled_periods, throttling.throttled_ns), (8, 1, 9000));
    let shallow = &meter.pass(Depth::Resource).unwrap().pods[0].group;
    assert_eq!((shallow.swap.unwrap().limit, shallow.limits), (Some(4096), None));
}

#[test]
fn a_group_of_v2_is_one_directory() {
    let fixture = Fixture::new(CgroupVersion::V2);
    fixture.write("cg/cpu.stat", "usage_usec 90\nuser_usec 50\nsystem_usec 40\n");
    fixture.write("cg/memory.stat", "anon 700\nfile 800\ninactive_file 500\n");
    fixture.write("cg/cgroup.procs", "1\n");
    fixture.v2("/kubepods.slice", 9000);
    fixture.v2("/system.slice/kubelet.service", 400);
    let pod = format!(
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{}.slice",
        UID.replace('-', "_")
    );
    fixture.v2(&pod, 2000);
    fixture.v2(&format!("{pod}/cri-containerd-c0ffee.scope"), 1000);
    fixture.write("proc/7/net/dev", "a\nb\n  eth0: 11 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n");
    fixture.write("proc/7/ns/net", "");
    let system = vec![("kubelet", "/system.slice/kubelet.service".to_owned()), ("misc", "/none".to_owned())];
    let tree = fixture.meter(CgroupDriver::Systemd, system).pass(Depth::Everything).unwrap();
    let root = tree.root.memory.unwrap();
    assert_eq!((root.usage, root.working_set), (1500, 1000), "the root has no file for its usage");
    assert_eq!(tree.root.swap.unwrap().usage, 40 << 10, "nor for its swap");
    let of_root = tree.root.limits.unwrap().cpu.unwrap();
    assert_eq!((of_root.shares, of_root.period_us, of_root.quota_us), (0, 0, None), "nothing that limits it");
    assert_eq!(tree.root.processes.unwrap().open_files_limit, Some(512));
    let system: Vec<_> = tree.system.iter().map(|(name, group)| (*name, group.path.as_ref())).collect();
    assert_eq!(system, [("kubelet", "/system.slice/kubelet.service")], "what is not there is left out");
    let [seen] = tree.pods.as_slice() else { panic!("{:?}", tree.pods) };
    assert_eq!(seen.uid.as_str(), UID);
    assert_eq!(seen.network.as_ref().unwrap()[0].received.bytes, 11);
    let (id, container) = &seen.inside[0];
    assert_eq!(id.as_ref(), "c0ffee");
    assert_eq!(container.cpu.unwrap().usage_ns, 1_000_000);
    assert_eq!(container.cpu.unwrap().throttling.unwrap().throttled_ns, 9000);
    let memory = container.memory.unwrap();
    assert_eq!((memory.usage, memory.working_set, memory.limit), (1300, 1200, Some(64 << 20)));
    assert_eq!((memory.faults.own, memory.scanned, memory.stolen), (50, 21, 20));
    let detail = memory.detail.unwrap();
    assert_eq!((detail.high_events, detail.max_events, detail.oom_kills), (1, 2, 3));
    assert_eq!((detail.kernel, detail.limit_hits), (0, 0), "v1's counters");
    assert_eq!(container.swap.unwrap(), seams::stats::Swap { usage: 7, limit: Some(0) });
    assert_eq!(container.pressure.memory.unwrap().full.total_us, 3);
    assert!(container.pressure.io.is_none(), "a file that the kernel does not have");
    let limits = container.limits.unwrap();
    assert_eq!((limits.cpu.unwrap().quota_us, limits.memory_reservation), (Some(20_000), Some(8192)));
    assert_eq!(container.processes.unwrap().count, 2);
    assert_eq!(container.io[0].written_bytes, 2);
}

#[test]
fn a_kernel_that_does_not_account_for_swap_has_none_used() {
    let fixture = Fixture::new(CgroupVersion::V2);
    for path in ["", "/kubepods", &format!("/kubepods/pod{UID}")] {
        fixture.v2(path, 9000);
        for file in ["memory.swap.current", "memory.swap.max"] {
            fs::remove_file(fixture.dir.path().join(format!("cg{path}/{file}"))).unwrap();
        }
    }
    let tree = fixture.meter(CgroupDriver::Cgroupfs, vec![]).pass(Depth::Resource).unwrap();
    assert_eq!(tree.pods[0].group.swap, Some(seams::stats::Swap::default()));
    assert_eq!(tree.root.swap.unwrap().usage, 40 << 10, "the machine's own");
}

#[test]
fn less_is_read_when_less_is_asked_for() {
    let fixture = Fixture::new(CgroupVersion::V2);
    fixture.v2("", 9000);
    fixture.v2("/kubepods", 9000);
    fixture.v2(&format!("/kubepods/pod{UID}"), 2000);
    fixture.v2(&format!("/kubepods/pod{UID}/a"), 1000);
    let tree = fixture
        .meter(CgroupDriver::Cgroupfs, vec![("kubelet", "/kubepods".to_owned())])
        .pass(Depth::Resource);
    let tree = tree.unwrap();
    assert!(tree.kubepods.is_none() && tree.system.is_empty() && tree.network.is_empty());
    let group = &tree.pods[0].inside[0].1;
    assert!(group.processes.is_none() && group.limits.is_none() && group.pressure.cpu.is_none());
    assert!(group.memory.unwrap().detail.is_none() && group.created_at.is_none());
}

#[test]
fn groups_that_go_are_left_out() {
    let fixture = Fixture::new(CgroupVersion::V2);
    fixture.v2("", 9000);
    fixture.v2(&format!("/kubepods/pod{UID}/a"), 1000);
    // The directory of the pod is listed, and then there is nothing in it any more.
    let tree = fixture.meter(CgroupDriver::Cgroupfs, Vec::new()).pass(Depth::Summary).unwrap();
    assert!(tree.pods.is_empty(), "{:?}", tree.pods);
    fixture.v2(&format!("/kubepods/pod{UID}"), 1000);
    fs::remove_file(fixture.dir.path().join(format!("cg/kubepods/pod{UID}/a/cpu.stat"))).unwrap();
    let tree = fixture.meter(CgroupDriver::Cgroupfs, Vec::new()).pass(Depth::Summary).unwrap();
    assert!(tree.pods[0].inside[0].1.cpu.is_none(), "one file less");
    fs::remove_file(fixture.dir.path().join(format!("cg/kubepods/pod{UID}/a/memory.stat"))).unwrap();
    let tree = fixture.meter(CgroupDriver::Cgroupfs, Vec::new()).pass(Depth::Summary).unwrap();
    assert!(tree.pods[0].inside.is_empty());
    fs::remove_dir_all(fixture.dir.path().join("cg")).unwrap();
    fs::create_dir_all(fixture.dir.path().join("cg")).unwrap();
    let error = fixture.meter(CgroupDriver::Cgroupfs, Vec::new()).pass(Depth::Summary).unwrap_err();
    assert!(error.to_string().contains("hint:"), "{error}");
}

#[test]
fn the_network_of_the_node_is_not_a_pods() {
    let fixture = Fixture::new(CgroupVersion::V2);
    fixture.v2("", 9000);
    fixture.v2(&format!("/kubepods/pod{UID}"), 2000);
    fixture.v2(&format!("/kubepods/pod{UID}/a"), 1000);
    fixture.write("proc/7/net/dev", "a\nb\n  eth0: 11 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n");
    fs::create_dir_all(fixture.dir.path().join("proc/7/ns")).unwrap();
    let own = fixture.dir.path().join("proc/self/ns/net");
    fs::hard_link(&own, fixture.dir.path().join("proc/7/ns/net")).unwrap();
    let meter = fixture.meter(CgroupDriver::Cgroupfs, Vec::new());
    assert_eq!(meter.pass(Depth::Summary).unwrap().pods[0].network, None);
}

#[test]
fn the_own_group_is_told_where_it_is_one() {
    let fixture = Fixture::new(CgroupVersion::V1);
    let roots = Roots { proc: fixture.dir.path().join("proc"), ..Roots::default() };
    let own = |text: &str| {
        fixture.write("proc/self/cgroup", text);
        own_group(&roots)
    };
    assert_eq!(own("0::/system.slice/kubelet.service\n").as_deref(), Some("/system.slice/kubelet.service"));
    assert_eq!(own("0::/\n"), None);
    assert_eq!(own("4:memory:/k\n2:cpu,cpuacct:/k\n0::/\n").as_deref(), Some("/k"));
    assert_eq!(own("4:memory:/k\n2:cpu,cpuacct:/\n0::/\n"), None, "CPU and memory would be of two groups");
}

#[test]
fn this_machine_is_read() {
    let table = crate::mounts::MountTable::read().unwrap();
    let tree = CgroupTree::open(Layout::of(&table).unwrap(), CgroupDriver::Cgroupfs, "/", PodCgroups::PerQos)
        .unwrap();
    let tree = Meter::new(&tree, &Roots::default(), Vec::new()).pass(Depth::Everything).unwrap();
    assert!(tree.root.cpu.unwrap().usage_ns > 0 && tree.root.memory.unwrap().working_set > 0);
    assert!(tree.booted_at.unwrap() < tree.root.read_at);
    assert!(Path::new("/proc/pressure").exists() == tree.root.pressure.cpu.is_some());
}

use std::fs;

use super::*;
use crate::{cgroup::Hierarchy, mounts::MountTable};

fn write(directory: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn layout(version: CgroupVersion, mount: &Path) -> Layout {
    let controllers = if version == CgroupVersion::V1 { vec!["memory".to_owned()] } else { vec![] };
    Layout { version, hierarchies: vec![Hierarchy { controllers, mount: mount.to_path_buf() }], hybrid: None }
}

#[test]
fn available_memory_is_without_the_working_set() {
    let dir = tempfile::tempdir().unwrap();
    let v1 = layout(CgroupVersion::V1, dir.path());
    write(
        dir.path(),
        &[("memory.usage_in_bytes", "1000\n"), ("memory.stat", "inactive_file 1\ntotal_inactive_file 300\n")],
    );
    assert_eq!(memory_available(&v1, 5000).unwrap(), 4300);
    write(dir.path(), &[("memory.stat", "total_inactive_file 2000\n")]);
    assert_eq!(memory_available(&v1, 5000).unwrap(), 5000, "a working set is never negative");
    assert_eq!(memory_available(&v1, 0).unwrap(), 0);
    let v2 = layout(CgroupVersion::V2, dir.path());
    write(
        dir.path(),
        &[("memory.stat", "anon 700\nfile 800\nkernel 5\ninactive_anon 9\ninactive_file 500\n")],
    );
    assert_eq!(memory_available(&v2, 5000).unwrap(), 4000);
    write(dir.path(), &[("memory.stat", "anon 700\n")]);
    assert!(memory_available(&v2, 5000).unwrap_err().to_string().contains("memory.stat"));
}

#[test]
fn processes_and_their_limit() {
    let dir = tempfile::tempdir().unwrap();
    let roots = Roots { proc: dir.path().into(), ..Roots::default() };
    write(
        dir.path(),
        &[
            ("loadavg", "1.36 3.49 4.53 2/3518 3715089\n"),
            ("sys/kernel/pid_max", "4194304\n"),
            ("sys/kernel/threads-max", "190000\n"),
        ],
    );
    assert_eq!(processes(&roots).unwrap(), (3518, 190_000));
    fs::remove_file(dir.path().join("sys/kernel/threads-max")).unwrap();
    assert_eq!(max_processes(&roots).unwrap(), 4_194_304);
    fs::remove_file(dir.path().join("sys/kernel/pid_max")).unwrap();
    assert!(max_processes(&roots).is_err());
    write(dir.path(), &[("loadavg", "1.36 3.49")]);
    assert!(processes(&roots).is_err());
}

#[test]
fn this_machine_is_used() {
    let table = MountTable::read().unwrap();
    let layout = Layout::of(&table).unwrap();
    let capacity = crate::facts::read(&Roots::default()).unwrap().memory_bytes;
    let available = memory_available(&layout, capacity).unwrap();
    assert!(available > 0 && available <= capacity);
    let (tasks, limit) = processes(&Roots::default()).unwrap();
    assert!(tasks > 0 && tasks < limit);
    let root = filesystem(Path::new("/")).unwrap();
    assert!(root.capacity_bytes > 0 && root.available_bytes <= root.capacity_bytes, "{root:?}");
    assert!(filesystem(Path::new("/none/such")).unwrap_err().to_string().contains("/none/such"));
}

#[test]
fn swap_control_is_seen_in_the_own_group() {
    let dir = tempfile::tempdir().unwrap();
    let roots = Roots { proc: dir.path().join("proc"), ..Roots::default() };
    let v2 = layout(CgroupVersion::V2, &dir.path().join("cg"));
    write(dir.path(), &[("proc/self/cgroup", "0::/a/b\n"), ("cg/memory.swap.max", "")]);
    assert!(!swap_is_controlled(&v2, &roots));
    write(dir.path(), &[("cg/a/b/memory.swap.max", "max")]);
    assert!(swap_is_controlled(&v2, &roots));
    let v1 = layout(CgroupVersion::V1, &dir.path().join("v1"));
    assert!(!swap_is_controlled(&v1, &roots));
    write(dir.path(), &[("v1/memory.memsw.limit_in_bytes", "0")]);
    assert!(swap_is_controlled(&v1, &roots));
}

use std::fs;

use super::*;

fn fixture(files: &[(&str, &str)]) -> (tempfile::TempDir, Roots) {
    let dir = tempfile::tempdir().unwrap();
    let base = [
        ("proc/meminfo", "MemTotal:       24684092 kB\nMemFree: 1 kB\nSwapTotal:       1024 kB\n"),
        ("proc/sys/kernel/random/boot_id", "00b82710-8532-490a-ad5e-62506d7096e8\n"),
        ("sys/devices/system/cpu/online", "0-1\n"),
    ];
    for (path, text) in base.iter().chain(files) {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let roots = Roots { proc: dir.path().join("proc"), sys: dir.path().join("sys"), root: dir.path().into() };
    (dir, roots)
}

#[test]
fn everything_from_files() {
    let (_dir, roots) = fixture(&[
        ("etc/machine-id", "3d1219c7c4c5404aaa1f6d2a48adfda4\n"),
        ("etc/os-release", "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
        ("sys/class/dmi/id/product_uuid", "aaaa-bbbb\n"),
        ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "512\n"),
        ("sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "0\n"),
    ]);
    let facts = read(&roots).unwrap();
    assert_eq!((facts.cpus, facts.memory_bytes, facts.swap_bytes), (2, 24_684_092 << 10, 1 << 20));
    assert_eq!(facts.machine_id, "3d1219c7c4c5404aaa1f6d2a48adfda4");
    assert_eq!(facts.system_uuid, "aaaa-bbbb");
    assert_eq!(facts.boot_id, "00b82710-8532-490a-ad5e-62506d7096e8");
    assert_eq!(facts.os_image, "Debian GNU/Linux 12 (bookworm)");
    assert_eq!(facts.hugepages, [(2 << 20, 512), (1 << 30, 0)]);
    assert!(!facts.kernel_version.is_empty());
}

#[test]
fn what_a_machine_lacks_falls_back() {
    let (_dir, roots) = fixture(&[("etc/machine-id", "\n"), ("var/lib/dbus/machine-id", "dbus\n")]);
    let facts = read(&roots).unwrap();
    assert_eq!(
        (facts.machine_id.as_str(), facts.system_uuid.as_str(), facts.os_image.as_str()),
        ("dbus", "", "Linux")
    );
    assert!(facts.hugepages.is_empty());
    let (_dir, roots) = fixture(&[("etc/machine-id", "m\n"), ("proc/device-tree/vm,uuid", "tree\0")]);
    assert_eq!(read(&roots).unwrap().system_uuid, "tree");
    let (_dir, roots) = fixture(&[("etc/machine-id", "m\n")]);
    assert_eq!(read(&roots).unwrap().system_uuid, "m");
}

#[test]
fn broken_files_are_errors_with_their_path() {
    for (path, text) in [
        ("proc/meminfo", "MemFree: 1 kB"),
        ("sys/devices/system/cpu/online", "x"),
        ("sys/devices/system/cpu/online", "3-1"),
    ] {
        let (_dir, roots) = fixture(&[(path, text)]);
        let error = read(&roots).unwrap_err().to_string();
        assert!(error.contains(path), "{error}");
    }
}

#[test]
fn cpu_lists_and_quoted_names() {
    for (list, count) in
        [("0", Some(1)), ("0-3", Some(4)), ("0-3,8,10-11", Some(7)), ("", None), ("0-", None)]
    {
        assert_eq!(parse_cpu_list(list), count, "{list}");
    }
    for (value, name) in
        [("\"a b\"", "a b"), ("'a'", "a"), ("plain", "plain"), ("\"q\\\"q\"", "q\"q"), ("\"", "\"")]
    {
        assert_eq!(unquoted(value), name);
    }
    assert_eq!(
        (architecture("x86_64"), architecture("aarch64"), architecture("s390x")),
        ("amd64", "arm64", "s390x")
    );
}

#[test]
fn user_namespaces_are_seen_by_their_map() {
    let inside = |map: &str| in_user_namespace(&fixture(&[("proc/self/uid_map", map)]).1);
    let (_one, first) = fixture(&[("proc/self/uid_map", "         0          0 4294967295\n")]);
    assert!(!in_user_namespace(&first));
    let (_two, other) = fixture(&[("proc/self/uid_map", "0 100000 65536\n")]);
    assert!(in_user_namespace(&other));
    assert!(!inside(""), "unreadable says no");
}

#[test]
fn this_machine_has_facts() {
    let facts = read(&Roots::default()).unwrap();
    assert!(facts.cpus > 0 && facts.memory_bytes > 1 << 20 && facts.boot_id.len() == 36, "{facts:?}");
}

use std::{
    ffi::OsStr,
    fs,
    os::{
        fd::AsFd,
        unix::{ffi::OsStrExt, fs::symlink},
    },
};

use super::*;
use crate::{safe_path::SafeRoot, testing::in_own_mount_namespace};

/// Shapes from proc_pid_mountinfo(5) and from a machine with cgroup v1.
const TABLE: &[u8] = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
24 22 0:22 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
30 22 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
40 22 0:40 / /var/lib/kubelet/pods/u/volumes/v rw master:1 propagate_from:2 - tmpfs tmpfs rw
41 40 0:41 / /var/lib/kubelet/pods/u/volumes/v rw - tmpfs tmpfs rw,size=4k
42 22 0:42 /a\\040b /mnt/with\\040space\\134and\\011tab rw shared:3 master:4 - fuse.x my\\040source rw
43 22 0:43 / /var/lib/kubelet/pods/uu rw - tmpfs tmpfs rw
not a line
";

#[test]
fn table_is_parsed() {
    let table = MountTable::parse(TABLE);
    assert_eq!(table.entries().len(), 8);
    let cpu = table.mounted_at(Path::new("/sys/fs/cgroup/cpu,cpuacct")).unwrap();
    assert_eq!(
        (cpu.fs_type.as_str(), cpu.super_options.as_str(), cpu.shared),
        ("cgroup", "rw,cpu,cpuacct", true)
    );
    let odd = table.mounted_at(Path::new("/mnt/with space\\and\ttab")).unwrap();
    assert_eq!(odd.root, Path::new("/a b"));
    assert_eq!((odd.origin.as_str(), odd.fs_type.as_str(), odd.shared), ("my source", "fuse.x", true));
    let slave = table.entries().iter().find(|entry| entry.device == "0:40").unwrap();
    assert!(!slave.shared, "a slave mount is not shared");
}

#[test]
fn the_mount_below_a_path_is_found() {
    let table = MountTable::parse(TABLE);
    let held_by = |path: &str| table.holding(Path::new(path)).unwrap().device.clone();
    assert_eq!(held_by("/etc"), "254:0");
    assert_eq!(held_by("/proc/1"), "0:22");
    assert_eq!(held_by("/var/lib/kubelet/pods/u/volumes/v/x"), "0:41", "the newer of two stacked mounts");
    assert_eq!(held_by("/process"), "254:0", "a common prefix of letters is no parent");
}

#[test]
fn mounts_below_come_newest_first_and_namesakes_do_not() {
    let table = MountTable::parse(TABLE);
    let devices: Vec<_> =
        table.below(Path::new("/var/lib/kubelet/pods/u")).map(|entry| entry.device.as_str()).collect();
    assert_eq!(devices, ["0:41", "0:40"]);
}

#[test]
fn a_name_that_is_no_text_hides_no_mount() {
    // What a pod names in its volume is the root of a mount of a subpath, byte for byte.
    let table = [
        b"50 22 254:0 /pods/u/volumes/v/\xff\xfe /var/lib/kubelet/pods/u/volume-subpaths/v/c/0 rw - ext4 /dev/vda rw\n"
            .as_slice(),
        b"51 22 0:51 / /var/lib/kubelet/pods/u/volumes/a\\040b\xff rw - tmpfs tmpfs rw\n",
        b"52 22 0:52 / /var/lib/kubelet/pods/\xff rw - tmpfs tmpfs rw\n",
    ];
    let table = MountTable::parse(&table.concat());
    let below: Vec<_> =
        table.below(Path::new("/var/lib/kubelet/pods/u")).map(|entry| entry.mount_point.as_path()).collect();
    let odd = OsStr::from_bytes(b"/var/lib/kubelet/pods/u/volumes/a b\xff");
    assert_eq!(below, [Path::new(odd), Path::new("/var/lib/kubelet/pods/u/volume-subpaths/v/c/0")]);
}

#[test]
fn tmpfs_options_are_what_the_kernel_reads() {
    let all = TmpfsOptions { size_bytes: Some(65536), mode: Some(0o1777), noswap: true };
    assert_eq!(all.data(), "size=65536,mode=1777,noswap");
    assert_eq!(TmpfsOptions::default().data(), "");
}

#[test]
fn a_tmpfs_is_mounted_seen_and_unmounted() {
    in_own_mount_namespace(|| {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("memory");
        fs::create_dir(&target).unwrap();
        assert!(!is_mount_point(&target).unwrap());
        let options = TmpfsOptions { size_bytes: Some(1 << 20), mode: Some(0o700), noswap: false };
        mount_tmpfs(&target, &options).unwrap();
        assert!(is_mount_point(&target).unwrap());
        let size = statvfs(&target).unwrap();
        assert_eq!(size.f_blocks * size.f_frsize, 1 << 20);
        fs::write(target.join("x"), "y").unwrap();
        assert!(!is_mount_point(&target.join("x")).unwrap());
        assert_eq!(unmount(&target, Unmount::Plain).unwrap(), Unmounted::Done);
        assert_eq!(unmount(&target, Unmount::Plain).unwrap(), Unmounted::NotMounted);
        assert!(!target.join("x").exists());
        assert_eq!(unmount(&dir.path().join("absent"), Unmount::Plain).unwrap(), Unmounted::NotMounted);
        assert!(!is_mount_point(&dir.path().join("absent")).unwrap());
    });
}

#[test]
fn unmounting_does_not_follow_a_link_and_a_busy_mount_stays() {
    in_own_mount_namespace(|| {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("t");
        fs::create_dir(&target).unwrap();
        mount_tmpfs(&target, &TmpfsOptions::default()).unwrap();
        let link = dir.path().join("link");
        symlink(&target, &link).unwrap();
        assert_eq!(unmount(&link, Unmount::Plain).unwrap(), Unmounted::NotMounted);
        assert!(is_mount_point(&target).unwrap(), "the link's target is still mounted");
        let user = fs::File::create(target.join("open")).unwrap();
        let error = unmount(&target, Unmount::Plain).unwrap_err();
        assert_eq!(error.cause().raw_os_error(), Some(Errno::BUSY.raw_os_error()));
        assert_eq!(unmount(&target, Unmount::Lazy).unwrap(), Unmounted::Done);
        drop(user);
    });
}

#[test]
fn a_read_only_bind_is_read_only_and_keeps_the_other_flags() {
    in_own_mount_namespace(|| {
        let dir = tempfile::tempdir().unwrap();
        let (origin, target) = (dir.path().join("o"), dir.path().join("t"));
        fs::create_dir(&origin).unwrap();
        fs::create_dir(&target).unwrap();
        rustix::mount::mount("tmpfs", &origin, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, None)
            .unwrap();
        bind(&origin, &target, BindOptions { recursive: false, read_only: true }).unwrap();
        let refused = fs::write(target.join("x"), "y").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ReadOnlyFilesystem);
        let flags = statvfs(&target).unwrap().f_flag;
        assert!(flags.contains(StatVfsMountFlags::NOSUID | StatVfsMountFlags::NODEV));
        fs::write(origin.join("x"), "y").unwrap();
        assert_eq!(fs::read_to_string(target.join("x")).unwrap(), "y");
    });
}

#[test]
fn a_descriptor_is_bound_wherever_its_name_went() {
    in_own_mount_namespace(|| {
        let dir = tempfile::tempdir().unwrap();
        let root = SafeRoot::open(dir.path()).unwrap();
        fs::create_dir(dir.path().join("volume")).unwrap();
        fs::write(dir.path().join("volume/file"), "the file").unwrap();
        fs::write(dir.path().join("target"), "").unwrap();
        let fd = root.open_path(Path::new("volume/file")).unwrap();
        // What a pod would do between the check and the use.
        fs::rename(dir.path().join("volume/file"), dir.path().join("volume/moved")).unwrap();
        symlink("/etc/passwd", dir.path().join("volume/file")).unwrap();
        bind_fd(fd.as_fd(), &dir.path().join("target"), BindOptions::default()).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("target")).unwrap(), "the file");
    });
}

#[test]
fn everything_below_a_path_is_unmounted_stacks_too() {
    in_own_mount_namespace(|| {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        for name in ["pods/u/a", "pods/u/b", "pods/uu"] {
            fs::create_dir_all(base.join(name)).unwrap();
            mount_tmpfs(&base.join(name), &TmpfsOptions::default()).unwrap();
        }
        mount_tmpfs(&base.join("pods/u/a"), &TmpfsOptions::default()).unwrap();
        fs::create_dir(base.join("pods/u/a/inner")).unwrap();
        mount_tmpfs(&base.join("pods/u/a/inner"), &TmpfsOptions::default()).unwrap();
        assert_eq!(mounts_below(&base.join("pods/u")).unwrap().len(), 4);
        unmount_below(&base.join("pods/u"), Unmount::Plain).unwrap();
        assert!(mounts_below(&base.join("pods/u")).unwrap().is_empty());
        assert!(is_mount_point(&base.join("pods/uu")).unwrap());
    });
}

#[test]
fn a_root_becomes_shared_once() {
    in_own_mount_namespace(|| {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        make_rshared(&root).unwrap();
        make_rshared(&root).unwrap();
        assert_eq!(mounts_below(&root).unwrap().len(), 1, "the second call mounts nothing");
        assert!(MountTable::read().unwrap().mounted_at(&root).unwrap().shared);
        fs::create_dir(root.join("v")).unwrap();
        mount_tmpfs(&root.join("v"), &TmpfsOptions::default()).unwrap();
        assert!(MountTable::read().unwrap().mounted_at(&root.join("v")).unwrap().shared);
    });
}

use std::path::Path;

use super::*;

#[test]
fn this_machine_opens() {
    let host = LinuxHost::open(LinuxConfig::default()).unwrap();
    assert!(host.facts().cpus > 0);
    assert!(host.memory_available().unwrap() <= host.facts().memory_bytes);
    assert!(host.fs_usage(Path::new("/")).unwrap().capacity_bytes > 0);
    let pod = PodCgroup { uid: "u".into(), qos: QosClass::Burstable };
    assert_eq!(host.cgroup_parent(&pod), "/kubepods/burstable/podu");
    assert_eq!(host.kubepods_path(), "/kubepods");
    assert!(host.list_pod_cgroups().is_ok());
    assert!(host.mounts_below(Path::new("/proc")).unwrap().contains(&PathBuf::from("/proc")));
}

#[test]
fn what_cannot_work_is_refused_at_the_start() {
    let systemd = LinuxConfig { cgroup_driver: CgroupDriver::Systemd, ..LinuxConfig::default() };
    let error = LinuxHost::open(systemd).unwrap_err().to_string();
    assert!(error.contains("systemd") && error.contains("hint: set cgroupDriver: cgroupfs"), "{error}");
    let rootless = LinuxConfig { cgroup_root: "/kubelet-rs-none".to_owned(), ..LinuxConfig::default() };
    let error = LinuxHost::open(rootless).unwrap_err().to_string();
    assert!(error.contains("cgroup-root \"/kubelet-rs-none\" doesn't exist"), "{error}");
}

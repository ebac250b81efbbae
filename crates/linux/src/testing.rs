//! What tests of this crate share.

/// Fails with a clear text where a test needs the kernel's permission: such tests run as root, here and in CI.
pub(crate) fn require_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test mounts filesystems or makes cgroups: run it as root"
    );
}

/// Runs a closure on a thread with a mount namespace of its own, private from the machine's: whatever it mounts is
/// gone with the thread.
#[expect(
    unsafe_code,
    reason = "unshare(2) is unsafe in rustix because of CLONE_FILES, which is not asked for"
)]
pub(crate) fn in_own_mount_namespace(body: impl FnOnce() + Send + 'static) {
    use rustix::{
        mount::{MountPropagationFlags, mount_change},
        thread::{UnshareFlags, unshare_unsafe},
    };
    require_root();
    let thread = std::thread::spawn(|| {
        // SAFETY: NEWNS (and FS, which it implies) leaves the table of descriptors shared; only this thread changes.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        body();
    });
    if let Err(failure) = thread.join() {
        std::panic::resume_unwind(failure);
    }
}

/// Runs a test once more in a process that may have few files open, and returns whether this is that process: what is
/// about a limit of the process must not be about its neighbours.
pub(crate) fn with_few_descriptors(test: &str) -> bool {
    use rustix::process::{Resource, Rlimit, setrlimit};
    const CHILD: &str = "FEW_DESCRIPTORS";
    if std::env::var_os(CHILD).is_some() {
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: Some(64) }).unwrap();
        return true;
    }
    let itself = std::env::current_exe().unwrap();
    let ended = std::process::Command::new(itself).args(["--exact", test]).env(CHILD, "1").output().unwrap();
    let (said, erred) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success() && said.contains("1 passed"), "{said}{erred}");
    false
}

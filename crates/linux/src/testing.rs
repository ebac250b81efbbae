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

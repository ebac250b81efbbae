//! Debian on a disk: a kernel, a small system with systemd, and a key to get in. Made once by debootstrap, kept in the cache.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::{
    artifacts,
    plan::{make_dir, write},
    prerequisites, run,
};

/// Debian's release.
const RELEASE: &str = "bookworm";
/// Where its packages are.
const MIRROR: &str = "http://deb.debian.org/debian";
/// What is in it besides the essential packages. The runtime and the kubelet come with the payload.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,udev,kmod,iproute2,iptables,openssh-server,criu,libseccomp2,procps,\
                        linux-image-cloud-amd64";
/// Size of its disk, of which a sixth is used at first. The file is sparse.
const SIZE: &str = "6G";
/// Units that let somebody in. The machine's address is on the kernel's command line: one of them makes a network file of it.
const WANTED: [&str; 3] = ["systemd-networkd.service", "systemd-network-generator.service", "ssh.service"];
/// Units that only cost time in a machine that lives for minutes.
const UNWANTED: [&str; 6] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "getty@tty1.service",
];

/// The files that a machine starts from. None is written to while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    folder: PathBuf,
}

impl Image {
    /// Find it, or make it: two minutes.
    ///
    /// # Errors
    /// A package cannot be had, or a step fails.
    pub(super) fn ensure(state: &Path) -> Result<Self> {
        let cache = state.join("cache");
        let name = folder_name();
        if !cache.join(&name).is_dir() {
            prerequisites::ensure_for_machines()?;
        }
        let folder = artifacts::kept(&cache, "machine", &name, |partial| {
            eprintln!("lab: installing Debian {RELEASE} on a disk (about 2 minutes) …");
            make(partial).context("cannot make the machine's disk")
        })?;
        Ok(Self { folder })
    }

    /// The one that is there.
    pub(super) fn there(state: &Path) -> Self {
        Self { folder: state.join("cache").join(folder_name()) }
    }

    pub(super) fn kernel(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    pub(super) fn initrd(&self) -> PathBuf {
        self.folder.join("initrd.img")
    }

    pub(super) fn disk(&self) -> PathBuf {
        self.folder.join("root.ext4")
    }

    /// The private key that root of the machine lets in.
    pub(super) fn key(&self) -> PathBuf {
        self.folder.join("key")
    }
}

/// The name has a hash of what it is made by, so that another recipe is another folder.
fn folder_name() -> String {
    let mut hash = Sha256::new();
    for part in [RELEASE, PACKAGES, SIZE].iter().chain(&UNWANTED).chain(&WANTED) {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest: String = hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("machine-{RELEASE}-{digest}")
}

fn make(into: &Path) -> Result<()> {
    let root = into.join("root");
    let key = into.join("key");
    run::output(
        Command::new("debootstrap")
            .args(["--variant=minbase", &format!("--include={PACKAGES}")])
            .arg(RELEASE)
            .arg(&root)
            .arg(MIRROR),
    )?;
    run::output(
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f"]).arg(&key),
    )?;
    settle(&root, &fs::read_to_string(key.with_extension("pub")).context("cannot read the key")?)?;
    for (name, place) in [("vmlinuz", "vmlinuz"), ("initrd.img", "initrd.img")] {
        // The links in the root folder point to the kernel's versioned names.
        fs::copy(root.join(name), into.join(place)).with_context(|| format!("there is no {name}"))?;
    }
    run::output(
        Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-d"])
            .arg(&root)
            .arg(into.join("root.ext4"))
            .arg(SIZE),
    )?;
    fs::remove_dir_all(&root).context("cannot remove what was copied")
}

/// What a fresh system needs to be reached.
fn settle(root: &Path, key: &str) -> Result<()> {
    let ssh = root.join("root/.ssh");
    make_dir(&ssh)?;
    write(&ssh.join("authorized_keys"), key)?;
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o700)).context("cannot restrict root's folder")?;
    write(&root.join("etc/fstab"), "/dev/vda / ext4 defaults,noatime 0 1\n")?;
    // In place of the name of the machine that made it.
    write(&root.join("etc/hostname"), "machine\n")?;
    for (verb, units) in [("enable", &WANTED[..]), ("mask", &UNWANTED[..])] {
        run::output(Command::new("chroot").arg(root).args(["systemctl", "--quiet", verb]).args(units))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_what_its_tests_look_for() {
        for package in ["systemd-sysv", "criu", "libseccomp2", "iptables"] {
            assert!(PACKAGES.split(',').any(|name| name == package), "{package}");
        }
    }
}

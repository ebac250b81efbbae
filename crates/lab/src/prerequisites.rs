//! What the lab needs of the machine: Debian packages, which it installs, and toolchains, which it only names.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{artifacts, run};

/// A program or file that shows a package is there, and the package.
struct Need {
    package: &'static str,
    /// Any of these will do.
    shown_by: &'static [&'static str],
}

const fn need(package: &'static str, shown_by: &'static [&'static str]) -> Need {
    Need { package, shown_by }
}

/// Debian packages. Found by their files, so that a machine that has them from elsewhere is left alone.
const NEEDS: [Need; 16] = [
    need("containerd", &["/usr/bin/containerd"]),
    need("runc", &["/usr/sbin/runc"]),
    need("crun", &["/usr/bin/crun"]),
    need("containernetworking-plugins", &["/usr/lib/cni/bridge"]),
    need("iptables", &["/usr/sbin/iptables", "/sbin/iptables"]),
    need("iproute2", &["/usr/sbin/ip", "/sbin/ip", "/bin/ip"]),
    need("util-linux", &["/usr/bin/nsenter"]),
    need("busybox-static", &["/bin/busybox", "/usr/bin/busybox"]),
    need("docker-registry", &["/usr/bin/docker-registry"]),
    need("skopeo", &["/usr/bin/skopeo"]),
    need("curl", &["/usr/bin/curl"]),
    need("ca-certificates", &["/etc/ssl/certs/ca-certificates.crt"]),
    need("git", &["/usr/bin/git"]),
    need("gcc", &["/usr/bin/gcc"]),
    need("pkg-config", &["/usr/bin/pkg-config"]),
    need("libseccomp-dev", &["/usr/include/seccomp.h"]),
];

/// What only virtual machines need.
const MACHINE_NEEDS: [Need; 4] = [
    need("debootstrap", &["/usr/sbin/debootstrap"]),
    need("e2fsprogs", &["/usr/sbin/mke2fs", "/sbin/mke2fs"]),
    need("openssh-client", &["/usr/bin/ssh"]),
    need("qemu-system-x86", &["/usr/bin/qemu-system-x86_64"]),
];

fn missing_of(needs: &[Need]) -> Vec<&'static str> {
    let exists = |path: &&str| std::path::Path::new(path).exists();
    needs.iter().filter(|need| !need.shown_by.iter().any(exists)).map(|need| need.package).collect()
}

/// Packages that are missing.
fn missing() -> Vec<&'static str> {
    let mut packages = missing_of(&NEEDS);
    // gcc alone has no headers and no static C library.
    if !std::path::Path::new("/usr/include/stdio.h").exists() {
        packages.push("libc6-dev");
    }
    packages
}

/// Check, and install what is missing. Says what it does on standard error.
///
/// # Errors
/// apt-get fails, the machine has none, or there is no Go; what can be checked is checked first.
pub fn ensure() -> Result<()> {
    bring(missing)?;
    artifacts::check_go()
}

/// The same for what virtual machines need.
///
/// # Errors
/// As [`ensure`].
pub(crate) fn ensure_for_machines() -> Result<()> {
    bring(|| missing_of(&MACHINE_NEEDS))
}

fn bring(missing: impl Fn() -> Vec<&'static str>) -> Result<()> {
    let packages = missing();
    if !packages.is_empty() {
        install(&packages)?;
        let still = missing();
        if !still.is_empty() {
            bail!("apt-get did not bring {}", still.join(", "));
        }
    }
    Ok(())
}

fn install(packages: &[&str]) -> Result<()> {
    if !std::path::Path::new("/usr/bin/apt-get").exists() {
        bail!("these Debian packages are missing, and there is no apt-get: {}", packages.join(", "));
    }
    if !rustix::process::geteuid().is_root() {
        bail!(
            "these packages are missing: {}\nhint: run as root, or apt-get install them",
            packages.join(" ")
        );
    }
    eprintln!("lab: installing {} …", packages.join(" "));
    let apt = |arguments: &[&str]| {
        run::shown_to_user(
            Command::new("apt-get")
                .args(["--quiet=2", "--yes", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0"])
                .args(arguments)
                .env("DEBIAN_FRONTEND", "noninteractive")
                // Packages must not start the machine's own containerd and registry: sysvinit and systemd scripts heed it.
                .env("RUNLEVEL", "1"),
        )
    };
    apt(&["update"]).context("cannot update the package lists")?;
    let mut arguments = vec!["install"];
    arguments.extend_from_slice(packages);
    apt(&arguments).context("cannot install packages")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_once() {
        let all = || NEEDS.iter().chain(&MACHINE_NEEDS).map(|need| need.package);
        let different: std::collections::BTreeSet<&str> = all().collect();
        assert_eq!(all().count(), different.len());
    }
}

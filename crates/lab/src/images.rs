//! Container images made by us: the machines that run the lab reach no image registry, and tests want to know every byte.
//!
//! [`build_all`] compiles `testbox` and `pause`, takes Debian's static busybox, and writes each image as an OCI layout in a
//! tar. [`import`] puts them into a containerd, [`push`] into a registry (see [`registry`]).
//!
//! Invariants: the same inputs give the same bytes (no times, fixed order), so that digests are stable and the cache, keyed
//! by content, is never wrong; a file in the cache is whole (written beside it, then renamed).

mod compile;
mod oci;
pub mod registry;
mod rootfs;
mod tar;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

/// The sandbox image, as runtimes are told to use it.
pub const PAUSE: &str = "registry.test/pause:3.10";
/// A shell and its friends.
pub const BUSYBOX: &str = "registry.test/busybox:1";
/// The test program (`crates/testbox`); its entry point is `/testbox`, its default command `serve`.
pub const TESTBOX: &str = "registry.test/testbox:1";
/// As [`TESTBOX`], but another image: `TESTBOX_VERSION=2`, a label, and a layer more.
pub const TESTBOX_2: &str = "registry.test/testbox:2";
/// As [`TESTBOX`], with `USER 1000`.
pub const TESTBOX_USER_1000: &str = "registry.test/testbox:user1000";
/// As [`TESTBOX`], with `USER tester`, a name of its `/etc/passwd` (uid 1001), which `runAsNonRoot` cannot judge.
pub const TESTBOX_NAMED_USER: &str = "registry.test/testbox:named";

/// One image in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageArchive {
    /// Its name, for example [`PAUSE`].
    pub reference: String,
    /// Digest of its manifest, `sha256:…`: what a runtime shows as repository digest.
    pub digest: String,
    /// The OCI layout.
    pub tar: PathBuf,
}

/// Build every image, or find it in `state/cache/images`. `testbox` is compiled (about a minute when cold) in a target
/// folder of its own, `state/cache/testbox-target`, by the `cargo` of the environment.
///
/// # Errors
/// A compiler or busybox is missing, the compilation fails (its output is in the error), or the folder cannot be written.
pub fn build_all(state: &Path) -> Result<Vec<ImageArchive>> {
    let cache = state.join("cache/images");
    std::fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let pause = compile::pause(&cache)?;
    let busybox = compile::busybox()?;
    let testbox = compile::testbox(state, &cache)?;
    rootfs::images(pause, busybox, testbox).iter().map(|image| image.archive(&cache)).collect()
}

/// Import images into the `k8s.io` namespace of a containerd (1.6 or 2.x); those that are there already, with the same
/// digest, are left alone. `netns` is the name of the network namespace to run `ctr` in.
///
/// # Errors
/// `ctr` cannot be run or refuses; its output is in the error.
pub fn import(
    ctr: &Path,
    containerd_socket: &Path,
    netns: Option<&str>,
    images: &[ImageArchive],
) -> Result<()> {
    let call = |arguments: &[&str]| {
        let mut command = in_netns(netns, ctr);
        command
            .arg("--address")
            .arg(containerd_socket)
            .args(["--namespace", "k8s.io", "images"])
            .args(arguments);
        command
    };
    let listed = run(&mut call(&["list"]))?;
    for image in images {
        // Lines are "REF TYPE DIGEST …".
        let there = listed.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(&image.reference) && words.nth(1) == Some(&image.digest)
        });
        if !there {
            run(call(&["import"]).arg(&image.tar))
                .with_context(|| format!("cannot import {}", image.reference))?;
        }
    }
    Ok(())
}

/// Push an image, byte for byte, to a registry that speaks plain HTTP: its digest there is the archive's. `registry` is `host:port`, `name` is `repository:tag`, `auth` is user
/// and password, `netns` the name of the network namespace from which the registry is reached.
///
/// # Errors
/// skopeo is not installed, or refuses; its output is in the error.
pub fn push(
    archive: &ImageArchive,
    registry: &str,
    name: &str,
    auth: Option<(&str, &str)>,
    netns: Option<&str>,
) -> Result<()> {
    let mut command = in_netns(netns, Path::new("skopeo"));
    command.args(["--insecure-policy", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"]);
    match auth {
        Some((user, password)) => command.arg(format!("--dest-creds={user}:{password}")),
        None => command.arg("--dest-no-creds"),
    };
    command.arg(format!("oci-archive:{}", archive.tar.display())).arg(format!("docker://{registry}/{name}"));
    run(&mut command)
        .map(drop)
        .with_context(|| format!("cannot push {} to {registry}/{name}", archive.reference))
}

/// A command, in a network namespace if one is named. Not `ip netns exec`: that mounts another `/sys`.
fn in_netns(netns: Option<&str>, program: &Path) -> Command {
    match netns {
        Some(name) => {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net=/run/netns/{name}")).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Run to the end and give the standard output.
fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| {
        format!("cannot run {}\nhint: is it installed?", Path::new(command.get_program()).display())
    })?;
    if !output.status.success() {
        bail!(
            "{} failed ({}): {}{}",
            Path::new(command.get_program()).display(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim(),
            String::from_utf8_lossy(&output.stdout).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

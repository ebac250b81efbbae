//! Taking a lab down, and looking whether anything of it is left.
//!
//! Order: processes (kubelet, control plane, containerd, shims, containers), mounts, network, cgroups, files, and last the
//! entry in the machine's register. Every step bears that its object is gone already or never was, so a lab that was cut off
//! half way up, or half way down, is taken down just the same; a step that fails does not keep the later ones from trying.

use std::{
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    cgroups::Groups,
    containerd, host, mounts, network,
    plan::{Plan, make_dir},
};

/// Where libcni keeps results of its calls; the folder cannot be configured in containerd.
const CNI_RESULTS: &str = "/var/lib/cni/results";
/// Where kubelets link to logs of containers, whatever `podLogsDir` says.
const CONTAINER_LOG_LINKS: &str = "/var/log/containers";

/// Take a lab down. Its services' logs are kept in `STATE/logs/NAME`.
///
/// # Errors
/// Something is left; the error lists it.
pub fn down(plan: &Plan) -> Result<()> {
    let mut problems = Vec::new();
    let mut step = |done: Result<()>| {
        if let Err(error) = done {
            problems.push(format!("{error:#}"));
        }
    };
    let groups = Groups::new(&plan.cgroup_root)?;
    let sockets = containerd::shim_sockets(plan);

    step(groups.kill());
    step(kill_strays(plan));
    step(mounts::unmount_beneath(&plan.paths.dir));
    step(mounts::unmount_beneath(&plan.paths.machine_dir));
    step(network::down(plan));
    step(groups.remove());
    for socket in sockets {
        step(remove_file(&socket));
    }
    step(remove_cni_results(plan));
    step(remove_log_links(plan));
    step(keep_logs(plan));
    step(remove_dir(&plan.paths.machine_dir));
    step(remove_dir(&plan.paths.dir));
    step(forget_shortcuts(plan));
    step(host::leave(&plan.spec.name));

    problems.extend(leftovers(plan));
    if problems.is_empty() {
        return Ok(());
    }
    bail!("lab {:?} is not wholly gone:\n  {}", plan.spec.name, problems.join("\n  "));
}

/// What of a lab can still be seen on the machine, one line each.
#[must_use]
pub fn leftovers(plan: &Plan) -> Vec<String> {
    let mut found = Vec::new();
    for folder in [&plan.paths.dir, &plan.paths.machine_dir] {
        match mounts::beneath(folder) {
            Ok(points) => found.extend(points.iter().map(|point| format!("mount {}", point.display()))),
            Err(error) => found.push(format!("{error:#}")),
        }
        if folder.exists() {
            found.push(format!("folder {}", folder.display()));
        }
    }
    if plan.netns_path().exists() {
        found.push(format!("network namespace {}", plan.netns));
    }
    if network::link_exists(&plan.veth) {
        found.push(format!("network interface {}", plan.veth));
    }
    match Groups::new(&plan.cgroup_root) {
        Ok(groups) => {
            found.extend(groups.existing().iter().map(|group| format!("cgroup {}", group.display())))
        }
        Err(error) => found.push(format!("{error:#}")),
    }
    found.extend(strays(plan).iter().map(|(pid, command)| format!("process {pid}: {command}")));
    for folder in [CNI_RESULTS, CONTAINER_LOG_LINKS] {
        found.extend(
            files_naming(Path::new(folder), &plan.paths.dir)
                .iter()
                .map(|file| format!("file {}", file.display())),
        );
    }
    found
}

/// Processes whose program or arguments are of the lab's folder, and which its cgroups do not hold: shims and services of a
/// machine without a tracking group.
fn strays(plan: &Plan) -> Vec<(i32, String)> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(pid) = name.parse::<i32>() else { continue };
        if name == own {
            continue;
        }
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if is_service_of(&command, plan) {
            found.push((pid, String::from_utf8_lossy(&command).replace('\0', " ")));
        }
    }
    found
}

/// Whether a command line (arguments separated by zeros) is that of one of the lab's processes. An editor that has a file of
/// the lab open is none: only the programs that the lab starts count.
fn is_service_of(command: &[u8], plan: &Plan) -> bool {
    let mut arguments = command.split(|byte| *byte == 0);
    let program =
        arguments.next().and_then(|program| program.rsplit(|byte| *byte == b'/').next()).unwrap_or_default();
    let is_ours = program.starts_with(b"containerd")
        || program.starts_with(b"kube")
        || program == b"server"
        || program == b"metrics-server"
        || program == b"docker-registry"
        || program == b"qemu-system-x86_64"
        || Some(program) == plan.kubelet.file_name().map(|name| name.as_bytes());
    // With the slash: the lab `a` is not the lab `ab`.
    let folder = format!("{}/", plan.paths.dir.display());
    let socket = plan.paths.containerd_socket.as_os_str().as_bytes();
    is_ours && arguments.any(|argument| contains(argument, folder.as_bytes()) || argument == socket)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn kill_strays(plan: &Plan) -> Result<()> {
    crate::wait::until("stray processes to end", std::time::Duration::from_secs(15), || {
        let found = strays(plan);
        for pid in found.iter().filter_map(|(pid, _)| Pid::from_raw(*pid)) {
            // Gone already is as good as killed.
            let _ = kill_process(pid, Signal::KILL);
        }
        Ok(if found.is_empty() {
            crate::wait::Look::Ready(())
        } else {
            crate::wait::Look::NotYet(format!("{found:?}"))
        })
    })
}

/// Files of a folder whose contents, or link target, name a path.
fn files_naming(folder: &Path, path: &Path) -> Vec<PathBuf> {
    let needle = format!("{}/", path.display());
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|file| match fs::read_link(file) {
            Ok(target) => target.starts_with(path),
            Err(_) => fs::read(file).is_ok_and(|contents| contains(&contents, needle.as_bytes())),
        })
        .collect()
}

fn remove_cni_results(plan: &Plan) -> Result<()> {
    files_naming(Path::new(CNI_RESULTS), &plan.paths.dir).iter().try_for_each(|file| remove_file(file))
}

fn remove_log_links(plan: &Plan) -> Result<()> {
    files_naming(Path::new(CONTAINER_LOG_LINKS), &plan.paths.dir)
        .iter()
        .try_for_each(|file| remove_file(file))
}

/// Move the services' logs to `STATE/logs/NAME`, in place of an earlier lab's.
fn keep_logs(plan: &Plan) -> Result<()> {
    if !plan.paths.logs.is_dir() {
        return Ok(());
    }
    let kept = plan.spec.state.join("logs").join(&plan.spec.name);
    remove_dir(&kept)?;
    make_dir(&plan.spec.state.join("logs"))?;
    fs::rename(&plan.paths.logs, &kept).with_context(|| format!("cannot keep the logs in {}", kept.display()))
}

/// Remove `STATE/kubeconfig` and `STATE/env` if they are links to this lab's files.
fn forget_shortcuts(plan: &Plan) -> Result<()> {
    for name in ["kubeconfig", "env"] {
        let link = plan.spec.state.join(name);
        if fs::read_link(&link).is_ok_and(|target| target.starts_with(&plan.paths.dir)) {
            remove_file(&link)?;
        }
    }
    Ok(())
}

fn remove_file(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

fn remove_dir(folder: &Path) -> Result<()> {
    // A mount that stayed would take its contents, perhaps the machine's own files, with it.
    let points = mounts::beneath(folder)?;
    if let Some(point) = points.first() {
        bail!("{} is not removed: {} is still mounted", folder.display(), point.display());
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        artifacts::Tools,
        plan::Slot,
        spec::{Mode, Spec},
    };

    fn plan(name: &str) -> Plan {
        let mut spec = Spec::new(name, Mode::Cluster).unwrap();
        spec.state = "/s".into();
        Plan::new(spec, Slot(1), Tools::default(), "/t/release/kubelet".into()).unwrap()
    }

    #[test]
    fn services_and_shims_count_and_editors_and_neighbours_do_not() {
        let plan = plan("a");
        for own in [
            &b"/t/release/kubelet\0--config=/s/labs/a/kubelet.json\0"[..],
            b"/c/containerd\0--config\0/s/labs/a/containerd/config.toml\0",
            b"/c/metrics-server\0--kubeconfig=/s/labs/a/pki/metrics-server.kubeconfig\0",
            b"/c/containerd-shim-runc-v2\0-namespace\0k8s.io\0-address\0/s/labs/a/containerd.sock\0",
        ] {
            assert!(is_service_of(own, &plan), "{}", String::from_utf8_lossy(own));
        }
        for other in [
            &b"vi\0/s/labs/a/kubelet.json\0"[..],
            b"/t/release/kubelet\0--config=/s/labs/ab/kubelet.json\0",
            b"kubectl\0get\0pods\0",
            b"",
        ] {
            assert!(!is_service_of(other, &plan), "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn files_are_found_by_contents_and_by_target() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine"), "{\"sandbox\":\"/s/labs/a/netns/1\"}").unwrap();
        fs::write(folder.path().join("other"), "{\"sandbox\":\"/s/labs/ab/netns/1\"}").unwrap();
        std::os::unix::fs::symlink("/s/labs/a/pod-logs/x", folder.path().join("link")).unwrap();
        let mut found = files_naming(folder.path(), Path::new("/s/labs/a"));
        found.sort();
        assert_eq!(found, [folder.path().join("link"), folder.path().join("mine")]);
    }
}

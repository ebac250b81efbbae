//! The machine that labs of any checkout share: who has which slot, and what to put back when the last lab is gone.
//!
//! Kubelets change sysctls and make folders at fixed places (`/var/lib/kubelet/device-plugins` whatever `--root-dir` says,
//! `/var/log/containers`), containerd and CNI too. The first lab of the machine notes how it was; the last one to leave puts
//! it back. The note is in `/run/kubelet-lab`, which a reboot clears together with all labs.
//!
//! Invariant: the register is read and changed only under an exclusive lock on `/run`.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::ErrorKind,
    os::unix::{fs::FileTypeExt as _, net::UnixStream},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::{
    mounts, network,
    plan::{MACHINE_DIR, Slot, make_dir, write},
};

/// Sysctls that a kubelet sets (contract section on node start-up), beneath `/proc/sys`.
const SYSCTLS: [&str; 6] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// Where containerd 1.6 puts the sockets of its shims.
const SHIM_SOCKETS: &str = "/run/containerd/s";

/// Folders that the lab's programs make at fixed places, parents first.
const FOLDERS: [&str; 19] = [
    "/run/netns",
    "/run/containerd",
    SHIM_SOCKETS,
    "/run/containerd/fifo",
    // runc's, as the shim asks it to clean up behind a shim that died before it had written down how it was asked.
    "/run/containerd/runc",
    "/run/containerd/runc/k8s.io",
    "/run/nri",
    "/run/flannel",
    "/run/runc",
    "/var/lib/cni",
    "/var/lib/cni/results",
    "/var/lib/cni/networks",
    "/var/lib/kubelet",
    "/var/lib/kubelet/device-plugins",
    "/var/log/containers",
    "/var/log/pods",
    "/etc/cni",
    "/etc/cni/net.d",
    "/opt/containerd",
];

/// The register.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Register {
    /// Sysctls as they were, by path beneath `/proc/sys`.
    sysctls: BTreeMap<String, String>,
    /// Those of [`FOLDERS`] that were not there.
    absent: Vec<PathBuf>,
    /// The labs, by name.
    labs: BTreeMap<String, Entry>,
}

/// One lab of the register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its slot.
    pub slot: Slot,
    /// Its state folder.
    pub state: PathBuf,
}

fn file() -> PathBuf {
    Path::new(MACHINE_DIR).join("register.json")
}

/// Take the lock; it is let go when the file is dropped.
fn lock() -> Result<File> {
    let run = File::open("/run").context("cannot open /run")?;
    run.lock().context("cannot lock /run")?;
    Ok(run)
}

fn load() -> Result<Option<Register>> {
    match fs::read_to_string(file()) {
        Ok(text) => {
            Ok(Some(serde_json::from_str(&text).with_context(|| format!("{} is damaged", file().display()))?))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file().display())),
    }
}

/// How the machine is now.
fn note() -> Register {
    let sysctls = SYSCTLS
        .iter()
        .filter_map(|name| {
            let value = fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
            Some(((*name).to_owned(), value.trim().to_owned()))
        })
        .collect();
    let absent = FOLDERS.iter().map(PathBuf::from).filter(|folder| !folder.exists()).collect();
    Register { sysctls, absent, labs: BTreeMap::new() }
}

fn save(register: &Register) -> Result<()> {
    make_dir(Path::new(MACHINE_DIR))?;
    let text = serde_json::to_string_pretty(register).context("cannot write the register as JSON")?;
    let partial = file().with_extension("partial");
    write(&partial, &text)?;
    fs::rename(&partial, file()).context("cannot replace the register")
}

/// Enter a lab, and give it the lowest free slot.
///
/// # Errors
/// A lab of that name is there, of this checkout or another, or every slot is taken.
pub fn enter(name: &str, state: &Path) -> Result<Slot> {
    let _lock = lock()?;
    let mut register = load()?.unwrap_or_else(note);
    if let Some(other) = register.labs.get(name) {
        bail!(
            "there is a lab {name:?} already, of {}\nhint: `lab down --name {name}`, or take another --name",
            other.state.display()
        );
    }
    let routes = network::routes()?;
    let slot = Slot::all()
        .find(|slot| {
            register.labs.values().all(|entry| entry.slot != *slot) && network::is_free(*slot, &routes)
        })
        .context("all slots of the machine are taken\nhint: `lab down --all`")?;
    register.labs.insert(name.to_owned(), Entry { slot, state: state.to_owned() });
    save(&register)?;
    Ok(slot)
}

/// The labs of the machine.
///
/// # Errors
/// The register is damaged.
pub fn labs() -> Result<BTreeMap<String, Entry>> {
    let _lock = lock()?;
    Ok(load()?.map(|register| register.labs).unwrap_or_default())
}

/// Strike a lab out; with the last one, put the machine back as it was.
///
/// # Errors
/// Something cannot be put back. What can is put back first.
pub fn leave(name: &str) -> Result<()> {
    let _lock = lock()?;
    let Some(mut register) = load()? else { return Ok(()) };
    register.labs.remove(name);
    if !register.labs.is_empty() {
        return save(&register);
    }
    let mut problems = Vec::new();
    for (name, value) in &register.sysctls {
        let path = Path::new("/proc/sys").join(name);
        let now = fs::read_to_string(&path).unwrap_or_default();
        if now.trim() != value
            && let Err(error) = fs::write(&path, value)
        {
            problems.push(format!("{}: {error}", path.display()));
        }
    }
    for folder in register.absent.iter().rev().filter(|folder| folder.exists()) {
        // `ip netns` makes its folder a mount. Whatever else is still mounted in a folder is somebody's who came later.
        let is_netns = folder == Path::new("/run/netns");
        if is_netns && fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none()) {
            mounts::unmount_beneath(folder)?;
        }
        if folder == Path::new(SHIM_SOCKETS) {
            remove_dead_sockets(folder)?;
        }
        let removed = match mounts::beneath(folder)?.as_slice() {
            [] if owned_by_kubelets(folder) => fs::remove_dir_all(folder),
            _ => fs::remove_dir(folder),
        };
        if let Err(error) = removed {
            problems.push(format!("{}: {error}", folder.display()));
        }
    }
    fs::remove_dir_all(MACHINE_DIR).with_context(|| format!("cannot remove {MACHINE_DIR}"))?;
    if !problems.is_empty() {
        bail!("the machine could not be put back as it was: {}", problems.join("; "));
    }
    Ok(())
}

/// A shim of containerd 1.6 whose sandbox is given up while it starts, since the kubelet that asked for it has died, leaves
/// its socket behind. Nobody can use one that nobody listens at.
fn remove_dead_sockets(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?.flatten()
    {
        let path = entry.path();
        let is_socket = entry.file_type().is_ok_and(|kind| kind.is_socket());
        let answer = || UnixStream::connect(&path).map_err(|error| error.kind());
        if is_socket && matches!(answer(), Err(ErrorKind::ConnectionRefused)) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Whether a folder that no lab found is a lab's with all that is in it; in the others only what is empty goes.
fn owned_by_kubelets(folder: &Path) -> bool {
    folder.starts_with("/var/lib/kubelet")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn folders_list_parents_before_children() {
        for (at, folder) in FOLDERS.iter().enumerate() {
            let later = FOLDERS.get(at + 1..).unwrap_or_default();
            assert!(!later.iter().any(|other| Path::new(folder).starts_with(other)), "{folder}");
        }
    }

    #[test]
    fn a_socket_goes_when_nobody_listens_at_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let living = UnixListener::bind(at("living")).unwrap();
        drop(UnixListener::bind(at("dead")).unwrap());
        fs::write(at("file"), "").unwrap();
        remove_dead_sockets(folder.path()).unwrap();
        assert!(at("living").exists() && at("file").exists() && !at("dead").exists());
        drop(living);
    }

    #[test]
    fn a_note_holds_values_and_only_what_is_missing() {
        let note = note();
        assert!(note.sysctls.contains_key("kernel/panic"));
        assert!(note.absent.iter().all(|folder| !folder.exists()));
    }
}

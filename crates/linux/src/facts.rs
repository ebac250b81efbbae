//! What does not change while the machine runs: read once at the start (contract §2.2 `nodeInfo` and `capacity`).

use std::path::{Path, PathBuf};

use seams::{HostError, host::MachineFacts};

use crate::files;

/// Where the kernel and the system keep what is read here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
    /// `/`, for `/etc` and `/var`.
    pub root: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into(), root: "/".into() }
    }
}

/// Reads all facts.
///
/// # Errors
/// [`HostError`] for what every machine has: memory, boot id. What some machines lack stays empty, as upstream's.
pub fn read(roots: &Roots) -> Result<MachineFacts, HostError> {
    let meminfo_path = roots.proc.join("meminfo");
    let meminfo = files::read(&meminfo_path)?;
    let bytes = |name: &str| files::field(&meminfo, name).map(|kib| kib.saturating_mul(1024));
    let machine_id = first(&[roots.root.join("etc/machine-id"), roots.root.join("var/lib/dbus/machine-id")]);
    Ok(MachineFacts {
        cpus: cpus(roots)?,
        memory_bytes: bytes("MemTotal").ok_or_else(|| files::malformed(&meminfo_path, &meminfo))?,
        swap_bytes: bytes("SwapTotal").unwrap_or(0),
        system_uuid: system_uuid(roots),
        machine_id,
        boot_id: files::read(&roots.proc.join("sys/kernel/random/boot_id"))?,
        kernel_version: rustix::system::uname().release().to_string_lossy().into_owned(),
        os_image: os_image(roots),
        architecture: architecture(std::env::consts::ARCH),
        hugepages: hugepages(roots)?,
    })
}

/// First file that exists and is not empty.
fn first(paths: &[PathBuf]) -> String {
    let texts = paths.iter().filter_map(|path| files::read(path).ok());
    let plain = texts.map(|text| text.trim_end_matches('\0').trim().to_owned());
    plain.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

/// DMI, then the device tree's two ways, then the machine id: upstream's order.
fn system_uuid(roots: &Roots) -> String {
    first(&[
        roots.sys.join("class/dmi/id/product_uuid"),
        roots.proc.join("device-tree/system-id"),
        roots.proc.join("device-tree/vm,uuid"),
        roots.root.join("etc/machine-id"),
    ])
}

/// Online logical CPUs.
fn cpus(roots: &Roots) -> Result<u32, HostError> {
    let path = roots.sys.join("devices/system/cpu/online");
    let text = files::read(&path)?;
    parse_cpu_list(&text).filter(|count| *count > 0).ok_or_else(|| files::malformed(&path, &text))
}

/// Counts a list such as `0-3,8,10-11`.
fn parse_cpu_list(text: &str) -> Option<u32> {
    text.split(',').try_fold(0u32, |count, range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let (from, to): (u32, u32) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        count.checked_add(to.checked_sub(from)?.checked_add(1)?)
    })
}

/// `PRETTY_NAME` of os-release(5).
fn os_image(roots: &Roots) -> String {
    let text = first(&[roots.root.join("etc/os-release"), roots.root.join("usr/lib/os-release")]);
    let line = text.lines().find_map(|line| line.trim().strip_prefix("PRETTY_NAME="));
    line.map(unquoted).filter(|name| !name.is_empty()).unwrap_or_else(|| "Linux".to_owned())
}

/// A value as a shell would read it: quotes around it, backslashes before special characters.
fn unquoted(value: &str) -> String {
    let value = value.trim();
    let inner = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    let mut characters = inner.unwrap_or(value).chars();
    let mut text = String::new();
    while let Some(character) = characters.next() {
        text.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    text
}

/// (page size in bytes, pages) per size, in the order of the directories.
fn hugepages(roots: &Roots) -> Result<Vec<(u64, u64)>, HostError> {
    let mut sizes = Vec::new();
    for directory in files::directories(&roots.sys.join("kernel/mm/hugepages"))? {
        if let Some(size) = page_size(&directory) {
            sizes.push((size, files::read_number(&directory.join("nr_hugepages"))?));
        }
    }
    sizes.sort_unstable();
    Ok(sizes)
}

/// Bytes from `hugepages-2048kB`.
fn page_size(directory: &Path) -> Option<u64> {
    let name = directory.file_name()?.to_str()?;
    name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Go's name of an architecture, as in `kubernetes.io/arch`.
fn architecture(rust: &'static str) -> &'static str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

/// Whether this process runs in a user namespace other than the first: then it is not mapped one to one.
#[must_use]
pub fn in_user_namespace(roots: &Roots) -> bool {
    files::read(&roots.proc.join("self/uid_map")).is_ok_and(|map| {
        let numbers: Vec<&str> = map.split_whitespace().collect();
        numbers != ["0", "0", "4294967295"] && !numbers.is_empty()
    })
}

#[cfg(test)]
mod tests;

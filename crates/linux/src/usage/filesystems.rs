//! File systems on block devices, for the page that shows the machine's disks.
//!
//! Others are left out: those of memory, of which every sandbox has one, and those of the network, whose figures belong
//! to another machine. No file system is asked anything here.

use seams::stats::Filesystem;

use super::{io, reader::Reader};
use crate::mounts::MountTable;

/// Kinds that are on block devices.
const KINDS: [&str; 7] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "vfat"];

/// Each device once, by its first mount that is a whole file system.
pub(super) fn read(reader: &mut Reader, proc: &str) -> Vec<Filesystem> {
    let Ok(table) = MountTable::read() else { return Vec::new() };
    of(&table, &io::devices(reader, proc))
}

fn of(table: &MountTable, devices: &io::Devices) -> Vec<Filesystem> {
    let mut found: Vec<Filesystem> = Vec::new();
    for entry in table.entries() {
        let known = devices.get(&entry.device);
        let is_disk = KINDS.contains(&entry.fs_type.as_str()) && entry.origin.starts_with('/');
        let name = known.map_or(entry.origin.as_str(), |(name, _)| name.as_str());
        if !is_disk || found.iter().any(|other| other.device == name) {
            continue;
        }
        found.push(Filesystem {
            device: name.to_owned(),
            mountpoint: entry.mount_point.as_path().into(),
            counters: known.map(|(_, counters)| *counters),
        });
    }
    found.sort_by(|a, b| a.device.cmp(&b.device));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"22 1 8:1 / / rw - ext4 /dev/root rw
23 22 8:1 /var /mnt/var rw - ext4 /dev/root rw
24 22 0:5 / /dev/shm rw - tmpfs tmpfs rw
25 22 0:6 / /net rw - nfs4 server:/share rw
26 22 0:7 / /data rw - btrfs /dev/mapper/data rw
27 22 0:8 / /merged rw - overlay overlay rw
";

    #[test]
    fn each_device_once_and_no_memory_or_network() {
        let counters = seams::stats::DiskCounters { reads: 7, ..Default::default() };
        let devices = io::Devices::from([("8:1".to_owned(), ("/dev/sda1".to_owned(), counters))]);
        let seen = of(&MountTable::parse(MOUNTS), &devices);
        assert_eq!(seen.len(), 2);
        assert_eq!((seen[0].device.as_str(), seen[0].counters), ("/dev/mapper/data", None));
        assert_eq!((seen[1].device.as_str(), seen[1].counters), ("/dev/sda1", Some(counters)));
        assert_eq!(&*seen[1].mountpoint, std::path::Path::new("/"));
    }
}

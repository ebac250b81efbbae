//! Processors of the machine.

use std::{collections::BTreeSet, path::Path};

use crate::files;

/// (cores, sockets), from the kernel's topology; where it tells none, as many of each as it can be.
pub(super) fn processors(sys: &Path) -> (u64, u64) {
    let mut cores = BTreeSet::new();
    let mut sockets = BTreeSet::new();
    for cpu in files::directories(&sys.join("devices/system/cpu")).unwrap_or_default() {
        let number = |file: &str| files::read_number(&cpu.join("topology").join(file)).ok();
        if let (Some(socket), Some(core)) = (number("physical_package_id"), number("core_id")) {
            sockets.insert(socket);
            cores.insert((socket, core));
        }
    }
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    (count(cores.len()), count(sockets.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_one_core_count_once() {
        let dir = tempfile::tempdir().unwrap();
        for (cpu, socket, core) in
            [("cpu0", "0", "0"), ("cpu1", "0", "0"), ("cpu2", "0", "1"), ("cpu3", "1", "0")]
        {
            let topology = dir.path().join("devices/system/cpu").join(cpu).join("topology");
            std::fs::create_dir_all(&topology).unwrap();
            std::fs::write(topology.join("physical_package_id"), socket).unwrap();
            std::fs::write(topology.join("core_id"), core).unwrap();
        }
        std::fs::create_dir_all(dir.path().join("devices/system/cpu/cpufreq")).unwrap();
        assert_eq!(processors(dir.path()), (3, 2));
        assert_eq!(processors(Path::new("/none/such")), (0, 0));
    }
}

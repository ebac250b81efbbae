//! The kernel: cgroups, mounts, safe paths, usage, machine facts

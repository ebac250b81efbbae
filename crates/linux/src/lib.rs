//! The kernel: cgroups, mounts, safe paths, usage, machine facts.
//!
//! The only crate that may contain `unsafe`; outside tests it does so in two modules, [`interfaces`] and [`scheduling`].
//! Everything that can be computed without the kernel (names, file contents, parsing) is separate from what reads and
//! writes, and every root (`/proc`, `/sys`, the cgroup mounts) is a parameter, so that most of it is tested without privileges.
//!
//! ```text
//! host ──▶ cgroup   the kubepods tree: make, limit, kill and remove     implements seams::Host
//!     ├──▶ facts    what does not change while the machine runs
//!     └──▶ usage    filesystem, memory, processes
//! mounts, safe_path                for volumes
//! tunables, oom, interfaces,
//! scheduling, subordinate_ids      for the start of the kubelet
//! ```

pub mod cgroup;
pub mod facts;
pub mod host;
pub mod interfaces;
pub mod mounts;
pub mod node_logs;
pub mod oom;
pub mod safe_path;
pub mod scheduling;
pub mod subordinate_ids;
pub mod tunables;
pub mod usage;

pub use host::{LinuxConfig, LinuxHost};

mod files;

#[cfg(test)]
mod testing;

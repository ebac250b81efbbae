//! The volumes of pods, one file per plugin over `linux` and `cluster`'s objects.
//!
//! ```text
//!   mount(pod) ── prepare (async: objects, tokens, sizes) ──► plans ── set up (blocking, one lane per pod) ──► host paths
//!   unmount(uid) ── what is on disk ──► unmount deepest first ──► remove by descriptor
//! ```
//!
//! Layout and contents on disk are upstream's (contract §14.3, §30), so that kubelets can be swapped both ways under
//! running pods.
//!
//! Invariants:
//! * everything is idempotent and may be killed between any two steps: the next call goes on from what is on disk;
//! * nothing below a volume's root is reached through a path that a pod could bend: opens are beneath a descriptor;
//! * nothing is removed across a mount point;
//! * a hung mount holds up its own pod only;
//! * a volume that is set up stays usable when its contents cannot be refreshed, and they are asked for again.

mod atomic_writer;
mod config_map;
mod counts;
mod downward_api;
mod empty_dir;
mod env_file;
mod error;
mod host_path;
mod lanes;
mod layout;
mod memory_size;
mod nested;
mod ownership;
mod payload;
mod places;
mod pod_volumes;
mod pods_dir;
mod projected;
mod retry;
mod secret;
mod sub_path;
mod teardown;
mod tokens;

pub use places::Places;
pub use pod_volumes::{Config, PodVolumes};

//! The kubelet binary: flags, configuration, wiring. No decisions about pods or nodes are made here.
//!
//! ```text
//!   argv ─► flags ─► config ─► Settings ─► wiring (the agent and its edges)
//! ```
//!
//! [`cli`] says which way a start goes; [`settings`] is what the rest of the program is told.

pub mod cli;
pub mod compat;
pub mod config;
pub mod cpuset;
pub mod duration;
pub mod flags;
pub mod gates;
pub mod healthz;
pub mod labels;
pub mod lock_file;
pub mod logging;
pub mod process;
pub mod settings;
pub mod systemd;
pub mod thresholds;
pub mod version;
pub mod wiring;

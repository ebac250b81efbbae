//! The container runtime: calls, events, image pulls, log files.
//!
//! [`CriRuntime`] implements [`seams::Runtime`] over CRI v1 on a unix socket. Nothing here decides anything about a
//! pod: requests are rendered ([`render`]), sent with a deadline, and answers are read back into records.
//!
//! ```text
//!   CriRuntime ─┬─ render       requests → CRI messages, pure
//!               ├─ client       deadlines, size limits, typed errors
//!               │    └─ channel one connection, made again with back-off
//!               ├─ observe      lists and statuses → records, termination messages
//!               ├─ hints        event stream, or a comparison of lists
//!               ├─ log_files    directories, links, removal
//!               ├─ log_rotation what rotation does to them: rename, compress, remove
//!               └─ container_logs   what is in them, followed over rotations
//! ```
//!
//! Long-lived tasks: one per receiver of [`seams::Runtime::hints`] and of [`seams::ContainerLogs::read`], ending when it
//! is dropped. State: exited
//! containers already read, and links to be made at start; both bounded, both only to save calls.

mod calls;
mod channel;
mod client;
pub mod config;
mod container_logs;
pub mod endpoint;
mod error;
mod hints;
mod links;
pub mod log_files;
mod log_rotation;
mod log_tail;
mod observe;
pub mod render;
pub mod runtime;

pub use config::CriConfig;
pub use endpoint::EndpointError;
pub use error::go_code;
pub use runtime::CriRuntime;

//! What is measured: the one table of upstream's metrics, the values, and their text. No clock, no IO, no task.
//!
//! ```text
//!   table      every metric: page, name, type, labels, buckets, help, and what is here of it
//!     │ find
//!   family     a row with its label sets ── value   counter, gauge, histogram on atomics
//!     │
//!   registry   all of one kubelet, in groups: runtime, pods, images, volumes, probes, http, rest, node, idle
//!     │ page
//!   text       the exposition format, version 0.0.4
//! ```
//!
//! Invariants:
//! * a value without a row does not compile; one with other labels or another type than its row is a failed assertion;
//! * nothing that measures waits for a scrape.

pub mod family;
pub mod http;
pub mod idle;
pub mod images;
mod labels;
pub mod node;
pub mod pods;
pub mod probes;
mod registry;
pub mod rest;
pub mod runtime;
pub mod table;
pub mod text;
pub mod value;
pub mod volumes;

pub use labels::Word;
pub use registry::Metrics;
pub use runtime::End;

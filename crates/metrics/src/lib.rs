//! What is measured: the values, and their text. No clock, no IO, no task.
//!
//! ```text
//! text        the exposition format, version 0.0.4
//! ```

pub mod text;

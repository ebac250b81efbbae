//! As much of SPDY/3.1 as a client of the runtime's streaming server needs (contract §25).
//!
//! Runtimes stream into containers over SPDY alone; clients that speak WebSocket are translated here. Everything in this
//! module is bytes in and bytes out: no socket, no clock, no task.
//!
//! ```text
//!   bytes ─▶ frame::Decoder ─▶ Session ─▶ events          write, finish ─▶ Session ─▶ frames (bytes)
//! ```
//!
//! Invariants:
//! * nothing that the other end sends makes this panic, and what it makes this hold is bounded;
//! * headers that the other end sends are skipped, never decompressed: none of them means anything here;
//! * no byte is sent on a stream before its reply: servers drop what comes earlier.

mod frame;
mod headers;
#[cfg(test)]
pub(crate) mod peer;
mod session;

pub(crate) use frame::FrameError;
pub(crate) use session::{End, Event, Session, StreamId};

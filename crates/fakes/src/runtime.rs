//! A container runtime in memory, with faults on demand.
//!
//! ```text
//!   Core ─┬─ server::FakeCri      CRI v1 on a unix socket, for tests of the edge and of the binary
//!         └─ seam::FakeRuntime    seams::Runtime directly, for tests of the agent
//! ```
//! Both speak to the same [`Core`]: sandboxes, containers and images as they were asked for, a [`script`] that says
//! how containers, pulls and calls behave, and a record of every call. Time is tokio's, so that tests with a paused
//! clock take no time.
//!
//! Invariants, as a real runtime has them: one sandbox per (uid, attempt) and one container per (uid, name, attempt),
//! a second one is refused; stopping and removing are idempotent; a removed sandbox takes its containers along.

pub mod calls;
pub mod core;
mod ops;
mod requests;
pub mod script;
pub mod seam;
pub mod server;
mod streams;

#[cfg(test)]
mod tests;

pub use self::{
    calls::Call,
    core::Core,
    requests::{container_request, sandbox_request},
    script::{ContainerScript, Fault, ImageScript, OnTerm, When},
    seam::FakeRuntime,
    server::FakeCri,
};
pub use tonic::Code;

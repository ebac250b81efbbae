//! What should happen to one pod.
//!
//! The room is pure: no clock, no IO, no randomness, no task. [`decide`] takes what is wanted and what was seen,
//! and returns what to do, what to report, when to look again, and why. Everything that acts lives elsewhere.
//!
//! ```text
//!   Observation ──► decide ──► Decision { next, actions, status, wake_at, why }
//!        ▲                          │
//!        └── outcomes ◄── executor ◄┘
//! ```
//!
//! Invariants:
//! * an [`Action`] that is in flight (its [`ActionKey`] is in [`PodState::in_flight`]) is never emitted again;
//! * a container is identified by (pod uid, name, attempt); `decide` never asks for an identity that the
//!   observation already holds;
//! * a pod never leaves `Terminating` for `Syncing`, nor `Terminated` for anything.

pub mod account;
pub mod action;
pub mod decide;
pub mod delay;
pub mod explain;
pub mod grace;
pub mod ids;
pub mod observation;
pub mod qos;
pub mod reason;
pub mod record;
pub mod spec;
pub mod state;
pub mod status;
#[cfg(test)]
mod testing;

pub use action::{Action, ActionKey, Done, Failure, FailureStep, LogFate, Obstacle, Outcome};
pub use decide::{Decision, Outlook, decide};
pub use explain::{Explanation, explain};
pub use ids::{ContainerId, ContainerName, PodKey, PodUid, SandboxId, Tick};
pub use observation::{Admission, Intent, NodeFacts, Observation, PodSource, ProbeResults};
pub use reason::Reason;
pub use record::Record;
pub use state::PodState;

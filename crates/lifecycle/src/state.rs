//! What a pod's worker remembers between decisions.
//!
//! ```text
//!            Intent::Delete / Removed / Kill, deadline, terminal phase, rejection
//!   Syncing ─────────────────────────────────────────────► Terminating ──► Terminated
//! ```
//! Never back. The owner of this file fills the variants; the agent only carries the value from call to call.

use std::collections::BTreeSet;

use crate::action::ActionKey;

/// Memory of one pod's worker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodState {
    in_flight: BTreeSet<ActionKey>,
}

impl PodState {
    /// Actions emitted whose outcome has not been seen.
    pub fn in_flight(&self) -> impl Iterator<Item = &ActionKey> {
        self.in_flight.iter()
    }
}

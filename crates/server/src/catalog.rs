//! What upstream's kubelet serves, and what of it is served here: the tables behind `docs/compat.md`.

pub mod metrics;
pub mod routes;

/// How far something of upstream's is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// As upstream's.
    Same,
    /// Not built yet.
    NotYet,
}

impl Support {
    /// Word for the compat table.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::NotYet => "absent (not yet)",
        }
    }
}

//! What upstream's kubelet serves, and what of it is served here: the table behind `docs/compat.md`.

pub mod routes;

/// How far something of upstream's is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// As upstream's.
    Same,
    /// Here, with a difference.
    Differs(&'static str),
    /// Not built yet.
    NotYet,
}

impl Support {
    /// Words for the compat table.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Same => "same".to_owned(),
            Self::Differs(how) => format!("differs: {how}"),
            Self::NotYet => "absent (not yet)".to_owned(),
        }
    }
}

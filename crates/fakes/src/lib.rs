//! What tests of several rooms share: fault-injecting fakes of the [`runtime`] and the [`apiserver`], [`clock`]s that
//! obey, and plain [`pods`].

pub mod apiserver;
pub mod clock;
pub mod pods;
pub mod runtime;

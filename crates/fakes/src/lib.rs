//! What tests of several rooms share: fault-injecting fakes of the [`runtime`] and the [`apiserver`], a [`cluster`] and a
//! [`machine`] that are no more than what the agent's own tasks ask of them, [`clock`]s that obey, plain [`pods`], and a [`process`] with limits of its own.

pub mod apiserver;
pub mod clock;
pub mod cluster;
pub mod machine;
pub mod pods;
pub mod process;
pub mod runtime;

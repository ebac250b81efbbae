//! Fault-injecting fakes of the runtime and the API server, for tests

pub mod apiserver;
pub mod runtime;

//! Fault-injecting fakes of the runtime and the API server, for tests

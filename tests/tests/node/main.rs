//! Tests of the release binary against a real containerd and a real control plane. They want root and take minutes, so
//! they run by name: `make test` does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod behaviours;
mod cluster;
mod containers;
mod explain;
mod faults;
mod histories;
mod hung_disk;
mod kubectl;
mod machine;
mod metrics;
mod restarts;
mod standalone;
mod static_pods;
mod statuses;
mod swap;
mod tls;
mod usage;

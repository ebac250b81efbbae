//! The container runtime: calls, events, image pulls, log files

//! The kubelet binary: flags, configuration, wiring

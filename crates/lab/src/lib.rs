//! The node lab: a real runtime and a real control plane on one machine

//! What should happen to the node: pure plans and their reasons. No clock, no IO.

pub mod qos;

//! The API as its clients see it: over TLS on the loopback address.

mod access;
mod limits;
mod metrics;
mod pages;
mod random;
mod rig;
mod stats;
mod streams;
mod websockets;

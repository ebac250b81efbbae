//! The HTTP side of the kubelet: health, and the catalogue of what the API on 10250 will serve.

pub mod catalog;
pub mod healthz;

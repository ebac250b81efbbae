//! Pure renderings of a pod spec: hostname, hosts file, DNS, environment, field references, expansion.

pub mod dns;

//! Pure readings and renderings of a pod spec: its containers by name, hostname, hosts file, DNS, environment, mounts, field references, expansion, and
//! static pods from their manifests.
//!
//! Everything takes objects of the Kubernetes API and returns values; errors carry upstream's words, because users
//! see them in events and statuses.

pub(crate) mod amount;
pub mod command;
pub mod containers;
pub mod dns;
pub mod env;
pub mod env_file;
pub mod ephemeral;
pub mod expansion;
pub mod field_ref;
pub mod hash;
pub mod hooks;
pub mod hostname;
pub mod hosts;
pub mod image_reference;
pub mod mounts;
pub mod names;
pub mod quote;
pub mod resize;
pub mod resource_ref;
pub mod restart_rules;
pub mod service_env;
pub mod static_pod;

//! What should happen to the node: pure plans and their reasons. No clock, no IO.
//!
//! ```text
//! quantity ─▶ resources ─▶ qos, cgroup            what pods ask for, and the kernel's numbers for it
//!         └─▶ capacity ─▶ status ─▶ heartbeat     what the node says about itself, and when
//!             conditions ─┘   └─▶ registration
//! addresses ──────────────┘
//! admission                                       whether a pod may run here
//! log_rotation                                    which files a container's log leaves behind
//! user_namespaces                                 which ids a pod's user namespace gets
//! ```

pub mod addresses;
pub mod admission;
pub mod capacity;
pub mod cgroup;
pub mod conditions;
pub mod heartbeat;
pub mod log_rotation;
pub mod priority;
pub mod qos;
pub mod quantity;
pub mod registration;
pub mod resources;
pub mod status;
pub mod user_namespaces;

#[cfg(test)]
mod testing;

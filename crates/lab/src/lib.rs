//! The node lab: a real container runtime and a real control plane on one machine, for trying a kubelet by hand and for
//! black-box tests and benches.
//!
//! A [`Spec`] says what is wanted, [`Plan`] works out every name, address and path, [`Lab::up`] makes it so and
//! [`Lab::down`] removes it without a trace. Labs of different names run side by side: each has its own network namespace,
//! cgroup, folders and sockets. Everything is under one state folder, `.lab` in the checkout, except what
//! [`mod@host`] keeps account of.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let mut lab = lab::Lab::up(lab::Spec::new("mine", lab::Mode::Cluster)?)?;
//! println!("{}", lab.kubectl(&["get", "nodes"])?);
//! lab.kubelet().kill()?;
//! lab.kubelet().start()?;
//! lab.down()
//! # }
//! ```

pub mod api;
pub mod artifacts;
pub mod bench;
pub mod cgroups;
pub mod containerd;
pub mod control_plane;
pub mod daemon;
pub mod direction;
pub mod env;
pub mod host;
pub mod images;
pub mod kubelet;
pub mod machine;
mod metrics_server;
pub mod mounts;
pub mod network;
pub mod pki;
pub mod plan;
pub mod prerequisites;
pub mod run;
mod services;
pub mod spec;
pub mod teardown;
mod up;
pub mod wait;

pub use plan::{Paths, Plan, Service};
pub use rustix::process::Signal;
pub use spec::{Credentials, KubeletBinary, MetricsApi, Mode, Runtime, Spec};
pub use up::Lab;

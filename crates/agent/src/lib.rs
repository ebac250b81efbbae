//! The agent: few long-lived tasks, each the only owner of what it holds.
//!
//! | task | owns | is told by | tells |
//! |---|---|---|---|
//! | `sources::api`, `file`, `url` | what a source last delivered | watch, inotify, timer | dispatcher |
//! | `pods` (dispatcher) | which pods have a worker | sources, observer, object changes | mailboxes |
//! | `worker`, one a pod | the pod's state | mailbox, bell, outcomes, timer | executor, status queue, events |
//! | `observer::watch_pods` | what the runtime listed last | runtime hints, timer | bells |
//! | `observer::watch_status` | runtime and network health | timer | workers, node |
//! | `prober` | every probe's schedule and tally | workers, timer | bells |
//! | `status` | unsent statuses | workers, API source | API server |
//! | `mirror` | which mirrors exist | dispatcher, API source | API server |
//! | `node_status` | the Node object as last reported | timer, runtime health | API server |
//! | `log_rotation` | sizes of running containers' logs, and when to look | executor, observer, timer | runtime |
//! | `name_runtime` | the runtime's name | nothing, it asks once | workers |
//! | `pod_cidr` | the range that the runtime was told | Node watch, or the setting | runtime |
//! | `enforce_allocatable` | whether the group of all pods is limited | timer, until it is | machine |
//! | `lease` | the node's lease | timer | API server |
//! | `events` | unsent events | everyone | API server |
//!
//! [`stats`] has no task: it reads when it is asked.
//!
//! [`start`] is the one place that makes them. [`health::Health`] is where they show that they go on.

pub mod admission;
pub mod api;
pub mod config;
pub mod edges;
pub mod events;
pub mod executor;
pub mod health;
pub mod images;
pub mod lease;
pub mod log_rotation;
pub mod mirror;
pub mod node_status;
pub mod observer;
pub mod pods;
pub mod prober;
pub mod records;
pub mod redirect;
pub mod sources;
pub mod starts;
pub mod stats;
pub mod status;
pub mod user_namespaces;
pub mod worker;

mod address;
mod alarm;
mod allocatable;
mod containers;
mod gauges;
mod http_get;
mod pod_cidr;
mod resolv_conf;
mod resource_version;
mod start;
mod whole_file;

pub use config::AgentConfig;
pub use edges::Edges;
pub use start::{Agent, Outside, start};

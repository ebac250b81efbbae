//! The interfaces between the agent and the world, and their errors.
//!
//! The agent holds each as `Arc<dyn …>`; the edges (`cri`, `cluster`, `linux`, `volumes`) implement them, and so do
//! the fakes. Requests are made of plain pod terms: rendering them into CRI messages or API calls is the edge's work.

pub mod bucket;
pub mod clock;
pub mod cluster;
pub mod explain;
pub mod host;
pub mod logs;
pub mod node_api;
pub mod node_logs;
pub mod patch;
pub mod reviews;
pub mod runtime;
pub mod stats;
pub mod volumes;

pub use bucket::TokenBucket;
pub use clock::{Clock, SystemClock};
pub use cluster::{ApiError, Cluster, ObjectError, Objects};
pub use explain::Explainer;
pub use host::{Host, HostError};
pub use logs::{ContainerLogs, LogFiles};
pub use node_api::NodeApi;
pub use node_logs::NodeLogs;
pub use reviews::Reviews;
pub use runtime::{Runtime, RuntimeError};
pub use stats::NodeStats;
pub use volumes::{VolumeError, Volumes};

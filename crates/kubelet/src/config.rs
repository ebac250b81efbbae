//! KubeletConfiguration `kubelet.config.k8s.io/v1beta1`: from bytes on disk to one effective, checked object.
//!
//! ```text
//!   file ─► document ─► shape (unknown, duplicate, wrong type) ─► defaults ─┐
//!   drop-ins ─► JSON merge patch, in lexical order ─► defaults ─────────────┤► flags ─► gates ─► validate
//!   no file: defaults of the flag baseline ──────────────────────────────────┘
//! ```
//!
//! Invariants: a field's name, type, default, effect and description are written down once, in [`v1beta1`]; every
//! effective value can say where it came from ([`Sources`]); all problems are reported together.

pub mod defaults;
pub mod document;
pub mod dropin;
pub mod load;
pub mod problem;
pub mod schema;
pub mod shape;
pub mod source;
pub mod v1beta1;
pub mod validate;
pub mod without_effect;

pub use load::{Loaded, load};
pub use problem::Problem;
pub use schema::{Field, Support};
pub use source::{Source, Sources};
pub use v1beta1::KubeletConfiguration;
pub use without_effect::without_effect;

/// `apiVersion` of the configuration.
pub const API_VERSION: &str = "kubelet.config.k8s.io/v1beta1";
/// `kind` of the configuration.
pub const KIND: &str = "KubeletConfiguration";

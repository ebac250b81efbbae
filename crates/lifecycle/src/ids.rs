//! Newtypes for every identity, and the one notion of time.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// The identity as text, as it goes on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<T: Into<String>> From<T> for $name {
            fn from(text: T) -> Self {
                Self(text.into().into_boxed_str())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// `metadata.uid` of a pod. For a static pod: the hash of its manifest (contract §4).
    PodUid
}
id! {
    /// Name of a container in the pod spec: unique over init, regular and ephemeral containers.
    ContainerName
}
id! {
    /// The runtime's id of a container, without the `containerd://` prefix.
    ContainerId
}
id! {
    /// The runtime's id of a pod sandbox.
    SandboxId
}

/// Namespace, name and uid of a pod: what an operator calls it and what tells it from its namesakes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodKey {
    /// Namespace.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// Uid.
    pub uid: PodUid,
}

impl PodKey {
    /// Reads the identity off a pod object; missing parts become empty.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default().into(),
            name: pod.metadata.name.clone().unwrap_or_default().into(),
            uid: pod.metadata.uid.clone().unwrap_or_default().into(),
        }
    }
}

impl fmt::Display for PodKey {
    /// `name_namespace(uid)`: the form that upstream prints in events and messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}({})", self.name, self.namespace, self.uid)
    }
}

/// One reading of both clocks. Delays and deadlines use `mono`, what is written into objects uses `wall`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick {
    /// Time since the process (or the simulation) began; never goes back.
    pub mono: Duration,
    /// Wall clock, for timestamps in objects; may jump.
    pub wall: Timestamp,
}

impl Tick {
    /// The reading `delay` later on both clocks.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        let wall = jiff::SignedDuration::try_from(delay).ok().and_then(|d| self.wall.checked_add(d).ok());
        Self { mono: self.mono.saturating_add(delay), wall: wall.unwrap_or(Timestamp::MAX) }
    }
}

//! Probes. Their label sets go with the containers that they are of.

use std::sync::Arc;

use crate::{
    family::Vector,
    labels::{group, label_set, words},
    value::{Counter, Histogram},
};

words! {
    /// Kind of a probe.
    Kind {
        Liveness = "Liveness",
        Readiness = "Readiness",
        Startup = "Startup",
    }
}

words! {
    /// How a probe ended. What could not be probed has no end, as upstream, which never says `unknown` either.
    ProbeEnd {
        Successful = "successful",
        Failed = "failed",
    }
}

label_set! {
    /// A probe of a container.
    Probe {
        container "container": Arc<str>,
        namespace "namespace": Arc<str>,
        pod "pod": Arc<str>,
        probe_type "probe_type": Kind,
    }
}

label_set! {
    /// A probe of a container, and how it ended.
    Probed {
        container "container": Arc<str>,
        namespace "namespace": Arc<str>,
        pod "pod": Arc<str>,
        pod_uid "pod_uid": Arc<str>,
        probe_type "probe_type": Kind,
        result "result": ProbeEnd,
    }
}

group! {
    /// What is measured of probes.
    Probes {
        ended: Vector<Probed, Counter> = Probes "prober_probe_total",
        seconds: Vector<Probe, Histogram> = Probes "prober_probe_duration_seconds",
    }
}

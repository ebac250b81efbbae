//! Volumes.

use crate::{
    family::{Asked, Vector},
    labels::{group, label_set, words},
    runtime::End,
    value::Histogram,
};

words! {
    /// What is done with one volume.
    VolumeOperation {
        Mount = "volume_mount",
        Unmount = "volume_unmount",
    }
}

words! {
    /// A wish for a volume, or for its end, and all that it takes.
    OverallOperation {
        Mount = "overall_volume_mount",
        Unmount = "overall_volume_unmount",
    }
}

words! {
    /// How an operation ended.
    VolumeEnd {
        Success = "success",
        Failed = "fail-unknown",
    }
}

words! {
    /// What is wanted, and what is so.
    World {
        Desired = "desired_state_of_world",
        Actual = "actual_state_of_world",
    }
}

words! {
    /// How disk use is measured.
    MetricSource "metric_source" {
        Walk = "du",
        Statfs = "statfs",
    }
}

label_set! {
    /// An operation on a volume.
    Operated {
        migrated "migrated": bool,
        operation_name "operation_name": VolumeOperation,
        status "status": VolumeEnd,
        volume_plugin "volume_plugin": &'static str,
    }
}

label_set! {
    /// A wish that was met.
    Met { operation_name "operation_name": OverallOperation, plugin_name "plugin_name": &'static str }
}

label_set! {
    /// Volumes of a plugin.
    Held { plugin_name "plugin_name": &'static str, state "state": World }
}

impl Operated {
    /// Plugins are named as in the API: `kubernetes.io/projected`.
    #[must_use]
    pub fn new(operation_name: VolumeOperation, volume_plugin: &'static str, end: End) -> Self {
        let status = if end == End::Well { VolumeEnd::Success } else { VolumeEnd::Failed };
        Self { migrated: false, operation_name, status, volume_plugin }
    }
}

group! {
    /// What is measured of volumes.
    Volumes {
        measuring_seconds: Vector<MetricSource, Histogram> = Metrics "kubelet_volume_metric_collection_duration_seconds",
        operation_seconds: Vector<Operated, Histogram> = Metrics "storage_operation_duration_seconds",
        overall_seconds: Vector<Met, Histogram> = Metrics "volume_operation_total_seconds",
        held: Asked<Held> = Metrics "volume_manager_total_volumes",
    }
}

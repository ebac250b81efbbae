//! Images: whether they are there, and how long their pulls take.

use crate::{
    family::{Asked, Vector},
    labels::{group, label_set, words},
    value::{Counter, Histogram},
};

words! {
    /// Size of an image, in upstream's steps.
    Size "image_size_in_bytes" {
        Unknown = "N/A",
        To10Mb = "0-10MB",
        To100Mb = "10MB-100MB",
        To500Mb = "100MB-500MB",
        To1Gb = "500MB-1GB",
        To5Gb = "1GB-5GB",
        To10Gb = "5GB-10GB",
        To20Gb = "10GB-20GB",
        To30Gb = "20GB-30GB",
        To40Gb = "30GB-40GB",
        To60Gb = "40GB-60GB",
        To100Gb = "60GB-100GB",
        Above = "GT100GB",
    }
}

const MB: u64 = 1 << 20;
const GB: u64 = 1 << 30;

impl Size {
    /// That of an image of so many bytes, zero for one whose size could not be had. Megabytes are 2^20 bytes, as upstream counts them.
    #[must_use]
    pub fn of(bytes: u64) -> Self {
        const STEPS: [(u64, Size); 12] = [
            (0, Size::Unknown),
            (10 * MB, Size::To10Mb),
            (100 * MB, Size::To100Mb),
            (500 * MB, Size::To500Mb),
            (GB, Size::To1Gb),
            (5 * GB, Size::To5Gb),
            (10 * GB, Size::To10Gb),
            (20 * GB, Size::To20Gb),
            (30 * GB, Size::To30Gb),
            (40 * GB, Size::To40Gb),
            (60 * GB, Size::To60Gb),
            (100 * GB, Size::To100Gb),
        ];
        STEPS.iter().find(|(most, _)| bytes <= *most).map_or(Self::Above, |(_, size)| *size)
    }
}

words! {
    /// `imagePullPolicy`.
    Policy {
        Always = "always",
        IfNotPresent = "ifnotpresent",
        Never = "never",
    }
}

words! {
    /// An answer that may not be known.
    Answer {
        Yes = "true",
        No = "false",
        Unknown = "unknown",
    }
}

words! {
    /// What came of a check whether an image may be used without a pull.
    Check "result" {
        AllowedByPolicy = "credentialPolicyAllowed",
        RecordFound = "credentialRecordFound",
        MustAuthenticate = "mustAuthenticate",
        Error = "error",
    }
}

label_set! {
    /// A question for an image, and what came of it.
    Ensured { present_locally "present_locally": Answer, pull_policy "pull_policy": Policy, pull_required "pull_required": Answer }
}

group! {
    /// What is measured of images.
    Images {
        ensured: Vector<Ensured, Counter> = Metrics "kubelet_image_manager_ensure_image_requests_total",
        pull_seconds: Vector<Size, Histogram> = Metrics "kubelet_image_pull_duration_seconds",
        checks: Vector<Check, Counter> = Metrics "kubelet_imagemanager_image_mustpull_checks_total",
        pulled_records: Asked<()> = Metrics "kubelet_imagemanager_ondisk_pulledrecords",
        pull_intents: Asked<()> = Metrics "kubelet_imagemanager_ondisk_pullintents",
    }
}

//! The resources that the fake knows: every one that a kubelet touches.

/// One resource in one version.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Served {
    /// API group; empty for core.
    pub(super) group: &'static str,
    /// Version.
    pub(super) version: &'static str,
    /// Name in URLs.
    pub(super) plural: &'static str,
    /// Name in objects.
    pub(super) kind: &'static str,
    /// Whether its objects live in namespaces.
    pub(super) namespaced: bool,
}

impl Served {
    /// `v1`, or `coordination.k8s.io/v1`.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `pods`, or `leases.coordination.k8s.io`: as messages name it.
    pub(super) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }
}

const fn of(
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
) -> Served {
    Served { group, version, plural, kind, namespaced }
}

const SERVED: &[Served] = &[
    of("", "v1", "configmaps", "ConfigMap", true),
    of("", "v1", "endpoints", "Endpoints", true),
    of("", "v1", "events", "Event", true),
    of("", "v1", "namespaces", "Namespace", false),
    of("", "v1", "nodes", "Node", false),
    of("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", true),
    of("", "v1", "persistentvolumes", "PersistentVolume", false),
    of("", "v1", "pods", "Pod", true),
    of("", "v1", "secrets", "Secret", true),
    of("", "v1", "serviceaccounts", "ServiceAccount", true),
    of("", "v1", "services", "Service", true),
    of("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", false),
    of("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", false),
    of("certificates.k8s.io", "v1", "certificatesigningrequests", "CertificateSigningRequest", false),
    of("certificates.k8s.io", "v1beta1", "clustertrustbundles", "ClusterTrustBundle", false),
    of("certificates.k8s.io", "v1beta1", "podcertificaterequests", "PodCertificateRequest", true),
    of("certificates.k8s.io", "v1", "podcertificaterequests", "PodCertificateRequest", true),
    of("coordination.k8s.io", "v1", "leases", "Lease", true),
    of("events.k8s.io", "v1", "events", "Event", true),
    of("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", false),
    of("resource.k8s.io", "v1", "deviceclasses", "DeviceClass", false),
    of("resource.k8s.io", "v1", "resourceclaims", "ResourceClaim", true),
    of("resource.k8s.io", "v1", "resourceslices", "ResourceSlice", false),
    of("storage.k8s.io", "v1", "csidrivers", "CSIDriver", false),
    of("storage.k8s.io", "v1", "csinodes", "CSINode", false),
    of("storage.k8s.io", "v1", "storageclasses", "StorageClass", false),
    of("storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment", false),
];

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) served: &'static Served,
    /// Empty: of all namespaces, or there are none.
    pub(super) namespace: String,
    /// Empty: the collection.
    pub(super) name: String,
    /// `status`, `token`, …; empty: the object itself.
    pub(super) subresource: String,
}

/// Read a path such as `/api/v1/namespaces/a/pods/b/status`.
pub(super) fn target(path: &str) -> Option<Target> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() && rest[0] != "status" => (*namespace, rest),
        _ => ("", rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, "", ""),
        [plural, name] => (*plural, *name, ""),
        [plural, name, subresource] => (*plural, *name, *subresource),
        _ => return None,
    };
    let served = SERVED
        .iter()
        .find(|served| served.group == group && served.version == version && served.plural == plural)?;
    if !served.namespaced && !namespace.is_empty()
        || served.namespaced && namespace.is_empty() && !name.is_empty()
    {
        return None;
    }
    Some(Target {
        served,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
    })
}

impl Target {
    /// The object's place in the store.
    pub(super) fn key(&self) -> super::store::Key {
        super::store::Key {
            group: self.served.group.to_owned(),
            plural: self.served.plural.to_owned(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

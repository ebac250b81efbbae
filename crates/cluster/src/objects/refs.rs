//! Which config maps and secrets a pod refers to: what upstream's visitors find, so that everything the node
//! authorizer lets this node read for the pod is followed, and nothing else.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, LocalObjectReference, Pod, Volume};

/// A followed kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// ConfigMap.
    ConfigMap,
    /// Secret.
    Secret,
}

impl Kind {
    /// Lower-case singular, as in `configmap "x" not found`.
    pub(crate) fn singular(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmap",
            Self::Secret => "secret",
        }
    }

    /// As in paths.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmaps",
            Self::Secret => "secrets",
        }
    }
}

/// Identity of a followed object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// Everything that the pod refers to, in any of its parts.
pub(crate) fn of(pod: &Pod) -> BTreeSet<Key> {
    let mut found =
        Found { namespace: pod.metadata.namespace.clone().unwrap_or_default(), keys: BTreeSet::new() };
    let Some(spec) = &pod.spec else { return found.keys };
    for reference in spec.image_pull_secrets.iter().flatten() {
        found.secret(&reference.name);
    }
    for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        found.environment(container.env_from.as_deref(), container.env.as_deref());
    }
    for container in spec.ephemeral_containers.iter().flatten() {
        found.environment(container.env_from.as_deref(), container.env.as_deref());
    }
    for volume in spec.volumes.iter().flatten() {
        found.volume(volume);
    }
    found.keys
}

struct Found {
    namespace: String,
    keys: BTreeSet<Key>,
}

impl Found {
    fn add(&mut self, kind: Kind, name: &str) {
        if !name.is_empty() {
            self.keys.insert(Key { kind, namespace: self.namespace.clone(), name: name.to_owned() });
        }
    }

    fn config_map(&mut self, name: &str) {
        self.add(Kind::ConfigMap, name);
    }

    fn secret(&mut self, name: &str) {
        self.add(Kind::Secret, name);
    }

    fn local(&mut self, reference: Option<&LocalObjectReference>) {
        if let Some(reference) = reference {
            self.secret(&reference.name);
        }
    }

    fn environment(&mut self, from: Option<&[EnvFromSource]>, env: Option<&[EnvVar]>) {
        for source in from.unwrap_or_default() {
            if let Some(reference) = &source.config_map_ref {
                self.config_map(&reference.name);
            }
            if let Some(reference) = &source.secret_ref {
                self.secret(&reference.name);
            }
        }
        for source in env.unwrap_or_default().iter().filter_map(|env| env.value_from.as_ref()) {
            if let Some(reference) = &source.config_map_key_ref {
                self.config_map(&reference.name);
            }
            if let Some(reference) = &source.secret_key_ref {
                self.secret(&reference.name);
            }
        }
    }

    fn volume(&mut self, volume: &Volume) {
        if let Some(source) = &volume.config_map {
            self.config_map(&source.name);
        }
        if let Some(source) = &volume.secret {
            self.secret(source.secret_name.as_deref().unwrap_or_default());
        }
        for source in volume.projected.iter().flat_map(|p| p.sources.iter().flatten()) {
            if let Some(projection) = &source.config_map {
                self.config_map(&projection.name);
            }
            if let Some(projection) = &source.secret {
                self.secret(&projection.name);
            }
        }
        if let Some(source) = &volume.azure_file {
            self.secret(&source.secret_name);
        }
        self.local(volume.cephfs.as_ref().and_then(|s| s.secret_ref.as_ref()));
        self.local(volume.rbd.as_ref().and_then(|s| s.secret_ref.as_ref()));
        self.local(volume.flex_volume.as_ref().and_then(|s| s.secret_ref.as_ref()));
        self.local(volume.iscsi.as_ref().and_then(|s| s.secret_ref.as_ref()));
        self.local(volume.storageos.as_ref().and_then(|s| s.secret_ref.as_ref()));
        self.local(volume.scale_io.as_ref().map(|s| &s.secret_ref));
        self.local(volume.csi.as_ref().and_then(|s| s.node_publish_secret_ref.as_ref()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_a_pod_is_looked_at() {
        let pod: Pod = serde_json::from_str(
            r#"{"metadata":{"namespace":"ns","name":"p"},"spec":{
              "imagePullSecrets":[{"name":"pull"},{"name":""}],
              "initContainers":[{"name":"i","envFrom":[{"configMapRef":{"name":"init-from"}}]}],
              "containers":[{"name":"c","env":[{"name":"A","valueFrom":{"configMapKeyRef":{"name":"env-cm","key":"k"}}},
                                                {"name":"B","valueFrom":{"secretKeyRef":{"name":"env-s","key":"k"}}}],
                             "envFrom":[{"secretRef":{"name":"from-s"}}]}],
              "ephemeralContainers":[{"name":"e","envFrom":[{"secretRef":{"name":"eph"}}]}],
              "volumes":[{"name":"a","configMap":{"name":"vol-cm"}},{"name":"b","secret":{"secretName":"vol-s"}},
                {"name":"c","projected":{"sources":[{"configMap":{"name":"proj-cm"}},{"secret":{"name":"proj-s"}},{"serviceAccountToken":{"path":"t"}}]}},
                {"name":"d","csi":{"driver":"x","nodePublishSecretRef":{"name":"csi"}}},
                {"name":"f","iscsi":{"targetPortal":"p","iqn":"q","lun":0,"secretRef":{"name":"chap"}}},
                {"name":"e","emptyDir":{}}]}}"#,
        )
        .unwrap();
        let keys = of(&pod);
        let names = |kind: Kind| {
            keys.iter().filter(|k| k.kind == kind).map(|k| k.name.as_str()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(Kind::ConfigMap), "env-cm init-from proj-cm vol-cm");
        assert_eq!(names(Kind::Secret), "chap csi env-s eph from-s proj-s pull vol-s");
        assert!(keys.iter().all(|k| k.namespace == "ns"));
    }
}

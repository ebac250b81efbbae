//! What a static pod may not refer to: objects that only the API server has (contract §4). Order and words are
//! upstream's.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume};

use super::ManifestError;

fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers)
}

fn some(name: &str) -> bool {
    !name.is_empty()
}

fn env_uses_secret(container: &Container) -> bool {
    container
        .env_from
        .iter()
        .flatten()
        .any(|source| source.secret_ref.as_ref().is_some_and(|r| some(&r.name)))
        || container.env.iter().flatten().any(|variable| {
            let source = variable.value_from.as_ref().and_then(|source| source.secret_key_ref.as_ref());
            source.is_some_and(|reference| some(&reference.name))
        })
}

fn env_uses_config_map(container: &Container) -> bool {
    let from = container.env_from.iter().flatten();
    from.into_iter().any(|source| source.config_map_ref.as_ref().is_some_and(|r| some(&r.name)))
        || container.env.iter().flatten().any(|variable| {
            let source = variable.value_from.as_ref().and_then(|source| source.config_map_key_ref.as_ref());
            source.is_some_and(|reference| some(&reference.name))
        })
}

fn volume_names_secret(volume: &Volume) -> bool {
    let local = |reference: Option<&k8s_openapi::api::core::v1::LocalObjectReference>| {
        reference.is_some_and(|reference| some(&reference.name))
    };
    volume.secret.as_ref().is_some_and(|s| s.secret_name.as_deref().is_some_and(some))
        || volume.azure_file.as_ref().is_some_and(|s| some(&s.secret_name))
        || volume.cephfs.as_ref().is_some_and(|s| local(s.secret_ref.as_ref()))
        || volume.cinder.as_ref().is_some_and(|s| local(s.secret_ref.as_ref()))
        || volume.flex_volume.as_ref().is_some_and(|s| local(s.secret_ref.as_ref()))
        || volume.rbd.as_ref().is_some_and(|s| local(s.secret_ref.as_ref()))
        || volume.scale_io.as_ref().is_some_and(|s| some(&s.secret_ref.name))
        || volume.iscsi.as_ref().is_some_and(|s| local(s.secret_ref.as_ref()))
        || volume.storageos.as_ref().is_some_and(|s| local(s.secret_ref.as_ref()))
        || volume.csi.as_ref().is_some_and(|s| local(s.node_publish_secret_ref.as_ref()))
        || volume
            .projected
            .iter()
            .flat_map(|s| s.sources.iter().flatten())
            .any(|source| source.secret.as_ref().is_some_and(|secret| some(&secret.name)))
}

fn volume_names_config_map(volume: &Volume) -> bool {
    volume.config_map.as_ref().is_some_and(|source| some(&source.name))
        || volume
            .projected
            .iter()
            .flat_map(|s| s.sources.iter().flatten())
            .any(|source| source.config_map.as_ref().is_some_and(|map| some(&map.name)))
}

fn needs_no_object(volume: &Volume) -> bool {
    volume.aws_elastic_block_store.is_some()
        || volume.azure_disk.is_some()
        || volume.cephfs.is_some()
        || volume.cinder.is_some()
        || volume.downward_api.is_some()
        || volume.empty_dir.is_some()
        || volume.fc.is_some()
        || volume.flex_volume.is_some()
        || volume.flocker.is_some()
        || volume.gce_persistent_disk.is_some()
        || volume.git_repo.is_some()
        || volume.host_path.is_some()
        || volume.image.is_some()
        || volume.iscsi.is_some()
        || volume.nfs.is_some()
        || volume.photon_persistent_disk.is_some()
        || volume.portworx_volume.is_some()
        || volume.quobyte.is_some()
        || volume.rbd.is_some()
        || volume.scale_io.is_some()
        || volume.storageos.is_some()
        || volume.vsphere_volume.is_some()
}

fn volume_reference(volume: &Volume) -> Result<Option<&'static str>, ManifestError> {
    if needs_no_object(volume) {
        return Ok(None);
    }
    let found = if volume.config_map.is_some() {
        "configmaps (via configmap volumes)"
    } else if volume.secret.is_some() {
        "secrets (via secret volumes)"
    } else if volume.csi.is_some() {
        "csidrivers (via CSI volumes)"
    } else if volume.glusterfs.is_some() {
        "endpoints (via glusterFS volumes)"
    } else if volume.persistent_volume_claim.is_some() {
        "persistentvolumeclaims"
    } else if volume.ephemeral.is_some() {
        "persistentvolumeclaims (via ephemeral volumes)"
    } else if volume.azure_file.is_some() {
        "secrets (via azureFile volumes)"
    } else if let Some(projected) = &volume.projected {
        for source in projected.sources.iter().flatten() {
            let found = if source.config_map.is_some() {
                "configmaps (via projected volumes)"
            } else if source.secret.is_some() {
                "secrets (via projected volumes)"
            } else if source.service_account_token.is_some() {
                "serviceaccounts (via projected volumes)"
            } else if source.cluster_trust_bundle.is_some() {
                "clustertrustbundles"
            } else if source.pod_certificate.is_some() {
                "podcertificates"
            } else if source.downward_api.is_some() {
                continue;
            } else {
                let volume = volume.name.clone();
                return Err(ManifestError::UnknownVolume { what: "source for projected volume", volume });
            };
            return Ok(Some(found));
        }
        return Ok(None);
    } else {
        let volume = volume.name.clone();
        return Err(ManifestError::UnknownVolume { what: "volume type for volume ", volume });
    };
    Ok(Some(found))
}

/// Refuses a pod that needs something from the API.
pub(super) fn check(pod: &Pod) -> Result<(), ManifestError> {
    let Some(spec) = pod.spec.as_ref() else {
        return Ok(());
    };
    let refuse = |resource| Err(ManifestError::Reference { resource });
    if spec.service_account_name.as_deref().is_some_and(some) {
        return refuse("serviceaccounts");
    }
    let volumes = || spec.volumes.iter().flatten();
    if spec.image_pull_secrets.iter().flatten().any(|reference| some(&reference.name))
        || containers(spec).any(env_uses_secret)
        || volumes().any(volume_names_secret)
    {
        return refuse("secrets");
    }
    if containers(spec).any(env_uses_config_map) || volumes().any(volume_names_config_map) {
        return refuse("configmaps");
    }
    if spec.resource_claims.iter().flatten().next().is_some() {
        return refuse("resourceclaims");
    }
    for volume in volumes() {
        if let Some(resource) = volume_reference(volume)? {
            return refuse(resource);
        }
    }
    Ok(())
}

//! Gives back what decoding leaves over: lists grow by doubling while they are read, and a `Volume` alone is 3 kB.

use k8s_openapi::api::core::v1::{Container, EnvVar, Pod, VolumeMount};

fn list<T>(list: &mut Option<Vec<T>>) {
    if let Some(list) = list {
        list.shrink_to_fit();
    }
}

fn environment(env: &mut Option<Vec<EnvVar>>, mounts: &mut Option<Vec<VolumeMount>>) {
    list(env);
    list(mounts);
}

fn containers(containers: &mut [Container]) {
    for container in containers {
        environment(&mut container.env, &mut container.volume_mounts);
        list(&mut container.env_from);
        list(&mut container.ports);
        list(&mut container.args);
        list(&mut container.command);
    }
}

/// Every list of a pod that holds large elements. `managedFields` are gone before.
pub(crate) fn pod(pod: &mut Pod) {
    if let Some(spec) = &mut pod.spec {
        spec.containers.shrink_to_fit();
        containers(&mut spec.containers);
        list(&mut spec.init_containers);
        containers(spec.init_containers.as_deref_mut().unwrap_or_default());
        list(&mut spec.ephemeral_containers);
        for container in spec.ephemeral_containers.iter_mut().flatten() {
            environment(&mut container.env, &mut container.volume_mounts);
        }
        list(&mut spec.volumes);
        for volume in spec.volumes.iter_mut().flatten() {
            if let Some(projected) = &mut volume.projected {
                list(&mut projected.sources);
            }
        }
        list(&mut spec.tolerations);
        list(&mut spec.topology_spread_constraints);
    }
    if let Some(status) = &mut pod.status {
        list(&mut status.conditions);
        list(&mut status.container_statuses);
        list(&mut status.init_container_statuses);
        list(&mut status.ephemeral_container_statuses);
    }
}

//! Volumes of the pod, and the mounts of one container.

use std::{os::unix::fs::PermissionsExt, path::PathBuf};

use k8s_openapi::api::core::v1::Container;
use lifecycle::{
    Done, Failure, FailureStep, Obstacle,
    spec::{
        hostname, hosts,
        mounts::{self, MountPropagation},
    },
};
use seams::{
    runtime::{ContainerMount, Propagation},
    volumes::VolumeContext,
};

use super::{Executor, Scene, failed};

impl Executor {
    pub(super) async fn mount_volumes(&self, scene: &Scene) -> Result<Done, Failure> {
        let context = VolumeContext {
            node_name: scene.node.name.clone(),
            host_ips: scene.node.host_ips.clone(),
            allocatable: self.allocatable.borrow().clone(),
        };
        match self.edges.volumes.mount(&scene.pod, &context).await {
            Ok(mounted) => {
                *scene.session.mounted.lock() = mounted;
                Ok(Done::Plain)
            }
            Err(errors) => {
                let texts: Vec<String> = errors
                    .iter()
                    .map(|error| match error {
                        seams::VolumeError::SetUp { volume, message, .. } => {
                            format!("MountVolume.SetUp failed for volume \"{volume}\" : {message}")
                        }
                        other => other.to_string(),
                    })
                    .collect();
                let obstacle = Obstacle::of_several(errors.iter().filter_map(seams::VolumeError::obstacle));
                // One line an error: each becomes an event of its own.
                Err(failed(FailureStep::Volumes, texts.join("\n")).because_of(obstacle))
            }
        }
    }

    /// Volumes in spec order, then the kubelet's own: termination log, hosts file last (contract §12).
    pub(super) async fn container_mounts(
        &self,
        scene: &Scene,
        container: &Container,
        env: &[(String, Vec<u8>)],
        attempt: u32,
        handler: &str,
    ) -> Result<Vec<ContainerMount>, Failure> {
        let config = |text: String| failed(FailureStep::ContainerConfig, text);
        let mounted = scene.session.mounted.lock().clone();
        let recursive = self.recursive_read_only(handler);
        let plans = mounts::plan(container, env, &|volume| mounted.contains_key(volume), recursive)
            .map_err(|error| config(error.to_string()).because_of(Some(Obstacle::Spec)))?;
        let mut result = Vec::with_capacity(plans.len() + 2);
        for plan in plans {
            let Some(volume) = mounted.get(&plan.volume) else { continue };
            let read_only = plan.read_only || volume.read_only;
            let host_path = match &plan.sub_path {
                None => volume.host_path.clone(),
                Some(sub_path) => {
                    let uid = &scene.session.key.uid;
                    let root = &volume.host_path;
                    let prepared = self.edges.volumes.sub_path(
                        uid,
                        &plan.volume,
                        root,
                        sub_path,
                        &container.name,
                        plan.index,
                    );
                    prepared.await.map_err(|error| config(error.to_string()))?
                }
            };
            result.push(ContainerMount {
                volume: plan.volume,
                container_path: plan.container_path,
                host_path: host_path.display().to_string(),
                read_only,
                recursive_read_only: plan.recursive_read_only,
                selinux_relabel: volume.selinux_relabel,
                propagation: match plan.propagation {
                    MountPropagation::Private => Propagation::Private,
                    MountPropagation::HostToContainer => Propagation::HostToContainer,
                    MountPropagation::Bidirectional => Propagation::Bidirectional,
                },
            });
        }
        result.extend(self.termination_log(scene, container, attempt)?);
        if mounts::wants_hosts_file(&scene.pod, container, &scene.pod_ips) {
            result.push(own_mount("/etc/hosts", self.write_hosts_file(scene)?));
        }
        Ok(result)
    }

    /// Whether the sandbox's handler (empty: the default one) can make mounts read only all the way down.
    fn recursive_read_only(&self, handler: &str) -> bool {
        self.handler_can(handler, |known| known.recursive_read_only_mounts)
    }

    /// A file of its own for every attempt, so that an old message is never taken for a new one.
    fn termination_log(
        &self,
        scene: &Scene,
        container: &Container,
        attempt: u32,
    ) -> Result<Option<ContainerMount>, Failure> {
        let Some(path) = container.termination_message_path.as_deref().filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        let dir = self.pod_dir(scene).join("containers").join(&container.name);
        let file = dir.join(format!("{:08x}", fnv32(&format!("{}/{attempt}", scene.session.key.uid))));
        let write = || {
            std::fs::create_dir_all(&dir)?;
            std::fs::write(&file, b"")?;
            // Any user of the container may write its message; the umask would forbid it.
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666))
        };
        write().map_err(|error| {
            let text = format!("error on creating termination-log file \"{}\": {error}", file.display());
            failed(FailureStep::ContainerConfig, text)
        })?;
        Ok(Some(own_mount(path, file)))
    }

    fn write_hosts_file(&self, scene: &Scene) -> Result<PathBuf, Failure> {
        let config = |text: String| failed(FailureStep::ContainerConfig, text);
        let spec = scene.pod.spec.as_ref();
        let aliases = spec.and_then(|spec| spec.host_aliases.as_deref()).unwrap_or_default();
        let text = if spec.and_then(|spec| spec.host_network).unwrap_or(false) {
            let node =
                std::fs::read("/etc/hosts").map_err(|error| config(format!("open /etc/hosts: {error}")))?;
            hosts::host_network_file(&node, aliases)
        } else {
            let name = hostname::of(&scene.pod, &self.config.cluster_dns.domain)
                .map_err(|error| config(error.to_string()))?;
            hosts::pod_file(&scene.pod_ips, &name.hostname, name.domain.as_deref(), aliases).into_bytes()
        };
        let file = self.pod_dir(scene).join("etc-hosts");
        let write = || {
            std::fs::write(&file, text)?;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))
        };
        write().map_err(|error: std::io::Error| config(format!("write {}: {error}", file.display())))?;
        Ok(file)
    }
}

fn own_mount(container_path: &str, host_path: PathBuf) -> ContainerMount {
    ContainerMount {
        volume: String::new(),
        container_path: container_path.to_owned(),
        host_path: host_path.display().to_string(),
        read_only: false,
        recursive_read_only: false,
        selinux_relabel: true,
        propagation: Propagation::Private,
    }
}

fn fnv32(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

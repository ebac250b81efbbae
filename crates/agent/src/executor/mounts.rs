//! Volumes of the pod, and the mounts of one container.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use k8s_openapi::api::core::v1::{Container, Pod};
use lifecycle::{
    Done, Failure, FailureStep, Obstacle,
    reason::go_error::go_error,
    spec::{
        hostname, hosts,
        mounts::{self, MountPropagation},
    },
};
use seams::{
    runtime::{ContainerMount, Propagation},
    volumes::VolumeContext,
};

use super::{Executor, Scene, directories::blocking, failed};

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
        result.extend(self.termination_log(scene, container, attempt).await);
        if mounts::wants_hosts_file(&scene.pod, container, &scene.pod_ips) {
            result.push(own_mount("/etc/hosts", self.write_hosts_file(scene).await?));
        }
        Ok(result)
    }

    /// Whether the sandbox's handler (empty: the default one) can make mounts read only all the way down.
    fn recursive_read_only(&self, handler: &str) -> bool {
        self.handler_can(handler, |known| known.recursive_read_only_mounts)
    }

    /// A file of its own for every attempt, so that an old message is never taken for a new one. A container runs without
    /// it when the disk has no room for one more file.
    async fn termination_log(
        &self,
        scene: &Scene,
        container: &Container,
        attempt: u32,
    ) -> Option<ContainerMount> {
        let path = container.termination_message_path.as_deref().filter(|path| !path.is_empty())?;
        let dir = self.pod_dir(scene).join("containers").join(&container.name);
        let file = dir.join(format!("{:08x}", fnv32(&format!("{}/{attempt}", scene.session.key.uid))));
        let place = file.clone();
        let made = blocking(FailureStep::ContainerConfig, move || {
            // Any user of the container may write its message.
            let made = std::fs::create_dir_all(&dir).and_then(|()| write(&place, b"", 0o666));
            made.map_err(|error| error.to_string())
        })
        .await;
        if let Err(failure) = made {
            let (file, error) = (file.display(), &failure.message);
            tracing::error!(pod = %scene.session.key, container = container.name, %file, error, "Cannot make the file for a container's termination message; it starts without one");
            return None;
        }
        Some(own_mount(&mounts::absolute(path), file))
    }

    async fn write_hosts_file(&self, scene: &Scene) -> Result<PathBuf, Failure> {
        let file = self.pod_dir(scene).join("etc-hosts");
        let (pod, pod_ips) = (Arc::clone(&scene.pod), scene.pod_ips.clone());
        let (domain, place) = (self.config.cluster_dns.domain.clone(), file.clone());
        blocking(FailureStep::ContainerConfig, move || {
            let text = hosts_file(&pod, &pod_ips, &domain)?;
            write(&place, &text, 0o644)
                .map_err(|error| format!("open {}: {}", place.display(), go_error(&error)))
        })
        .await?;
        Ok(file)
    }
}

/// What stands in a container's hosts file. Blocks.
fn hosts_file(pod: &Pod, pod_ips: &[String], cluster_domain: &str) -> Result<Vec<u8>, String> {
    let spec = pod.spec.as_ref();
    let aliases = spec.and_then(|spec| spec.host_aliases.as_deref()).unwrap_or_default();
    if spec.and_then(|spec| spec.host_network).unwrap_or(false) {
        let node =
            std::fs::read("/etc/hosts").map_err(|error| format!("open /etc/hosts: {}", go_error(&error)))?;
        return Ok(hosts::host_network_file(&node, aliases));
    }
    let name = hostname::of(pod, cluster_domain).map_err(|error| error.to_string())?;
    Ok(hosts::pod_file(pod_ips, &name.hostname, name.domain.as_deref(), aliases).into_bytes())
}

/// Writes a file whose mode is exactly as given: the umask would take bits away. Blocks.
fn write(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
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

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_file_that_cannot_be_written_now_holds_up_its_own_pod_only() {
        let dir = tempfile::tempdir().unwrap();
        // Opening a pipe for writing hangs until somebody reads, as a disk does that is gone.
        let pipe = dir.path().join("etc-hosts");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let (place, (told, began)) = (pipe.clone(), oneshot::channel());
        let writing = tokio::spawn(blocking(FailureStep::ContainerConfig, move || {
            told.send(()).unwrap();
            write(&place, b"text", 0o644).map_err(|error| error.to_string())
        }));
        began.await.unwrap();
        assert!(!writing.is_finished());
        let text = tokio::task::spawn_blocking(move || std::fs::read(&pipe)).await.unwrap();
        assert_eq!(text.unwrap(), b"text");
        writing.await.unwrap().unwrap();
    }
}

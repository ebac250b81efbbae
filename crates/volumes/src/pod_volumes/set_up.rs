//! Doing what was planned, on the disk. Blocking.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use linux::safe_path::{SafePathError, SafeRoot};
use seams::volumes::MountedVolume;

use super::{Medium, PodPaths, SetUpError, plan::Plan};
use crate::{
    atomic_writer::{AtomicWriter, WriteError, Written},
    empty_dir::{self, Place},
    host_path::{self, Checked},
    layout::{LayoutError, PRIVATE_MODE, Plugin},
    nested,
    ownership::{self, Access},
    payload::{self, Payload},
};

/// Mode of directories that are made for mounts of other volumes.
const NESTED_MODE: u32 = 0o755;

/// Works for one pod.
pub(super) struct Worker<'a> {
    /// Directory of all pods, open.
    pub(super) root: &'a SafeRoot,
    /// Paths of the pod.
    pub(super) paths: &'a PodPaths,
    /// The pod.
    pub(super) pod: &'a Pod,
    /// Wall clock.
    pub(super) now: Timestamp,
    /// What was looked at before.
    pub(super) host_paths: &'a Checked,
}

impl Worker<'_> {
    fn group(&self) -> Option<u32> {
        let context = self.pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
        context.and_then(|context| context.fs_group).and_then(|group| u32::try_from(group).ok())
    }

    fn mounted(&self, directory: &Path, read_only: bool) -> MountedVolume {
        MountedVolume { host_path: self.root.path().join(directory), read_only, selinux_relabel: true }
    }

    /// Makes a directory; `entry` names it among the ready files.
    fn directory(&self, directory: &Path, entry: &str, medium: Medium) -> Result<(), SetUpError> {
        self.root.create_dir_all(self.paths.pod(), PRIVATE_MODE)?;
        let ready = self.paths.ready(entry).map_err(SetUpError::Layout)?;
        empty_dir::set_up(&Place { root: self.root, directory, ready: &ready }, medium, self.group())
    }

    /// Carries out a plan.
    pub(super) fn set_up(&self, volume: &str, plan: Plan) -> Result<MountedVolume, SetUpError> {
        match plan {
            Plan::Empty { medium } => {
                let directory = self.paths.volume(Plugin::EmptyDir, volume).map_err(SetUpError::Layout)?;
                self.directory(&directory, volume, medium)?;
                Ok(self.mounted(&directory, false))
            }
            Plan::Host { path, kind } => {
                let uid = self.pod.metadata.uid.as_deref().unwrap_or_default();
                self.host_paths.once(uid, volume, || host_path::set_up(&path, &kind))?;
                Ok(MountedVolume { host_path: PathBuf::from(path), read_only: false, selinux_relabel: false })
            }
            Plan::Files { plugin, medium, payload } => self.files(volume, plugin, medium, payload),
        }
    }

    fn files(
        &self,
        volume: &str,
        plugin: Plugin,
        medium: Medium,
        payload: Payload,
    ) -> Result<MountedVolume, SetUpError> {
        let payload = payload::checked(payload).map_err(SetUpError::Payload)?;
        let directory = self.paths.volume(plugin, volume).map_err(SetUpError::Layout)?;
        self.directory(&directory, &format!("wrapped_{volume}"), medium)?;
        // Opened only now: with memory, the directory is another one since.
        let opened = self.root.descend(&directory)?;
        self.nested_mount_points(volume, &opened)?;
        let prepare = || match self.group() {
            Some(group) => {
                ownership::apply(&opened, group, Access::ReadOnly).map_err(|error| error.to_string())
            }
            None => Ok(()),
        };
        let written = AtomicWriter::new(&opened, self.now).write(&payload, &prepare).map_err(write_error)?;
        if written == Written::Replaced {
            tracing::debug!(volume, path = %opened.path().display(), files = payload.len(), "wrote a volume's files");
        }
        Ok(self.mounted(&directory, true))
    }

    fn nested_mount_points(&self, volume: &str, opened: &SafeRoot) -> Result<(), SetUpError> {
        for point in nested::mount_points(self.pod, volume)? {
            match opened.create_dir_all(Path::new(&point), NESTED_MODE) {
                // The first part is one of the volume's own files or directories: there is something to mount on.
                Ok(_) | Err(SafePathError::Escapes { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// A volume whose contents cannot be had now keeps the older ones, if it has a complete set: containers that
    /// restart meanwhile should not suffer from an API server that is away.
    pub(super) fn serve_old(
        &self,
        volume: &str,
        plugin: Plugin,
        error: SetUpError,
    ) -> Result<MountedVolume, SetUpError> {
        let complete = || -> Result<bool, LayoutError> {
            let directory = self.paths.volume(plugin, volume)?;
            let ready = self.paths.ready(&format!("wrapped_{volume}"))?.join("ready");
            let set =
                self.root.descend(&directory).and_then(|opened| opened.open_sub_path(Path::new("..data")));
            Ok(self.root.open_file(&ready).is_ok() && set.is_ok())
        };
        if !complete().unwrap_or(false) {
            return Err(error);
        }
        tracing::warn!(volume, %error, "cannot refresh a volume, its older contents stay");
        let directory = self.paths.volume(plugin, volume).map_err(SetUpError::Layout)?;
        Ok(self.mounted(&directory, true))
    }
}

fn write_error(error: WriteError) -> SetUpError {
    match error {
        WriteError::Path(error) => SetUpError::Path(error),
        WriteError::Disk { operation, path, cause } => SetUpError::File { operation, path, cause },
        WriteError::Publish(text) => SetUpError::Publish(text),
    }
}

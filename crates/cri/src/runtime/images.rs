//! Calls about images.

use metrics::runtime::Operation;
use proto::cri::{
    FilesystemUsage, ImageFsInfoRequest, ImageStatusRequest, ListImagesRequest, PullImageRequest,
    RemoveImageRequest,
};
use seams::{
    RuntimeError,
    runtime::{ImageFs, ImageInfo, RegistryAuth, SandboxRequest},
};

use super::{CriRuntime, invalid};
use crate::{
    client::Deadline,
    error::NotFoundMeans,
    observe,
    render::{image as render, sandbox},
};

impl CriRuntime {
    pub(super) async fn read_image(
        &self,
        image: &str,
        handler: &str,
    ) -> Result<Option<ImageInfo>, RuntimeError> {
        const CALL: &str = "ImageStatus";
        let mut spec = render::plain(image);
        handler.clone_into(&mut spec.runtime_handler);
        let request = ImageStatusRequest { image: Some(spec), verbose: false };
        let gone = NotFoundMeans::Gone;
        let answer = self
            .client
            .images(Operation::ImageStatus, Deadline::Default, gone, request, async |mut c, r| {
                c.image_status(r).await
            })
            .await;
        match answer.map(|a| a.image) {
            Ok(None) | Err(RuntimeError::NotFound { .. }) => Ok(None),
            Ok(Some(found)) if found.id.is_empty() => Err(RuntimeError::Invalid {
                call: CALL,
                message: format!("Id of image {image:?} is not set"),
            }),
            Ok(Some(found)) => Ok(Some(observe::image_info(found))),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn pull(
        &self,
        image: &str,
        auth: Option<&RegistryAuth>,
        sandbox: &SandboxRequest,
    ) -> Result<String, RuntimeError> {
        const CALL: &str = "PullImage";
        let request = PullImageRequest {
            image: Some(render::for_pull(image, &sandbox.pod)),
            auth: auth.map(render::auth),
            sandbox_config: Some(sandbox::config(sandbox).map_err(invalid(CALL))?),
        };
        let answer = self
            .client
            .images(
                Operation::PullImage,
                Deadline::Never,
                NotFoundMeans::Failure,
                request,
                async |mut c, r| c.pull_image(r).await,
            )
            .await?;
        if answer.image_ref.is_empty() {
            return Err(RuntimeError::Invalid {
                call: CALL,
                message: format!("imageRef of image {image:?} is not set"),
            });
        }
        Ok(answer.image_ref)
    }

    pub(super) async fn read_images(&self) -> Result<Vec<ImageInfo>, RuntimeError> {
        let request = ListImagesRequest::default();
        let answer = self
            .client
            .images(
                Operation::ListImages,
                Deadline::Default,
                NotFoundMeans::Failure,
                request,
                async |mut c, r| c.list_images(r).await,
            )
            .await?;
        Ok(answer.images.into_iter().map(observe::image_info).collect())
    }

    pub(super) async fn delete_image(&self, image: &str) -> Result<(), RuntimeError> {
        let request = RemoveImageRequest { image: Some(render::plain(image)) };
        let answer = self
            .client
            .images(
                Operation::RemoveImage,
                Deadline::Default,
                NotFoundMeans::Gone,
                request,
                async |mut c, r| c.remove_image(r).await,
            )
            .await;
        super::sandboxes::gone_is_fine(answer)
    }

    pub(super) async fn read_image_fs(&self) -> Result<(Vec<ImageFs>, Vec<ImageFs>), RuntimeError> {
        let answer = self
            .client
            .images(
                Operation::ImageFsInfo,
                Deadline::Default,
                NotFoundMeans::Failure,
                ImageFsInfoRequest {},
                async |mut c, r| c.image_fs_info(r).await,
            )
            .await?;
        let all = |list: Vec<FilesystemUsage>| list.into_iter().map(filesystem).collect();
        Ok((all(answer.image_filesystems), all(answer.container_filesystems)))
    }
}

fn filesystem(usage: FilesystemUsage) -> ImageFs {
    ImageFs {
        mountpoint: usage.fs_id.map(|id| id.mountpoint).unwrap_or_default(),
        used_bytes: usage.used_bytes.map_or(0, |v| v.value),
        inodes_used: usage.inodes_used.map_or(0, |v| v.value),
    }
}

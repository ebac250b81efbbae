//! Who a container runs as, and whether that may be root (contract §15).

use k8s_openapi::api::core::v1::{Container, Pod};
use lifecycle::PodKey;
use seams::runtime::ImageInfo;

use super::{RenderError, security::Effective};

/// The user that the image names. An image that names none runs as root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageUser {
    /// A number.
    Id(i64),
    /// A name, which only the image's own files can resolve.
    Name(String),
}

impl ImageUser {
    /// Reads it off the image's status.
    #[must_use]
    pub fn of(image: &ImageInfo) -> Self {
        match image.uid {
            Some(uid) => Self::Id(uid),
            None if image.username.is_empty() => Self::Id(0),
            None => Self::Name(image.username.clone()),
        }
    }
}

/// Verifies `runAsNonRoot`.
///
/// # Errors
/// Whenever the container would, or might, run as root although it must not.
pub fn verify_non_root(
    pod: &Pod,
    container: &Container,
    effective: &Effective<'_>,
    image: &ImageUser,
) -> Result<(), RenderError> {
    if effective.run_as_non_root != Some(true) {
        return Ok(());
    }
    let at = || (PodKey::of(pod).to_string(), container.name.clone());
    match (effective.run_as_user, image) {
        (Some(0), _) => {
            let (pod, container) = at();
            Err(RenderError::AskedForRoot { pod, container })
        }
        (Some(_), _) => Ok(()),
        (None, ImageUser::Name(user)) => {
            let (pod, container) = at();
            Err(RenderError::ImageUserIsName { user: user.clone(), pod, container })
        }
        (None, ImageUser::Id(0)) => {
            let (pod, container) = at();
            Err(RenderError::ImageIsRoot { pod, container })
        }
        (None, ImageUser::Id(uid)) if *uid < 0 || *uid > i64::from(i32::MAX) => {
            let (pod, container) = at();
            Err(RenderError::ImageUserInvalid { uid: *uid, pod, container })
        }
        (None, ImageUser::Id(_)) => Ok(()),
    }
}

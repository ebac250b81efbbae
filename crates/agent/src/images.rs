//! Images: present or pulled according to policy, within the node's limits (contract §16).
//!
//! Pulls run side by side up to a limit, so that one slow registry delays only those who wait for it. Waiting for a
//! place and the pull itself end when the future is dropped; nothing is left behind.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{Container, Pod};
use lifecycle::{Done, Failure, FailureStep, action::Pulled, reason::PodEvent, spec::image_reference};
use seams::{
    RuntimeError,
    runtime::{ImageInfo, RegistryAuth, SandboxRequest},
};
use tokio::sync::Semaphore;

use crate::{edges::Edges, events::EventSink};

pub mod credentials;
pub mod rate;

use rate::TokenBucket;

/// The node's image pulls.
#[derive(Debug)]
pub struct Images {
    edges: Edges,
    events: EventSink,
    places: Option<Arc<Semaphore>>,
    rate: Option<TokenBucket>,
}

/// One request for an image.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The pod, for events and pull secrets.
    pub pod: &'a Pod,
    /// The container.
    pub container: &'a Container,
    /// `spec.containers{name}`.
    pub field_path: String,
    /// The pod's sandbox request: the runtime wants to know for which handler an image is.
    pub sandbox: &'a SandboxRequest,
}

impl Images {
    /// `max_parallel`: `None` is unlimited. `rate`: queries per second (0: unlimited) and burst.
    #[must_use]
    pub fn new(edges: Edges, events: EventSink, max_parallel: Option<usize>, rate: (u32, u32)) -> Self {
        let clock = Arc::clone(&edges.clock);
        Self {
            edges,
            events,
            places: max_parallel.map(|places| Arc::new(Semaphore::new(places.max(1)))),
            rate: (rate.0 > 0).then(|| TokenBucket::new(clock, rate.0, rate.1)),
        }
    }

    /// Has the image present. Returns the runtime's view of it and what `decide` wants to know.
    pub async fn ensure(&self, wanted: &Wanted<'_>) -> Result<(ImageInfo, Done), Failure> {
        let written = wanted.container.image.as_deref().unwrap_or_default();
        let image = image_reference::with_default_tag(written).map_err(|error| Failure {
            step: FailureStep::ImageName,
            message: format!("Failed to apply default image tag \"{written}\": {error}"),
            not_found: false,
        })?;
        let policy = wanted.container.image_pull_policy.as_deref().unwrap_or("IfNotPresent");
        if policy != "Always"
            && let Some(info) = self.present(&image, wanted).await?
        {
            let done = Done::Image { image_ref: info.id.clone(), pulled: None };
            return Ok((info, done));
        }
        if policy == "Never" {
            return Err(Failure {
                step: FailureStep::ImageNeverPull,
                message: format!("Container image \"{written}\" is not present with pull policy of Never"),
                not_found: false,
            });
        }
        self.pull(&image, written, wanted).await
    }

    async fn present(&self, image: &str, wanted: &Wanted<'_>) -> Result<Option<ImageInfo>, Failure> {
        self.edges.runtime.image_status(image, &wanted.sandbox.runtime_handler).await.map_err(|error| {
            Failure { step: FailureStep::ImageInspect, message: error.to_string(), not_found: false }
        })
    }

    async fn pull(
        &self,
        image: &str,
        written: &str,
        wanted: &Wanted<'_>,
    ) -> Result<(ImageInfo, Done), Failure> {
        let asked = self.edges.clock.now();
        self.event(wanted, false, "Pulling", format!("Pulling image \"{written}\""));
        let _place = match &self.places {
            // The semaphore is never closed; were it, pulling without a limit beats not pulling.
            Some(places) => Arc::clone(places).acquire_owned().await.ok(),
            None => None,
        };
        if self.rate.as_ref().is_some_and(|rate| !rate.take()) {
            return Err(Failure {
                step: FailureStep::ImagePull,
                message: "pull QPS exceeded".to_owned(),
                not_found: false,
            });
        }
        let began = self.edges.clock.now();
        let image_ref =
            self.pull_with_credentials(image, wanted).await.map_err(|error| pull_failure(&error))?;
        let ended = self.edges.clock.now();
        let info = match self.present(&image_ref, wanted).await? {
            Some(info) => info,
            None => ImageInfo { id: image_ref.clone(), ..ImageInfo::default() },
        };
        let pulled = Pulled {
            took: whole_millis(ended.mono.saturating_sub(began.mono)),
            including_wait: whole_millis(ended.mono.saturating_sub(asked.mono)),
            size: info.size,
        };
        Ok((info, Done::Image { image_ref, pulled: Some(pulled) }))
    }

    /// Tries each credential that fits, or none where none does; the last error counts.
    async fn pull_with_credentials(&self, image: &str, wanted: &Wanted<'_>) -> Result<String, RuntimeError> {
        let (keyring, missing) = self.pull_secrets(wanted).await;
        let credentials = keyring.lookup(image);
        let mut tries: Vec<Option<&RegistryAuth>> = credentials.iter().map(Some).collect();
        let last = tries.pop().unwrap_or(None);
        for auth in tries {
            if let Ok(image_ref) = self.edges.runtime.pull_image(image, auth, wanted.sandbox).await {
                return Ok(image_ref);
            }
        }
        let result = self.edges.runtime.pull_image(image, last, wanted.sandbox).await;
        if result.is_err() && !missing.is_empty() {
            let message = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                missing.join(", ")
            );
            let event = PodEvent {
                warning: true,
                reason: "FailedToRetrieveImagePullSecret",
                message,
                field_path: None,
            };
            self.events.record_pod(wanted.pod, event);
        }
        result
    }

    /// What the pod's pull secrets hold, and the names of those that could not be had.
    async fn pull_secrets(&self, wanted: &Wanted<'_>) -> (credentials::Keyring, Vec<String>) {
        let mut keyring = credentials::Keyring::default();
        let mut missing = Vec::new();
        let Some(objects) = &self.edges.objects else { return (keyring, missing) };
        let namespace = wanted.pod.metadata.namespace.as_deref().unwrap_or_default();
        for reference in wanted.pod.spec.iter().flat_map(|spec| spec.image_pull_secrets.iter().flatten()) {
            let name = reference.name.as_str();
            match objects.secret(namespace, name).await {
                Ok(secret) => {
                    if let Err(error) = keyring.add(&secret) {
                        tracing::warn!(namespace, secret = name, %error, "Skipping an unreadable pull secret");
                    }
                }
                Err(error) => {
                    tracing::warn!(namespace, secret = name, %error, "Pull secret not available");
                    missing.push(name.to_owned());
                }
            }
        }
        (keyring, missing)
    }

    fn event(&self, wanted: &Wanted<'_>, warning: bool, reason: &'static str, message: String) {
        let event = PodEvent { warning, reason, message, field_path: Some(wanted.field_path.clone()) };
        self.events.record_pod(wanted.pod, event);
    }
}

fn whole_millis(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// The runtime may put a well-known word in front of its text (contract §16 "Special errors").
fn pull_failure(error: &RuntimeError) -> Failure {
    let text = match error {
        RuntimeError::Failed { message, .. } => message.as_str(),
        _ => "",
    };
    let step = if text.starts_with("RegistryUnavailable") {
        FailureStep::RegistryUnavailable
    } else if text.starts_with("SignatureValidationFailed") {
        FailureStep::SignatureValidation
    } else {
        FailureStep::ImagePull
    };
    Failure { step, message: error.to_string(), not_found: false }
}

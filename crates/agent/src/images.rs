//! Images: present or pulled according to policy, within the node's limits (contract §16).
//!
//! Pulls run side by side up to a limit, so that one slow registry delays only those who wait for it. Waiting for a
//! place and the pull itself end when the future is dropped. The record that it began stays then: the runtime may have
//! the image all the same, or get it yet, and nobody may take what a secret opened for preloaded.

use std::{path::Path, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{Container, Pod};
use lifecycle::{
    Done, Failure, FailureStep, Obstacle, action::Pulled, explain::PullsNote, reason::PodEvent,
    spec::image_reference,
};
use metrics::{
    Metrics,
    images::{Answer, Ensured, Policy, Size},
};
use seams::{
    Clock, Objects, Runtime, RuntimeError, TokenBucket,
    runtime::{ImageInfo, SandboxRequest},
};

use crate::{edges::Edges, events::EventSink};

pub mod credentials;
mod failed;
mod places;
pub mod records;

use credentials::{Credential, Keyring, NodeFiles};
use failed::{PullFailed, inspect_failure, pull_failure, pull_obstacle, pull_text};
use places::Places;
use records::{PullSecret, PulledWith, Records};

pub use records::Verification;

/// The node's image pulls.
pub struct Images {
    runtime: Arc<dyn Runtime>,
    objects: Option<Arc<dyn Objects>>,
    clock: Arc<dyn Clock>,
    events: EventSink,
    places: Option<Places>,
    rate: Option<TokenBucket>,
    node_files: NodeFiles,
    records: Arc<Records>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Images {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Images")
            .field("places", &self.places)
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}

/// Limits and credentials of the node's pulls.
#[derive(Clone, Debug, Default)]
pub struct PullSettings {
    /// Most pulls at once; `None` is unlimited. 1 is upstream's `serializeImagePulls`.
    pub max_parallel: Option<usize>,
    /// `registryPullQPS` (0: unlimited) and `registryBurst`.
    pub rate: (u32, u32),
    /// Where the node's own registry credentials may be.
    pub node_files: NodeFiles,
    /// When a pod has to show that it may use an image that is there.
    pub verification: Verification,
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
    /// For whom the runtime pulls.
    pub sandbox: &'a SandboxRequest,
}

/// A pull that has begun: if it is dropped before its end, it was given up.
struct Attempt<'a> {
    records: Option<Arc<Records>>,
    name: &'a str,
}

impl Attempt<'_> {
    fn has_ended(mut self) {
        self.records = None;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        // The process may be ending; then the record is all that is left, as it should be.
        if let (Some(records), Ok(runtime)) = (self.records.take(), tokio::runtime::Handle::try_current()) {
            let name = self.name.to_owned();
            drop(runtime.spawn_blocking(move || records.given_up(&name)));
        }
    }
}

/// After this time nothing comes of a pull that was given up: its call was cancelled, and the runtime with it.
const SETTLE: Duration = Duration::from_secs(60 * 60);

impl Images {
    /// No pull under way yet.
    #[must_use]
    pub fn new(edges: &Edges, events: EventSink, root_dir: &Path, settings: PullSettings) -> Self {
        Self {
            runtime: Arc::clone(&edges.runtime),
            objects: edges.objects.clone(),
            clock: Arc::clone(&edges.clock),
            events,
            places: settings.max_parallel.map(|places| Places::new(places, Arc::clone(&edges.clock))),
            rate: bucket(settings.rate),
            node_files: settings.node_files,
            records: Arc::new(Records::new(root_dir, settings.verification, Arc::clone(&edges.metrics))),
            metrics: Arc::clone(&edges.metrics),
        }
    }

    /// Finds out what came of pulls that nobody waits for, first those that a former process left half-done. Runs for ever,
    /// beside everything else.
    pub async fn settle(&self) {
        let unfinished = self.on_records(|records| records.unfinished()).await.unwrap_or_default();
        if !unfinished.is_empty() {
            self.on_records(move |records| records.adopt(&unfinished)).await;
            self.settle_given_up(Duration::ZERO).await;
        }
        loop {
            tokio::time::sleep(SETTLE).await;
            self.settle_given_up(SETTLE).await;
        }
    }

    /// Asks for what was to be pulled, and given up at least so long ago. What is there counts at once; what is not may be on
    /// its way, unless it is long ago.
    async fn settle_given_up(&self, age: Duration) {
        let names = self.on_records(move |records| records.given_up_for(age)).await.unwrap_or_default();
        for image in names {
            match self.present(&image).await {
                Ok(None) if age < SETTLE => {}
                Ok(present) => {
                    let now = self.clock.now().wall;
                    self.on_records(move |records| records.settle(&image, present.as_ref(), now)).await;
                }
                // They stay as they are: whoever wants such an image has to pull it.
                Err(error) => {
                    tracing::warn!(%error, "Could not look for images whose pull was cut short");
                    return;
                }
            }
        }
    }

    /// The pulls that are under way; `None` where their number has no limit.
    #[must_use]
    pub fn pulls(&self) -> Option<PullsNote> {
        self.places.as_ref().map(Places::note)
    }

    /// Has the image present. Returns the runtime's view of it, if it could be had, and what `decide` wants to know.
    ///
    /// # Errors
    /// The step that failed, with upstream's text.
    pub async fn ensure(&self, wanted: &Wanted<'_>) -> Result<(Option<ImageInfo>, Done), Failure> {
        let asked = self.asked(wanted)?;
        if let Some(info) = self.found(&asked, wanted).await? {
            return Ok(as_it_is(info));
        }
        if asked.policy == Policy::Never {
            let text =
                format!("Container image \"{}\" is not present with pull policy of Never", asked.written);
            return Err(Failure::new(FailureStep::ImageNeverPull, text));
        }
        self.pull(&asked.image, asked.written, wanted).await
    }

    /// Looks whether the image is there meanwhile and may be used as it is; [`Done::Plain`] when not. Pulls nothing.
    ///
    /// # Errors
    /// As [`Self::ensure`] where it looks for the image.
    pub async fn find(&self, wanted: &Wanted<'_>) -> Result<(Option<ImageInfo>, Done), Failure> {
        let found = self.found(&self.asked(wanted)?, wanted).await?;
        Ok(found.map_or((None, Done::Plain), as_it_is))
    }

    /// What the container asks for; a name that is none counts too.
    fn asked<'a>(&self, wanted: &Wanted<'a>) -> Result<Asked<'a>, Failure> {
        Asked::of(wanted).inspect_err(|_| {
            self.metrics.images.ensured.inc(&Ensured {
                present_locally: Answer::Unknown,
                pull_policy: policy_of(wanted.container),
                pull_required: Answer::Unknown,
            });
        })
    }

    /// The image that is there and may be used as it is. Counts what was found out.
    async fn found(&self, asked: &Asked<'_>, wanted: &Wanted<'_>) -> Result<Option<ImageInfo>, Failure> {
        let mut ensured = Ensured {
            present_locally: Answer::Unknown,
            pull_policy: asked.policy,
            pull_required: if asked.policy == Policy::Always { Answer::Yes } else { Answer::Unknown },
        };
        let found = self.looked_for(asked, wanted, &mut ensured).await;
        self.metrics.images.ensured.inc(&ensured);
        found
    }

    async fn looked_for(
        &self,
        asked: &Asked<'_>,
        wanted: &Wanted<'_>,
        ensured: &mut Ensured,
    ) -> Result<Option<ImageInfo>, Failure> {
        if asked.policy == Policy::Always {
            return Ok(None);
        }
        let found = self.present(&asked.image).await.map_err(|error| inspect_failure(&error))?;
        ensured.present_locally = if found.is_some() { Answer::Yes } else { Answer::No };
        let usable = match found {
            Some(info) if !self.must_pull(&info, &asked.image, asked.written, wanted).await => Some(info),
            _ => None,
        };
        ensured.pull_required = match (&usable, asked.policy, ensured.present_locally) {
            (Some(_), ..) => Answer::No,
            // Never, and nothing there that a pull could open.
            (None, Policy::Never, Answer::No) => Answer::Unknown,
            (None, ..) => Answer::Yes,
        };
        Ok(usable)
    }

    /// Whether the pod has to show, by a pull, that it may use an image that is there.
    async fn must_pull(&self, info: &ImageInfo, image: &str, written: &str, wanted: &Wanted<'_>) -> bool {
        if !self.records.on() {
            return false;
        }
        let secrets: Vec<PullSecret> = self
            .pull_secrets(wanted)
            .await
            .0
            .lookup(image)
            .into_iter()
            .filter_map(|credential| match credential.with {
                PulledWith::Secret(secret) => Some(secret),
                PulledWith::Node => None,
            })
            .collect();
        let (written, image_ref, now) = (written.to_owned(), info.id.clone(), self.clock.now().wall);
        let answer = self.on_records(move |records| records.must_pull(&written, &image_ref, &secrets, now));
        answer.await.unwrap_or(true)
    }

    /// Work with the records on the blocking pool; `None` when it died.
    async fn on_records<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Records) -> T + Send + 'static,
    ) -> Option<T> {
        let records = Arc::clone(&self.records);
        tokio::task::spawn_blocking(move || work(&records)).await.ok()
    }

    async fn present(&self, image: &str) -> Result<Option<ImageInfo>, RuntimeError> {
        self.runtime.image_status(image, NO_HANDLER).await
    }

    async fn pull(
        &self,
        image: &str,
        written: &str,
        wanted: &Wanted<'_>,
    ) -> Result<(Option<ImageInfo>, Done), Failure> {
        let asked = self.clock.now();
        self.event(wanted, false, "Pulling", format!("Pulling image \"{written}\""));
        let _place = match &self.places {
            Some(places) => Some(places.take(written).await),
            None => None,
        };
        if self.rate.as_ref().is_some_and(|rate| !rate.take()) {
            return Err(Failure::new(FailureStep::ImagePull, "pull QPS exceeded"));
        }
        let name = written.to_owned();
        let begun = self.on_records(move |records| records.begin(&name)).await;
        begun.unwrap_or(Ok(())).map_err(|error| {
            let what =
                format!("Failed to record image pull intent for container image \"{written}\": {error}");
            Failure::new(FailureStep::ImagePull, what)
        })?;
        let attempt = Attempt { records: Some(Arc::clone(&self.records)), name: written };
        let began = self.clock.now();
        let pulled = self.pull_with_credentials(image, wanted).await;
        let ended = self.clock.now();
        attempt.has_ended();
        let (image_ref, with) = match pulled {
            Ok(pulled) => pulled,
            Err(error) => {
                let name = written.to_owned();
                self.on_records(move |records| records.failed(&name)).await;
                return Err(pull_failure(error));
            }
        };
        let (name, pulled_ref) = (written.to_owned(), image_ref.clone());
        self.on_records(move |records| records.succeeded(&name, &pulled_ref, &with, ended.wall)).await;
        // The image is there; what it is made of is asked again where it matters.
        let info = self.present(&image_ref).await.unwrap_or_default();
        let pulled = Pulled {
            took: whole_millis(ended.mono.saturating_sub(began.mono)),
            including_wait: whole_millis(ended.mono.saturating_sub(asked.mono)),
            size: info.as_ref().map_or(0, |info| info.size),
        };
        self.metrics.images.pull_seconds.took(&Size::of(pulled.size), pulled.including_wait);
        Ok((info, Done::Image { image_ref, pulled: Some(pulled) }))
    }

    /// Tries each credential that fits, or none where none does. All errors count, each once.
    async fn pull_with_credentials(
        &self,
        image: &str,
        wanted: &Wanted<'_>,
    ) -> Result<(String, PulledWith), PullFailed> {
        let (mut keyring, missing) = self.pull_secrets(wanted).await;
        let mut credentials = keyring.lookup(image);
        keyring = self.node_credentials().await;
        credentials.extend(keyring.lookup(image));
        let tries = match credentials.as_slice() {
            [] => vec![None],
            some => some.iter().map(Some).collect(),
        };
        let mut errors = Vec::new();
        let mut obstacle = None;
        for credential in tries {
            let auth = credential.map(|credential: &Credential| &credential.auth);
            match self.runtime.pull_image(image, auth, wanted.sandbox).await {
                Ok(image_ref) => {
                    let with = credential.map_or(PulledWith::Node, |credential| credential.with.clone());
                    return Ok((image_ref, with));
                }
                Err(error) => {
                    errors.push(pull_text(&error));
                    obstacle = pull_obstacle(&error);
                }
            }
        }
        if !missing.is_empty() {
            self.report_missing(wanted, &missing);
        }
        Err(PullFailed { message: node::conditions::joined(errors), obstacle })
    }

    fn report_missing(&self, wanted: &Wanted<'_>, missing: &[String]) {
        let message = format!(
            "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
            missing.join(", ")
        );
        let reason = "FailedToRetrieveImagePullSecret".into();
        self.events.record_pod(wanted.pod, PodEvent { warning: true, reason, message, field_path: None });
    }

    /// What the pod's pull secrets hold, and the names of those that could not be had. One that holds nothing to pull with
    /// is the log's matter alone, as for upstream.
    async fn pull_secrets(&self, wanted: &Wanted<'_>) -> (Keyring, Vec<String>) {
        let mut keyring = Keyring::default();
        let mut missing = Vec::new();
        let Some(objects) = &self.objects else { return (keyring, missing) };
        let namespace = wanted.pod.metadata.namespace.as_deref().unwrap_or_default();
        let references = wanted.pod.spec.iter().flat_map(|spec| spec.image_pull_secrets.iter().flatten());
        // The API takes entries without a name; they stand for nothing.
        for name in references.map(|reference| reference.name.as_str()).filter(|name| !name.is_empty()) {
            let error = match objects.secret(namespace, name).await {
                Ok(secret) => match keyring.add(&secret) {
                    Ok(()) => continue,
                    Err(error) => error.to_string(),
                },
                Err(error) => {
                    missing.push(name.to_owned());
                    error.to_string()
                }
            };
            tracing::warn!(namespace, secret = name, error, "Cannot use a pull secret");
        }
        (keyring, missing)
    }

    /// Read anew for each pull: pulls are rare, and a mended file counts at once.
    async fn node_credentials(&self) -> Keyring {
        let files = self.node_files.clone();
        let read = move || {
            let mut keyring = Keyring::default();
            keyring.add_node_files(&files);
            keyring
        };
        // A reading that panicked gave nothing; the pull goes on without.
        tokio::task::spawn_blocking(read).await.unwrap_or_default()
    }

    fn event(&self, wanted: &Wanted<'_>, warning: bool, reason: &'static str, message: String) {
        let event =
            PodEvent { warning, reason: reason.into(), message, field_path: Some(wanted.field_path.clone()) };
        self.events.record_pod(wanted.pod, event);
    }
}

/// What a container asks for.
struct Asked<'a> {
    /// As the spec has it.
    written: &'a str,
    /// With the default tag.
    image: String,
    policy: Policy,
}

impl<'a> Asked<'a> {
    fn of(wanted: &Wanted<'a>) -> Result<Self, Failure> {
        let written = wanted.container.image.as_deref().unwrap_or_default();
        let image = image_reference::with_default_tag(written).map_err(|error| {
            let text = format!("Failed to apply default image tag \"{written}\": {error}");
            Failure::new(FailureStep::ImageName, text).because_of(Some(Obstacle::Spec))
        })?;
        Ok(Self { written, image, policy: policy_of(wanted.container) })
    }
}

fn policy_of(container: &Container) -> Policy {
    match container.image_pull_policy.as_deref() {
        Some("Always") => Policy::Always,
        Some("Never") => Policy::Never,
        _ => Policy::IfNotPresent,
    }
}

fn as_it_is(info: ImageInfo) -> (Option<ImageInfo>, Done) {
    let done = Done::Image { image_ref: info.id.clone(), pulled: None };
    (Some(info), done)
}

/// The bucket of pulls a second and at once, if there is a limit.
fn bucket((per_second, burst): (u32, u32)) -> Option<TokenBucket> {
    (per_second > 0).then(|| TokenBucket::new(Duration::from_secs(1) / per_second, burst))
}

fn whole_millis(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// Upstream asks for images of the default handler, whatever the pod's is, unless an alpha gate is on.
const NO_HANDLER: &str = "";

#[cfg(test)]
mod tests;

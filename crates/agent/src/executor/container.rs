//! One container: image, creation, start.

use lifecycle::{
    ContainerId, ContainerName, Done, Failure, FailureStep, Obstacle, SandboxId, reason::go_error::go_error,
    spec::command,
};
use seams::{
    RuntimeError,
    runtime::{ContainerRequest, ImageInfo},
};

use super::{Executor, Scene, devices, failed, no_such_container, runtime_failed, turns::Step};
use crate::{containers, images::Wanted};

impl Executor {
    pub(super) async fn ensure_image(&self, scene: &Scene, name: &ContainerName) -> Result<Done, Failure> {
        let ensured = self.with_image(scene, name, async |wanted| self.images.ensure(wanted).await).await;
        if let Err(failure) = &ensured {
            // The start ends here; one whose image is there is counted with the container's creation.
            let metrics = &self.edges.metrics;
            containers::tried(metrics, &scene.pod, name.as_str());
            containers::failed(metrics, &scene.pod, name.as_str(), failure);
        }
        ensured
    }

    pub(super) async fn find_image(&self, scene: &Scene, name: &ContainerName) -> Result<Done, Failure> {
        self.with_image(scene, name, async |wanted| self.images.find(wanted).await).await
    }

    /// Asks for the container's image and remembers what the runtime says of it.
    async fn with_image(
        &self,
        scene: &Scene,
        name: &ContainerName,
        ask: impl AsyncFnOnce(&Wanted<'_>) -> Result<(Option<ImageInfo>, Done), Failure>,
    ) -> Result<Done, Failure> {
        let (container, field_path) =
            scene.container(name).ok_or_else(|| no_such_container(FailureStep::ImageInspect, name))?;
        let sandbox = self.pull_request(scene);
        let wanted = Wanted { pod: &scene.pod, container: &container, field_path, sandbox: &sandbox };
        let (info, done) = ask(&wanted).await?;
        let mut known = scene.session.images.lock();
        match info {
            Some(info) => known.insert(name.clone(), info),
            // Asked again when the container is made.
            None => known.remove(name),
        };
        drop(known);
        Ok(done)
    }

    pub(super) async fn create_container(
        &self,
        scene: &Scene,
        name: &ContainerName,
        attempt: u32,
        sandbox_id: SandboxId,
        image_ref: String,
    ) -> Result<Done, Failure> {
        containers::tried(&self.edges.metrics, &scene.pod, name.as_str());
        let created = self.try_to_create(scene, name, attempt, sandbox_id, image_ref).await;
        created.inspect_err(|failure| {
            containers::failed(&self.edges.metrics, &scene.pod, name.as_str(), failure);
        })
    }

    async fn try_to_create(
        &self,
        scene: &Scene,
        name: &ContainerName,
        attempt: u32,
        sandbox_id: SandboxId,
        image_ref: String,
    ) -> Result<Done, Failure> {
        let config = |text: String| failed(FailureStep::ContainerConfig, text);
        let (container, _) =
            scene.container(name).ok_or_else(|| no_such_container(FailureStep::ContainerConfig, name))?;
        devices::check(&container, &self.devices)?;
        let known =
            scene.runtime.iter().flat_map(|pod| &pod.sandboxes).find(|sandbox| sandbox.id == sandbox_id);
        let sandbox =
            self.sandbox_request(scene, known.map_or(0, |sandbox| sandbox.attempt), (name, attempt)).await?;
        let image = self.image_info(scene, name, &image_ref).await?;
        let env = self.environment(scene, &container).await?;
        let (command, args) = command::of(&container, &env)
            .map_err(|error| config(error.to_string()).because_of(Some(Obstacle::Spec)))?;
        let mounts =
            self.container_mounts(scene, &container, &env, attempt, &sandbox.runtime_handler).await?;
        let log_dir = self.log_dir(scene).join(name.as_str());
        tokio::fs::create_dir_all(&log_dir).await.map_err(|error| {
            let (dir, error) = (log_dir.display(), go_error(&error));
            config(format!(
                "create container log directory for container {name} failed: mkdir {dir}: {error}"
            ))
        })?;
        let request = ContainerRequest {
            sandbox,
            sandbox_id,
            name: name.clone(),
            attempt,
            image_ref,
            image,
            command,
            args,
            env,
            mounts,
            resources: self.container_resources(scene, &container),
            log_path: format!("{name}/{attempt}.log"),
        };
        match self.turns.take(Step::Create, self.edges.runtime.create_container(&request)).await {
            Ok(id) => {
                self.logs.created(id.clone(), log_dir.join(format!("{attempt}.log")));
                Ok(Done::Container(id))
            }
            Err(RuntimeError::Invalid { message, .. }) => {
                Err(config(message).because_of(Some(Obstacle::Spec)))
            }
            Err(error) => Err(runtime_failed(FailureStep::ContainerCreate, &error, error.desc())),
        }
    }

    /// What is known of the image; asked again when this process did not see it (a restart came between).
    async fn image_info(
        &self,
        scene: &Scene,
        name: &ContainerName,
        image_ref: &str,
    ) -> Result<ImageInfo, Failure> {
        let known = scene.session.images.lock().get(name).cloned();
        match known {
            Some(info) => Ok(info),
            None => {
                let status = self.edges.runtime.image_status(image_ref, "").await;
                let status = status
                    .map_err(|error| runtime_failed(FailureStep::ContainerConfig, &error, error.desc()))?;
                Ok(status.unwrap_or_default())
            }
        }
    }

    pub(super) async fn start_container(
        &self,
        scene: &Scene,
        name: &ContainerName,
        id: &ContainerId,
    ) -> Result<Done, Failure> {
        let started = self.try_to_start(scene, name, id).await;
        started.inspect_err(|failure| {
            containers::failed(&self.edges.metrics, &scene.pod, name.as_str(), failure);
        })
    }

    async fn try_to_start(
        &self,
        scene: &Scene,
        name: &ContainerName,
        id: &ContainerId,
    ) -> Result<Done, Failure> {
        if let Err(error) = self.turns.take(Step::Start, self.edges.runtime.start_container(id)).await {
            let not_found = matches!(error, RuntimeError::NotFound { .. });
            let failure = runtime_failed(FailureStep::ContainerStart, &error, error.desc());
            return Err(Failure { not_found, ..failure });
        }
        self.logs.started(id.clone());
        self.edges.runtime.link_log(id).await;
        match self.post_start(scene, name, id).await {
            Ok(()) => Ok(Done::Plain),
            Err(error) => Err(failed(FailureStep::PostStartHook, error)),
        }
    }
}

//! CRI v1 on a unix socket.

use std::{
    io,
    net::Shutdown,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use proto::cri::{
    image_service_server::{ImageService, ImageServiceServer},
    runtime_service_server::{RuntimeService, RuntimeServiceServer},
    *,
};
use tokio::{net::UnixListener, task::JoinHandle};
use tokio_stream::wrappers::{BroadcastStream, UnixListenerStream, WatchStream};
use tonic::{Request, Response, Status, transport::Server};

use super::core::{self, Core};

/// A server. Stops, and removes its socket, when dropped.
#[derive(Debug)]
pub struct FakeCri {
    /// The runtime behind it.
    pub core: Core,
    /// Its socket.
    pub socket: PathBuf,
    task: Option<JoinHandle<()>>,
    connections: Connections,
}

/// A second handle on every connection that was accepted: tonic serves each in a task of its own, which outlives the
/// server's.
type Connections = Arc<Mutex<Vec<OwnedFd>>>;

impl FakeCri {
    /// Serves a core on a socket. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn start(core: Core, socket: &Path) -> io::Result<Self> {
        let mut server = Self { core, socket: socket.to_owned(), task: None, connections: Arc::default() };
        server.resume()?;
        Ok(server)
    }

    /// `unix://…` of the socket.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Stops serving, as if the runtime's process had died: connections break, the socket goes.
    pub async fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // Cancelled, or already over: both are stopped.
            let _ = task.await;
        }
        self.break_connections();
    }

    fn break_connections(&self) {
        let _ = std::fs::remove_file(&self.socket);
        for connection in self.connections.lock().drain(..) {
            // One that is closed already is as good.
            let _ = UnixStream::from(connection).shutdown(Shutdown::Both);
        }
    }

    /// Serves again, with the same memory.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn resume(&mut self) -> io::Result<()> {
        let _ = std::fs::remove_file(&self.socket);
        let listener = UnixListener::bind(&self.socket)?;
        let connections = Arc::clone(&self.connections);
        let incoming = UnixListenerStream::new(listener).inspect(move |accepted| {
            let handle = accepted.as_ref().map(|stream| stream.as_fd().try_clone_to_owned());
            connections.lock().extend(handle.into_iter().flatten());
        });
        let service = Service(self.core.clone());
        let serve = Server::builder()
            .add_service(RuntimeServiceServer::new(service.clone()).max_decoding_message_size(16 << 20))
            .add_service(ImageServiceServer::new(service).max_decoding_message_size(16 << 20))
            .serve_with_incoming(incoming);
        self.task = Some(tokio::spawn(async move {
            let _ = serve.await;
        }));
        Ok(())
    }
}

impl Drop for FakeCri {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
        self.break_connections();
    }
}

#[derive(Clone, Debug)]
struct Service(Core);

type Reply<T> = Result<Response<T>, Status>;
type Events = Pin<Box<dyn Stream<Item = Result<ContainerEventResponse, Status>> + Send>>;

fn ok<T>(message: T) -> Reply<T> {
    Ok(Response::new(message))
}

fn matches(
    selector: &std::collections::BTreeMap<String, String>,
    labels: &std::collections::BTreeMap<String, String>,
) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn list_sandbox(sandbox: core::Sandbox) -> PodSandbox {
    PodSandbox {
        id: sandbox.id,
        metadata: sandbox.config.metadata,
        state: sandbox.state as i32,
        created_at: sandbox.created_at,
        labels: sandbox.config.labels,
        annotations: sandbox.config.annotations,
        runtime_handler: sandbox.handler,
    }
}

fn list_container(container: core::Container) -> Container {
    let image_ref = container.config.image.as_ref().map(|i| i.image.clone()).unwrap_or_default();
    Container {
        id: container.id,
        pod_sandbox_id: container.sandbox,
        metadata: container.config.metadata,
        image: container.config.image,
        image_id: image_ref.clone(),
        image_ref,
        state: container.state as i32,
        created_at: container.created_at,
        labels: container.config.labels,
        annotations: container.config.annotations,
    }
}

/// Calls that no test needs yet answer as a runtime that does not know them.
macro_rules! unknown {
    ($($name:ident: $request:ty => $answer:ty),* $(,)?) => {
        $(
            fn $name<'life0, 'async_trait>(
                &'life0 self,
                _: Request<$request>,
            ) -> Pin<Box<dyn Future<Output = Reply<$answer>> + Send + 'async_trait>>
            where
                'life0: 'async_trait,
                Self: 'async_trait,
            {
                Box::pin(async { Err(Status::unimplemented(concat!("unknown method ", stringify!($name)))) })
            }
        )*
    };
}

type Nothing<T> = futures::stream::Empty<Result<T, Status>>;

#[tonic::async_trait]
impl RuntimeService for Service {
    async fn version(&self, _: Request<VersionRequest>) -> Reply<VersionResponse> {
        let guard = self.0.enter("Version", "").await?;
        let (runtime_name, runtime_version) = self.0.identity();
        let answer = VersionResponse {
            version: "0.1.0".into(),
            runtime_name,
            runtime_version,
            runtime_api_version: "v1".into(),
        };
        ok(guard.leave(answer).await?)
    }

    async fn status(&self, _: Request<StatusRequest>) -> Reply<StatusResponse> {
        let guard = self.0.enter("Status", "").await?;
        let (runtime, network) = {
            let state = self.0.state.lock();
            (state.script.not_ready.clone(), state.script.network_not_ready.clone())
        };
        let condition = |kind: &str, problem: Option<(String, String)>| {
            let (status, (reason, message)) = (problem.is_none(), problem.unwrap_or_default());
            RuntimeCondition { r#type: kind.into(), status, reason, message }
        };
        let conditions = vec![condition("RuntimeReady", runtime), condition("NetworkReady", network)];
        let answer = StatusResponse {
            status: Some(RuntimeStatus { conditions }),
            runtime_handlers: vec![RuntimeHandler {
                name: String::new(),
                features: Some(RuntimeHandlerFeatures {
                    recursive_read_only_mounts: true,
                    user_namespaces: false,
                }),
            }],
            features: Some(RuntimeFeatures { supplemental_groups_policy: true, ..Default::default() }),
            ..Default::default()
        };
        ok(guard.leave(answer).await?)
    }

    async fn runtime_config(&self, _: Request<RuntimeConfigRequest>) -> Reply<RuntimeConfigResponse> {
        let guard = self.0.enter("RuntimeConfig", "").await?;
        if self.0.state.lock().script.no_runtime_config {
            return Err(Status::unimplemented("unknown method RuntimeConfig"));
        }
        let linux = LinuxRuntimeConfiguration { cgroup_driver: CgroupDriver::Cgroupfs as i32 };
        ok(guard.leave(RuntimeConfigResponse { linux: Some(linux) }).await?)
    }

    async fn update_runtime_config(
        &self,
        request: Request<UpdateRuntimeConfigRequest>,
    ) -> Reply<UpdateRuntimeConfigResponse> {
        let config = request.into_inner().runtime_config.and_then(|c| c.network_config).unwrap_or_default();
        let guard = self.0.enter("UpdateRuntimeConfig", &config.pod_cidr).await?;
        ok(guard.leave(UpdateRuntimeConfigResponse {}).await?)
    }

    async fn run_pod_sandbox(&self, request: Request<RunPodSandboxRequest>) -> Reply<RunPodSandboxResponse> {
        let pod_sandbox_id = self.0.run_pod_sandbox(request.into_inner()).await?;
        ok(RunPodSandboxResponse { pod_sandbox_id })
    }

    async fn stop_pod_sandbox(
        &self,
        request: Request<StopPodSandboxRequest>,
    ) -> Reply<StopPodSandboxResponse> {
        self.0.stop_pod_sandbox(&request.into_inner().pod_sandbox_id).await?;
        ok(StopPodSandboxResponse {})
    }

    async fn remove_pod_sandbox(
        &self,
        request: Request<RemovePodSandboxRequest>,
    ) -> Reply<RemovePodSandboxResponse> {
        self.0.remove_pod_sandbox(&request.into_inner().pod_sandbox_id).await?;
        ok(RemovePodSandboxResponse {})
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<PodSandboxStatusRequest>,
    ) -> Reply<PodSandboxStatusResponse> {
        let id = request.into_inner().pod_sandbox_id;
        let guard = self.0.enter("PodSandboxStatus", &id).await?;
        let status = self.0.state.lock().sandboxes.get(&id).map(Core::sandbox_status);
        let status = status.ok_or_else(|| core::not_found("sandbox", &id))?;
        ok(guard.leave(PodSandboxStatusResponse { status: Some(status), ..Default::default() }).await?)
    }

    async fn list_pod_sandbox(
        &self,
        request: Request<ListPodSandboxRequest>,
    ) -> Reply<ListPodSandboxResponse> {
        let filter = request.into_inner().filter.unwrap_or_default();
        let guard = self.0.enter("ListPodSandbox", "").await?;
        let items = self.0.sandboxes().into_iter().map(list_sandbox);
        let items = items.filter(|s| {
            matches(&filter.label_selector, &s.labels)
                && (filter.id.is_empty() || filter.id == s.id)
                && filter.state.is_none_or(|state| state.state == s.state)
        });
        ok(guard.leave(ListPodSandboxResponse { items: items.collect() }).await?)
    }

    async fn create_container(
        &self,
        request: Request<CreateContainerRequest>,
    ) -> Reply<CreateContainerResponse> {
        let container_id = self.0.create_container(request.into_inner()).await?;
        ok(CreateContainerResponse { container_id })
    }

    async fn start_container(
        &self,
        request: Request<StartContainerRequest>,
    ) -> Reply<StartContainerResponse> {
        self.0.start_container(&request.into_inner().container_id).await?;
        ok(StartContainerResponse {})
    }

    async fn stop_container(&self, request: Request<StopContainerRequest>) -> Reply<StopContainerResponse> {
        let request = request.into_inner();
        let grace = Duration::from_secs(u64::try_from(request.timeout).unwrap_or(0));
        self.0.stop_container(&request.container_id, grace).await?;
        ok(StopContainerResponse {})
    }

    async fn reopen_container_log(
        &self,
        request: Request<ReopenContainerLogRequest>,
    ) -> Reply<ReopenContainerLogResponse> {
        self.0.reopen_container_log(&request.into_inner().container_id).await?;
        ok(ReopenContainerLogResponse {})
    }

    async fn remove_container(
        &self,
        request: Request<RemoveContainerRequest>,
    ) -> Reply<RemoveContainerResponse> {
        self.0.remove_container(&request.into_inner().container_id).await?;
        ok(RemoveContainerResponse {})
    }

    async fn container_status(
        &self,
        request: Request<ContainerStatusRequest>,
    ) -> Reply<ContainerStatusResponse> {
        let id = request.into_inner().container_id;
        let guard = self.0.enter("ContainerStatus", &id).await?;
        let status = self.0.state.lock().containers.get(&id).map(Core::container_status);
        let status = status.ok_or_else(|| core::not_found("container", &id))?;
        ok(guard.leave(ContainerStatusResponse { status: Some(status), ..Default::default() }).await?)
    }

    async fn list_containers(
        &self,
        request: Request<ListContainersRequest>,
    ) -> Reply<ListContainersResponse> {
        let filter = request.into_inner().filter.unwrap_or_default();
        let guard = self.0.enter("ListContainers", "").await?;
        let containers = self.0.containers().into_iter().map(list_container).filter(|c| {
            matches(&filter.label_selector, &c.labels)
                && (filter.id.is_empty() || filter.id == c.id)
                && (filter.pod_sandbox_id.is_empty() || filter.pod_sandbox_id == c.pod_sandbox_id)
                && filter.state.is_none_or(|state| state.state == c.state)
        });
        ok(guard.leave(ListContainersResponse { containers: containers.collect() }).await?)
    }

    async fn exec_sync(&self, request: Request<ExecSyncRequest>) -> Reply<ExecSyncResponse> {
        let request = request.into_inner();
        let timeout = Duration::from_secs(u64::try_from(request.timeout).unwrap_or(0));
        ok(self.0.exec_sync(&request.container_id, timeout).await?)
    }

    async fn exec(&self, request: Request<ExecRequest>) -> Reply<ExecResponse> {
        let request = request.into_inner();
        ok(ExecResponse { url: self.0.exec_url(&request.container_id, &request.cmd).await? })
    }

    async fn checkpoint_container(
        &self,
        request: Request<CheckpointContainerRequest>,
    ) -> Reply<CheckpointContainerResponse> {
        let request = request.into_inner();
        self.0.checkpoint(&request.container_id, request.location.as_ref()).await?;
        ok(CheckpointContainerResponse {})
    }

    async fn attach(&self, request: Request<AttachRequest>) -> Reply<AttachResponse> {
        ok(AttachResponse { url: self.0.attach_url(&request.into_inner().container_id).await? })
    }

    async fn port_forward(&self, request: Request<PortForwardRequest>) -> Reply<PortForwardResponse> {
        ok(PortForwardResponse { url: self.0.port_forward_url(&request.into_inner().pod_sandbox_id).await? })
    }

    type GetContainerEventsStream = Events;

    async fn get_container_events(&self, _: Request<GetEventsRequest>) -> Reply<Events> {
        let guard = self.0.enter("GetContainerEvents", "").await?;
        if self.0.state.lock().script.no_events {
            return Err(Status::unimplemented("unknown method GetContainerEvents"));
        }
        let events = BroadcastStream::new(self.0.events.subscribe());
        let broken = WatchStream::from_changes(self.0.streams.subscribe());
        let events = events.filter_map(async |event| event.ok().map(Ok));
        let stream: Events = Box::pin(events.take_until(broken.into_future()));
        ok(guard.leave(stream).await?)
    }

    type StreamPodSandboxesStream = Nothing<StreamPodSandboxesResponse>;
    type StreamContainersStream = Nothing<StreamContainersResponse>;
    type StreamContainerStatsStream = Nothing<StreamContainerStatsResponse>;
    type StreamPodSandboxStatsStream = Nothing<StreamPodSandboxStatsResponse>;
    type StreamPodSandboxMetricsStream = Nothing<StreamPodSandboxMetricsResponse>;

    unknown! {
        stream_pod_sandboxes: StreamPodSandboxesRequest => Self::StreamPodSandboxesStream,
        update_pod_sandbox_resources: UpdatePodSandboxResourcesRequest => UpdatePodSandboxResourcesResponse,
        stream_containers: StreamContainersRequest => Self::StreamContainersStream,
        update_container_resources: UpdateContainerResourcesRequest => UpdateContainerResourcesResponse,
        container_stats: ContainerStatsRequest => ContainerStatsResponse,
        list_container_stats: ListContainerStatsRequest => ListContainerStatsResponse,
        stream_container_stats: StreamContainerStatsRequest => Self::StreamContainerStatsStream,
        pod_sandbox_stats: PodSandboxStatsRequest => PodSandboxStatsResponse,
        list_pod_sandbox_stats: ListPodSandboxStatsRequest => ListPodSandboxStatsResponse,
        stream_pod_sandbox_stats: StreamPodSandboxStatsRequest => Self::StreamPodSandboxStatsStream,
        list_metric_descriptors: ListMetricDescriptorsRequest => ListMetricDescriptorsResponse,
        list_pod_sandbox_metrics: ListPodSandboxMetricsRequest => ListPodSandboxMetricsResponse,
        stream_pod_sandbox_metrics: StreamPodSandboxMetricsRequest => Self::StreamPodSandboxMetricsStream,
        checkpoint_pod: CheckpointPodRequest => CheckpointPodResponse,
        restore_pod: RestorePodRequest => RestorePodResponse,
    }
}

#[tonic::async_trait]
impl ImageService for Service {
    async fn list_images(&self, _: Request<ListImagesRequest>) -> Reply<ListImagesResponse> {
        let guard = self.0.enter("ListImages", "").await?;
        let images = self.0.state.lock().images.values().cloned().collect();
        ok(guard.leave(ListImagesResponse { images }).await?)
    }

    async fn image_status(&self, request: Request<ImageStatusRequest>) -> Reply<ImageStatusResponse> {
        let image = request.into_inner().image.unwrap_or_default().image;
        let guard = self.0.enter("ImageStatus", &image).await?;
        let image = self.0.image(&image);
        ok(guard.leave(ImageStatusResponse { image, ..Default::default() }).await?)
    }

    async fn pull_image(&self, request: Request<PullImageRequest>) -> Reply<PullImageResponse> {
        let request = request.into_inner();
        let image = request.image.unwrap_or_default().image;
        let image_ref = self.0.pull_image(&image, request.auth.as_ref()).await?;
        ok(PullImageResponse { image_ref })
    }

    async fn remove_image(&self, request: Request<RemoveImageRequest>) -> Reply<RemoveImageResponse> {
        let image = request.into_inner().image.unwrap_or_default().image;
        let guard = self.0.enter("RemoveImage", &image).await?;
        if let Some(found) = self.0.image(&image) {
            self.0.state.lock().images.remove(&found.id);
        }
        ok(guard.leave(RemoveImageResponse {}).await?)
    }

    async fn image_fs_info(&self, _: Request<ImageFsInfoRequest>) -> Reply<ImageFsInfoResponse> {
        let guard = self.0.enter("ImageFsInfo", "").await?;
        let used: u64 = self.0.state.lock().images.values().map(|i| i.size).sum();
        let usage = FilesystemUsage {
            timestamp: 0,
            fs_id: Some(FilesystemIdentifier { mountpoint: "/var/lib/fake".into() }),
            used_bytes: Some(UInt64Value { value: used }),
            inodes_used: Some(UInt64Value { value: 10 }),
        };
        let answer =
            ImageFsInfoResponse { image_filesystems: vec![usage], container_filesystems: Vec::new() };
        ok(guard.leave(answer).await?)
    }

    type StreamImagesStream = Nothing<StreamImagesResponse>;

    unknown! { stream_images: StreamImagesRequest => Self::StreamImagesStream }
}

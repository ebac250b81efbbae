//! The calls, each with its deadline, its size limit and its typed error (contract §26).

use std::{future::Future, sync::Arc, time::Duration};

use lifecycle::grace;
use metrics::{End, Metrics, runtime::Operation};
use proto::cri::{image_service_client::ImageServiceClient, runtime_service_client::RuntimeServiceClient};
use seams::RuntimeError;
use tokio::time::Instant;
use tonic::{Request, Response, Status, transport::Channel};

use crate::{
    calls::method,
    channel,
    endpoint::Endpoint,
    error::{Call, NotFoundMeans, from_status},
};

/// Largest message either way (upstream's `maxMsgSize`).
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Both services, and how long to wait for them. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
    runtime_endpoint: String,
    image_endpoint: String,
    metrics: Arc<Metrics>,
    /// `runtimeRequestTimeout`.
    pub(crate) timeout: Duration,
}

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// `runtimeRequestTimeout`.
    Default,
    /// A sandbox waits for its network: twice as long.
    Sandbox,
    /// The runtime works that long by our own wish; the timeout comes on top.
    After(Duration),
    /// Pulls and streams end when they end.
    Never,
}

/// A call under way.
pub(crate) struct Counted<'a> {
    metrics: &'a metrics::runtime::Runtime,
    operation: Operation,
    began: Instant,
    /// How it ends.
    pub(crate) end: End,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.metrics.called(self.operation, self.began.elapsed(), self.end);
    }
}

impl Client {
    pub(crate) fn new(
        runtime: &Endpoint,
        images: Option<&Endpoint>,
        timeout: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        let runtime_channel = channel::lazy(runtime);
        let image_channel = match images {
            Some(endpoint) if endpoint != runtime => channel::lazy(endpoint),
            _ => runtime_channel.clone(),
        };
        Self {
            runtime: RuntimeServiceClient::new(runtime_channel)
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE),
            images: ImageServiceClient::new(image_channel)
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE),
            runtime_endpoint: runtime.to_string(),
            image_endpoint: images.unwrap_or(runtime).to_string(),
            metrics,
            timeout,
        }
    }

    /// A call to the runtime service whose object may be gone.
    pub(crate) async fn runtime<Q, A, F>(
        &self,
        operation: Operation,
        deadline: Deadline,
        message: Q,
        call: impl FnOnce(RuntimeServiceClient<Channel>, Request<Q>) -> F,
    ) -> Result<A, RuntimeError>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let call_info = self.call(method(operation), deadline, NotFoundMeans::Gone);
        let client = self.runtime.clone();
        let mut counted = self.counted(operation);
        let answer =
            self.run(call_info, &self.runtime_endpoint, message, |request| call(client, request)).await;
        counted.end = End::of(&answer);
        answer
    }

    /// A call to the image service.
    pub(crate) async fn images<Q, A, F>(
        &self,
        operation: Operation,
        deadline: Deadline,
        not_found: NotFoundMeans,
        message: Q,
        call: impl FnOnce(ImageServiceClient<Channel>, Request<Q>) -> F,
    ) -> Result<A, RuntimeError>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let call_info = self.call(method(operation), deadline, not_found);
        let client = self.images.clone();
        let mut counted = self.counted(operation);
        let answer =
            self.run(call_info, &self.image_endpoint, message, |request| call(client, request)).await;
        counted.end = End::of(&answer);
        answer
    }

    /// What is counted.
    pub(crate) fn metrics(&self) -> &metrics::runtime::Runtime {
        &self.metrics.runtime
    }

    /// Counts a call when what this returns is dropped: as failed, unless it is told otherwise. A call that nobody waits
    /// for any more has failed.
    pub(crate) fn counted(&self, operation: Operation) -> Counted<'_> {
        Counted { metrics: self.metrics(), operation, began: Instant::now(), end: End::Failed }
    }

    fn call(&self, name: &'static str, deadline: Deadline, not_found: NotFoundMeans) -> Call {
        let deadline = match deadline {
            Deadline::Default => Some(self.timeout),
            Deadline::Sandbox => Some(self.timeout.saturating_mul(2)),
            // A deadline on the wire has eight digits: more than that is a panic of the library's.
            Deadline::After(work) => Some(self.timeout.saturating_add(work.min(grace::LONGEST))),
            Deadline::Never => None,
        };
        Call { name, deadline, not_found }
    }

    async fn run<Q, A, F>(
        &self,
        call: Call,
        endpoint: &str,
        message: Q,
        send: impl FnOnce(Request<Q>) -> F,
    ) -> Result<A, RuntimeError>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut request = Request::new(message);
        let began = Instant::now();
        let answer = match call.deadline {
            Some(after) => {
                // On the wire too: the runtime stops working for an answer that nobody waits for.
                request.set_timeout(after);
                match tokio::time::timeout(after, send(request)).await {
                    Ok(answer) => answer,
                    Err(_) => return Err(RuntimeError::Deadline { call: call.name, after }),
                }
            }
            None => send(request).await,
        };
        answer.map(Response::into_inner).map_err(|status| {
            let error = from_status(call, endpoint, began.elapsed(), &status);
            tracing::debug!(call = call.name, %error, "runtime call failed");
            error
        })
    }

    /// The bare service, for streams.
    pub(crate) fn runtime_service(&self) -> RuntimeServiceClient<Channel> {
        self.runtime.clone()
    }

    /// Errors of a stream after its start.
    pub(crate) fn stream_error(&self, name: &'static str, status: &Status) -> RuntimeError {
        let call = self.call(name, Deadline::Never, NotFoundMeans::Failure);
        from_status(call, &self.runtime_endpoint, Duration::ZERO, status)
    }
}

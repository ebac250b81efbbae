//! What is around the API, made up.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use seams::{
    ApiError, ContainerLogs, NodeApi, NodeLogs, Reviews, RuntimeError,
    logs::{LogError, LogOptions, LogSource},
    node_api::{CheckpointRefusal, LogRefusal, PodPath, StreamRefusal},
    node_logs::{NodeLog, ServiceQuery},
    reviews::{NodeAccess, User},
    runtime::{ExecResult, Streams},
};
use tokio::sync::mpsc;

/// Reviews by a list: tokens `t-NAME` are NAME's, and who may what is said in `allowed`.
#[derive(Default)]
pub(in crate::api::tests) struct Judge {
    pub(in crate::api::tests) allowed: Mutex<Vec<(&'static str, &'static str, &'static str)>>,
    pub(in crate::api::tests) tokens: Mutex<Vec<String>>,
    pub(in crate::api::tests) asked: Mutex<Vec<(String, NodeAccess)>>,
    pub(in crate::api::tests) down: Mutex<bool>,
    /// It never answers.
    pub(in crate::api::tests) silent: Mutex<bool>,
}

impl Judge {
    pub(in crate::api::tests) fn allow(
        &self,
        user: &'static str,
        verb: &'static str,
        subresource: &'static str,
    ) {
        self.allowed.lock().push((user, verb, subresource));
    }

    async fn silence(&self) {
        let silent = *self.silent.lock();
        if silent {
            std::future::pending().await
        }
    }
}

#[async_trait]
impl Reviews for Judge {
    async fn token(&self, token: &str) -> Result<Option<User>, ApiError> {
        self.tokens.lock().push(token.to_owned());
        self.silence().await;
        // Others get their turn before there is an answer, as over a network.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        let name = token.strip_prefix("t-");
        Ok(name.map(|name| User { name: name.to_owned(), ..User::default() }))
    }

    async fn access(&self, user: &User, access: &NodeAccess) -> Result<bool, ApiError> {
        self.silence().await;
        if *self.down.lock() {
            return Err(ApiError::Malformed("down".to_owned()));
        }
        self.asked.lock().push((user.name.clone(), access.clone()));
        let is = |pattern: &str, text: &str| pattern == "*" || pattern == text;
        let allowed = self.allowed.lock();
        Ok(allowed.iter().any(|(name, verb, subresource)| {
            is(name, &user.name) && is(verb, access.verb) && is(subresource, access.subresource)
        }))
    }
}

/// One pod `ns/pod` with a container `c`, or as many as are wanted; streams lead to `url`.
#[derive(Default)]
pub(in crate::api::tests) struct Node {
    pub(in crate::api::tests) url: Mutex<String>,
    pub(in crate::api::tests) asked: Mutex<Vec<(Vec<String>, Streams)>>,
    pub(in crate::api::tests) pods: Mutex<Option<usize>>,
}

fn known(pod: &PodPath) -> Result<(), StreamRefusal> {
    if pod.name != "pod" {
        return Err(StreamRefusal::NoPod);
    }
    if pod.uid.as_deref().is_some_and(|uid| uid != "uid") { Err(StreamRefusal::OtherPod) } else { Ok(()) }
}

#[async_trait]
impl NodeApi for Node {
    fn pods(&self) -> Vec<Arc<Pod>> {
        let mut pod = Pod::default();
        pod.metadata.name = Some("pod".to_owned());
        let pod = Arc::new(pod);
        vec![pod; self.pods.lock().unwrap_or(1)]
    }

    async fn running_pods(&self) -> Result<Vec<Pod>, RuntimeError> {
        Ok(Vec::new())
    }

    async fn log_source(&self, pod: &PodPath, container: &str, _: bool) -> Result<LogSource, LogRefusal> {
        match (pod.name.as_str(), container) {
            ("pod", "c") => Ok(LogSource { path: PathBuf::from("/0.log"), container: "id".into() }),
            ("pod", "waits") => Err(LogRefusal::NoLog("it waits".to_owned())),
            ("pod", _) => Err(LogRefusal::NoContainer),
            _ => Err(LogRefusal::NoPod),
        }
    }

    async fn exec_url(
        &self,
        pod: &PodPath,
        _: &str,
        command: &[String],
        streams: Streams,
    ) -> Result<String, StreamRefusal> {
        known(pod)?;
        self.asked.lock().push((command.to_vec(), streams));
        Ok(self.url.lock().clone())
    }

    async fn attach_url(
        &self,
        pod: &PodPath,
        _: &str,
        streams: Streams,
    ) -> Result<(String, Streams), StreamRefusal> {
        self.exec_url(pod, "", &[], streams).await.map(|url| (url, streams))
    }

    async fn port_forward_url(&self, pod: &PodPath, _: &[u16]) -> Result<String, StreamRefusal> {
        self.exec_url(pod, "", &[], Streams::default()).await
    }

    async fn checkpoint(
        &self,
        pod: &PodPath,
        container: &str,
        limit: Duration,
    ) -> Result<PathBuf, CheckpointRefusal> {
        known(pod).map_err(|_| CheckpointRefusal::NoPod)?;
        match container {
            "c" => Ok(format!("/checkpoints/{}.tar", limit.as_secs()).into()),
            "stuck" => Err(CheckpointRefusal::NotRunning(container.to_owned())),
            other => Err(CheckpointRefusal::NoContainer(other.to_owned())),
        }
    }

    async fn run(&self, pod: &PodPath, _: &str, command: &[String]) -> Result<ExecResult, StreamRefusal> {
        known(pod)?;
        let exit_code = i32::from(command.first().is_some_and(|name| name == "false"));
        Ok(ExecResult { stdout: command.join("+").into_bytes(), stderr: b"!".to_vec(), exit_code })
    }
}

/// Two lines, a break, and no end while following.
pub(super) struct Lines;

#[async_trait]
impl ContainerLogs for Lines {
    async fn read(
        &self,
        _: LogSource,
        options: LogOptions,
    ) -> Result<mpsc::Receiver<Result<Bytes, LogError>>, LogError> {
        let (sender, receiver) = mpsc::channel(2);
        tokio::spawn(async move {
            let _ = sender.send(Ok(Bytes::from_static(b"one\ntwo\n"))).await;
            if options.follow {
                sender.closed().await;
            }
        });
        Ok(receiver)
    }
}

pub(super) struct Files;

#[async_trait]
impl NodeLogs for Files {
    async fn open(&self, path: &Path) -> io::Result<NodeLog> {
        match path.to_str() {
            Some("") => Ok(NodeLog::Directory(vec!["messages".to_owned(), "pods/".to_owned()])),
            Some("pods") => Ok(NodeLog::Directory(Vec::new())),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn services(&self, query: ServiceQuery) -> mpsc::Receiver<Bytes> {
        let (sender, receiver) = mpsc::channel(1);
        let _ = sender.try_send(query.services.join("+").into());
        receiver
    }
}

//! The state that the servers answer from.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::grpc;

/// How a path answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpAnswer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Wait before answering.
    pub(crate) delay: Duration,
    /// Body; empty for the default one.
    pub(crate) body: String,
    /// Only for so many requests; `None` for all.
    pub(crate) times: Option<u64>,
}

impl HttpAnswer {
    /// Only a status.
    pub(crate) fn status(status: u16) -> Self {
        Self { status, delay: Duration::ZERO, body: String::new(), times: None }
    }
}

/// Everything that can be switched, and what is counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Switches {
    /// Paths that were switched.
    pub(crate) http: BTreeMap<String, HttpAnswer>,
    /// gRPC serving status by service name.
    pub(crate) grpc: BTreeMap<String, u8>,
    /// Whether the TCP port is bound.
    pub(crate) tcp_open: bool,
    /// TERM was seen.
    pub(crate) draining: bool,
    /// Leave with this code.
    pub(crate) exit: Option<u8>,
    /// Requests by path.
    pub(crate) hits: BTreeMap<String, u64>,
    /// Print a line for each request.
    pub(crate) log_requests: bool,
}

/// Shared handle.
#[derive(Clone)]
pub(crate) struct Shared {
    sender: Arc<watch::Sender<Switches>>,
    first: Arc<Switches>,
}

impl Shared {
    /// Start from these.
    pub(crate) fn new(first: Switches) -> Self {
        Self { sender: Arc::new(watch::Sender::new(first.clone())), first: Arc::new(first) }
    }

    /// Read something.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Switches) -> T) -> T {
        read(&self.sender.borrow())
    }

    /// Change something; followers see it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Switches)) {
        self.sender.send_modify(change);
    }

    /// Back to the start; what is counted stays.
    pub(crate) fn reset(&self) {
        let first = (*self.first).clone();
        self.change(|now| {
            *now = Switches { hits: std::mem::take(&mut now.hits), draining: now.draining, ..first }
        });
    }

    /// Follow changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Switches> {
        self.sender.subscribe()
    }

    /// Count a request, and take the switched answer of its path.
    pub(crate) fn take_answer(&self, path: &str) -> Option<HttpAnswer> {
        let mut answer = None;
        self.change(|now| {
            *now.hits.entry(path.to_owned()).or_default() += 1;
            let Some(switched) = now.http.get_mut(path) else { return };
            answer = Some(switched.clone());
            if let Some(times) = &mut switched.times {
                *times = times.saturating_sub(1);
                if *times == 0 {
                    now.http.remove(path);
                }
            }
        });
        answer
    }

    /// `/control`.
    pub(crate) fn text(&self) -> String {
        self.read(|now| {
            let mut text = String::new();
            for (path, answer) in &now.http {
                let _ = writeln!(
                    text,
                    "http {path} status={} delay={:?} times={:?}",
                    answer.status, answer.delay, answer.times
                );
            }
            for (service, status) in &now.grpc {
                let _ = writeln!(text, "grpc '{service}' {}", grpc::name(*status));
            }
            let _ = writeln!(text, "tcp {}", if now.tcp_open { "open" } else { "closed" });
            let _ = writeln!(text, "draining {}", now.draining);
            for (path, hits) in &now.hits {
                let _ = writeln!(text, "hits {path} {hits}");
            }
            text
        })
    }
}

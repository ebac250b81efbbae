//! Hints that something happened to a pod (design §1: only a reason to look, never the truth).
//!
//! ```text
//!     stream refused for good, or shared       the runtime went away, or 5 minutes
//!   Stream ──────────────────────────────► Poll ───────────────────────────────────► Stream
//!     ▲  │ broke: Everything, wait 100 ms … 3 s
//!     └──┘
//! ```
//!
//! Stream: CRI `GetContainerEvents`. Poll, for runtimes without it (containerd 1.6, CRI-O without pod events) or with one
//! that gives events to others ([`shared`], containerd 1.7): list every second and name the pods whose list entry differs. An empty node costs one call a second; sandboxes are
//! listed each second only while there are pods.
//!
//! Invariants:
//! * after every gap in knowledge (a broken stream, a full channel, a runtime that was away) comes `Everything`;
//! * a slow receiver costs no memory: what does not fit becomes one `Everything`.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use jiff::Timestamp;
use lifecycle::PodUid;
use metrics::{End, runtime::Operation};
use proto::cri::{ContainerEventResponse, ContainerEventType, GetEventsRequest};
use seams::{
    RuntimeError,
    runtime::{Became, ListedPod, ObjectEvent, RuntimeHint},
};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Instant, MissedTickBehavior},
};
use tonic::{Code, Request};

use crate::{client::Client, observe, render::labels};

mod shared;

use shared::{Streams, streams_of};

/// Hints waiting for the receiver; one more becomes `Everything`.
const WAITING: usize = 256;
/// Time between two looks.
const POLL: Duration = Duration::from_secs(1);
/// With no pods, sandboxes are listed at every so-many-th look.
const EMPTY_NODE_SANDBOXES: u32 = 5;
/// Looks before the runtime is asked for events once more: five minutes.
const ASK_AGAIN: u32 = 300;
/// First and longest wait before the stream is opened again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// Streams that fail or end without a single event before polling takes over (upstream gives up after as many).
const FRUITLESS: u32 = 5;
/// grpc-go sends headers with the first event: a stream that is silent for so long is taken to be open.
const TAKEN_AS_OPEN: Duration = Duration::from_millis(500);

/// Starts sending; ends when the receiver is dropped.
pub(crate) fn start(client: Client) -> mpsc::Receiver<RuntimeHint> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut out = Out { sender: sender.clone(), lost: false };
        tokio::select! {
            // Both arms may be dropped at any await: they own nothing but the connection.
            () = run(&client, &mut out) => {}
            () = sender.closed() => {}
        }
    });
    receiver
}

async fn run(client: &Client, out: &mut Out) {
    let mut told = false;
    let mut wait = RETRY.0;
    loop {
        stream_until_refused(client, out).await;
        if !std::mem::replace(&mut told, true) {
            tracing::info!(
                "the container runtime sends no container events, or not to everyone; its lists are compared every second instead"
            );
        }
        match poll(client, out).await {
            PollEnd::AskAgain => wait = RETRY.0,
            PollEnd::Away { error, looked } => {
                tracing::debug!(%error, "the container runtime went away; trying its event stream again");
                wait = if looked { RETRY.0 } else { wait };
                // It may answer everything but a list.
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY.1);
                wait_until_back(client).await;
                out.everything();
            }
        }
    }
}

/// The sending end. Never blocks.
#[derive(Debug)]
struct Out {
    sender: mpsc::Sender<RuntimeHint>,
    lost: bool,
}

impl Out {
    fn hint(&mut self, hint: RuntimeHint) {
        self.flush();
        if !self.lost {
            self.send(hint);
        }
    }

    fn everything(&mut self) {
        self.lost = true;
        self.flush();
    }

    /// Makes up for what was lost, as soon as there is room.
    fn flush(&mut self) {
        if self.lost {
            self.lost = false;
            self.send(RuntimeHint::Everything);
        }
    }

    fn send(&mut self, hint: RuntimeHint) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(hint) {
            self.lost = true;
        }
    }
}

/// Runs streams until the runtime has shown that it has none that can be trusted.
async fn stream_until_refused(client: &Client, out: &mut Out) {
    let mut wait = RETRY.0;
    let mut fruitless = 0;
    loop {
        // Each time: it may have been replaced by an older one.
        if streams_of(client).await == Streams::Shared {
            return;
        }
        let end = stream(client, out).await;
        match end {
            StreamEnd::Unimplemented => return,
            StreamEnd::AfterEvents => (wait, fruitless) = (RETRY.0, 0),
            StreamEnd::Fruitless => {
                fruitless += 1;
                if fruitless >= FRUITLESS {
                    return;
                }
            }
            // No runtime at all says nothing about its streams.
            StreamEnd::Unreachable => {}
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY.1);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamEnd {
    Unimplemented,
    AfterEvents,
    Fruitless,
    Unreachable,
}

async fn stream(client: &Client, out: &mut Out) -> StreamEnd {
    let mut service = client.runtime_service();
    let mut counted = client.counted(Operation::GetContainerEvents);
    let opening = service.get_container_events(Request::new(GetEventsRequest {}));
    let mut opening = std::pin::pin!(opening);
    let opened = match tokio::time::timeout(TAKEN_AS_OPEN, opening.as_mut()).await {
        Ok(opened) => opened,
        Err(_) => {
            // Subscribed by now: whatever happened before is made up for, whatever comes will be seen.
            out.everything();
            opening.await
        }
    };
    let mut events = match opened {
        Ok(response) => response.into_inner(),
        Err(status) => {
            client.metrics().event_stream_errors.inc();
            return end_of(client, &status);
        }
    };
    client.metrics().event_streams.inc();
    out.everything();
    let mut seen = false;
    let end = loop {
        // Room again after a full channel must not wait for the next event.
        let next = if out.lost {
            match tokio::time::timeout(RETRY.0, events.message()).await {
                Ok(next) => next,
                Err(_) => {
                    out.flush();
                    continue;
                }
            }
        } else {
            events.message().await
        };
        match next {
            Ok(Some(event)) => {
                seen = true;
                arrived(client, &event);
                match hint_of(&event) {
                    Some(hint) => out.hint(hint),
                    None => out.everything(),
                }
            }
            Ok(None) => {
                counted.end = End::Well;
                break StreamEnd::Fruitless;
            }
            Err(status) => {
                client.metrics().event_stream_errors.inc();
                break end_of(client, &status);
            }
        }
    };
    out.everything();
    if seen { StreamEnd::AfterEvents } else { end }
}

/// Tells how long an event was on its way. Both ends read the same machine's clock; one that was set back in between gives
/// no figure.
fn arrived(client: &Client, event: &ContainerEventResponse) {
    let Ok(made) = Timestamp::from_nanosecond(event.created_at.into()) else { return };
    if let Ok(took) = Duration::try_from(Timestamp::now().duration_since(made)) {
        client.metrics().event_latency.took(took);
    }
}

fn end_of(client: &Client, status: &tonic::Status) -> StreamEnd {
    let error = client.stream_error("GetContainerEvents", status);
    tracing::debug!(%error, "the event stream of the container runtime ended");
    match error {
        RuntimeError::Unimplemented { .. } => StreamEnd::Unimplemented,
        RuntimeError::Unreachable { .. } => StreamEnd::Unreachable,
        _ if status.code() == Code::Unavailable => StreamEnd::Unreachable,
        _ => StreamEnd::Fruitless,
    }
}

/// What an event tells; `None`: it does not say of which pod.
fn hint_of(event: &ContainerEventResponse) -> Option<RuntimeHint> {
    let pod = uid_of(event)?;
    Some(match (event.container_id.as_str(), became(event.container_event_type)) {
        ("", _) | (_, None) => RuntimeHint::Pod(pod),
        (id, Some(became)) => RuntimeHint::Object(pod, ObjectEvent { id: id.into(), became }),
    })
}

/// `None`: of a kind that is not known here.
fn became(kind: i32) -> Option<Became> {
    Some(match ContainerEventType::try_from(kind).ok()? {
        ContainerEventType::ContainerCreatedEvent => Became::Made,
        ContainerEventType::ContainerStartedEvent => Became::Started,
        ContainerEventType::ContainerStoppedEvent => Became::Stopped,
        ContainerEventType::ContainerDeletedEvent => Became::Gone,
    })
}

/// The pod of an event: from the sandbox, which a deleted container's event may lack, else from a container's labels.
fn uid_of(event: &ContainerEventResponse) -> Option<PodUid> {
    let sandbox = event.pod_sandbox_status.as_ref();
    let metadata = sandbox.and_then(|s| s.metadata.as_ref()).map(|m| m.uid.as_str());
    let labelled = sandbox.and_then(|s| s.labels.get(labels::POD_UID)).map(String::as_str);
    let container = || event.containers_statuses.iter().find_map(|c| c.labels.get(labels::POD_UID));
    let known = |uid: &&str| !uid.is_empty();
    metadata
        .filter(known)
        .or(labelled.filter(known))
        .or_else(|| container().map(String::as_str).filter(known))
        .map(PodUid::from)
}

/// Why polling ended.
#[derive(Debug)]
enum PollEnd {
    /// A look failed.
    Away {
        /// How.
        error: RuntimeError,
        /// Whether one before it went well.
        looked: bool,
    },
    /// The runtime may have been replaced between two looks by one that has events.
    AskAgain,
}

/// Looks every second until a look fails, or it is time to ask for events again.
async fn poll(client: &Client, out: &mut Out) -> PollEnd {
    let mut ticks = tokio::time::interval_at(Instant::now() + POLL, POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known: Option<HashMap<PodUid, ListedPod>> = None;
    let mut sandboxes = Vec::new();
    for look in 0..ASK_AGAIN {
        let containers = match observe::list_containers(client, None).await {
            Ok(containers) => containers,
            Err(error) => return PollEnd::Away { error, looked: look > 0 },
        };
        let empty = containers.is_empty() && sandboxes.is_empty();
        if !empty || look.is_multiple_of(EMPTY_NODE_SANDBOXES) {
            sandboxes = match observe::list_sandboxes(client, None).await {
                Ok(sandboxes) => sandboxes,
                Err(error) => return PollEnd::Away { error, looked: look > 0 },
            };
        }
        let now: HashMap<PodUid, ListedPod> = observe::group(&sandboxes, &containers)
            .into_iter()
            .map(|mut pod| {
                // The runtime's order may change from list to list.
                pod.sandboxes.sort();
                pod.containers.sort_by(|a, b| a.0.cmp(&b.0));
                (pod.uid.clone(), pod)
            })
            .collect();
        match &known {
            Some(before) => changed(before, &now).into_iter().for_each(|uid| out.hint(RuntimeHint::Pod(uid))),
            None => {
                out.everything();
                out.send(RuntimeHint::Listing);
            }
        }
        out.flush();
        known = Some(now);
        ticks.tick().await;
    }
    PollEnd::AskAgain
}

/// Pods that came, went or differ, in the order of their uids.
fn changed(before: &HashMap<PodUid, ListedPod>, now: &HashMap<PodUid, ListedPod>) -> Vec<PodUid> {
    let differs = now.iter().filter(|(uid, pod)| before.get(uid) != Some(pod)).map(|(uid, _)| uid);
    let gone = before.keys().filter(|uid| !now.contains_key(uid));
    let uids: BTreeSet<&PodUid> = differs.chain(gone).collect();
    uids.into_iter().cloned().collect()
}

async fn wait_until_back(client: &Client) {
    let mut wait = RETRY.0;
    while observe::list_sandboxes(client, None).await.is_err() {
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY.1);
    }
}

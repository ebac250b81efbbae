//! The words: one sentence each, without times, which the caller renders.

use std::{fmt, time::Duration};

use super::{Actor, BlockCause, BlockedStep, ContainerStanding, Gate, Next, ProbeKind, ProbeNote, Standing};
use crate::{action::MissingObject, reason::go_duration::go_duration};

impl Standing {
    /// Word in documents.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Starting => "Starting",
            Self::NotReady => "NotReady",
            Self::Ready => "Ready",
            Self::Stopping { .. } => "Stopping",
            Self::Ended { .. } => "Ended",
            Self::Gone => "Gone",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("starting"),
            Self::NotReady => f.write_str("running, not ready"),
            Self::Ready => f.write_str("running and ready"),
            Self::Stopping { cause } => write!(f, "stopping: {cause}"),
            Self::Ended { cause } => write!(f, "ended: {cause}"),
            Self::Gone => f.write_str("gone: nothing of it is left on this node"),
        }
    }
}

impl BlockedStep {
    /// Word in documents.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Namesake => "Namesake",
            Self::Admission => "Admission",
            Self::RuntimeName => "RuntimeName",
            Self::Inspection => "Inspection",
            Self::Directories => "Directories",
            Self::Cgroup => "Cgroup",
            Self::Volumes => "Volumes",
            Self::Network => "Network",
            Self::OldSandbox => "OldSandbox",
            Self::Sandbox => "Sandbox",
            Self::Image => "Image",
            Self::Restart => "Restart",
            Self::Creation => "Creation",
            Self::Start => "Start",
            Self::Hook => "Hook",
            Self::InitContainer => "InitContainer",
            Self::StartupProbe => "StartupProbe",
            Self::ReadinessProbe => "ReadinessProbe",
            Self::ReadinessGate => "ReadinessGate",
            Self::Stop => "Stop",
            Self::Removal => "Removal",
            Self::CleanUp => "CleanUp",
            Self::Report => "Report",
            Self::Deletion => "Deletion",
            Self::Finalizers => "Finalizers",
            Self::Look => "Look",
        }
    }
}

impl fmt::Display for BlockedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Namesake => "an older static pod of the same name",
            Self::Admission => "the pod's admission to this node",
            Self::RuntimeName => "the runtime's name",
            Self::Inspection => "the runtime's account of the pod",
            Self::Directories => "the pod's directories",
            Self::Cgroup => "the pod's cgroup",
            Self::Volumes => "volumes",
            Self::Network => "the node's network",
            Self::OldSandbox => "the end of the old sandbox",
            Self::Sandbox => "the sandbox",
            Self::Image => "the image",
            Self::Restart => "the restart",
            Self::Creation => "the creation",
            Self::Start => "the start",
            Self::Hook => "the postStart hook",
            Self::InitContainer => "the end of the init container",
            Self::StartupProbe => "the startup probe",
            Self::ReadinessProbe => "the readiness probe",
            Self::ReadinessGate => "a readiness gate",
            Self::Stop => "the end of the container",
            Self::Removal => "the removal of what has ended",
            Self::CleanUp => "a step that was under way when the pod ended",
            Self::Report => "the report of the pod's status",
            Self::Deletion => "the deletion of the pod's object",
            Self::Finalizers => "the finalizers of the pod's object",
            Self::Look => "the next look at the pod",
        })
    }
}

impl fmt::Display for BlockCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { reason, message, .. } => write!(f, "{reason}: {message}"),
            Self::UnderWay { call: None } => f.write_str("it is under way"),
            Self::UnderWay { call: Some(call) } => write!(f, "it is under way: the runtime works on {call}"),
            Self::BackOff { delay, exit: Some((code, reason)) } => {
                let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
                let delay = go_duration(*delay);
                write!(f, "CrashLoopBackOff: it ended with exit code {code}{reason}; back-off {delay}")
            }
            Self::BackOff { delay, exit: None } => {
                write!(f, "CrashLoopBackOff: it ended; back-off {}", go_duration(*delay))
            }
            Self::Runs => f.write_str("it has not ended yet"),
            Self::Probe(None) => f.write_str("it has not run yet"),
            Self::Probe(Some(note)) => write!(f, "{note}"),
            Self::Condition(name) => write!(f, "condition {name} of the pod is not True"),
            Self::Namesake(other) => write!(f, "{other} has not gone yet"),
            Self::NodeLabels => f.write_str(
                "only the node's labels speak against the pod: the API server is asked for them once more",
            ),
            Self::Refused { reason, message } => write!(f, "{reason}: {message}"),
            Self::Place { places, under_way, oldest } => place(f, *places, *under_way, oldest.as_ref()),
            Self::Turn { places, waiting } => turn(f, *places, *waiting),
            Self::NotShown => f.write_str("the API server has taken it, and does not show it yet"),
            Self::Finalizers(left) => {
                write!(f, "nothing of the pod is left on this node; its object has {}", left.join(", "))
            }
            Self::Idle => f.write_str("no step has failed, and none is under way"),
        }
    }
}

fn place(
    f: &mut fmt::Formatter<'_>,
    places: usize,
    under_way: usize,
    oldest: Option<&(String, Duration)>,
) -> fmt::Result {
    f.write_str("its pull has not begun: it waits for a place")?;
    // A pull that ended meanwhile may have left nothing to tell of.
    let Some((image, goes_on)) = oldest else { return Ok(()) };
    let goes_on = go_duration(Duration::from_secs(goes_on.as_secs()));
    match places {
        1 => write!(f, "; images are pulled one at a time, and that of \"{image}\" has been for {goes_on}"),
        _ => write!(
            f,
            "; {under_way} of at most {places} pulls are under way, the oldest for {goes_on}: image \"{image}\""
        ),
    }
}

fn turn(f: &mut fmt::Formatter<'_>, places: usize, waiting: usize) -> fmt::Result {
    f.write_str("it waits for its turn at the container runtime")?;
    // Whoever waited may have gone on meanwhile.
    match (places, waiting) {
        (_, 0) => Ok(()),
        (1, _) => write!(f, ", which is given one thing to make or start at a time; {waiting} wait"),
        _ => write!(f, ", which is given {places} things to make or start at a time; {waiting} wait"),
    }
}

impl ProbeKind {
    /// Word in events.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

impl fmt::Display for ProbeNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row {
            None => f.write_str("it has not run yet")?,
            Some((true, row)) => write!(f, "{row} of {} successes in a row", self.success_threshold)?,
            Some((false, row)) => write!(f, "{row} failures in a row ({} count)", self.failure_threshold)?,
        }
        match &self.last_failure {
            Some((_, text)) if self.row.is_none_or(|(success, _)| !success) => write!(f, ", last: {text}"),
            _ => Ok(()),
        }
    }
}

impl Actor {
    /// Word in documents.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kubelet => "Kubelet",
            Self::Runtime => "Runtime",
            Self::NetworkPlugin => "NetworkPlugin",
            Self::Registry => "Registry",
            Self::ImageOwner { .. } => "ImageOwner",
            Self::ImageLoader { .. } => "ImageLoader",
            Self::PullSecretOwner => "PullSecretOwner",
            Self::ApiServer | Self::ApiServerAnswer => "ApiServer",
            Self::ClusterAdmin => "ClusterAdmin",
            Self::OldestPull { .. } => "OldestPull",
            Self::PodAuthorOrNodeAdmin => "PodAuthorOrNodeAdmin",
            Self::FinalizerOwner => "FinalizerOwner",
            Self::ObjectOwner(_) => "ObjectOwner",
            Self::PodAuthor => "PodAuthor",
            Self::PodAuthorOrRuntime => "PodAuthorOrRuntime",
            Self::Container(_) => "Container",
            Self::Controller => "Controller",
            Self::NodeAdmin => "NodeAdmin",
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kubelet => f.write_str("nobody else: the kubelet is at it"),
            Self::Runtime => f.write_str("the container runtime; its log tells more"),
            Self::NetworkPlugin => f.write_str("whoever installs the node's network plugin (CNI)"),
            Self::Registry => {
                f.write_str("the registry, or whoever can mend the way to it, its name or its credentials")
            }
            Self::ImageOwner { image } => {
                write!(f, "whoever owns the image: push \"{image}\", or correct its name in the pod")
            }
            Self::ImageLoader { image } => write!(
                f,
                "whoever owns the pod: load \"{image}\" onto the node, or let imagePullPolicy pull it"
            ),
            Self::PullSecretOwner => f.write_str("whoever owns the pull secrets: the registry refuses them"),
            Self::ApiServer => f.write_str("the API server: it could not be asked"),
            Self::ApiServerAnswer => f.write_str("the API server: its answer is awaited"),
            Self::ClusterAdmin => f.write_str(
                "whoever looks after the cluster: its API server, or a webhook, refuses what the kubelet tells",
            ),
            Self::OldestPull { image: Some(image) } => {
                write!(f, "the registry of \"{image}\", or the container runtime, which pulls it")
            }
            Self::OldestPull { image: None } => f.write_str("nobody else: the kubelet is at it"),
            Self::PodAuthorOrNodeAdmin => f.write_str(
                "whoever wrote the pod, or looks after the node: it asks for what the node does not have or allow",
            ),
            Self::FinalizerOwner => f.write_str("the controllers that own the finalizers"),
            Self::ObjectOwner(missing) => {
                f.write_str("whoever owns the pod: ")?;
                for (index, object) in missing.iter().enumerate() {
                    write!(f, "{}{object}", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Self::PodAuthor => {
                f.write_str("whoever wrote the pod: its spec, or what it refers to, has to change")
            }
            Self::PodAuthorOrRuntime => {
                f.write_str("whoever wrote the pod, or the container runtime: the error tells which")
            }
            Self::Container(name) => write!(f, "the program in container {name}"),
            Self::Controller => f.write_str("the controller that owns the condition"),
            Self::NodeAdmin => f.write_str("whoever looks after the node"),
        }
    }
}

impl fmt::Display for MissingObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "add key \"{key}\" to {} \"{}\"", self.kind, self.name),
            None => write!(f, "create {} \"{}\"", self.kind, self.name),
        }
    }
}

impl Next {
    /// Word in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Retry => "Retry",
            Self::Retrying => "Retrying",
            Self::Answer => "Answer",
            Self::Restart => "Restart",
            Self::InitDone => "InitDone",
            Self::Probe => "Probe",
            Self::Condition => "Condition",
            Self::Kill => "Kill",
            Self::NamesakeGone => "NamesakeGone",
            Self::StopsThen => "StopsThen",
            Self::Place => "Place",
            Self::Turn => "Turn",
            Self::Removal => "Removal",
            Self::ObjectGone => "ObjectGone",
            Self::NotAgain => "NotAgain",
            Self::Replacement => "Replacement",
            Self::Manifest => "Manifest",
            Self::Look => "Look",
        }
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retry => "the kubelet tries again",
            Self::Retrying => "the kubelet is trying again now",
            Self::Answer => "the pod goes on when this is done",
            Self::Restart => "the kubelet starts it again",
            Self::InitDone => "the next container starts when it has ended with exit code 0",
            Self::Probe => "it is probed again",
            Self::Condition => "the pod becomes ready when the condition is True",
            Self::Kill => "it is killed if it still runs",
            Self::NamesakeGone => "the pod begins when the other one is gone",
            Self::StopsThen => "the pod goes on to stop when this is done: what it makes has to go too",
            Self::Place => "its pull begins when one of the others is over",
            Self::Turn => "it goes on when one of the others is over, or has taken longer than three seconds",
            Self::Removal => "what is kept of the pod is removed when it is shown",
            Self::ObjectGone => "the object goes when they are removed",
            Self::NotAgain => "it is not tried again: another pod has to be made in its place",
            Self::Replacement => "it is not tried again: the controller that owns it makes another pod",
            Self::Manifest => "it is judged again when its manifest changes, or the kubelet starts anew",
            Self::Look => "the kubelet looks again when something changes, or after the resync period",
        })
    }
}

impl fmt::Display for ContainerStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Waiting { reason } if reason.is_empty() => f.write_str("waiting"),
            Self::Waiting { reason } => write!(f, "waiting: {reason}"),
            Self::Ended { code, reason } if reason.is_empty() => write!(f, "ended: {code}"),
            Self::Ended { code, reason } => write!(f, "ended: {code} {reason}"),
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(step) => write!(f, "{step}"),
            Self::Container(name) => write!(f, "container {name}"),
            Self::Others => f.write_str("the other containers to end"),
        }
    }
}

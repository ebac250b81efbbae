//! How the world shall behave.

use std::{collections::BTreeMap, time::Duration};

use tonic::{Code, Status};

/// What a call does instead of, or before, answering.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers with an error.
    Fail(Code, String),
    /// Never answers.
    Hang,
    /// Answers later.
    Delay(Duration),
    /// Panics, as what has a defect may.
    Panic,
}

/// Whether a fault strikes before the call has its effect, or after (the answer is lost).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// The call has no effect.
    #[default]
    Before,
    /// The call has its effect, but its caller does not learn of it.
    After,
}

/// A planned fault.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) fault: Fault,
    pub(crate) when: When,
    /// Calls it still strikes; `None` is all of them.
    pub(crate) left: Option<u32>,
}

/// What a container does when it is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTerm {
    /// Exits after a while with a code; killed (137) when the grace is over before.
    Exit(Duration, i32),
    /// Does nothing: killed at the end of the grace.
    Ignore,
}

/// The life of a container.
#[derive(Clone, Debug)]
pub struct ContainerScript {
    /// Exits by itself after a time with a code; `None` runs until it is stopped.
    pub exits: Option<(Duration, i32)>,
    /// The runtime's reason for the exit; empty gives `Completed` or `Error`.
    pub reason: String,
    /// Creating it fails.
    pub create_error: Option<(Code, String)>,
    /// Starting it fails.
    pub start_error: Option<(Code, String)>,
    /// When asked to stop.
    pub on_term: OnTerm,
    /// Lines of its log, written at start when the log's directory exists.
    pub log: Vec<String>,
    /// Written to its termination message file at exit, when that is mounted.
    pub last_words: Option<String>,
    /// Answer to a command: how long it takes, exit code, standard output.
    pub exec: (Duration, i32, String),
}

impl Default for ContainerScript {
    /// Runs for ever, and leaves at once with 143 when asked.
    fn default() -> Self {
        Self {
            exits: None,
            reason: String::new(),
            create_error: None,
            start_error: None,
            on_term: OnTerm::Exit(Duration::ZERO, 143),
            log: Vec::new(),
            last_words: None,
            exec: (Duration::ZERO, 0, String::new()),
        }
    }
}

impl ContainerScript {
    /// Exits by itself.
    #[must_use]
    pub fn exits(after: Duration, code: i32) -> Self {
        Self { exits: Some((after, code)), ..Self::default() }
    }
}

/// What a pull does.
#[derive(Clone, Debug)]
pub enum ImageScript {
    /// Succeeds after a time.
    Pulls(Duration),
    /// Fails.
    Fails(Code, String),
    /// Never ends.
    Hangs,
    /// Wants this user and password.
    Private(String, String),
}

/// All of it. Containers are scripted by name, images by reference, faults by CRI method.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) containers: BTreeMap<String, ContainerScript>,
    pub(crate) images: BTreeMap<String, ImageScript>,
    pub(crate) faults: BTreeMap<&'static str, Planned>,
    /// Events to be dropped on the floor.
    pub(crate) lose_events: u32,
    pub(crate) no_events: bool,
    pub(crate) identity: Option<(String, String)>,
    pub(crate) no_runtime_config: bool,
    /// Address of the streaming server, if there is one.
    pub(crate) streaming: Option<String>,
    pub(crate) not_ready: Option<(String, String)>,
    pub(crate) network_not_ready: Option<(String, String)>,
}

impl Script {
    /// The fault that strikes this call now, counted down.
    pub(crate) fn strike(&mut self, method: &'static str, when: When) -> Option<Fault> {
        let planned = self.faults.get_mut(method).filter(|p| p.when == when)?;
        let fault = planned.fault.clone();
        if let Some(left) = &mut planned.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.faults.remove(method);
            }
        }
        Some(fault)
    }
}

pub(crate) fn status(error: &(Code, String)) -> Status {
    Status::new(error.0, error.1.clone())
}

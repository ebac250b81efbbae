//! Init containers and sidecars (contract §7.1).
//!
//! Progress is judged by the containers of the current sandbox alone, from the last one backwards: the runtime may have
//! forgotten the earlier ones, the last one that exists tells how far the pod is.

use k8s_openapi::api::core::v1::Container;

use crate::{
    decide::{
        plan::{self, Kill, Target},
        restart,
        view::{Life, View},
        work::Work,
    },
    ids::SandboxId,
    observation::{ContainerRecord, RuntimeState},
    reason::{Afterwards, ContainerKind, KillCause},
    status,
};

/// Where initialisation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Regular containers may run.
    Done,
    /// Not yet.
    Unfinished,
    /// An init container failed and may not run again.
    Failed,
}

pub(super) struct Init<'a> {
    pub(super) verdict: Verdict,
    pub(super) start: Vec<Target<'a>>,
    pub(super) kill: Vec<Kill<'a>>,
    /// Made already, and started when the earlier ones let it.
    pub(super) made: Vec<&'a str>,
}

/// What one init container asks for.
enum Need<'a> {
    Nothing,
    /// It is done (or, a sidecar, started): the next may begin.
    Passed,
    Start,
    /// Killed now, started when it is dead; `passed` as above.
    Kill {
        kill: Kill<'a>,
        passed: bool,
    },
    Failed,
}

pub(super) fn look<'a>(work: &Work<'a>, view: &View<'a>, sandbox: &SandboxId) -> Init<'a> {
    let containers = work.spec.init_containers.as_deref().unwrap_or_default();
    let mut found = Init { verdict: Verdict::Done, start: Vec::new(), kill: Vec::new(), made: Vec::new() };
    if containers.is_empty() {
        return found;
    }
    let mut done = view.initialised_in(work.spec, sandbox);
    // Whether a later one of the list is proof that this one was done with before.
    let mut later = done;
    let mut start = Vec::new();
    for (index, container) in containers.iter().enumerate().rev() {
        let sidecar = restart::is_sidecar(container);
        let Some(record) = view.newest_in(&container.name, sandbox) else {
            if later && sidecar {
                start.push(index);
            }
            continue;
        };
        // One that was only made proves nothing while an earlier one can be asked: a runtime may make it long after it was
        // wanted.
        let earlier = || containers[..index].iter().any(|c| view.newest_in(&c.name, sandbox).is_some());
        if !later && view.life(record) == Life::Created && earlier() {
            found.made.push(&container.name);
            continue;
        }
        if !later || sidecar {
            let need = need(work, view, container, record, sidecar);
            let passed = match need {
                Need::Nothing => false,
                Need::Passed => true,
                Need::Start => {
                    start.push(index);
                    false
                }
                Need::Kill { kill, passed } => {
                    found.kill.push(kill);
                    passed
                }
                Need::Failed => {
                    return Init { verdict: Verdict::Failed, ..found };
                }
            };
            if passed && index + 1 == containers.len() {
                done = true;
            } else if passed && !later {
                start.push(index + 1);
            }
        }
        later = true;
    }
    if !later {
        start.push(0);
    }
    start.sort_unstable();
    start.dedup();
    found.start = start
        .into_iter()
        .filter_map(|index| containers.get(index))
        .map(|container| Target::of(ContainerKind::Init, container))
        .collect();
    found.verdict = if done { Verdict::Done } else { Verdict::Unfinished };
    found
}

fn need<'a>(
    work: &Work<'a>,
    view: &View<'a>,
    container: &Container,
    record: &'a ContainerRecord,
    sidecar: bool,
) -> Need<'a> {
    let kill = |cause| Kill::new(ContainerKind::Init, record, cause, Afterwards::Restart);
    match view.life(record) {
        Life::Created => Need::Start,
        Life::Running if sidecar => running_sidecar(work, container, record),
        Life::Running if plan::cause_to_kill(work, container, record) == Some(KillCause::PostStartHook) => {
            Need::Kill { kill: kill(KillCause::PostStartHook), passed: false }
        }
        Life::Running => Need::Nothing,
        Life::Dead if sidecar => Need::Start,
        Life::Dead if has_passed(record) => Need::Passed,
        Life::Dead if starts_again(work, container, record) => Need::Start,
        Life::Dead => Need::Failed,
        Life::Lost if sidecar || restart::after_probe(container, work.spec) => {
            Need::Kill { kill: kill(KillCause::Unknown), passed: false }
        }
        Life::Lost => Need::Failed,
    }
}

/// Whether an init container ended well.
fn has_passed(dead: &ContainerRecord) -> bool {
    // Killed for memory with a process left that ended well: failed all the same.
    dead.state != RuntimeState::Unknown && dead.exit_code == 0 && dead.reason != "OOMKilled"
}

/// Whether an init container that ended, and is no sidecar, is run once more.
pub(super) fn starts_again(work: &Work<'_>, container: &Container, dead: &ContainerRecord) -> bool {
    match dead.state {
        RuntimeState::Unknown => restart::after_probe(container, work.spec),
        _ => !has_passed(dead) && restart::after_exit(container, work.spec, dead.exit_code),
    }
}

fn running_sidecar<'a>(work: &Work<'a>, container: &Container, record: &'a ContainerRecord) -> Need<'a> {
    let started = status::started(container, record, work.seen, plan::last_status(work))
        && !plan::starting(work, record);
    // Until it started, only its startup probe and hook count, whatever else there is.
    let cause = match started {
        true => plan::cause_to_kill(work, container, record),
        false => plan::cause_before_start(work, record),
    };
    match cause {
        Some(cause) => {
            let kill = plan::kill_running(work, ContainerKind::Init, container, record, cause);
            Need::Kill { kill, passed: started }
        }
        None if started => Need::Passed,
        None => Need::Nothing,
    }
}

//! Manifests and what is done to their pods, played on a lab while a recorder watches.
//!
//! Each step waits for its moment in the pod's own past, so that two kubelets of different speed see the same play.

use std::time::Duration;

use anyhow::{Context as _, Result};
use lab::{Lab, images, wait};

use crate::recorder::{Past, Recorder};

/// Whether a pod has come to a moment.
pub type Moment = fn(&Past) -> bool;

/// When a pod's part is over.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// It has come to this, and stays there: its last version counts.
    Rest(Moment),
    /// It comes to this and goes on, such as a container that is restarted again and again: the first version that
    /// shows it counts, what is later does not.
    At(Moment),
}

/// Something done to a pod.
pub type Act = fn(&Lab) -> Result<()>;

/// One pod's part.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name of the pod.
    pub name: &'static str,
    /// The pod and what it needs, YAML documents; applied at the start. May be empty.
    manifest: String,
    /// What is done later: when, and what.
    steps: Vec<(Moment, Act)>,
    /// When it is over.
    end: End,
}

impl Case {
    /// A pod from its `spec`, YAML, in which `$BUSYBOX` and `$TESTBOX` are the lab's images.
    #[must_use]
    pub fn pod(name: &'static str, spec: &str, end: End) -> Self {
        let spec = spec.replace("$BUSYBOX", images::BUSYBOX).replace("$TESTBOX", images::TESTBOX);
        let lines: Vec<String> = spec.lines().map(|line| format!("  {line}")).collect();
        let manifest =
            format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n{}\n", lines.join("\n"));
        Self { name, manifest, steps: Vec::new(), end }
    }

    /// A pod that comes into being by the steps of this or another case.
    #[must_use]
    pub fn later(name: &'static str, end: End) -> Self {
        Self { name, manifest: String::new(), steps: Vec::new(), end }
    }

    /// Objects that are there before the pod, YAML documents.
    #[must_use]
    pub fn with(mut self, objects: &str) -> Self {
        self.manifest = format!("{}\n---\n{}", objects.trim(), self.manifest);
        self
    }

    /// What is done at a moment, after the steps before it.
    #[must_use]
    pub fn step(mut self, when: Moment, act: Act) -> Self {
        self.steps.push((when, act));
        self
    }
}

/// How long nothing new may come until everything is said: statuses and events are sent one after the other, a
/// fraction of a second apart.
const QUIET: Duration = Duration::from_secs(3);

/// Plays all cases at once, and gives the past of each, in their order.
///
/// # Errors
/// One is not over within the bound, or a step fails; the error says how far each one was.
pub fn play(lab: &Lab, cases: &[Case], bound: Duration) -> Result<Vec<Past>> {
    let recorder = Recorder::of(lab)?;
    let manifests: Vec<&str> =
        cases.iter().map(|case| case.manifest.as_str()).filter(|text| !text.is_empty()).collect();
    lab.apply(&manifests.join("\n---\n"))?;
    let mut done = vec![0; cases.len()];
    let mut last = (0, wait::Since::now());
    wait::until("the end of all pods' parts", bound, || {
        let pasts: Vec<Past> = recorder.look(|pods| {
            cases.iter().map(|case| pods.get(case.name).cloned().unwrap_or_default()).collect()
        })?;
        let mut waiting = Vec::new();
        for ((case, past), done) in cases.iter().zip(&pasts).zip(&mut done) {
            while let Some((_, act)) = case.steps.get(*done).filter(|(moment, _)| moment(past)) {
                act(lab).with_context(|| format!("step {done} of {}", case.name))?;
                *done += 1;
            }
            if *done < case.steps.len() || !over(case, past) {
                waiting.push(format!("{} at step {done}: {}", case.name, past.now()["status"]));
            }
        }
        let news = cases.iter().zip(&pasts).map(|(case, past)| news(case, past)).sum();
        if news != last.0 {
            last = (news, wait::Since::now());
        }
        if !waiting.is_empty() {
            return Ok(wait::Look::NotYet(waiting.join("\n")));
        }
        if last.1.elapsed() < QUIET {
            return Ok(wait::Look::NotYet("still something new".to_owned()));
        }
        Ok(wait::Look::Ready(cases.iter().zip(pasts).map(|(case, past)| cut(case, past)).collect()))
    })
}

fn over(case: &Case, past: &Past) -> bool {
    match case.end {
        End::Rest(moment) => moment(past),
        End::At(moment) => first(moment, past).is_some(),
    }
}

/// How much of what counts has come.
fn news(case: &Case, past: &Past) -> usize {
    // A repeated event is a new version with another count.
    let events = past.events.iter().filter(|event| event["count"].as_i64().unwrap_or(1) <= 1).count();
    match case.end {
        End::Rest(_) => events + past.versions.len(),
        End::At(_) => events,
    }
}

/// The past up to the first version at which it holds.
fn first(moment: Moment, past: &Past) -> Option<Past> {
    (1..=past.versions.len()).find_map(|length| {
        let gone = past.gone && length == past.versions.len();
        let part = Past { versions: past.versions[..length].to_vec(), events: past.events.clone(), gone };
        moment(&part).then_some(part)
    })
}

fn cut(case: &Case, past: Past) -> Past {
    match case.end {
        End::Rest(_) => past,
        End::At(moment) => first(moment, &past).unwrap_or(past),
    }
}

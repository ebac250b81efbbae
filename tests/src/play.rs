//! Manifests and what is done to their pods, played on a lab while a recorder watches.
//!
//! Each step waits for its moment in the pod's own past, so that two kubelets of different speed see the same play.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

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

/// How often the pasts are looked at: a fraction of what a person would call at once.
const LOOK: Duration = Duration::from_millis(100);

/// What became of a case.
#[derive(Clone, Debug)]
pub struct Played {
    /// The pod's past, as far as it counts.
    pub past: Past,
    /// Whether it came to its end within the bound.
    pub ended: bool,
    /// Whether its end was a moment of something that goes on ([`End::At`]).
    pub goes_on: bool,
}

/// How many pods are on the stage at once: more would make a kubelet so slow that it joins away what is to be seen.
const AT_ONCE: usize = 16;

/// One case on the stage.
#[derive(Default)]
struct Part {
    /// Steps done.
    done: usize,
    /// How much news there was, and when it changed last.
    news: Option<(usize, wait::Since)>,
}

/// Plays all cases, some at a time, and gives what became of each, in their order. A case is over when it has come to its
/// end and nothing new comes, or when the bound of the whole play is over. Its pod is then deleted, which its past does
/// not show any more.
///
/// # Errors
/// A step fails, or the recorder misses something.
pub fn play(lab: &Lab, cases: &[Case], bound: Duration) -> Result<Vec<Played>> {
    warm_up(lab).context("the first pod does not run")?;
    let recorder = Recorder::of(lab)?;
    let begun = wait::Since::now();
    let mut waiting: VecDeque<usize> = (0..cases.len()).collect();
    let mut stage: BTreeMap<usize, Part> = BTreeMap::new();
    let mut played: BTreeMap<usize, Played> = BTreeMap::new();
    while played.len() < cases.len() {
        let entering: Vec<usize> =
            waiting.drain(..AT_ONCE.saturating_sub(stage.len()).min(waiting.len())).collect();
        let manifests: Vec<&str> =
            entering.iter().filter_map(|case| cases.get(*case)).map(|case| &*case.manifest).collect();
        let manifests =
            manifests.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n---\n");
        if !manifests.is_empty() {
            lab.apply(&manifests)?;
        }
        stage.extend(entering.into_iter().map(|case| (case, Part::default())));

        let pasts: BTreeMap<usize, Past> = recorder.look(|pods| {
            let past = |case: &usize| pods.get(cases[*case].name).cloned().unwrap_or_default();
            stage.keys().map(|case| (*case, past(case))).collect()
        })?;
        let late = begun.elapsed() > bound;
        let mut leaving = Vec::new();
        for (index, past) in pasts {
            let (Some(case), Some(part)) = (cases.get(index), stage.get_mut(&index)) else { continue };
            let ended = part.advance(lab, case, &past)?;
            if ended && part.is_quiet(case, &past) || late {
                stage.remove(&index);
                if !past.gone && !case.manifest.is_empty() {
                    leaving.push(case.name);
                }
                let goes_on = matches!(case.end, End::At(_));
                played.insert(index, Played { past: cut(case, past), ended, goes_on });
            }
        }
        if !leaving.is_empty() {
            let delete = ["delete", "pod", "--wait=false", "--ignore-not-found", "--grace-period=1"];
            lab.kubectl(&[delete.as_slice(), &leaving].concat())?;
        }
        if late {
            for case in waiting.drain(..) {
                played.insert(case, Played { past: Past::default(), ended: false, goes_on: false });
            }
        }
        wait::pause(LOOK);
    }
    Ok(played.into_values().collect())
}

impl Part {
    /// Does what is due. Whether the case has come to its end.
    fn advance(&mut self, lab: &Lab, case: &Case, past: &Past) -> Result<bool> {
        while let Some((_, act)) = case.steps.get(self.done).filter(|(moment, _)| moment(past)) {
            act(lab).with_context(|| format!("step {} of {}", self.done, case.name))?;
            self.done += 1;
        }
        Ok(self.done == case.steps.len() && over(case, past))
    }

    /// Whether nothing new came for a while.
    fn is_quiet(&mut self, case: &Case, past: &Past) -> bool {
        let now = news(case, past);
        match &self.news {
            Some((last, since)) if *last == now => since.elapsed() >= QUIET,
            _ => {
                self.news = Some((now, wait::Since::now()));
                false
            }
        }
    }
}

/// A kubelet that has just started may say of its first pods that it has not read this or that yet. It is not what is
/// to be compared, so another pod comes first.
fn warm_up(lab: &Lab) -> Result<()> {
    let spec = "containers:\n- {name: main, image: $BUSYBOX, command: [sleep, '100000']}";
    lab.apply(&Case::pod("first", spec, End::Rest(|_| true)).manifest)?;
    lab.kubectl(&["wait", "--for=condition=Ready", "pod/first", "--timeout=120s"]).map(drop)
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

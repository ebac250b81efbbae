//! Plays the cases, some at a time, and looks at each until all that it must show is there.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Context as _, Result, bail, ensure};
use lab::{Lab, wait};
use node_tests::recorder::{Past, Recorder};
use serde_json::Value;

use super::{
    api,
    seen::{Seen, folder},
};

/// What has to be so; the error says what is not.
type Check = Box<dyn Fn(&Seen<'_>) -> Result<()>>;

/// What is done at a moment.
type Act = Box<dyn Fn(&Seen<'_>) -> Result<()>>;

/// One pod, what is done to it, and what must come of it.
pub(super) struct Case {
    /// The ranks of the contract that it shows.
    pub(super) ranks: Vec<u8>,
    /// Name of the pod.
    pub(super) name: String,
    /// The pod, YAML; empty if it comes into being by a step.
    manifest: String,
    /// What is done, and when: after the step before it, when the check holds.
    steps: Vec<(Check, Act)>,
    /// What must never be so: the first look that finds it ends the case.
    never: Check,
    /// What must be so in the end.
    must: Check,
    /// Other pods that its steps make.
    others: Vec<String>,
    /// It takes long, so it begins early.
    slow: bool,
}

impl Case {
    /// A pod from its `spec`, YAML. For what `$BUSYBOX`, `$FOLDER` and the like stand, see [`Seen::filled`].
    pub(super) fn pod(ranks: &[u8], name: &str, spec: &str) -> Self {
        Self { manifest: pod(name, spec), ..Self::later(ranks, name) }
    }

    /// A pod that its steps make.
    pub(super) fn later(ranks: &[u8], name: &str) -> Self {
        Self {
            ranks: ranks.to_vec(),
            name: name.to_owned(),
            manifest: String::new(),
            steps: Vec::new(),
            never: Box::new(|_| Ok(())),
            must: Box::new(|_| bail!("the case {} says nothing", file!())),
            others: Vec::new(),
            slow: false,
        }
    }

    /// What is done when a check holds.
    pub(super) fn step(
        mut self,
        when: impl Fn(&Seen<'_>) -> Result<()> + 'static,
        act: impl Fn(&Seen<'_>) -> Result<()> + 'static,
    ) -> Self {
        self.steps.push((Box::new(when), Box::new(act)));
        self
    }

    /// What must never be so.
    pub(super) fn never(mut self, check: impl Fn(&Seen<'_>) -> Result<()> + 'static) -> Self {
        self.never = Box::new(check);
        self
    }

    /// What must be so in the end.
    pub(super) fn must(mut self, check: impl Fn(&Seen<'_>) -> Result<()> + 'static) -> Self {
        self.must = Box::new(check);
        self
    }

    /// Another pod that its steps make, to be cleared away with it.
    pub(super) fn with(mut self, other: &str) -> Self {
        self.others.push(other.to_owned());
        self
    }

    /// It begins early, since it takes long.
    pub(super) fn slow(mut self) -> Self {
        self.slow = true;
        self
    }
}

/// A pod from its `spec`, with its name as the label `case`.
pub(super) fn pod(name: &str, spec: &str) -> String {
    let spec: Vec<String> = spec.lines().map(|line| format!("  {line}")).collect();
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{case: {name}}}}}\nspec:\n{}\n",
        spec.join("\n")
    )
}

/// How many cases are on the stage at once: more would only wait for each other on two cores.
const AT_ONCE: usize = 16;

/// How often they are looked at.
const LOOK: std::time::Duration = std::time::Duration::from_millis(100);

/// Longest for a case: the longest takes some 20 s, and a busy machine many times that.
const BOUND: std::time::Duration = std::time::Duration::from_secs(240);

/// A case on the stage.
struct Part {
    case: Case,
    /// Steps done.
    done: usize,
    since: wait::Since,
}

/// Plays all cases.
///
/// # Errors
/// Every case that failed, with what is not as it must be.
pub(super) fn play(lab: &Lab, cases: Vec<Case>) -> Result<()> {
    let recorder = Recorder::of(lab)?;
    let (slow, quick): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(|case| case.slow);
    let mut waiting: VecDeque<Case> = slow.into_iter().chain(quick).collect();
    let mut stage: Vec<Part> = Vec::new();
    let mut failures = Vec::new();
    while !waiting.is_empty() || !stage.is_empty() {
        while stage.len() < AT_ONCE
            && let Some(case) = waiting.pop_front()
        {
            enter(lab, &case)?;
            stage.push(Part { case, done: 0, since: wait::Since::now() });
        }
        let pasts = recorder.look(Clone::clone)?;
        let mut kept = Vec::new();
        for mut part in stage {
            match part.look(lab, &pasts) {
                Ok(false) => kept.push(part),
                Ok(true) => {
                    eprintln!("{}: {:?}", part.case.name, part.since.elapsed());
                    leave(lab, &part.case, &pasts)?;
                }
                Err(error) => {
                    let past = pasts.get(&part.case.name);
                    eprintln!(
                        "{} failed: {error:#}\n{:#}",
                        part.case.name,
                        past.map_or(&Value::Null, Past::now)
                    );
                    failures.push(format!("{} (rank {:?}): {error:#}", part.case.name, part.case.ranks));
                    leave(lab, &part.case, &pasts)?;
                }
            }
        }
        stage = kept;
        wait::pause(LOOK);
    }
    ensure!(failures.is_empty(), "{} behaviours are wrong:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

fn enter(lab: &Lab, case: &Case) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let journal = folder(lab, &case.name);
    std::fs::create_dir_all(&journal).with_context(|| format!("cannot make {}", journal.display()))?;
    // Containers that are not root's write there too.
    std::fs::set_permissions(&journal, std::fs::Permissions::from_mode(0o777))?;
    if case.manifest.is_empty() {
        return Ok(());
    }
    let nothing = BTreeMap::new();
    let seen = Seen { lab, name: &case.name, pasts: &nothing };
    api::create(lab, &seen.filled(&case.manifest)).with_context(|| format!("the pod of {}", case.name))
}

fn leave(lab: &Lab, case: &Case, pasts: &BTreeMap<String, Past>) -> Result<()> {
    for name in case.others.iter().chain([&case.name]) {
        let is_mirror = |past: &&Past| past.now()["metadata"]["ownerReferences"][0]["kind"] == "Node";
        if let Some(past) = pasts.get(name).filter(|past| !is_mirror(past))
            && !past.gone
            // It may go just now.
            && let Err(error) = api::delete(lab, name, Some(1))
            && !format!("{error:#}").contains("NotFound")
        {
            return Err(error);
        }
    }
    Ok(())
}

impl Part {
    /// Does what is due. Whether the case is over.
    fn look(&mut self, lab: &Lab, pasts: &BTreeMap<String, Past>) -> Result<bool> {
        let seen = Seen { lab, name: &self.case.name, pasts };
        (self.case.never)(&seen)?;
        let late = |error: anyhow::Error, what: String| {
            if self.since.elapsed() > BOUND { Err(error.context(what)) } else { Ok(false) }
        };
        while let Some((when, act)) = self.case.steps.get(self.done) {
            if let Err(error) = when(&seen) {
                return late(error, format!("before step {}", self.done));
            }
            act(&seen).with_context(|| format!("step {}", self.done))?;
            self.done += 1;
            // The next moment is to be seen by a look of its own.
            if self.done < self.case.steps.len() {
                return Ok(false);
            }
        }
        if let Err(error) = (self.case.must)(&seen) {
            return late(error, "in the end".to_owned());
        }
        steady(seen.past())?;
        Ok(true)
    }
}

/// What holds for every pod: counts never fall, and what has ended stays so.
fn steady(past: &Past) -> Result<()> {
    for pair in past.versions.windows(2) {
        let (old, new) = (&pair[0], &pair[1]);
        // A mirror comes again under its name, as another object.
        if old["metadata"]["uid"] != new["metadata"]["uid"] {
            continue;
        }
        let number = |value: &Value| value.as_i64().unwrap_or_default();
        let observed = |pod: &Value| number(&pod["status"]["observedGeneration"]);
        ensure!(observed(old) <= observed(new), "the observed generation fell: {}", new["status"]);
        ensure!(observed(new) <= number(&new["metadata"]["generation"]), "observed what is to come: {new}");
        let ended = ["Failed", "Succeeded"].iter().any(|phase| old["status"]["phase"] == *phase);
        ensure!(
            !ended || old["status"]["phase"] == new["status"]["phase"],
            "it went on after its end: {new}"
        );
        for list in ["initContainerStatuses", "containerStatuses"] {
            let counts = |pod: &Value| -> BTreeMap<String, i64> {
                let all = pod["status"][list].as_array().into_iter().flatten();
                all.map(|status| (status["name"].to_string(), number(&status["restartCount"]))).collect()
            };
            let before = counts(old);
            for (name, count) in counts(new) {
                let known = before.get(&name).copied().unwrap_or_default();
                ensure!(known <= count, "the restarts of {name} fell from {known} to {count}");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn past(versions: &[Value]) -> Past {
        Past { versions: versions.iter().cloned().map(Arc::new).collect(), ..Past::default() }
    }

    fn version(uid: &str, phase: &str, observed: i64, restarts: i64) -> Value {
        json!({
            "metadata": {"uid": uid, "generation": 2},
            "status": {
                "phase": phase,
                "observedGeneration": observed,
                "containerStatuses": [{"name": "main", "restartCount": restarts}],
            },
        })
    }

    #[test]
    fn what_goes_back_is_found() {
        let start = version("a", "Running", 1, 1);
        assert!(steady(&past(&[start.clone(), version("a", "Failed", 2, 2)])).is_ok());
        for (what, next) in [
            ("restarts", version("a", "Running", 1, 0)),
            ("observed", version("a", "Running", 0, 1)),
            ("too new", version("a", "Running", 3, 1)),
        ] {
            assert!(steady(&past(&[start.clone(), next])).is_err(), "{what}");
        }
        let ended = version("a", "Failed", 1, 1);
        assert!(steady(&past(&[ended.clone(), start.clone()])).is_err());
        // Another pod of that name begins anew.
        assert!(steady(&past(&[ended, version("b", "Pending", 0, 0)])).is_ok());
    }
}

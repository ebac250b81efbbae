//! One kubelet's visit: each measure, and what it writes down.

mod asked;
mod many;

use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Signal, kill_process};

use super::{
    figures::Figures,
    node::{Node, Role, Started},
    options::{Measure, Options},
    parts, process,
    quantity::{self, Parts, Quantity},
    runtime_calls,
    start_calls::{self, Call},
    watch::{Kind, Stamp},
};
use crate::{
    spec::KubeletBinary,
    wait::{Since, pause},
};

/// Longest for a death or a deletion to be reported. The grace period is 30 s.
const REPORT_BOUND: Duration = Duration::from_secs(120);
/// Before a container is killed or a pod deleted, the node is left alone for this long, and for up to as long again: so that
/// the moment falls evenly into the intervals of a kubelet that looks once a second.
const BEAT: Duration = Duration::from_secs(1);

/// One kubelet's turn in the lab.
pub(super) struct Visit<'a> {
    pub(super) node: &'a mut Node,
    pub(super) figures: &'a mut Figures,
    pub(super) options: &'a Options,
    pub(super) role: Role,
    /// Number of the visit, for names of pods.
    pub(super) number: usize,
}

/// What one look at rest is written down as.
struct RestQuantities {
    rss: Quantity,
    anon: Quantity,
    pss: Quantity,
    cpu: Quantity,
    calls: Quantity,
}

const IDLE: RestQuantities = RestQuantities {
    rss: quantity::IDLE_RSS,
    anon: quantity::IDLE_ANON,
    pss: quantity::IDLE_PSS,
    cpu: quantity::IDLE_CPU,
    calls: quantity::IDLE_CALLS,
};

const REST: RestQuantities = RestQuantities {
    rss: quantity::REST_RSS,
    anon: quantity::REST_ANON,
    pss: quantity::REST_PSS,
    cpu: quantity::REST_CPU,
    calls: quantity::REST_CALLS,
};

#[expect(clippy::cast_precision_loss, reason = "sizes and counts far below 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}

fn milliseconds(from: Stamp, to: Stamp) -> f64 {
    from.since.until(to.since).as_secs_f64() * 1000.0
}

impl Visit<'_> {
    /// Let the kubelet come, measure everything that is wanted, let it go.
    ///
    /// # Errors
    /// A step fails.
    pub(super) fn run(&mut self, binary: &KubeletBinary) -> Result<()> {
        self.node.enter(self.role, binary)?;
        for measure in Measure::ALL.into_iter().filter(|measure| self.options.wants(*measure)) {
            let begun = Since::now();
            self.measure(measure).with_context(|| format!("cannot measure {}", measure.name()))?;
            eprintln!("bench:   {} took {:.0} s", measure.name(), begun.elapsed().as_secs_f64());
        }
        self.node.leave()
    }

    fn measure(&mut self, measure: Measure) -> Result<()> {
        match measure {
            Measure::Size => self.size(),
            Measure::Idle => self.rest(&IDLE),
            Measure::Silent => self.silent(),
            Measure::Start => self.starts(),
            Measure::Kill => self.kills(),
            Measure::Delete => self.deletes(),
            Measure::Batch => self.batch(),
            Measure::Rest => {
                self.fill()?;
                self.rest(&REST)
            }
            Measure::Scrape => self.scrape(),
            Measure::Restart => self.restart(),
        }
    }

    fn push(&mut self, quantity: Quantity, value: f64) {
        self.figures.push(quantity, self.role, value);
    }

    fn name(&self, measure: Measure, at: usize) -> String {
        format!("{}-{}-{at}", measure.name(), self.number)
    }

    fn size(&mut self) -> Result<()> {
        let program = &self.node.lab.plan().kubelet;
        let size = std::fs::metadata(program)
            .with_context(|| format!("cannot look at {}", program.display()))?
            .len();
        self.push(quantity::SIZE, number(size) / 1e6);
        Ok(())
    }

    /// Let the kubelet settle, then count over the window, then look at its memory.
    fn rest(&mut self, into: &RestQuantities) -> Result<()> {
        const MEBIBYTE: f64 = 1024.0 * 1024.0;
        // A pod that comes and goes now would be no rest: events that are on their way are read.
        self.node.watch.during(self.options.settle, |_| {})?;
        let pid = self.node.pid()?;
        let (time, calls) = (process::processor_time(pid)?, runtime_calls::count(self.node.lab.plan())?);
        let begun = Since::now();
        pause(self.options.window);
        let minutes = begun.elapsed().as_secs_f64() / 60.0;
        let used = process::processor_time(pid)?.saturating_sub(time);
        let called = runtime_calls::count(self.node.lab.plan())?.saturating_sub(calls);
        let memory = process::memory(pid)?;
        self.push(into.rss, number(memory.resident) / MEBIBYTE);
        self.push(into.anon, number(memory.anonymous) / MEBIBYTE);
        self.push(into.pss, number(memory.proportional) / MEBIBYTE);
        self.push(into.cpu, used.as_secs_f64() / minutes);
        self.push(into.calls, number(called) / minutes);
        Ok(())
    }

    /// A pod that is not measured: what happens only at a kubelet's first pod belongs to no figure.
    fn warm_up(&mut self) -> Result<()> {
        let name = format!("warm-up-{}", self.number);
        if self.node.watch.pods().is_empty() {
            self.node.run(&name)?;
            self.node.clear()?;
        }
        Ok(())
    }

    /// A pause whose lengths are spread evenly over one and two beats.
    fn beat(&self, at: usize, of: usize) {
        let share = u32::try_from(at).unwrap_or_default() * 1000 / u32::try_from(of).unwrap_or(1).max(1);
        pause(BEAT + BEAT * share / 1000);
    }

    fn starts(&mut self) -> Result<()> {
        self.warm_up()?;
        let count = self.options.samples_a_round();
        for at in 0..count {
            self.beat(at, count);
            let log = self.node.containerd_log_length()?;
            let started = self.node.run(&self.name(Measure::Start, at))?;
            self.push(quantity::START, milliseconds(started.asked, started.running));
            self.take_apart(&[started], log, &quantity::START_PARTS)?;
            self.node.clear()?;
        }
        Ok(())
    }

    /// Write down the parts of starts that the log since then tells of.
    fn take_apart(&mut self, started: &[Started], log: u64, into: &Parts) -> Result<()> {
        let pods = start_calls::by_pod(&self.node.containerd_log_since(log)?);
        let full = parts::most_at_once(pods.values().flatten()).min(super::processors().max(1));
        for one in started {
            let uid = &one.pod.uid;
            let own = pods.get(uid).map(Vec::as_slice).unwrap_or_default();
            let others: Vec<Call> = pods
                .iter()
                .filter(|(other, _)| *other != uid)
                .flat_map(|(_, calls)| calls)
                .copied()
                .collect();
            let parts = parts::parts(one.added.time, one.running.time, own, &others, full)
                .with_context(|| format!("containerd's log does not tell of pod {}", one.pod.name))?;
            self.push(into.runtime, parts.runtime);
            self.push(into.added, parts.added);
            self.push(into.beyond_waiting, parts.beyond_waiting);
            self.push(into.before, parts.before);
            self.push(into.between, parts.between);
            self.push(into.report, parts.report);
        }
        Ok(())
    }

    fn kills(&mut self) -> Result<()> {
        self.warm_up()?;
        let count = self.options.samples_a_round();
        for at in 0..count {
            let before = self.node.run(&self.name(Measure::Kill, at))?.pod;
            let victim = self.node.container_pid(&before.container.id)?;
            self.beat(at, count);
            let asked = Stamp::now();
            kill_process(victim, Signal::KILL).context("cannot kill a container")?;
            let what = format!("the death of {}'s container to be reported", before.name);
            let seen = self.node.watch.until(&what, REPORT_BOUND, |event| {
                let now = &event.pod.container;
                let is_other = !now.is_running || *now.id != before.container.id;
                (event.pod.name == before.name && is_other).then_some(event.at)
            })?;
            self.push(quantity::KILL, milliseconds(asked, seen));
            self.node.clear()?;
        }
        Ok(())
    }

    fn deletes(&mut self) -> Result<()> {
        self.warm_up()?;
        let count = self.options.samples_a_round();
        for at in 0..count {
            let name = self.node.run(&self.name(Measure::Delete, at))?.pod.name;
            self.beat(at, count);
            let asked = Stamp::now();
            self.node.api.delete(&name, None)?;
            let gone = self.node.watch.until(&format!("pod {name} to be gone"), REPORT_BOUND, |event| {
                (event.pod.name == name && event.kind == Kind::Deleted).then_some(event.at)
            })?;
            self.push(quantity::DELETE, milliseconds(asked, gone));
        }
        Ok(())
    }
}

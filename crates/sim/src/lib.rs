//! Deterministic simulation of pod lives under faults.
//!
//! One seed is one life of one pod: drawn with containers, probes, hooks, policies and rules of every kind, run by
//! `lifecycle::decide`, on what `lifecycle::account` makes of the runtime's answers and events, in a world of virtual time
//! where calls hang, lie, get lost or take effect too late, events are dropped, doubled or late, the kubelet is killed between
//! any two effects, the runtime is restarted or forgets everything, the API cannot be reached or its watch goes silent,
//! disks are full, clocks jump both ways, and containers, sandboxes, addresses or the machine go behind its back; while
//! users change, debug, evict and delete the pod, and lose patience. Each life has a climate of its own: some know few
//! faults, some nearly all. Then the weather calms, and everything has to come right:
//!
//! * it converges: what the spec wants runs, what is over is cleared away, and the status says what is;
//! * no container identity is ever made twice, no two containers of one name ever run together, no log is written over;
//! * init containers and sidecars come in their order, and nothing before its turn; sidecars go in reverse, last of all;
//! * each is given the grace that is left, neither more nor less; preStop hooks run once;
//! * no action is in flight twice, each that is waited for is answered, nothing loops hot, the state stays small;
//! * a phase that is terminal, a restart count, a generation never go back; an end is told as it was, and the last
//!   status tells all of them;
//! * a restart of the kubelet takes Ready from nobody, and in calm weather changes nothing in the status, not for a moment;
//! * volumes and cgroups are never taken from under a running container;
//! * a deleted pod leaves nothing, and its object goes even if the runtime cannot remove a container.
//!
//! A life that breaks one of them prints the command that replays it.

use std::{fmt, thread};

mod checks;
mod disturb;
mod effects;
mod hints;
mod jobs;
mod kubelet;
pub mod life;
pub mod pods;
mod probes;
pub mod rng;
pub mod runtime;
mod truth;
mod world;

pub use life::live;
pub use world::Counts;

/// How lives are lived.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// No faults: only what users do.
    pub fault_free: bool,
    /// Print every event.
    pub trace: bool,
}

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    text: String,
    replay: String,
}

impl Violation {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), replay: String::new() }
    }

    pub(crate) fn of(self, seed: u64, options: Options) -> Self {
        let fault_free = if options.fault_free { " --fault-free" } else { "" };
        Self { replay: format!("cargo run -p sim -- --lives 1 --seed {seed}{fault_free} --trace"), ..self }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  replay: {}", self.text, self.replay)
    }
}

impl std::error::Error for Violation {}

/// Lives many lives, with seeds from `seed` on, on all cores. Returns the sum of their figures.
///
/// # Errors
/// The violation with the lowest seed.
pub fn live_many(seed: u64, lives: u64, options: Options) -> Result<Counts, Violation> {
    let threads =
        if options.trace { 1 } else { thread::available_parallelism().map_or(1, |n| n.get() as u64) };
    let results: Vec<_> = thread::scope(|scope| {
        let share = |first: u64| (first..lives).step_by(usize::try_from(threads).unwrap_or(1));
        let workers: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || live_some(share(first).map(|i| seed.wrapping_add(i)), options)))
            .collect();
        workers.into_iter().map(|worker| worker.join()).collect()
    });
    let mut sum = Counts::default();
    let mut first: Option<(u64, Violation)> = None;
    for result in results {
        match result {
            Ok(Ok(counts)) => sum.add(&counts),
            Ok(Err(failed)) => {
                if first.as_ref().is_none_or(|known| failed.0 < known.0) {
                    first = Some(failed);
                }
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    match first {
        None => Ok(sum),
        Some((_, violation)) => Err(violation),
    }
}

fn live_some(seeds: impl Iterator<Item = u64>, options: Options) -> Result<Counts, (u64, Violation)> {
    let mut sum = Counts::default();
    for seed in seeds {
        sum.add(&live(seed, options).map_err(|violation| (seed, violation))?);
    }
    Ok(sum)
}

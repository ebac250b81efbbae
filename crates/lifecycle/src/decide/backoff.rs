//! Every delay between a failure and the next try.
//!
//! Delays run on the monotonic clock. The wall clock enters only where the runtime speaks it (the end of a run), and
//! what it says is cut to what the monotonic clock allows: a jump can neither wedge a restart nor let a storm through.

use std::time::Duration;

use crate::{
    Tick,
    action::ActionKey,
    delay::{doubled, fnv},
    observation::ContainerRecord,
    state::CrashMemo,
};

/// First delay of a crash loop (contract §7).
const CRASH_FIRST: Duration = Duration::from_secs(10);
/// A run longer than this forgets former crashes (contract §7 "reset when the container ran > 10 minutes").
const CRASH_FORGET: Duration = Duration::from_secs(600);
/// A wait is told again after this, when the pod is looked at anyhow: upstream looks at a pod in back-off every minute
/// at least (contract §6), and tells each time.
pub(super) const TOLD_AGAIN: Duration = Duration::from_secs(60);
/// Cap when the node says nothing (contract §7).
const CRASH_CAP: Duration = Duration::from_secs(300);
/// After this many failed starts of one created container it is made anew.
pub(super) const START_TRIES: u32 = 3;
/// How long a failed pull is shown as such before it is shown as waiting in back-off.
pub(super) const PULL_FAILURE_SHOWN: Duration = Duration::from_secs(2);
/// Least pause between two looks whether an image whose pull backs off is there meanwhile (contract §6).
const IMAGE_LOOKED_FOR: Duration = Duration::from_secs(10);
/// Pause between two looks at a network that is not ready (contract §6).
pub(super) const NETWORK_RETRY: Duration = Duration::from_secs(1);

/// Delay before a failed step is tried again, after `tries` failures in a row (contract §6, §14.1, §16).
pub(super) fn retry_delay(key: &ActionKey, tries: u32, uid: &str) -> Duration {
    match key {
        ActionKey::MountVolumes => doubled(Duration::from_millis(500), tries, Duration::from_secs(122)),
        ActionKey::EnsureImage(_) => doubled(Duration::from_secs(10), tries, Duration::from_secs(300)),
        ActionKey::PrepareDirs
        | ActionKey::EnsureCgroup
        | ActionKey::CreateSandbox
        | ActionKey::CreateContainer(_)
        | ActionKey::StartContainer(_) => jittered(Duration::from_secs(10), uid, tries),
        // Asked by a clock of its own: a look in vain is no failure.
        ActionKey::FindImage(_) => IMAGE_LOOKED_FOR,
        ActionKey::StopSandbox(_)
        | ActionKey::StopContainer(_)
        | ActionKey::HurryContainer(..)
        | ActionKey::RunPreStop(_)
        | ActionKey::RemoveContainer(_)
        | ActionKey::RemoveSandbox(_)
        | ActionKey::UnmountVolumes
        | ActionKey::RemoveCgroup
        | ActionKey::RemoveDirs => doubled(Duration::from_secs(1), tries, Duration::from_secs(16)),
    }
}

/// Delay before an image whose pull backs off is looked for again, after `looks` in vain.
pub(super) fn look_delay(looks: u32, uid: &str) -> Duration {
    jittered(IMAGE_LOOKED_FOR, uid, looks)
}

/// Delay before the runtime is asked again about a pod for which it gave an error.
pub(super) fn runtime_delay(tries: u32) -> Duration {
    doubled(Duration::from_secs(1), tries, Duration::from_secs(10))
}

/// 1 to 1.5 times the base, spread by pod and try: upstream draws a random number, a pure function may not.
fn jittered(base: Duration, uid: &str, tries: u32) -> Duration {
    let spread = fnv(uid.bytes().chain(tries.to_le_bytes())) % 1000;
    base + base.mul_f64(f64::from(u32::try_from(spread).unwrap_or(0)) / 2000.0)
}

/// Whether an ended container may start again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    /// Yes, now.
    Now,
    /// Not before this instant of the monotonic clock.
    At {
        until: Duration,
        delay: Duration,
        /// Seen for the first time.
        fresh: bool,
    },
}

impl CrashMemo {
    /// May a container whose last run is `dead` start again? Measured from the end of that run.
    pub(super) fn ask(&mut self, dead: &ContainerRecord, now: Tick) -> Restart {
        if self.passed.as_ref() == Some(&dead.id) {
            return Restart::Now;
        }
        if self.forgotten_at().is_some_and(|at| at <= now.mono) {
            self.delay = Duration::ZERO;
            self.waiting = None;
        }
        let (until, fresh) = match &self.waiting {
            Some((id, until)) if *id == dead.id => (*until, false),
            _ => {
                let rest = self.delay.saturating_sub(self.since_end(dead, now));
                let until = now.mono.saturating_add(rest);
                (self.forgotten_at().map_or(until, |at| until.min(at)), true)
            }
        };
        if until <= now.mono {
            return Restart::Now;
        }
        self.waiting = Some((dead.id.clone(), until));
        Restart::At { until, delay: self.delay, fresh }
    }

    /// Crashes are forgotten this long after the last restart was let through, as upstream's clearing of old back-offs
    /// does it: after a long run, and in the middle of a long wait that followed a rather long run.
    fn forgotten_at(&self) -> Option<Duration> {
        self.restarted_at.map(|at| at.saturating_add(CRASH_FORGET))
    }

    /// Whether a wait is to be told (again); notes that it was.
    pub(super) fn tell(&mut self, now: Tick) -> bool {
        let due = self.told_at.is_none_or(|at| now.mono.saturating_sub(at) >= TOLD_AGAIN);
        if due {
            self.told_at = Some(now.mono);
        }
        due
    }

    /// May a container that was killed with the promise of a restart start at once? Measured from the end of the
    /// run before the killed one, as upstream does. The record of that run goes while the killed one waits; it waits on.
    pub(super) fn ask_promised(
        &mut self,
        killed: &ContainerRecord,
        before: Option<&ContainerRecord>,
        now: Tick,
    ) -> Restart {
        if self.passed.as_ref() == Some(&killed.id) {
            return Restart::Now;
        }
        let waits = self.waiting.as_ref().is_some_and(|(id, _)| *id == killed.id);
        let in_back_off = waits
            || before.is_some_and(|dead| !self.delay.saturating_sub(self.since_end(dead, now)).is_zero());
        if in_back_off { self.ask(killed, now) } else { Restart::Now }
    }

    /// Lets a first start after a kill through without counting it as a crash.
    pub(super) fn pass(&mut self, dead: &ContainerRecord, now: Tick) {
        self.passed = Some(dead.id.clone());
        self.restarted_at = Some(now.mono);
        self.waiting = None;
        self.told_at = None;
    }

    /// Notes that a restart after an ended run is let through, and lengthens the delay for the next.
    pub(super) fn restarted(&mut self, dead: &ContainerRecord, cap: Duration, now: Tick) {
        if self.passed.as_ref() == Some(&dead.id) {
            return;
        }
        let cap = if cap.is_zero() { CRASH_CAP } else { cap };
        self.delay =
            if self.delay.is_zero() { CRASH_FIRST.min(cap) } else { self.delay.saturating_mul(2).min(cap) };
        self.pass(dead, now);
    }

    /// Monotonic time since the last restart: neither the run nor the pause after it can be longer.
    fn bound(&self, now: Tick) -> Duration {
        self.restarted_at.map_or(now.mono, |at| now.mono.saturating_sub(at))
    }

    fn since_end(&self, dead: &ContainerRecord, now: Tick) -> Duration {
        let wall = dead.finished_at.map_or(Duration::ZERO, |end| positive(now.wall.duration_since(end)));
        match self.restarted_at {
            Some(_) => wall.min(self.bound(now)),
            None => wall,
        }
    }
}

fn positive(duration: jiff::SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests;

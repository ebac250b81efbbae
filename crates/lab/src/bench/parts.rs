//! Where the time of a pod's start went, by what can be seen from outside of any kubelet.
//!
//! ```text
//! ADDED seen ──before──▶ RunPodSandbox ──▶ CreateContainer ──▶ StartContainer ──report──▶ Running seen
//!                        └──────┬─────┘ ↑  └──────┬──────┘  ↑  └──────┬─────┘
//!                            runtime    └──────between──────┘      runtime
//! beyond_waiting = before + between + report
//! ```
//!
//! A kubelet that lets only so many calls into the runtime at once makes pods wait for their turn, and the batch is done
//! sooner. That wait is the runtime's time, not the kubelet's: so `beyond_waiting` is `added` without the moments in which
//! the runtime worked on a call of another pod for each processor of the machine. (Or on as many as this kubelet ever lets
//! into it, where those are fewer: then it is the kubelet that leaves a processor idle, which the batch's own time shows.)

use jiff::{SignedDuration, Timestamp};

use super::start_calls::Call;

/// After a call has ended, its place counts as taken for this long: the answer has to travel and the next call to be made,
/// and to whom of the waiting that time should be put down cannot be seen from outside.
const HANDOVER: SignedDuration = SignedDuration::from_millis(5);

/// Parts of one start, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Parts {
    /// In the runtime.
    pub(super) runtime: f64,
    /// The rest.
    pub(super) added: f64,
    /// The rest, without waiting for a full runtime.
    pub(super) beyond_waiting: f64,
    /// Of that, up to the first call.
    pub(super) before: f64,
    /// Of that, between calls.
    pub(super) between: f64,
    /// Of that, after the last call.
    pub(super) report: f64,
}

fn milliseconds(duration: SignedDuration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The most calls that were in the runtime at one moment.
pub(super) fn most_at_once<'a>(calls: impl Iterator<Item = &'a Call> + Clone) -> usize {
    let at =
        |moment: Timestamp| calls.clone().filter(|call| call.start <= moment && moment < call.end).count();
    calls.clone().map(|call| at(call.start)).max().unwrap_or_default()
}

/// Take a start apart: between two moments, with the pod's own calls in order, those of other pods, and the number at which
/// the runtime counts as full. `None` if the pod had no call.
pub(super) fn parts(
    added: Timestamp,
    running: Timestamp,
    own: &[Call],
    others: &[Call],
    full: usize,
) -> Option<Parts> {
    let first = own.iter().map(|call| call.start).min()?;
    let last = own.iter().map(|call| call.end).max()?;
    let mut cuts = vec![added, running];
    cuts.extend(own.iter().flat_map(|call| [call.start, call.end]));
    cuts.extend(
        others.iter().flat_map(|call| [call.start, call.end.saturating_add(HANDOVER).unwrap_or(call.end)]),
    );
    cuts.retain(|cut| (added..=running).contains(cut));
    cuts.sort_unstable();
    let mut parts = Parts::default();
    for (from, to) in cuts.iter().zip(cuts.iter().skip(1)) {
        let time = milliseconds(to.duration_since(*from));
        if own.iter().any(|call| call.start <= *from && *from < call.end) {
            parts.runtime += time;
            continue;
        }
        parts.added += time;
        let busy = |call: &&Call| call.start <= *from && from.duration_since(call.end) < HANDOVER;
        if others.iter().filter(busy).count() >= full {
            continue;
        }
        parts.beyond_waiting += time;
        if *from < first {
            parts.before += time;
        } else if *from < last {
            parts.between += time;
        } else {
            parts.report += time;
        }
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).unwrap()
    }

    fn call(start: i64, end: i64) -> Call {
        Call { start: at(start), end: at(end) }
    }

    fn near(found: f64, wanted: f64) -> bool {
        (found - wanted).abs() < 1e-6
    }

    #[test]
    fn one_pod_alone_waits_for_nobody() {
        let own = [call(110, 250), call(255, 285), call(286, 346)];
        let parts = parts(at(100), at(366), &own, &[], 1).unwrap();
        assert!(near(parts.runtime, 230.0) && near(parts.added, 36.0), "{parts:?}");
        assert!(
            near(parts.before, 10.0) && near(parts.between, 6.0) && near(parts.report, 20.0),
            "{parts:?}"
        );
        assert!(near(parts.beyond_waiting, parts.added), "{parts:?}");
    }

    #[test]
    fn waiting_for_a_full_runtime_is_not_the_kubelets() {
        let own = [call(300, 400)];
        // Full at two from 100 to 298; a handover of 2 ms lies within.
        let others = [call(100, 200), call(202, 298), call(50, 298)];
        let parts = parts(at(90), at(410), &own, &others, 2).unwrap();
        assert!(near(parts.added, 220.0), "{parts:?}");
        // 90 to 100, and the report; 298 to 300 is a handover.
        assert!(near(parts.beyond_waiting, 20.0), "{parts:?}");
    }

    #[test]
    fn calls_side_by_side_count_once() {
        let own = [call(0, 10), call(5, 20)];
        assert!(near(parts(at(0), at(20), &own, &[], 1).unwrap().runtime, 20.0));
        assert_eq!(parts(at(0), at(20), &[], &[], 1), None);
    }

    #[test]
    fn the_most_at_once_is_counted_at_every_start() {
        let calls = [call(0, 10), call(5, 20), call(10, 30), call(12, 13)];
        assert_eq!(most_at_once(calls.iter()), 3);
        assert_eq!(most_at_once([].iter()), 0);
    }
}

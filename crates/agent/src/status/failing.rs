//! Reports that fail: how often, for what, when they are made again; and what there is to say of a report that the API
//! server has not taken.

use std::time::Duration;

use lifecycle::{
    PodUid, Tick,
    explain::{Report, ReportFailure, ReportNote, ReportObstacle},
    record::Stamp,
};
use seams::ApiError;
use tokio::time::Instant;

use super::{StatusQueue, deliver};

/// First and longest delay after a failed request.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// The same after the answer that there is no such object. Mostly the watch tells within moments that it is gone; where it
/// does not, many pods may be gone together, and a request for each of them is for nothing.
const ABSENT: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));

/// A report that failed, and has not been taken since.
#[derive(Debug)]
pub(super) struct Failing {
    what: Report,
    /// `None`: the kubelet itself failed.
    error: Option<ApiError>,
    /// Failures in a row.
    tries: u32,
    /// The first of them.
    since: Instant,
    /// The delay after the next one.
    delay: Duration,
    /// When it is made again; `None`: it is under way, or about to be.
    pub(super) next: Option<Instant>,
}

impl Failing {
    /// It failed, once more or for the first time.
    pub(super) fn again(known: &mut Option<Self>, what: Report, error: Option<ApiError>) {
        let now = Instant::now();
        let (first, longest) = if is_absence(error.as_ref()) { ABSENT } else { RETRY };
        let delay = known.as_ref().map_or(first, |known| known.delay.clamp(first, longest));
        // A status that is taken at last and a deletion that is not are two troubles.
        let (tries, since) = known
            .as_ref()
            .filter(|known| known.what == what)
            .map_or((0, now), |known| (known.tries, known.since));
        *known = Some(Self {
            what,
            error,
            tries: tries.saturating_add(1),
            since,
            delay: (delay * 2).min(longest),
            next: Some(now + delay),
        });
    }

    /// The watch has told of the object: if it was not found, it is asked for at once.
    pub(super) fn shown(&mut self) {
        if is_absence(self.error.as_ref()) {
            self.next = None;
        }
    }

    /// Whether the watch should have told by now, if it is only that the object is gone.
    pub(super) fn lasts(&self) -> bool {
        self.since.elapsed() >= ABSENT.0
    }

    fn failure(&self) -> ReportFailure {
        let obstacle = match &self.error {
            Some(ApiError::Unreachable { .. }) => ReportObstacle::Unreachable,
            Some(ApiError::Forbidden(_)) => ReportObstacle::Forbidden,
            Some(_) => ReportObstacle::Refused,
            None => ReportObstacle::Internal,
        };
        let message = match &self.error {
            Some(error) => error.to_string(),
            None => "the report died; this is a bug of the kubelet, please report it".to_owned(),
        };
        ReportFailure { obstacle, message, tries: self.tries }
    }
}

fn is_absence(error: Option<&ApiError>) -> bool {
    matches!(error, Some(ApiError::NotFound(_)))
}

impl StatusQueue {
    /// What the API server has not taken of a pod; `None`: it has all, or there is nobody to take it.
    #[must_use]
    pub fn unsent(&self, uid: &PodUid, now: Tick) -> Option<ReportNote> {
        self.cluster.as_ref()?;
        let slots = self.slots.lock();
        let slot = slots.by_uid.get(uid).filter(|slot| !slot.gone)?;
        let clock = Instant::now();
        let ago = |at: Instant| Stamp::from(now).at(now.mono.saturating_sub(clock.duration_since(at)));
        if let Some(failing) = &slot.failing {
            let next = failing.next.filter(|next| *next > clock);
            return Some(ReportNote {
                what: failing.what,
                since: ago(failing.since),
                failure: Some(failing.failure()),
                next: next.map(|next| Stamp::from(now).after(next.duration_since(clock))),
            });
        }
        // Under way, or in line for one of the places.
        let since = slot.sending.or(slot.since.filter(|_| slots.dirty.contains(uid)))?;
        let is_last = slot.released && !slot.source.is_static() && deliver::is_to_go(&slot.api);
        let what = if is_last { Report::Deletion } else { Report::Status };
        Some(ReportNote { what, since: ago(since), failure: None, next: None })
    }
}

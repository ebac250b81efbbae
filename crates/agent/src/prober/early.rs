//! The first second of a container, in which its program is still on its way to listen.
//!
//! Upstream learns of a start from a list that it makes once a second, so that its first probe comes when most programs
//! are up. Here it comes at once, and what succeeds at once is ready at once; a failure that early says nothing, and
//! would cost a whole period if it counted. So it is tried again, soon, until the second is over.

use std::time::Duration;

use k8s_openapi::api::core::v1::Probe;
use tokio::time::Instant;

/// How long after its start a container's failures do not count.
const SPAN: Duration = Duration::from_secs(1);
/// Before the second try; each later pause is twice as long.
const PAUSE: Duration = Duration::from_millis(50);

/// Where one probe is in the first second of its container.
#[derive(Clone, Copy, Debug)]
pub(super) struct Early {
    until: Instant,
    pause: Duration,
}

impl Early {
    /// For a container that was started so long ago.
    pub(super) fn new(now: Instant, age: Duration) -> Self {
        Self { until: now + SPAN.saturating_sub(age), pause: PAUSE }
    }

    /// When to try again after a failure that does not count; `None` when it does.
    pub(super) fn again(&mut self, now: Instant, probe: &Probe) -> Option<Instant> {
        if now >= self.until {
            return None;
        }
        // A command may be dear, and does what it does each time: it gets one more try, at the end.
        let next = if probe.exec.is_some() { self.until } else { (now + self.pause).min(self.until) };
        self.pause *= 2;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ExecAction;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_the_second_is_over() {
        let born = Instant::now();
        let mut early = Early::new(born, Duration::ZERO);
        let mut now = born;
        let mut tries = Vec::new();
        while let Some(next) = early.again(now, &Probe::default()) {
            now = next;
            tries.push((now - born).as_millis());
        }
        assert_eq!(tries, [50, 150, 350, 750, 1000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_is_run_once_more_and_an_old_container_gets_no_grace() {
        let now = Instant::now();
        let exec = Probe { exec: Some(ExecAction::default()), ..Probe::default() };
        let mut early = Early::new(now, Duration::from_millis(400));
        let again = early.again(now, &exec).unwrap();
        assert_eq!(again - now, Duration::from_millis(600));
        assert_eq!(early.again(again, &exec), None);
        assert_eq!(Early::new(now, SPAN).again(now, &Probe::default()), None);
    }
}

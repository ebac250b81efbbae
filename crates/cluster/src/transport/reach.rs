//! Whether the API server answers: told once for all who ask it, and announced when it does again.
//!
//! ```text
//!   answers ──no answer, or 401──► away: told now, then every ten minutes ──any other answer──► answers: told, announced
//! ```
//!
//! Shared by all clients of the server: one connection that breaks while another works is no outage, so what fails and
//! works in turns is told once a minute at the most. Each trouble is told on its own: a connection that broke on the way
//! to a server that then refuses the login must not hide the refusal.
//!
//! A node has hundreds of watches and calls; each on its own would fill the log with one and the same outage, and sit
//! out its pause when the server is long back.

use std::{collections::BTreeMap, time::Duration};

use http::StatusCode;
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

/// How often an outage is told again.
const REMIND: Duration = Duration::from_secs(600);

/// Shortest time between two outages that are told.
const AT_MOST: Duration = Duration::from_secs(60);

/// What is known.
pub(crate) struct Reach {
    state: Mutex<State>,
    /// Counts the returns.
    back: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// Since when there was no answer.
    away: Option<Instant>,
    /// When each trouble was told last, in this outage or before.
    told: BTreeMap<Trouble, Instant>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    /// No answer.
    Unreachable,
    /// 401.
    Refused,
}

impl Default for Reach {
    fn default() -> Self {
        Self { state: Mutex::default(), back: watch::channel(0).0 }
    }
}

impl Reach {
    /// There was no answer.
    pub(crate) fn failed(&self, server: &str, error: &str) {
        if let Some(minutes) = self.news(Trouble::Unreachable) {
            let hint = "pods go on as they are, and statuses wait; is the server up, is the URL of the kubeconfig right, does the network lead there?";
            tracing::error!(server, error, minutes, hint, "Cannot reach the API server");
        }
    }

    /// There was an answer.
    pub(crate) fn answered(&self, server: &str, status: StatusCode) {
        if status == StatusCode::UNAUTHORIZED {
            if let Some(minutes) = self.news(Trouble::Refused) {
                let hint = "pods go on as they are, and statuses wait; has the client certificate or token of the kubeconfig expired, or is it of another cluster?";
                tracing::error!(
                    server,
                    minutes,
                    hint,
                    "The API server does not accept the kubelet's credentials"
                );
            }
            return;
        }
        let (since, told) = {
            let mut state = self.state.lock();
            let Some(since) = state.away.take() else { return };
            (since, state.told.values().any(|told| *told >= since))
        };
        if told {
            let after = since.elapsed();
            tracing::info!(server, ?after, "The API server answers again");
        }
        self.back.send_modify(|returns| *returns += 1);
    }

    /// Changes when the server is back.
    pub(crate) fn back(&self) -> watch::Receiver<u64> {
        self.back.subscribe()
    }

    /// Minutes since the server last answered, when it is time to tell.
    fn news(&self, trouble: Trouble) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let since = *state.away.get_or_insert(now);
        let due = match state.told.get(&trouble) {
            None => true,
            Some(told) if *told < since => now.duration_since(*told) >= AT_MOST,
            Some(told) => now.duration_since(*told) >= REMIND,
        };
        if !due {
            return None;
        }
        state.told.insert(trouble, now);
        Some(now.duration_since(since).as_secs() / 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_told_at_once_and_then_seldom() {
        let reach = Reach::default();
        assert_eq!(reach.news(Trouble::Unreachable), Some(0));
        tokio::time::advance(REMIND - Duration::from_secs(1)).await;
        assert_eq!(reach.news(Trouble::Unreachable), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(reach.news(Trouble::Unreachable), Some(10));
        assert_eq!(reach.news(Trouble::Unreachable), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_return_is_announced_once_and_a_refused_login_is_none() {
        let reach = Reach::default();
        let back = reach.back();
        reach.answered("s", StatusCode::OK);
        assert!(!back.has_changed().unwrap(), "it was never away");
        reach.failed("s", "refused");
        reach.answered("s", StatusCode::UNAUTHORIZED);
        assert!(!back.has_changed().unwrap());
        reach.answered("s", StatusCode::FORBIDDEN);
        assert!(back.has_changed().unwrap());
        assert!(reach.state.lock().away.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_and_works_in_turns_is_told_once_a_minute() {
        let reach = Reach::default();
        assert_eq!(reach.news(Trouble::Unreachable), Some(0));
        for _ in 0..59 {
            reach.answered("s", StatusCode::OK);
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(reach.news(Trouble::Unreachable), None);
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(reach.news(Trouble::Unreachable), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_connection_does_not_hide_a_refused_login() {
        let reach = Reach::default();
        reach.failed("s", "connection reset");
        assert_eq!(reach.news(Trouble::Refused), Some(0));
        assert_eq!(reach.news(Trouble::Refused), None);
    }
}

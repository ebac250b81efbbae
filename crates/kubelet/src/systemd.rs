//! systemd's notification protocol: readiness, and the watchdog (contract §29).
//!
//! Upstream's rules: pings at half of `WATCHDOG_USEC`, only while the health check says yes; a timeout of one second or
//! less stops the start, because no node can promise that.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, trace};

/// Shortest accepted timeout (exclusive), upstream's value.
const SHORTEST: Duration = Duration::from_secs(1);

/// A bad watchdog setting of the unit.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("create health checker: configure watchdog timeout too small: {}", crate::duration::GoDuration::from_nanos(i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX)))]
pub struct WatchdogError {
    /// What the unit asks for.
    pub timeout: Duration,
}

/// The watchdog that the unit asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watchdog {
    /// None.
    Off,
    /// Ping this often.
    Every(Duration),
}

impl Watchdog {
    /// Reads `WATCHDOG_USEC` and `WATCHDOG_PID`.
    ///
    /// # Errors
    /// [`WatchdogError`] for timeouts of a second or less.
    pub fn from_environment() -> Result<Self, WatchdogError> {
        Self::of(sd_notify::watchdog_enabled())
    }

    fn of(timeout: Option<Duration>) -> Result<Self, WatchdogError> {
        match timeout {
            None | Some(Duration::ZERO) => Ok(Self::Off),
            Some(timeout) if timeout <= SHORTEST => Err(WatchdogError { timeout }),
            Some(timeout) => Ok(Self::Every(timeout / 2)),
        }
    }

    /// Pings until `stop`. `healthy` is asked before each ping; its error is logged and the ping left out.
    pub async fn run(self, stop: CancellationToken, healthy: impl Fn() -> Result<(), String> + Send) {
        let Self::Every(interval) = self else {
            info!("Systemd watchdog is not enabled");
            return;
        };
        info!(interval = %format_args!("{interval:?}"), "Starting systemd watchdog with interval");
        let mut ticks = tokio::time::interval(interval);
        loop {
            // Cancel-safe: a tick that loses the race is due again at once.
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match healthy() {
                Ok(()) => notify(NotifyState::Watchdog, "watchdog"),
                Err(cause) => error!(
                    err = cause,
                    "Do not notify watchdog this iteration as the kubelet is reportedly not healthy"
                ),
            }
        }
    }
}

/// Tells systemd that the node is up.
pub fn ready() {
    notify(NotifyState::Ready, "ready");
}

/// Tells systemd that we are on the way out.
pub fn stopping() {
    notify(NotifyState::Stopping, "stopping");
}

fn notify(state: NotifyState<'_>, what: &'static str) {
    match sd_notify::notify(&[state]) {
        Ok(()) => trace!(state = what, "Notified systemd"),
        Err(error) => debug!(state = what, err = %error, "Failed to notify systemd"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_timeout_and_never_too_short() {
        assert_eq!(Watchdog::of(None), Ok(Watchdog::Off));
        assert_eq!(Watchdog::of(Some(Duration::from_secs(10))), Ok(Watchdog::Every(Duration::from_secs(5))));
        let error = Watchdog::of(Some(Duration::from_secs(1))).unwrap_err();
        assert_eq!(error.to_string(), "create health checker: configure watchdog timeout too small: 1s");
    }

    #[tokio::test(start_paused = true)]
    async fn health_is_asked_at_every_interval_until_stopped() {
        let asked = std::sync::atomic::AtomicU32::new(0);
        let stop = CancellationToken::new();
        let run = Watchdog::Every(Duration::from_secs(5)).run(stop.clone(), || {
            if asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 3 {
                stop.cancel();
            }
            Err("not now".to_owned())
        });
        tokio::time::timeout(Duration::from_secs(60), run).await.unwrap();
        assert_eq!(asked.into_inner(), 4);
    }
}

//! This process: its limits, its rights, its signals.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

/// Raises RLIMIT_NOFILE to `maxOpenFiles` (contract §1.1). A failure is only told: the node works with fewer.
pub fn raise_open_files(most: u64) {
    let wanted = Rlimit { current: Some(most), maximum: Some(most) };
    let Err(error) = setrlimit(Resource::Nofile, wanted) else { return };
    let maximum = getrlimit(Resource::Nofile).maximum;
    let within = maximum.map_or(most, |maximum| maximum.min(most));
    let lowered = setrlimit(Resource::Nofile, Rlimit { current: Some(within), maximum }).is_ok();
    warn!(
        wanted = most,
        got = if lowered { within } else { 0 },
        err = %error,
        "Failed to set rlimit on max file handles"
    );
}

/// Tells when we are not root; nothing is refused for it.
pub fn check_permissions() {
    let uid = rustix::process::geteuid();
    if !uid.is_root() {
        let text = format!("kubelet needs to run as uid `0`. It is being run as {}", uid.as_raw());
        tracing::error!(err = text, "Kubelet running with insufficient permissions");
    }
}

/// SIGTERM and SIGINT, caught from [`StopSignals::install`] on.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Catches the signals from now on. First thing in a start: before, they end the process at once.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn install() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub async fn recv(&mut self) {
        // Cancel-safe: `recv` loses no signal when the other arm wins or the whole is dropped.
        tokio::select! {
            _ = self.terminate.recv() => info!("Received SIGTERM, stopping; containers keep running"),
            _ = self.interrupt.recv() => info!("Received SIGINT, stopping; containers keep running"),
        }
    }
}

/// The machine's host name, lower-cased and trimmed; what a node is called unless it is told.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().trim().to_lowercase()
}

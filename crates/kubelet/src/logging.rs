//! Logging: klog's text and JSON formats on top of `tracing`, with `--v` and `--vmodule`.
//!
//! Verbosity: upstream's V-levels map to tracing's levels like this. An event may name its exact level with a field `v`.
//!
//! | tracing | V-level | printed as |
//! |---|---|---|
//! | `error!` | always | `E` |
//! | `warn!` | always | `W` |
//! | `info!` | 0, or the field `v` | `I` |
//! | `debug!` | 2, or the field `v` (2 to 4) | `I` |
//! | `trace!` | 5, or the field `v` (5 and more) | `I` |
//!
//! Events of libraries count two levels for `info!`, eight for `debug!` and ten for `trace!`, so that `--v=4` shows our
//! decisions and not every frame of HTTP/2; their warnings count one.
//!
//! Lines go to standard error, one `write` each, never buffered; a reader that has gone away stops nothing.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering},
};

use tracing_subscriber::{Registry, layer::SubscriberExt as _};

use crate::config::v1beta1::Logging;

mod fields;
mod json;
mod klog;
mod layer;
pub mod vmodule;

use layer::Klog;
use vmodule::VModule;

/// Crates whose verbosity is ours to choose.
const OURS: [&str; 12] = [
    "kubelet",
    "agent",
    "cri",
    "cluster",
    "linux",
    "volumes",
    "server",
    "seams",
    "lifecycle",
    "node",
    "proto",
    "fakes",
];

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// klog's text.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// All to standard error.
    Stderr,
    /// Errors to standard error, the rest to standard output.
    Split,
}

/// Verbosity that can be changed while running (`PUT /debug/flags/v`).
#[derive(Clone, Debug, Default)]
pub struct Verbosity {
    level: Arc<AtomicU32>,
}

impl Verbosity {
    /// Now.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.level.load(Ordering::Relaxed)
    }

    /// From now on.
    pub fn set(&self, level: u32) {
        self.level.store(level, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }
}

static INSTALLED: OnceLock<Verbosity> = OnceLock::new();

/// The handle of the installed logger.
#[must_use]
pub fn verbosity() -> Verbosity {
    INSTALLED.get().cloned().unwrap_or_default()
}

/// Installs the logger for the process. Later calls change the verbosity only. Returns the handle to do that.
pub fn install(config: &Logging) -> Verbosity {
    let verbosity = INSTALLED.get_or_init(|| {
        let verbosity = Verbosity::default();
        verbosity.level.store(config.verbosity, Ordering::Relaxed);
        let format = if config.format == "json" { Format::Json } else { Format::Text };
        let split = match format {
            Format::Text => config.options.text.split_stream,
            Format::Json => config.options.json.split_stream,
        };
        let routing = if split { Routing::Split } else { Routing::Stderr };
        let layer =
            Klog::new(format, layer::stdio(routing), verbosity.clone(), VModule::new(&config.vmodule));
        // Fails only when a test has installed another subscriber; then that one gets the events.
        let _ = tracing::subscriber::set_global_default(Registry::default().with(layer));
        verbosity
    });
    verbosity.set(config.verbosity);
    verbosity.clone()
}

#[cfg(test)]
mod tests;

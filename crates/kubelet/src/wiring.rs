//! Puts the parts together and runs them until a signal.

use std::{
    process::ExitCode,
    sync::{Arc, OnceLock},
};

use ::agent::{
    Agent, Outside,
    events::{EventRate, EventSink},
    health::Health,
};
use metrics::Metrics;
use seams::{ContainerLogs, Reviews, SystemClock};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info};

use crate::{
    healthz::{self, Check},
    lock_file::{LockError, LockFile},
    process::StopSignals,
    settings::{Rate, Settings},
    systemd::{self, Watchdog},
};

mod agent;
mod api;
mod doors;
mod edges;
mod fetch;
mod measured;

/// Why the node ends other than by a signal.
#[derive(Debug, thiserror::Error)]
enum WiringError {
    /// A watchdog that cannot be served.
    #[error("failed to run Kubelet")]
    Watchdog(#[source] systemd::WatchdogError),
    /// The lock file.
    #[error("failed to run Kubelet")]
    Lock(#[source] LockError),
    /// Signal handlers.
    #[error("failed to install the signal handlers")]
    Signals(#[source] std::io::Error),
    /// Something that the node cannot be without.
    #[error("failed to run Kubelet")]
    Edges(#[source] edges::EdgeError),
    /// A port or the root directory is another's.
    #[error("failed to run Kubelet")]
    Doors(#[source] doors::DoorError),
    /// The serving certificate or the client CA.
    #[error("failed to run Kubelet: the HTTPS API")]
    Tls(#[source] server::api::tls::TlsError),
    /// A setting that cannot be used.
    #[error("failed to run Kubelet")]
    Config(#[source] agent::ConfigError),
    /// A task that runs for ever ended.
    #[error("internal error, please report it: {0}")]
    Task(String),
}

impl WiringError {
    /// The next step for the operator, where there is more to say than the error does.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Edges(error) => error.hint(),
            Self::Doors(error) => Some(error.hint()),
            Self::Config(error) => error.hint(),
            _ => None,
        }
    }
}

/// Runs until SIGTERM or SIGINT (exit code 0), lock contention (0) or a fatal error (1).
pub async fn run(settings: Settings) -> ExitCode {
    match serve(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            let err: &(dyn std::error::Error + 'static) = &cause;
            error!(err, hint = cause.hint(), "command failed");
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: Settings) -> Result<(), WiringError> {
    let mut signals = StopSignals::install().map_err(WiringError::Signals)?;
    let watchdog = Watchdog::from_environment().map_err(WiringError::Watchdog)?;
    let lock = match settings.process.lock_file.clone() {
        None => None,
        Some(path) => {
            info!(path = %path.display(), "Acquiring file lock");
            let file = path.clone();
            let locking = tokio::task::spawn_blocking(move || LockFile::acquire(&file));
            // Cancel-safe: a signal while waiting ends the process, and the kernel drops the lock with it.
            let joined = tokio::select! {
                joined = locking => joined,
                () = signals.recv() => return Ok(()),
            };
            let gave_up = |cause| LockError::Acquire { path, source: std::io::Error::other(cause) };
            Some(joined.map_err(gave_up).and_then(|held| held).map_err(WiringError::Lock)?)
        }
    };
    let mut watch = match &lock {
        Some(lock) if settings.process.exit_on_lock_contention => {
            info!("Watching for inotify events on the lock file");
            Some(lock.watch().map_err(WiringError::Lock)?)
        }
        _ => None,
    };
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    // There is nothing yet that could be stuck; the agent fills it in.
    let health: Arc<OnceLock<Arc<Health>>> = Arc::default();
    let watched = Arc::clone(&health);
    let sync_loop = Check::new("syncloop", move || watched.get().map_or(Ok(()), |health| health.sync_loop()));
    let checks = vec![Check::ping(), sync_loop];
    let metrics = Metrics::new();
    measured::process(&metrics, &settings);
    if let Some(address) = settings.process.healthz {
        let metrics = Arc::clone(&metrics);
        tasks.spawn(healthz::serve(address, checks.clone(), metrics, stop.clone()));
    }
    let watched = checks.clone();
    tasks.spawn(watchdog.run(stop.clone(), move || watched.iter().try_for_each(Check::named)));
    // Cancel-safe: nothing runs yet that a signal could interrupt half-way.
    let (doors, (mut agent, reviews, logs)) = tokio::select! {
        started = start(&settings, &metrics) => started?,
        () = signals.recv() => return Ok(()),
    };
    let clock = Arc::new(SystemClock::start());
    let around = api::Around { reviews, logs, checks: api_checks(checks), clock, metrics };
    let doors::Doors { main, read_only, local } = doors;
    api::start(&settings, &agent, around, (main, read_only), &tasks, &stop).map_err(WiringError::Tls)?;
    if let Some(socket) = local {
        let explainer = Arc::clone(&agent.explainer) as Arc<dyn seams::Explainer>;
        tasks.spawn(server::local::serve(socket, explainer, stop.clone()));
    }
    drop(settings);
    // Nobody else fills it.
    let _ = health.set(Arc::clone(&agent.health));
    systemd::ready();
    let contention = async {
        match &mut watch {
            Some(watch) => watch.noticed().await,
            None => std::future::pending().await,
        }
    };
    // Cancel-safe: all arms only wait, and the losing ones have nothing to give back.
    let ended = tokio::select! {
        () = signals.recv() => Ok(()),
        contention = contention => contention.map_err(WiringError::Lock).map(|()| {
            info!("Lock file contention: another process wants to run, stopping");
        }),
        failure = agent.failed() => Err(WiringError::Task(failure)),
    };
    systemd::stopping();
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    ended
}

/// What the health server checks, and upstream's check of its log, whose lines are never held back here.
fn api_checks(mut checks: Vec<Check>) -> Vec<Check> {
    checks.insert(1, Check::new("log", || Ok(())));
    checks
}

type Started = (Agent, Option<Arc<dyn Reviews>>, Arc<dyn ContainerLogs>);

/// Opens the doors, makes the edges and starts the agent.
async fn start(settings: &Settings, metrics: &Arc<Metrics>) -> Result<(doors::Doors, Started), WiringError> {
    edges::make_root(settings).map_err(WiringError::Edges)?;
    let doors = doors::open(settings).await.map_err(WiringError::Doors)?;
    let made = edges::make(settings, metrics).await.map_err(WiringError::Edges)?;
    measured::node(metrics, made.cgroups);
    let config = agent::config(settings, &made).map_err(WiringError::Config)?;
    let rate = settings.api.as_ref().and_then(|api| match api.event_rate {
        Rate::Unlimited => None,
        Rate::Limited { per_second, burst } => Some(EventRate { per_second, burst }),
    });
    let clock = Arc::clone(&made.edges.clock);
    let (events, event_task) =
        EventSink::new(made.edges.cluster.clone(), settings.node.name.clone(), rate, clock);
    events.record_node(false, "Starting", "Starting kubelet.");
    let fetch = config.static_pod_url.as_ref().map(fetch::manifest);
    let node = agent::node(settings, &made);
    agent::reservations_fit(&node.resources(&made.edges)).map_err(WiringError::Config)?;
    let log_rotation = agent::log_rotation(settings, &made);
    let stats = made.stats.clone();
    let outside = Outside { config, node, events, event_task, log_rotation, fetch, stats };
    Ok((doors, (::agent::start(&made.edges, outside), made.reviews, made.logs)))
}

//! Makes the tasks and ties them together.

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use lifecycle::{
    PodSource, PodUid, Tick,
    explain::Beside,
    observation::{ImageAccess, NodeFacts},
};
use seams::{Runtime, RuntimeError};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    AgentConfig, Edges,
    admission::Admitter,
    allocatable,
    api::Api,
    events::{EventSink, EventTask},
    executor::{Executor, Turns},
    gauges,
    health::Health,
    images::{self, Images, Verification},
    lease,
    log_rotation::{self, LogRotation},
    mirror::Mirrors,
    node_status::{self, DeviceCheckpoint, NodeSettings},
    observer::{self, Bells, Relists, Reports, RuntimeHealth},
    pod_cidr,
    pods::{Inbox, Pods, wanted::Wanted},
    prober::Prober,
    records::{Records, RecordsExplainer, traced::TracedRuntime},
    resolv_conf,
    sources::{self, FileSource, Updates, url::Fetch},
    starts::Starts,
    stats::{Around, Stats, StatsParts},
    status::StatusQueue,
    user_namespaces::UserNamespaces,
    worker::WorkerContext,
};

/// Room for updates on their way: sources wait when the dispatcher is behind.
const QUEUE: usize = 256;
/// Delay before the runtime is asked for its name again: it is down, or busy starting.
const NAME_RETRY: Duration = Duration::from_millis(500);
/// Silence after which it is told that the runtime does not tell its name. Well before the call's own deadline of two
/// minutes, for which every pod of the node would stand still and the node be called ready.
const NAME_PATIENCE: Duration = Duration::from_secs(10);

/// What the caller brings beside the edges.
pub struct Outside {
    /// Settings of the pod side.
    pub config: AgentConfig,
    /// Settings of the node side.
    pub node: NodeSettings,
    /// Takes events.
    pub events: EventSink,
    /// Sends them.
    pub event_task: EventTask,
    /// How logs are rotated; `None`: not at all.
    pub log_rotation: Option<LogRotation>,
    /// How to fetch `staticPodURL`; `None` when it is unset.
    pub fetch: Option<Fetch>,
    /// Reads what is used.
    pub stats: StatsParts,
}

/// The running agent. Dropping it ends every task; containers are not touched.
#[derive(Debug)]
pub struct Agent {
    /// Newest statuses of all pods.
    pub statuses: Arc<StatusQueue>,
    /// The runtime's health.
    pub runtime: watch::Receiver<RuntimeHealth>,
    /// Whether the agent itself does its work.
    pub health: Arc<Health>,
    /// What the HTTPS API is told.
    pub api: Arc<Api>,
    /// What the node and its pods use.
    pub stats: Arc<Stats>,
    /// Tells why pods are where they are.
    pub explainer: Arc<RecordsExplainer>,
    tasks: JoinSet<&'static str>,
}

impl Agent {
    /// Ends when a task does, which none should: returns its name.
    pub async fn failed(&mut self) -> String {
        match self.tasks.join_next().await {
            Some(Ok(name)) => format!("task {name} ended"),
            Some(Err(error)) => format!("a task died: {error}"),
            None => "there are no tasks".to_owned(),
        }
    }
}

/// Asks the runtime for its name, which container ids in statuses begin with: no status is made before it is known. Not
/// left to the node's reports, since those wait for the API server.
async fn name_runtime(runtime: Arc<dyn Runtime>, facts: watch::Sender<NodeFacts>, health: Arc<Health>) {
    let mut told = None;
    let mut tell = |cause: String| {
        if told.as_ref() != Some(&cause) {
            let hint = "no pod is started before it does; does `crictl version` answer?";
            tracing::warn!(cause, hint, "The container runtime does not tell its name");
            told = Some(cause.clone());
        }
        health.unnamed(cause);
    };
    loop {
        let mut asked = runtime.version();
        let answer = match tokio::time::timeout(NAME_PATIENCE, &mut asked).await {
            Ok(answer) => answer,
            Err(_) => {
                tell(format!("no answer to Version within {NAME_PATIENCE:?}"));
                asked.await
            }
        };
        match answer {
            Ok(version) => {
                facts.send_modify(|facts| facts.runtime_name = version.name);
                health.named();
                return;
            }
            // That there is none is told by those who ask for its status.
            Err(error @ RuntimeError::Unreachable { .. }) => {
                tracing::debug!(%error, "The runtime does not tell its name yet");
            }
            Err(error) => tell(error.to_string()),
        }
        tokio::time::sleep(NAME_RETRY).await;
    }
}

/// Starts every task of the agent.
pub fn start(edges: &Edges, outside: Outside) -> Agent {
    let Outside { config, node: settings, events, event_task, log_rotation: rotation, fetch, stats } =
        outside;
    let mut tasks = Tasks(JoinSet::new());
    let records = Arc::new(Records::new(Arc::clone(&edges.clock)));
    let metrics = &edges.metrics;
    let statuses = StatusQueue::new(edges.cluster.clone())
        .with_records(Arc::clone(&records))
        .with_metrics(Arc::clone(metrics));
    let statuses = Arc::new(statuses);
    let bells = Arc::new(Bells::default());
    let (network, network_seen) = watch::channel(Err("runtime status is not known yet".to_owned()));
    let (runtime_health, runtime_seen) = watch::channel(RuntimeHealth::default());
    let health = Arc::new(Health::new(Arc::clone(&edges.clock), config.sync_frequency));
    let (strangers, strangers_seen) = mpsc::channel(QUEUE);
    let facts = NodeFacts {
        name: config.node_name.clone(),
        // What the node's reports say replaces it before any pod is looked at: nobody waits for a resolver here.
        host_ips: settings.addresses(&[], &[]).map(|choice| choice.host_ips()).unwrap_or_default(),
        runtime_name: String::new(),
        max_restart_backoff: config.max_restart_backoff,
        has_api: edges.cluster.is_some(),
        recursive_read_only: BTreeSet::new(),
        image_access: match config.pulls.verification {
            Verification::Off => ImageAccess::Anybody,
            _ => ImageAccess::Checked,
        },
    };
    let (facts, facts_seen) = watch::channel(facts);
    let naming = name_runtime(Arc::clone(&edges.runtime), facts.clone(), Arc::clone(&health));
    tasks.add_once("name_runtime", naming);
    let resources = settings.resources(edges);
    let limits = if settings.enforce_pods { &resources.enforced } else { &resources.unenforced };
    let values = node::cgroup::kubepods_values(limits, &config.rules.hugepage_sizes);
    if let Some(group) = settings.pods_group.clone() {
        let host = Arc::clone(&edges.host);
        let limit = move || host.ensure_node_cgroups(&values);
        tasks.add_once("enforce_allocatable", allocatable::enforce(group, limit, events.clone()));
    }
    let cidrs = pod_cidr::wanted(edges.cluster.as_deref(), settings.pod_cidr.clone());
    tasks.add_once("pod_cidr", pod_cidr::run(Arc::clone(&edges.runtime), cidrs));
    let allocatable = resources.allocatable();
    let allocatable = allocatable.iter().map(|(name, amount)| (name.clone(), amount.to_string())).collect();
    let (allocatable, allocatable_seen) = watch::channel(allocatable);
    let (object, object_seen) = watch::channel(None);
    let devices = Arc::new(DeviceCheckpoint::read(&settings.device_plugins_dir));

    let runtime = Arc::clone(&edges.runtime);
    let (running, running_seen) = watch::channel(BTreeSet::new());
    tasks.add(
        "observer::watch_pods",
        observer::watch_pods(
            Arc::clone(&runtime),
            Arc::clone(&bells),
            strangers,
            Arc::clone(&health),
            running,
            Relists::new(Arc::clone(metrics), Arc::clone(&edges.clock)),
        ),
    );
    let (logs, log_notices) = log_rotation::notices();
    if let Some(rotation) = rotation {
        let (runtime, clock) = (Arc::clone(&runtime), Arc::clone(&edges.clock));
        let rotating = log_rotation::run(rotation, runtime, clock, log_notices, running_seen);
        tasks.add("log_rotation", rotating);
    }
    let reports = Reports { network, runtime: runtime_health };
    tasks.add("observer::watch_status", observer::watch_status(runtime, Arc::clone(&edges.clock), reports));

    resolv_conf::check(&config, &events);
    // What is done for one pod is recorded; what the node's own tasks ask of the runtime is not.
    let traced = TracedRuntime::new(Arc::clone(&edges.runtime), Arc::clone(&edges.clock));
    let pod_edges = Edges { runtime: Arc::new(traced), ..edges.clone() };
    let images = Images::new(&pod_edges, events.clone(), &config.root_dir, config.pulls.clone());
    let executor = Arc::new(Executor {
        config: config.clone(),
        edges: pod_edges.clone(),
        images,
        turns: Turns::new(config.starts_at_once, Arc::clone(&edges.clock)),
        events: events.clone(),
        allocatable: allocatable_seen,
        runtime: runtime_seen.clone(),
        logs,
        devices: Arc::clone(&devices),
        users: Arc::new(UserNamespaces::load(config.user_ids, &config.root_dir)),
    });
    let taking_up = Arc::clone(&executor);
    tasks.add("images", async move { taking_up.images.settle().await });
    let prober = Arc::new(Prober::new(edges.clone(), events.clone()));
    tasks.add("prober", Arc::clone(&prober).run());
    let known = Known {
        network: network_seen.clone(),
        health: Arc::clone(&health),
        prober: Arc::clone(&prober),
        statuses: Arc::clone(&statuses),
        executor: Arc::clone(&executor),
    };
    let explainer = Arc::new(RecordsExplainer::new(
        Arc::clone(&records),
        Box::new(move |uid, now| known.beside(uid, now)),
        Arc::clone(&edges.clock),
        config.node_name.clone(),
    ));
    let context = WorkerContext {
        edges: pod_edges,
        executor,
        prober,
        statuses: Arc::clone(&statuses),
        events: events.clone(),
        records: Arc::clone(&records),
        starts: Arc::new(Starts::new(Arc::clone(metrics))),
        released: Arc::default(),
        network: network_seen,
        node: facts_seen,
        bells: Arc::clone(&bells),
        sync_frequency: config.sync_frequency,
    };

    if edges.cluster.is_some() {
        tasks.add("events", event_task.run());
    }
    let mirrors = edges.cluster.clone().map(|cluster| Arc::new(Mirrors::new(cluster, Arc::clone(&statuses))));
    if let Some(mirrors) = &mirrors {
        tasks.add("mirror", Arc::clone(mirrors).run());
        tasks.add("status", Arc::clone(&statuses).run());
    }
    let (updates, updates_seen) = Updates::channel(Arc::clone(&edges.clock), QUEUE);
    let expected = start_sources(&mut tasks, edges, &config, fetch, &updates);
    let watched = edges.cluster.as_ref().map(|cluster| cluster.node());
    let admitter = Admitter::new(object_seen, watched, config.sysctls.clone());
    let wanted = Wanted::default();
    let pull_records = images::records::folders(&config.root_dir);
    let counted = gauges::Sources {
        records: Arc::clone(&records),
        wanted: wanted.clone(),
        mirrors: mirrors.clone(),
        pull_records,
    };
    gauges::register(metrics, counted);
    let pods = Pods::new(context, admitter, bells, mirrors, expected, Arc::clone(&health), wanted.clone());
    let changes = edges.objects.as_ref().map(|objects| objects.changes());
    tasks.add("pods", pods.run(Inbox { updates: updates_seen, strangers: strangers_seen, changes }));

    if let Some(cluster) = edges.cluster.clone() {
        let clock = Arc::clone(&edges.clock);
        tasks.add("lease", lease::run(cluster, clock, config.node_name.clone(), settings.lease_duration));
    }
    let channels = node_status::Channels {
        facts,
        allocatable,
        object,
        runtime: runtime_seen.clone(),
        health: Arc::clone(&health),
        devices,
    };
    tasks.add("node_status", node_status::run(edges.clone(), settings, events, channels));
    let clock = Arc::clone(&edges.clock);
    let stats = Arc::new(Stats::new(stats, Around::of(edges, &config, wanted.clone(), records)));
    let api = Api::new(config, Arc::clone(&edges.runtime), wanted, Arc::clone(&statuses), clock);
    Agent { statuses, runtime: runtime_seen, health, api: Arc::new(api), stats, explainer, tasks: tasks.0 }
}

/// Those who know something of a pod that its worker does not.
struct Known {
    network: watch::Receiver<Result<(), String>>,
    health: Arc<Health>,
    prober: Arc<Prober>,
    statuses: Arc<StatusQueue>,
    executor: Arc<Executor>,
}

impl Known {
    fn beside(&self, uid: &PodUid, now: Tick) -> Beside {
        Beside {
            network: self.network.borrow().as_ref().err().cloned(),
            unnamed: self.health.naming_problem().map(|problem| problem.to_string()),
            probes: self.prober.notes(uid),
            report: self.statuses.unsent(uid, now),
            pulls: self.executor.images.pulls(),
            turns: self.executor.turns.note(),
        }
    }
}

/// Starts the sources that are configured and tells which.
fn start_sources(
    tasks: &mut Tasks,
    edges: &Edges,
    config: &AgentConfig,
    fetch: Option<Fetch>,
    updates: &Updates,
) -> Vec<PodSource> {
    let mut expected = Vec::new();
    if let Some(cluster) = edges.cluster.clone() {
        expected.push(PodSource::Api);
        tasks.add("sources::api", sources::api::run(cluster, updates.clone()));
    }
    if let Some(path) = config.static_pod_path.clone() {
        expected.push(PodSource::File);
        let source =
            FileSource { path, frequency: config.file_check_frequency, node_name: config.node_name.clone() };
        tasks.add("sources::file", sources::file::run(source, Arc::clone(&edges.clock), updates.clone()));
    }
    if let (Some(source), Some(fetch)) = (config.static_pod_url.clone(), fetch) {
        expected.push(PodSource::Http);
        let (node, clock) = (config.node_name.clone(), Arc::clone(&edges.clock));
        tasks.add("sources::url", sources::url::run(source, fetch, node, clock, updates.clone()));
    }
    expected
}

struct Tasks(JoinSet<&'static str>);

impl Tasks {
    /// Work that comes to an end. The task stays, since the end of one is taken for a failure.
    fn add_once(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.add(name, async move {
            work.await;
            std::future::pending().await
        });
    }

    fn add(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(async move {
            task.await;
            name
        });
    }
}

#[cfg(test)]
mod tests {
    use fakes::{
        clock::TokioClock,
        runtime::{Code, FakeRuntime, Fault, When},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_does_not_tell_its_name_is_the_nodes_trouble_until_it_does() {
        let runtime = FakeRuntime::new();
        let clock = Arc::new(TokioClock::at("2026-11-24T02:00:00Z".parse().unwrap()));
        let health = Arc::new(Health::new(clock, Duration::from_secs(60)));
        let (facts, mut seen) = watch::channel(NodeFacts::default());
        runtime.core.plan("Version", Fault::Hang, When::Before, Some(1));
        let naming = name_runtime(Arc::new(runtime.clone()), facts.clone(), Arc::clone(&health));
        let task = tokio::spawn(naming);
        let problem = async || {
            tokio::time::timeout(Duration::from_secs(60), async {
                loop {
                    if let Some(problem) = health.naming_problem() {
                        return problem.to_string();
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            })
            .await
            .expect("nothing is told")
        };
        let silence = problem().await;
        assert_eq!(silence, "container runtime does not tell its name: no answer to Version within 10s");
        task.abort();

        runtime.core.plan("Version", Fault::Fail(Code::Unknown, "boom".into()), When::Before, None);
        health.named();
        let naming = name_runtime(Arc::new(runtime.clone()), facts.clone(), Arc::clone(&health));
        tokio::spawn(naming);
        assert!(problem().await.ends_with("boom"));
        runtime.core.heal("Version");
        seen.wait_for(|facts| !facts.runtime_name.is_empty()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(health.naming_problem(), None);
    }
}

//! Every path of upstream's kubelet 1.37.2 (contract §24): the one table from which requests are routed, authorized and
//! documented.
//!
//! A row cannot be written without saying who may ask: [`Route::access`] has no default.

use metrics::table::Page;

use super::Support;

/// Which server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// HTTPS on `port`.
    Main,
    /// Plain HTTP on `healthzPort`.
    Healthz,
}

/// A method that a route knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
}

impl Method {
    /// As in a request.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whoever reaches the address: for the health server on the loopback address only.
    Address,
    /// Whoever may do this to one of these subresources of the node, asked in this order.
    Node(Verb, &'static [&'static str]),
}

/// The API verb that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// The one that the request's method stands for.
    OfMethod,
    /// `create`, whatever the method: the request starts something in a container. With upstream, who may only `get`
    /// `nodes/proxy` may run commands by a GET.
    Create,
}

/// What turns a route off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Nothing.
    Always,
    /// `enableDebuggingHandlers: false` answers 405.
    Debugging,
    /// `enableDebuggingHandlers: false` hides it.
    DebuggingHides,
    /// The same as [`Switch::Debugging`], and `enableSystemLogHandler`.
    SystemLogs,
    /// The same, and `enableProfilingHandler`.
    Profiling,
    /// Hidden as by [`Switch::DebuggingHides`], and by the gate `ContainerCheckpoint`.
    Checkpoints,
    /// The same, and the gate `KubeletAllocatedPodsEndpoint`.
    AllocatedPods,
    /// Hidden as by [`Switch::DebuggingHides`], and 405 by `enableDebugFlagsHandler`.
    DebugFlags,
}

/// Whether the read-only port answers too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOnly {
    /// It does.
    Served,
    /// It says that debug endpoints are disabled.
    Disabled,
    /// It does not know the path.
    Unknown,
}

/// What answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Nothing yet: 404, after authorization.
    Absent,
    /// Health checks, all or one.
    Health,
    /// Pods of all sources.
    Pods,
    /// Pods with what was allocated to them.
    AllocatedPods,
    /// Pods of the runtime.
    RunningPods,
    /// Effective configuration.
    Configz,
    /// Flags.
    Flagz,
    /// Start time and version.
    Statusz,
    /// Log of a container.
    ContainerLogs,
    /// Files below `/var/log`.
    NodeLogs,
    /// Use of the node and of its pods.
    Summary,
    /// What is measured.
    Metrics(Page),
    /// Verbosity of the log.
    DebugFlags,
    /// Command in a container, streamed.
    Exec,
    /// Streams of a container.
    Attach,
    /// Ports of a pod.
    PortForward,
    /// Command in a container, to its end.
    Run,
    /// A running container into an archive.
    Checkpoint,
    /// Profiles of the process.
    Profiles,
}

impl Endpoint {
    /// Whether each use is told in the log.
    #[must_use]
    pub fn is_audited(self) -> bool {
        matches!(self, Self::Exec | Self::Attach | Self::PortForward | Self::Run | Self::Checkpoint)
    }
}

/// One path. `{name}` is one segment; `{*name}` at the end is all the rest, and may be empty.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Server.
    pub server: Server,
    /// Path.
    pub path: &'static str,
    /// Methods.
    pub methods: &'static [Method],
    /// Who may ask.
    pub access: Access,
    /// What turns it off.
    pub switch: Switch,
    /// On the read-only port.
    pub read_only: ReadOnly,
    /// What answers.
    pub endpoint: Endpoint,
}

impl Route {
    /// What is here of it.
    #[must_use]
    pub fn support(&self) -> Support {
        match (self.endpoint, self.access) {
            (Endpoint::Absent, _) => Support::NotYet,
            (Endpoint::NodeLogs, _) => Support::Differs(
                "links are not followed; a query's pattern is checked by the journal: a bad one is told in the body",
            ),
            (Endpoint::Profiles, _) => Support::Differs(
                "`cmdline`; profiles of Go's runtime answer 501 with what to use in their place",
            ),
            (_, Access::Node(Verb::Create, _)) if self.methods.contains(&Method::Get) => {
                Support::Differs("needs `create` also by GET")
            }
            _ => Support::Same,
        }
    }

    /// `GET, POST`.
    #[must_use]
    pub fn allow(&self) -> String {
        self.methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ")
    }
}

const GET: &[Method] = &[Method::Get];
const POST: &[Method] = &[Method::Post];
const BOTH: &[Method] = &[Method::Get, Method::Post];

const HEALTHZ: Access = Access::Node(Verb::OfMethod, &["healthz", "proxy"]);
const PODS: Access = Access::Node(Verb::OfMethod, &["pods", "proxy"]);
const CONFIGZ: Access = Access::Node(Verb::OfMethod, &["configz", "proxy"]);
const FLAGZ: Access = Access::Node(Verb::OfMethod, &["configz"]);
const STATUSZ: Access = Access::Node(Verb::OfMethod, &["statusz"]);
const STATS: Access = Access::Node(Verb::OfMethod, &["stats"]);
const METRICS: Access = Access::Node(Verb::OfMethod, &["metrics"]);
const LOG: Access = Access::Node(Verb::OfMethod, &["log"]);
const CHECKPOINT: Access = Access::Node(Verb::OfMethod, &["checkpoint"]);
const PROXY: Access = Access::Node(Verb::OfMethod, &["proxy"]);
const ACTION: Access = Access::Node(Verb::Create, &["proxy"]);

const fn main(
    path: &'static str,
    methods: &'static [Method],
    access: Access,
    switch: Switch,
    read_only: ReadOnly,
    endpoint: Endpoint,
) -> Route {
    Route { server: Server::Main, path, methods, access, switch, read_only, endpoint }
}

/// All of them.
#[rustfmt::skip]
pub const ROUTES: &[Route] = {
    use {Endpoint as E, ReadOnly as R, Switch as S};
    &[
        Route { server: Server::Healthz, path: "/healthz", methods: GET, access: Access::Address, switch: S::Always, read_only: R::Unknown, endpoint: E::Health },
        main("/healthz", GET, HEALTHZ, S::Always, R::Served, E::Health),
        main("/healthz/ping", GET, HEALTHZ, S::Always, R::Served, E::Health),
        main("/healthz/log", GET, HEALTHZ, S::Always, R::Served, E::Health),
        main("/healthz/syncloop", GET, HEALTHZ, S::Always, R::Served, E::Health),
        main("/pods", GET, PODS, S::Always, R::Served, E::Pods),
        main("/runningpods/", GET, PODS, S::Debugging, R::Disabled, E::RunningPods),
        main("/configz", GET, CONFIGZ, S::DebuggingHides, R::Unknown, E::Configz),
        main("/stats/summary", BOTH, STATS, S::Always, R::Served, E::Summary),
        main("/metrics", GET, METRICS, S::Always, R::Served, E::Metrics(Page::Metrics)),
        main("/metrics/cadvisor", GET, METRICS, S::Always, R::Served, E::Metrics(Page::Cadvisor)),
        main("/metrics/resource", GET, METRICS, S::Always, R::Served, E::Metrics(Page::Resource)),
        main("/metrics/probes", GET, METRICS, S::Always, R::Served, E::Metrics(Page::Probes)),
        main("/metrics/slis", GET, METRICS, S::Always, R::Served, E::Metrics(Page::Slis)),
        main("/logs/{*path}", BOTH, LOG, S::SystemLogs, R::Disabled, E::NodeLogs),
        main("/checkpoint/{namespace}/{pod}/{container}", POST, CHECKPOINT, S::Checkpoints, R::Unknown, E::Checkpoint),
        main("/containerLogs/{namespace}/{pod}/{container}", GET, PROXY, S::Debugging, R::Disabled, E::ContainerLogs),
        main("/exec/{namespace}/{pod}/{container}", BOTH, ACTION, S::Debugging, R::Disabled, E::Exec),
        main("/exec/{namespace}/{pod}/{uid}/{container}", BOTH, ACTION, S::Debugging, R::Disabled, E::Exec),
        main("/attach/{namespace}/{pod}/{container}", BOTH, ACTION, S::Debugging, R::Disabled, E::Attach),
        main("/attach/{namespace}/{pod}/{uid}/{container}", BOTH, ACTION, S::Debugging, R::Disabled, E::Attach),
        main("/portForward/{namespace}/{pod}", BOTH, ACTION, S::Debugging, R::Disabled, E::PortForward),
        main("/portForward/{namespace}/{pod}/{uid}", BOTH, ACTION, S::Debugging, R::Disabled, E::PortForward),
        main("/run/{namespace}/{pod}/{container}", POST, ACTION, S::Debugging, R::Disabled, E::Run),
        main("/run/{namespace}/{pod}/{uid}/{container}", POST, ACTION, S::Debugging, R::Disabled, E::Run),
        main("/debug/pprof/{*profile}", GET, PROXY, S::Profiling, R::Disabled, E::Profiles),
        main("/debug/flags/v", &[Method::Put], PROXY, S::DebugFlags, R::Unknown, E::DebugFlags),
        main("/statusz", GET, STATUSZ, S::DebuggingHides, R::Unknown, E::Statusz),
        main("/flagz", GET, FLAGZ, S::DebuggingHides, R::Unknown, E::Flagz),
        main("/allocatedPods", GET, PODS, S::AllocatedPods, R::Unknown, E::AllocatedPods),
        main("/allocatedPods/{namespace}/{pod}", GET, PODS, S::AllocatedPods, R::Unknown, E::AllocatedPods),
        main("/allocatedPods/{namespace}/{pod}/{uid}", GET, PODS, S::AllocatedPods, R::Unknown, E::AllocatedPods),
    ]
};

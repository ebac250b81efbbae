//! Every path of upstream's kubelet 1.37.2 (contract §24).

use super::Support;

/// Which server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// HTTPS on `port`.
    Main,
    /// Plain HTTP on `healthzPort`.
    Healthz,
}

/// One path.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Server.
    pub server: Server,
    /// Path.
    pub path: &'static str,
    /// Methods.
    pub methods: &'static str,
    /// What is here of it.
    pub support: Support,
}

const fn absent(path: &'static str, methods: &'static str) -> Route {
    Route { server: Server::Main, path, methods, support: Support::NotYet }
}

/// All of them.
#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    Route { server: Server::Healthz, path: "/healthz", methods: "GET", support: Support::Same },
    absent("/healthz", "GET"),
    absent("/healthz/ping", "GET"),
    absent("/healthz/log", "GET"),
    absent("/healthz/syncloop", "GET"),
    absent("/pods", "GET"),
    absent("/runningpods/", "GET"),
    absent("/configz", "GET"),
    absent("/stats/summary", "GET, POST"),
    absent("/metrics", "GET"),
    absent("/metrics/cadvisor", "GET"),
    absent("/metrics/resource", "GET"),
    absent("/metrics/probes", "GET"),
    absent("/metrics/slis", "GET"),
    absent("/logs/", "GET"),
    absent("/checkpoint/{namespace}/{pod}/{container}", "POST"),
    absent("/containerLogs/{namespace}/{pod}/{container}", "GET"),
    absent("/exec/{namespace}/{pod}/{container}", "GET, POST"),
    absent("/attach/{namespace}/{pod}/{container}", "GET, POST"),
    absent("/portForward/{namespace}/{pod}", "GET, POST"),
    absent("/run/{namespace}/{pod}/{container}", "POST"),
    absent("/debug/pprof/", "GET"),
    absent("/debug/flags/v", "PUT"),
    absent("/statusz", "GET"),
    absent("/flagz", "GET"),
    absent("/allocatedPods", "GET"),
];

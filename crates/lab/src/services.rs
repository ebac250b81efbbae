//! From a service of the plan to its command line. Command lines are made anew at each start, so a service can be started
//! again at any time, by any process that has the plan.

use anyhow::Result;

use crate::{
    containerd, control_plane,
    daemon::Invocation,
    kubelet, machine, metrics_server,
    plan::{Plan, Service},
};

/// The command line of a service.
pub(crate) fn invocation(plan: &Plan, service: Service) -> Result<Invocation> {
    match service {
        Service::Etcd => control_plane::etcd(plan),
        Service::ApiServer => control_plane::api_server(plan),
        Service::ControllerManager => control_plane::controller_manager(plan),
        Service::Scheduler => control_plane::scheduler(plan),
        Service::MetricsServer => metrics_server::invocation(plan),
        Service::Containerd => Ok(containerd::invocation(plan)),
        Service::Registry | Service::PrivateRegistry => Ok(containerd::registry_invocation(plan, service)),
        Service::Machine => Ok(machine::invocation(plan)),
        Service::Kubelet => Ok(kubelet::invocation(plan)),
    }
}

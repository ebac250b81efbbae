//! Cgroups of the pod, and the resource values that go to the runtime. The numbers are `node`'s.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Container;
use lifecycle::{Done, Failure, FailureStep};
use node::{cgroup, qos::QosClass, resources};
use seams::{host::PodCgroup, runtime::LinuxResources};

use super::{Executor, Scene, directories::blocking};

impl Executor {
    pub(super) fn pod_cgroup(scene: &Scene) -> PodCgroup {
        PodCgroup { uid: scene.session.key.uid.clone(), qos: QosClass::of(&scene.pod) }
    }

    /// A limit below what is used is written when the kernel has made room, which may take it long.
    pub(super) async fn ensure_cgroup(&self, scene: &Scene) -> Result<Done, Failure> {
        let values = cgroup::pod_values(&scene.pod, &self.config.rules);
        let (host, group) = (Arc::clone(&self.edges.host), Self::pod_cgroup(scene));
        let ensure = move || host.ensure_pod_cgroup(&group, &values).map_err(|error| error.to_string());
        blocking(FailureStep::Cgroup, ensure).await.map(|()| Done::Plain)
    }

    pub(super) fn container_resources(&self, scene: &Scene, container: &Container) -> LinuxResources {
        cgroup::container_values(&scene.pod, container, &self.config.rules)
    }

    /// What all containers of the pod may use together: the runtime passes it to sandboxed runtimes.
    pub(super) fn sandbox_resources(&self, scene: &Scene) -> LinuxResources {
        let mut without = scene.pod.as_ref().clone();
        if let Some(spec) = &mut without.spec {
            spec.overhead = None;
        }
        self.pod_level(&resources::pod_requests(&without), &resources::pod_limits(&without))
    }

    pub(super) fn overhead_resources(&self, scene: &Scene) -> Option<LinuxResources> {
        let overhead = resources::overhead(&scene.pod);
        (!overhead.is_empty()).then(|| self.pod_level(&overhead, &overhead))
    }

    fn pod_level(
        &self,
        requests: &node::quantity::ResourceList,
        limits: &node::quantity::ResourceList,
    ) -> LinuxResources {
        let milli = |list: &node::quantity::ResourceList| list.get("cpu").map_or(0, |cpu| cpu.milli_value());
        let period = self.config.rules.quota_period_micros;
        LinuxResources {
            cpu_shares: i64::try_from(cgroup::shares(milli(requests))).unwrap_or(i64::MAX),
            cpu_period: period.and_then(|period| i64::try_from(period).ok()).unwrap_or(0),
            cpu_quota: period.map_or(0, |period| cgroup::quota(milli(limits), period)),
            memory_limit: limits.get("memory").map_or(0, |memory| memory.value()),
            unified: self.config.rules.oom_group().into_iter().collect(),
            ..LinuxResources::default()
        }
    }
}

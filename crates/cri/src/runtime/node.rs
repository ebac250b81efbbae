//! Calls about the runtime as a whole.

use metrics::runtime::{Operation, Version};
use proto::cri::{
    CgroupDriver as WireDriver, NetworkConfig, RuntimeCondition as WireCondition, RuntimeConfig,
    RuntimeConfigRequest, StatusRequest, UpdateRuntimeConfigRequest, VersionRequest,
};
use seams::{
    RuntimeError,
    runtime::{CgroupDriver, HandlerInfo, RuntimeCondition, RuntimeStatus, RuntimeVersion},
};

use super::CriRuntime;
use crate::client::Deadline;

/// What kubelets have always sent as their own version; runtimes ignore it.
const KUBE_RUNTIME_API_VERSION: &str = "0.1.0";

/// Version of Kubernetes from which on, as upstream announces, a runtime has to know `RuntimeConfig`.
const NEEDS_RUNTIME_CONFIG: &str = "1.38.0";

impl CriRuntime {
    pub(super) async fn read_version(&self) -> Result<RuntimeVersion, RuntimeError> {
        let request = VersionRequest { version: KUBE_RUNTIME_API_VERSION.into() };
        let answer = self
            .client
            .runtime(Operation::Version, Deadline::Default, request, async |mut c, r| c.version(r).await)
            .await?;
        // Upstream wants all fields. The others are only shown; for want of one of them no pod should stand still.
        if answer.runtime_name.is_empty() {
            return Err(RuntimeError::Invalid {
                call: "Version",
                message: "not all fields are set in VersionResponse (missing RuntimeName)".to_owned(),
            });
        }
        Ok(RuntimeVersion {
            name: answer.runtime_name,
            version: answer.runtime_version,
            api_version: answer.runtime_api_version,
        })
    }

    pub(super) async fn read_status(&self) -> Result<RuntimeStatus, RuntimeError> {
        let request = StatusRequest { verbose: false };
        let answer = self
            .client
            .runtime(Operation::Status, Deadline::Default, request, async |mut c, r| c.status(r).await)
            .await?;
        let conditions = answer.status.map(|s| s.conditions).unwrap_or_default();
        let find = |kind: &str| conditions.iter().find(|c| c.r#type == kind).map(condition);
        Ok(RuntimeStatus {
            runtime_ready: find("RuntimeReady"),
            network_ready: find("NetworkReady"),
            handlers: answer
                .runtime_handlers
                .into_iter()
                .map(|handler| {
                    let features = handler.features.unwrap_or_default();
                    HandlerInfo {
                        name: handler.name,
                        recursive_read_only_mounts: features.recursive_read_only_mounts,
                        user_namespaces: features.user_namespaces,
                    }
                })
                .collect(),
            supplemental_groups_policy: answer.features.is_some_and(|f| f.supplemental_groups_policy),
        })
    }

    pub(super) async fn read_cgroup_driver(&self) -> Result<Option<CgroupDriver>, RuntimeError> {
        let answer = self
            .client
            .runtime(
                Operation::RuntimeConfig,
                Deadline::Default,
                RuntimeConfigRequest {},
                async |mut c, r| c.runtime_config(r).await,
            )
            .await;
        match answer {
            // A runtime that answers without naming a driver leaves the choice to the configuration.
            Ok(answer) => Ok(answer.linux.map(|linux| match linux.cgroup_driver() {
                WireDriver::Systemd => CgroupDriver::Systemd,
                WireDriver::Cgroupfs => CgroupDriver::Cgroupfs,
            })),
            Err(RuntimeError::Unimplemented { .. }) => {
                self.client.metrics().losing_support.set(&Version { version: NEEDS_RUNTIME_CONFIG }, 1.0);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn write_pod_cidr(&self, cidr: &str) -> Result<(), RuntimeError> {
        let network_config = Some(NetworkConfig { pod_cidr: cidr.to_owned() });
        let request = UpdateRuntimeConfigRequest { runtime_config: Some(RuntimeConfig { network_config }) };
        self.client
            .runtime(Operation::UpdateRuntimeConfig, Deadline::Default, request, async |mut c, r| {
                c.update_runtime_config(r).await
            })
            .await?;
        Ok(())
    }
}

/// One condition of the runtime, in its own words.
fn condition(condition: &WireCondition) -> RuntimeCondition {
    RuntimeCondition {
        name: condition.r#type.clone(),
        ready: condition.status,
        reason: condition.reason.clone(),
        message: condition.message.clone(),
    }
}

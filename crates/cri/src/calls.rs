//! Names of the calls: metrics have words of their own for what errors and logs call by the method.

use metrics::runtime::Operation;

/// The CRI method of a call.
pub(crate) fn method(operation: Operation) -> &'static str {
    match operation {
        Operation::Version => "Version",
        Operation::Status => "Status",
        Operation::ListContainers => "ListContainers",
        Operation::ContainerStatus => "ContainerStatus",
        Operation::CreateContainer => "CreateContainer",
        Operation::StartContainer => "StartContainer",
        Operation::StopContainer => "StopContainer",
        Operation::RemoveContainer => "RemoveContainer",
        Operation::UpdateContainer => "UpdateContainerResources",
        Operation::ReopenContainerLog => "ReopenContainerLog",
        Operation::ExecSync => "ExecSync",
        Operation::Exec => "Exec",
        Operation::Attach => "Attach",
        Operation::PortForward => "PortForward",
        Operation::RunPodSandbox => "RunPodSandbox",
        Operation::StopPodSandbox => "StopPodSandbox",
        Operation::RemovePodSandbox => "RemovePodSandbox",
        Operation::PodSandboxStatus => "PodSandboxStatus",
        Operation::ListPodSandbox => "ListPodSandbox",
        Operation::ContainerStats => "ContainerStats",
        Operation::ListContainerStats => "ListContainerStats",
        Operation::PodSandboxStats => "PodSandboxStats",
        Operation::ListPodSandboxStats => "ListPodSandboxStats",
        Operation::UpdateRuntimeConfig => "UpdateRuntimeConfig",
        Operation::ListImages => "ListImages",
        Operation::ImageStatus => "ImageStatus",
        Operation::PullImage => "PullImage",
        Operation::RemoveImage => "RemoveImage",
        Operation::ImageFsInfo => "ImageFsInfo",
        Operation::CheckpointContainer => "CheckpointContainer",
        Operation::GetContainerEvents => "GetContainerEvents",
        Operation::ListMetricDescriptors => "ListMetricDescriptors",
        Operation::ListPodSandboxMetrics => "ListPodSandboxMetrics",
        Operation::RuntimeConfig => "RuntimeConfig",
    }
}

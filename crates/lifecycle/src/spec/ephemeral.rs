//! Ephemeral containers have a type of their own with the fields of others: here they become what all code works on.

use k8s_openapi::api::core::v1::{Container, EphemeralContainer};

/// The same container without `targetContainerName`. It starts once and never again, whatever its pod's policy.
#[must_use]
pub fn as_container(ephemeral: &EphemeralContainer) -> Container {
    Container {
        name: ephemeral.name.clone(),
        image: ephemeral.image.clone(),
        image_pull_policy: ephemeral.image_pull_policy.clone(),
        command: ephemeral.command.clone(),
        args: ephemeral.args.clone(),
        working_dir: ephemeral.working_dir.clone(),
        env: ephemeral.env.clone(),
        env_from: ephemeral.env_from.clone(),
        ports: ephemeral.ports.clone(),
        resources: ephemeral.resources.clone(),
        volume_mounts: ephemeral.volume_mounts.clone(),
        volume_devices: ephemeral.volume_devices.clone(),
        security_context: ephemeral.security_context.clone(),
        termination_message_path: ephemeral.termination_message_path.clone(),
        termination_message_policy: ephemeral.termination_message_policy.clone(),
        stdin: ephemeral.stdin,
        stdin_once: ephemeral.stdin_once,
        tty: ephemeral.tty,
        restart_policy: Some("Never".to_owned()),
        ..Container::default()
    }
}

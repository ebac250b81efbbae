//! What the API server would fill in (contract §4). Only fields that are absent change.

use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, Lifecycle, ObjectFieldSelector, PodSecurityContext, PodSpec, Probe,
    ResourceRequirements, Volume,
};

/// Grace period of pods that name none, seconds.
const GRACE_SECONDS: i64 = 30;
/// Life of a projected token, seconds.
const TOKEN_SECONDS: i64 = 3600;
/// Mode of projected files: 0644.
const FILE_MODE: i32 = 0o644;

fn text(field: &mut Option<String>, value: &str) {
    if field.as_deref().unwrap_or_default().is_empty() {
        *field = Some(value.to_owned());
    }
}

fn number(field: &mut Option<i32>, value: i32) {
    if field.unwrap_or(0) == 0 {
        *field = Some(value);
    }
}

/// Tag of an image reference: what is pulled always is `latest`, written or implied. A digest has no tag.
fn is_latest(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, false), |(name, _)| (name, true));
    let last = name.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => !digest && !last.is_empty(),
    }
}

fn pull_policy(field: &mut Option<String>, image: &str) {
    text(field, if is_latest(image) { "Always" } else { "IfNotPresent" });
}

fn requests_from_limits(resources: Option<&mut ResourceRequirements>) {
    let Some(resources) = resources else {
        return;
    };
    if let Some(limits) = &resources.limits {
        let requests = resources.requests.get_or_insert_default();
        for (name, limit) in limits {
            requests.entry(name.clone()).or_insert_with(|| limit.clone());
        }
    }
}

fn probe(probe: Option<&mut Probe>) {
    let Some(probe) = probe else {
        return;
    };
    number(&mut probe.timeout_seconds, 1);
    number(&mut probe.period_seconds, 10);
    number(&mut probe.success_threshold, 1);
    number(&mut probe.failure_threshold, 3);
    if let Some(http) = &mut probe.http_get {
        text(&mut http.path, "/");
        text(&mut http.scheme, "HTTP");
    }
    if let Some(grpc) = &mut probe.grpc {
        grpc.service.get_or_insert_default();
    }
}

fn hooks(lifecycle: Option<&mut Lifecycle>) {
    let Some(lifecycle) = lifecycle else {
        return;
    };
    for handler in [&mut lifecycle.post_start, &mut lifecycle.pre_stop].into_iter().flatten() {
        if let Some(http) = &mut handler.http_get {
            text(&mut http.path, "/");
            text(&mut http.scheme, "HTTP");
        }
    }
}

fn field_ref(selector: Option<&mut ObjectFieldSelector>) {
    if let Some(selector) = selector {
        text(&mut selector.api_version, "v1");
    }
}

fn container(container: &mut Container, host_network: bool) {
    pull_policy(&mut container.image_pull_policy, container.image.as_deref().unwrap_or_default());
    text(&mut container.termination_message_path, "/dev/termination-log");
    text(&mut container.termination_message_policy, "File");
    for port in container.ports.iter_mut().flatten() {
        text(&mut port.protocol, "TCP");
        if host_network {
            number(&mut port.host_port, port.container_port);
        }
    }
    for variable in container.env.iter_mut().flatten() {
        field_ref(variable.value_from.as_mut().and_then(|source| source.field_ref.as_mut()));
    }
    probe(container.liveness_probe.as_mut());
    probe(container.readiness_probe.as_mut());
    probe(container.startup_probe.as_mut());
    hooks(container.lifecycle.as_mut());
    requests_from_limits(container.resources.as_mut());
}

/// True when a volume names no source at all: an `emptyDir` is meant.
fn has_no_source(volume: &Volume) -> bool {
    *volume == Volume { name: volume.name.clone(), ..Volume::default() }
}

fn volume(volume: &mut Volume) {
    if has_no_source(volume) {
        volume.empty_dir = Some(EmptyDirVolumeSource::default());
    }
    if let Some(host_path) = &mut volume.host_path {
        host_path.type_.get_or_insert_default();
    }
    if let Some(image) = &mut volume.image {
        pull_policy(&mut image.pull_policy, image.reference.as_deref().unwrap_or_default());
    }
    if let Some(secret) = &mut volume.secret {
        secret.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(config_map) = &mut volume.config_map {
        config_map.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(downward) = &mut volume.downward_api {
        downward.default_mode.get_or_insert(FILE_MODE);
        for item in downward.items.iter_mut().flatten() {
            field_ref(item.field_ref.as_mut());
        }
    }
    if let Some(projected) = &mut volume.projected {
        projected.default_mode.get_or_insert(FILE_MODE);
        for source in projected.sources.iter_mut().flatten() {
            if let Some(token) = &mut source.service_account_token {
                token.expiration_seconds.get_or_insert(TOKEN_SECONDS);
            }
            for item in source.downward_api.iter_mut().flat_map(|source| source.items.iter_mut().flatten()) {
                field_ref(item.field_ref.as_mut());
            }
        }
    }
    if let Some(iscsi) = &mut volume.iscsi {
        text(&mut iscsi.iscsi_interface, "default");
    }
}

/// Fills in a spec.
pub(super) fn fill(spec: &mut PodSpec) {
    let host_network = spec.host_network == Some(true);
    text(&mut spec.dns_policy, "ClusterFirst");
    text(&mut spec.restart_policy, "Always");
    text(&mut spec.scheduler_name, "default-scheduler");
    spec.security_context.get_or_insert_with(PodSecurityContext::default);
    spec.enable_service_links.get_or_insert(true);
    // A negative grace period is taken as one second.
    match spec.termination_grace_period_seconds {
        None => spec.termination_grace_period_seconds = Some(GRACE_SECONDS),
        Some(seconds) if seconds < 0 => spec.termination_grace_period_seconds = Some(1),
        Some(_) => {}
    }
    // The older name of the service account is kept in step with the newer one.
    if spec.service_account_name.as_deref().unwrap_or_default().is_empty() {
        spec.service_account_name = spec.service_account.clone();
    }
    spec.service_account = spec.service_account_name.clone();
    for each in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        container(each, host_network);
    }
    spec.volumes.iter_mut().flatten().for_each(volume);
}

#[cfg(test)]
mod tests {
    use super::is_latest;

    #[test]
    fn tags() {
        for (image, expected) in [
            ("busybox", true),
            ("busybox:latest", true),
            ("busybox:1.36", false),
            ("localhost:5000/x", true),
            ("localhost:5000/x:1", false),
            ("a/b/c:latest", true),
            ("busybox@sha256:0123", false),
            ("busybox:latest@sha256:0123", true),
            ("", false),
        ] {
            assert_eq!(is_latest(image), expected, "{image}");
        }
    }
}

//! A pod rebuilt from what its sandbox and containers carry: enough to stop it properly when its object is gone.

use std::collections::{BTreeMap, btree_map::Entry};

use k8s_openapi::{
    api::core::v1::{Container as SpecContainer, Lifecycle, Pod, PodSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use lifecycle::PodUid;
use proto::cri::{Container, PodSandbox};

use crate::render::{annotations, labels};

/// Rebuilds it; `None` when there is neither sandbox nor container. Of several attempts the newest speaks.
pub(crate) fn skeleton(uid: &PodUid, sandboxes: &[PodSandbox], containers: &[Container]) -> Option<Pod> {
    let sandbox =
        sandboxes.iter().max_by_key(|s| (s.metadata.as_ref().map_or(0, |m| m.attempt), s.created_at));
    let newest = containers.iter().max_by_key(|c| c.created_at);
    let carried = sandbox.map(|s| &s.labels).or(newest.map(|c| &c.labels))?;
    let text = |key: &str| carried.get(key).cloned();

    let annotated = newest.map(|c| annotations::read(&c.annotations)).unwrap_or_default();
    let mut latest: BTreeMap<&str, &Container> = BTreeMap::new();
    for container in containers {
        let Some(name) = container.labels.get(labels::CONTAINER_NAME) else { continue };
        match latest.entry(name) {
            Entry::Vacant(slot) => {
                slot.insert(container);
            }
            Entry::Occupied(mut slot) if slot.get().created_at < container.created_at => {
                slot.insert(container);
            }
            Entry::Occupied(_) => {}
        }
    }
    Some(Pod {
        metadata: ObjectMeta {
            name: text(labels::POD_NAME),
            namespace: text(labels::POD_NAMESPACE),
            uid: Some(uid.as_str().to_owned()),
            labels: sandbox.map(|s| own_labels(&s.labels)),
            annotations: sandbox.map(|s| s.annotations.clone()),
            deletion_grace_period_seconds: annotated.deletion_grace,
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: latest.into_iter().map(|(name, c)| spec_container(name, c)).collect(),
            termination_grace_period_seconds: annotated.termination_grace,
            ..PodSpec::default()
        }),
        status: None,
    })
}

fn own_labels(all: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let ours = [labels::POD_NAME, labels::POD_NAMESPACE, labels::POD_UID];
    all.iter()
        .filter(|(key, _)| !ours.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn spec_container(name: &str, container: &Container) -> SpecContainer {
    let annotated = annotations::read(&container.annotations);
    let image = container.image.as_ref();
    let user = image.map(|i| i.user_specified_image.as_str()).filter(|i| !i.is_empty());
    SpecContainer {
        name: name.to_owned(),
        image: user.or(image.map(|i| i.image.as_str())).map(str::to_owned),
        ports: Some(annotated.ports).filter(|p| !p.is_empty()),
        lifecycle: annotated.pre_stop.map(|hook| Lifecycle { pre_stop: Some(hook), ..Lifecycle::default() }),
        termination_message_path: Some(annotated.termination_path).filter(|p| !p.is_empty()),
        ..SpecContainer::default()
    }
}

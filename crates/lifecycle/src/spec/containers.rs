//! Containers of a pod by name, whichever list of its spec they are in. A name is in one of them at most: the API sees to
//! it, and for manifests [`super::static_pod`].

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::ephemeral::as_container;
use crate::reason::ContainerKind;

/// The list that has a container of this name; `None` when the spec has none.
#[must_use]
pub fn kind_of(spec: &PodSpec, name: &str) -> Option<ContainerKind> {
    if spec.containers.iter().any(|container| container.name == name) {
        Some(ContainerKind::Regular)
    } else if spec.init_containers.iter().flatten().any(|container| container.name == name) {
        Some(ContainerKind::Init)
    } else if spec.ephemeral_containers.iter().flatten().any(|container| container.name == name) {
        Some(ContainerKind::Ephemeral)
    } else {
        None
    }
}

/// The container of this name and the list it is in.
#[must_use]
pub fn find<'a>(spec: &'a PodSpec, name: &str) -> Option<(ContainerKind, Cow<'a, Container>)> {
    let named = |container: &&Container| container.name == name;
    if let Some(container) = spec.containers.iter().find(named) {
        return Some((ContainerKind::Regular, Cow::Borrowed(container)));
    }
    if let Some(container) = spec.init_containers.iter().flatten().find(named) {
        return Some((ContainerKind::Init, Cow::Borrowed(container)));
    }
    let found = spec.ephemeral_containers.iter().flatten().find(|container| container.name == name)?;
    Some((ContainerKind::Ephemeral, Cow::Owned(as_container(found))))
}

/// Name and image of every container, as the spec has them.
pub fn images(spec: &PodSpec) -> impl Iterator<Item = (&str, Option<&str>)> {
    let plain = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    plain
        .map(|container| (container.name.as_str(), container.image.as_deref()))
        .chain(ephemeral.map(|container| (container.name.as_str(), container.image.as_deref())))
}

/// Image of the container of this name; `None` when there is no such container, or it has no image.
#[must_use]
pub fn image_of<'a>(spec: &'a PodSpec, name: &str) -> Option<&'a str> {
    images(spec).find(|(other, _)| *other == name).and_then(|(_, image)| image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_list_is_searched() {
        let spec: PodSpec = serde_json::from_value(serde_json::json!({
            "containers": [{"name": "c", "image": "i:c"}],
            "initContainers": [{"name": "i", "image": "i:i"}],
            "ephemeralContainers": [{"name": "e", "image": "i:e"}, {"name": "bare"}],
        }))
        .unwrap();
        for (name, kind) in
            [("c", ContainerKind::Regular), ("i", ContainerKind::Init), ("e", ContainerKind::Ephemeral)]
        {
            assert_eq!(kind_of(&spec, name), Some(kind));
            let (found, container) = find(&spec, name).unwrap();
            assert_eq!((found, container.name.as_str()), (kind, name));
            assert_eq!(image_of(&spec, name), Some(format!("i:{name}").as_str()));
        }
        assert_eq!((kind_of(&spec, "x"), find(&spec, "x"), image_of(&spec, "x")), (None, None, None));
        assert_eq!(image_of(&spec, "bare"), None);
        assert_eq!(images(&spec).count(), 4);
    }
}

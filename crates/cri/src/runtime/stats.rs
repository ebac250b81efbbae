//! What only the runtime knows about use: whose its containers are, and how large their writable layers.
//!
//! CPU, memory and network are not asked for. The kernel's files tell them for less, and alike for every runtime:
//! containerd 1.6 has neither a pod's network nor its pressure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use metrics::runtime::Operation;
use proto::cri::{ContainerStats, ListContainerStatsRequest, PodSandboxStatusRequest};
use seams::{
    RuntimeError,
    stats::{Amount, Layer, Named, RuntimeMeters},
};
use serde::Deserialize;

use super::CriRuntime;
use crate::{client::Deadline, observe, render::labels};

/// Nanoseconds since the epoch, as everywhere in CRI.
fn time(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Ours by its labels, or `None`.
fn named(
    id: &str,
    labels: &BTreeMap<String, String>,
    container: Option<String>,
    image: String,
    created_at: i64,
) -> Option<Named> {
    let text = |key: &str| labels.get(key).cloned().unwrap_or_default();
    Some(Named {
        id: id.into(),
        container,
        uid: labels.get(labels::POD_UID).filter(|uid| !uid.is_empty())?.as_str().into(),
        namespace: text(labels::POD_NAMESPACE),
        pod: text(labels::POD_NAME),
        image,
        created_at: time(created_at),
    })
}

fn layer(stats: ContainerStats) -> Option<Layer> {
    let layer = stats.writable_layer?;
    Some(Layer {
        container: stats.attributes?.id,
        mountpoint: layer.fs_id.map(|id| id.mountpoint).unwrap_or_default(),
        amount: Amount {
            bytes: layer.used_bytes.map_or(0, |value| value.value),
            inodes: layer.inodes_used.map_or(0, |value| value.value),
        },
        at: time(layer.timestamp),
    })
}

/// The one thing that is wanted of the document that a verbose status carries. Both containerds write it, as a key of
/// `info`; what else is there is passed over.
#[derive(Deserialize)]
struct SandboxInfo {
    #[serde(default)]
    image: String,
}

fn image_of(info: &BTreeMap<String, String>) -> String {
    let document = info.get("info").and_then(|text| serde_json::from_str::<SandboxInfo>(text).ok());
    document.map(|info| info.image).unwrap_or_default()
}

#[async_trait::async_trait]
impl RuntimeMeters for CriRuntime {
    async fn named(&self) -> Result<Vec<Named>, RuntimeError> {
        let client = self.client();
        let (sandboxes, containers) = futures::try_join!(
            observe::list_sandboxes(client, None),
            observe::list_containers(client, None)
        )?;
        let sandboxes = sandboxes.iter().filter_map(|sandbox| {
            named(&sandbox.id, &sandbox.labels, None, String::new(), sandbox.created_at)
        });
        let containers = containers.into_iter().filter_map(|container| {
            let labelled = container.labels.get(labels::CONTAINER_NAME).cloned();
            let name = labelled.or(container.metadata.map(|metadata| metadata.name)).unwrap_or_default();
            let image = container.image.unwrap_or_default();
            let image =
                if image.user_specified_image.is_empty() { image.image } else { image.user_specified_image };
            named(&container.id, &container.labels, Some(name), image, container.created_at)
        });
        Ok(sandboxes.chain(containers).collect())
    }

    async fn sandbox_image(&self, id: &str) -> Result<String, RuntimeError> {
        let request = PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: true };
        let answer = self
            .client()
            .runtime(Operation::PodSandboxStatus, Deadline::Default, request, async |mut c, r| {
                c.pod_sandbox_status(r).await
            })
            .await?;
        Ok(image_of(&answer.info))
    }

    async fn layers(&self) -> Result<Vec<Layer>, RuntimeError> {
        let request = ListContainerStatsRequest { filter: None };
        let answer = self
            .client()
            .runtime(Operation::ListContainerStats, Deadline::Default, request, async |mut c, r| {
                c.list_container_stats(r).await
            })
            .await?;
        Ok(answer.stats.into_iter().filter_map(layer).collect())
    }
}

#[cfg(test)]
mod tests {
    use proto::cri::{ContainerAttributes, FilesystemIdentifier, FilesystemUsage, UInt64Value};

    use super::*;

    #[test]
    fn what_carries_no_label_of_ours_is_not_ours() {
        let labels = |uid: &str| {
            BTreeMap::from([
                (labels::POD_UID.to_owned(), uid.to_owned()),
                (labels::POD_NAME.to_owned(), "p".to_owned()),
            ])
        };
        assert!(named("id", &BTreeMap::new(), None, String::new(), 0).is_none());
        assert!(named("id", &labels(""), None, String::new(), 0).is_none());
        let seen = named("id", &labels("u"), Some("c".to_owned()), "i".to_owned(), 1_000_000_000).unwrap();
        assert_eq!((seen.uid.as_str(), seen.pod.as_str(), seen.namespace.as_str()), ("u", "p", ""));
        assert_eq!(seen.created_at.as_second(), 1);
    }

    #[test]
    fn layers_are_read_and_their_lack_too() {
        let attributes = Some(ContainerAttributes { id: "c".to_owned(), ..Default::default() });
        let usage = FilesystemUsage {
            timestamp: 5,
            fs_id: Some(FilesystemIdentifier { mountpoint: "/var/lib/containerd".to_owned() }),
            used_bytes: Some(UInt64Value { value: 4096 }),
            inodes_used: None,
        };
        let whole = ContainerStats { attributes, writable_layer: Some(usage), ..Default::default() };
        let seen = layer(whole.clone()).unwrap();
        assert_eq!((seen.container.as_str(), seen.amount), ("c", Amount { bytes: 4096, inodes: 0 }));
        assert_eq!(seen.mountpoint, "/var/lib/containerd");
        assert!(layer(ContainerStats { writable_layer: None, ..whole }).is_none());
    }

    #[test]
    fn the_image_of_a_sandbox_stands_in_its_document() {
        let of = |text: &str| image_of(&BTreeMap::from([("info".to_owned(), text.to_owned())]));
        assert_eq!(of(r#"{"pid":1,"image":"registry/pause:3","runtimeSpec":{"x":[1]}}"#), "registry/pause:3");
        assert_eq!(
            (of("{}"), of("nothing"), image_of(&BTreeMap::new())),
            (String::new(), String::new(), String::new())
        );
    }
}

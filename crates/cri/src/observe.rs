//! Reading the truth about pods: lists, then the status of each sandbox and container of one pod.
//!
//! Cost is what shapes this room. A relist of the node is two calls. A pod costs two filtered lists and one call for
//! each of its sandboxes and its living containers, at most [`AT_ONCE`] at a time; those that can be expected
//! ([`expected::Expected`]) are asked for beside the lists, not after them. Exited containers are read once and
//! remembered ([`exited::Exited`]), termination message and all.

mod convert;
mod exited;
mod expected;
mod skeleton;
mod termination;

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt, TryStreamExt, stream};
use lifecycle::{
    ContainerId, PodUid, SandboxId,
    observation::{ContainerRecord, RuntimePod, RuntimeState, SandboxRecord},
};
use metrics::runtime::Operation;
use proto::cri::{
    Container, ContainerFilter, ContainerStatusRequest, ListContainersRequest, ListPodSandboxRequest,
    PodSandbox, PodSandboxFilter, PodSandboxStatusRequest,
};
use seams::{RuntimeError, runtime::ListedPod};

use crate::{
    client::{Client, Deadline},
    render::labels,
};

pub(crate) use convert::{container_state, image_info, sandbox_ready};
pub(crate) use exited::Exited;
pub(crate) use expected::Expected;
pub(crate) use skeleton::skeleton;
pub(crate) use termination::MessageReader;

/// Status calls of one pod in flight at once: enough for the usual pod to be read in one round, too few to matter
/// to a runtime when a hundred pods are looked at together.
const AT_ONCE: usize = 8;

/// Lists containers, of one pod or of all.
pub(crate) async fn list_containers(
    client: &Client,
    uid: Option<&PodUid>,
) -> Result<Vec<Container>, RuntimeError> {
    let filter = uid.map(|uid| ContainerFilter { label_selector: by_uid(uid), ..Default::default() });
    let request = ListContainersRequest { filter };
    let answer = client
        .runtime(Operation::ListContainers, Deadline::Default, request, async |mut c, r| {
            c.list_containers(r).await
        })
        .await?;
    Ok(answer.containers)
}

/// Lists sandboxes, of one pod or of all.
pub(crate) async fn list_sandboxes(
    client: &Client,
    uid: Option<&PodUid>,
) -> Result<Vec<PodSandbox>, RuntimeError> {
    let filter = uid.map(|uid| PodSandboxFilter { label_selector: by_uid(uid), ..Default::default() });
    let request = ListPodSandboxRequest { filter };
    let answer = client
        .runtime(Operation::ListPodSandbox, Deadline::Default, request, async |mut c, r| {
            c.list_pod_sandbox(r).await
        })
        .await?;
    Ok(answer.items)
}

fn by_uid(uid: &PodUid) -> BTreeMap<String, String> {
    BTreeMap::from([(labels::POD_UID.to_owned(), uid.as_str().to_owned())])
}

/// Every pod that carries our labels, ordered by uid. Containers and sandboxes of others are passed over.
pub(crate) fn group(sandboxes: &[PodSandbox], containers: &[Container]) -> Vec<ListedPod> {
    let mut pods: BTreeMap<PodUid, ListedPod> = BTreeMap::new();
    for sandbox in sandboxes {
        if let Some(listed) = entry(&mut pods, &sandbox.labels) {
            listed.sandboxes.push((sandbox.id.as_str().into(), sandbox_ready(sandbox.state)));
        }
    }
    for container in containers {
        if let Some(listed) = entry(&mut pods, &container.labels) {
            listed.containers.push((container.id.as_str().into(), container_state(container.state)));
        }
    }
    pods.into_values().collect()
}

fn entry<'a>(
    pods: &'a mut BTreeMap<PodUid, ListedPod>,
    labels: &BTreeMap<String, String>,
) -> Option<&'a mut ListedPod> {
    let uid = PodUid::from(labels.get(labels::POD_UID).filter(|uid| !uid.is_empty())?.as_str());
    let text = |key: &str| labels.get(key).cloned().unwrap_or_default();
    Some(pods.entry(uid.clone()).or_insert_with(|| ListedPod {
        uid,
        namespace: text(labels::POD_NAMESPACE),
        name: text(labels::POD_NAME),
        sandboxes: Vec::new(),
        containers: Vec::new(),
    }))
}

/// What is remembered between looks.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) exited: Exited,
    pub(crate) expected: Expected,
}

/// Reads one pod. What vanishes between list and status is passed over: the list alone would not have failed either.
pub(crate) async fn inspect(
    client: &Client,
    memory: &Memory,
    messages: &MessageReader,
    uid: &PodUid,
) -> Result<RuntimePod, RuntimeError> {
    let expected = memory.expected.of(uid);
    let sandboxes = expected.sandboxes.clone().into_iter().map(|id| sandbox_status(client, id));
    let containers = expected.containers.clone().into_iter().map(|id| early_status(client, id));
    let early = async {
        let sandboxes = stream::iter(sandboxes).buffer_unordered(AT_ONCE).collect::<HashMap<_, _>>();
        let containers = stream::iter(containers).buffer_unordered(AT_ONCE).collect::<HashMap<_, _>>();
        Ok(futures::join!(sandboxes, containers))
    };
    let (sandboxes, containers, (mut sandbox_statuses, mut statuses)) =
        futures::try_join!(list_sandboxes(client, Some(uid)), list_containers(client, Some(uid)), early)?;
    memory.exited.keep_only(uid, containers.iter().map(|c| c.id.as_str()));

    let sandboxes = sandboxes.into_iter().map(|sandbox| {
        let id = SandboxId::from(sandbox.id);
        let early = sandbox_statuses.remove(&id);
        async move {
            match early {
                Some(status) => status,
                None => sandbox_status(client, id).await.1,
            }
        }
    });
    let sandboxes = stream::iter(sandboxes)
        .buffer_unordered(AT_ONCE)
        .try_filter_map(async |found| Ok(found))
        .try_collect::<Vec<SandboxRecord>>();
    let containers = containers.into_iter().map(|container| {
        let early = statuses.remove(&ContainerId::from(container.id.as_str()));
        container_record(client, &memory.exited, messages, uid, container, early)
    });
    let containers = stream::iter(containers)
        .buffer_unordered(AT_ONCE)
        .try_filter_map(async |found| Ok(found))
        .try_collect::<Vec<ContainerRecord>>();
    let (mut sandboxes, mut containers) = futures::try_join!(sandboxes, containers)?;

    // A sandbox's attempt is the better order: two can be created within one tick of a coarse clock.
    sandboxes.sort_by(|a, b| {
        (b.attempt, b.created_at).cmp(&(a.attempt, a.created_at)).then_with(|| a.id.cmp(&b.id))
    });
    containers.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id)));
    let found = RuntimePod { sandboxes, containers };
    memory.expected.found(uid, &expected, &found);
    Ok(found)
}

/// Status of a sandbox; `Ok(None)` when it is not there.
async fn sandbox_status(
    client: &Client,
    id: SandboxId,
) -> (SandboxId, Result<Option<SandboxRecord>, RuntimeError>) {
    let request = PodSandboxStatusRequest { pod_sandbox_id: id.as_str().to_owned(), verbose: false };
    let answer = client
        .runtime(Operation::PodSandboxStatus, Deadline::Default, request, async |mut c, r| {
            c.pod_sandbox_status(r).await
        })
        .await;
    let found = match answer {
        Ok(answer) => match answer.status {
            Some(status) => Ok(Some(convert::sandbox(&status))),
            None => Err(RuntimeError::Invalid {
                call: "PodSandboxStatus",
                message: "pod sandbox status is nil".into(),
            }),
        },
        Err(RuntimeError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    (id, found)
}

type EarlyStatus = Result<proto::cri::ContainerStatus, RuntimeError>;

async fn early_status(client: &Client, id: ContainerId) -> (ContainerId, EarlyStatus) {
    let status = container_status(client, &id).await;
    (id, status)
}

/// `early`: its status, if that was asked for beside the lists.
async fn container_record(
    client: &Client,
    exited: &Exited,
    messages: &MessageReader,
    uid: &PodUid,
    container: Container,
    early: Option<EarlyStatus>,
) -> Result<Option<ContainerRecord>, RuntimeError> {
    let id = ContainerId::from(container.id.as_str());
    if container_state(container.state) == RuntimeState::Exited
        && let Some(known) = exited.get(&id)
    {
        return Ok(Some(known));
    }
    let status = match early {
        Some(status) => status,
        None => container_status(client, &id).await,
    };
    let status = match status {
        Ok(status) => status,
        Err(RuntimeError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut record = convert::container(&status, container.pod_sandbox_id.as_str().into());
    if record.state == RuntimeState::Exited {
        let message = messages.read(&status).await;
        if !message.is_empty() {
            if !record.message.is_empty() {
                record.message.push_str(": ");
            }
            record.message.push_str(&message);
        }
        exited.put(uid, &mut record);
    }
    Ok(Some(record))
}

/// Status of one container.
pub(crate) async fn container_status(
    client: &Client,
    id: &ContainerId,
) -> Result<proto::cri::ContainerStatus, RuntimeError> {
    let request = ContainerStatusRequest { container_id: id.as_str().to_owned(), verbose: false };
    let answer = client
        .runtime(Operation::ContainerStatus, Deadline::Default, request, async |mut c, r| {
            c.container_status(r).await
        })
        .await?;
    answer.status.ok_or_else(|| RuntimeError::Invalid {
        call: "ContainerStatus",
        message: "container status is nil".into(),
    })
}

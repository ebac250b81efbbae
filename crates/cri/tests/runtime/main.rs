//! [`cri::CriRuntime`] against an in-memory runtime on a real socket: what goes over the wire and what comes back in
//! `calls`, what happens when the other side misbehaves in `faults`, what the edge hears of itself in `hints`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{collections::BTreeSet, fs, path::Path, sync::Arc, time::Duration};

use cri::{CriConfig, CriRuntime};
use fakes::{
    pods,
    runtime::{
        ContainerScript, Core, FakeCri, Fault, ImageScript, OnTerm, When, container_request, sandbox_request,
    },
};
use k8s_openapi::api::core::v1::{EphemeralContainer, Lifecycle, LifecycleHandler, SleepAction};
use lifecycle::{
    ContainerId, LogFate, PodUid, SandboxId,
    observation::{RuntimePod, RuntimeState},
    spec::hash::container_hash,
};
use proto::cri::IdMapping;
use seams::{
    Runtime, RuntimeError,
    runtime::{
        Became, ContainerMount, ContainerRequest, ImageInfo, ObjectEvent, Propagation, RegistryAuth,
        RuntimeHint, SandboxRequest, UserNamespace,
    },
};
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;
use tonic::Code;

mod calls;
mod faults;
mod hints;

/// Longest for anything to come about.
const LIMIT: Duration = Duration::from_secs(20);

struct World {
    dir: TempDir,
    server: FakeCri,
    core: Core,
    runtime: CriRuntime,
}

impl World {
    fn new() -> Self {
        Self::with_timeout(Duration::from_secs(10))
    }

    fn with_timeout(request_timeout: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let core = Core::new();
        core.add_image("img", Some(1000), "");
        let server = FakeCri::start(core.clone(), &dir.path().join("cri.sock")).unwrap();
        let config = CriConfig {
            request_timeout,
            pod_logs_dir: dir.path().join("pods"),
            container_links_dir: Some(dir.path().join("links")),
            ..CriConfig::new(server.endpoint())
        };
        let runtime = CriRuntime::connect(&config).unwrap();
        Self { dir, server, core, runtime }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn sandbox(&self, uid: &str, attempt: u32) -> SandboxRequest {
        let mut pod = pods::pod("ns", "p", uid, &[("c", "img")]);
        pod.metadata.labels = Some([("app".to_owned(), "x".to_owned())].into());
        pod.metadata.annotations = Some([("note".to_owned(), "y".to_owned())].into());
        pod.metadata.deletion_grace_period_seconds = Some(4);
        let spec = pod.spec.as_mut().unwrap();
        spec.termination_grace_period_seconds = Some(30);
        spec.containers[0].termination_message_path = Some("/dev/termination-log".into());
        spec.containers[0].lifecycle = Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: 1 }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        });
        spec.ephemeral_containers = Some(vec![EphemeralContainer {
            name: "debug".into(),
            image: Some("img".into()),
            target_container_name: Some("c".into()),
            ..EphemeralContainer::default()
        }]);
        SandboxRequest {
            attempt,
            runtime_handler: "runc".into(),
            hostname: "p".into(),
            log_directory: self.path(&format!("pods/ns_p_{uid}")),
            cgroup_parent: "/kubepods/p".into(),
            seccomp_root: "/seccomp".into(),
            ..sandbox_request(pod)
        }
    }

    fn container(&self, sandbox: &SandboxId, uid: &str, name: &str, attempt: u32) -> ContainerRequest {
        ContainerRequest {
            image: ImageInfo { uid: Some(1000), ..ImageInfo::default() },
            command: vec!["run".into()],
            env: vec![("BYTES".into(), vec![0xff, 0x00])],
            mounts: vec![ContainerMount {
                volume: String::new(),
                container_path: "/dev/termination-log".into(),
                host_path: self.path("message"),
                read_only: false,
                recursive_read_only: false,
                selinux_relabel: true,
                propagation: Propagation::Private,
            }],
            ..container_request(&self.sandbox(uid, 0), sandbox, name, attempt)
        }
    }

    async fn started(&self, uid: &str) -> (SandboxId, ContainerId) {
        let sandbox = self.runtime.run_sandbox(&self.sandbox(uid, 0)).await.unwrap();
        let id = self.runtime.create_container(&self.container(&sandbox, uid, "c", 0)).await.unwrap();
        self.runtime.start_container(&id).await.unwrap();
        self.runtime.link_log(&id).await;
        (sandbox, id)
    }
}

fn uid(text: &str) -> PodUid {
    PodUid::from(text)
}

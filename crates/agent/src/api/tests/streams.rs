//! Ways into containers: which container is meant, and what the runtime is asked.

use fakes::{
    clock::HandClock,
    runtime::{Code, ContainerScript, Core, FakeRuntime, Fault, When, sandbox_request},
};
use lifecycle::PodSource;
use seams::runtime::SandboxRequest;
use serde_json::json;

use super::super::*;

struct World {
    api: Api,
    runtime: FakeRuntime,
    wanted: Wanted,
    root: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let runtime = FakeRuntime::new();
        runtime.core.add_image("img", None, "");
        runtime.core.streaming_at("http://127.0.0.1:1");
        let (wanted, statuses) = (Wanted::default(), Arc::new(StatusQueue::new(None)));
        let seam = Arc::new(runtime.clone());
        let noon = Arc::new(HandClock::at("2026-11-24T12:00:00.75Z".parse().unwrap()));
        let api = Api::new(AgentConfig::in_tests(root.path()), seam, wanted.clone(), statuses, noon);
        Self { api, runtime, wanted, root }
    }

    /// A pod with a container, one with a terminal, and one that does not run.
    async fn pod(&self, name: &str, uid: &str) -> Vec<String> {
        let pod = json!({
            "metadata": {"name": name, "namespace": "ns", "uid": uid},
            "spec": {"containers": [
                {"name": "c", "image": "img"},
                {"name": "tty", "image": "img", "tty": true},
                {"name": "waits", "image": "img"},
            ]},
        });
        let pod: Arc<Pod> = Arc::new(serde_json::from_value(pod).unwrap());
        self.wanted.insert(PodUid::from(uid.to_owned()), PodSource::Api, Arc::clone(&pod));
        let sandbox = SandboxRequest {
            log_directory: self.root.path().join("logs").display().to_string(),
            ..sandbox_request(pod)
        };
        let (sandbox_id, containers) = self.runtime.start_pod(&sandbox, &["c", "tty"]).await.unwrap();
        let mut ids = vec![sandbox_id.as_str().to_owned()];
        ids.extend(containers.iter().map(|id| id.as_str().to_owned()));
        ids
    }

    fn core(&self) -> &Core {
        &self.runtime.core
    }
}

fn path(name: &str, uid: Option<&str>) -> PodPath {
    PodPath { namespace: "ns".to_owned(), name: name.to_owned(), uid: uid.map(str::to_owned) }
}

const ALL: Streams = Streams { stdin: true, stdout: true, stderr: true, tty: false };

#[tokio::test]
async fn a_command_runs_in_the_container_that_is_meant() {
    let world = World::new();
    let ids = world.pod("p", "u1").await;
    world.pod("q", "u2").await;
    let command = ["echo".to_owned(), "a b".to_owned()];
    let exec =
        async |path: &PodPath, container: &str| world.api.exec_url(path, container, &command, ALL).await;
    let expected = format!("http://127.0.0.1:1/exec/{}/echo+a b", ids[1]);
    assert_eq!(exec(&path("p", None), "c").await.unwrap(), expected);
    assert_eq!(exec(&path("p", Some("u1")), "c").await.unwrap(), expected);
    assert!(matches!(exec(&path("x", None), "c").await, Err(StreamRefusal::NoPod)));
    for (pod, container) in
        [(path("p", Some("u2")), "c"), (path("p", None), "waits"), (path("p", None), "none")]
    {
        let refusal = exec(&pod, container).await.unwrap_err();
        assert_eq!(refusal.to_string(), format!("container not found (\"{container}\")"));
    }
    world.core().exit_container(&ids[1], 0);
    assert!(
        matches!(exec(&path("p", None), "c").await, Err(StreamRefusal::NoContainer(_))),
        "it runs no more"
    );
}

#[tokio::test]
async fn attaching_follows_what_the_container_was_made_with() {
    let world = World::new();
    let ids = world.pod("p", "u1").await;
    let attach =
        async |container: &str, streams| world.api.attach_url(&path("p", None), container, streams).await;
    let (url, streams) = attach("c", ALL).await.unwrap();
    assert_eq!((url, streams), (format!("http://127.0.0.1:1/attach/{}", ids[1]), ALL));
    // Whatever the client thinks of terminals.
    let (_, streams) = attach("c", Streams { tty: true, ..ALL }).await.unwrap();
    assert!(!streams.tty && streams.stderr);
    let (url, streams) = attach("tty", ALL).await.unwrap();
    assert_eq!(url, format!("http://127.0.0.1:1/attach/{}", ids[2]));
    assert!(streams.tty && !streams.stderr && streams.stdin && streams.stdout);
    assert_eq!(attach("none", ALL).await.unwrap_err().to_string(), "container none not found in pod p_ns");
}

#[tokio::test]
async fn ports_are_those_of_the_sandbox_that_runs() {
    let world = World::new();
    let ids = world.pod("p", "u1").await;
    let forward = async |path: &PodPath| world.api.port_forward_url(path, &[80]).await;
    assert_eq!(
        forward(&path("p", None)).await.unwrap(),
        format!("http://127.0.0.1:1/portforward/{}", ids[0])
    );
    assert!(matches!(forward(&path("x", None)).await, Err(StreamRefusal::NoPod)));
    assert!(matches!(forward(&path("p", Some("u9"))).await, Err(StreamRefusal::OtherPod)));
    world.core().kill_sandbox(&ids[0]);
    let refusal = forward(&path("p", None)).await.unwrap_err();
    assert_eq!(refusal.to_string(), "failed to find sandboxID for pod \"p_ns(u1)\"");
}

#[tokio::test]
async fn what_the_runtime_says_is_handed_on() {
    let world = World::new();
    world.pod("p", "u1").await;
    for method in ["Exec", "Attach", "PortForward"] {
        let busy = Fault::Fail(Code::ResourceExhausted, "too many".to_owned());
        world.core().plan(method, busy, When::Before, None);
    }
    let path = path("p", None);
    let command = ["true".to_owned()];
    for refusal in [
        world.api.exec_url(&path, "c", &command, ALL).await.unwrap_err(),
        world.api.attach_url(&path, "c", ALL).await.unwrap_err(),
        world.api.port_forward_url(&path, &[]).await.unwrap_err(),
    ] {
        let StreamRefusal::Runtime { source } = refusal else { panic!("{refusal:?}") };
        assert!(matches!(source, RuntimeError::Failed { code: "ResourceExhausted", .. }), "{source:?}");
    }
    // One pod whose inspection hangs keeps only its own callers waiting.
    world.core().plan("PodSandboxStatus", Fault::Hang, When::Before, Some(1));
    let hung = world.api.exec_url(&path, "c", &command, ALL);
    assert!(tokio::time::timeout(Duration::from_millis(50), hung).await.is_err());
    world.core().heal("Exec");
    world.api.exec_url(&path, "c", &command, ALL).await.unwrap();
}

#[tokio::test]
async fn a_command_runs_to_its_end() {
    let world = World::new();
    world.core().script_container(
        "c",
        ContainerScript { exec: (Duration::ZERO, 3, "said".to_owned()), ..ContainerScript::default() },
    );
    world.pod("p", "u1").await;
    let result = world.api.run(&path("p", None), "c", &["x".to_owned()]).await.unwrap();
    assert_eq!((result.exit_code, result.stdout.as_slice()), (3, &b"said"[..]));
}

#[tokio::test]
async fn a_checkpoint_is_written_where_only_root_reads() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let ids = world.pod("p", "u1").await;
    let checkpoint = async |pod: &str, container: &str| {
        world.api.checkpoint(&path(pod, None), container, Duration::ZERO).await
    };
    let archive = checkpoint("p", "c").await.unwrap();
    let folder = world.root.path().join("checkpoints");
    assert_eq!(archive, folder.join("checkpoint-p_ns-c-2026-11-24T12:00:00Z.tar"));
    assert_eq!(std::fs::read_to_string(&archive).unwrap(), ids[1]);
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(matches!(checkpoint("x", "c").await, Err(CheckpointRefusal::NoPod)));
    assert!(matches!(checkpoint("p", "../c").await, Err(CheckpointRefusal::NoContainer(_))));
    assert!(matches!(checkpoint("p", "waits").await, Err(CheckpointRefusal::NotRunning(_))));
    world.core().plan(
        "CheckpointContainer",
        Fault::Fail(Code::Unimplemented, String::new()),
        When::Before,
        None,
    );
    assert!(matches!(checkpoint("p", "c").await, Err(CheckpointRefusal::Runtime { .. })));
}

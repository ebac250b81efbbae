//! [`CriRuntime`] against a real runtime, with a pod in the node's network. It leaves nothing behind.

use std::{fs, path::Path, time::Duration};

use cri::{CriConfig, CriRuntime, config::host_facts};
use fakes::{
    pods,
    runtime::{container_request, sandbox_request},
};
use k8s_openapi::api::core::v1::{Container, PodSpec, SecurityContext};
use lab::{Lab, images};
use lifecycle::{ContainerId, LogFate, PodUid, SandboxId, observation::RuntimeState};
use seams::{
    Runtime, RuntimeError,
    runtime::{
        Became, ContainerMount, ContainerRequest, ImageInfo, LinuxResources, Propagation, RuntimeHint,
        SandboxRequest,
    },
};

const LIMIT: Duration = Duration::from_secs(60);

fn sandbox(dir: &Path, cgroup: &str, image: &str) -> SandboxRequest {
    let uid = "11111111-2222-3333-4444-555555555555";
    let mut pod = pods::pod("default", "live", uid, &[]);
    let container = |name: &str| Container {
        name: name.into(),
        image: Some(image.to_owned()),
        termination_message_path: Some("/dev/termination-log".into()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            ..SecurityContext::default()
        }),
        ..Container::default()
    };
    pod.spec = Some(PodSpec {
        host_network: Some(true),
        containers: vec![container("runs"), container("speaks"), container("fails")],
        termination_grace_period_seconds: Some(2),
        ..PodSpec::default()
    });
    SandboxRequest {
        log_directory: dir.join("pods/default_live_1111").to_str().unwrap().into(),
        cgroup_parent: cgroup.into(),
        seccomp_default: true,
        seccomp_root: "/nonexistent".into(),
        ..sandbox_request(pod)
    }
}

async fn wait_for(runtime: &CriRuntime, uid: &PodUid, id: &ContainerId, state: RuntimeState) {
    let reached = async {
        while runtime
            .inspect_pod(uid)
            .await
            .unwrap()
            .containers
            .iter()
            .all(|c| c.id != *id || c.state != state)
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, reached).await.unwrap_or_else(|_| panic!("{id} is not {state:?}"));
}

pub(crate) async fn a_pod_on_a_real_runtime(lab: &Lab) {
    let image = images::BUSYBOX.to_owned();
    let dir = tempfile::tempdir().unwrap();
    let config = CriConfig {
        pod_logs_dir: dir.path().join("pods"),
        container_links_dir: Some(dir.path().join("links")),
        host: host_facts(),
        ..CriConfig::new(format!("unix://{}", lab.paths().containerd_socket.display()))
    };
    let runtime = CriRuntime::connect(&config).unwrap();
    println!("{:?}", runtime.version().await.unwrap());
    let status = runtime.status().await.unwrap();
    assert!(status.runtime_ready.unwrap().ready);
    println!("cgroup driver {:?}", runtime.cgroup_driver().await.unwrap());
    runtime.pull_image(&image, None, &sandbox(dir.path(), "", "x")).await.unwrap();
    let found = runtime.image_status(&image, "").await.unwrap().expect("the image");
    assert!(!runtime.list_images().await.unwrap().is_empty());
    println!("image filesystems {:?}", runtime.image_fs().await.unwrap());
    let absent = runtime.pull_image("localhost:1/none:1", None, &sandbox(dir.path(), "", "x")).await;
    println!("absent image: {}", absent.unwrap_err());

    let mut hints = runtime.hints();
    let request = sandbox(dir.path(), &format!("{}/client", lab.plan().cgroup_root), &image);
    let uid = PodUid::from(request.pod.metadata.uid.clone().unwrap());
    let id = runtime.run_sandbox(&request).await.unwrap();
    let outcome = tokio::spawn({
        let (runtime, request, id, uid) = (runtime.clone(), request.clone(), id.clone(), uid.clone());
        let dir = dir.path().to_owned();
        async move { live(&runtime, &request, &id, &uid, &image, &found, &dir).await }
    })
    .await;
    // Whatever happened, leave nothing behind.
    runtime.stop_sandbox(&id).await.unwrap();
    for container in runtime.inspect_pod(&uid).await.unwrap().containers {
        runtime.remove_container(&container.id, LogFate::Remove).await.unwrap();
    }
    runtime.remove_sandbox(&id).await.unwrap();
    outcome.unwrap();

    assert!(runtime.inspect_pod(&uid).await.unwrap().sandboxes.is_empty());
    assert_eq!(fs::read_dir(dir.path().join("links")).unwrap().count(), 0);
    // Events name what they are about, up to the end of the sandbox; lists that are compared do not.
    let is_last = |hint: &RuntimeHint| match hint {
        RuntimeHint::Pod(pod) => *pod == uid,
        RuntimeHint::Object(pod, event) => {
            *pod == uid && event.id.as_str() == id.as_str() && event.became == Became::Stopped
        }
        RuntimeHint::Everything | RuntimeHint::Listing => false,
    };
    let told = async { while !is_last(&hints.recv().await.unwrap()) {} };
    tokio::time::timeout(LIMIT, told).await.expect("a hint about the pod");
}

async fn live(
    runtime: &CriRuntime,
    request: &SandboxRequest,
    sandbox_id: &SandboxId,
    uid: &PodUid,
    image: &str,
    found: &ImageInfo,
    dir: &Path,
) {
    let make = async |name: &str, script: &str| {
        let message = dir.join(format!("message-{name}"));
        fs::write(&message, "").unwrap();
        let container = ContainerRequest {
            image_ref: found.id.clone(),
            image: runtime.image_status(image, "").await.unwrap().unwrap(),
            command: vec!["/bin/sh".into(), "-c".into(), script.into()],
            env: vec![("GREETING".into(), b"hello".to_vec())],
            mounts: vec![ContainerMount {
                volume: String::new(),
                container_path: "/dev/termination-log".into(),
                host_path: message.to_str().unwrap().into(),
                read_only: false,
                recursive_read_only: false,
                selinux_relabel: false,
                propagation: Propagation::Private,
            }],
            resources: LinuxResources {
                cpu_shares: 102,
                memory_limit: 64 << 20,
                oom_score_adj: 900,
                ..LinuxResources::default()
            },
            ..container_request(request, sandbox_id, name, 0)
        };
        let id = runtime.create_container(&container).await.unwrap();
        runtime.start_container(&id).await.unwrap();
        runtime.link_log(&id).await;
        id
    };

    let runs = make("runs", "echo $GREETING; trap 'exit 5' TERM; while :; do sleep 0.1; done").await;
    wait_for(runtime, uid, &runs, RuntimeState::Running).await;
    let pod = runtime.inspect_pod(uid).await.unwrap();
    assert!(pod.sandboxes[0].ready && pod.sandboxes[0].host_network && pod.sandboxes[0].ips.is_empty());
    let record = &pod.containers[0];
    assert!(found.repo_digests.contains(&record.image_ref), "{} of {found:?}", record.image_ref);
    assert_eq!(record.hash, lifecycle::spec::hash::container_hash("runs", image));
    println!("{record:?}");

    let second = runtime.run_sandbox(request).await.unwrap_err();
    println!("second sandbox of one identity: {second}");
    let command = |text: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()];
    let ran = runtime.exec(&runs, &command("echo out; exit 3"), Duration::from_secs(5)).await.unwrap();
    assert_eq!((ran.exit_code, ran.stdout.as_slice()), (3, b"out\n".as_slice()));
    let late = runtime.exec(&runs, &command("sleep 20"), Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(late, RuntimeError::Deadline { call: "ExecSync", after: Duration::from_secs(1) });
    let link = dir.join(format!("links/live_default_runs-{runs}.log"));
    assert!(fs::read_to_string(&link).unwrap().ends_with("stdout F hello\n"));
    assert_eq!(runtime.skeleton(uid).await.unwrap().unwrap().metadata.name.as_deref(), Some("live"));

    let speaks = make("speaks", "echo -n bye > /dev/termination-log; exit 0").await;
    let fails = make("fails", "echo from the log >&2; exit 7").await;
    for id in [&speaks, &fails] {
        wait_for(runtime, uid, id, RuntimeState::Exited).await;
    }
    runtime.stop_container(&runs, Duration::from_secs(5)).await.unwrap();
    let pod = runtime.inspect_pod(uid).await.unwrap();
    let ends: Vec<_> = [&runs, &speaks, &fails]
        .map(|id| pod.containers.iter().find(|c| c.id == *id).unwrap())
        .map(|c| (c.exit_code, c.reason.as_str(), c.message.as_str()))
        .into();
    assert_eq!(ends, [(5, "Error", "hello\n"), (0, "Completed", "bye"), (7, "Error", "from the log\n")]);
    // containerd 1.6 says "not found", 2.x that it is stopped.
    let gone = runtime.stop_container(&ContainerId::from("gone"), Duration::ZERO).await;
    assert!(matches!(gone, Ok(()) | Err(RuntimeError::NotFound { .. })), "{gone:?}");
    runtime.remove_container(&ContainerId::from("gone"), LogFate::Remove).await.unwrap();
}

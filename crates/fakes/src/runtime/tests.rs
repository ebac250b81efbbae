//! The fake keeps the promises that tests of others rely on.

use std::time::Duration;

use lifecycle::{LogFate, PodUid, SandboxId, observation::RuntimeState, spec::hash::container_hash};
use seams::{
    Runtime, RuntimeError,
    runtime::{Became, ContainerRequest, ObjectEvent, RuntimeHint, SandboxRequest},
};
use tonic::Code;

use super::{
    ContainerScript, FakeRuntime, Fault, ImageScript, OnTerm, When, container_request, sandbox_request,
};
use crate::pods;

fn sandbox(attempt: u32) -> SandboxRequest {
    let mut pod = pods::pod("ns", "p", "u", &[("c", "img")]);
    if let Some(spec) = &mut pod.spec {
        spec.termination_grace_period_seconds = Some(7);
    }
    SandboxRequest { attempt, ..sandbox_request(pod) }
}

fn container(sandbox_id: &SandboxId, attempt: u32) -> ContainerRequest {
    container_request(&sandbox(0), sandbox_id, "c", attempt)
}

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn a_pod_lives_as_scripted() {
    let runtime = FakeRuntime::new();
    let core = runtime.core.clone();
    core.script_container("c", ContainerScript::exits(Duration::from_secs(3), 4));
    let mut hints = runtime.hints();
    let id = runtime.run_sandbox(&sandbox(0)).await.unwrap();
    let made = ObjectEvent { id: id.as_str().into(), became: Became::Started };
    assert_eq!(hints.recv().await, Some(RuntimeHint::Object("u".into(), made)));

    let missing = runtime.create_container(&container(&id, 0)).await.unwrap_err();
    assert!(matches!(missing, RuntimeError::NotFound { .. }), "no image yet: {missing}");
    runtime.pull_image("img", None, &sandbox(0)).await.unwrap();
    let made = runtime.create_container(&container(&id, 0)).await.unwrap();
    runtime.start_container(&made).await.unwrap();
    core.until("exited", LIMIT, |core| core.containers()[0].exit_code == 4).await.unwrap();

    let pod = runtime.inspect_pod(&PodUid::from("u")).await.unwrap();
    let record = &pod.containers[0];
    assert_eq!((record.state, record.exit_code, record.reason.as_str()), (RuntimeState::Exited, 4, "Error"));
    assert_eq!(record.hash, container_hash("c", "img"));
    assert_eq!(record.annotated_grace, Some(Duration::from_secs(7)));
    assert!(pod.sandboxes[0].ready && !pod.sandboxes[0].ips.is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_identity_exists_twice() {
    let runtime = FakeRuntime::new();
    runtime.core.add_image("img", None, "");
    let id = runtime.run_sandbox(&sandbox(0)).await.unwrap();
    assert!(runtime.run_sandbox(&sandbox(0)).await.is_err());
    let made = runtime.create_container(&container(&id, 0)).await.unwrap();
    assert!(runtime.create_container(&container(&id, 0)).await.is_err());
    runtime.create_container(&container(&id, 1)).await.unwrap();
    runtime.remove_container(&made, LogFate::Remove).await.unwrap();
    runtime.create_container(&container(&id, 0)).await.unwrap();
    runtime.remove_sandbox(&id).await.unwrap();
    assert!(runtime.core.containers().is_empty());
    runtime.run_sandbox(&sandbox(0)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn stopping_takes_what_the_container_takes_at_most_the_grace() {
    let runtime = FakeRuntime::new();
    runtime.core.add_image("img", None, "");
    let id = runtime.run_sandbox(&sandbox(0)).await.unwrap();
    for (attempt, on_term, takes, code) in [
        (0, OnTerm::Exit(Duration::from_secs(2), 0), 2, 0),
        (1, OnTerm::Exit(Duration::from_secs(60), 0), 10, 137),
        (2, OnTerm::Ignore, 10, 137),
    ] {
        runtime.core.script_container("c", ContainerScript { on_term, ..ContainerScript::default() });
        let made = runtime.create_container(&container(&id, attempt)).await.unwrap();
        runtime.start_container(&made).await.unwrap();
        let began = tokio::time::Instant::now();
        runtime.stop_container(&made, Duration::from_secs(10)).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), takes);
        let record = runtime.inspect_pod(&"u".into()).await.unwrap().containers.remove(0);
        assert_eq!((record.id, record.exit_code), (made, code));
    }
}

#[tokio::test(start_paused = true)]
async fn faults_strike_before_or_after_the_effect_and_are_counted() {
    let runtime = FakeRuntime::new();
    let core = &runtime.core;
    let fail = || Fault::Fail(Code::Unknown, "boom".into());
    core.plan("RunPodSandbox", fail(), When::Before, Some(1));
    let error = runtime.run_sandbox(&sandbox(0)).await.unwrap_err();
    assert_eq!(error.to_string(), "rpc error: code = Unknown desc = boom");
    assert!(core.sandboxes().is_empty());
    core.plan("RunPodSandbox", fail(), When::After, Some(1));
    assert!(runtime.run_sandbox(&sandbox(0)).await.is_err());
    assert_eq!(core.sandboxes().len(), 1, "made, but its maker does not know");
    runtime.run_sandbox(&sandbox(1)).await.unwrap();
    assert_eq!(core.count("RunPodSandbox"), 3);

    core.plan("Version", Fault::Hang, When::Before, None);
    let hung = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.version().await }
    });
    core.until("hangs", LIMIT, |core| core.count("Version") == 1).await.unwrap();
    hung.abort();
}

#[tokio::test(start_paused = true)]
async fn private_images_want_their_password() {
    let runtime = FakeRuntime::new();
    runtime.core.script_image("secret", ImageScript::Private("me".into(), "pw".into()));
    assert!(runtime.pull_image("secret", None, &sandbox(0)).await.is_err());
    let auth =
        seams::runtime::RegistryAuth { username: "me".into(), password: "pw".into(), ..Default::default() };
    let id = runtime.pull_image("secret", Some(&auth), &sandbox(0)).await.unwrap();
    assert_eq!(runtime.image_status("secret", "").await.unwrap().unwrap().id, id);
    assert_eq!(runtime.image_status(&id, "").await.unwrap().unwrap().id, id);
    runtime.remove_image(&id).await.unwrap();
    assert_eq!(runtime.image_status("secret", "").await.unwrap(), None);
}

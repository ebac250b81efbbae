//! A pod from its sandbox to nothing, images, and the runtime itself.

use super::*;

#[tokio::test]
async fn a_pod_from_sandbox_to_nothing() {
    let world = World::new();
    world.core.script_container(
        "c",
        ContainerScript {
            log: vec!["hello".into()],
            last_words: Some("last words".into()),
            exec: (Duration::ZERO, 3, "out".into()),
            ..ContainerScript::default()
        },
    );
    let (sandbox, id) = world.started("u").await;

    let log = world.path("pods/ns_p_u/c/0.log");
    let link = world.path(&format!("links/p_ns_c-{id}.log"));
    assert_eq!(fs::read_link(&link).unwrap(), Path::new(&log));
    assert!(fs::read_to_string(&link).unwrap().contains("hello"));

    let ran = world.runtime.exec(&id, &["x".into()], Duration::from_secs(1)).await.unwrap();
    assert_eq!((ran.exit_code, ran.stdout.as_slice()), (3, b"out".as_slice()));

    let pod = world.runtime.inspect_pod(&uid("u")).await.unwrap();
    assert!(pod.sandboxes[0].ready && pod.sandboxes[0].ips.len() == 1 && !pod.sandboxes[0].host_network);
    let running = &pod.containers[0];
    assert_eq!((running.state, running.attempt, &running.sandbox), (RuntimeState::Running, 0, &sandbox));
    assert_eq!(running.hash, container_hash("c", "img"));
    assert_eq!(running.annotated_grace, Some(Duration::from_secs(4)));
    assert_eq!(world.core.sandboxes()[0].handler, "runc");
    assert_eq!(world.core.containers()[0].config.envs[0].value, [0xff, 0x00]);

    world.runtime.stop_container(&id, Duration::from_secs(5)).await.unwrap();
    let exited = world.runtime.inspect_pod(&uid("u")).await.unwrap().containers.remove(0);
    assert_eq!(
        (exited.state, exited.exit_code, exited.reason.as_str()),
        (RuntimeState::Exited, 143, "Error")
    );
    assert_eq!(exited.message, "last words");

    fs::write(format!("{log}.20240101-000000.gz"), "").unwrap();
    world.runtime.remove_container(&id, LogFate::Remove).await.unwrap();
    world.runtime.remove_container(&id, LogFate::Remove).await.unwrap();
    assert_eq!(fs::read_dir(world.path("pods/ns_p_u/c")).unwrap().count(), 0);
    assert!(fs::symlink_metadata(&link).is_err());
    for _ in 0..2 {
        world.runtime.stop_sandbox(&sandbox).await.unwrap();
        world.runtime.remove_sandbox(&sandbox).await.unwrap();
    }
    assert_eq!(world.runtime.list_pods().await.unwrap(), []);
    assert_eq!(world.runtime.skeleton(&uid("u")).await.unwrap(), None);
}

#[tokio::test]
async fn a_grace_without_end_is_one_that_the_wire_can_carry() {
    let world = World::new();
    let (_, id) = world.started("u").await;
    world.runtime.stop_container(&id, Duration::MAX).await.unwrap();
    assert_eq!(world.core.containers()[0].exit_code, 143);
}

#[tokio::test]
async fn attempts_come_newest_first_and_lists_agree_with_looks() {
    let world = World::new();
    world.core.script_container("c", ContainerScript::exits(Duration::ZERO, 1));
    let (sandbox, first) = world.started("u").await;
    world.core.until("exited", LIMIT, |c| c.containers()[0].exit_code == 1).await.unwrap();
    let second = world.runtime.create_container(&world.container(&sandbox, "u", "c", 1)).await.unwrap();
    world.started("other").await;

    let pod = world.runtime.inspect_pod(&uid("u")).await.unwrap();
    let order: Vec<_> = pod.containers.iter().map(|c| (c.id.clone(), c.attempt, c.state)).collect();
    let expected = [(second.clone(), 1, RuntimeState::Created), (first.clone(), 0, RuntimeState::Exited)];
    assert_eq!(order, expected);
    let listed = world.runtime.list_pods().await.unwrap();
    let listed = listed.iter().find(|p| p.uid == uid("u")).unwrap();
    assert_eq!((listed.namespace.as_str(), listed.name.as_str()), ("ns", "p"));
    assert_eq!(listed.sandboxes, [(sandbox, true)]);
    assert_eq!(listed.containers, [(first, RuntimeState::Exited), (second, RuntimeState::Created)]);
}

#[tokio::test]
async fn an_orphan_can_be_rebuilt_well_enough_to_stop_it() {
    let world = World::new();
    world.started("u").await;
    let pod = world.runtime.skeleton(&uid("u")).await.unwrap().unwrap();
    assert_eq!(pod.metadata.name.as_deref(), Some("p"));
    assert_eq!(pod.metadata.namespace.as_deref(), Some("ns"));
    assert_eq!(pod.metadata.labels.unwrap()["app"], "x");
    assert_eq!(pod.metadata.annotations.unwrap()["note"], "y");
    assert_eq!(pod.metadata.deletion_grace_period_seconds, Some(4));
    let spec = pod.spec.unwrap();
    assert_eq!(spec.termination_grace_period_seconds, Some(30));
    assert_eq!((spec.containers[0].name.as_str(), spec.containers[0].image.as_deref()), ("c", Some("img")));
    let hook = spec.containers[0].lifecycle.as_ref().unwrap().pre_stop.as_ref().unwrap();
    assert_eq!(hook.sleep.as_ref().unwrap().seconds, 1);
}

#[tokio::test]
async fn exited_containers_are_read_once_and_looks_are_bounded() {
    let world = World::new();
    world.core.script_container("c", ContainerScript::exits(Duration::ZERO, 0));
    let sandbox = world.runtime.run_sandbox(&world.sandbox("u", 0)).await.unwrap();
    for attempt in 0..20 {
        let request = world.container(&sandbox, "u", "c", attempt);
        let id = world.runtime.create_container(&request).await.unwrap();
        world.runtime.start_container(&id).await.unwrap();
    }
    let all_exited = |c: &Core| c.containers().iter().all(|c| c.reason == "Completed");
    world.core.until("all exited", LIMIT, all_exited).await.unwrap();
    world.core.plan("ContainerStatus", Fault::Delay(Duration::from_millis(20)), When::Before, None);
    world.runtime.inspect_pod(&uid("u")).await.unwrap();
    let most = world.core.most_in_flight("ContainerStatus");
    assert!((2..=8).contains(&most), "{most} at once");

    // Records are believed once they were read two seconds after the exit; then no look asks again.
    let before = world.core.count("ContainerStatus");
    let settled = async {
        loop {
            let count = world.core.count("ContainerStatus");
            world.runtime.inspect_pod(&uid("u")).await.unwrap();
            if world.core.count("ContainerStatus") == count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(LIMIT, settled).await.unwrap();
    assert!(world.core.count("ContainerStatus") > before, "young records are read again");
    assert_eq!(world.runtime.inspect_pod(&uid("u")).await.unwrap().containers.len(), 20);
}

#[tokio::test]
async fn what_a_look_expects_and_does_not_find_is_passed_over() {
    let world = World::new();
    let (sandbox, id) = world.started("u").await;
    assert_eq!(world.runtime.inspect_pod(&uid("u")).await.unwrap().containers.len(), 1);
    world.runtime.stop_container(&id, Duration::ZERO).await.unwrap();
    world.runtime.remove_container(&id, LogFate::Remove).await.unwrap();
    let pod = world.runtime.inspect_pod(&uid("u")).await.unwrap();
    assert_eq!((pod.containers.len(), &pod.sandboxes[0].id), (0, &sandbox));
    world.runtime.remove_sandbox(&sandbox).await.unwrap();
    assert_eq!(world.runtime.inspect_pod(&uid("u")).await.unwrap(), RuntimePod::default());
    let asked = world.core.count("PodSandboxStatus");
    assert_eq!(world.runtime.inspect_pod(&uid("u")).await.unwrap(), RuntimePod::default());
    assert_eq!(world.core.count("PodSandboxStatus"), asked, "it is not expected any more");
}

#[tokio::test]
async fn ephemeral_containers_look_into_their_target() {
    let world = World::new();
    let sandbox = world.runtime.run_sandbox(&world.sandbox("u", 0)).await.unwrap();
    let debug = world.container(&sandbox, "u", "debug", 0);
    let error = world.runtime.create_container(&debug).await.unwrap_err();
    assert!(error.to_string().contains("unable to find target container c"), "{error}");
    let target = world.runtime.create_container(&world.container(&sandbox, "u", "c", 0)).await.unwrap();
    world.runtime.start_container(&target).await.unwrap();
    world.runtime.create_container(&debug).await.unwrap();
    let made = world.core.containers().pop().unwrap().config;
    let options = made.linux.unwrap().security_context.unwrap().namespace_options.unwrap();
    assert_eq!((options.pid, options.target_id.as_str()), (3, target.as_str()));
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_the_runtime_is_asked() {
    let world = World::new();
    let sandbox = world.runtime.run_sandbox(&world.sandbox("u", 0)).await.unwrap();
    let unknown = world.container(&sandbox, "u", "nobody", 0);
    assert!(matches!(world.runtime.create_container(&unknown).await, Err(RuntimeError::Invalid { .. })));

    let mut request = world.sandbox("v", 0);
    let mut pod = request.pod.as_ref().clone();
    pod.spec.as_mut().unwrap().host_users = Some(false);
    request.pod = Arc::new(pod);
    let error = world.runtime.run_sandbox(&request).await.unwrap_err();
    assert!(error.to_string().contains("user namespace"), "{error}");
    assert_eq!((world.core.count("CreateContainer"), world.core.count("RunPodSandbox")), (0, 1));
}

#[tokio::test]
async fn a_user_namespace_is_that_of_sandbox_containers_and_mounts() {
    let world = World::new();
    let mut sandbox = world.sandbox("u", 0);
    let mut pod = sandbox.pod.as_ref().clone();
    pod.spec.as_mut().unwrap().host_users = Some(false);
    sandbox.pod = Arc::new(pod);
    sandbox.user_namespace = Some(UserNamespace { first: 131_072, length: 65_536 });
    let id = world.runtime.run_sandbox(&sandbox).await.unwrap();
    let made = world.core.sandboxes().pop().unwrap().config.linux.unwrap().security_context.unwrap();
    let ids = IdMapping { host_id: 131_072, container_id: 0, length: 65_536 };
    let namespace = proto::cri::UserNamespace { mode: 0, uids: vec![ids], gids: vec![ids] };
    assert_eq!(made.namespace_options.unwrap().userns_options, Some(namespace.clone()));

    let mut request = world.container(&id, "u", "c", 0);
    request.sandbox = sandbox;
    request.mounts.push(ContainerMount {
        volume: "v".into(),
        container_path: "/v".into(),
        host_path: "/host".into(),
        read_only: false,
        recursive_read_only: false,
        selinux_relabel: false,
        propagation: Propagation::Private,
    });
    world.runtime.create_container(&request).await.unwrap();
    let config = world.core.containers().pop().unwrap().config;
    let options = config.linux.unwrap().security_context.unwrap().namespace_options.unwrap();
    assert_eq!(options.userns_options, Some(namespace));
    assert!(config.mounts.iter().all(|m| m.uid_mappings == [ids] && m.gid_mappings == [ids]));
    assert!(!config.mounts.is_empty());
}

#[tokio::test]
async fn images() {
    let world = World::new();
    let sandbox = world.sandbox("u", 0);
    assert_eq!(world.runtime.image_status("img", "").await.unwrap().unwrap().uid, Some(1000));
    assert_eq!(world.runtime.image_status("none", "").await.unwrap(), None);

    world.core.script_image("private", ImageScript::Private("me".into(), "pw".into()));
    let refused = world.runtime.pull_image("private", None, &sandbox).await.unwrap_err();
    assert!(refused.to_string().starts_with("rpc error: code = Unknown desc = failed to pull"), "{refused}");
    let auth = RegistryAuth { username: "me".into(), password: "pw".into(), ..RegistryAuth::default() };
    let id = world.runtime.pull_image("private", Some(&auth), &sandbox).await.unwrap();
    assert_eq!(world.runtime.image_status("private", "").await.unwrap().unwrap().id, id);
    world.core.script_image("absent", ImageScript::Fails(Code::NotFound, "no such manifest".into()));
    let absent = world.runtime.pull_image("absent", None, &sandbox).await.unwrap_err();
    assert_eq!(absent.to_string(), "rpc error: code = NotFound desc = no such manifest");

    assert_eq!(world.runtime.list_images().await.unwrap().len(), 2);
    assert_eq!(world.runtime.image_fs().await.unwrap().0[0].used_bytes, 2_000_000);
    world.runtime.remove_image(&id).await.unwrap();
    world.runtime.remove_image(&id).await.unwrap();
    assert_eq!(world.runtime.list_images().await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_runtime_itself() {
    let world = World::new();
    let version = world.runtime.version().await.unwrap();
    assert_eq!((version.name.as_str(), version.api_version.as_str()), ("fake", "v1"));
    // What is only shown may be missing; the name, which ids are made from, may not.
    world.core.runtime_is("fake", "");
    assert_eq!(world.runtime.version().await.unwrap().name, "fake");
    world.core.runtime_is("", "1");
    let error = world.runtime.version().await.unwrap_err();
    assert!(matches!(error, RuntimeError::Invalid { call: "Version", .. }), "{error}");
    world.runtime.set_pod_cidr("10.1.0.0/24").await.unwrap();
    assert!(world.core.calls().iter().any(|c| c.object == "10.1.0.0/24"));
    assert!(world.runtime.cgroup_driver().await.unwrap().is_some());
    world.core.runtime_config_supported(false);
    assert_eq!(world.runtime.cgroup_driver().await.unwrap(), None);

    let text = "Network plugin returns error: cni plugin not initialized";
    world.core.set_ready(Ok(()), Err(("NetworkPluginNotReady", text)));
    let status = world.runtime.status().await.unwrap();
    assert!(status.runtime_ready.unwrap().ready && status.supplemental_groups_policy);
    assert_eq!(
        status.network_ready.unwrap().to_string(),
        format!("NetworkReady=false reason:NetworkPluginNotReady message:{text}")
    );
}

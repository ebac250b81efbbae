//! What is in volumes, with which modes and owners, and how it follows its sources.

use super::*;

#[tokio::test]
async fn every_kind_has_upstreams_place_and_modes() {
    let node = node();
    node.set_config("cm", json!({"a": "1"}));
    node.set_secret("sec", &[("k", "v")]);
    let pod = pod(
        json!([
            {"name": "disk", "emptyDir": {}},
            {"name": "mem", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
            {"name": "host", "hostPath": {"path": "/dev/null", "type": "CharDevice"}},
            {"name": "cm", "configMap": {"name": "cm", "defaultMode": 420}},
            {"name": "sec", "secret": {"secretName": "sec", "defaultMode": 256}},
            {"name": "down", "downwardAPI": {"defaultMode": 420, "items": [
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}},
            ]}},
            {"name": "kube-api-access-x", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                {"configMap": {"name": "cm", "items": [{"key": "a", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
            ]}},
        ]),
        json!({}),
    );
    let mounted = node.volumes.mount(&pod, &node.context).await.unwrap();
    for (name, path, directory_mode, read_only) in [
        ("disk", "volumes/kubernetes.io~empty-dir/disk", 0o777, false),
        ("mem", "volumes/kubernetes.io~empty-dir/mem", 0o1777, false),
        ("cm", "volumes/kubernetes.io~configmap/cm", 0o777, true),
        ("sec", "volumes/kubernetes.io~secret/sec", 0o1777, true),
        ("down", "volumes/kubernetes.io~downward-api/down", 0o1777, true),
        ("kube-api-access-x", "volumes/kubernetes.io~projected/kube-api-access-x", 0o1777, true),
    ] {
        let found = &mounted[name];
        assert_eq!(found.host_path, node.below(path), "{name}");
        assert_eq!(mode(&found.host_path), directory_mode, "{name}");
        assert_eq!((found.read_only, found.selinux_relabel), (read_only, true), "{name}");
    }
    assert_eq!(mounted["host"].host_path, Path::new("/dev/null"));
    assert!(!mounted["host"].selinux_relabel && !mounted["host"].read_only);
    for (path, expected) in [
        ("", 0o750),
        ("volumes", 0o750),
        ("volumes/kubernetes.io~secret", 0o755),
        ("plugins", 0o750),
        ("plugins/kubernetes.io~empty-dir/disk", 0o750),
        ("plugins/kubernetes.io~empty-dir/disk/ready", 0o644),
        ("plugins/kubernetes.io~empty-dir/wrapped_cm/ready", 0o644),
        ("plugins/kubernetes.io~empty-dir/wrapped_kube-api-access-x/ready", 0o644),
    ] {
        assert_eq!(mode(&node.below(path)), expected, "{path}");
    }
    let file = |volume: &str, path: &str| mounted[volume].host_path.join(path);
    assert_eq!(read(&file("cm", "a")), "1");
    assert_eq!(mode(&file("cm", "..data/a")), 0o644);
    assert_eq!(read(&file("sec", "k")), "v");
    assert_eq!(mode(&file("sec", "..data/k")), 0o400);
    assert_eq!(read(&file("down", "labels")), "app=\"web\"");
    assert_eq!(read(&file("down", "cpu")), "2");
    assert_eq!(read(&file("kube-api-access-x", "token")), "ns/robot/0");
    assert_eq!(mode(&file("kube-api-access-x", "..data/token")), 0o644);
    assert_eq!(read(&file("kube-api-access-x", "ca.crt")), "1");
    assert_eq!(read(&file("kube-api-access-x", "namespace")), "ns");

    let table = MountTable::read().unwrap();
    let tmpfs =
        |name: &str| table.mounted_at(&mounted[name].host_path).map(|entry| entry.super_options.clone());
    assert!(tmpfs("mem").unwrap().contains("size=8192k"), "{:?}", tmpfs("mem"));
    assert!(tmpfs("sec").unwrap().contains("size=1048576k"));
    assert!(tmpfs("down").is_some() && tmpfs("kube-api-access-x").is_some());
    assert!(tmpfs("disk").is_none() && tmpfs("cm").is_none());

    // Again: nothing is mounted twice, nothing rewritten.
    let before = std::fs::read_link(file("cm", "..data")).unwrap();
    node.clock.0.store(60, Ordering::SeqCst);
    assert_eq!(node.volumes.mount(&pod, &node.context).await.unwrap(), mounted);
    assert_eq!(std::fs::read_link(file("cm", "..data")).unwrap(), before);
    assert_eq!(mounts::mounts_below(&node.root).unwrap().len(), 4);

    node.unmount().await;
    assert!(mounts::mounts_below(&node.root).unwrap().is_empty());
    let left: Vec<_> = std::fs::read_dir(node.below("")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    node.unmount().await;
}

#[tokio::test]
async fn updates_arrive_and_an_absent_api_takes_nothing_away() {
    let node = node();
    node.set_config("cm", json!({"a": "1", "gone": "x"}));
    let pod = pod(
        json!([
            {"name": "cm", "configMap": {"name": "cm", "defaultMode": 420}},
            {"name": "opt", "secret": {"secretName": "late", "optional": true, "defaultMode": 420}},
        ]),
        json!({}),
    );
    let mounted = node.mount(&pod).await;
    assert!(!mounted["opt"].join("k").exists());

    node.set_config("cm", json!({"a": "2", "new": "y"}));
    node.set_secret("late", &[("k", "v")]);
    node.mount(&pod).await;
    assert_eq!(read(&mounted["cm"].join("a")), "2");
    assert_eq!(read(&mounted["cm"].join("new")), "y");
    assert!(mounted["cm"].join("gone").symlink_metadata().is_err());
    assert_eq!(read(&mounted["opt"].join("k")), "v");

    *node.api.away.lock() = true;
    assert_eq!(node.mount(&pod).await, mounted);
    assert_eq!(read(&mounted["cm"].join("a")), "2");
    *node.api.away.lock() = false;
    node.api.config_maps.lock().clear();
    assert_eq!(node.mount(&pod).await, mounted);
    assert_eq!(read(&mounted["cm"].join("a")), "2");
    node.api.secrets.lock().clear();
    node.mount(&pod).await;
    assert!(mounted["opt"].join("k").symlink_metadata().is_err());
}

#[tokio::test]
async fn what_was_served_old_is_asked_for_again_until_it_is_had() {
    let mut node = node();
    node.set_config("cm", json!({"a": "1"}));
    let pod = pod(
        json!([
            {"name": "cm", "configMap": {"name": "cm", "defaultMode": 420}},
            {"name": "t", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
            ]}},
        ]),
        json!({}),
    );
    let mounted = node.mount(&pod).await;
    // Another process, which knows of no token, and an API server that does not answer yet.
    node.restart();
    *node.api.away.lock() = true;
    let uid = PodUid::from("u1");
    assert_eq!(node.volumes.refresh_after(&uid), None);
    assert_eq!(node.mount(&pod).await, mounted);
    let first = node.volumes.refresh_after(&uid).unwrap();
    assert!(first <= Duration::from_secs(10), "{first:?}");
    node.clock.0.fetch_add(10, Ordering::SeqCst);
    node.mount(&pod).await;
    let second = node.volumes.refresh_after(&uid).unwrap();
    assert!(second > first, "{first:?}, then {second:?}");

    *node.api.away.lock() = false;
    node.set_config("cm", json!({"a": "2"}));
    node.mount(&pod).await;
    assert_eq!(read(&mounted["cm"].join("a")), "2");
    assert_eq!(read(&mounted["t"].join("token")), "ns/robot/1");
    let renewal = node.volumes.refresh_after(&uid).unwrap();
    assert!(renewal > Duration::from_secs(2800), "the token's own, far away: {renewal:?}");

    *node.api.away.lock() = true;
    node.mount(&pod).await;
    assert!(node.volumes.refresh_after(&uid).unwrap() <= Duration::from_secs(10));
    node.unmount().await;
    assert_eq!(node.volumes.refresh_after(&uid), None);
}

#[tokio::test]
async fn tokens_are_renewed_and_private() {
    let node = node();
    let volumes = json!([{"name": "t", "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600, "audience": "vault"}},
    ]}}]);
    let of_user = pod(volumes.clone(), json!({"securityContext": {"runAsUser": 1234}}));
    let path = node.mount(&of_user).await["t"].clone();
    let seen = path.join("..data/token").metadata().unwrap();
    assert_eq!((seen.mode() & 0o7777, seen.uid(), seen.gid()), (0o600, 1234, 0));
    let uid = PodUid::from("u1");
    let refresh = node.volumes.refresh_after(&uid).unwrap();
    assert!((Duration::from_secs(2870)..=Duration::from_secs(2880)).contains(&refresh), "{refresh:?}");

    node.clock.0.store(2881, Ordering::SeqCst);
    node.mount(&of_user).await;
    assert_eq!(read(&path.join("token")), "ns/robot/1");
    node.unmount().await;
    assert_eq!(node.volumes.refresh_after(&uid), None);

    let of_group = pod(volumes, json!({"securityContext": {"fsGroup": 77}}));
    let path = node.mount(&of_group).await["t"].clone();
    let seen = path.join("..data/token").metadata().unwrap();
    assert_eq!((seen.mode() & 0o7777, seen.uid(), seen.gid()), (0o640, 0, 77));
}

#[tokio::test]
async fn groups_own_volumes() {
    let node = node();
    node.set_secret("sec", &[("k", "v")]);
    let pod = pod(
        json!([
            {"name": "disk", "emptyDir": {}},
            {"name": "mem", "emptyDir": {"medium": "Memory"}},
            {"name": "sec", "secret": {"secretName": "sec", "defaultMode": 256}},
        ]),
        json!({"securityContext": {"fsGroup": 77}}),
    );
    let mounted = node.mount(&pod).await;
    let seen = |path: &Path| {
        let seen = path.symlink_metadata().unwrap();
        (seen.mode() & 0o7777, seen.gid())
    };
    assert_eq!(seen(&mounted["disk"]), (0o2777, 77));
    assert_eq!(seen(&mounted["mem"]), (0o3777, 77));
    assert_eq!(seen(&mounted["sec"].join("..data/k")), (0o440, 77));
    assert_eq!(
        seen(&mounted["sec"].join(std::fs::read_link(mounted["sec"].join("..data")).unwrap())),
        (0o2755, 77)
    );

    // What the pod made stays as it made it.
    std::fs::write(mounted["disk"].join("mine"), "x").unwrap();
    std::os::unix::fs::chown(mounted["disk"].join("mine"), Some(5), Some(6)).unwrap();
    node.mount(&pod).await;
    assert_eq!(mounted["disk"].join("mine").metadata().unwrap().gid(), 6);
}

#[tokio::test]
async fn errors_are_upstreams_and_come_one_per_volume() {
    let node = node();
    node.set_config("cm", json!({"a": "1"}));
    let broken = pod(
        json!([
            {"name": "a", "configMap": {"name": "none", "defaultMode": 420}},
            {"name": "b", "secret": {"secretName": "none", "defaultMode": 420}},
            {"name": "c", "configMap": {"name": "cm", "defaultMode": 420, "items": [{"key": "zz", "path": "p"}]}},
            {"name": "d", "configMap": {"name": "cm", "defaultMode": 420, "items": [{"key": "a", "path": "../p"}]}},
            {"name": "e", "nfs": {"server": "s", "path": "/"}},
            {"name": "f", "emptyDir": {"medium": "Paper"}},
            {"name": "g", "emptyDir": {"medium": "HugePages-2Mi"}},
            {"name": "h", "projected": {"defaultMode": 420, "sources": [
                {"clusterTrustBundle": {"path": "p"}}, {"secret": {"name": "none"}},
            ]}},
            {"name": "ok", "emptyDir": {}},
        ]),
        json!({}),
    );
    let mut errors = node.errors(&broken).await;
    errors.sort();
    let mut expected = vec![
        "configmap \"none\" not found".to_owned(),
        "secret \"none\" not found".to_owned(),
        "configmap references non-existent config key: zz".to_owned(),
        "invalid path: must not contain '..': ../p".to_owned(),
        "volume \"e\" is of kind nfs, which this kubelet does not support yet".to_owned(),
        "unknown storage medium \"Paper\"".to_owned(),
        "volume \"g\" is of kind emptyDir with medium HugePages-2Mi, which this kubelet does not support yet".to_owned(),
        "[projected source clusterTrustBundle is not supported by this kubelet yet (docs/compat.md), secret \"none\" not found]".to_owned(),
    ];
    expected.sort();
    assert_eq!(errors, expected);
    assert!(node.below("volumes/kubernetes.io~empty-dir/ok").is_dir());
    assert!(!node.below("volumes/kubernetes.io~configmap/a").exists());

    // A volume that nobody mounts does not matter.
    let mut unused = (*broken).clone();
    unused.spec.as_mut().unwrap().containers[0].volume_mounts = None;
    assert!(node.mount(&Arc::new(unused)).await.is_empty());
}

#[tokio::test]
async fn host_paths_are_looked_at_until_they_have_passed() {
    let node = node();
    let (made, found) = (node.scratch.path().join("made"), node.scratch.path().join("found"));
    let pod = pod(
        json!([
            {"name": "made", "hostPath": {"path": made, "type": "DirectoryOrCreate"}},
            {"name": "found", "hostPath": {"path": found, "type": "File"}},
        ]),
        json!({}),
    );
    assert_eq!(node.errors(&pod).await.len(), 1);
    assert!(made.is_dir());
    std::fs::write(&found, "").unwrap();
    let mounted = node.mount(&pod).await;
    assert_eq!((&mounted["made"], &mounted["found"]), (&made, &found));

    std::fs::remove_dir(&made).unwrap();
    std::fs::remove_file(&found).unwrap();
    assert_eq!(node.mount(&pod).await, mounted);
    assert!(!made.exists(), "a refresh makes nothing anew");

    node.unmount().await;
    assert_eq!(node.errors(&pod).await.len(), 1);
    assert!(made.is_dir());
}

#[tokio::test]
async fn without_an_api_server() {
    let node = node();
    let alone = PodVolumes::new(
        Config { root_dir: node.root.clone() },
        None,
        Arc::clone(&node.clock) as Arc<dyn Clock>,
        metrics::Metrics::new(),
    );
    let pod = pod(
        json!([
            {"name": "a", "configMap": {"name": "x", "defaultMode": 420}},
            {"name": "b", "secret": {"secretName": "x", "defaultMode": 420}},
            {"name": "c", "projected": {"defaultMode": 420, "sources": [{"serviceAccountToken": {"path": "p"}}]}},
        ]),
        json!({}),
    );
    let errors = alone.mount(&pod, &node.context).await.unwrap_err();
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "couldn't get configMap ns/x, no kubeClient defined",
            "couldn't get secret ns/x, no kubeClient defined",
            "cannot setup projected volume c because kube client is not configured",
        ]
    );
}

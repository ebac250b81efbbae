//! Volumes that an earlier or another kubelet left, and their removal.

use super::*;

#[tokio::test]
async fn a_killed_kubelet_s_half_made_volume_is_not_taken_for_whole() {
    let node = node();
    node.set_config("cm", json!({"a": "1"}));
    let pod = pod(json!([{"name": "cm", "configMap": {"name": "cm", "defaultMode": 420}}]), json!({}));
    let path = node.mount(&pod).await["cm"].clone();
    // As if killed before the set was linked, with the API away afterwards.
    std::fs::remove_file(path.join("..data")).unwrap();
    *node.api.away.lock() = true;
    assert_eq!(node.errors(&pod).await, ["connection refused"]);
    *node.api.away.lock() = false;
    node.mount(&pod).await;
    assert_eq!(read(&path.join("a")), "1");
}

#[tokio::test]
async fn removing_follows_no_link_and_crosses_no_mount() {
    let node = node();
    let pod = pod(json!([{"name": "e", "emptyDir": {}}]), json!({}));
    let volume = node.mount(&pod).await["e"].clone();
    let outside = node.scratch.path().join("outside");
    std::fs::create_dir_all(outside.join("d")).unwrap();
    std::fs::write(outside.join("d/keep"), "x").unwrap();
    symlink(&outside, volume.join("link")).unwrap();
    std::fs::create_dir_all(volume.join("a/b/c")).unwrap();

    // A mount that is in use cannot be unmounted: the rest has to wait, and nothing behind the mount may go.
    let busy = volume.join("a/b");
    mounts::bind(&outside, &busy, mounts::BindOptions::default()).unwrap();
    let held = std::fs::File::open(busy.join("d/keep")).unwrap();
    let errors = node.volumes.unmount(&PodUid::from("u1")).await.unwrap_err();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].to_string().starts_with("volume \"e\": cannot unmount "), "{}", errors[0]);
    assert_eq!(read(&outside.join("d/keep")), "x");
    assert!(volume.join("link").symlink_metadata().is_ok());

    drop(held);
    node.unmount().await;
    assert_eq!(read(&outside.join("d/keep")), "x");
    assert!(!volume.exists());
}

#[tokio::test]
async fn volumes_of_unknown_drivers_are_left_to_their_kubelet() {
    let node = node();
    let pod = pod(json!([{"name": "e", "emptyDir": {}}]), json!({}));
    let empty = node.mount(&pod).await["e"].clone();
    let csi = node.below("volumes/kubernetes.io~csi/pvc-1");
    std::fs::create_dir_all(csi.join("mount")).unwrap();
    let errors = node.volumes.unmount(&PodUid::from("u1")).await.unwrap_err();
    assert!(
        errors[0]
            .to_string()
            .starts_with("volume \"pvc-1\": it is of kind csi, which this kubelet cannot take down"),
        "{}",
        errors[0]
    );
    assert!(csi.is_dir() && empty.is_dir());
    std::fs::remove_dir_all(&csi).unwrap();
    node.unmount().await;
}

#[tokio::test]
async fn raw_block_volumes_are_left_to_their_kubelet() {
    let node = node();
    let pod = pod(json!([{"name": "e", "emptyDir": {}}]), json!({}));
    let empty = node.mount(&pod).await["e"].clone();
    for (plugin, kind) in [
        ("kubernetes.io~csi", "csi"),
        ("kubernetes.io~local-volume", "local-volume"),
        ("vendor~driver", "flexVolume"),
    ] {
        let link = node.below("volumeDevices").join(plugin).join("pvc-1");
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink("/dev/null", &link).unwrap();
        let errors = node.volumes.unmount(&PodUid::from("u1")).await.unwrap_err();
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [format!(
                "volume \"pvc-1\": it is a raw block volume of kind {kind}, which this kubelet cannot take down without \
                 telling its driver\nhint: start the kubelet that mounted it, let the pod end there, then come back"
            )]
        );
        assert!(link.symlink_metadata().is_ok() && empty.is_dir());
        std::fs::remove_file(&link).unwrap();
    }
    node.unmount().await;
    assert!(!empty.exists());
}

#[tokio::test]
async fn local_volumes_that_are_devices_are_left_to_their_kubelet() {
    let node = node();
    let staged = node.root.join("plugins/kubernetes.io/local-volume/mounts/device");
    let directory = node.scratch.path().join("directory");
    for (origin, name) in [(&staged, "device"), (&directory, "directory")] {
        let target = node.below("volumes/kubernetes.io~local-volume").join(name);
        std::fs::create_dir_all(origin).unwrap();
        std::fs::create_dir_all(&target).unwrap();
        if *origin == staged {
            mounts::mount_tmpfs(origin, &mounts::TmpfsOptions::default()).unwrap();
        }
        std::fs::write(origin.join("keep"), "x").unwrap();
        mounts::bind(origin, &target, mounts::BindOptions::default()).unwrap();
    }
    let errors = node.volumes.unmount(&PodUid::from("u1")).await.unwrap_err();
    let expected = format!("volume \"device\": it is mounted at {} too", staged.display());
    assert!(errors.len() == 1 && errors[0].to_string().starts_with(&expected), "{errors:?}");
    assert_eq!(read(&node.below("volumes/kubernetes.io~local-volume/directory/keep")), "x");

    // As the kubelet that mounted it does behind its last pod. What is left is the pods' alone.
    mounts::unmount(&node.below("volumes/kubernetes.io~local-volume/device"), Unmount::Plain).unwrap();
    mounts::unmount(&staged, Unmount::Plain).unwrap();
    node.unmount().await;
    assert_eq!(read(&directory.join("keep")), "x");
    assert!(!node.below("volumes").exists());
}

#[tokio::test]
async fn the_directory_of_all_pods_may_be_on_another_disk() {
    let mut node = node();
    let disk = node.root.with_file_name("disk");
    symlink(&disk, node.root.join("pods")).unwrap();
    node.set_config("cm", json!({"a": "1"}));
    let pod = pod(
        json!([
            {"name": "cm", "configMap": {"name": "cm", "defaultMode": 420}},
            {"name": "mem", "emptyDir": {"medium": "Memory"}},
            {"name": "t", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
            ]}},
        ]),
        json!({}),
    );
    // Its disk is late.
    for text in node.errors(&pod).await {
        assert!(text.contains("is the disk mounted"), "{text}");
    }
    assert!(node.volumes.unmount(&PodUid::from("u1")).await.is_err());
    std::fs::create_dir(&disk).unwrap();
    let mounted = node.mount(&pod).await;
    assert_eq!(mounted["cm"], disk.join("u1/volumes/kubernetes.io~configmap/cm"));
    assert_eq!(read(&node.below("volumes/kubernetes.io~configmap/cm/a")), "1");
    let bound = node.sub_path("cm", &mounted["cm"], "a", 0).await.unwrap();
    assert_eq!(bound, disk.join("u1/volume-subpaths/cm/c/0"));
    assert_eq!(mounts::mounts_below(&disk).unwrap().len(), 3);

    node.set_config("cm", json!({"a": "2"}));
    node.restart();
    assert_eq!(node.mount(&pod).await, mounted);
    assert_eq!(read(&mounted["cm"].join("a")), "2");
    assert_eq!(node.sub_path("cm", &mounted["cm"], "a", 0).await.unwrap(), bound);
    assert_eq!(read(&bound), "2");
    assert_eq!(mounts::mounts_below(&disk).unwrap().len(), 3, "nothing is mounted twice");

    node.unmount().await;
    assert!(mounts::mounts_below(&disk).unwrap().is_empty());
    assert_eq!(std::fs::read_dir(disk.join("u1")).unwrap().count(), 0);

    // Below it, links are nobody's to follow.
    let outside = node.root.with_file_name("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::remove_dir(disk.join("u1")).unwrap();
    symlink(&outside, disk.join("u1")).unwrap();
    assert_eq!(node.errors(&pod).await.len(), 3);
    assert!(node.sub_path("cm", &outside, ".", 0).await.is_err());
    assert!(node.volumes.unmount(&PodUid::from("u1")).await.is_err());
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[tokio::test]
async fn a_volume_that_another_kubelet_wrote_is_taken_over_as_it_is() {
    let node = node();
    node.set_config("cm", json!({"a": "1", "d": "2"}));
    let pod = pod(json!([{"name": "cm", "configMap": {"name": "cm", "defaultMode": 420}}]), json!({}));
    // Laid out by hand, as upstream does.
    let volume = node.below("volumes/kubernetes.io~configmap/cm");
    let set = volume.join("..2025_12_31_23_59_59.1234567890");
    std::fs::create_dir_all(&set).unwrap();
    std::fs::write(set.join("a"), "1").unwrap();
    std::fs::write(set.join("d"), "2").unwrap();
    symlink("..2025_12_31_23_59_59.1234567890", volume.join("..data")).unwrap();
    for name in ["a", "d"] {
        symlink(format!("..data/{name}"), volume.join(name)).unwrap();
    }
    let ready = node.below("plugins/kubernetes.io~empty-dir/wrapped_cm");
    std::fs::create_dir_all(&ready).unwrap();
    std::fs::write(ready.join("ready"), "").unwrap();

    assert_eq!(node.mount(&pod).await["cm"], volume);
    assert_eq!(
        std::fs::read_link(volume.join("..data")).unwrap(),
        Path::new("..2025_12_31_23_59_59.1234567890")
    );
    node.set_config("cm", json!({"a": "3"}));
    node.mount(&pod).await;
    assert!(!set.exists());
    assert_eq!(read(&volume.join("a")), "3");
    assert!(volume.join("d").symlink_metadata().is_err());
}

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

//! Parts of volumes, and mount points in them.

use super::*;

#[tokio::test]
async fn nested_mount_points_are_made_in_read_only_volumes() {
    let node = node();
    node.set_config("cm", json!({"a": "1"}));
    let pod = pod(
        json!([{"name": "cm", "configMap": {"name": "cm", "defaultMode": 420}}, {"name": "e", "emptyDir": {}}]),
        json!({"containers": [{"name": "c", "volumeMounts": [
            {"name": "cm", "mountPath": "/etc/app"}, {"name": "e", "mountPath": "/etc/app/run/x"},
            {"name": "e", "mountPath": "/etc/app/a/b"},
        ]}]}),
    );
    let path = node.mount(&pod).await["cm"].clone();
    assert!(path.join("run/x").is_dir());
    node.mount(&pod).await;
    assert!(path.join("run/x").is_dir());
}

#[tokio::test]
async fn sub_paths_are_bound_and_follow_updates() {
    let node = node();
    node.set_config("cm", json!({"a": "1"}));
    let pod = pod(
        json!([{"name": "cm", "configMap": {"name": "cm", "defaultMode": 420}}, {"name": "e", "emptyDir": {}}]),
        json!({}),
    );
    let mounted = node.mount(&pod).await;
    let file = node.sub_path("cm", &mounted["cm"], "a", 0).await.unwrap();
    assert_eq!(file, node.below("volume-subpaths/cm/c/0"));
    assert_eq!(read(&file), "1");
    assert_eq!(node.sub_path("cm", &mounted["cm"], "a", 0).await.unwrap(), file);
    assert_eq!(mounts::mounts_below(&file).unwrap().len(), 1);

    node.set_config("cm", json!({"a": "2"}));
    node.mount(&pod).await;
    assert_eq!(read(&file), "1", "a bound file does not change under a container");
    node.sub_path("cm", &mounted["cm"], "a", 0).await.unwrap();
    assert_eq!(read(&file), "2");
    assert_eq!(mounts::mounts_below(&file).unwrap().len(), 1);

    let directory = node.sub_path("e", &mounted["e"], "deep/er", 1).await.unwrap();
    assert_eq!(mode(&mounted["e"].join("deep")), 0o777);
    std::fs::write(directory.join("f"), "x").unwrap();
    assert_eq!(read(&mounted["e"].join("deep/er/f")), "x");
    assert_eq!(mode(&node.below("volume-subpaths/e/c")), 0o750);

    // The same place for a file now.
    let again = node.sub_path("e", &mounted["e"], "deep/er/f", 1).await.unwrap();
    assert_eq!(read(&again), "x");

    node.unmount().await;
    assert!(mounts::mounts_below(&node.root).unwrap().is_empty());
    assert!(!node.below("volume-subpaths").exists());
}

#[tokio::test]
async fn a_slash_at_the_end_demands_no_directory() {
    let node = node();
    node.set_config("cm", json!({"app.conf": "1"}));
    let pod = pod(json!([{"name": "cm", "configMap": {"name": "cm", "defaultMode": 420}}]), json!({}));
    let volume = node.mount(&pod).await["cm"].clone();
    let file = node.sub_path("cm", &volume, "app.conf/", 0).await.unwrap();
    assert_eq!(read(&file), "1");
}

#[tokio::test]
async fn a_volume_that_is_not_there_is_named() {
    let node = node();
    let missing = node.scratch.path().join("missing");
    let pod = pod(json!([{"name": "h", "hostPath": {"path": missing}}]), json!({}));
    let volume = node.mount(&pod).await["h"].clone();
    let error = node.sub_path("h", &volume, "a", 0).await.unwrap_err();
    assert_eq!(error.to_string(), format!("stat {}: no such file or directory", missing.display()));
    assert!(!missing.exists());
}

#[tokio::test]
async fn sub_paths_do_not_lead_out_of_the_volume() {
    let node = node();
    let pod = pod(json!([{"name": "e", "emptyDir": {}}]), json!({}));
    let volume = node.mount(&pod).await["e"].clone();
    let outside = node.scratch.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "x").unwrap();
    symlink("/etc", volume.join("absolute")).unwrap();
    symlink("../../../../../../outside", volume.join("up")).unwrap();
    symlink("/proc/self/root", volume.join("magic")).unwrap();
    symlink("real/dir", volume.join("inside")).unwrap();
    std::fs::create_dir_all(volume.join("real/dir")).unwrap();
    for bad in [
        "absolute",
        "absolute/passwd",
        "up",
        "up/secret",
        "up/new",
        "absolute/new/dir",
        "magic",
        "magic/etc",
        "../x",
    ] {
        let error = node.sub_path("e", &volume, bad, 0).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "failed to prepare subPath for volumeMount \"e\" of container \"c\"",
            "{bad}"
        );
    }
    assert!(mounts::mounts_below(&node.root).unwrap().is_empty());
    assert!(!outside.join("new").exists() && !Path::new("/etc/new").exists());
    let inside = node.sub_path("e", &volume, "inside", 0).await.unwrap();
    std::fs::write(inside.join("f"), "y").unwrap();
    assert_eq!(read(&volume.join("real/dir/f")), "y");
    // Names from a manifest do not lead anywhere either.
    let uid = PodUid::from("../../outside");
    assert!(node.volumes.sub_path(&uid, "e", &volume, "real", "c", 0).await.is_err());
    assert!(node.volumes.sub_path(&PodUid::from("u1"), "e", &volume, "real", "../../..", 0).await.is_err());
    assert!(node.volumes.unmount(&uid).await.is_err());
    assert_eq!(read(&outside.join("secret")), "x");
}

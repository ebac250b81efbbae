use std::{collections::BTreeMap, path::Path, process::Command};

use super::{
    compile, oci,
    registry::{Credentials, Registry},
    rootfs, run,
    tar::{self, Entry},
};

/// The system's tar is the judge of ours.
fn listing(archive: &Path) -> String {
    run(Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(archive)).unwrap()
}

#[test]
fn tar_reads_what_we_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar");
    let entries = [
        Entry::folder("tmp").mode(0o1777),
        Entry::file("etc/passwd", vec![b'x'; 513]).owner(1000),
        Entry::file("empty", ""),
        Entry::link("bin/sh", "busybox"),
    ];
    std::fs::write(&path, tar::archive(&entries).unwrap()).unwrap();
    let lines: Vec<String> =
        listing(&path).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        [
            "drwxrwxrwt 0/0 0 1970-01-01 00:00 tmp/",
            "-rw-r--r-- 1000/1000 513 1970-01-01 00:00 etc/passwd",
            "-rw-r--r-- 0/0 0 1970-01-01 00:00 empty",
            "lrwxrwxrwx 0/0 0 1970-01-01 00:00 bin/sh -> busybox",
        ]
    );
    let contents = run(Command::new("tar").arg("-xOf").arg(&path).arg("etc/passwd")).unwrap();
    assert_eq!(contents, "x".repeat(513));
}

#[test]
fn names_that_do_not_fit_are_refused() {
    assert!(tar::archive(&[Entry::file(&"n".repeat(101), "")]).is_err());
    assert!(tar::archive(&[Entry::folder(&"n".repeat(100))]).is_err(), "the slash needs a byte too");
}

#[test]
fn archives_are_stable_and_every_descriptor_is_true() {
    let made = |cache: &Path| {
        let busybox = compile::Busybox { program: b"busybox".to_vec(), applets: vec!["sh".to_owned()] };
        rootfs::images(b"pause".to_vec(), busybox, b"testbox".to_vec())
            .iter()
            .map(|image| image.archive(cache).unwrap())
            .collect::<Vec<_>>()
    };
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (made(one.path()), made(two.path()));
    let mut digests = BTreeMap::new();
    for (a, b) in first.iter().zip(&second) {
        assert_eq!(a.digest, b.digest);
        assert_eq!(std::fs::read(&a.tar).unwrap(), std::fs::read(&b.tar).unwrap());
        digests.insert(a.digest.clone(), a.reference.clone());

        let out = tempfile::tempdir().unwrap();
        run(Command::new("tar").arg("-xf").arg(&a.tar).arg("-C").arg(out.path())).unwrap();
        let blob = |descriptor: &serde_json::Value| {
            let digest = descriptor["digest"].as_str().unwrap();
            let bytes = std::fs::read(out.path().join("blobs").join(digest.replace(':', "/"))).unwrap();
            assert_eq!(format!("sha256:{}", oci::hex(&bytes)), digest);
            assert_eq!(descriptor["size"], bytes.len());
            bytes
        };
        let index: serde_json::Value =
            serde_json::from_slice(&std::fs::read(out.path().join("index.json")).unwrap()).unwrap();
        let described = &index["manifests"][0];
        assert_eq!(described["annotations"]["io.containerd.image.name"], *a.reference);
        assert_eq!(described["digest"], *a.digest);
        let manifest: serde_json::Value = serde_json::from_slice(&blob(described)).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        for (layer, diff) in manifest["layers"]
            .as_array()
            .unwrap()
            .iter()
            .zip(config["rootfs"]["diff_ids"].as_array().unwrap())
        {
            blob(layer);
            assert_eq!(layer["digest"], *diff, "layers are not compressed");
        }
    }
    assert_eq!(digests.len(), first.len(), "every reference is an image of its own: {digests:?}");
}

#[test]
fn static_programs_are_told_from_others() {
    assert!(!compile::is_static(b"#!/bin/sh\n"));
    assert!(!compile::is_static(b"\x7fELF\x02\x01"));
    let dynamic = std::fs::read("/bin/ls").unwrap();
    assert!(!compile::is_static(&dynamic));
    let folder = tempfile::tempdir().unwrap();
    assert!(compile::is_static(&compile::pause(folder.path()).unwrap()));
}

#[test]
fn a_registrys_password_file_holds_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry {
        address: "127.0.0.1:5001".parse().unwrap(),
        storage: folder.path().join("storage"),
        credentials: Some(Credentials { user: "puller".to_owned(), password: "s3cret".to_owned() }),
    };
    let config = registry.write(folder.path()).unwrap();
    let config: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(config).unwrap()).unwrap();
    let file = std::fs::read_to_string(config["auth"]["htpasswd"]["path"].as_str().unwrap()).unwrap();
    let (user, hash) = file.trim().split_once(':').unwrap();
    assert_eq!(user, "puller");
    assert!(hash.starts_with("$2y$"), "htpasswd's flavour: {hash}");
    assert!(bcrypt::verify("s3cret", hash).unwrap());
    assert!(!bcrypt::verify("other", hash).unwrap());
}

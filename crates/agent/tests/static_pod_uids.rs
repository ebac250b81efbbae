//! Uids of static pods against those that upstream's kubelet gives: a swap of kubelets must not restart them.
//!
//! `uids.txt` holds what upstream's own functions compute for each file of `manifests`, as
//! `/etc/kubernetes/manifests/FILE` on the node `node-1`: decode with its universal decoder, hash the internal pod with
//! `DeepHashObject` into 128-bit FNV-1a, then add `host:node-1file:PATH`.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{collections::BTreeMap, fs, path::Path};

use agent::sources::manifest;
use lifecycle::{PodSource, spec::static_pod::Completed};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

/// Uid of each file of a folder, by name.
fn uids(folder: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let uid = match manifest::value(&text) {
            Ok(value) => {
                let origin = format!("/etc/kubernetes/manifests/{name}");
                Completed::of(value).uid(&origin, PodSource::File, "node-1")
            }
            Err(error) => error.to_string(),
        };
        all.insert(name, uid);
    }
    all
}

fn compare(folder: &Path, list: &Path) {
    let ours = uids(folder);
    let list = fs::read_to_string(list).unwrap();
    let wanted: BTreeMap<String, String> = list
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(uid, name)| (name.to_owned(), uid.to_owned()))
        .collect();
    assert!(wanted.len() >= 60, "{} manifests are no corpus", wanted.len());
    let wrong: Vec<_> = wanted.iter().filter(|(name, uid)| ours.get(*name) != Some(uid)).collect();
    assert!(wrong.is_empty(), "{} of {} differ: {wrong:#?}", wrong.len(), wanted.len());
    assert_eq!(ours.len(), wanted.len(), "a manifest has no uid to compare with");
}

#[test]
fn every_manifest_has_the_uid_that_upstream_gives_it() {
    compare(Path::new(FOLDER).join("manifests").as_path(), Path::new(FOLDER).join("uids.txt").as_path());
}

/// What is fit to be a static pod comes out with that uid, and with the annotation that tells it to its mirror.
#[test]
fn pods_carry_their_uid() {
    let mut fit = 0;
    for (name, uid) in uids(Path::new(FOLDER).join("manifests").as_path()) {
        let text = fs::read(Path::new(FOLDER).join("manifests").join(&name)).unwrap();
        let origin = format!("/etc/kubernetes/manifests/{name}");
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let Ok(pods) = manifest::parse(&text, &origin, PodSource::File, "node-1", now) else { continue };
        let pod = pods.first().unwrap();
        assert_eq!(pod.metadata.uid.as_deref(), Some(uid.as_str()), "{name}");
        let annotations = pod.metadata.annotations.as_ref().unwrap();
        assert_eq!(annotations["kubernetes.io/config.hash"], uid, "{name}");
        fit += 1;
    }
    assert!(fit >= 25, "{fit} manifests are fit to be static pods");
}

/// The same for any other corpus: `UID_CORPUS` names a folder with `manifests` and `uids.txt`.
#[test]
#[ignore = "wants a corpus: UID_CORPUS=FOLDER"]
fn another_corpus() {
    let folder = std::env::var("UID_CORPUS").unwrap();
    compare(&Path::new(&folder).join("manifests"), &Path::new(&folder).join("uids.txt"));
}

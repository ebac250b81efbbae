use std::{
    collections::BTreeMap,
    os::unix::fs::{MetadataExt, symlink},
};

use proptest::prelude::*;

use super::*;
use crate::payload::Projection;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_323_045 + second).unwrap()
}

fn files(list: &[(&str, &str)]) -> Payload {
    list.iter()
        .map(|(path, text)| {
            ((*path).to_owned(), Projection { data: text.as_bytes().to_vec(), mode: 0o640, owner: None })
        })
        .collect()
}

fn write(volume: &Path, payload: &Payload, second: i64) -> Written {
    let root = SafeRoot::open(volume).unwrap();
    AtomicWriter::new(&root, at(second)).write(payload, &|| Ok(())).unwrap()
}

/// What a container sees: contents by path, through the links.
fn seen(volume: &Path) -> BTreeMap<String, String> {
    fn walk(root: &Path, at: &Path, found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if at == root && path.file_name().unwrap().to_str().unwrap().starts_with("..") {
                continue;
            }
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read_to_string(&path).unwrap_or_else(|_| "(dangling)".into()));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(volume, volume, &mut found);
    found
}

fn texts(payload: &Payload) -> BTreeMap<String, String> {
    payload.iter().map(|(path, file)| (path.clone(), String::from_utf8(file.data.clone()).unwrap())).collect()
}

fn listing(volume: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(volume)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_layout_is_upstreams() {
    let volume = tempfile::tempdir().unwrap();
    let volume = volume.path();
    let payload = files(&[("a", "1"), ("d/e/f", "2"), ("d/g", "3")]);
    assert_eq!(write(volume, &payload, 0), Written::Replaced);
    assert_eq!(listing(volume), ["..2026_01_02_03_04_05.0", "..data", "a", "d"]);
    let link =
        |name: &str| std::fs::read_link(volume.join(name)).unwrap().into_os_string().into_string().unwrap();
    assert_eq!(link("..data"), "..2026_01_02_03_04_05.0");
    assert_eq!(link("a"), "..data/a");
    assert_eq!(link("d"), "..data/d");
    assert_eq!(seen(volume), texts(&payload));
    let mode = |name: &str| volume.join(name).metadata().unwrap().mode() & 0o7777;
    assert_eq!((mode("..data"), mode("d/e"), mode("a")), (0o755, 0o755, 0o640));
}

#[test]
fn unchanged_files_are_not_written_again() {
    let volume = tempfile::tempdir().unwrap();
    let volume = volume.path();
    let payload = files(&[("a", "1"), ("b/c", "2")]);
    write(volume, &payload, 0);
    assert_eq!(write(volume, &payload, 1), Written::Unchanged);
    assert_eq!(listing(volume), ["..2026_01_02_03_04_05.0", "..data", "a", "b"]);
    // A lost name comes back, nevertheless.
    std::fs::remove_file(volume.join("a")).unwrap();
    assert_eq!(write(volume, &payload, 2), Written::Unchanged);
    assert_eq!(seen(volume), texts(&payload));
}

#[test]
fn changes_replace_the_whole_set() {
    let volume = tempfile::tempdir().unwrap();
    let volume = volume.path();
    let lists = [
        &[("a", "1"), ("b", "2")][..],
        &[("a", "1"), ("b", "3")],
        &[("a", "1")],
        &[("a/x", "1"), ("c", "")],
        &[("a/x", "1"), ("a/y", "2")],
        &[("a/y", "2")],
        &[],
        &[("z", "longer than before")],
        &[("z", "longer")],
    ];
    for (second, list) in (0..).zip(lists) {
        let payload = files(list);
        assert_eq!(write(volume, &payload, second), Written::Replaced, "{list:?}");
        assert_eq!(seen(volume), texts(&payload));
        let sets = listing(volume).into_iter().filter(|name| is_set_name(OsStr::new(name))).count();
        assert_eq!(sets, 1);
    }
}

#[test]
fn two_sets_of_one_instant_get_different_names() {
    let volume = tempfile::tempdir().unwrap();
    write(volume.path(), &files(&[("a", "1")]), 0);
    write(volume.path(), &files(&[("a", "2")]), 0);
    assert_eq!(listing(volume.path()), ["..2026_01_02_03_04_05.1", "..data", "a"]);
}

#[test]
fn mount_points_of_other_volumes_stay() {
    let volume = tempfile::tempdir().unwrap();
    let volume = volume.path();
    std::fs::create_dir(volume.join("nested")).unwrap();
    symlink("/etc", volume.join("foreign")).unwrap();
    write(volume, &files(&[("nested", "hidden by the mount point"), ("a", "1")]), 0);
    write(volume, &files(&[("a", "2")]), 1);
    assert!(volume.join("nested").symlink_metadata().unwrap().is_dir());
    assert!(volume.join("foreign").symlink_metadata().unwrap().is_symlink());
}

#[test]
fn a_bent_current_link_is_not_followed() {
    let scratch = tempfile::tempdir().unwrap();
    let (volume, outside) = (scratch.path().join("volume"), scratch.path().join("outside"));
    for bent in ["../outside", "..2020/../../outside", "/etc", "a"] {
        std::fs::create_dir_all(&volume).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::write(outside.join("keep"), "x").unwrap();
        symlink(bent, volume.join("..data")).unwrap();
        write(&volume, &files(&[("a", "1")]), 0);
        assert_eq!(seen(&volume), texts(&files(&[("a", "1")])), "{bent}");
        assert!(outside.join("keep").exists());
        std::fs::remove_dir_all(&volume).unwrap();
    }
    // A set that is itself a link is no set.
    std::fs::create_dir_all(&volume).unwrap();
    symlink("../outside", volume.join("..2020")).unwrap();
    symlink("..2020", volume.join("..data")).unwrap();
    let root = SafeRoot::open(&volume).unwrap();
    assert!(AtomicWriter::new(&root, at(0)).write(&files(&[("a", "1")]), &|| Ok(())).is_err());
    assert!(outside.join("keep").exists());
}

#[test]
fn nothing_is_published_when_preparing_fails() {
    let volume = tempfile::tempdir().unwrap();
    let volume = volume.path();
    write(volume, &files(&[("a", "old")]), 0);
    let root = SafeRoot::open(volume).unwrap();
    let error = AtomicWriter::new(&root, at(1)).write(&files(&[("a", "new")]), &|| Err("no group".into()));
    assert_eq!(error.unwrap_err().to_string(), "no group");
    assert_eq!(seen(volume)["a"], "old");
}

const STEPS: [Step; 9] = [
    Step::Swept,
    Step::DirectoryMade,
    Step::FilesWritten,
    Step::Prepared,
    Step::Linked,
    Step::Swapped,
    Step::NamesAdded,
    Step::NamesRemoved,
    Step::Done,
];

fn stop_after(volume: &Path, payload: &Payload, last: Step, second: i64) {
    let root = SafeRoot::open(volume).unwrap();
    let stopped = AtomicWriter::new(&root, at(second)).write_observed(payload, &|| Ok(()), &mut |step| {
        if step == last { Err(WriteError::Publish("killed".into())) } else { Ok(()) }
    });
    assert_eq!(stopped.unwrap_err().to_string(), "killed", "{last:?}");
}

#[test]
fn killed_at_any_step_the_volume_is_old_or_new_and_the_next_write_finishes() {
    let old = files(&[("gone", "o"), ("kept", "o"), ("deep/a", "o")]);
    let new = files(&[("kept", "n"), ("deep/b", "n"), ("added", "n")]);
    for first in STEPS {
        for second in STEPS {
            let volume = tempfile::tempdir().unwrap();
            let volume = volume.path();
            write(volume, &old, 0);
            stop_after(volume, &new, first, 1);
            let kept = &seen(volume)["kept"];
            assert_eq!(kept, if first < Step::Swapped { "o" } else { "n" }, "{first:?}");
            stop_after_if_reached(volume, &new, second, 2);
            write(volume, &new, 3);
            assert_eq!(seen(volume), texts(&new), "{first:?} {second:?}");
            assert_eq!(listing(volume).len(), 5, "{first:?} {second:?}: {:?}", listing(volume));
        }
    }
}

/// A second kill: steps that an unchanged volume skips are not reached.
fn stop_after_if_reached(volume: &Path, payload: &Payload, last: Step, second: i64) {
    let root = SafeRoot::open(volume).unwrap();
    let _ = AtomicWriter::new(&root, at(second)).write_observed(payload, &|| Ok(()), &mut |step| {
        if step == last { Err(WriteError::Publish("killed".into())) } else { Ok(()) }
    });
}

#[test]
fn killed_at_any_step_of_the_very_first_write() {
    for last in STEPS {
        let volume = tempfile::tempdir().unwrap();
        let payload = files(&[("a", "1"), ("b/c", "2")]);
        stop_after(volume.path(), &payload, last, 0);
        write(volume.path(), &payload, 1);
        assert_eq!(seen(volume.path()), texts(&payload), "{last:?}");
        assert_eq!(listing(volume.path()).len(), 4, "{last:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_sequence_of_payloads_and_kills_converges(
        runs in proptest::collection::vec(
            (proptest::collection::btree_map("[ab]{1,2}(/[cd]){0,2}", "[xy]{0,3}", 0..5), 0_usize..12),
            1..8,
        )
    ) {
        let volume = tempfile::tempdir().unwrap();
        let volume = volume.path();
        for (second, (wanted, kill)) in runs.into_iter().enumerate() {
            // A path cannot be a file and a directory at once.
            let paths: Vec<String> = wanted.keys().cloned().collect();
            let wanted: Payload = wanted
                .into_iter()
                .filter(|(path, _)| !paths.iter().any(|other| other.starts_with(&format!("{path}/"))))
                .map(|(path, text)| (path, Projection { data: text.into_bytes(), mode: 0o644, owner: None }))
                .collect();
            let second = i64::try_from(second).unwrap();
            if let Some(last) = STEPS.get(kill) {
                stop_after_if_reached(volume, &wanted, *last, second);
            }
            write(volume, &wanted, second);
            prop_assert_eq!(seen(volume), texts(&wanted));
        }
    }
}

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    sync::Arc,
};

use super::*;

fn target(of: fn(Arc<Path>) -> Target, path: &Path) -> Target {
    of(Arc::from(path))
}

fn blocks(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().blocks() * BLOCK
}

#[test]
fn a_tree_is_what_is_in_it_and_no_link_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("large"), vec![1; 1 << 20]).unwrap();
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    fs::write(dir.path().join("a/b/file"), vec![1; 100_000]).unwrap();
    fs::hard_link(dir.path().join("a/b/file"), dir.path().join("again")).unwrap();
    symlink(outside.path(), dir.path().join("link")).unwrap();
    let Figure::Tree(seen, space) = measure(&target(Target::Tree, dir.path())).unwrap() else { panic!() };
    let paths = ["", "a", "a/b", "a/b/file", "link"];
    let bytes = paths.iter().map(|path| blocks(&dir.path().join(path))).sum();
    assert_eq!(seen, Amount { bytes, inodes: 5 });
    assert!(space.capacity_bytes >= space.used_bytes && space.used_bytes > 0, "{space:?}");
}

#[test]
fn a_deep_tree_takes_few_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    let mut here = open_directory(CWD, dir.path()).unwrap();
    for _ in 0..500 {
        rustix::fs::mkdirat(&here, "d", Mode::from_raw_mode(0o755)).unwrap();
        here = open_directory(&here, "d").unwrap();
    }
    drop(here);
    let seen = tree(dir.path()).unwrap();
    assert_eq!(seen.inodes, 501);
}

#[test]
fn logs_are_files_by_container() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("main/inner")).unwrap();
    fs::create_dir(dir.path().join("side")).unwrap();
    fs::write(dir.path().join("main/0.log"), vec![1; 10_000]).unwrap();
    fs::write(dir.path().join("main/1.log"), "").unwrap();
    fs::write(dir.path().join("main/inner/file"), vec![1; 10_000]).unwrap();
    fs::write(dir.path().join("own"), "x").unwrap();
    let Figure::Logs(own, mut inside) = measure(&target(Target::Logs, dir.path())).unwrap() else { panic!() };
    inside.sort();
    assert_eq!(own, Amount { bytes: blocks(&dir.path().join("own")), inodes: 1 });
    let main = Amount { bytes: blocks(&dir.path().join("main/0.log")), inodes: 2 };
    assert_eq!(inside, [("main".to_owned(), main), ("side".to_owned(), Amount::default())]);
}

#[test]
fn one_file_and_what_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hosts");
    fs::write(&file, "127.0.0.1 localhost\n").unwrap();
    let seen = measure(&target(Target::File, &file)).unwrap();
    assert_eq!(seen, Figure::File(Amount { bytes: blocks(&file), inodes: 1 }));
    for of in [Target::File, Target::Tree, Target::Logs, Target::Space] {
        let error = measure(&target(of, Path::new("/none/such"))).unwrap_err();
        assert!(error.to_string().contains("/none/such"), "{error}");
    }
    assert!(measure(&target(Target::Tree, &file)).is_err(), "no directory");
}

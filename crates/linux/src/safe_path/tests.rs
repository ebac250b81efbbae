#![allow(clippy::panic, reason = "a test says what it met")]

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    os::unix::net::UnixListener,
};

use fakes::process::with_few_descriptors;

use super::*;
use crate::{
    mounts::{self, TmpfsOptions},
    testing::in_own_mount_namespace,
};

struct Tree {
    dir: tempfile::TempDir,
    root: SafeRoot,
}

/// `outside/secret` beside `root/{a/b/file, inside -> a/b, out -> ../outside, abs -> <outside>, gone -> nothing}`.
fn tree() -> Tree {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    fs::create_dir_all(base.join("outside")).unwrap();
    fs::write(base.join("outside/secret"), "secret").unwrap();
    fs::create_dir_all(base.join("root/a/b")).unwrap();
    fs::write(base.join("root/a/b/file"), "content").unwrap();
    symlink("a/b", base.join("root/inside")).unwrap();
    symlink("../outside", base.join("root/out")).unwrap();
    symlink(base.join("outside"), base.join("root/abs")).unwrap();
    symlink("nothing", base.join("root/gone")).unwrap();
    symlink("../../a", base.join("root/a/b/up")).unwrap();
    let root = SafeRoot::open(&base.join("root")).unwrap();
    Tree { dir, root }
}

fn inode(fd: &OwnedFd) -> u64 {
    fstat(fd).unwrap().st_ino
}

#[test]
fn plain_paths_open_and_links_do_not() {
    let tree = tree();
    let mut text = String::new();
    tree.root.open_file(Path::new("a/b/file")).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "content");
    assert!(tree.root.open_dir(Path::new("a/b")).is_ok());
    assert!(tree.root.open_dir(Path::new("./a//b/")).is_ok());
    for path in ["inside", "inside/file", "out", "out/secret", "abs/secret", "gone"] {
        let error = tree.root.open_path(Path::new(path)).unwrap_err();
        assert!(matches!(error, SafePathError::Escapes { .. }), "{path}: {error}");
    }
    for path in ["../outside/secret", "/etc/passwd", "a/../../outside", ""] {
        let error = tree.root.open_path(Path::new(path)).unwrap_err();
        assert!(matches!(error, SafePathError::NotBelow { .. }), "{path}: {error}");
    }
    assert!(tree.root.open_path(Path::new("a/none")).unwrap_err().is_not_found());
}

#[test]
fn only_regular_files_are_read_and_nothing_blocks() {
    let tree = tree();
    let base = tree.dir.path().join("root");
    let _socket = UnixListener::bind(base.join("socket")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, base.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    for path in ["pipe", "socket", "a"] {
        let error = tree.root.open_file(Path::new(path)).unwrap_err();
        assert!(matches!(error, SafePathError::Open { .. }), "{path}: {error}");
    }
}

#[test]
fn directories_are_created_with_the_exact_mode_and_not_through_links() {
    let tree = tree();
    let fd = tree.root.create_dir_all(Path::new("a/new/deep"), 0o2775).unwrap();
    let made = fs::metadata(tree.dir.path().join("root/a/new/deep")).unwrap();
    assert_eq!((inode(&fd), made.permissions().mode() & 0o7777), (made.ino(), 0o2775));
    tree.root.create_dir_all(Path::new("a/new/deep"), 0o700).unwrap();
    let kept = fs::metadata(tree.dir.path().join("root/a/new/deep")).unwrap();
    assert_eq!(kept.permissions().mode() & 0o7777, 0o2775, "what exists stays as it is");
    for path in ["inside/x", "out/x", "abs/x", "gone"] {
        let error = tree.root.create_dir_all(Path::new(path), 0o755).unwrap_err();
        assert!(matches!(error, SafePathError::Escapes { .. }), "{path}: {error}");
    }
    assert_eq!(fs::read_dir(tree.dir.path().join("outside")).unwrap().count(), 1);
    assert!(tree.root.create_dir_all(Path::new("a/b/file/x"), 0o755).is_err());
}

#[test]
fn files_are_created_new() {
    let tree = tree();
    let mut file = tree.root.create_file(Path::new("a/fresh"), 0o666).unwrap();
    file.write_all(b"x").unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o666);
    assert!(matches!(
        tree.root.create_file(Path::new("a/fresh"), 0o600),
        Err(SafePathError::Create { cause, .. }) if cause.kind() == io::ErrorKind::AlreadyExists
    ));
    assert!(tree.root.create_file(Path::new("gone"), 0o600).is_err(), "not through a dangling link");
    assert!(tree.root.create_file(Path::new("out/x"), 0o600).is_err());
}

#[test]
fn sub_paths_follow_links_that_stay_inside_only() {
    let tree = tree();
    let file = tree.root.open_sub_path(Path::new("inside/file")).unwrap();
    assert_eq!(file.kind, SubPathKind::File);
    assert_eq!(inode(&file.fd), fs::metadata(tree.dir.path().join("root/a/b/file")).unwrap().ino());
    let up = tree.root.open_sub_path(Path::new("inside/up")).unwrap();
    assert_eq!(up.kind, SubPathKind::Directory);
    let whole = tree.root.open_sub_path(Path::new("")).unwrap();
    assert_eq!(inode(&whole.fd), fs::metadata(tree.dir.path().join("root")).unwrap().ino());
    for path in ["out", "out/secret", "abs", "abs/secret"] {
        let error = tree.root.open_sub_path(Path::new(path)).unwrap_err();
        assert!(matches!(error, SafePathError::Escapes { .. }), "{path}: {error}");
    }
    symlink("/proc/self/root/etc", tree.dir.path().join("root/magic")).unwrap();
    assert!(tree.root.open_sub_path(Path::new("magic")).is_err());
}

#[test]
fn a_sub_path_is_its_names() {
    let tree = tree();
    let base = tree.dir.path().join("root");
    rustix::fs::mknodat(rustix::fs::CWD, base.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let is = |place: &str| fs::metadata(base.join(place)).unwrap().ino();
    for (path, kind, place) in [
        ("a/b/file/", SubPathKind::File, "a/b/file"),
        ("./a//b/./file", SubPathKind::File, "a/b/file"),
        ("inside/file/.", SubPathKind::File, "a/b/file"),
        ("pipe/", SubPathKind::File, "pipe"),
        ("a/b/", SubPathKind::Directory, "a/b"),
        ("inside/", SubPathKind::Directory, "a/b"),
        ("inside/up/./b", SubPathKind::Directory, "a/b"),
        ("./", SubPathKind::Directory, "."),
        (".//.", SubPathKind::Directory, "."),
    ] {
        let path = Path::new(path);
        for found in [tree.root.open_sub_path(path), tree.root.create_sub_path(path, 0o750)] {
            let found = found.unwrap();
            assert_eq!((found.kind, inode(&found.fd)), (kind, is(place)), "{}", path.display());
        }
    }
    for path in ["out/", "out/secret/", "abs/."] {
        let error = tree.root.open_sub_path(Path::new(path)).unwrap_err();
        assert!(matches!(error, SafePathError::Escapes { .. }), "{path}: {error}");
    }
    let error = tree.root.open_sub_path(Path::new("a/b/file/x")).unwrap_err();
    assert!(matches!(&error, SafePathError::Open { .. }) && !error.is_not_found(), "{error}");
    assert!(tree.root.open_sub_path(Path::new("a/none/")).unwrap_err().is_not_found());
}

#[test]
fn missing_sub_paths_are_created_where_the_links_lead() {
    let tree = tree();
    let made = tree.root.create_sub_path(Path::new("inside/x/y"), 0o750).unwrap();
    let seen = fs::metadata(tree.dir.path().join("root/a/b/x/y")).unwrap();
    assert_eq!((inode(&made.fd), seen.permissions().mode() & 0o7777), (seen.ino(), 0o750));
    assert_eq!(tree.root.create_sub_path(Path::new("a/b/file"), 0o750).unwrap().kind, SubPathKind::File);
    for path in ["out/x", "abs/x", "gone", "gone/x"] {
        assert!(tree.root.create_sub_path(Path::new(path), 0o750).is_err(), "{path}");
    }
    assert!(!tree.dir.path().join("root/nothing").exists(), "a dangling link is not filled in");
    assert_eq!(fs::read_dir(tree.dir.path().join("outside")).unwrap().count(), 1);
}

#[test]
fn a_tree_is_removed_and_links_are_not_followed() {
    let tree = tree();
    fs::create_dir_all(tree.dir.path().join("root/t/1/2/3")).unwrap();
    fs::write(tree.dir.path().join("root/t/1/f"), "").unwrap();
    symlink("../../outside", tree.dir.path().join("root/t/link")).unwrap();
    tree.root.remove_tree(Path::new("t")).unwrap();
    assert!(!tree.dir.path().join("root/t").exists());
    tree.root.remove_tree(Path::new("t")).unwrap();
    tree.root.remove_tree(Path::new("none/such")).unwrap();
    tree.root.remove(Path::new("out")).unwrap();
    assert!(tree.dir.path().join("root/out").symlink_metadata().is_err());
    assert!(tree.dir.path().join("outside/secret").exists());
    assert!(matches!(tree.root.remove(Path::new("a")), Err(SafePathError::Remove { .. })), "not empty");
    assert!(tree.root.remove_tree(Path::new(".")).is_err(), "the root itself stays");
}

/// Directories in one another, a file in the last one.
fn dig(top: &Path, depth: usize) -> PathBuf {
    let path: PathBuf = std::iter::once(top.to_owned()).chain((0..depth).map(|_| "d".into())).collect();
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("file"), "").unwrap();
    path
}

#[test]
fn how_deep_a_tree_is_does_not_keep_it_from_being_removed() {
    if !with_few_descriptors("safe_path::tests::how_deep_a_tree_is_does_not_keep_it_from_being_removed")
        .unwrap()
    {
        return;
    }
    let tree = tree();
    let top = tree.dir.path().join("root/t");
    dig(&top, 500);
    // Several ways down, so that closed directories are gone on with.
    for depth in [1, 30, 100, 400] {
        let aside: PathBuf = std::iter::once(top.clone()).chain((0..depth).map(|_| "d".into())).collect();
        dig(&aside.join("aside"), 50);
    }
    symlink(tree.dir.path().join("outside"), top.join("d/link")).unwrap();
    tree.root.remove_tree(Path::new("t")).unwrap();
    assert!(!top.exists());
    assert!(tree.dir.path().join("outside/secret").exists());
}

#[test]
fn a_walk_whose_way_up_was_moved_away_ends() {
    let tree = tree();
    let top = tree.dir.path().join("root/t");
    dig(&top, 40);
    let open = |path: &Path| OwnedFd::from(File::open(path).unwrap());
    let mut walk = Descent::new(open(&top), vec!["left".into()]);
    let mut here = top.clone();
    for _ in 0..40 {
        here.push("d");
        walk.enter("d".into(), open(&here), Vec::new()).unwrap();
    }
    assert_eq!(top.join(walk.path_of(OsStr::new("file"))), here.join("file"));
    // The fifth directory is below another one now, from which the walk must not go on.
    fs::rename(top.join("d/d/d/d/d"), tree.dir.path().join("outside/d")).unwrap();
    let mut back = 0;
    let ended = loop {
        match walk.step() {
            Ok(Step::Done(name, _)) => back += usize::from(name == "d"),
            Ok(_) => panic!("the walk went on"),
            Err((_, errno)) => break errno,
        }
    };
    assert_eq!((back, ended), (35, Errno::STALE));
}

#[test]
fn a_mounted_filesystem_survives_the_removal_of_the_tree_around_it() {
    in_own_mount_namespace(|| {
        let tree = tree();
        let mount = tree.dir.path().join("root/t/1/m");
        fs::create_dir_all(&mount).unwrap();
        mounts::mount_tmpfs(&mount, &TmpfsOptions::default()).unwrap();
        fs::write(mount.join("data"), "precious").unwrap();
        match tree.root.remove_tree(Path::new("t")) {
            Err(SafePathError::Mounted { path, .. }) => assert_eq!(path, Path::new("t/1/m")),
            other => panic!("{other:?}"),
        }
        assert_eq!(fs::read_to_string(mount.join("data")).unwrap(), "precious");
        mounts::unmount(&mount, mounts::Unmount::Plain).unwrap();
        tree.root.remove_tree(Path::new("t")).unwrap();
    });
}

#[test]
fn a_swapping_link_never_leads_out() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let tree = tree();
    let base = tree.dir.path().join("root");
    fs::create_dir_all(base.join("real/leaf")).unwrap();
    let allowed = fs::metadata(base.join("real/leaf")).unwrap().ino();
    fs::create_dir_all(tree.dir.path().join("outside/leaf")).unwrap();
    symlink("real", base.join("swap")).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut out = false;
            while !stop.load(Ordering::Relaxed) {
                out = !out;
                symlink(if out { "../outside" } else { "real" }, base.join("next")).unwrap();
                fs::rename(base.join("next"), base.join("swap")).unwrap();
            }
        });
        let mut good = 0;
        for _ in 0..20_000 {
            match tree.root.open_sub_path(Path::new("swap/leaf")) {
                Ok(found) => {
                    assert_eq!(inode(&found.fd), allowed);
                    good += 1;
                }
                Err(SafePathError::Escapes { .. } | SafePathError::Open { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(good > 0, "the link pointed inside at least once");
    });
}

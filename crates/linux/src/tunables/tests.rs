#![allow(clippy::panic, reason = "a test says what it met")]

use std::fs;

use super::*;

fn fixture(values: [&str; 6]) -> (tempfile::TempDir, Roots) {
    let dir = tempfile::tempdir().unwrap();
    for ((name, _), value) in TUNABLES.iter().zip(values) {
        let path = dir.path().join("sys").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{value}\n")).unwrap();
    }
    let roots = Roots { proc: dir.path().into(), ..Roots::default() };
    (dir, roots)
}

const GOOD: [&str; 6] = ["1", "0", "10", "1", "1000000", "25000000"];
const ODD: [&str; 6] = ["0", "0", "0", "1", "200", "25000000"];

#[test]
fn differing_settings_are_set_verified_or_left() {
    let (dir, roots) = fixture(ODD);
    let errors = apply(&roots, Tunables::Verify, false).unwrap_err();
    let names: Vec<_> = errors
        .iter()
        .map(|error| match error {
            TunableError::Differs { name, .. } => *name,
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(names, ["vm/overcommit_memory", "kernel/panic", "kernel/keys/root_maxkeys"]);
    assert!(
        errors[1]
            .to_string()
            .starts_with("invalid kernel flag: kernel/panic, expected value: 10, actual value: 0")
    );
    assert_eq!(fs::read_to_string(dir.path().join("sys/kernel/panic")).unwrap(), "0\n", "left");
    assert_eq!(apply(&roots, Tunables::Set, false), Ok(()));
    assert!(fs::read_to_string(dir.path().join("sys/kernel/panic")).unwrap().starts_with("10"));
    let (_dir, good) = fixture(GOOD);
    assert_eq!(apply(&good, Tunables::Verify, false), Ok(()));
}

#[test]
fn a_refused_change_is_an_error_outside_user_namespaces() {
    let (dir, roots) = fixture(ODD);
    let panic = dir.path().join("sys/kernel/panic");
    fs::remove_file(&panic).unwrap();
    // A number that the kernel lets nobody write, root neither.
    std::os::unix::fs::symlink("/proc/sys/kernel/random/entropy_avail", &panic).unwrap();
    let errors = apply(&roots, Tunables::Set, false).unwrap_err();
    assert!(
        matches!(errors.as_slice(), [TunableError::Write { name: "kernel/panic", expected: 10, .. }]),
        "{errors:?}"
    );
    assert_eq!(apply(&roots, Tunables::Set, true), Ok(()), "only logged");
    fs::remove_file(&panic).unwrap();
    let errors = apply(&roots, Tunables::Set, true).unwrap_err();
    assert!(matches!(errors.as_slice(), [TunableError::Read { name: "kernel/panic", .. }]), "{errors:?}");
}

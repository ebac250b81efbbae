use std::collections::BTreeSet;

use jiff::civil::{DateTime, date};
use proptest::prelude::*;

use super::*;

const LOG: &str = "0.log";
const POLICY: LogPolicy = LogPolicy { max_size: 100, max_files: 5 };

fn now() -> DateTime {
    date(2026, 1, 2).at(3, 4, 5, 678)
}

fn named(ends: &[&str]) -> Vec<String> {
    ends.iter().map(|end| format!("{LOG}{end}")).collect()
}

/// Steps in short: `-` deletes, `>` rotates, `z` compresses.
fn shown(steps: &[LogStep]) -> String {
    let short = |name: &String| name.strip_prefix("0.log").unwrap_or(name).to_owned();
    let shown: Vec<String> = steps
        .iter()
        .map(|step| match step {
            LogStep::Delete(name) => format!("-{}", short(name)),
            LogStep::Rotate(name) => format!(">{}", short(name)),
            LogStep::Compress(name) => format!("z{}", short(name)),
        })
        .collect();
    shown.join(" ")
}

#[test]
fn plans() {
    let d = |n: u32| format!(".2026010{n}-000000");
    let (a, b, c, e) = (d(1), ".20260101-000001".to_owned(), ".20260101-000002".to_owned(), d(2));
    let gz = |name: &str| format!("{name}.gz");
    let cases: [(u64, Vec<String>, String); 11] = [
        (99, vec![], String::new()),
        (100, vec![], ">.20260102-030405".into()),
        // The first to be rotated again: what was plain is compressed, once it is not the newest any more.
        (100, vec![a.clone()], format!(">.20260102-030405 z{a}")),
        // Full: the oldest goes, whatever it is.
        (100, vec![gz(&a), gz(&b), gz(&c), e.clone()], format!("-{} >.20260102-030405 z{e}", gz(&a))),
        (99, vec![gz(&a), gz(&b), gz(&c), e.clone()], String::new()),
        (99, vec![gz(&a), gz(&b), gz(&c), e.clone(), ".20260102-000001".into()], format!("-{} z{e}", gz(&a))),
        // Left by a compression that was killed: before, and after its last rename.
        (99, vec![a.clone(), format!("{a}.tmp"), b.clone()], format!("-{a}.tmp z{a}")),
        (99, vec![a.clone(), gz(&a), b.clone()], format!("-{a}")),
        // What somebody else put there counts as upstream counts it.
        (100, vec![".1".into(), gz(&a)], ">.20260102-030405 z.1".into()),
        // The clock stood still, or was put back.
        (100, vec![".20260102-030405.gz".into()], ">.20260102-030406".into()),
        (100, vec![".20261231-235959".into()], ">.20270101-000000 z.20261231-235959".into()),
    ];
    for (size, names, expected) in cases {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(shown(&plan(POLICY, LOG, size, &named(&names), now())), expected, "{size} {names:?}");
    }
}

#[test]
fn other_files_are_none_of_our_business() {
    let names: Vec<String> =
        ["0.log", "1.log", "10.log", "10.log.1", "0.logs.1", "x", "0.log."].map(str::to_owned).into();
    assert!(plan(LogPolicy { max_size: 1, max_files: 2 }, LOG, 0, &names, now()).is_empty());
}

#[test]
fn rotated_names_are_exact() {
    for (name, rotated) in [
        ("0.log.20260102-030405", Some("0.log.20260102-030405")),
        ("0.log.20260102-030405.gz", Some("0.log.20260102-030405")),
        ("0.log.20260102-030405.tmp", None),
        ("0.log.20260102-03040", None),
        ("0.log.20261302-030405", None),
        ("0.log.1", None),
        ("0.log", None),
        ("1.log.20260102-030405", None),
    ] {
        assert_eq!(rotated_name(LOG, name), rotated, "{name}");
    }
}

/// The directory: names, and which lines each file holds (`.tmp` holds none that count).
type Files = BTreeSet<String>;

/// Carries out one step up to one of its inner instructions; returns false if there are no more.
fn apply(files: &mut Files, step: &LogStep, instructions: usize) {
    match step {
        LogStep::Delete(name) => {
            if instructions > 0 {
                files.remove(name);
            }
        }
        LogStep::Rotate(name) => {
            if instructions > 0 {
                assert!(files.remove(LOG), "there is a log to rotate");
                assert!(files.insert(name.clone()), "the name {name} is taken");
            }
            if instructions > 1 {
                files.insert(LOG.to_owned());
            }
        }
        LogStep::Compress(name) => {
            assert!(files.contains(name));
            for _ in 0..instructions.min(1) {
                files.insert(temporary_name(name));
            }
            if instructions > 1 {
                files.remove(&temporary_name(name));
                files.insert(compressed_name(name));
            }
            if instructions > 2 {
                files.remove(name);
            }
        }
    }
}

/// Names of what holds lines, each once.
fn generations(files: &Files) -> BTreeSet<String> {
    let whole = files.iter().filter(|name| !name.ends_with(".tmp"));
    whole.map(|name| name.strip_suffix(".gz").unwrap_or(name).to_owned()).collect()
}

fn names() -> impl Strategy<Value = Vec<String>> {
    let one = (0_u8..8, prop_oneof![Just(""), Just(".gz"), Just(".tmp")])
        .prop_map(|(second, end)| format!("{LOG}.20260102-03040{second}{end}"));
    prop::collection::vec(one, 0..12)
}

fn settled(policy: LogPolicy, mut files: Files) -> Files {
    for round in 0.. {
        assert!(round < 3, "no end to it: {files:?}");
        files.insert(LOG.to_owned());
        let listed: Vec<String> = files.iter().cloned().collect();
        let steps = plan(policy, LOG, 0, &listed, now());
        if steps.is_empty() {
            break;
        }
        steps.iter().for_each(|step| apply(&mut files, step, 3));
    }
    files
}

proptest! {
    #[test]
    fn killed_anywhere_the_next_look_repairs(
        names in names(),
        max_files in 2_usize..6,
        due: bool,
        stop_after in 0_usize..12,
        instructions in 0_usize..4,
    ) {
        let policy = LogPolicy { max_size: 100, max_files };
        let mut files: Files = names.into_iter().chain([LOG.to_owned()]).collect();
        let listed: Vec<String> = files.iter().cloned().collect();
        let most = generations(&files).len().max(max_files);
        let steps = plan(policy, LOG, if due { 100 } else { 0 }, &listed, now());
        let mut whole = files.clone();
        for step in &steps {
            apply(&mut whole, step, 3);
            prop_assert!(generations(&whole).len() <= most, "{step:?} makes too many of {whole:?}");
        }
        prop_assert!(generations(&whole).len() <= max_files);
        prop_assert!(!whole.iter().any(|name| name.ends_with(".tmp")));
        let plain: Vec<_> = whole.iter().filter(|n| n.as_str() != LOG && !n.ends_with(".gz")).collect();
        prop_assert!(plain.len() <= 1, "{plain:?} are plain");
        if let Some(plain) = plain.first() {
            prop_assert!(whole.iter().all(|name| name <= plain), "{plain} is not the newest of {whole:?}");
        }

        for step in steps.iter().take(stop_after) {
            apply(&mut files, step, 3);
        }
        if let Some(step) = steps.get(stop_after) {
            apply(&mut files, step, instructions);
        }
        let before = generations(&files);
        let after = settled(policy, files);
        prop_assert!(!after.iter().any(|name| name.ends_with(".tmp")));
        // Only the oldest are lost, and only those that are too many.
        let kept = generations(&after);
        let mut expected: BTreeSet<String> = before.into_iter().chain([LOG.to_owned()]).collect();
        while expected.len() > max_files {
            let oldest = expected.iter().find(|name| name.as_str() != LOG).cloned();
            expected.remove(&oldest.expect("more than the log itself"));
        }
        prop_assert_eq!(kept, expected);
    }
}

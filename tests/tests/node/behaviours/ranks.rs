//! Which test shows which behaviour of node conformance (contract §33): the ranks that this project holds itself to.
//!
//! `Here` are the cases of this test that name the rank; the other tests stand with their file and function. A unit test
//! checks the table against the list of ranks, the cases and the files, so that it stays true.

/// Where a behaviour, or a part of it, is shown.
enum Shown {
    /// By the cases of this test that name the rank.
    Here,
    /// By a function of another file in `tests/tests/node`.
    By(&'static str, &'static str),
}

use Shown::{By, Here};

/// One behaviour.
struct Rank {
    /// Its place in the contract's list.
    number: u8,
    /// What is asserted.
    what: &'static str,
    /// By which tests.
    shown: &'static [Shown],
}

const fn rank(number: u8, what: &'static str, shown: &'static [Shown]) -> Rank {
    Rank { number, what, shown }
}

/// Every rank of the list, once.
const RANKS: &[Rank] = &[
    rank(
        1,
        "a pod gets Ready, and goes within its grace, on the node too",
        &[Here, By("cluster.rs", "deployment")],
    ),
    rank(2, "addresses of node and pod", &[Here]),
    rank(3, "restart policies with a command that fails, then succeeds", &[Here]),
    rank(4, "readiness: initial delay, failure; no restarts", &[Here]),
    rank(5, "liveness of four kinds: restarts when it fails, none when it passes", &[Here]),
    rank(6, "init containers: order, failure by policy, the condition Initialized", &[Here]),
    rank(
        7,
        "changes of a pod are followed, a foreign status stays, deletion of a set",
        &[Here, By("static_pods.rs", "updated")],
    ),
    rank(
        8,
        "output is logged; a failing command has a reason and can be deleted",
        &[Here, By("kubectl/asked.rs", "logs")],
    ),
    rank(9, "termination messages from files and logs", &[Here]),
    rank(10, "which containers get a managed hosts file", &[Here]),
    rank(11, "ConfigMaps and Secrets as environment", &[Here]),
    rank(12, "environment of services", &[Here]),
    rank(13, "postStart and preStop hooks by exec, HTTP and HTTPS", &[Here]),
    rank(14, "fields and resources of the pod as environment", &[Here]),
    rank(15, "a lowered active deadline", &[Here]),
    rank(
        16,
        "exec over WebSocket, and logs, through the API server",
        &[Here, By("kubectl/asked.rs", "commands"), By("kubectl/asked.rs", "logs")],
    ),
    rank(18, "an exec probe that takes too long has failed", &[Here]),
    rank(19, "startup probes hold liveness off and let readiness go at once", &[Here]),
    rank(20, "command and arguments instead of the image's", &[Here]),
    rank(21, "the QoS class, in the API and as a cgroup", &[Here]),
    rank(22, "ephemeral containers", &[By("containers.rs", "debug_containers")]),
    rank(23, "host aliases; a read-only root", &[Here]),
    rank(24, "variables in commands, values and sub-paths; bad paths wait and recover", &[Here]),
    rank(30, "readiness gates", &[Here]),
    rank(31, "redirects of probes", &[Here]),
    rank(32, "the grace period of a probe", &[Here]),
    rank(33, "probes of a pod that ends", &[Here]),
    rank(34, "all of the probes' behaviours with sidecars", &[Here]),
    rank(35, "groups of the pod and of the image; user namespaces", &[Here]),
    rank(41, "preStop hooks that sleep: kept, cut, hurried, of ended containers, of no length", &[Here]),
    rank(42, "emptyDir: modes, users, groups, memory, sharing", &[Here]),
    rank(43, "ConfigMap volumes: modes, items, binary, updates, optional, immutable", &[Here]),
    rank(44, "Secret volumes: the same, groups, one name in two namespaces", &[Here]),
    rank(45, "downward volumes: fields, resources, updates, modes", &[Here]),
    rank(46, "projected volumes: each source and all of them", &[Here]),
    rank(
        48,
        "mirrors: made, changed, deleted, gone and back; their generations",
        &[Here, By("static_pods.rs", "edited_renamed_removed"), By("static_pods.rs", "mirror_deleted")],
    ),
    rank(
        49,
        "the grace of static pods: removed, changed, changed again and again, without a runtime",
        &[Here, By("behaviours/mirrors.rs", "outage")],
    ),
    rank(
        50,
        "a static pod stays Ready over a restart that misses an init container",
        &[By("behaviours/mirrors.rs", "forgotten")],
    ),
    rank(51, "conditions: their order, and what they say while a volume is missing", &[Here]),
];

#[test]
fn every_rank_is_shown_where_the_table_says() {
    let wanted = (1..=16).chain(18..=24).chain(30..=35).chain(41..=46).chain(48..=51);
    let listed: Vec<u8> = RANKS.iter().map(|rank| rank.number).collect();
    assert_eq!(listed, wanted.collect::<Vec<u8>>());
    let cases = super::cases();
    for case in &cases {
        assert!(case.ranks.iter().all(|rank| listed.contains(rank)), "{} is of {:?}", case.name, case.ranks);
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node");
    for Rank { number, what, shown } in RANKS {
        assert!(!what.is_empty() && !shown.is_empty(), "rank {number}");
        let here = shown.iter().any(|shown| matches!(shown, Here));
        assert_eq!(cases.iter().any(|case| case.ranks.contains(number)), here, "rank {number}");
        for shown in *shown {
            match shown {
                Here => {}
                By(file, function) => {
                    let text = std::fs::read_to_string(folder.join(file)).unwrap();
                    assert!(
                        text.contains(&format!("fn {function}(")),
                        "rank {number}: {file} has no {function}"
                    );
                }
            }
        }
    }
}

#[test]
fn no_two_cases_have_one_name() {
    let mut names: Vec<String> = super::cases().into_iter().map(|case| case.name).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

//! Grammar, types and table of the flags.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::{schema, v1beta1::KubeletConfiguration};

fn ok(args: &[&str]) -> RawFlags {
    parse(args.iter().map(|arg| (*arg).to_owned())).unwrap()
}

fn first_error(args: &[&str]) -> String {
    parse(args.iter().map(|arg| (*arg).to_owned())).unwrap_err()[0].to_string()
}

#[test]
fn the_table_is_sorted_and_its_fields_exist() {
    assert!(FLAGS.windows(2).all(|pair| pair[0].name < pair[1].name));
    for flag in FLAGS {
        if let Some(path) = flag.field {
            assert!(schema::find(KubeletConfiguration::FIELDS, path).is_some(), "{path}");
        }
        assert!(!flag.text().is_empty(), "{}", flag.name);
    }
    let removed: BTreeSet<_> = removed::REMOVED.iter().map(|flag| flag.name).collect();
    assert_eq!(removed.len(), removed::REMOVED.len());
    for name in removed {
        assert!(find(name).is_none(), "{name} is both");
    }
}

/// The names that upstream's 1.37.2 binary prints.
#[test]
fn the_table_has_upstreams_names_and_no_others() {
    let upstream: BTreeSet<_> = include_str!("../../tests/data/flags-1.37.2.txt").lines().collect();
    let ours: BTreeSet<_> = FLAGS.iter().map(|flag| flag.name).collect();
    assert_eq!(ours, upstream);
}

#[test]
fn defaults_parse_to_themselves() {
    for flag in FLAGS.iter().filter(|flag| !matches!(flag.default, "" | "[]") && flag.kind != Kind::Version) {
        let text = flag.default.trim_matches(['[', ']']);
        let value = value::accumulate(flag.kind, None, text).unwrap().unwrap();
        assert_eq!(value::print(flag.kind, &value), flag.default, "{}", flag.name);
    }
}

#[test]
fn values_join_by_equal_sign_or_follow() {
    for args in
        [&["--max-pods=7"][..], &["--max-pods", "7"], &["--max_pods=7"], &["--max-pods=3", "--max-pods=0x7"]]
    {
        assert_eq!(ok(args).values["max-pods"], json!(7), "{args:?}");
    }
}

#[test]
fn bools_take_no_following_value() {
    let flags = ok(&["--register-node", "false"]);
    assert_eq!(flags.values["register-node"], json!(true));
    assert_eq!(flags.positional, ["false"]);
    assert_eq!(ok(&["--register-node=F"]).values["register-node"], json!(false));
}

#[test]
fn verbosity_has_three_short_forms() {
    for args in [&["-v", "4"][..], &["-v=4"], &["-v4"], &["--v=4"], &["--v", "4"]] {
        assert_eq!(ok(args).values["v"], json!(4), "{args:?}");
    }
    assert_eq!(
        first_error(&["-vh"]),
        "invalid argument \"h\" for \"-v, --v\" flag: strconv.ParseUint: parsing \"h\": invalid syntax"
    );
    assert!(ok(&["-hv4"]).is_on("help"), "a switch may lead a group");
}

#[test]
fn two_dashes_end_the_flags() {
    let flags = ok(&["--v=1", "--", "--max-pods=5", "x"]);
    assert_eq!(flags.positional, ["--max-pods=5", "x"]);
    assert!(!flags.values.contains_key("max-pods"));
}

#[test]
fn maps_and_lists_accumulate() {
    let flags = ok(&[
        "--node-labels=a=1,b",
        "--node-labels=c=2",
        "--cluster-dns=10.0.0.1,10.0.0.2",
        "--cluster-dns=10.0.0.3",
        "--eviction-hard=memory.available<1Gi",
        "--eviction-hard=nodefs.available<10%",
        "--feature-gates=NodeSwap=true,AllAlpha=0",
        "--manifest-url-header=a:1,b:2",
        "--manifest-url-header=a:3",
        "--reserved-memory=0:memory=1024Mi;1:memory=2Gi",
        "--reserved-memory=2:hugepages-2Mi=4Mi",
        "--vmodule=a=1",
        "--vmodule=b*=2,",
    ]);
    assert_eq!(flags.values["node-labels"], json!({"a": "1", "b": "", "c": "2"}));
    assert_eq!(flags.values["cluster-dns"], json!(["10.0.0.1", "10.0.0.2", "10.0.0.3"]));
    assert_eq!(flags.values["eviction-hard"], json!({"memory.available": "1Gi", "nodefs.available": "10%"}));
    assert_eq!(flags.values["feature-gates"], json!({"NodeSwap": true, "AllAlpha": false}));
    assert_eq!(flags.values["manifest-url-header"], json!({"a": ["1", "3"], "b": ["2"]}));
    assert_eq!(flags.values["reserved-memory"][0], json!({"numaNode": 0, "limits": {"memory": "1Gi"}}));
    assert_eq!(flags.values["reserved-memory"].as_array().unwrap().len(), 3);
    assert_eq!(
        flags.values["vmodule"],
        json!([{"filePattern": "a", "verbosity": 1}, {"filePattern": "b*", "verbosity": 2}])
    );
}

#[test]
fn the_last_taint_list_wins() {
    let flags = ok(&["--register-with-taints=a=b:NoSchedule", "--register-with-taints=c:NoExecute"]);
    assert_eq!(flags.values["register-with-taints"], json!([{"key": "c", "effect": "NoExecute"}]));
}

#[test]
fn lists_are_csv() {
    assert_eq!(ok(&["--tls-cipher-suites=\"a,b\",c"]).values["tls-cipher-suites"], json!(["a,b", "c"]));
    assert_eq!(ok(&["--cluster-dns="]).values["cluster-dns"], json!([]));
    assert!(first_error(&["--cluster-dns=a\"b"]).contains("quoted-field"));
}

#[test]
fn errors_are_worded_as_upstreams() {
    for (args, error) in [
        (&["--xyz"][..], "unknown flag: --xyz"),
        (&["--xyz=1"], "unknown flag: --xyz"),
        (&["--x_y"], "unknown flag: --x_y"),
        (&["-x"], "unknown shorthand flag: 'x' in -x"),
        (&["--=a"], "bad flag syntax: --=a"),
        (&["---a"], "bad flag syntax: ---a"),
        (&["--max-pods"], "flag needs an argument: --max-pods"),
        (&["-v"], "flag needs an argument: 'v' in -v"),
        (
            &["--max-pods=a"],
            "invalid argument \"a\" for \"--max-pods\" flag: strconv.ParseInt: parsing \"a\": invalid syntax",
        ),
        (
            &["--max-pods=9999999999"],
            "invalid argument \"9999999999\" for \"--max-pods\" flag: strconv.ParseInt: parsing \"9999999999\": value out of range",
        ),
        (
            &["--register-node=yes"],
            "invalid argument \"yes\" for \"--register-node\" flag: strconv.ParseBool: parsing \"yes\": invalid syntax",
        ),
        (
            &["--sync-frequency=5"],
            "invalid argument \"5\" for \"--sync-frequency\" flag: time: missing unit in duration \"5\"",
        ),
        (&["--address=x"], "invalid argument \"x\" for \"--address\" flag: \"x\" is not a valid IP address"),
        (
            &["--eviction-hard=a=b"],
            "invalid argument \"a=b\" for \"--eviction-hard\" flag: malformed pair, expect string<string",
        ),
        (
            &["--feature-gates=A=x"],
            "invalid argument \"A=x\" for \"--feature-gates\" flag: invalid value of A: x, err: strconv.ParseBool: parsing \"x\": invalid syntax",
        ),
        (
            &["--vmodule=a"],
            "invalid argument \"a\" for \"--vmodule\" flag: \"a\" does not have the pattern=N format",
        ),
    ] {
        assert_eq!(first_error(args), error, "{args:?}");
    }
}

#[test]
fn all_errors_are_reported_with_the_nearest_name() {
    let errors = parse(["--max-pod=5", "--kubeconfg=x", "--port=a"].map(str::to_owned)).unwrap_err();
    assert_eq!(errors.len(), 3);
    assert!(errors[0].hint().contains("--max-pods"), "{}", errors[0].hint());
    assert!(errors[1].hint().contains("--kubeconfig"), "{}", errors[1].hint());
}

#[test]
fn removed_flags_consume_the_value_that_they_had() {
    let flags = ok(&[
        "--network-plugin",
        "cni",
        "--allow-privileged",
        "--cni-conf-dir=/etc/cni",
        "--docker_endpoint",
        "unix:///x",
        "--container-runtime=remote",
        "--logtostderr=false",
        "--storage-driver-user",
        "root",
        "--v=2",
    ]);
    assert!(flags.positional.is_empty());
    assert_eq!(flags.removed.len(), 7);
    assert_eq!(flags.values["v"], json!(2));
    assert_eq!(
        flags.removed[0].warning(),
        "Flag --network-plugin was removed in Kubernetes 1.24 and is ignored: the container runtime sets up the network; configure CNI there"
    );
}

#[test]
fn docker_is_refused_and_not_ignored() {
    for value in ["docker", "rkt"] {
        let error = parse(["--container-runtime".to_owned(), value.to_owned()]).unwrap_err().remove(0);
        assert!(error.hint().contains("containerd"), "{}", error.hint());
    }
}

#[test]
fn deprecated_flags_are_named_once() {
    let flags = ok(&["--max-pods=1", "--max-pods=2", "--v=1", "--kubeconfig=x"]);
    let names: Vec<_> = flags.deprecated.iter().map(|flag| flag.name).collect();
    assert_eq!(names, ["max-pods"]);
}

#[test]
fn help_names_every_flag() {
    let text = help::render();
    for flag in FLAGS {
        assert!(text.contains(&format!("--{} ", flag.name)), "{}", flag.name);
    }
    assert!(text.lines().all(|line| line.len() <= 320));
}

proptest! {
    #[test]
    fn no_command_line_panics(args in proptest::collection::vec("(-{0,3}[a-z_]{0,8}(=[^\\x00]{0,8})?|-v[0-9=]{0,3}|--(max-pods|cluster-dns|node-labels|vmodule)(=.{0,6})?)", 0..6)) {
        let _ = parse(args);
    }

    #[test]
    fn both_ways_to_give_a_value_agree(flag in proptest::sample::select(FLAGS.iter().filter(|flag| flag.kind.implied().is_none()).map(|flag| flag.name).collect::<Vec<_>>()), text in "[-a-z0-9.,=:<\"]{0,12}") {
        let joined = parse([format!("--{flag}={text}")]).map(|flags| flags.values);
        let split = parse([format!("--{flag}"), text]).map(|flags| flags.values);
        prop_assert_eq!(joined, split);
    }

    #[test]
    fn printed_lists_of_maps_parse_again(labels in proptest::collection::btree_map("[a-z]{1,5}", "[a-z0-9]{0,5}", 0..5)) {
        let text: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let value = value::accumulate(Kind::Labels, None, &text.join(",")).unwrap().unwrap();
        prop_assert_eq!(value::print(Kind::Labels, &value), text.join(","));
    }
}

#[test]
fn a_swap_of_neighbours_is_one_slip() {
    for (a, b, steps) in [
        ("proxy", "proxy", 0),
        ("porxy", "proxy", 1),
        ("Proyx", "proxy", 1),
        ("proxies", "proxy", 3),
        ("", "proxy", 5),
        ("ab", "ba", 1),
        ("abc", "cba", 2),
    ] {
        assert_eq!(distance(a, b), steps, "{a} {b}");
        assert_eq!(distance(b, a), steps, "{b} {a}");
    }
}

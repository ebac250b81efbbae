//! Layers, defaults and decoding, against what upstream 1.37.2 makes of the same input.

use std::io::Write as _;

use serde_json::json;

use super::*;
use crate::{config::problem, duration::GoDuration, flags};

fn raw(args: &[String]) -> RawFlags {
    flags::parse(args.iter().cloned()).unwrap()
}

struct Node {
    root: tempfile::TempDir,
    args: Vec<String>,
}

impl Node {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let args = Vec::new();
        Self { root, args }
    }

    fn config(mut self, body: &str) -> Self {
        let path = self.write("config.yaml", body);
        self.args.push(format!("--config={path}"));
        self
    }

    fn drop_in(mut self, name: &str, body: &str) -> Self {
        fs::create_dir_all(self.root.path().join("conf.d")).unwrap();
        self.write(&format!("conf.d/{name}"), body);
        let flag = format!("--config-dir={}", self.root.path().join("conf.d").display());
        if !self.args.contains(&flag) {
            self.args.push(flag);
        }
        self
    }

    fn flag(mut self, text: &str) -> Self {
        self.args.push(text.to_owned());
        self
    }

    fn write(&self, name: &str, body: &str) -> String {
        let path = self.root.path().join(name);
        let mut file = fs::File::create(&path).unwrap();
        write!(file, "apiVersion: {API_VERSION}\nkind: {KIND}\n{body}").unwrap();
        path.display().to_string()
    }

    fn load(&self) -> Loaded {
        load(&raw(&self.args)).map_err(|problems| problem::summary(&problems)).unwrap()
    }

    fn summary(&self) -> String {
        problem::summary(&load(&raw(&self.args)).unwrap_err())
    }
}

fn sample(text: &str) -> Value {
    Value::Object(document::read(text.as_bytes()).unwrap().root)
}

#[test]
fn the_default_sets_are_upstreams() {
    let flags = Node::new().load();
    assert_eq!(
        Value::Object(flags.document),
        sample(include_str!("../../../tests/data/defaults-flags.yaml"))
    );
    let file = Node::new().config("").load();
    let mut upstream = sample(include_str!("../../../tests/data/defaults-file.yaml"));
    upstream["evictionHard"] = json!(BTreeMap::from(defaults::EVICTION_HARD));
    assert_eq!(Value::Object(file.document), upstream);
}

#[test]
fn every_field_survives_a_round_trip() {
    let input = include_str!("../../../tests/data/full.yaml");
    let node = Node::new();
    let path = node.root.path().join("full.yaml");
    fs::write(&path, input).unwrap();
    let loaded = load(&raw(&[format!("--config={}", path.display())])).unwrap();
    assert_eq!(loaded.notices, []);
    let printed = Value::Object(loaded.document);
    // The sample is what upstream's decoder prints; upstream merges the eviction defaults one step later.
    let mut upstream = sample(include_str!("../../../tests/data/full.expected.yaml"));
    let mut hard = BTreeMap::from(defaults::EVICTION_HARD);
    hard.insert("memory.available", "200Mi");
    upstream["evictionHard"] = json!(hard);
    assert_eq!(printed, upstream);
    let mut again = match serde_json::to_value(&loaded.config).unwrap() {
        Value::Object(map) => map,
        _ => unreachable!(),
    };
    shape::prune(KubeletConfiguration::FIELDS, &mut again);
    for (name, value) in &again {
        assert_eq!(Some(value), printed.get(name), "{name}");
    }
    crate::config::schema::leaves(KubeletConfiguration::FIELDS, &mut |path, _| {
        assert!(read_at(printed.as_object().unwrap(), path).is_some(), "{path} is not in the sample");
    });
}

#[test]
fn flags_win_over_drop_ins_over_the_file_over_defaults() {
    let node = Node::new()
        .config("maxPods: 1\npodsPerCore: 1\nkubeAPIQPS: 1\nauthentication: {webhook: {cacheTTL: 1m}}\n")
        .drop_in("10.conf", "podsPerCore: 2\nkubeAPIQPS: 2\n")
        .drop_in("20.conf", "kubeAPIQPS: 3\nauthentication: {anonymous: {enabled: true}}\n")
        .flag("--kube-api-qps=4");
    let loaded = node.load();
    let config = &loaded.config;
    assert_eq!((config.max_pods, config.pods_per_core, config.kube_api_qps), (1, 2, 4));
    assert!(config.authentication.anonymous.enabled, "objects are merged");
    assert_eq!(config.authentication.webhook.cache_ttl, GoDuration::from_secs(60));
    let from = |path: &str| loaded.sources.of(path).to_string();
    let root = node.root.path().display();
    assert_eq!(from("maxPods"), format!("file {root}/config.yaml"));
    assert_eq!(from("podsPerCore"), format!("drop-in {root}/conf.d/10.conf"));
    assert_eq!(from("authentication.anonymous.enabled"), format!("drop-in {root}/conf.d/20.conf"));
    assert_eq!(from("kubeAPIQPS"), "flag --kube-api-qps");
    assert_eq!(from("port"), "default");
}

#[test]
fn gates_are_merged_by_key() {
    let loaded = Node::new()
        .config("featureGates: {EventedPLEG: true, EnvFiles: false}\n")
        .drop_in("a.conf", "featureGates: {PodsAPI: false}\n")
        .flag("--feature-gates=EnvFiles=true")
        .load();
    let expected =
        BTreeMap::from([("EnvFiles".into(), true), ("EventedPLEG".into(), true), ("PodsAPI".into(), false)]);
    assert_eq!(loaded.config.feature_gates, expected);
    assert_eq!(loaded.sources.of("featureGates.EnvFiles"), Source::Flag("feature-gates"));
}

#[test]
fn maps_from_flags_replace_and_from_drop_ins_merge() {
    let base = || Node::new().config("systemReserved: {cpu: \"1\", memory: 1Gi}\nclusterDNS: [10.0.0.1]\n");
    let merged =
        base().drop_in("a.conf", "systemReserved: {cpu: \"2\"}\nclusterDNS: [10.0.0.2]\n").load().config;
    assert_eq!(
        merged.system_reserved,
        BTreeMap::from([("cpu".into(), "2".into()), ("memory".into(), "1Gi".into())])
    );
    assert_eq!(merged.cluster_dns, ["10.0.0.2"]);
    let replaced = base().flag("--system-reserved=pid=5").load().config;
    assert_eq!(replaced.system_reserved, BTreeMap::from([("pid".into(), "5".into())]));
}

#[test]
fn null_in_a_drop_in_brings_the_default_back() {
    let loaded = Node::new()
        .config("maxPods: 5\nsystemReserved: {cpu: \"1\"}\n")
        .drop_in("a.conf", "maxPods: null\nsystemReserved: {cpu: null}\n")
        .load();
    assert_eq!(loaded.config.max_pods, 110);
    assert!(loaded.config.system_reserved.is_empty());
    assert_eq!(loaded.sources.of("maxPods"), Source::Default);
}

#[test]
fn zero_means_default_in_a_file_and_zero_in_a_flag() {
    assert_eq!(
        Node::new().config("maxPods: 0\nsyncFrequency: 0s\nkubeAPIQPS: 0\n").load().config.max_pods,
        110
    );
    assert_eq!(
        Node::new().config("kubeAPIQPS: 0\n").load().config.kube_api_qps,
        0,
        "pointers keep an explicit zero"
    );
    assert_eq!(Node::new().config("").flag("--max-pods=0").load().config.max_pods, 0);
}

#[test]
fn dependent_defaults() {
    let report = |body: &str| Node::new().config(body).load().config.node_status_report_frequency.to_string();
    assert_eq!(report(""), "5m0s");
    assert_eq!(report("nodeStatusUpdateFrequency: 20s\n"), "20s");
    assert_eq!(report("nodeStatusUpdateFrequency: 20s\nnodeStatusReportFrequency: 1m\n"), "1m0s");
    let serial = |body: &str| Node::new().config(body).load().config.serialize_image_pulls;
    assert!(serial(""));
    assert!(serial("maxParallelImagePulls: 1\n"));
    assert!(!serial("maxParallelImagePulls: 2\n"));
    assert_eq!(Node::new().config("podPidsLimit: -7\n").load().config.pod_pids_limit, -1);
    let off = Node::new().config("featureGates: {KubeletCrashLoopBackOffMax: false}\n").load().config;
    assert_eq!(off.crash_loop_back_off.max_container_restart_period, None);
}

#[test]
fn hard_eviction_defaults_come_with_a_file_only() {
    let hard = |node: Node| node.load().config.eviction_hard;
    assert!(hard(Node::new()).is_empty());
    assert_eq!(hard(Node::new().config("")).len(), 5);
    assert!(hard(Node::new().config("evictionHard: {}\n")).is_empty());
    let own = "evictionHard: {memory.available: 1Gi}\n";
    assert_eq!(hard(Node::new().config(own)).len(), 1);
    let merged = hard(Node::new().config(&format!("{own}mergeDefaultEvictionSettings: true\n")));
    assert_eq!((merged.len(), merged["memory.available"].as_str()), (5, "1Gi"));
    assert_eq!(hard(Node::new().config("").flag("--eviction-hard=memory.available<2Gi")).len(), 1);
    assert_eq!(
        hard(Node::new().config("").drop_in("a.conf", own)).len(),
        5,
        "a drop-in adds to what the file gave"
    );
}

#[test]
fn relative_paths_are_below_the_file() {
    let node = Node::new().config("staticPodPath: ../manifests\nresolvConf: r.conf\n");
    let root = node.root.path();
    let config = node.load().config;
    assert_eq!(config.resolv_conf, root.join("r.conf").display().to_string());
    assert_eq!(config.static_pod_path, root.parent().unwrap().join("manifests").display().to_string());
}

#[test]
fn unknown_and_duplicate_fields_are_told_and_survived() {
    let loaded = Node::new().config("maxpods: 5\nmaxPods: 1\nmaxPods: 2\nlogging: {colour: red}\n").load();
    assert_eq!(loaded.config.max_pods, 2);
    let texts: Vec<_> =
        loaded.notices.iter().map(|notice| format!("{} {}", notice.message, notice.hint)).collect();
    assert!(texts[0].contains("more than once: maxPods"), "{texts:?}");
    assert!(
        texts.iter().any(|text| text.contains("unknown field \"maxpods\"") && text.contains("maxPods?")),
        "{texts:?}"
    );
    assert!(texts.iter().any(|text| text.contains("unknown field \"logging.colour\"")), "{texts:?}");
}

#[test]
fn all_values_of_the_wrong_type_are_told() {
    let summary = Node::new().config("maxPods: many\nclusterDomain: 5\nsyncFrequency: 5\nfeatureGates: {NodeSwap: \"true\"}\nport: 99999999999\n").summary();
    for part in [
        "cannot unmarshal string into Go struct field KubeletConfiguration.maxPods of type int32",
        "cannot unmarshal number 5 into Go struct field KubeletConfiguration.clusterDomain of type string",
        "KubeletConfiguration.syncFrequency of type duration",
        "KubeletConfiguration.featureGates.NodeSwap of type bool",
        "cannot unmarshal number 99999999999 into Go struct field KubeletConfiguration.port of type int32",
    ] {
        assert!(summary.contains(part), "{part} is not in {summary}");
    }
}

#[test]
fn files_of_another_kind_are_refused() {
    let node = Node::new();
    let at = |name: &str, text: &str| {
        let path = node.root.path().join(name);
        fs::write(&path, text).unwrap();
        problem::summary(&load(&raw(&[format!("--config={}", path.display())])).unwrap_err())
    };
    assert!(at("a", "maxPods: 1\n").contains("Object 'Kind' is missing"));
    assert!(at("b", "kind: KubeletConfiguration\n").contains("Object 'apiVersion' is missing"));
    assert!(
        at("c", "kind: Pod\napiVersion: v1\n").contains("no kind \"Pod\" is registered for version \"v1\"")
    );
    assert!(at("d", "").contains("was empty"));
    assert!(at("e", "a: [\n").contains("yaml:"));
    let missing = problem::summary(&load(&raw(&["--config=/nonexistent/x".to_owned()])).unwrap_err());
    assert!(missing.starts_with("failed to load kubelet config file, path: /nonexistent/x, error: failed to read kubelet config file"), "{missing}");
}

#[test]
fn drop_ins_need_a_kind_and_unique_keys() {
    let node = Node::new().config("").drop_in("a.conf", "maxPods: 1\nmaxPods: 2\n");
    fs::write(node.root.path().join("conf.d/b.conf"), "maxPods: 1\n").unwrap();
    fs::write(node.root.path().join("conf.d/readme.txt"), "maxPods: 1\n").unwrap();
    let summary = node.summary();
    assert!(summary.starts_with("failed to merge kubelet configs: ["), "{summary}");
    assert!(summary.contains("already set in map") && summary.contains("no apiVersion/kind"), "{summary}");
}

#[test]
fn paths_are_cleaned_like_upstreams() {
    for (path, expected) in
        [("/a/../b//c/.", "/b/c"), ("/..", "/"), ("a/..", "."), ("../a", "../a"), ("/", "/")]
    {
        assert_eq!(clean(Path::new(path)), PathBuf::from(expected), "{path}");
    }
}

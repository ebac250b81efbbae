use super::*;
use crate::{config, flags};

fn settings(args: &[&str]) -> Settings {
    let flags = flags::parse(args.iter().map(|arg| (*arg).to_owned())).unwrap();
    build(config::load(&flags).unwrap(), &flags).unwrap()
}

#[test]
fn the_defaults_of_a_standalone_node() {
    let settings = settings(&[]);
    assert_eq!(settings.api, None);
    assert_eq!(settings.runtime.socket, PathBuf::from("/run/containerd/containerd.sock"));
    assert_eq!(settings.runtime.image_socket, settings.runtime.socket);
    assert_eq!(settings.process.healthz, Some("127.0.0.1:10248".parse().unwrap()));
    assert_eq!(settings.images.pulls, Pulls::Parallel(DEFAULT_PARALLEL_PULLS));
    assert_eq!(settings.pods.pids_limit, None);
    assert_eq!(settings.node.ips, NodeIps::Detect);
    assert_eq!(settings.server.access_review_ttls, None);
    assert_eq!(settings.node.name, settings.node.name.to_lowercase());
    assert_eq!(
        settings.container_gc,
        ContainerGc { min_age: Duration::ZERO, per_container: Some(1), on_node: None }
    );
}

#[test]
fn pulls_at_once() {
    for (args, pulls) in [
        (&["--serialize-image-pulls=true"][..], Pulls::Serial),
        (&["--serialize-image-pulls=false"], Pulls::Unlimited),
    ] {
        assert_eq!(settings(args).images.pulls, pulls);
    }
}

#[test]
fn a_negative_size_leaves_logs_alone() {
    assert_eq!(settings(&["--container-log-max-size=-1"]).container_logs.max_size, None);
    assert_eq!(settings(&[]).container_logs.max_size, Some(10 << 20));
}

#[test]
fn reserved_cpus_win_over_amounts() {
    let resources = settings(&[
        "--reserved-cpus=0-1,4",
        "--kube-reserved=cpu=500m,memory=1Gi",
        "--system-reserved=cpu=100m,pid=100",
    ])
    .resources;
    assert_eq!(
        resources.system_reserved,
        Reserved { cpu_milli: Some(3000), pids: Some(100), ..Reserved::default() }
    );
    assert_eq!(resources.kube_reserved, Reserved { memory: Some(1 << 30), ..Reserved::default() });
}

#[test]
fn zero_is_a_rate_of_client_gos_and_no_burst_its_burst() {
    for (args, per_second, burst) in [
        (&["--kube-api-qps=0"][..], 5, 100),
        (&["--kube-api-qps=0", "--kube-api-burst=0"], 5, 10),
        (&["--kube-api-qps=7", "--kube-api-burst=0"], 7, 10),
        (&[], 50, 100),
    ] {
        let all: Vec<_> = ["--kubeconfig=/k"].iter().chain(args).copied().collect();
        assert_eq!(settings(&all).api.unwrap().rate, Rate::Limited { per_second, burst }, "{args:?}");
    }
}

#[test]
fn identity_and_rates() {
    let settings = settings(&[
        "--hostname-override= Node-1 ",
        "--node-ip=10.0.0.1,fd00::1",
        "--node-labels=a=b",
        "--kubeconfig=/k",
        "--register-with-taints=x=y:NoExecute",
        "--kube-api-qps=0",
        "--event-qps=0",
        "--cloud-provider=external",
        "--container-runtime-endpoint=/run/c.sock",
        "--node-status-update-frequency=50s",
        "--healthz-port=0",
    ]);
    assert_eq!(settings.node.name, "node-1");
    assert_eq!(
        settings.node.ips,
        NodeIps::Fixed(vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()])
    );
    assert_eq!(settings.node.taints[0].value.as_deref(), Some("y"));
    assert_eq!(settings.node.cloud, CloudProvider::External);
    let api = settings.api.unwrap();
    assert_eq!((api.rate, api.event_rate), (Rate::Limited { per_second: 5, burst: 100 }, Rate::Unlimited));
    assert_eq!(api.heartbeat_timeout, Duration::from_secs(40));
    assert_eq!(settings.runtime.socket, PathBuf::from("/run/c.sock"));
    assert_eq!(settings.process.healthz, None);
}

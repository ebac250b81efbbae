//! Holds everything that a kubelet holds open against an API server and prints what that costs:
//! `follow <kubeconfig> <node> [<seconds>]`. With pods bound to the node, their config maps and secrets are followed too.

use std::{sync::Arc, time::Duration};

use cluster::{Access, ApiCluster, ApiOptions, ChangeDetection, RateLimit};
use seams::{Cluster as _, Objects as _, SystemClock, cluster::PodEvent};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let kubeconfig = arguments.next().ok_or("usage: follow <kubeconfig> <node> [<seconds>]")?;
    let node_name = arguments.next().ok_or("usage: follow <kubeconfig> <node> [<seconds>]")?;
    let every = Duration::from_secs(arguments.next().map_or(Ok(10), |s| s.parse())?);
    let api = ApiCluster::start(ApiOptions {
        access: Access::load(kubeconfig.as_ref())?,
        node_name,
        rate_limit: RateLimit::from_config(50, 100),
        heartbeat_timeout: Duration::from_secs(10),
        change_detection: ChangeDetection::Watch,
        kubelet_version: "v1.37.2".to_owned(),
        clock: Arc::new(SystemClock::start()),
        metrics: metrics::Metrics::new(),
    });
    let mut node = api.node();
    let services = api.services();
    let mut changes = api.changes();
    let mut pods = api.pods();
    let mut known = std::collections::BTreeMap::new();
    let mut tick = tokio::time::interval(every);
    loop {
        // Every arm only waits: nothing is lost when another one is first.
        tokio::select! {
            event = pods.recv() => match event {
                Some(PodEvent::Snapshot(all)) => {
                    println!("pods: snapshot of {}", all.len());
                    known = all.into_iter().map(|pod| (pod.metadata.uid.clone().unwrap_or_default(), pod)).collect();
                    known.values().for_each(|pod| api.register(pod));
                }
                Some(PodEvent::Applied(pod)) => {
                    println!("pod {:?} applied", pod.metadata.name);
                    api.register(&pod);
                    known.insert(pod.metadata.uid.clone().unwrap_or_default(), pod);
                }
                Some(PodEvent::Deleted(pod)) => {
                    println!("pod {:?} deleted", pod.metadata.name);
                    let uid = pod.metadata.uid.clone().unwrap_or_default();
                    api.unregister(&uid);
                    known.remove(&uid);
                }
                None => return Ok(()),
            },
            Some(uid) = changes.recv() => println!("an object of {uid} changed"),
            Ok(()) = node.changed() => {
                let version = node.borrow_and_update().as_ref().and_then(|n| n.metadata.resource_version.clone());
                println!("node at {version:?}");
            }
            _ = tick.tick() => {
                let services = services.borrow().as_ref().map_or(0, |all| all.len());
                let (resident, seconds) = usage()?;
                println!("pods {} services {services} VmRSS {resident} kB cpu {seconds:.2} s", known.len());
            }
        }
    }
}

fn usage() -> std::io::Result<(String, f64)> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // User and system time in ticks of 10 ms: fields 14 and 15, counted after the name in brackets.
    let ticks: u32 = stat
        .rsplit(") ")
        .next()
        .map(|rest| rest.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum())
        .unwrap_or_default();
    Ok((resident.trim().trim_end_matches(" kB").to_owned(), f64::from(ticks) / 100.0))
}

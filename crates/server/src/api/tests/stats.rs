//! What is used, as it is served.

use hyper::Method;
use seams::stats::Disk;

use super::rig::{Ask, Rig, Setup, get};

async fn open(broken: bool) -> Rig {
    Rig::start(Setup { access_ttls: None, broken_stats: broken, ..Setup::default() }).await
}

#[tokio::test]
async fn the_resource_page_is_as_upstreams() {
    let rig = open(false).await;
    let (status, headers, body) = rig.ask_fully(get("/metrics/resource")).await;
    assert_eq!(status, 200);
    assert!(headers["content-type"].starts_with("text/plain; version=0.0.4"), "{headers:?}");
    let samples: Vec<&str> = body.lines().filter(|line| !line.starts_with('#')).collect();
    let app = "{container=\"app\",namespace=\"default\",pod=\"web\"}";
    let stamp = "1795000060250";
    let expected = [
        format!("container_cpu_usage_seconds_total{app} 0.02 {stamp}"),
        format!("container_memory_working_set_bytes{app} 180 {stamp}"),
        format!("container_start_time_seconds{app} 1.79499999925e+09"),
        format!("container_swap_limit_bytes{app} 10 {stamp}"),
        format!("container_swap_usage_bytes{app} 7 {stamp}"),
        format!("node_cpu_usage_seconds_total 1 {stamp}"),
        format!("node_memory_working_set_bytes 9000 {stamp}"),
        format!("node_swap_usage_bytes 7 {stamp}"),
        format!("pod_cpu_usage_seconds_total{{namespace=\"default\",pod=\"web\"}} 0.03 {stamp}"),
        format!("pod_memory_working_set_bytes{{namespace=\"default\",pod=\"web\"}} 270 {stamp}"),
        format!("pod_swap_usage_bytes{{namespace=\"default\",pod=\"web\"}} 7 {stamp}"),
        "resource_scrape_error 0".to_owned(),
    ];
    assert_eq!(samples, expected);
    assert!(body.contains("# HELP node_cpu_usage_seconds_total [STABLE] "), "{body}");
}

#[tokio::test]
async fn the_summary_may_be_had_without_disks() {
    let rig = open(false).await;
    let (status, headers, body) = rig.ask_fully(get("/stats/summary")).await;
    assert_eq!((status, headers["content-type"].as_str()), (200, "application/json"));
    assert!(body.contains("\"imageFs\""), "{body}");
    let (_, body) = rig.ask(get("/stats/summary?only_cpu_and_memory=true")).await;
    assert!(!body.contains("\"imageFs\""), "{body}");
    rig.ask(get("/stats/summary?only_cpu_and_memory=yes")).await;
    rig.ask(get("/stats/summary?only_cpu_and_memory=true&only_cpu_and_memory=true")).await;
    let (status, _) =
        rig.ask(Ask { method: Method::POST, ..get("/stats/summary?only_cpu_and_memory=true") }).await;
    assert_eq!(status, 200);
    let asked = rig.figures.asked.lock().clone();
    assert_eq!(asked, [Disk::Wanted, Disk::Skipped, Disk::Wanted, Disk::Wanted, Disk::Skipped]);
}

#[tokio::test]
async fn the_large_page_comes_in_parts() {
    let rig = open(false).await;
    let (status, headers, body) = rig.ask_fully(get("/metrics/cadvisor")).await;
    assert_eq!(status, 200);
    assert!(headers["content-type"].starts_with("text/plain; version=0.0.4"), "{headers:?}");
    assert!(body.starts_with("# HELP cadvisor_version_info ") && body.ends_with('\n'));
    let posted = rig.ask(Ask { method: Method::POST, ..get("/metrics/cadvisor") }).await;
    assert_eq!(posted.0, 200, "as with upstream");
}

#[tokio::test]
async fn pages_of_metrics_are_compressed_for_who_takes_it() {
    let rig = open(false).await;
    for path in ["/metrics/cadvisor", "/metrics/resource", "/metrics", "/metrics/probes"] {
        let (_, plain, page) = rig.ask_fully(get(path)).await;
        assert!(!plain.contains_key("content-encoding"), "{path}");
        let asked = Ask { encoding: Some("gzip, deflate;q=0.5"), ..get(path) };
        let (status, headers, same) = rig.ask_fully(asked).await;
        assert_eq!((status, headers["content-encoding"].as_str()), (200, "gzip"), "{path}");
        assert_eq!(headers["content-type"], plain["content-type"]);
        assert!(!headers.contains_key("content-length"), "of the plain page");
        let families = |page: &str| page.lines().filter(|line| line.starts_with('#')).count();
        assert_eq!(families(&same), families(&page), "{path}");
        assert!(same.ends_with('\n'));
    }
    let (_, headers, _) = rig.ask_fully(Ask { encoding: Some("gzip"), ..get("/stats/summary") }).await;
    assert!(!headers.contains_key("content-encoding"), "as upstream");
}

#[tokio::test]
async fn without_figures_there_is_an_error_with_its_cause() {
    let rig = open(true).await;
    for path in ["/stats/summary", "/metrics/resource", "/metrics/cadvisor"] {
        let (status, body) = rig.ask(get(path)).await;
        assert_eq!(status, 500);
        assert!(body.contains("no cgroups; hint: mount them"), "{body}");
    }
}

use std::collections::BTreeSet;

use metrics::table::{self, Page as Of};
use seams::NodeStats as _;

use super::{super::testing::Figures, *};

async fn page() -> String {
    Page::new(Figures::default().detailed().await.unwrap()).collect()
}

#[tokio::test]
async fn every_metric_of_the_table_is_on_the_page_in_order() {
    let names: Vec<&str> = FAMILIES.iter().map(|(metric, _)| metric.name).collect();
    assert!(names.is_sorted());
    let kept: BTreeSet<&str> = names.into_iter().collect();
    for row in table::all().filter(|row| row.page == Of::Cadvisor) {
        assert_eq!(row.support.is_served(), kept.contains(row.name), "{}", row.name);
    }
    let page = page().await;
    for name in kept {
        assert!(page.contains(&format!("# TYPE {name} ")), "{name} has no samples");
    }
}

#[tokio::test]
async fn samples_have_upstreams_labels() {
    let page = page().await;
    let node = "container=\"\",id=\"/\",image=\"\",name=\"\",namespace=\"\",pod=\"\"";
    let pod = "container=\"\",id=\"/kubepods/podu\",image=\"\",name=\"\",namespace=\"default\",pod=\"web\"";
    let sandbox = "container=\"\",id=\"/kubepods/podu/5a9d\",image=\"pause:3\",name=\"5a9d\",namespace=\"default\",pod=\"web\"";
    let app = "container=\"app\",id=\"/kubepods/podu/c0de\",image=\"registry.test/app:1\",name=\"c0de\",namespace=\"default\",pod=\"web\"";
    let stamp = "1795000060250";
    for line in [
        format!("container_cpu_usage_seconds_total{{{app},cpu=\"total\"}} 0.02 {stamp}"),
        format!("container_cpu_user_seconds_total{{{app}}} 0.012 {stamp}"),
        format!("container_cpu_cfs_throttled_seconds_total{{{pod}}} 0.5 {stamp}"),
        format!(
            "container_memory_failures_total{{{app},failure_type=\"pgfault\",scope=\"hierarchy\"}} 50 {stamp}"
        ),
        format!("container_network_receive_bytes_total{{{sandbox},interface=\"eth1\"}} 1000 {stamp}"),
        format!("container_network_receive_bytes_total{{{node},interface=\"eth0\"}} 1000 {stamp}"),
        format!("container_fs_usage_bytes{{{node},device=\"/dev/sda1\"}} 300 {stamp}"),
        format!("container_fs_reads_total{{{node},device=\"/dev/sda1\"}} 5 {stamp}"),
        format!("container_fs_reads_total{{{app},device=\"/dev/sda\"}} 1 {stamp}"),
        format!(
            "container_blkio_device_usage_total{{{app},device=\"/dev/sda\",major=\"8\",minor=\"0\",operation=\"Write\"}} 8192 {stamp}"
        ),
        format!("container_fs_read_seconds_total{{{node},device=\"/dev/sda1\"}} 1.5 {stamp}"),
        format!("container_fs_reads_bytes_total{{{node},device=\"/dev/sda1\"}} 8192 {stamp}"),
        format!("container_pressure_io_waiting_seconds_total{{{app}}} 1.5 {stamp}"),
        format!("container_spec_cpu_quota{{{app}}} 20000"),
        format!("container_spec_memory_limit_bytes{{{app}}} 2000"),
        // Of the machine, with the pages that are set aside.
        format!("container_spec_memory_limit_bytes{{{node}}} 1.2e+06"),
        format!("container_creation_time_seconds{{{app}}} 1.794999999e+09"),
        format!("container_start_time_seconds{{{app}}} 1.795e+09"),
        format!("container_ulimits_soft{{{app},ulimit=\"max_open_files\"}} 1024 {stamp}"),
        "machine_cpu_cores{boot_id=\"b\",machine_id=\"m\",system_uuid=\"s\"} 2".to_owned(),
        "machine_scrape_error 0".to_owned(),
    ] {
        assert!(page.contains(&format!("\n{line}\n")), "{line}\n{page}");
    }
    assert!(page.starts_with("# HELP cadvisor_version_info 1, "), "no stability in brackets");
    assert!(!page.contains(&format!("container_network_receive_bytes_total{{{app}")), "only at the sandbox");
    assert!(
        !page.contains(&format!("container_fs_reads_total{{{node},device=\"/dev/sda\"}}")),
        "once for the node"
    );
}

#[tokio::test]
async fn a_pod_without_a_sandbox_has_its_network_itself() {
    let mut found = Figures::default().detailed().await.unwrap();
    let mut snapshot = (*found.snapshot).clone();
    snapshot.pods[0].sandboxes.clear();
    found.snapshot = Arc::new(snapshot);
    let page: String = Page::new(found).collect();
    assert!(page.contains("container_network_transmit_packets_total{container=\"\",id=\"/kubepods/podu\""));
}

//! What is measured, and who may read it.

use super::rig::{Ask, Rig, Setup, get};

#[tokio::test]
async fn pages_are_served_and_requests_counted() {
    let rig = Rig::start(Setup::default()).await;
    rig.judge.allow("admin", "get", "metrics");
    for path in ["/metrics/probes", "/metrics/slis"] {
        let (status, headers, body) = rig.ask_fully(get(path)).await;
        assert_eq!((status, body.as_str()), (200, EMPTY), "{path}");
        assert_eq!(headers["content-type"], ::metrics::text::CONTENT_TYPE);
    }
    assert_eq!(rig.ask(Ask { token: Some("bad"), ..get("/what") }).await.0, 404);
    let (status, page) = rig.ask(get("/metrics")).await;
    assert_eq!(status, 200);
    let labels = |path: &str| {
        format!("{{long_running=\"false\",method=\"GET\",path=\"{path}\",server_type=\"readwrite\"}}")
    };
    for line in [
        format!("kubelet_http_requests_total{} 1", labels("metrics")),
        format!("kubelet_http_requests_total{} 1", labels("metrics/probes")),
        format!("kubelet_http_requests_total{} 2", labels("other")),
        format!("kubelet_http_inflight_requests{} 1", labels("metrics")),
        format!("kubelet_http_requests_duration_seconds_count{} 1", labels("metrics/probes")),
        "apiserver_delegated_authz_request_total{code=\"201\"} 1".to_owned(),
        "apiserver_delegated_authn_request_total{code=\"201\"} 1".to_owned(),
        "authentication_token_cache_request_total{status=\"hit\"} 2".to_owned(),
        "authentication_token_cache_request_total{status=\"miss\"} 1".to_owned(),
        "authentication_token_cache_active_fetch_count{status=\"in_flight\"} 0".to_owned(),
        "kubelet_container_log_filesystem_used_bytes{container=\"app\",namespace=\"default\",pod=\"web\",uid=\"u\"} 8192"
            .to_owned(),
    ] {
        assert!(page.lines().any(|known| known == line), "{line}\n{page}");
    }
}

/// Nothing was probed or checked.
const EMPTY: &str = "# HELP process_start_time_seconds [ALPHA] When the process started, seconds of Unix time\n\
                     # TYPE process_start_time_seconds gauge\n\
                     process_start_time_seconds 0\n";

#[tokio::test]
async fn the_read_only_port_tells_them_too() {
    let rig = Rig::start(Setup { read_only: true, ..Setup::default() }).await;
    let (status, page) = rig.ask(Ask { plain: true, token: None, ..get("/metrics") }).await;
    assert_eq!(status, 200);
    let labels = "{long_running=\"false\",method=\"GET\",path=\"metrics\",server_type=\"readonly\"}";
    assert!(page.contains(&format!("\nkubelet_http_requests_total{labels} 1\n")), "{page}");
}

//! The two formats, byte by byte, and what passes at which verbosity.

use jiff::Timestamp;
use tracing::Level;

use super::{
    fields::{FieldValue, Fields},
    layer::Line,
    *,
};

fn sample() -> Fields {
    let mut fields = Fields { message: "SyncLoop \"ADD\"".to_owned(), ..Fields::default() };
    fields.set("pod", FieldValue::Text("ns/name".to_owned()));
    fields.set("count", FieldValue::Int(-3));
    fields.set("ok", FieldValue::Bool(true));
    fields.set("config", FieldValue::Text("a: 1\nb: 2\n".to_owned()));
    fields.set("count", FieldValue::Uint(4));
    fields
}

fn now() -> Timestamp {
    "2026-11-23T17:08:09.123456789Z".parse().unwrap()
}

#[test]
fn text_is_klogs() {
    let mut out = String::new();
    let line = Line { level: Level::INFO, v: 0, file: "crates/kubelet/src/file.rs", line: 12 };
    klog::write(&mut out, &line, &sample(), now());
    let (head, rest) = out.split_once(" file.rs:12] ").unwrap();
    assert_eq!(
        rest,
        "\"SyncLoop \\\"ADD\\\"\" pod=\"ns/name\" count=4 ok=true config=<\n\ta: 1\n\tb: 2\n >\n"
    );
    let (stamp, pid) = head.split_at(22);
    assert!(stamp.starts_with("I11") && stamp.ends_with(".123456 "), "{stamp:?}");
    assert_eq!(pid, format!("{:>7}", std::process::id()));
}

#[test]
fn json_is_upstreams() {
    let line = |level| Line { level, v: 4, file: "crates/kubelet/src/file.rs", line: 12 };
    let mut out = String::new();
    json::write(&mut out, &line(Level::DEBUG), &sample(), now());
    assert_eq!(
        out,
        "{\"ts\":1795453689123.456,\"caller\":\"src/file.rs:12\",\"msg\":\"SyncLoop \\\"ADD\\\"\",\"v\":4,\"pod\":\"ns/name\",\"count\":4,\"ok\":true,\"config\":\"a: 1\\nb: 2\\n\"}\n"
    );
    out.clear();
    json::write(&mut out, &line(Level::ERROR), &sample(), now());
    assert!(!out.contains("\"v\""), "errors have no verbosity: {out}");
    serde_json::from_str::<serde_json::Value>(&out).unwrap();
}

/// Messages that pass at a verbosity, with vmodule patterns for this file.
fn passing(level: u32, vmodule: &[(&str, u32)], emit: impl Fn()) -> Vec<String> {
    let lines = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let sink = {
        let lines = Arc::clone(&lines);
        Box::new(move |_: Level, line: &str| lines.lock().push(line.to_owned()))
    };
    let verbosity = Verbosity::default();
    verbosity.level.store(level, Ordering::Relaxed);
    let items: Vec<_> = vmodule
        .iter()
        .map(|(pattern, verbosity)| crate::config::v1beta1::VModuleItem {
            file_pattern: (*pattern).to_owned(),
            verbosity: *verbosity,
        })
        .collect();
    let layer = Klog::new(Format::Text, sink, verbosity, VModule::new(&items));
    tracing::subscriber::with_default(Registry::default().with(layer), || {
        tracing::callsite::rebuild_interest_cache();
        emit();
    });
    lines.lock().iter().map(|line| line.split('"').nth(1).unwrap_or_default().to_owned()).collect()
}

fn all_levels() {
    tracing::error!("error");
    tracing::warn!("warn");
    tracing::info!("v0");
    tracing::info!(v = 1, "v1");
    tracing::debug!("v2");
    tracing::debug!(v = 4, "v4");
    tracing::trace!("v5");
    tracing::trace!(v = 8, "v8");
    tracing::info!(target: "h2::frame", "library info");
    tracing::debug!(target: "h2::frame", "library debug");
}

#[test]
fn verbosity_lets_through_what_upstreams_would() {
    assert_eq!(passing(0, &[], all_levels), ["error", "warn", "v0"]);
    assert_eq!(passing(1, &[], all_levels), ["error", "warn", "v0", "v1"]);
    assert_eq!(passing(2, &[], all_levels), ["error", "warn", "v0", "v1", "v2", "library info"]);
    assert_eq!(passing(4, &[], all_levels), ["error", "warn", "v0", "v1", "v2", "v4", "library info"]);
    assert_eq!(passing(8, &[], all_levels).len(), 10);
    assert_eq!(passing(0, &[("test?", 4)], all_levels), passing(4, &[], all_levels), "by file");
    assert_eq!(
        passing(4, &[("tests", 0)], all_levels),
        passing(0, &[], all_levels),
        "a pattern lowers as well"
    );
}

#[test]
fn spans_give_their_pairs() {
    let lines = Arc::new(parking_lot::Mutex::new(String::new()));
    let sink = {
        let lines = Arc::clone(&lines);
        Box::new(move |_: Level, line: &str| lines.lock().push_str(line))
    };
    let layer = Klog::new(Format::Text, sink, Verbosity::default(), VModule::default());
    tracing::subscriber::with_default(Registry::default().with(layer), || {
        let span = tracing::info_span!("sync", pod = "ns/a", attempt = tracing::field::Empty);
        span.record("attempt", 2);
        span.in_scope(|| tracing::info!(pod = "ns/b", "Synced"));
    });
    let text = lines.lock().clone();
    assert!(text.ends_with("\"Synced\" pod=\"ns/b\" attempt=2\n"), "{text}");
}

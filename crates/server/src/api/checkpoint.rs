//! `/checkpoint`: a running container into an archive (contract §23).

use std::time::Duration;

use hyper::{Response, StatusCode};
use seams::{
    NodeApi,
    node_api::{CheckpointRefusal, PodPath},
};
use serde_json::json;

use super::{
    answer::{Body, json, text},
    paths::Parameters,
    query::Query,
};

/// Longest time that a runtime is given.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

pub(super) async fn serve(node: &dyn NodeApi, path: &Parameters, query: &str) -> Response<Body> {
    let Some(limit) = limit(&Query::parse(query)) else {
        return text(StatusCode::NOT_FOUND, "cannot parse value of timeout parameter");
    };
    let Parameters { namespace, pod, container, .. } = path;
    let named = PodPath { namespace: namespace.clone(), name: pod.clone(), uid: None };
    match node.checkpoint(&named, container, limit).await {
        Ok(archive) => json(&json!({ "items": [archive.display().to_string()] })),
        Err(refusal @ (CheckpointRefusal::NoPod | CheckpointRefusal::NoContainer(_))) => {
            text(StatusCode::NOT_FOUND, refusal.to_string())
        }
        Err(refusal) => {
            tracing::error!(namespace, pod, container, error = %refusal, "Could not checkpoint a container");
            let message = format!("checkpointing of {namespace}/{pod}/{container} failed ({refusal})");
            text(StatusCode::INTERNAL_SERVER_ERROR, message)
        }
    }
}

/// The last `timeout` of the query, in seconds; none is zero, and so is one below. `None` is no number.
fn limit(query: &Query) -> Option<Duration> {
    let Some(text) = query.all("timeout").last() else { return Some(Duration::ZERO) };
    let seconds = text.parse::<i64>().ok()?;
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_timeout_counts() {
        let of = |query: &str| limit(&Query::parse(query)).map(|limit| limit.as_secs());
        assert_eq!(of(""), Some(0));
        assert_eq!(of("timeout=5&timeout=7"), Some(7));
        assert_eq!(of("timeout=-1"), Some(0));
        assert_eq!(of("timeout=9223372036854775807"), Some(24 * 3600));
        for bad in ["timeout=", "timeout=x", "timeout=1.5", "timeout=9223372036854775808"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}

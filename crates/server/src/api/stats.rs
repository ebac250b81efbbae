//! `/stats/summary`, `/metrics/resource` and `/metrics/cadvisor`, and what `/metrics` tells of disks.
//!
//! ```text
//!   NodeStats ─┬─ summary    one JSON document
//!              └─ resource, cadvisor ── page    exposition text, family by family, so that no page is ever whole in memory
//! ```

mod cadvisor;
mod page;
mod resource;
mod summary;
#[cfg(test)]
pub(super) mod testing;

use hyper::{Method, Request, Response, StatusCode, body::Incoming, header::CONTENT_TYPE};
use metrics::{Metrics, pods::LogOf, table::Page};
use seams::{
    NodeStats,
    stats::{Disk, LogUse, StatsError},
};

use super::{
    answer::{Body, METRICS, full, json, of_type, text},
    query::Query,
    small_body,
};

const FORM: &str = "application/x-www-form-urlencoded";

/// Whether disk use is wanted: not with the one value `true`, in the query or in a form.
async fn wants_disk(request: Request<Incoming>) -> Disk {
    let mut query = request.uri().query().unwrap_or_default().to_owned();
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if request.method() == Method::POST && kind.is_some_and(|kind| kind.starts_with(FORM)) {
        // A form that cannot be read asks for nothing.
        let form = small_body(request).await.unwrap_or_default();
        query = format!("{}&{query}", String::from_utf8_lossy(&form));
    }
    let query = Query::parse(&query);
    let mut values = query.all("only_cpu_and_memory");
    match (values.next(), values.next()) {
        (Some("true"), None) => Disk::Skipped,
        _ => Disk::Wanted,
    }
}

/// `/stats/summary`.
pub(super) async fn summary(stats: &dyn NodeStats, request: Request<Incoming>) -> Response<Body> {
    let disk = wants_disk(request).await;
    match stats.summary(disk).await {
        Ok(found) => json(&summary::document(&found)),
        Err(error) => refused(&error),
    }
}

/// `/metrics/resource`.
pub(super) async fn resource(stats: &dyn NodeStats) -> Response<Body> {
    match stats.resource().await {
        Ok(snapshot) => of_type(StatusCode::OK, METRICS, page::parts(resource::Page::new(snapshot))),
        Err(error) => refused(&error),
    }
}

/// `/metrics`.
pub(super) async fn metrics(stats: &dyn NodeStats, metrics: &Metrics) -> Response<Body> {
    let logs = stats.logs().await.into_iter().map(|LogUse { pod, container, bytes }| {
        let labels = LogOf {
            container: container.as_str().into(),
            namespace: pod.namespace.into(),
            pod: pod.name.into(),
            uid: pod.uid.as_str().into(),
        };
        (labels, bytes as f64)
    });
    metrics.pods.log_bytes.tell(logs);
    of_type(StatusCode::OK, METRICS, full(metrics.page(Page::Metrics)))
}

/// `/metrics/cadvisor`.
pub(super) async fn cadvisor(stats: &dyn NodeStats) -> Response<Body> {
    match stats.detailed().await {
        Ok(found) => of_type(StatusCode::OK, METRICS, page::parts(cadvisor::Page::new(found))),
        Err(error) => refused(&error),
    }
}

fn refused(error: &StatsError) -> Response<Body> {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    tracing::error!(err = error as &dyn std::error::Error, "There are no statistics to serve");
    text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}{cause}\n"))
}

//! Health checks and their page: one text for the health server and for the API.
//!
//! Upstream's texts: `ok`; with `?verbose` or on failure a line per check.

use std::{collections::BTreeSet, fmt, fmt::Write as _, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};
use metrics::node::{Health, NodeMetrics};

use crate::api::query::Query;

/// A named check.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    run: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl Check {
    /// A check; its error text is logged and not shown to callers.
    #[must_use]
    pub fn new(name: &'static str, run: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self { name, run: Arc::new(run) }
    }

    /// The check that succeeds while the process answers.
    #[must_use]
    pub fn ping() -> Self {
        Self::new("ping", || Ok(()))
    }

    /// Runs it.
    ///
    /// # Errors
    /// What is unhealthy.
    pub fn run(&self) -> Result<(), String> {
        (self.run)()
    }

    /// Runs it, for a caller that asks several: the error says which check it is.
    ///
    /// # Errors
    /// What is unhealthy.
    pub fn named(&self) -> Result<(), String> {
        self.run().map_err(|cause| format!("checker {} failed: {cause}", self.name))
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Check").field(&self.name).finish()
    }
}

/// Answers `/healthz` and what is below it, however it is asked for. Checks of all are counted, as upstream counts them.
#[must_use]
pub fn respond(path: &str, query: &str, checks: &[Check], metrics: &NodeMetrics) -> Response<Full<Bytes>> {
    let text = |status: StatusCode, body: String| {
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    };
    let Some(rest) = path.strip_prefix("/healthz") else {
        return text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned());
    };
    if let Some(name) = rest.strip_prefix('/').filter(|name| !name.is_empty()) {
        return match checks.iter().find(|check| check.name == name).map(Check::run) {
            None => text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
            Some(Ok(())) => text(StatusCode::OK, "ok".to_owned()),
            Some(Err(cause)) => {
                text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {cause}\n"))
            }
        };
    }
    if !matches!(rest, "" | "/") {
        return text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned());
    }
    let query = Query::parse(query);
    let verbose = query.first("verbose").is_some();
    let mut excluded: BTreeSet<&str> = query.all("exclude").collect();
    let mut lines = String::new();
    let mut failed = false;
    for check in checks {
        if excluded.remove(check.name) {
            let _ = writeln!(lines, "[+]{} excluded: ok", check.name);
            continue;
        }
        match check.run() {
            Ok(()) => {
                metrics.health_checked(check.name, Health::Success);
                let _ = writeln!(lines, "[+]{} ok", check.name);
            }
            Err(cause) => {
                failed = true;
                metrics.health_checked(check.name, Health::Error);
                tracing::error!(check = check.name, err = cause, "Healthz check failed");
                let _ = writeln!(lines, "[-]{} failed: reason withheld", check.name);
            }
        }
    }
    if !excluded.is_empty() {
        let unknown = excluded.into_iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(",");
        let _ = writeln!(lines, "warn: some health checks cannot be excluded: no matches for {unknown}");
    }
    if failed {
        text(StatusCode::INTERNAL_SERVER_ERROR, format!("{lines}healthz check failed\n"))
    } else if verbose {
        text(StatusCode::OK, format!("{lines}healthz check passed\n"))
    } else {
        text(StatusCode::OK, "ok".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use metrics::{Metrics, table::Page};

    use super::*;

    async fn get(path: &str, query: &str, checks: &[Check]) -> (u16, String) {
        let response = respond(path, query, checks, &Metrics::new().node);
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn checks_are_counted() {
        let metrics = Metrics::new();
        let checks = [Check::ping(), Check::new("syncloop", || Err("stuck".to_owned()))];
        drop(respond("/healthz", "", &checks, &metrics.node));
        let page = metrics.page(Page::Slis);
        assert!(page.contains("\nkubernetes_healthcheck{name=\"ping\",type=\"healthz\"} 1\n"), "{page}");
        assert!(page.contains("\nkubernetes_healthcheck{name=\"syncloop\",type=\"healthz\"} 0\n"), "{page}");
        let counted = "{name=\"syncloop\",status=\"error\",type=\"healthz\"} 1\n";
        assert!(page.contains(&format!("kubernetes_healthchecks_total{counted}")), "{page}");
    }

    #[tokio::test]
    async fn answers_are_upstreams() {
        let good = [Check::ping()];
        assert_eq!(get("/healthz", "", &good).await, (200, "ok".to_owned()));
        assert_eq!(get("/healthz/ping", "", &good).await, (200, "ok".to_owned()));
        assert_eq!(
            get("/healthz", "verbose", &good).await,
            (200, "[+]ping ok\nhealthz check passed\n".to_owned())
        );
        assert_eq!(get("/healthz/none", "", &good).await.0, 404);
        assert_eq!(get("/healthzz", "", &good).await.0, 404);
        assert_eq!(get("/pods", "", &good).await.0, 404);
        let bad = [Check::ping(), Check::new("syncloop", || Err("stuck".to_owned()))];
        let text = "[+]ping ok\n[-]syncloop failed: reason withheld\nhealthz check failed\n";
        assert_eq!(get("/healthz", "", &bad).await, (500, text.to_owned()));
        assert_eq!(get("/healthz", "exclude=syncloop", &bad).await, (200, "ok".to_owned()));
        assert_eq!(get("/healthz/syncloop", "", &bad).await.0, 500);
        let unknown = r#"warn: some health checks cannot be excluded: no matches for "a,b","nosuch""#;
        assert_eq!(
            get("/healthz", "verbose&exclude=nosuch&exclude=pin%67&exclude=a%2Cb", &good).await,
            (200, format!("[+]ping excluded: ok\n{unknown}\nhealthz check passed\n"))
        );
    }
}

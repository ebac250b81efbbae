//! The URL source: `staticPodURL` (contract §4 "HTTP source").
//!
//! The fetch itself is a function that the caller hands in, because the HTTP client belongs to an edge.

use std::{future::Future, pin::Pin, sync::Arc};

use lifecycle::PodSource;
use seams::Clock;

use super::{SourceUpdate, Updates, manifest};
use crate::config::ManifestUrl;

/// After this many failures in a row the reports get quiet.
const LOUD_FAILURES: u32 = 3;

/// A GET: body of a 200 answer, or an error text.
pub type Fetch = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>> + Send + Sync>;

/// Runs for ever.
pub async fn run(
    source: ManifestUrl,
    fetch: Fetch,
    node_name: String,
    clock: Arc<dyn Clock>,
    updates: Updates,
) {
    let mut failures = 0u32;
    let mut last = None;
    loop {
        match fetch().await {
            Ok(body) if last.as_ref() == Some(&body) => failures = 0,
            Ok(body) => match pods(&body, &source.url, &node_name, clock.now().wall) {
                Ok(pods) => {
                    failures = 0;
                    last = Some(body);
                    if updates.send(SourceUpdate::Set(PodSource::Http, pods)).await.is_err() {
                        return;
                    }
                }
                Err(error) => report(&source.url, &error.to_string(), &mut failures),
            },
            Err(error) => report(&source.url, &error, &mut failures),
        }
        tokio::time::sleep(source.frequency).await;
    }
}

fn pods(
    body: &[u8],
    url: &str,
    node_name: &str,
    now: jiff::Timestamp,
) -> Result<Vec<Arc<k8s_openapi::api::core::v1::Pod>>, manifest::ManifestError> {
    if body.is_empty() {
        // No pods any more. Blanks alone are a broken answer, as of a server that is being set up.
        return Ok(Vec::new());
    }
    manifest::parse(body, url, PodSource::Http, node_name, now)
}

fn report(url: &str, error: &str, failures: &mut u32) {
    *failures += 1;
    if *failures <= LOUD_FAILURES {
        tracing::warn!(url, error, "Cannot read static pods from the URL; the pods stay as they are");
    } else {
        tracing::debug!(url, error, failures, "Cannot read static pods from the URL");
    }
}

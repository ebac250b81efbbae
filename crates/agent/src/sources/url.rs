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
    let shown = without_password(&source.url);
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
                Err(error) => {
                    report(&shown, &error.to_string().replace(&source.url, &shown), &mut failures);
                }
            },
            Err(error) => report(&shown, &error, &mut failures),
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

/// The URL as logs may show it.
fn without_password(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    match url[start..end].rsplit_once('@').map(|(user, host)| (user.split_once(':'), host)) {
        Some((Some((name, _)), host)) => format!("{}{name}:***@{host}{}", &url[..start], &url[end..]),
        _ => url.to_owned(),
    }
}

fn report(url: &str, error: &str, failures: &mut u32) {
    *failures += 1;
    if *failures <= LOUD_FAILURES {
        tracing::warn!(url, error, "Cannot read static pods from the URL; the pods stay as they are");
    } else {
        tracing::debug!(url, error, failures, "Cannot read static pods from the URL");
    }
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn passwords_are_not_shown() {
        for (url, shown) in [
            ("http://h/p", "http://h/p"),
            ("http://me@h:1/p?q=a:b@c", "http://me@h:1/p?q=a:b@c"),
            ("https://me:se:cr@et@h:1/p?q", "https://me:***@h:1/p?q"),
            ("http://me:secret@h", "http://me:***@h"),
            ("me:secret@h/p", "me:***@h/p"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}

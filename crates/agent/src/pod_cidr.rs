//! Hands the node's range of pod addresses to the runtime, whose network plugin may be made from a template that wants it.
//!
//! With an API server the range is what the Node object holds, and follows it; without one it is the setting `podCIDR`.
//!
//! Invariant: once the runtime answers, it has the newest range that was told, and is told each only once.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Node;
use seams::{Cluster, Runtime};
use tokio_stream::wrappers::WatchStream;

/// First and longest delay before a runtime that refused is told again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Ranges, one after the other, families joined by a comma.
type Ranges = Pin<Box<dyn Stream<Item = String> + Send>>;

/// Where ranges come from. `setting` counts without an API server only, as upstream's.
pub(crate) fn wanted(cluster: Option<&dyn Cluster>, setting: Option<String>) -> Ranges {
    match cluster {
        Some(cluster) => {
            let nodes = WatchStream::new(cluster.node());
            Box::pin(nodes.filter_map(|node| std::future::ready(node.and_then(|node| of(&node)))))
        }
        None => Box::pin(futures::stream::iter(setting)),
    }
}

fn of(node: &Node) -> Option<String> {
    let ranges = node.spec.as_ref()?.pod_cidrs.as_deref()?;
    (!ranges.is_empty()).then(|| ranges.join(","))
}

/// Runs until there are no more ranges.
pub(crate) async fn run(runtime: Arc<dyn Runtime>, mut ranges: Ranges) {
    let mut told = None;
    let mut next = ranges.next().await;
    while let Some(range) = next.take() {
        if told.as_ref() != Some(&range) {
            // Both arms are cancel-safe: telling is begun anew with the newer range, and streams lose nothing.
            tokio::select! {
                () = tell(&*runtime, &range) => told = Some(range),
                newer = changed(&mut ranges, &range) => {
                    next = newer;
                    continue;
                }
            }
        }
        next = ranges.next().await;
    }
}

/// The next range that is another; waits for ever when there is none.
async fn changed(ranges: &mut Ranges, from: &str) -> Option<String> {
    while let Some(range) = ranges.next().await {
        if range != from {
            return Some(range);
        }
    }
    std::future::pending().await
}

/// Tells the runtime until it takes it.
async fn tell(runtime: &dyn Runtime, range: &str) {
    let mut delay = RETRY.0;
    while let Err(error) = runtime.set_pod_cidr(range).await {
        tracing::error!(range, %error, "The runtime did not take the node's pod CIDR; will try again");
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(RETRY.1);
    }
    tracing::info!(range, "The runtime has the node's pod CIDR");
}

#[cfg(test)]
mod tests {
    use fakes::{
        cluster::FakeCluster,
        runtime::{Code, FakeRuntime, Fault, When},
    };
    use serde_json::json;

    use super::*;

    const CALL: &str = "UpdateRuntimeConfig";

    fn node(ranges: &[&str]) -> Node {
        serde_json::from_value(json!({"metadata": {"name": "n"}, "spec": {"podCIDRs": ranges}})).unwrap()
    }

    fn told(runtime: &FakeRuntime) -> Vec<String> {
        runtime.core.calls().into_iter().filter(|call| call.method == CALL).map(|call| call.object).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_nodes_ranges_are_followed_and_told_once_each() {
        let (runtime, cluster) = (Arc::new(FakeRuntime::new()), FakeCluster::default());
        let ranges = wanted(Some(&cluster), Some("192.0.2.0/24".to_owned()));
        tokio::spawn(run(Arc::clone(&runtime) as _, ranges));
        cluster.show(node(&[]));
        tokio::time::sleep(Duration::from_secs(1)).await;
        for ranges in [&["10.1.0.0/24", "fd00::/64"][..], &["10.1.0.0/24", "fd00::/64"], &["10.2.0.0/24"]] {
            cluster.show(node(ranges));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(told(&runtime), ["10.1.0.0/24,fd00::/64", "10.2.0.0/24"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_refuses_is_told_again_and_then_the_newest() {
        let (runtime, cluster) = (Arc::new(FakeRuntime::new()), FakeCluster::default());
        runtime.core.plan(CALL, Fault::Fail(Code::Unavailable, "no".into()), When::Before, Some(3));
        tokio::spawn(run(Arc::clone(&runtime) as _, wanted(Some(&cluster), None)));
        cluster.show(node(&["10.1.0.0/24"]));
        tokio::time::sleep(Duration::from_millis(1500)).await;
        cluster.show(node(&["10.2.0.0/24"]));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(told(&runtime).last().map(String::as_str), Some("10.2.0.0/24"));
        assert_eq!(told(&runtime).len(), 4, "three refusals and a yes");
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_api_server_the_setting_counts() {
        let runtime = Arc::new(FakeRuntime::new());
        run(Arc::clone(&runtime) as _, wanted(None, Some("192.0.2.0/24".to_owned()))).await;
        assert_eq!(told(&runtime), ["192.0.2.0/24"]);
        run(Arc::clone(&runtime) as _, wanted(None, None)).await;
        assert_eq!(told(&runtime).len(), 1);
    }
}

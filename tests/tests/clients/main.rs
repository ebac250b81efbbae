//! The clients of the API server and of the runtime, each alone against the real thing: what they promise to the agent. No
//! kubelet runs meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod api_server;
mod runtime;

use lab::{Lab, Mode, Runtime};
use node_tests::Node;

fn with(name: &str, mode: Mode, runtime: Runtime, tests: impl AsyncFnOnce(&Lab)) {
    let node = Node::without_kubelet(name, mode, runtime).unwrap();
    let tokio = tokio::runtime::Runtime::new().unwrap();
    tokio.block_on(tests(&node));
    drop(tokio);
    node.down().unwrap();
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn the_api_server_and_containerd_2() {
    with("t-clients2", Mode::Cluster, Runtime::Containerd2, async |lab| {
        api_server::node_lease_and_heartbeat(lab).await;
        api_server::pods_statuses_and_events(lab).await;
        api_server::objects_of_pods_under_node_authorization(lab).await;
        api_server::more_watches_than_one_connection_carries(lab).await;
        runtime::a_pod_on_a_real_runtime(lab).await;
    });
}

#[test]
#[ignore = "wants root and containerd: make test"]
fn containerd_1() {
    with("t-clients1", Mode::Standalone, Runtime::Containerd1, async |lab| {
        runtime::a_pod_on_a_real_runtime(lab).await;
    });
}

//! How many calls of the CRI a runtime has been asked for, whichever kubelet asks: containerd counts every gRPC call.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::plan::Plan;

/// Longest for containerd to answer: it has the numbers in memory.
const BOUND: Duration = Duration::from_secs(10);

/// The counter of calls that began, so that a call that hangs and a stream that stays open count too.
const COUNTER: &str = "grpc_server_started_total";
/// Both of the CRI's services, `RuntimeService` and `ImageService`; the rest is containerd's own interface.
const SERVICES: &str = "grpc_service=\"runtime.v1.";

/// The sum of the counter over the CRI's methods, of metrics in Prometheus' text format.
fn total(metrics: &str) -> Result<u64> {
    let mut sum = 0;
    let mut found = false;
    for line in metrics.lines().filter(|line| line.starts_with(COUNTER)) {
        found = true;
        if !line.contains(SERVICES) {
            continue;
        }
        let number = line.rsplit(' ').next().unwrap_or_default();
        // Integers until they are so large that Go writes them as 1.234567e+06.
        let number: f64 = number.parse().with_context(|| format!("containerd counts {line:?}"))?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of calls, far below 2^53"
        )]
        {
            sum += number as u64;
        }
    }
    ensure!(found, "containerd's metrics have no {COUNTER}");
    Ok(sum)
}

/// CRI calls that the lab's containerd has been asked for since it started.
///
/// # Errors
/// It does not answer, or counts nothing.
pub(super) fn count(plan: &Plan) -> Result<u64> {
    let address: SocketAddr = (plan.addresses.node, plan.ports.containerd_metrics).into();
    let ask = || -> Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, BOUND)?;
        stream.set_read_timeout(Some(BOUND))?;
        // 1.0: the answer ends with the connection and is not cut into chunks.
        stream.write_all(b"GET /v1/metrics HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let first = answer.lines().next().unwrap_or_default();
        ensure!(first.contains(" 200 "), "it answered {first:?}");
        Ok(answer)
    };
    total(&ask().with_context(|| format!("cannot read containerd's metrics at {address}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_of_the_cri_count() {
        let metrics = "# HELP grpc_server_started_total Total\n# TYPE grpc_server_started_total counter\n\
            grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Version\",grpc_service=\"runtime.v1.RuntimeService\"} 99\n\
            grpc_server_started_total{grpc_method=\"Version\",grpc_service=\"runtime.v1.RuntimeService\",grpc_type=\"unary\"} 2\n\
            grpc_server_started_total{grpc_method=\"ImageStatus\",grpc_service=\"runtime.v1.ImageService\",grpc_type=\"unary\"} 1.5e+06\n\
            grpc_server_started_total{grpc_method=\"List\",grpc_service=\"containerd.services.tasks.v1.Tasks\",grpc_type=\"unary\"} 7\n";
        assert_eq!(total(metrics).unwrap(), 1_500_002);
    }

    #[test]
    fn metrics_without_the_counter_are_no_nought() {
        assert!(total("go_goroutines 7\n").is_err());
    }
}

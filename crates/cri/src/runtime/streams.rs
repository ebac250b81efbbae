//! Calls that prepare a stream: the runtime answers with an address of its own streaming server.

use lifecycle::{ContainerId, SandboxId};
use metrics::runtime::Operation;
use proto::cri::{AttachRequest, ExecRequest, PortForwardRequest};
use seams::{RuntimeError, runtime::Streams};

use super::CriRuntime;
use crate::client::Deadline;

impl CriRuntime {
    pub(super) async fn exec_address(
        &self,
        id: &ContainerId,
        command: &[String],
        streams: Streams,
    ) -> Result<String, RuntimeError> {
        const CALL: &str = "Exec";
        let request = ExecRequest {
            container_id: id.as_str().to_owned(),
            cmd: command.to_vec(),
            tty: streams.tty,
            stdin: streams.stdin,
            stdout: streams.stdout,
            stderr: streams.stderr,
        };
        let answer = self
            .client
            .runtime(Operation::Exec, Deadline::Default, request, async |mut c, r| c.exec(r).await)
            .await?;
        address(CALL, answer.url)
    }

    pub(super) async fn attach_address(
        &self,
        id: &ContainerId,
        streams: Streams,
    ) -> Result<String, RuntimeError> {
        const CALL: &str = "Attach";
        let request = AttachRequest {
            container_id: id.as_str().to_owned(),
            stdin: streams.stdin,
            tty: streams.tty,
            stdout: streams.stdout,
            stderr: streams.stderr,
        };
        let answer = self
            .client
            .runtime(Operation::Attach, Deadline::Default, request, async |mut c, r| c.attach(r).await)
            .await?;
        address(CALL, answer.url)
    }

    pub(super) async fn port_forward_address(
        &self,
        id: &SandboxId,
        ports: &[u16],
    ) -> Result<String, RuntimeError> {
        const CALL: &str = "PortForward";
        let request = PortForwardRequest {
            pod_sandbox_id: id.as_str().to_owned(),
            port: ports.iter().map(|port| i32::from(*port)).collect(),
        };
        let answer = self
            .client
            .runtime(Operation::PortForward, Deadline::Default, request, async |mut c, r| {
                c.port_forward(r).await
            })
            .await?;
        address(CALL, answer.url)
    }
}

fn address(call: &'static str, url: String) -> Result<String, RuntimeError> {
    if url.is_empty() {
        return Err(RuntimeError::Invalid { call, message: "URL is not set".to_owned() });
    }
    Ok(url)
}

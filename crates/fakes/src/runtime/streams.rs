//! Addresses of a streaming server that a test brings along, and checkpoints.

use std::path::Path;

use proto::cri::ContainerState;
use tonic::Status;

use super::core::{Core, not_found};

impl Core {
    /// `http://host:port` of what plays the runtime's streaming server; without it `Exec` and its kin are unknown calls.
    pub fn streaming_at(&self, base: &str) {
        self.state.lock().script.streaming = Some(base.to_owned());
    }

    pub(crate) async fn exec_url(&self, id: &str, command: &[String]) -> Result<String, Status> {
        let guard = self.enter("Exec", id).await?;
        self.must_run(id)?;
        guard.leave(self.stream(&format!("exec/{id}/{}", command.join("+")))?).await
    }

    pub(crate) async fn attach_url(&self, id: &str) -> Result<String, Status> {
        let guard = self.enter("Attach", id).await?;
        self.must_run(id)?;
        guard.leave(self.stream(&format!("attach/{id}"))?).await
    }

    pub(crate) async fn port_forward_url(&self, id: &str) -> Result<String, Status> {
        let guard = self.enter("PortForward", id).await?;
        if !self.state.lock().sandboxes.contains_key(id) {
            return Err(not_found("sandbox", id));
        }
        guard.leave(self.stream(&format!("portforward/{id}"))?).await
    }

    /// Writes a file that is no archive.
    pub(crate) async fn checkpoint(&self, id: &str, archive: &Path) -> Result<(), Status> {
        let guard = self.enter("CheckpointContainer", id).await?;
        self.must_run(id)?;
        std::fs::write(archive, id).map_err(|error| Status::internal(error.to_string()))?;
        guard.leave(()).await
    }

    fn must_run(&self, id: &str) -> Result<(), Status> {
        match self.state.lock().containers.get(id) {
            None => Err(not_found("container", id)),
            Some(container) if container.state != ContainerState::ContainerRunning => {
                Err(Status::unknown("container is not in running state"))
            }
            Some(_) => Ok(()),
        }
    }

    fn stream(&self, path: &str) -> Result<String, Status> {
        let base = self.state.lock().script.streaming.clone();
        let base = base.ok_or_else(|| Status::unimplemented("there is no streaming server"))?;
        Ok(format!("{base}/{path}"))
    }
}

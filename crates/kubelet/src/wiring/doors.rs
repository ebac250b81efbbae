//! The ports and the local socket, opened before anything runs.
//!
//! Two kubelets on one node would undo each other's work, and the second is known by what it cannot have: a port of the
//! first, or the socket in its root directory. So these come before the first pod, and the process ends without them.
//! A former process may be just about to end: it is waited for.

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

use server::{
    local::{self, Socket, SocketError},
    port,
};
use tokio::{net::TcpListener, time::Instant};
use tracing::warn;

use crate::settings::Settings;

/// For a former process to end: upstream's successor does not wait, service managers start one after the other.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// What could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum DoorError {
    /// A port.
    #[error("failed to listen on {address}, {name}")]
    Port {
        /// Where.
        address: SocketAddr,
        /// Setting of the port.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Another kubelet has the root directory.
    #[error("another kubelet runs on the root directory: it answers on {}", path.display())]
    RootDir {
        /// Its socket.
        path: PathBuf,
    },
}

impl DoorError {
    /// The next step for the operator.
    pub(super) fn hint(&self) -> String {
        match self {
            Self::Port { address, name, source } if source.kind() == io::ErrorKind::AddrInUse => format!(
                "another process has it, maybe another kubelet (`ss -ltnp 'sport = :{}'`): stop it, or set {name}",
                address.port()
            ),
            Self::Port { name, .. } => format!("set address and {name} to what this machine has"),
            Self::RootDir { .. } => "stop it, or give this one another --root-dir".to_owned(),
        }
    }
}

/// What is open.
#[derive(Debug)]
pub(super) struct Doors {
    /// `port`.
    pub main: Option<TcpListener>,
    /// `readOnlyPort`.
    pub read_only: Option<TcpListener>,
    /// In the root directory, where one can be made.
    pub local: Option<Socket>,
}

/// Opens what is configured. The root directory is there already.
///
/// # Errors
/// [`DoorError`].
pub(super) async fn open(settings: &Settings) -> Result<Doors, DoorError> {
    let until = Instant::now() + PATIENCE;
    let server = &settings.server;
    let local = socket(settings, until).await?;
    let main = listen(server.listen, "port", until).await?;
    let read_only = listen(server.read_only, "readOnlyPort", until).await?;
    Ok(Doors { main, read_only, local })
}

async fn listen(
    address: Option<SocketAddr>,
    name: &'static str,
    until: Instant,
) -> Result<Option<TcpListener>, DoorError> {
    let Some(address) = address else { return Ok(None) };
    loop {
        match port::bind(address) {
            Ok(listener) => return Ok(Some(listener)),
            Err(source) if Instant::now() >= until => {
                return Err(DoorError::Port { address, name, source });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn socket(settings: &Settings, until: Instant) -> Result<Option<Socket>, DoorError> {
    let path = settings.paths.root.join(local::FILE);
    loop {
        match local::bind(&path).await {
            Ok(bound) => return Ok(Some(bound)),
            Err(SocketError::InUse { path }) if Instant::now() >= until => {
                return Err(DoorError::RootDir { path });
            }
            Err(SocketError::InUse { .. }) => tokio::time::sleep(PAUSE).await,
            Err(error) => {
                warn!(%error, "`kubelet explain` and `kubelet timeline` will not work");
                return Ok(None);
            }
        }
    }
}

//! The kubelet's HTTPS API as the bench sees it: as administrator, and as clients that connect and say nothing.
//!
//! The kubelet's certificate is signed by itself, so nobody checks it here.

use std::{
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustls::{ClientConfig, ClientConnection, crypto::ring, pki_types::ServerName};
use ureq::Agent;

use crate::{
    api::{Server, tls},
    plan::Plan,
};

/// Longest for an answer: a page of a busy kubelet takes seconds.
const REQUEST_BOUND: Duration = Duration::from_secs(60);
/// How long an unused connection is kept: longer than the pause between two scrapes, shorter than a kubelet keeps it.
const KEPT: Duration = Duration::from_secs(60);

/// A client of the kubelet.
#[derive(Debug)]
pub(super) struct NodeApi {
    kept: Agent,
    anew: Agent,
    address: SocketAddr,
    silent: Arc<ClientConfig>,
}

impl NodeApi {
    /// A client with the administrator's certificate.
    ///
    /// # Errors
    /// A key or certificate of the lab cannot be read.
    pub(super) fn new(plan: &Plan) -> Result<Self> {
        let agent = |connections: usize| -> Result<Agent> {
            let config = Agent::config_builder()
                .tls_config(tls(plan, Server::Anyone)?)
                .http_status_as_error(false)
                .max_idle_connections(connections)
                .max_idle_age(KEPT)
                .timeout_global(Some(REQUEST_BOUND))
                .proxy(None)
                .build();
            Ok(config.new_agent())
        };
        let provider = Arc::new(ring::default_provider());
        let silent = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(unverified::verifier(&provider))
            .with_no_client_auth();
        Ok(Self {
            kept: agent(1)?,
            anew: agent(0)?,
            address: (plan.addresses.node, plan.ports.kubelet).into(),
            silent: Arc::new(silent),
        })
    }

    fn ask(&self, agent: &Agent, path: &str) -> Result<Vec<u8>> {
        let url = format!("https://{}{path}", self.address);
        let answer = agent.get(&url).call().with_context(|| format!("GET {path} of the kubelet"))?;
        let status = answer.status();
        let body = answer.into_body().into_with_config().limit(u64::MAX).read_to_vec();
        let body = body.with_context(|| format!("GET {path} of the kubelet"))?;
        ensure!(status.is_success(), "the kubelet answers {path} with {status}");
        Ok(body)
    }

    /// Ask over the connection of the question before.
    ///
    /// # Errors
    /// There is no answer, or one that is no success.
    pub(super) fn get(&self, path: &str) -> Result<Vec<u8>> {
        self.ask(&self.kept, path)
    }

    /// Ask over a new connection.
    ///
    /// # Errors
    /// As [`NodeApi::get`].
    pub(super) fn get_anew(&self, path: &str) -> Result<Vec<u8>> {
        self.ask(&self.anew, path)
    }

    /// Clients that connect and say nothing, some of them after a handshake. They stay until this is dropped.
    ///
    /// # Errors
    /// A connection is not made.
    pub(super) fn silent(&self, plain: usize, shaken: usize) -> Result<Silent> {
        let mut silent = Silent { plain: Vec::new(), shaken: Vec::new() };
        for _ in 0..plain {
            silent.plain.push(self.connect()?);
        }
        for _ in 0..shaken {
            let mut stream = self.connect()?;
            let name = ServerName::from(self.address.ip());
            let mut client = ClientConnection::new(Arc::clone(&self.silent), name)?;
            while client.is_handshaking() {
                client.complete_io(&mut stream).context("a silent client's handshake with the kubelet")?;
            }
            silent.shaken.push((client, stream));
        }
        Ok(silent)
    }

    fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, REQUEST_BOUND)
            .with_context(|| format!("cannot connect to the kubelet at {}", self.address))?;
        stream.set_read_timeout(Some(REQUEST_BOUND))?;
        Ok(stream)
    }
}

/// Clients that say nothing.
#[derive(Debug)]
pub(super) struct Silent {
    plain: Vec<TcpStream>,
    shaken: Vec<(ClientConnection, TcpStream)>,
}

impl Silent {
    /// How many the kubelet has not sent away.
    pub(super) fn left(&self) -> usize {
        let is_open = |stream: &TcpStream| {
            stream.set_nonblocking(true).is_ok()
                && match stream.peek(&mut [0]) {
                    Ok(read) => read > 0,
                    Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
                }
        };
        let shaken = self.shaken.iter().map(|(_, stream)| stream);
        self.plain.iter().chain(shaken).filter(|stream| is_open(stream)).count()
    }
}

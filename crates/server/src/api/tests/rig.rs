//! An API with everything around it made up, and a client for it.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::Pod;
use metrics::Metrics;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use seams::{
    ApiError, ContainerLogs, NodeApi, NodeLogs, NodeStats, Reviews, RuntimeError, SystemClock,
    logs::{LogError, LogOptions, LogSource},
    node_api::{CheckpointRefusal, LogRefusal, PodPath, StreamRefusal},
    node_logs::{NodeLog, ServiceQuery},
    reviews::{NodeAccess, User},
    runtime::{ExecResult, Streams},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use super::super::{
    AccessSettings, Api, ApiParts, Pages, Switches,
    listener::{Transport, serve},
    stats::testing::Figures,
    tls::{Tls, TlsSettings},
};
use crate::health::Check;

/// Bound on everything that is waited for.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// Reviews by a list: tokens `t-NAME` are NAME's, and who may what is said in `allowed`.
#[derive(Default)]
pub(super) struct Judge {
    pub(super) allowed: Mutex<Vec<(&'static str, &'static str, &'static str)>>,
    pub(super) tokens: Mutex<Vec<String>>,
    pub(super) asked: Mutex<Vec<(String, NodeAccess)>>,
    pub(super) down: Mutex<bool>,
}

impl Judge {
    pub(super) fn allow(&self, user: &'static str, verb: &'static str, subresource: &'static str) {
        self.allowed.lock().push((user, verb, subresource));
    }
}

#[async_trait]
impl Reviews for Judge {
    async fn token(&self, token: &str) -> Result<Option<User>, ApiError> {
        self.tokens.lock().push(token.to_owned());
        let name = token.strip_prefix("t-");
        Ok(name.map(|name| User { name: name.to_owned(), ..User::default() }))
    }

    async fn access(&self, user: &User, access: &NodeAccess) -> Result<bool, ApiError> {
        if *self.down.lock() {
            return Err(ApiError::Malformed("down".to_owned()));
        }
        self.asked.lock().push((user.name.clone(), access.clone()));
        let is = |pattern: &str, text: &str| pattern == "*" || pattern == text;
        let allowed = self.allowed.lock();
        Ok(allowed.iter().any(|(name, verb, subresource)| {
            is(name, &user.name) && is(verb, access.verb) && is(subresource, access.subresource)
        }))
    }
}

/// One pod `ns/pod` with a container `c`; streams lead to `url`.
#[derive(Default)]
pub(super) struct Node {
    pub(super) url: Mutex<String>,
    pub(super) asked: Mutex<Vec<(Vec<String>, Streams)>>,
}

fn known(pod: &PodPath) -> Result<(), StreamRefusal> {
    if pod.name != "pod" {
        return Err(StreamRefusal::NoPod);
    }
    if pod.uid.as_deref().is_some_and(|uid| uid != "uid") { Err(StreamRefusal::OtherPod) } else { Ok(()) }
}

#[async_trait]
impl NodeApi for Node {
    fn pods(&self) -> Vec<Arc<Pod>> {
        let mut pod = Pod::default();
        pod.metadata.name = Some("pod".to_owned());
        vec![Arc::new(pod)]
    }

    async fn running_pods(&self) -> Result<Vec<Pod>, RuntimeError> {
        Ok(Vec::new())
    }

    async fn log_source(&self, pod: &PodPath, container: &str, _: bool) -> Result<LogSource, LogRefusal> {
        match (pod.name.as_str(), container) {
            ("pod", "c") => Ok(LogSource { path: PathBuf::from("/0.log"), container: "id".into() }),
            ("pod", "waits") => Err(LogRefusal::NoLog("it waits".to_owned())),
            ("pod", _) => Err(LogRefusal::NoContainer),
            _ => Err(LogRefusal::NoPod),
        }
    }

    async fn exec_url(
        &self,
        pod: &PodPath,
        _: &str,
        command: &[String],
        streams: Streams,
    ) -> Result<String, StreamRefusal> {
        known(pod)?;
        self.asked.lock().push((command.to_vec(), streams));
        Ok(self.url.lock().clone())
    }

    async fn attach_url(
        &self,
        pod: &PodPath,
        _: &str,
        streams: Streams,
    ) -> Result<(String, Streams), StreamRefusal> {
        self.exec_url(pod, "", &[], streams).await.map(|url| (url, streams))
    }

    async fn port_forward_url(&self, pod: &PodPath, _: &[u16]) -> Result<String, StreamRefusal> {
        self.exec_url(pod, "", &[], Streams::default()).await
    }

    async fn checkpoint(
        &self,
        pod: &PodPath,
        container: &str,
        limit: Duration,
    ) -> Result<PathBuf, CheckpointRefusal> {
        known(pod).map_err(|_| CheckpointRefusal::NoPod)?;
        match container {
            "c" => Ok(format!("/checkpoints/{}.tar", limit.as_secs()).into()),
            "stuck" => Err(CheckpointRefusal::NotRunning(container.to_owned())),
            other => Err(CheckpointRefusal::NoContainer(other.to_owned())),
        }
    }

    async fn run(&self, pod: &PodPath, _: &str, command: &[String]) -> Result<ExecResult, StreamRefusal> {
        known(pod)?;
        let exit_code = i32::from(command.first().is_some_and(|name| name == "false"));
        Ok(ExecResult { stdout: command.join("+").into_bytes(), stderr: b"!".to_vec(), exit_code })
    }
}

/// Two lines, a break, and no end while following.
struct Lines;

#[async_trait]
impl ContainerLogs for Lines {
    async fn read(
        &self,
        _: LogSource,
        options: LogOptions,
    ) -> Result<mpsc::Receiver<Result<Bytes, LogError>>, LogError> {
        let (sender, receiver) = mpsc::channel(2);
        tokio::spawn(async move {
            let _ = sender.send(Ok(Bytes::from_static(b"one\ntwo\n"))).await;
            if options.follow {
                sender.closed().await;
            }
        });
        Ok(receiver)
    }
}

struct Files;

#[async_trait]
impl NodeLogs for Files {
    async fn open(&self, path: &Path) -> io::Result<NodeLog> {
        match path.to_str() {
            Some("") => Ok(NodeLog::Directory(vec!["messages".to_owned(), "pods/".to_owned()])),
            Some("pods") => Ok(NodeLog::Directory(Vec::new())),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn services(&self, query: ServiceQuery) -> mpsc::Receiver<Bytes> {
        let (sender, receiver) = mpsc::channel(1);
        let _ = sender.try_send(query.services.join("+").into());
        receiver
    }
}

/// A certificate authority.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

/// A certificate and its key, PEM.
pub(super) type Pair = (String, String);

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(super) fn issue(&self, name: &str, group: &str, hosts: &[&str]) -> Pair {
        let mut params =
            CertificateParams::new(hosts.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if !name.is_empty() {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.distinguished_name.push(DnType::OrganizationName, group);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// What a rig is made with.
pub(super) struct Setup {
    pub(super) anonymous: bool,
    pub(super) switches: Switches,
    pub(super) access_ttls: Option<(Duration, Duration)>,
    pub(super) read_only: bool,
    /// Without TLS, and with all routes.
    pub(super) plain: bool,
    pub(super) stream_idle: Duration,
    /// There are no figures of what is used.
    pub(super) broken_stats: bool,
}

impl Default for Setup {
    fn default() -> Self {
        let switches = Switches {
            debugging: true,
            system_logs: true,
            log_queries: true,
            profiling: true,
            debug_flags: true,
            split_streams: false,
            websockets: true,
            checkpoints: true,
            allocated_pods: true,
        };
        Self {
            anonymous: false,
            switches,
            access_ttls: Some((Duration::from_secs(300), Duration::from_secs(30))),
            read_only: false,
            plain: false,
            stream_idle: Duration::from_secs(3600),
            broken_stats: false,
        }
    }
}

/// A served API.
pub(super) struct Rig {
    pub(super) dir: tempfile::TempDir,
    pub(super) authority: Authority,
    pub(super) judge: Arc<Judge>,
    pub(super) node: Arc<Node>,
    pub(super) figures: Arc<Figures>,
    pub(super) verbosity: Arc<Mutex<u32>>,
    pub(super) address: SocketAddr,
    stop: CancellationToken,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Rig {
    pub(super) async fn start(setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new("test");
        let (judge, node): (Arc<Judge>, Arc<Node>) = Default::default();
        let figures = Arc::new(Figures { broken: setup.broken_stats, ..Figures::default() });
        let verbosity = Arc::new(Mutex::new(0));
        let settings = TlsSettings {
            certificate: dir.path().join("tls.crt"),
            key: dir.path().join("tls.key"),
            client_ca: Some(dir.path().join("ca.crt")),
            only_tls13: false,
            cipher_suites: Vec::new(),
        };
        std::fs::write(dir.path().join("ca.crt"), &authority.pem).unwrap();
        write_pair(dir.path(), &authority.issue("node", "nodes", &["localhost"]));
        let tls = Arc::new(Tls::load(settings).unwrap());
        let level = Arc::clone(&verbosity);
        let parts = ApiParts {
            access: AccessSettings {
                node_name: "node".to_owned(),
                anonymous: setup.anonymous,
                token_ttl: Some(Duration::from_secs(120)),
                access_ttls: setup.access_ttls,
            },
            switches: setup.switches,
            stream_idle: setup.stream_idle,
            reviews: Some(Arc::clone(&judge) as Arc<dyn Reviews>),
            node: Arc::clone(&node) as Arc<dyn NodeApi>,
            stats: Arc::clone(&figures) as Arc<dyn NodeStats>,
            logs: Arc::new(Lines),
            node_logs: Arc::new(Files),
            checks: vec![Check::ping(), Check::new("log", || Ok(())), Check::new("syncloop", || Ok(()))],
            pages: Pages {
                configz: Bytes::from_static(b"{\"kubeletconfig\":{}}"),
                flags: Arc::from(vec![("v", "2".to_owned())]),
                started: jiff::Timestamp::UNIX_EPOCH,
                version: "1.37.2".to_owned(),
                set_verbosity: Arc::new(move |new| *level.lock() = new),
            },
            clock: Arc::new(SystemClock::start()),
            metrics: Metrics::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        if setup.plain {
            let api = Arc::new(Api::new(parts, None));
            tokio::spawn(serve(listener, Transport::Plain, api, stop.clone()));
        } else if setup.read_only {
            let api = Arc::new(Api::read_only(parts));
            tokio::spawn(serve(listener, Transport::Plain, api, stop.clone()));
        } else {
            let api = Arc::new(Api::new(parts, Some(Arc::clone(&tls))));
            tokio::spawn(serve(listener, Transport::Tls(tls), api, stop.clone()));
        }
        Self { dir, authority, judge, node, figures, verbosity, address, stop }
    }

    /// Connects, with a client certificate or without.
    pub(super) async fn connect(&self, own: Option<&Pair>, protocols: &[&str]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.pem.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap();
                let key = ring::sign::any_supported_type(&PrivateKeyDer::from(key)).unwrap();
                // Shown whatever the server hints at.
                let key = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
                builder.with_client_cert_resolver(Arc::new(key))
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    /// One request on a connection of its own: status, body.
    pub(super) async fn ask(&self, ask: Ask<'_>) -> (u16, String) {
        let (status, _, body) = self.ask_fully(ask).await;
        (status, body)
    }

    /// The same, with the headers of the answer.
    pub(super) async fn ask_fully(&self, ask: Ask<'_>) -> (u16, BTreeMap<String, String>, String) {
        let mut request = Request::builder().method(ask.method).uri(ask.path).header("host", "localhost");
        if let Some(token) = ask.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(ask.body.as_bytes()))).unwrap();
        let exchange = async {
            let response = if ask.plain {
                let stream = TcpStream::connect(self.address).await.unwrap();
                let (mut sender, http) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
                tokio::spawn(http);
                sender.send_request(request).await.unwrap()
            } else if ask.http2 {
                let stream = self.connect(ask.own, &["h2"]).await;
                let (mut sender, http) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                        .await
                        .unwrap();
                tokio::spawn(http);
                sender.send_request(request).await.unwrap()
            } else {
                let stream = self.connect(ask.own, &["http/1.1"]).await;
                let (mut sender, http) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
                tokio::spawn(http);
                sender.send_request(request).await.unwrap()
            };
            let (head, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap().to_owned();
            let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
            (head.status.as_u16(), headers.collect(), String::from_utf8(body.to_vec()).unwrap())
        };
        tokio::time::timeout(SOON, exchange).await.expect("an answer")
    }
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) own: Option<&'a Pair>,
    pub(super) body: &'a str,
    pub(super) http2: bool,
    pub(super) plain: bool,
}

/// GET a path with the token of `admin`.
pub(super) fn get(path: &str) -> Ask<'_> {
    Ask { method: Method::GET, path, token: Some("t-admin"), own: None, body: "", http2: false, plain: false }
}

/// Writes a serving pair as a rotation does: beside, and renamed.
pub(super) fn write_pair(dir: &Path, (certificate, key): &Pair) {
    for (name, content) in [("tls.crt", certificate), ("tls.key", key)] {
        let fresh = dir.join("new");
        std::fs::write(&fresh, content).unwrap();
        std::fs::rename(&fresh, dir.join(name)).unwrap();
    }
}

//! A small HTTPS server for tests: answers what a closure says, streams what a test sends, counts connections.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::{Access, api::Api, counts::Counts, transport::Transport};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) uri: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

/// An answer.
pub(crate) enum Reply {
    Json(u16, Value),
    /// With `Retry-After`.
    Later(u16, u64),
    /// Lines, for as long as the sender lives.
    Stream(mpsc::UnboundedReceiver<Value>),
    /// Never.
    Silence,
}

pub(crate) fn ok(value: Value) -> Reply {
    Reply::Json(200, value)
}

pub(crate) fn status(code: u16, reason: &str, message: &str) -> Reply {
    Reply::Json(code, json!({"kind": "Status", "code": code, "reason": reason, "message": message}))
}

pub(crate) struct StubOptions {
    pub(crate) alpn: &'static [u8],
    pub(crate) streams: u32,
}

impl Default for StubOptions {
    fn default() -> Self {
        Self { alpn: b"h2", streams: 100 }
    }
}

/// What becomes of a connection after TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// It waits until the gate is another.
    Held,
    HangUp,
}

pub(crate) struct Stub {
    pub(crate) dir: TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) gate: watch::Sender<Gate>,
    dials: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

impl Stub {
    pub(crate) async fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(StubOptions::default(), handler).await
    }

    pub(crate) async fn with(
        options: StubOptions,
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = certificates(dir.path());
        let mut config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(server.0, server.1)
                .unwrap();
        config.alpn_protocols = vec![options.alpn.to_vec()];
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (connections, dials) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let gate = watch::Sender::new(Gate::Open);
        let handler: Arc<Handler> = Arc::new(handler);
        let mut tasks = JoinSet::new();
        let (kept, count) = (Arc::clone(&seen), Arc::clone(&connections));
        let (dialled, gated) = (Arc::clone(&dials), gate.clone());
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                dialled.fetch_add(1, Ordering::SeqCst);
                let mut gate = gated.subscribe();
                let (acceptor, handler) = (acceptor.clone(), Arc::clone(&handler));
                let (kept, count) = (Arc::clone(&kept), Arc::clone(&count));
                served.spawn(async move {
                    if *gate.wait_for(|gate| *gate != Gate::Held).await.unwrap() == Gate::HangUp {
                        return;
                    }
                    let Ok(tls) = acceptor.accept(tcp).await else { return };
                    count.fetch_add(1, Ordering::SeqCst);
                    let service =
                        service_fn(|request| answer(request, Arc::clone(&kept), Arc::clone(&handler)));
                    let io = TokioIo::new(tls);
                    if options.alpn == b"h2" {
                        let _ = http2::Builder::new(TokioExecutor::new())
                            .max_concurrent_streams(options.streams)
                            .serve_connection(io, service)
                            .await;
                    } else {
                        let _ = http1::Builder::new().serve_connection(io, service).await;
                    }
                });
            }
        });
        let stub = Self { dir, address, seen, connections, gate, dials, _tasks: tasks };
        stub.kubeconfig(
            &format!("https://{address}"),
            "{client-certificate: client.crt, client-key: client.key}",
        );
        stub
    }

    pub(crate) fn kubeconfig(&self, server: &str, user: &str) -> PathBuf {
        let path = self.dir.path().join("config");
        let text = format!(
            "current-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: \"{server}\", certificate-authority: ca.crt}}}}]\n\
             users: [{{name: u, user: {user}}}]\n"
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn access(&self) -> Access {
        Access::load(&self.dir.path().join("config")).unwrap()
    }

    pub(crate) fn transport(&self) -> Arc<Transport> {
        Arc::new(Transport::new(
            Arc::new(self.access()),
            http::HeaderValue::from_static("test/1"),
            Arc::default(),
        ))
    }

    pub(crate) fn api(&self) -> Arc<Api> {
        let counts = Counts::new(metrics::Metrics::new(), "stub");
        Arc::new(Api::new(self.transport(), None, Duration::from_secs(10), counts))
    }

    pub(crate) fn uris(&self) -> Vec<String> {
        self.seen.lock().iter().map(|seen| seen.uri.clone()).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Connections as far as TCP, [`Stub::connections`] among them.
    pub(crate) fn dials(&self) -> usize {
        self.dials.load(Ordering::SeqCst)
    }
}

/// CA, server pair (returned) and client pair, in files.
fn certificates(dir: &Path) -> (Vec<rustls_pki_types::CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "stub");
    std::fs::write(dir.join("ca.crt"), ca.clone().self_signed(&ca_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let server =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    client_pair(dir);
    (vec![server.der().clone()], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
}

/// Writes a new `client.crt` and `client.key`.
pub(crate) fn client_pair(dir: &Path) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["client".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(dir.join("client.crt"), certificate.pem()).unwrap();
    std::fs::write(dir.join("client.key"), key.serialize_pem()).unwrap();
}

type Answer = Response<UnsyncBoxBody<Bytes, std::convert::Infallible>>;

async fn answer(
    request: Request<Incoming>,
    kept: Arc<Mutex<Vec<Seen>>>,
    handler: Arc<Handler>,
) -> Result<Answer, std::convert::Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    let seen = Seen {
        method: head.method.to_string(),
        uri: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: head.headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    kept.lock().push(seen.clone());
    let whole = |value: &Value| Full::new(Bytes::from(value.to_string())).boxed_unsync();
    Ok(match handler(&seen) {
        Reply::Json(code, value) => Response::builder().status(code).body(whole(&value)).unwrap(),
        Reply::Later(code, seconds) => Response::builder()
            .status(code)
            .header("Retry-After", seconds)
            .body(whole(&json!({"message": "later"})))
            .unwrap(),
        Reply::Stream(lines) => {
            let lines = UnboundedReceiverStream::new(lines)
                .map(|line| Ok(Frame::data(Bytes::from(format!("{line}\n")))));
            Response::new(StreamBody::new(lines).boxed_unsync())
        }
        Reply::Silence => std::future::pending().await,
    })
}

/// Waits for a condition; fails after ten seconds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    unreachable!("not within ten seconds: {what}");
}

//! The port, its connections, and what a fault does to them.
//!
//! One task owns the port. While the network refuses it only holds it. Each connection is a task that ends when it is cut.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Response, Version, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Notify,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Fault, Network, Request, Shared, query,
    routes::{self, Body},
    status::Refusal,
    tls,
};

/// A fault cut the connection.
#[derive(Debug, thiserror::Error)]
#[error("the test cut this connection")]
struct Cut;

/// The port: listened on, or only held, so that connections are refused and nobody else gets it.
enum Port {
    Listening(TcpListener),
    Held { _socket: TcpSocket },
}

/// Bind and listen.
///
/// # Panics
/// The port cannot be bound: a fake without a port is of no use to a test.
pub(super) fn listen(address: SocketAddr) -> TcpListener {
    match bind(address).and_then(|socket| socket.listen(1024)) {
        Ok(listener) => listener,
        Err(error) => unreachable!("the fake API server cannot listen on {address}: {error}"),
    }
}

fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Where a listener listens.
pub(super) fn address(listener: &TcpListener) -> SocketAddr {
    match listener.local_addr() {
        Ok(address) => address,
        Err(error) => unreachable!("a bound listener has an address: {error}"),
    }
}

/// Serve until aborted.
pub(super) async fn run(shared: Arc<Shared>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    let address = address(&listener);
    let mut port = Port::Listening(listener);
    let mut signals = shared.signals.subscribe();
    let mut severed = 0;
    let mut number = 0;
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        let now = signals.borrow_and_update().clone();
        if now.severed != severed || now.network == Network::Refuse {
            severed = now.severed;
            connections.abort_all();
        }
        port = match (now.network, port) {
            (Network::Refuse, Port::Listening(listener)) => {
                drop(listener);
                match bind(address) {
                    Ok(socket) => Port::Held { _socket: socket },
                    Err(error) => unreachable!("the fake API server cannot hold {address}: {error}"),
                }
            }
            (Network::Up | Network::Hang, Port::Held { _socket: socket }) => {
                drop(socket);
                Port::Listening(listen(address))
            }
            (_, port) => port,
        };
        // Cancel-safe: `accept` takes no connection unless it returns it, and signals are compared, not counted.
        tokio::select! {
            changed = signals.changed() => if changed.is_err() { return },
            accepted = accept(&port) => if let Some(stream) = accepted {
                number += 1;
                connections.spawn(connection(Arc::clone(&shared), stream, tls.clone(), number));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn accept(port: &Port) -> Option<TcpStream> {
    match port {
        Port::Listening(listener) => listener.accept().await.ok().map(|(stream, _)| stream),
        Port::Held { .. } => std::future::pending().await,
    }
}

/// What the requests of one connection share.
#[derive(Clone)]
struct Link {
    shared: Arc<Shared>,
    number: u64,
    client: Option<String>,
    /// Told when a fault cuts the connection.
    cut: Arc<Notify>,
}

async fn connection(shared: Arc<Shared>, stream: TcpStream, tls: Option<TlsAcceptor>, number: u64) {
    let _ = stream.set_nodelay(true);
    let mut link = Link { shared, number, client: None, cut: Arc::default() };
    match tls {
        None => speak(stream, link).await,
        Some(acceptor) => {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            link.client = tls::common_name(stream.get_ref().1);
            speak(stream, link).await;
        }
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, link: Link) {
    let cut = Arc::clone(&link.cut);
    let service = hyper::service::service_fn(move |request| handle(link.clone(), request));
    let builder = auto::Builder::new(TokioExecutor::new());
    // Cancel-safe: dropping the connection is the point.
    tokio::select! {
        // How a connection ends is the client's matter to judge.
        _ = builder.serve_connection(TokioIo::new(stream), service) => {}
        () = cut.notified() => {}
    }
}

async fn handle(link: Link, request: http::Request<Incoming>) -> Result<Response<Body>, Cut> {
    let Link { shared, number: connection, client, cut } = link;
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
    let request = Request {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map_or_else(BTreeMap::new, query::decode),
        headers: parts.headers,
        body,
        connection,
        http2: parts.version == Version::HTTP_2,
        client,
        answered: None,
    };
    let place = {
        let mut requests = shared.requests.lock();
        requests.push(request.clone());
        requests.len() - 1
    };
    // Those who wait for a request look again.
    shared.signal(|_| {});
    let mut signals = shared.signals.subscribe();
    if signals.wait_for(|now| now.network != Network::Hang).await.is_err() {
        return Err(Cut);
    }
    let (latency, fault) = {
        let mut faults = shared.faults.lock();
        (faults.latency, faults.take(&request))
    };
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let response = match fault {
        None => routes::answer(&shared, &request),
        Some(Fault::Late(time)) => {
            tokio::time::sleep(time).await;
            routes::answer(&shared, &request)
        }
        Some(Fault::Status(code)) => routes::refused(&Refusal::injected(code)),
        Some(Fault::RetryAfter(code, seconds)) => {
            let mut response = routes::refused(&Refusal::injected(code));
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            response
        }
        Some(Fault::Garbage) => routes::plain("<html>no API server here</html>"),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Cut) => {
            cut.notify_one();
            return Err(Cut);
        }
        Some(Fault::DoneThenCut) => {
            let _ = routes::answer(&shared, &request);
            cut.notify_one();
            return Err(Cut);
        }
    };
    // The record may have been cleared meanwhile.
    if let Some(recorded) = shared.requests.lock().get_mut(place)
        && recorded.path == request.path
        && recorded.method == request.method
    {
        recorded.answered = Some(response.status().as_u16());
    }
    shared.signal(|_| {});
    Ok(response)
}

//! `serve`: servers for probes, hooks and traffic, switched at run time through their own HTTP routes.
//!
//! All answers come from one [`Switches`] value in a watch channel: routes change it, servers read it, and those that wait
//! (the TCP listener, gRPC `Watch`) follow it. TERM starts the drain, and ends the process after it.

mod grpc;
mod http_routes;
mod switches;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

use crate::{args::Args, signals};
pub(crate) use switches::{HttpAnswer, Shared, Switches};

/// The part of the help that lists the routes.
pub(crate) const ROUTES: &str = "\
Routes (HTTP and HTTPS):
  /healthz /readyz /livez /startupz   200 'ok' unless switched; so is any other path once switched
  /control                            all switches, as text
  /control/http?status=500&path=/healthz&delay=2s&body=TEXT&times=N
                                      switch a path (default /healthz); with times only for the next N requests
  /control/grpc?serving=false&service=NAME   switch the gRPC health of a service (default the empty name); serving=unknown too
  /control/tcp?open=false             close or open the TCP listener
  /control/exit?code=3&after=1s       end the process
  /control/reset                      back to the start
  /hits?path=/healthz                 how many requests that path got
  /redirect?to=URL&code=302           redirect
  /status/418                         that status
  /delay?for=2s                       answer late
  /hang                               never answer
  /bytes?n=1Mi                        a body of that size
  /echo                               method, path, headers and body of the request
  /headers                            only the headers, a line each
  /hostname /env /env?name=X /file?path=P /self   what the printers print
";

/// `serve`.
pub(crate) async fn run(args: Args) -> Result<u8> {
    let port = |name: &str, default: u16| -> Result<Option<u16>> {
        match args.text(name) {
            Some("off") => Ok(None),
            Some(text) => Ok(Some(text.parse().with_context(|| format!("'--{name} {text}': not a port"))?)),
            None => Ok(Some(default)),
        }
    };
    let ports = (port("http", 8080)?, port("https", 8443)?, port("tcp", 8081)?, port("grpc", 8082)?);
    let listen = args.parsed::<IpAddr>("listen")?;
    let drain = args.time("drain")?.unwrap_or_default();
    let mut first = Switches { tcp_open: !args.given("tcp-closed"), ..Switches::default() };
    first
        .grpc
        .insert(String::new(), if args.given("not-serving") { grpc::NOT_SERVING } else { grpc::SERVING });
    for set in args.all("set") {
        let (path, code) = set.split_once('=').with_context(|| format!("'--set {set}' is not PATH=CODE"))?;
        let code = code.parse().with_context(|| format!("'--set {set}': not a status"))?;
        first.http.insert(path.to_owned(), HttpAnswer::status(code));
    }
    first.log_requests = args.given("log-requests");
    let switches = Shared::new(first);

    let termination = signals::termination()?;
    tokio::pin!(termination);
    let start_after = args.time("start-after")?.unwrap_or_default();
    // Cancel-safe: nothing has been started yet.
    tokio::select! {
        () = tokio::time::sleep(start_after) => {}
        _ = &mut termination => return Ok(0),
    }

    if let Some(port) = ports.0 {
        let listener = bind(listen, port).await?;
        println!("http on {}", listener.local_addr()?);
        tokio::spawn(accept(listener, switches.clone(), Transport::Plain, Protocol::Http));
    }
    if let Some(port) = ports.1 {
        let listener = bind(listen, port).await?;
        println!("https on {}", listener.local_addr()?);
        tokio::spawn(accept(listener, switches.clone(), Transport::Tls(tls::acceptor()?), Protocol::Http));
    }
    if let Some(port) = ports.3 {
        let listener = bind(listen, port).await?;
        println!("grpc on {}", listener.local_addr()?);
        tokio::spawn(accept(listener, switches.clone(), Transport::Plain, Protocol::Grpc));
    }
    if let Some(port) = ports.2 {
        tokio::spawn(tcp::serve(listen, port, switches.clone()));
    }
    println!("serving");

    let (mut ending, mut ending_early) = (switches.subscribe(), switches.subscribe());
    // Cancel-safe: both only wait.
    tokio::select! {
        name = termination => {
            println!("got {name}, leaving in {drain:?}");
            switches.change(|now| now.draining = true);
            // Cancel-safe: the process ends either way.
            tokio::select! {
                () = tokio::time::sleep(drain) => {}
                _ = ending_early.wait_for(|now| now.exit.is_some()) => {}
            }
            Ok(switches.read(|now| now.exit).unwrap_or(0))
        }
        _ = ending.wait_for(|now| now.exit.is_some()) => {
            let code = switches.read(|now| now.exit).unwrap_or(0);
            println!("told to leave with {code}");
            // The answer to the request that said so should still go out.
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(code)
        }
    }
}

/// Bind the given address, or every address of both families.
pub(super) async fn bind(address: Option<IpAddr>, port: u16) -> Result<TcpListener> {
    let addresses = match address {
        Some(address) => vec![address],
        None => vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
    };
    let mut last = None;
    for address in addresses {
        match TcpListener::bind(SocketAddr::new(address, port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| anyhow::anyhow!("no address"), Into::into))
        .with_context(|| format!("cannot bind port {port}"))
}

/// What a connection is wrapped in.
#[derive(Clone)]
enum Transport {
    Plain,
    Tls(tokio_rustls::TlsAcceptor),
}

/// What is spoken on it.
#[derive(Clone, Copy)]
enum Protocol {
    Http,
    Grpc,
}

async fn accept(listener: TcpListener, switches: Shared, transport: Transport, protocol: Protocol) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: wait for some to be closed.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        tokio::spawn(connection(stream, switches.clone(), transport.clone(), protocol));
    }
}

async fn connection(stream: TcpStream, switches: Shared, transport: Transport, protocol: Protocol) {
    // A connection that breaks is the client's matter: there is nobody to tell.
    match transport {
        Transport::Plain => speak(stream, switches, protocol).await,
        Transport::Tls(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                speak(stream, switches, protocol).await;
            }
        }
    }
}

async fn speak<S>(stream: S, switches: Shared, protocol: Protocol)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let switches = Arc::new(switches);
    let service = hyper::service::service_fn(move |request| {
        let switches = Arc::clone(&switches);
        async move {
            match protocol {
                Protocol::Http => http_routes::answer(&switches, request).await,
                Protocol::Grpc => grpc::answer(&switches, request).await,
            }
        }
    });
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

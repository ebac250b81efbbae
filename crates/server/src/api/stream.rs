//! `/exec`, `/attach`, `/portForward` and `/run`: what is asked for, and where the runtime has it ready (contract §25).

use std::sync::Arc;

use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{HeaderMap, HeaderValue, RETRY_AFTER, UPGRADE},
};
use metrics::http::Subresource;
use seams::{
    NodeApi, RuntimeError,
    node_api::{PodPath, StreamRefusal},
    runtime::Streams,
};

use super::{
    ApiParts,
    answer::{Body, JSON, full, of_type, text},
    connection::Connection,
    counting::Held,
    dial::DialError,
    paths::Parameters,
    query::Query,
    spdy_tunnel, translate, tunnel, websocket,
};
use crate::catalog::routes::Endpoint;

pub(super) async fn serve(
    parts: &ApiParts,
    endpoint: Endpoint,
    path: &Parameters,
    request: Request<Incoming>,
    connection: &Arc<Connection>,
) -> Response<Body> {
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let pod = pod(path);
    let prepared = if endpoint == Endpoint::PortForward {
        match ports(&query, request.headers()) {
            Ok(ports) => {
                let url = parts.node.port_forward_url(&pod, &ports).await;
                url.map(|url| (url, Streams::default()))
            }
            Err(cause) => return text(StatusCode::BAD_REQUEST, cause),
        }
    } else {
        let streams = match streams(&query) {
            Ok(streams) => streams,
            Err(cause) => return text(StatusCode::BAD_REQUEST, cause),
        };
        if endpoint == Endpoint::Attach {
            parts.node.attach_url(&pod, &path.container, streams).await
        } else {
            let command: Vec<String> = query.all("command").map(str::to_owned).collect();
            let url = parts.node.exec_url(&pod, &path.container, &command, streams).await;
            url.map(|url| (url, streams))
        }
    };
    let (url, streams) = match prepared {
        Ok(prepared) => prepared,
        Err(refusal) => return refused(&refusal),
    };
    let (idle, held) = (parts.stream_idle, Held::by(connection, &request));
    let way = if parts.switches.websockets { way(endpoint, request.headers()) } else { Way::Through };
    tracing::info!(v = 2, action = ?endpoint, way = ?way, "A stream into a container begins");
    if !matches!(way, Way::Through) {
        parts.metrics.http.web_sockets.inc(match endpoint {
            Endpoint::Attach => &Subresource::Attach,
            Endpoint::PortForward => &Subresource::PortForward,
            _ => &Subresource::Exec,
        });
    }
    let opened = match way {
        Way::Through => tunnel::open(&url, request, idle, held).await,
        Way::Translated => translate::open(&url, request, streams, idle, held).await,
        Way::Tunnelled => spdy_tunnel::open(&url, request, idle, held).await,
    };
    opened.unwrap_or_else(|error| {
        if let DialError::Handshake(_) = error {
            return text(StatusCode::BAD_REQUEST, format!("{error}\n"));
        }
        tracing::error!(err = &error as &(dyn std::error::Error + 'static), "Error while proxying request");
        text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
    })
}

/// How a stream gets to the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// As it is.
    Through,
    /// Channels of a WebSocket become streams of SPDY.
    Translated,
    /// SPDY is taken out of a WebSocket.
    Tunnelled,
}

/// Only what a runtime cannot do itself ends here; it speaks the older protocols of WebSockets.
fn way(endpoint: Endpoint, headers: &HeaderMap) -> Way {
    if !websocket::is_websocket(headers) {
        return Way::Through;
    }
    match endpoint {
        Endpoint::PortForward if is_spdy_tunnel(headers) => Way::Tunnelled,
        Endpoint::PortForward => Way::Through,
        _ if websocket::protocols(headers).any(|name| name == websocket::CHANNELS) => Way::Translated,
        _ => Way::Through,
    }
}

/// `/run`: to its end, output and error output one after the other.
pub(super) async fn run(node: &dyn NodeApi, path: &Parameters, query: &str) -> Response<Body> {
    let query = Query::parse(query);
    let command: Vec<String> = query.first("cmd").unwrap_or_default().split(' ').map(str::to_owned).collect();
    match node.run(&pod(path), &path.container, &command).await {
        Ok(result) if result.exit_code == 0 => {
            of_type(StatusCode::OK, JSON, full([result.stdout, result.stderr].concat()))
        }
        Ok(result) => {
            let message = format!(
                "command '{}' exited with {}: {}",
                command.join(" "),
                result.exit_code,
                String::from_utf8_lossy(&result.stderr)
            );
            text(StatusCode::INTERNAL_SERVER_ERROR, message)
        }
        Err(refusal @ StreamRefusal::NoPod) => text(StatusCode::NOT_FOUND, refusal.to_string()),
        Err(refusal) => text(StatusCode::INTERNAL_SERVER_ERROR, refusal.to_string()),
    }
}

fn pod(path: &Parameters) -> PodPath {
    PodPath { namespace: path.namespace.clone(), name: path.pod.clone(), uid: path.uid.clone() }
}

/// Upstream's codes: what the runtime does not find is 404, what it has too much of 429.
fn refused(refusal: &StreamRefusal) -> Response<Body> {
    let status = match refusal {
        StreamRefusal::NoPod | StreamRefusal::OtherPod => StatusCode::NOT_FOUND,
        StreamRefusal::Runtime { source: RuntimeError::NotFound { .. } } => StatusCode::NOT_FOUND,
        StreamRefusal::Runtime { source: RuntimeError::Failed { code: "ResourceExhausted", .. } } => {
            StatusCode::TOO_MANY_REQUESTS
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response = text(status, refusal.to_string());
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// `input`, `output`, `error` and `tty` are `1` where wanted.
fn streams(query: &Query) -> Result<Streams, String> {
    let is_on = |names: [&str; 2]| names.iter().any(|name| matches!(query.first(name), Some("1" | "true")));
    let tty = is_on(["tty", "tty"]);
    let streams = Streams {
        stdin: is_on(["input", "stdin"]),
        stdout: is_on(["output", "stdout"]),
        // A terminal has one way out.
        stderr: is_on(["error", "stderr"]) && !tty,
        tty,
    };
    if streams.stdin || streams.stdout || streams.stderr {
        Ok(streams)
    } else {
        Err("you must specify at least 1 of stdin, stdout, stderr".to_owned())
    }
}

/// WebSockets name their ports in the query; SPDY names them later.
fn ports(query: &Query, headers: &HeaderMap) -> Result<Vec<u16>, String> {
    if !is_web_socket(headers) || is_spdy_tunnel(headers) {
        return Ok(Vec::new());
    }
    let texts = query.all("port").flat_map(|ports| ports.split(','));
    let ports = texts.map(|port| match port.parse::<u16>() {
        Ok(0) => Err(format!("port {port:?} must be > 0")),
        Ok(port) => Ok(port),
        Err(error) => Err(format!("unable to parse {port:?} as a port: {error}")),
    });
    let ports = ports.collect::<Result<Vec<_>, _>>()?;
    if ports.is_empty() { Err("query parameter \"port\" is required".to_owned()) } else { Ok(ports) }
}

fn is_web_socket(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
}

/// A WebSocket that only carries SPDY.
fn is_spdy_tunnel(headers: &HeaderMap) -> bool {
    websocket::protocols(headers).any(|protocol| protocol.starts_with(websocket::SPDY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_asked_for_by_name() {
        let of = |query: &str| streams(&Query::parse(query));
        let all = Streams { stdin: true, stdout: true, stderr: true, tty: false };
        assert_eq!(of("input=1&output=1&error=1"), Ok(all));
        assert_eq!(of("stdin=true&stdout=1&stderr=1"), Ok(all));
        assert_eq!(
            of("output=1&error=1&tty=1"),
            Ok(Streams { stdout: true, tty: true, ..Streams::default() })
        );
        for nothing in ["", "output=0", "tty=1", "error=1&tty=1"] {
            assert!(of(nothing).is_err(), "{nothing}");
        }
    }

    #[test]
    fn web_sockets_name_their_ports() {
        let mut headers = HeaderMap::new();
        assert_eq!(ports(&Query::parse("port=x"), &headers), Ok(vec![]), "SPDY says later");
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        assert_eq!(ports(&Query::parse("port=80&port=81,82"), &headers), Ok(vec![80, 81, 82]));
        for bad in ["", "port=0", "port=65536", "port="] {
            assert!(ports(&Query::parse(bad), &headers).is_err(), "{bad}");
        }
        let tunnel = HeaderValue::from_static("SPDY/3.1+portforward.k8s.io");
        headers.insert("sec-websocket-protocol", tunnel);
        assert_eq!(ports(&Query::default(), &headers), Ok(vec![]));
    }

    #[test]
    fn only_two_kinds_of_web_sockets_end_here() {
        let of = |endpoint, upgrade: &'static str, protocols: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("connection", HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static(upgrade));
            headers.insert("sec-websocket-protocol", HeaderValue::from_static(protocols));
            way(endpoint, &headers)
        };
        let tunnel = "SPDY/3.1+portforward.k8s.io";
        assert_eq!(of(Endpoint::Exec, "websocket", "v5.channel.k8s.io"), Way::Translated);
        assert_eq!(
            of(Endpoint::Attach, "websocket", "v4.channel.k8s.io, v5.channel.k8s.io"),
            Way::Translated
        );
        assert_eq!(of(Endpoint::PortForward, "websocket", tunnel), Way::Tunnelled);
        for (endpoint, upgrade, protocols) in [
            (Endpoint::Exec, "SPDY/3.1", "v5.channel.k8s.io"),
            (Endpoint::Exec, "websocket", "v4.channel.k8s.io"),
            (Endpoint::Exec, "websocket", tunnel),
            (Endpoint::PortForward, "websocket", "v5.channel.k8s.io"),
            (Endpoint::PortForward, "websocket", "v4.channel.k8s.io"),
        ] {
            assert_eq!(of(endpoint, upgrade, protocols), Way::Through, "{endpoint:?} {protocols}");
        }
    }
}

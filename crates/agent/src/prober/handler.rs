//! Running one probe.

use std::{error::Error as _, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::{
    api::core::v1::{ContainerPort, GRPCAction, HTTPGetAction, Probe},
    apimachinery::pkg::util::intstr::IntOrString,
};
use lifecycle::{ContainerId, reason::go_duration::go_duration};
use seams::{Runtime, RuntimeError};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    address::{self, bracketed},
    http_get::{self, Purpose, plain},
};

/// How long a gRPC probe waits until it tries again to connect: the first pause of upstream's client.
const GRPC_RETRY: Duration = Duration::from_secs(1);
/// Most that is read of an answer, and kept of an exec probe's output.
const ANSWER_BYTES: usize = 10 << 10;
/// Most that is told of an answer that is no gRPC, as upstream's client.
const NO_GRPC_BYTES: usize = 1 << 10;

/// How a probe came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Well.
    Success,
    /// Well, but with something to say.
    Warning(String),
    /// Badly; the text goes into the event.
    Failure(String),
    /// It could not be run.
    Unknown(String),
    /// It broke off in the middle of the answer. Says as little of the container as if it had not been run; only its event
    /// calls it a failure, as upstream's does.
    Broken(String),
}

impl Answer {
    /// What went wrong with the prober itself: the container is none the wiser.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Unknown(text) | Self::Broken(text) => Some(text),
            Self::Success | Self::Warning(_) | Self::Failure(_) => None,
        }
    }
}

/// What to probe.
#[derive(Clone, Debug)]
pub struct Target {
    /// Container.
    pub id: ContainerId,
    /// Probe.
    pub probe: Probe,
    /// The container's ports, for named ones.
    pub ports: Vec<ContainerPort>,
    /// Default host.
    pub pod_ip: Option<String>,
    /// Bound on the whole probe.
    pub timeout: Duration,
}

/// Runs a probe within its timeout.
pub async fn run(runtime: &dyn Runtime, target: &Target) -> Answer {
    let probe = &target.probe;
    if let Some(exec) = &probe.exec {
        return command(runtime, target, exec.command.as_deref().unwrap_or_default()).await;
    }
    if let Some(get) = &probe.http_get {
        http_get(target, get).await
    } else if let Some(tcp) = &probe.tcp_socket {
        tcp_connect(target, tcp.host.as_deref(), &tcp.port).await
    } else if let Some(grpc) = &probe.grpc {
        grpc_health(target, grpc).await
    } else {
        Answer::Unknown("missing probe handler for the container".to_owned())
    }
}

async fn command(runtime: &dyn Runtime, target: &Target, command: &[String]) -> Answer {
    match runtime.exec(&target.id, command, target.timeout).await {
        Ok(result) if result.exit_code == 0 => Answer::Success,
        Ok(result) => {
            let mut output = result.stdout;
            output.extend(result.stderr);
            output.truncate(ANSWER_BYTES);
            Answer::Failure(String::from_utf8_lossy(&output).into_owned())
        }
        Err(RuntimeError::Deadline { .. }) => Answer::Failure(format!(
            "command timed out: \"{}\" timed out after {}",
            command.join(" "),
            go_duration(target.timeout)
        )),
        // The runtime reports a command that ran too long as an error of its own.
        Err(RuntimeError::Failed { code: "DeadlineExceeded", message, .. }) => Answer::Failure(message),
        Err(error) => Answer::Unknown(error.rpc()),
    }
}

fn resolve_port(target: &Target, port: &IntOrString) -> Result<u16, String> {
    address::port(port, &target.ports).ok_or_else(|| match port {
        IntOrString::String(name) => format!("port \"{name}\" not found"),
        IntOrString::Int(_) => address::no_port(port),
    })
}

async fn tcp_connect(target: &Target, host: Option<&str>, port: &IntOrString) -> Answer {
    let port = match resolve_port(target, port) {
        Ok(port) => port,
        Err(error) => return Answer::Unknown(error),
    };
    let Some(host) = host.filter(|host| !host.is_empty()).or(target.pod_ip.as_deref()) else {
        return Answer::Unknown("the pod has no IP".to_owned());
    };
    let failed = |why: String| Answer::Failure(format!("dial tcp {}:{port}: {why}", bracketed(host)));
    match timeout(target.timeout, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Answer::Success,
        Ok(Err(error)) => failed(plain(&error)),
        Err(_) => failed("i/o timeout".to_owned()),
    }
}

async fn http_get(target: &Target, get: &HTTPGetAction) -> Answer {
    let port = match resolve_port(target, &get.port) {
        Ok(port) => port,
        Err(error) => return Answer::Unknown(error),
    };
    let Some(host) = get.host.as_deref().filter(|host| !host.is_empty()).or(target.pod_ip.as_deref()) else {
        return Answer::Unknown("the pod has no IP".to_owned());
    };
    let url = http_get::url(get, host, port);
    // For the body too: what never ends is no answer.
    let deadline = Instant::now() + target.timeout;
    let answer = match timeout_at(deadline, http_get::get(&url, get, Purpose::Probe)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Answer::Failure(error.to_string()),
        Err(_) => {
            return Answer::Failure(format!(
                "Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            ));
        }
    };
    let status = answer.status().as_u16();
    let body = match timeout_at(deadline, http_get::beginning(answer.into_body(), ANSWER_BYTES)).await {
        Ok((body, None)) => body,
        Ok((_, Some(error))) => return Answer::Broken(cut_off(&error)),
        Err(_) => {
            return Answer::Broken(
                "context deadline exceeded (Client.Timeout or context cancellation while reading body)"
                    .to_owned(),
            );
        }
    };
    match status {
        200..=299 => Answer::Success,
        300..=399 => Answer::Warning(format!(
            "Probe terminated redirects, Response body: {}",
            String::from_utf8_lossy(&body)
        )),
        status => Answer::Failure(format!("HTTP probe failed with statuscode: {status}")),
    }
}

/// Go's words for a body that does not come to its end.
fn cut_off(error: &hyper::Error) -> String {
    match error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>()) {
        Some(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => "unexpected EOF".to_owned(),
        Some(cause) => plain(cause),
        None => error.to_string(),
    }
}

async fn grpc_health(target: &Target, grpc: &GRPCAction) -> Answer {
    let Ok(port) = u16::try_from(grpc.port) else {
        return Answer::Unknown(format!("invalid port number: {}", grpc.port));
    };
    let Some(host) = target.pod_ip.as_deref() else {
        return Answer::Unknown("the pod has no IP".to_owned());
    };
    let address = format!("{}:{port}", bracketed(host));
    let within = go_duration(target.timeout);
    let deadline = Instant::now() + target.timeout;
    let Ok(stream) = timeout_at(deadline, connected(host, port)).await else {
        return Answer::Failure(format!(
            "timeout: failed to connect service \"{address}\" within {within}: context deadline exceeded"
        ));
    };
    let asked = check(stream, &address, grpc.service.as_deref().unwrap_or_default());
    let Ok(answer) = timeout_at(deadline, asked).await else {
        return Answer::Failure(format!("timeout: health rpc did not complete within {within}"));
    };
    match answer {
        Ok(SERVING) => Answer::Success,
        Ok(status) => {
            Answer::Failure(format!("service unhealthy (responded with \"{}\")", status_name(status)))
        }
        Err(GrpcError::Unimplemented(text)) => Answer::Failure(format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {text}"
        )),
        Err(GrpcError::Other(text)) => Answer::Failure(format!("error: health rpc probe failed: {text}")),
    }
}

/// A connection, as soon as there is somebody to take it: a server that opens its port while the probe lasts is well.
async fn connected(host: &str, port: u16) -> TcpStream {
    loop {
        match TcpStream::connect((host, port)).await {
            Ok(stream) => return stream,
            Err(_) => sleep(GRPC_RETRY).await,
        }
    }
}

const SERVING: u8 = 1;

fn status_name(status: u8) -> &'static str {
    match status {
        0 => "UNKNOWN",
        SERVING => "SERVING",
        2 => "NOT_SERVING",
        _ => "SERVICE_UNKNOWN",
    }
}

enum GrpcError {
    /// The server does not know the method; its words.
    Unimplemented(String),
    Other(String),
}

/// `grpc.health.v1.Health/Check`: request field 1 is the service name, answer field 1 the status. Two fields do not
/// want a generated client.
async fn check(stream: TcpStream, address: &str, service: &str) -> Result<u8, GrpcError> {
    let other = |error: &dyn std::fmt::Display| GrpcError::Other(error.to_string());
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .map_err(|error| other(&error))?;
    tokio::spawn(async move { drop(connection.await) });
    let mut message = Vec::new();
    if !service.is_empty() {
        let length =
            u8::try_from(service.len()).map_err(|_| other(&"the service name is longer than 255 bytes"))?;
        message.push(0x0a);
        if length < 0x80 {
            message.push(length);
        } else {
            message.extend([length | 0x80, 1]);
        }
        message.extend(service.as_bytes());
    }
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap_or(0).to_be_bytes());
    frame.extend(message);
    let request = Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/1.37")
        .body(Full::new(Bytes::from(frame)))
        .map_err(|error| other(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| other(&error))?;
    if let Some(no_grpc) = NoGrpc::of(&answer) {
        let empty = answer.body().is_end_stream();
        let data = if empty {
            None
        } else {
            let (data, _) = http_get::beginning(answer.into_body(), NO_GRPC_BYTES).await;
            Some(String::from_utf8_lossy(&data).into_owned())
        };
        return Err(no_grpc.error(data));
    }
    let early = code(answer.headers());
    let body =
        Limited::new(answer.into_body(), ANSWER_BYTES).collect().await.map_err(|error| other(&error))?;
    let late = body.trailers().and_then(code);
    match early.or(late) {
        Some((0, _)) | None => {}
        Some((12, text)) => return Err(GrpcError::Unimplemented(text)),
        Some((code, text)) => {
            return Err(GrpcError::Other(format!("rpc error: code = {} desc = {text}", code_name(code))));
        }
    }
    let bytes = body.to_bytes();
    // Five bytes of frame, then nothing (status 0 is not sent) or `08 status`.
    Ok(match bytes.get(5..) {
        Some([0x08, status, ..]) => *status,
        _ => 0,
    })
}

/// An answer that is no gRPC.
struct NoGrpc {
    status: http::StatusCode,
    /// What is wrong with its content type.
    kind: String,
}

impl NoGrpc {
    fn of(answer: &http_get::Response) -> Option<Self> {
        let kind = answer.headers().get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = match kind {
            Some(kind) if kind.starts_with("application/grpc") => return None,
            Some(kind) => format!("transport: received unexpected content-type \"{kind}\""),
            None => "malformed header: missing HTTP content-type".to_owned(),
        };
        Some(Self { status: answer.status(), kind })
    }

    /// What upstream's client makes of it: a code from the HTTP status, both named, and how the body begins.
    fn error(&self, data: Option<String>) -> GrpcError {
        let name = self.status.canonical_reason().unwrap_or_default();
        let number = self.status.as_u16();
        let data = data.map(|data| format!("\ndata: {data:?}")).unwrap_or_default();
        let text = format!(
            "unexpected HTTP status code received from server: {number} ({name}); {}{data}",
            self.kind
        );
        let code = match number {
            404 => return GrpcError::Unimplemented(text),
            400 => "Internal",
            401 => "Unauthenticated",
            403 => "PermissionDenied",
            429 | 502..=504 => "Unavailable",
            _ => "Unknown",
        };
        GrpcError::Other(format!("rpc error: code = {code} desc = {text}"))
    }
}

fn code(headers: &http::HeaderMap) -> Option<(u32, String)> {
    let code = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    let text = headers.get("grpc-message").and_then(|value| value.to_str().ok()).unwrap_or_default();
    Some((code, text.to_owned()))
}

fn code_name(code: u32) -> &'static str {
    match code {
        1 => "Canceled",
        3 => "InvalidArgument",
        4 => "DeadlineExceeded",
        5 => "NotFound",
        6 => "AlreadyExists",
        7 => "PermissionDenied",
        8 => "ResourceExhausted",
        9 => "FailedPrecondition",
        10 => "Aborted",
        11 => "OutOfRange",
        13 => "Internal",
        14 => "Unavailable",
        15 => "DataLoss",
        16 => "Unauthenticated",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests;

//! WebSockets as clients of the API open them that are not kubectl: an older protocol, and logs as frames.

use std::{
    os::unix::net::UnixStream,
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lab::{Lab, control_plane, wait};
use tungstenite::{
    Message, WebSocket,
    client::{IntoClientRequest as _, client},
};

use super::{
    seen::{Seen, folder},
    stage::Case,
};

/// Longest for the proxy to listen, and for one answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Channels of one connection, the first byte of each message (contract §24).
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

pub(super) fn cases() -> Vec<Case> {
    vec![Case::pod(&[16], "web-sockets", SPEAKS).must(|seen| {
        seen.ready()?;
        let proxy = Proxy::start(seen.lab, seen)?;
        for protocol in ["v4.channel.k8s.io", "v5.channel.k8s.io"] {
            executed(&proxy, protocol).with_context(|| format!("exec by {protocol}"))?;
        }
        logged(&proxy).context("log")
    })]
}

const SPEAKS: &str = r#"
containers:
- {name: main, image: $BUSYBOX, command: [sh, -c, "echo I am here; sleep 100000"]}
"#;

/// `kubectl proxy` on a socket: it carries the administrator's certificate, and the bytes as they are.
struct Proxy {
    child: Child,
    socket: std::path::PathBuf,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    fn start(lab: &Lab, seen: &Seen<'_>) -> Result<Self> {
        let folder = folder(lab, seen.name);
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let socket = folder.join("proxy");
        let _ = std::fs::remove_file(&socket);
        let mut kubectl = control_plane::kubectl(lab.plan())?;
        // Its filter would refuse an exec.
        kubectl.args(["proxy", "--disable-filter"]).arg(format!("--unix-socket={}", socket.display()));
        let child = kubectl.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let proxy = Self { child, socket };
        wait::until("kubectl proxy", PATIENCE, || {
            Ok(match UnixStream::connect(&proxy.socket) {
                Ok(_) => wait::Look::Ready(()),
                Err(error) => wait::Look::NotYet(error.to_string()),
            })
        })?;
        Ok(proxy)
    }

    /// Opens a WebSocket at a path of the pod, with one protocol.
    fn open(&self, path: &str, protocol: &str) -> Result<WebSocket<UnixStream>> {
        let url = format!("ws://localhost/api/v1/namespaces/default/pods/web-sockets/{path}");
        let mut request = url.into_client_request()?;
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol.parse()?);
        let stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let (socket, answer) = client(request, stream).with_context(|| path.to_owned())?;
        let agreed = answer.headers().get("sec-websocket-protocol").map(|value| value.as_bytes());
        ensure!(agreed == Some(protocol.as_bytes()), "{answer:?}");
        Ok(socket)
    }
}

/// The messages until the end.
fn messages(mut socket: WebSocket<UnixStream>) -> Result<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed) => return Ok(all),
            Ok(message @ (Message::Binary(_) | Message::Text(_))) => all.push(message.into_data().to_vec()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// What came through one channel.
fn channel(messages: &[Vec<u8>], number: u8) -> String {
    let parts = messages.iter().filter_map(|message| message.split_first());
    let bytes: Vec<u8> =
        parts.filter(|(channel, _)| **channel == number).flat_map(|(_, data)| data.iter().copied()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn executed(proxy: &Proxy, protocol: &str) -> Result<()> {
    let command = "command=sh&command=-c&command=echo%20out%3B%20echo%20err%20%3E%262%3B%20exit%203";
    let socket = proxy.open(&format!("exec?container=main&stdout=true&stderr=true&{command}"), protocol)?;
    let messages = messages(socket)?;
    ensure!(channel(&messages, STDOUT) == "out\n", "stdout: {messages:?}");
    ensure!(channel(&messages, STDERR) == "err\n", "stderr: {messages:?}");
    let status: serde_json::Value = serde_json::from_str(&channel(&messages, STATUS))?;
    ensure!(
        status["reason"] == "NonZeroExitCode" && status["details"]["causes"][0]["message"] == "3",
        "{status}"
    );
    Ok(())
}

fn logged(proxy: &Proxy) -> Result<()> {
    let messages = messages(proxy.open("log?container=main", "binary.k8s.io")?)?;
    let text = String::from_utf8(messages.concat())?;
    ensure!(text == "I am here\n", "{text:?}");
    Ok(())
}

//! Much at once: large files, a hundred connections through one port forward, a thousand commands.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use node_tests::Node;

use super::{Protocol, done, kubectl};

/// Bytes copied each way.
const COPIED: usize = 200 << 20;
/// Connections at once through one port forward.
const CONNECTIONS: usize = 100;
/// Commands, and how many at once.
const COMMANDS: usize = 500;
const AT_ONCE: usize = 4;
/// For all of the commands: a fifth of it is enough for a machine with nothing else to do.
const COMMANDS_BOUND: Duration = Duration::from_secs(300);

#[expect(clippy::disallowed_methods, reason = "a test tells how long things took")]
fn now() -> Instant {
    Instant::now()
}

/// A port forward that runs.
pub(super) struct Forward {
    child: Child,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

impl Forward {
    pub(super) fn start(node: &Node, protocol: Protocol, target: &str, port: u16) -> Result<Self> {
        let node_address = node.plan().addresses.node;
        let mut command = kubectl(node, protocol)?;
        command.args(["port-forward", "--address", &node_address.to_string(), target, &format!(":{port}")]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let line = lines.next().context("kubectl port-forward ended")??;
        // `Forwarding from ADDRESS:PORT -> 8080`; the rest is read so that it is never blocked.
        let from = line.split_whitespace().nth(2).context("the address")?.to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address: from.parse().with_context(|| line.clone())? })
    }

    pub(super) fn stop(mut self) -> Result<()> {
        ensure!(self.child.try_wait()?.is_none(), "the port forward ended early");
        Ok(())
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        // TERM, which `timeout` hands on; a killed one would leave kubectl behind.
        let _ = std::process::Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

pub(super) fn copies(node: &Node, protocol: Protocol) -> Result<()> {
    let folder = tempfile::tempdir_in("/var/tmp")?;
    let (there, back) = (folder.path().join("there"), folder.path().join("back"));
    let bytes: Vec<u8> = (0..COPIED).map(|at| (at * 31 + at / 251 + at / 65_537) as u8).collect();
    fs::write(&there, &bytes)?;
    let (from, to) = (there.display().to_string(), back.display().to_string());
    let begun = now();
    let copy = |from: &str, to: &str| {
        let mut command = kubectl(node, protocol)?;
        command.args(["cp", "--container=main", from, to]);
        let seen = done(command, None)?;
        ensure!(seen.code == 0, "{seen:?}");
        Ok(())
    };
    copy(&from, "desk:/tmp/large")?;
    let there_time = begun.elapsed();
    copy("desk:/tmp/large", &to)?;
    ensure!(fs::read(&back).context("the file that came back")? == bytes, "the file came back another");
    println!(
        "{protocol:?}: {} MiB there in {there_time:?}, both ways in {:?}",
        COPIED >> 20,
        begun.elapsed()
    );
    node.kubectl(&["exec", "desk", "-c", "main", "--", "rm", "/tmp/large"])?;
    Ok(())
}

pub(super) fn forwards(node: &Node, protocol: Protocol) -> Result<()> {
    let forward = Forward::start(node, protocol, "pod/web", 8080)?;
    let begun = now();
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(forward.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        streams.push(stream);
    }
    // All are there before the first one asks.
    for stream in &mut streams {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    }
    for (number, mut stream) in streams.into_iter().enumerate() {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).with_context(|| format!("connection {number}"))?;
        ensure!(
            answer.starts_with("HTTP/1.1 200") && answer.trim_end().ends_with("ok"),
            "connection {number}: {answer}"
        );
    }
    println!("{protocol:?}: {CONNECTIONS} connections through one port forward in {:?}", begun.elapsed());
    forward.stop()
}

pub(super) fn commands(node: &Node, protocol: Protocol) -> Result<()> {
    let begun = now();
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= COMMANDS {
                return Ok(());
            }
            let mut command = kubectl(node, protocol)?;
            let code = number % 5;
            let line = format!("echo {number}; exit {code}");
            command.args(["exec", "desk", "-c", "main", "--", "sh", "-c", &line]);
            let seen = done(command, None)?;
            if seen.out != format!("{number}\n") || seen.code != i32::try_from(code)? {
                bail!("command {number}: {seen:?}");
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(done) => done,
            Err(_) => bail!("a worker panicked"),
        })
    })?;
    let took = begun.elapsed();
    println!("{protocol:?}: {COMMANDS} commands in {took:?}");
    ensure!(took < COMMANDS_BOUND, "{COMMANDS} commands took {took:?}");
    Ok(())
}

//! Lines of services, from journald or from files (contract §17 "Node log query").
//!
//! The journal is read by its own program, which is started without a shell and with an empty environment. What the query
//! says is part of arguments with a name (`--unit=…`), so that none can become an option, and was checked before: an
//! operator asks here, never a pod.

use std::{io, path::Path, process::Stdio, time::Duration};

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use seams::{
    NodeLogs as _,
    node_logs::{NodeLog, ServiceQuery},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Command,
    sync::mpsc,
};

use super::LogDirectory;

/// For all of a query, as upstream.
const LIMIT: Duration = Duration::from_secs(30);
/// Read at once, bytes, and pieces that wait for a slow client.
const PIECE: usize = 32 << 10;
const WAITING: usize = 4;
/// Longest list of units that is read, bytes.
const LONGEST_LIST: u64 = 4 << 20;

type Sender = mpsc::Sender<Bytes>;

/// Starts reading; `program` lists and shows the journal.
pub(super) fn read(
    directory: LogDirectory,
    program: &'static str,
    query: ServiceQuery,
) -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        // A client that left is seen where something is sent to it, or at the end of the time.
        let work = tokio::time::timeout(LIMIT, show(&directory, program, query, &sender));
        if work.await.is_err() {
            tracing::debug!("A query of the node's logs took too long");
        }
    });
    receiver
}

async fn show(directory: &LogDirectory, program: &str, mut query: ServiceQuery, sender: &Sender) {
    let units = units(program).await;
    let (known, other): (Vec<String>, Vec<String>) = std::mem::take(&mut query.services)
        .into_iter()
        .partition(|service| units.iter().any(|unit| unit.strip_suffix(".service") == Some(service)));
    if !known.is_empty() {
        query.services = known;
        journal(program, &query, sender).await;
    }
    if !other.is_empty() && has_options(&query) {
        // Only the journal has options; upstream's words, with Go's way to show a list.
        let text = format!(
            "\noptions present and query resolved to log files for [{}]\ntry without specifying options\n",
            other.join(" ")
        );
        let _ = sender.send(text.into()).await;
        return;
    }
    for service in other {
        file(directory, &service, sender).await;
    }
}

/// An option that says nothing, as boot 0, is one too.
fn has_options(query: &ServiceQuery) -> bool {
    let ServiceQuery { services: _, since, until, tail_lines, pattern, boot } = query;
    since.is_some() || until.is_some() || tail_lines.is_some() || pattern.is_some() || boot.is_some()
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Units that the journal has lines of; none where there is no journal.
async fn units(program: &str) -> Vec<String> {
    let mut command = command(program);
    let started = command.arg("--field=_SYSTEMD_UNIT").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = started else { return Vec::new() };
    let mut list = Vec::new();
    if let Some(output) = child.stdout.take()
        && let Err(error) = output.take(LONGEST_LIST).read_to_end(&mut list).await
    {
        tracing::warn!(%error, "Could not read the list of units of the journal");
    }
    String::from_utf8_lossy(&list).lines().map(str::to_owned).collect()
}

async fn journal(program: &str, query: &ServiceQuery, sender: &Sender) {
    let started =
        command(program).args(arguments(query)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            tracing::warn!(program, %error, "Could not read the journal");
            let _ = sender.send(Bytes::from_static(b"\nerror: journal output not available\n")).await;
            return;
        }
    };
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let output = async {
        if let Some(output) = output {
            copy(output, sender).await;
        }
    };
    let errors = async {
        if let Some(errors) = errors {
            copy(errors, sender).await;
        }
    };
    tokio::join!(output, errors);
    let _ = child.wait().await;
}

/// As upstream has them; times are UTC and say so.
fn arguments(query: &ServiceQuery) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["--utc", "--no-pager", "--output=short-precise"].map(str::to_owned).to_vec();
    let time = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    arguments.extend(query.since.map(|since| format!("--since={}", time(since))));
    arguments.extend(query.until.map(|until| format!("--until={}", time(until))));
    if let Some(lines) = query.tail_lines {
        arguments.extend(["--pager-end".to_owned(), format!("--lines={lines}")]);
    }
    arguments.extend(query.services.iter().map(|service| format!("--unit={service}")));
    arguments.extend(query.pattern.as_ref().map(|pattern| format!("--grep={pattern}")));
    arguments.extend(query.boot.map(|boot| format!("--boot={boot}")));
    arguments
}

async fn file(directory: &LogDirectory, service: &str, sender: &Sender) {
    for name in [service.to_owned(), format!("{service}.log"), format!("{service}/{service}.log")] {
        match directory.open(Path::new(&name)).await {
            // As much as there was when it was opened.
            Ok(NodeLog::File(file, size)) => {
                return copy(tokio::fs::File::from_std(file).take(size), sender).await;
            }
            Ok(NodeLog::Directory(_)) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let _ = sender.send(format!("\nerror getting log for {service}: {error}\n").into()).await;
                return;
            }
        }
    }
    let _ = sender.send(format!("\nlog not found for {service}\n").into()).await;
}

/// To the end, or until nobody listens.
async fn copy(mut from: impl AsyncRead + Unpin, sender: &Sender) {
    loop {
        let mut piece = BytesMut::with_capacity(PIECE);
        match from.read_buf(&mut piece).await {
            Ok(0) => return,
            Ok(_) => {
                if sender.send(piece.freeze()).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "Reading a log of the node ended early");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(directory: &Path, program: &'static str, services: &[&str]) -> String {
        asked(directory, program, of(services)).await
    }

    fn of(services: &[&str]) -> ServiceQuery {
        let services = services.iter().map(ToString::to_string).collect();
        ServiceQuery { services, ..ServiceQuery::default() }
    }

    async fn asked(directory: &Path, program: &'static str, query: ServiceQuery) -> String {
        let mut lines = read(LogDirectory::new(directory.to_owned()), program, query);
        let mut text = Vec::new();
        while let Some(piece) = lines.recv().await {
            text.extend_from_slice(&piece);
        }
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn services_without_a_journal_are_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("plain"), "plain\n").unwrap();
        std::fs::write(dir.path().join("dotted.log"), "dotted\n").unwrap();
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        std::fs::write(dir.path().join("folder/folder.log"), "folder\n".repeat(20_000)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        let text = all(dir.path(), "/nonexistent/journalctl", &["plain", "dotted", "none", "link"]).await;
        let (files, refusal) = text.split_once("\nerror getting log for link: ").unwrap();
        assert_eq!(files, "plain\ndotted\n\nlog not found for none\n");
        assert!(refusal.contains("symbolic link") && refusal.ends_with('\n'), "{refusal}");
        assert_eq!(all(dir.path(), "/nonexistent/journalctl", &["folder"]).await.lines().count(), 20_000);
    }

    /// Texts are upstream's, blank line and all: tools know them.
    #[tokio::test]
    async fn files_have_no_options() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("plain"), "plain\n").unwrap();
        let query = |boot, tail_lines| ServiceQuery { boot, tail_lines, ..of(&["plain", "none"]) };
        for query in [query(Some(0), None), query(None, Some(3))] {
            assert_eq!(
                asked(dir.path(), "/nonexistent/journalctl", query).await,
                "\noptions present and query resolved to log files for [plain none]\ntry without specifying options\n"
            );
        }
    }

    /// `echo` lists one unit, its own argument, which no service has.
    #[tokio::test]
    async fn a_journal_that_does_not_know_a_service_is_not_asked() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(all(dir.path(), "echo", &["none"]).await, "\nlog not found for none\n");
    }

    #[tokio::test]
    async fn the_journal_is_asked_for_what_it_knows() {
        let (sender, mut lines) = mpsc::channel(WAITING);
        let query = ServiceQuery { services: vec!["kubelet".to_owned()], ..ServiceQuery::default() };
        journal("echo", &query, &sender).await;
        let line = lines.recv().await.unwrap();
        assert_eq!(line, "--utc --no-pager --output=short-precise --unit=kubelet\n");
        journal("/nonexistent/journalctl", &query, &sender).await;
        assert_eq!(lines.recv().await.unwrap(), "\nerror: journal output not available\n");
    }

    #[test]
    fn every_option_is_one_argument() {
        let query = ServiceQuery {
            services: vec!["a".to_owned(), "b@1".to_owned()],
            since: Timestamp::from_second(0).ok(),
            until: Timestamp::from_second(90).ok(),
            tail_lines: Some(5),
            pattern: Some("--output=json x".to_owned()),
            boot: Some(-1),
        };
        let expected = [
            "--utc",
            "--no-pager",
            "--output=short-precise",
            "--since=1970-01-01 00:00:00 UTC",
            "--until=1970-01-01 00:01:30 UTC",
            "--pager-end",
            "--lines=5",
            "--unit=a",
            "--unit=b@1",
            "--grep=--output=json x",
            "--boot=-1",
        ];
        assert_eq!(arguments(&query), expected);
    }
}

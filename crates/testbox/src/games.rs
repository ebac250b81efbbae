//! Leaving: with a code, after a time, on a signal.

use std::{future::pending, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::{sync::mpsc, time::sleep as wait};

use crate::{args::Args, signals};

/// Where a container's termination message goes unless the pod says otherwise (`terminationMessagePath`).
const TERMINATION_LOG: &str = "/dev/termination-log";

/// `exit`.
pub(crate) async fn exit(args: Args) -> Result<u8> {
    let code = match args.text("codes") {
        Some(codes) => {
            let file = args.text("count-file").context("--codes wants --count-file")?;
            let codes: Vec<u8> =
                codes.split(',').map(str::parse).collect::<Result<_, _>>().context("--codes wants N,N,…")?;
            let run = count_run(Path::new(file))?;
            println!("run {run}");
            *codes.get(run).or(codes.last()).context("--codes is empty")?
        }
        None => args.parsed("code")?.unwrap_or(0),
    };
    if let Some(text) = args.text("stdout") {
        println!("{text}");
    }
    if let Some(text) = args.text("stderr") {
        eprintln!("{text}");
    }
    wait(args.time("after")?.unwrap_or_default()).await;
    leave_message(&args)?;
    Ok(code)
}

/// Count this run in the file; the first is 0.
fn count_run(file: &Path) -> Result<usize> {
    let run = match std::fs::read_to_string(file) {
        Ok(text) => text.trim().parse().with_context(|| format!("{} holds no number", file.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    std::fs::write(file, format!("{}\n", run + 1))
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(run)
}

fn leave_message(args: &Args) -> Result<()> {
    let Some(text) = args.text("message") else { return Ok(()) };
    let path = args.text("message-path").unwrap_or(TERMINATION_LOG);
    std::fs::write(path, text).with_context(|| format!("cannot write the message to {path}"))
}

/// Signals that `trap` prints without being asked.
const FOLLOWED: [i32; 8] = [1, 2, 3, 10, 12, 15, 18, 28];

/// `trap`.
pub(crate) async fn trap(args: Args) -> Result<u8> {
    let numbers =
        |flag| args.all(flag).iter().map(|text| signals::number(text)).collect::<Result<Vec<i32>>>();
    let ignored = numbers("ignore")?;
    let mut leaving = numbers("on")?;
    if leaving.is_empty() && !ignored.contains(&15) {
        leaving.push(15);
    }
    if let Some(both) = leaving.iter().find(|number| ignored.contains(number)) {
        bail!("{} is in --on and in --ignore", signals::name(*both));
    }
    let code: u8 = args.parsed("exit")?.unwrap_or(0);
    let after = args.time("after")?.unwrap_or_default();

    let mut followed: Vec<i32> = FOLLOWED.iter().chain(&ignored).chain(&leaving).copied().collect();
    followed.sort_unstable();
    followed.dedup();
    let (sender, mut received) = mpsc::unbounded_channel();
    for number in followed {
        let mut caught = signals::catch(number)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while caught.recv().await.is_some() {
                if sender.send(number).is_err() {
                    return;
                }
            }
        });
    }
    println!("ready");
    let mut end: Option<tokio::time::Instant> = None;
    loop {
        // Cancel-safe: `recv` of a channel loses nothing, and the deadline is absolute.
        tokio::select! {
            Some(number) = received.recv() => {
                println!("signal {}", signals::name(number));
                if leaving.contains(&number) && end.is_none() {
                    end = Some(tokio::time::Instant::now() + after);
                }
            }
            () = async { match end { Some(end) => tokio::time::sleep_until(end).await, None => pending().await } } => {
                leave_message(&args)?;
                println!("leaving with {code}");
                return Ok(code);
            }
        }
    }
}

/// `sleep`.
pub(crate) async fn sleep(args: Args) -> Result<u8> {
    match args.positional() {
        [] => pending().await,
        [text] => wait(crate::args::time(text)?).await,
        _ => bail!("takes one time"),
    }
    Ok(0)
}

/// `exists`.
pub(crate) async fn exists(args: Args) -> Result<u8> {
    wait(args.time("after")?.unwrap_or_default()).await;
    let mut code = 0;
    for path in args.positional() {
        if let Err(error) = std::fs::symlink_metadata(path) {
            println!("{path}: {error}");
            code = 1;
        }
    }
    Ok(code)
}

/// `write`.
pub(crate) async fn write(args: Args) -> Result<u8> {
    use std::io::Write as _;
    wait(args.time("after")?.unwrap_or_default()).await;
    let path = args.text("path").context("--path is wanted")?;
    let append = args.given("append");
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .append(append)
        .truncate(!append)
        .open(path)
        .with_context(|| format!("cannot open {path}"))?;
    writeln!(file, "{}", args.text("text").unwrap_or_default())
        .with_context(|| format!("cannot write {path}"))?;
    stay(&args).await;
    Ok(0)
}

/// Wait for the end if `--stay` was given.
pub(crate) async fn stay(args: &Args) {
    if args.given("stay") {
        pending::<()>().await;
    }
}

/// Wait for `--hold`, for ever without it.
pub(crate) async fn hold(time: Option<Duration>) {
    match time {
        Some(time) => wait(time).await,
        None => pending().await,
    }
}

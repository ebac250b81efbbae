//! `log`: lines for the container log.

use std::{io::Write, time::Duration};

use anyhow::{Result, bail};

use crate::{args::Args, games::stay};

/// The letters that fill a line.
const FILL: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// `log`.
pub(crate) async fn run(args: Args) -> Result<u8> {
    let lines = args.parsed::<u64>("lines")?.unwrap_or(10);
    let bytes = usize::try_from(args.size("bytes")?.unwrap_or(64))?;
    let every = args.time("every")?.unwrap_or(Duration::ZERO);
    let (out, err) = match args.text("stream").unwrap_or("both") {
        "stdout" => (true, false),
        "stderr" => (false, true),
        "both" => (true, true),
        other => bail!("no stream '{other}' (stdout, stderr, both)"),
    };
    let partial = args.given("partial");
    let mut number = 0;
    while lines == 0 || number < lines {
        if number > 0 && !every.is_zero() {
            tokio::time::sleep(every).await;
        } else {
            tokio::task::yield_now().await;
        }
        let newline = !(partial && number + 1 == lines);
        if out {
            write(&mut std::io::stdout().lock(), &line("stdout", number, bytes), newline)?;
        }
        if err {
            write(&mut std::io::stderr().lock(), &line("stderr", number, bytes), newline)?;
        }
        number += 1;
    }
    stay(&args).await;
    Ok(0)
}

fn write(stream: &mut impl Write, line: &[u8], newline: bool) -> std::io::Result<()> {
    stream.write_all(line)?;
    if newline {
        stream.write_all(b"\n")?;
    }
    stream.flush()
}

/// `STREAM NUMBER abc…`, exactly `bytes` long, or as long as its start needs.
fn line(stream: &str, number: u64, bytes: usize) -> Vec<u8> {
    let mut line = format!("{stream} {number:08} ").into_bytes();
    let missing = bytes.saturating_sub(line.len());
    line.extend(FILL.iter().cycle().take(missing));
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_length() {
        assert_eq!(line("stdout", 7, 20000).len(), 20000);
        assert!(line("stdout", 7, 64).starts_with(b"stdout 00000007 abc"));
        assert_eq!(line("stderr", 1, 0), b"stderr 00000001 ");
    }
}

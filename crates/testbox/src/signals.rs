//! Signals by name, and what PID 1 owes its children.

use anyhow::{Context, Result, bail};
use rustix::process::{WaitOptions, wait};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Names of the signals that games are played with, Linux numbers.
const NAMES: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("USR1", 10),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("CHLD", 17),
    ("CONT", 18),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
];

/// First and last real-time signal as the C library counts them.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// A signal's number from `TERM`, `SIGTERM`, `15` or `RTMIN+3`.
pub(crate) fn number(text: &str) -> Result<i32> {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    let parsed = if let Some(rest) = name.strip_prefix("RTMIN") {
        if rest.is_empty() { Some(RTMIN) } else { rest.parse::<i32>().ok().map(|offset| RTMIN + offset) }
    } else if let Some(rest) = name.strip_prefix("RTMAX") {
        if rest.is_empty() { Some(RTMAX) } else { rest.parse::<i32>().ok().map(|offset| RTMAX + offset) }
    } else {
        name.parse().ok()
    };
    match parsed {
        Some(number) if (1..=RTMAX).contains(&number) => Ok(number),
        _ => bail!("no signal '{text}'"),
    }
}

/// The name to print.
pub(crate) fn name(number: i32) -> String {
    match NAMES.iter().find(|(_, known)| *known == number) {
        Some((name, _)) => (*name).to_owned(),
        None if number >= RTMIN => format!("RTMIN+{}", number - RTMIN),
        None => number.to_string(),
    }
}

/// Catch one.
pub(crate) fn catch(number: i32) -> Result<Signal> {
    signal(SignalKind::from_raw(number)).with_context(|| format!("cannot catch signal {}", name(number)))
}

/// A future that ends with the name of the first TERM or INT. The handlers are in place when this returns, not only when
/// it is polled.
pub(crate) fn termination() -> Result<impl Future<Output = &'static str>> {
    let mut term = catch(15)?;
    let mut interrupt = catch(2)?;
    Ok(async move {
        // Cancel-safe: a signal that was not taken stays pending in its stream.
        tokio::select! {
            _ = term.recv() => "TERM",
            _ = interrupt.recv() => "INT",
        }
    })
}

/// Collect children that end, for as long as the process lives. testbox starts none itself; as PID 1 it inherits orphans.
pub(crate) fn reap_children() {
    if rustix::process::getpid().as_raw_nonzero().get() != 1 {
        return;
    }
    let Ok(mut ended) = catch(17) else { return };
    tokio::spawn(async move {
        loop {
            while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
            if ended.recv().await.is_none() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, expected) in [("TERM", 15), ("sigusr1", 10), ("9", 9), ("RTMIN+3", 37), ("SIGRTMAX-1", 63)]
        {
            assert_eq!(number(text).unwrap(), expected, "{text}");
        }
        for text in ["", "0", "65", "NOPE", "RTMIN+40"] {
            assert!(number(text).is_err(), "{text}");
        }
        assert_eq!(name(15), "TERM");
        assert_eq!(name(37), "RTMIN+3");
    }
}

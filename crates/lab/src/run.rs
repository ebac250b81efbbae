//! Running other programs to their end, with errors that show what they said.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// A command line as an operator would type it, for messages.
fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Run a command to its end and give what it printed.
///
/// # Errors
/// It cannot be started, or ends with another code than 0: the error shows its command line and output.
pub fn output(command: &mut Command) -> Result<String> {
    let done = command.stdin(Stdio::null()).output().with_context(|| cannot_run(command))?;
    finished(command, &done)
}

/// As [`output`], with an input.
///
/// # Errors
/// As [`output`].
pub fn output_with_input(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| cannot_run(command))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading everything says why in its output.
        let _ = stdin.write_all(input.as_bytes());
    }
    let done = child.wait_with_output().with_context(|| cannot_run(command))?;
    finished(command, &done)
}

/// Run a command whose output goes to the terminal, for long builds.
///
/// # Errors
/// It cannot be started, or ends with another code than 0.
pub fn shown_to_user(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| cannot_run(command))?;
    if !status.success() {
        bail!("{} failed: {status}", shown(command));
    }
    Ok(())
}

fn cannot_run(command: &Command) -> String {
    format!("cannot run {}\nhint: `lab prerequisites` installs what the lab needs", shown(command))
}

fn finished(command: &Command, done: &Output) -> Result<String> {
    if !done.status.success() {
        bail!(
            "{} failed ({}): {}{}",
            shown(command),
            done.status,
            String::from_utf8_lossy(&done.stderr).trim(),
            String::from_utf8_lossy(&done.stdout).trim()
        );
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// The last lines of a log file, for error messages. An unreadable file gives an empty text.
#[must_use]
pub fn tail(file: &Path, lines: usize) -> String {
    let text = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_command_and_what_it_said() {
        let error = output(Command::new("sh").args(["-c", "echo no >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.starts_with("sh -c echo no >&2; exit 3 failed (exit status: 3): no"), "{error}");
    }

    #[test]
    fn input_reaches_the_program() {
        assert_eq!(output_with_input(&mut Command::new("cat"), "hello").unwrap(), "hello");
    }

    #[test]
    fn tail_gives_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        std::fs::write(&file, "a\nb\nc\n").unwrap();
        assert_eq!(tail(&file, 2), "b\nc");
        assert_eq!(tail(&folder.path().join("none"), 2), "");
    }
}

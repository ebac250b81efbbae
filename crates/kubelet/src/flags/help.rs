//! `--help`, from the table.

use std::fmt::Write as _;

use super::{Kind, table::FLAGS};

const ABOUT: &str = "\
kubelet runs the pods of one machine: those that the Kubernetes API server binds to its node, and those in static
manifests. It keeps their containers running, reports on them and on the machine, and ends them.

Usage:
  kubelet [flags]
  kubelet config [flags] [--output yaml|json]   print the effective configuration and where each value came from
  kubelet explain [NAMESPACE/]POD               ask the running kubelet why a pod is where it is
  kubelet timeline [NAMESPACE/]POD              ask it where the time of a pod's start went

Flags:
";

/// Width at which texts are wrapped.
const WIDTH: usize = 110;
const INDENT: usize = 8;

/// The whole text.
#[must_use]
pub fn render() -> String {
    let mut out = ABOUT.to_owned();
    for flag in FLAGS {
        let short = flag.short.map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
        let kind = if flag.kind == Kind::Bool { "" } else { flag.kind.name() };
        let _ = writeln!(out, "  {short}--{} {kind}", flag.name);
        let mut text = flag.text().to_owned();
        if !matches!(flag.default, "" | "false" | "[]" | "0" | "0s") {
            let _ = write!(text, " (default {})", flag.default);
        }
        if let Some(field) = flag.field {
            let _ = write!(text, " Field {field}.");
        }
        if let Some(hint) = flag.deprecated.hint() {
            let _ = write!(text, " (DEPRECATED: {hint})");
        }
        wrap(&mut out, &text);
    }
    out
}

fn wrap(out: &mut String, text: &str) {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && INDENT + line.len() + 1 + word.len() > WIDTH {
            let _ = writeln!(out, "{:INDENT$}{line}", "");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        let _ = writeln!(out, "{:INDENT$}{line}", "");
    }
}

//! Times, tables and wrapped texts: for a terminal without colour, at night.
//!
//! Part of what is told was written by containers: output of probes, messages, images' names. Whatever goes to the terminal
//! goes through here, where every control character is written out: such text moves no cursor, hides nothing, and makes no
//! lines that look like the kubelet's own.

use std::{
    borrow::Cow,
    fmt::{Arguments, Write as _},
};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use seams::explain::{PodList, PodName};

use crate::flags;

/// Width at which texts are wrapped.
const WIDTH: usize = 110;

/// The time zone that instants are shown in.
pub(super) struct Zone(TimeZone);

impl Zone {
    /// The machine's, as in the log.
    pub(super) fn system() -> Self {
        Self(TimeZone::system())
    }

    #[cfg(test)]
    pub(super) fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    fn date(&self, at: Timestamp) -> Date {
        at.to_zoned(self.0.clone()).date()
    }

    /// With date and zone.
    pub(super) fn full(&self, at: Timestamp) -> String {
        at.to_zoned(self.0.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
    }

    /// The time of day; with the date if that is not today's.
    pub(super) fn clock(&self, at: Timestamp, now: Timestamp) -> String {
        let form = if self.date(at) == self.date(now) { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
        at.to_zoned(self.0.clone()).strftime(form).to_string()
    }

    /// `14:03:02, 2m10s ago` or `14:05:20, in 8s`.
    pub(super) fn relative(&self, at: Timestamp, now: Timestamp) -> String {
        let clock = self.clock(at, now);
        let seconds = now.duration_since(at).as_secs_f64();
        match seconds {
            ago if ago >= 0.0 => format!("{clock}, {} ago", span(ago)),
            ahead => format!("{clock}, in {}", span(-ahead)),
        }
    }
}

/// Two units at the most: `4s`, `2m10s`, `3h5m`, `2d4h`.
pub(super) fn span(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and far below 2^64"
    )]
    let whole = seconds.round().max(0.0) as u64;
    let pair = |large: u64, unit: &str, small: u64, part: &str| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit}{small}{part}"),
    };
    match whole {
        0..60 => format!("{whole}s"),
        60..3_600 => pair(whole / 60, "m", whole % 60, "s"),
        3_600..86_400 => pair(whole / 3_600, "h", whole % 3_600 / 60, "m"),
        _ => pair(whole / 86_400, "d", whole % 86_400 / 3_600, "h"),
    }
}

/// A text as one line, with control characters as in a program's text: `\x1b`, `\r`, `\u{9b}`.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        let _ = match letter {
            '\n' | '\r' | '\t' => write!(shown, "{}", letter.escape_default()),
            letter if letter.is_ascii_control() => write!(shown, "\\x{:02x}", u32::from(letter)),
            letter if letter.is_control() => write!(shown, "\\u{{{:x}}}", u32::from(letter)),
            letter => write!(shown, "{letter}"),
        };
    }
    Cow::Owned(shown)
}

/// A text of several lines, likewise.
pub(super) fn shown_lines(text: &str) -> String {
    text.split('\n').map(shown).collect::<Vec<_>>().join("\n")
}

/// One line.
pub(super) fn line(out: &mut String, text: Arguments<'_>) {
    out.push_str(shown(&text.to_string()).trim_end());
    out.push('\n');
}

/// A text after a label; further lines are indented below it.
pub(super) fn labelled(out: &mut String, indent: usize, label: &str, width: usize, text: &str) {
    let below = indent + width;
    let mut first = true;
    for paragraph in text.lines() {
        for line in wrapped(&shown(paragraph), WIDTH.saturating_sub(below)) {
            let label = if first { label } else { "" };
            let _ = writeln!(out, "{:indent$}{label:width$}{line}", "");
            first = false;
        }
    }
    if first {
        let _ = writeln!(out, "{:indent$}{label}", "");
    }
}

/// Lines of at most so many characters, broken at spaces where there are any.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// Columns as wide as their widest cell; the last one is not padded.
pub(super) fn table(out: &mut String, indent: usize, rows: &[Vec<String>]) {
    let shown_row = |row: &Vec<String>| row.iter().map(|cell| shown(cell).into_owned()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(shown_row).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in &rows {
        let mut line = " ".repeat(indent);
        for (cell, width) in row.iter().zip(&widths) {
            let pad = width.saturating_sub(cell.chars().count()) + 2;
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', pad));
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

pub(super) fn cells<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

/// The first two lines: which pod, and where it came from.
pub(super) fn heading(out: &mut String, pod: &PodName, node: &str, source: &str) {
    let from = match source {
        "api" => "from the API server",
        "file" => "static, from a manifest file",
        "http" => "static, from a manifest URL",
        _ => "found in the runtime: no source holds it",
    };
    line(out, format_args!("Pod     {}/{}  (uid {})", pod.namespace, pod.name, pod.uid));
    line(out, format_args!("Node    {node}; the pod is {from}"));
}

/// All pods.
pub(super) fn pods(list: &PodList, zone: &Zone) -> String {
    let mut out = String::new();
    if list.pods.is_empty() {
        line(&mut out, format_args!("No pod is or was lately on node {}.", list.node));
        return out;
    }
    let mut rows = vec![cells(["NAMESPACE", "NAME", "SOURCE", "STATE", "GONE"])];
    for entry in &list.pods {
        let gone = entry.ended.map(|at| zone.relative(at, list.now)).unwrap_or_default();
        rows.push(cells([&entry.pod.namespace, &entry.pod.name, &entry.source, &entry.standing.text, &gone]));
    }
    table(&mut out, 0, &rows);
    out
}

/// Pods whose names are much like this one, at most five.
pub(super) fn close_to(asked: &str, list: &PodList) -> Vec<String> {
    let (namespace, name) = match asked.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, asked),
    };
    let mut close: Vec<(usize, String)> = Vec::new();
    for entry in &list.pods {
        let full = format!("{}/{}", entry.pod.namespace, entry.pod.name);
        if close.iter().any(|(_, known)| *known == full) {
            continue;
        }
        let other_namespace =
            usize::from(namespace.is_some_and(|namespace| namespace != entry.pod.namespace));
        // A static pod is known by its manifest's name.
        let of_manifest = entry.pod.name.strip_suffix(&*list.node).and_then(|name| name.strip_suffix('-'));
        let distance = flags::distance(name, &entry.pod.name)
            .min(of_manifest.map_or(usize::MAX, |manifest| flags::distance(name, manifest)));
        let within = !name.is_empty() && entry.pod.name.contains(name);
        if within || distance <= (name.len() / 3).max(1) {
            close.push((distance + other_namespace, full));
        }
    }
    close.sort();
    close.into_iter().take(5).map(|(_, full)| full).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_the_most() {
        for (seconds, text) in [
            (0.2, "0s"),
            (59.4, "59s"),
            (60.0, "1m"),
            (130.0, "2m10s"),
            (3_600.0, "1h"),
            (11_100.0, "3h5m"),
            (187_200.0, "2d4h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn control_characters_are_written_out() {
        for (text, seen) in [
            ("plain: ä, 中, \\x1b", "plain: ä, 中, \\x1b"),
            ("\u{1b}[2J\u{7}", "\\x1b[2J\\x07"),
            ("a\rb\tc\nd\0", "a\\rb\\tc\\nd\\x00"),
            ("\u{7f}\u{80}\u{9b}1A", "\\x7f\\u{80}\\u{9b}1A"),
        ] {
            assert_eq!(shown(text), seen);
        }
        assert_eq!(shown_lines("one\u{1b}\ntwo\r\n"), "one\\x1b\ntwo\\r\n");
    }

    #[test]
    fn a_cell_is_one_cell_whatever_is_in_it() {
        let mut out = String::new();
        table(&mut out, 2, &[cells(["NAME", "SAYS", "X"]), cells(["a\nb", "\u{1b}[1A", "x"])]);
        assert_eq!(out, "  NAME  SAYS     X\n  a\\nb  \\x1b[1A  x\n");
        let mut out = String::new();
        labelled(&mut out, 2, "why", 6, "one\u{9b}\ntwo\rthree");
        assert_eq!(out, "  why   one\\u{9b}\n        two\\rthree\n");
    }

    #[test]
    fn long_texts_are_wrapped_below_their_label() {
        let mut out = String::new();
        labelled(&mut out, 2, "why", 6, &format!("{} end\nnext", "word ".repeat(30).trim_end()));
        let lines: Vec<_> = out.lines().collect();
        assert!(lines[0].starts_with("  why   word word"), "{out}");
        assert!(lines[1].starts_with("        word"), "{out}");
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(lines.last().copied(), Some("        next"));
    }
}

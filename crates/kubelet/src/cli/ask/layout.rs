//! Times, tables and wrapped texts: for a terminal without colour, at night.

use std::fmt::Write as _;

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

/// A text after a label; further lines are indented below it.
pub(super) fn labelled(out: &mut String, indent: usize, label: &str, width: usize, text: &str) {
    let below = indent + width;
    let mut first = true;
    for paragraph in text.lines() {
        for line in wrapped(paragraph, WIDTH.saturating_sub(below)) {
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
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
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
    let _ = writeln!(out, "Pod     {}/{}  (uid {})", pod.namespace, pod.name, pod.uid);
    let _ = writeln!(out, "Node    {node}; the pod is {from}");
}

/// All pods.
pub(super) fn pods(list: &PodList, zone: &Zone) -> String {
    if list.pods.is_empty() {
        return format!("No pod is or was lately on node {}.\n", list.node);
    }
    let mut rows = vec![cells(["NAMESPACE", "NAME", "SOURCE", "STATE", "GONE"])];
    for entry in &list.pods {
        let gone = entry.ended.map(|at| zone.relative(at, list.now)).unwrap_or_default();
        rows.push(cells([&entry.pod.namespace, &entry.pod.name, &entry.source, &entry.standing.text, &gone]));
    }
    let mut out = String::new();
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

//! The exposition text that a scrape reads, version 0.0.4 of the format.
//!
//! A page is a sequence of families; a family is its two comment lines and its samples:
//!
//! ```text
//! # HELP kubelet_running_pods [ALPHA] Pods that have a sandbox that runs
//! # TYPE kubelet_running_pods gauge
//! kubelet_running_pods 5
//! ```
//!
//! The writer keeps one buffer and no other state than the family that is open, so that a page of a thousand samples
//! costs one string. Its caller gives families by name, and samples by their labels, in the order they shall stand in.

mod number;

use std::fmt::Write as _;

/// The `Content-Type` of a page, as upstream's server sends it to a client that asks for no other format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// How a family's samples are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// Any value.
    Gauge,
    /// Cumulative buckets, their sum and their count.
    Histogram,
    /// Quantiles, their sum and their count.
    Summary,
}

impl Kind {
    /// Its word in a `# TYPE` line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// What upstream promises about a metric's name and labels; the first word of its help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// `[ALPHA]`: may change or go with any release.
    Alpha,
    /// `[BETA]`: keeps its labels, may gain some.
    Beta,
    /// `[STABLE]`: stays as it is.
    Stable,
    /// `[INTERNAL]`: for the project itself.
    Internal,
    /// No promise and no bracket: the metrics of a collector from outside Kubernetes.
    None,
}

impl Stability {
    /// Its word, empty for none.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Alpha => "ALPHA",
            Self::Beta => "BETA",
            Self::Stable => "STABLE",
            Self::Internal => "INTERNAL",
            Self::None => "",
        }
    }
}

/// Labels that many samples have, written once: a page of statistics repeats those of each container sixty times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(String);

impl Labels {
    /// In the given order; at least one.
    #[must_use]
    pub fn new(labels: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        for (index, (label, value)) in labels.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            text.push_str(label);
            text.push_str("=\"");
            escape(&mut text, value, true);
            text.push('"');
        }
        Self(text)
    }
}

/// A page of metrics being written.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    /// Name of the family whose samples are written: a sample of another one would stand under wrong comments.
    open: &'static str,
    /// Where its samples begin.
    samples: usize,
}

impl Page {
    /// An empty page.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a family: its `# HELP` line with the stability in brackets, and its `# TYPE` line.
    pub fn family(&mut self, name: &'static str, stability: Stability, help: &str, kind: Kind) {
        self.text.push_str("# HELP ");
        self.text.push_str(name);
        self.text.push(' ');
        if stability != Stability::None {
            self.text.push('[');
            self.text.push_str(stability.word());
            self.text.push_str("] ");
        }
        escape(&mut self.text, help, false);
        self.text.push_str("\n# TYPE ");
        self.text.push_str(name);
        self.text.push(' ');
        self.text.push_str(kind.word());
        self.text.push('\n');
        self.open = name;
        self.samples = self.text.len();
    }

    /// Whether the open family has a sample.
    #[must_use]
    pub fn has_samples(&self) -> bool {
        self.text.len() > self.samples
    }

    /// One sample of the open family. `name` is the family's, or that with `_bucket`, `_sum` or `_count`.
    ///
    /// `timestamp` is in milliseconds since the epoch, for values that were measured at another time than they are asked
    /// for.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64, timestamp: Option<i64>) {
        debug_assert!(
            matches!(name.strip_prefix(self.open), Some("" | "_bucket" | "_sum" | "_count")),
            "{name} stands under {}",
            self.open
        );
        self.text.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(&mut self.text, value, true);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        self.text.push(' ');
        number::write(&mut self.text, value);
        if let Some(milliseconds) = timestamp {
            // A write into a string cannot fail.
            let _ = write!(self.text, " {milliseconds}");
        }
        self.text.push('\n');
    }

    /// Appends what stands on another page.
    pub fn append(&mut self, other: Self) {
        self.text.push_str(&other.text);
        self.open = other.open;
    }

    /// One sample of the open family that has labels which many have, and `more` after them.
    pub fn sample_of(
        &mut self,
        name: &str,
        labels: &Labels,
        more: &[(&str, &str)],
        value: f64,
        timestamp: Option<i64>,
    ) {
        debug_assert!(name == self.open, "{name} stands under {}", self.open);
        self.text.push_str(name);
        self.text.push('{');
        self.text.push_str(&labels.0);
        for (label, value) in more {
            self.text.push(',');
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(&mut self.text, value, true);
            self.text.push('"');
        }
        self.text.push_str("} ");
        self.end(value, timestamp);
    }

    fn end(&mut self, value: f64, timestamp: Option<i64>) {
        number::write(&mut self.text, value);
        if let Some(milliseconds) = timestamp {
            // A write into a string cannot fail.
            let _ = write!(self.text, " {milliseconds}");
        }
        self.text.push('\n');
    }

    /// The text.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }
}

/// A number as it stands in a sample: the fewest digits that read back as the same value.
#[must_use]
pub fn number(value: f64) -> String {
    let mut text = String::new();
    number::write(&mut text, value);
    text
}

/// Backslash and line feed always, the quote within a label's value.
fn escape(out: &mut String, text: &str, quoted: bool) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quoted => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_two_comments_and_its_samples() {
        let mut page = Page::new();
        page.family("a_seconds", Stability::Alpha, "Time\nof \\ a \"thing\"", Kind::Histogram);
        page.sample("a_seconds_bucket", &[("b", "x"), ("le", "0.005")], 1.0, None);
        page.sample("a_seconds_sum", &[("b", "x")], 0.25, None);
        page.sample("a_seconds_count", &[("b", "x")], 1.0, None);
        page.family("c", Stability::None, "Plain.", Kind::Gauge);
        page.sample("c", &[("d", "quote \" slash \\ line\n")], 1_500_000.0, Some(1_795_457_097_123));
        assert_eq!(
            page.finish(),
            "# HELP a_seconds [ALPHA] Time\\nof \\\\ a \"thing\"\n\
             # TYPE a_seconds histogram\n\
             a_seconds_bucket{b=\"x\",le=\"0.005\"} 1\n\
             a_seconds_sum{b=\"x\"} 0.25\n\
             a_seconds_count{b=\"x\"} 1\n\
             # HELP c Plain.\n\
             # TYPE c gauge\n\
             c{d=\"quote \\\" slash \\\\ line\\n\"} 1.5e+06 1795457097123\n"
        );
    }

    #[test]
    fn labels_may_be_written_once() {
        let labels = Labels::new(&[("a", "1"), ("b", "quote \"")]);
        let mut page = Page::new();
        page.family("c", Stability::None, "Plain.", Kind::Gauge);
        page.sample_of("c", &labels, &[], 1.0, None);
        page.sample_of("c", &labels, &[("d", "x")], 2.0, Some(7));
        let text = page.finish();
        assert!(
            text.ends_with("c{a=\"1\",b=\"quote \\\"\"} 1\nc{a=\"1\",b=\"quote \\\"\",d=\"x\"} 2 7\n"),
            "{text}"
        );
    }

    #[test]
    #[should_panic(expected = "stands under")]
    fn a_sample_of_another_family_is_refused() {
        let mut page = Page::new();
        page.family("a", Stability::Beta, "", Kind::Counter);
        page.sample("b", &[], 0.0, None);
    }
}

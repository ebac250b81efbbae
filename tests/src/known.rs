//! The differences that are known and have a reason: rows of `docs/compat.md`.
//!
//! The document is the only place where they stand. A difference without a row fails a test, and so does a row without a
//! difference: what is written there is what is so. Only a row whose test is written with a `?` may be without: its
//! difference comes and goes with the course of things, and its reason says with what.

use std::{collections::BTreeSet, fmt::Write as _};

use anyhow::{Context as _, Result, ensure};
use regex::Regex;
use serde_json::{Map, Value};

use crate::{
    beside::Both,
    difference::{Difference, differences, shown},
};

/// Lines around the table.
const MARKS: (&str, &str) = ("<!-- begin:differences -->", "<!-- end:differences -->");

/// One row.
struct Row {
    /// The line, for messages.
    line: String,
    /// Tests that see it, those behind a `?` now and then.
    tests: Vec<String>,
    object: Regex,
    path: Regex,
    upstream: Regex,
    ours: Regex,
    /// How often it was seen.
    seen: usize,
}

impl Row {
    /// The row, if it concerns a test.
    fn of(mut self, test: &str) -> Option<Self> {
        let name = self.tests.iter().find(|name| name.trim_end_matches('?') == test)?;
        // One that need not be seen counts as seen.
        self.seen += usize::from(name.ends_with('?'));
        Some(self)
    }
}

/// The rows that concern one test.
pub struct Known {
    rows: Vec<Row>,
    /// Differences without a row.
    unknown: Vec<String>,
}

impl Known {
    /// Reads the table of the checkout.
    ///
    /// # Errors
    /// There is none, or a row is malformed.
    pub fn of(test: &str) -> Result<Self> {
        let path = lab::spec::checkout()?.join("docs/compat.md");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text, test)
    }

    fn parse(text: &str, test: &str) -> Result<Self> {
        let table = text.split_once(MARKS.0).and_then(|(_, rest)| rest.split_once(MARKS.1));
        let (table, _) = table.context("docs/compat.md has no table between the marks `differences`")?;
        let lines = table.lines().filter(|line| line.starts_with('|')).skip(2);
        let rows: Vec<Row> = lines.map(row).collect::<Result<_>>()?;
        Ok(Self { rows: rows.into_iter().filter_map(|row| row.of(test)).collect(), unknown: Vec::new() })
    }

    /// Takes note of how two documents differ: objects of one set, by their names.
    pub fn sort(&mut self, both: &Both<Value>) {
        let objects = |side: &Value| side.as_object().cloned().unwrap_or_default();
        let (upstream, ours) = (objects(&both.upstream), objects(&both.ours));
        let names: BTreeSet<&String> = upstream.keys().chain(ours.keys()).collect();
        let side = |objects: &Map<String, Value>, name: &str| objects.get(name).cloned().unwrap_or_default();
        for name in names {
            self.object(name, &differences(&side(&upstream, name), &side(&ours, name)));
        }
    }

    fn object(&mut self, object: &str, differences: &[Difference]) {
        let mut text = String::new();
        for difference in differences {
            let (upstream, ours) = (shown(difference.upstream.as_ref()), shown(difference.ours.as_ref()));
            let mut known = false;
            for row in &mut self.rows {
                if row.object.is_match(object)
                    && row.path.is_match(&difference.path)
                    && row.upstream.is_match(&upstream)
                    && row.ours.is_match(&ours)
                {
                    row.seen += 1;
                    known = true;
                }
            }
            if !known {
                let _ = writeln!(text, "  {}", difference.to_string().replace('\n', "\n  "));
            }
        }
        if !text.is_empty() {
            self.unknown.push(format!("{object}\n{text}"));
        }
    }

    /// Only some of the objects are looked at: rows that are not seen may be about the others.
    pub fn only_some(&mut self) {
        self.rows.iter_mut().for_each(|row| row.seen += 1);
    }

    /// Whether the table tells the truth.
    ///
    /// # Errors
    /// There are differences that it does not have, or it has some that are not there; the error lists them.
    pub fn check(self) -> Result<()> {
        let mut text = self.unknown.join("\n");
        for row in self.rows.iter().filter(|row| row.seen == 0) {
            let _ = writeln!(text, "no such difference any more: {}", row.line);
        }
        ensure!(
            text.is_empty(),
            "the kubelets differ otherwise than docs/compat.md says\n\n{text}\nhint: mend the kubelet; only where \
             upstream's way cannot or should not be followed, add a row with the reason"
        );
        Ok(())
    }
}

fn row(line: &str) -> Result<Row> {
    let cells: Vec<String> = line
        .trim_matches('|')
        // A `|` inside a cell is escaped.
        .replace("\\|", "\u{1}")
        .split('|')
        .map(|cell| cell.trim().trim_matches('`').replace('\u{1}', "|"))
        .collect();
    let [tests, object, path, upstream, ours, why] = cells.as_slice() else {
        anyhow::bail!("a row of the differences wants six cells: {line}");
    };
    ensure!(!why.is_empty(), "a difference wants a reason: {line}");
    Ok(Row {
        line: line.to_owned(),
        tests: tests.split(',').map(|test| test.trim().to_owned()).collect(),
        object: pattern(object, ".*")?,
        path: pattern(path, "[^/]*")?,
        upstream: pattern(upstream, ".*")?,
        ours: pattern(ours, ".*")?,
        seen: 0,
    })
}

/// `*` stands for any text; in a path for any within one step.
fn pattern(text: &str, any: &str) -> Result<Regex> {
    let parts: Vec<String> = text.split('*').map(regex::escape).collect();
    Regex::new(&format!("(?s)^{}$", parts.join(any))).with_context(|| format!("no pattern: {text}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TABLE: &str = "text\n<!-- begin:differences -->\n\n| test | object | path | upstream | here | why |\n\
        |---|---|---|---|---|---|\n\
        | statuses, histories | Pod * | `/status/containerStatuses/*/image` | `*` | `\"a\\|b\"` | because |\n\
        | histories | Node | `/x` | `1` | `absent` | so |\n<!-- end:differences -->\n";

    fn difference(path: &str) -> Difference {
        Difference { path: path.to_owned(), upstream: None, ours: Some(json!("a|b")) }
    }

    #[test]
    fn a_difference_with_a_row_passes() {
        let mut known = Known::parse(TABLE, "statuses").unwrap();
        known.object("Pod a", &[difference("/status/containerStatuses/c/image")]);
        known.check().unwrap();
    }

    #[test]
    fn one_without_a_row_fails() {
        let mut known = Known::parse(TABLE, "statuses").unwrap();
        known.object("Pod a", &[difference("/status/containerStatuses/c/image")]);
        known.object("Pod a", &[difference("/status/containerStatuses/c/d/image")]);
        let text = known.check().unwrap_err().to_string();
        assert!(text.contains("/status/containerStatuses/c/d/image") && !text.contains("no such"), "{text}");
    }

    #[test]
    fn a_row_without_a_difference_fails() {
        let text = Known::parse(TABLE, "histories").unwrap().check().unwrap_err().to_string();
        assert_eq!(text.matches("no such difference any more").count(), 2, "{text}");
    }

    #[test]
    fn a_difference_that_comes_and_goes_may_be_gone() {
        let table = TABLE.replace("statuses, histories", "statuses?");
        Known::parse(&table, "statuses").unwrap().check().unwrap();
    }

    #[test]
    fn a_row_without_a_reason_is_refused() {
        assert!(Known::parse(&TABLE.replace("because", ""), "statuses").is_err());
    }
}

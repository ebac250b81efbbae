//! A page of metrics, read back: what two kubelets serve is compared by families, not by text.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};

/// One family of a page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Family {
    /// Word of the `# TYPE` line.
    pub kind: String,
    /// Word in brackets at the beginning of the help; empty without one.
    pub stability: String,
    /// The help behind it.
    pub help: String,
    /// Names of labels, sorted, `le` left out; one entry for each set of names that occurs.
    pub labels: BTreeSet<Vec<String>>,
    /// Upper bounds of its buckets, as written.
    pub bounds: BTreeSet<String>,
    /// Every sample: its name, its labels, its value.
    pub samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Family {
    /// Values of one label.
    #[must_use]
    pub fn values(&self, label: &str) -> BTreeSet<&str> {
        self.samples.iter().filter_map(|(_, labels, _)| labels.get(label)).map(String::as_str).collect()
    }

    /// The sum of the samples that have these labels among theirs; counts of histograms alone.
    #[must_use]
    pub fn sum(&self, labels: &[(&str, &str)]) -> f64 {
        let counts = self.samples.iter().filter(|(name, ..)| {
            self.kind != "histogram" && self.kind != "summary" || name.ends_with("_count")
        });
        let fits = |known: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| known.get(*label).is_some_and(|known| known == value))
        };
        counts.filter(|(_, known, _)| fits(known)).map(|(.., value)| value).sum()
    }
}

/// Reads a page.
///
/// # Errors
/// It is none: a line that cannot be read, a sample before its family, a family twice.
pub fn read(page: &str) -> Result<BTreeMap<String, Family>> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut open = String::new();
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap_or((help, ""));
            ensure!(!families.contains_key(name), "{name} is there twice");
            let (stability, text) = match text.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
                Some((word, text)) => (word, text),
                None => ("", text),
            };
            let family =
                Family { stability: stability.to_owned(), help: text.to_owned(), ..Family::default() };
            families.insert(name.to_owned(), family);
            name.clone_into(&mut open);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').context("a type without a word")?;
            ensure!(name == open, "the type of {name} stands under {open}");
            kind.clone_into(&mut families.entry(open.clone()).or_default().kind);
        } else if !line.is_empty() {
            let (name, labels, value) = sample(line).with_context(|| format!("{line:?}"))?;
            let own = ["", "_bucket", "_sum", "_count"].iter().any(|end| name == format!("{open}{end}"));
            ensure!(own, "{name} stands under {open}");
            let family = families.entry(open.clone()).or_default();
            let names = labels.keys().filter(|label| *label != "le").cloned().collect();
            family.labels.insert(names);
            family.bounds.extend(labels.get("le").cloned());
            family.samples.push((name, labels, value));
        }
    }
    Ok(families)
}

fn sample(line: &str) -> Result<(String, BTreeMap<String, String>, f64)> {
    let (head, rest) = match line.split_once('{') {
        Some((name, rest)) => (name, rest),
        None => {
            let (name, value) = line.split_once(' ').context("no value")?;
            return Ok((name.to_owned(), BTreeMap::new(), number(value)?));
        }
    };
    let mut labels = BTreeMap::new();
    let mut rest = rest;
    loop {
        if let Some(value) = rest.strip_prefix('}') {
            return Ok((head.to_owned(), labels, number(value.trim_start())?));
        }
        rest = rest.strip_prefix(',').unwrap_or(rest);
        let (name, quoted) = rest.split_once("=\"").context("a label without a value")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next() {
                Some((at, '"')) => break at,
                Some((_, '\\')) => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, other)) => value.push(other),
                    None => bail!("a value without an end"),
                },
                Some((_, other)) => value.push(other),
                None => bail!("a value without an end"),
            }
        };
        labels.insert(name.to_owned(), value);
        rest = &quoted[end + 1..];
    }
}

/// Without its timestamp.
fn number(text: &str) -> Result<f64> {
    let text = text.split(' ').next().unwrap_or_default();
    match text {
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        "NaN" => Ok(f64::NAN),
        plain => plain.parse().with_context(|| format!("{plain:?} is no number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_back() {
        let page = "# HELP a [ALPHA] Help.\n# TYPE a histogram\na_bucket{x=\"1, \\\"}\",le=\"0.5\"} 2\n\
                    a_bucket{x=\"1, \\\"}\",le=\"+Inf\"} 3\na_sum{x=\"1, \\\"}\"} 1.5e+06\na_count{x=\"1, \\\"}\"} 3\n\
                    # HELP b Other\n# TYPE b gauge\nb 7 1795457097123\n";
        let families = read(page).unwrap();
        let a = &families["a"];
        assert_eq!((a.kind.as_str(), a.stability.as_str(), a.help.as_str()), ("histogram", "ALPHA", "Help."));
        assert_eq!(a.labels, BTreeSet::from([vec!["x".to_owned()]]));
        assert_eq!(a.bounds, BTreeSet::from(["0.5".to_owned(), "+Inf".to_owned()]));
        assert_eq!(a.values("x"), BTreeSet::from(["1, \"}"]));
        assert_eq!(a.sum(&[]), 3.0);
        assert_eq!(families["b"].samples[0].2, 7.0);
        assert!(read("c 1\n").is_err());
    }
}

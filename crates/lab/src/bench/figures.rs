//! Everything that a bench has measured, as a table for people and as JSON for files.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};

use super::{
    node::Role,
    quantity::{self, Budget, Quantity},
    samples::{Samples, ratio},
};

/// Samples of each quantity and kubelet.
#[derive(Debug, Default)]
pub(super) struct Figures(BTreeMap<(&'static str, Role), Samples>);

/// Whether a budget is kept, as far as was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Kept,
    Over,
    Unknown,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Over => "OVER",
            Self::Unknown => "?",
        }
    }
}

impl Figures {
    /// Add a sample.
    pub(super) fn push(&mut self, quantity: Quantity, role: Role, value: f64) {
        self.0.entry((quantity.key, role)).or_default().push(value);
    }

    fn of(&self, quantity: &Quantity, role: Role) -> Samples {
        self.0.get(&(quantity.key, role)).cloned().unwrap_or_default()
    }

    /// Both kubelets' samples of what was measured, in the table's order.
    fn rows(&self) -> impl Iterator<Item = (&'static Quantity, Samples, Samples)> {
        quantity::ALL
            .iter()
            .map(|quantity| (quantity, self.of(quantity, Role::Measured), self.of(quantity, Role::Reference)))
            .filter(|(_, measured, reference)| measured.count() + reference.count() > 0)
    }

    /// The table.
    pub(super) fn table(&self) -> String {
        let mut text = format!(
            "{:<40}{:>10}{:>10}{:>10}{:>5}{:>14}{:>10}{:>5}{:>8}  budget\n",
            "", "unit", "p50", "p99", "n", "reference p50", "p99", "n", "ratio"
        );
        for (quantity, measured, reference) in self.rows() {
            let shown = |value: Option<f64>, digits: usize| {
                value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
            };
            let digits = quantity.unit.digits();
            let budgets: Vec<String> = quantity
                .budgets
                .iter()
                .map(|budget| {
                    format!("{} {}", words(*budget), verdict(*budget, &measured, &reference).word())
                })
                .collect();
            let line = format!(
                "{:<40}{:>10}{:>10}{:>10}{:>5}{:>14}{:>10}{:>5}{:>8}  {}",
                quantity.title,
                quantity.unit.name(),
                shown(measured.p50(), digits),
                shown(measured.p99(), digits),
                measured.count(),
                shown(reference.p50(), digits),
                shown(reference.p99(), digits),
                reference.count(),
                shown(ratio(&measured, &reference), 3),
                budgets.join(", ")
            );
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    /// The same with every sample.
    pub(super) fn json(&self) -> Value {
        let side = |samples: &Samples| json!({ "n": samples.count(), "p50": samples.p50(), "p99": samples.p99(), "samples": samples });
        self.rows()
            .map(|(quantity, measured, reference)| {
                let budgets: Vec<Value> = quantity
                    .budgets
                    .iter()
                    .map(|budget| {
                        json!({
                            "budget": words(*budget),
                            "verdict": verdict(*budget, &measured, &reference).word(),
                        })
                    })
                    .collect();
                json!({
                    "key": quantity.key,
                    "title": quantity.title.trim(),
                    "unit": quantity.unit.name(),
                    "ratio": ratio(&measured, &reference),
                    "budgets": budgets,
                    "measured": side(&measured),
                    "reference": side(&reference),
                })
            })
            .collect()
    }
}

fn words(budget: Budget) -> String {
    match budget {
        Budget::Ratio(most) => format!("ratio ≤ {most}"),
        Budget::P50(most) => format!("p50 ≤ {most}"),
        Budget::P99(most) => format!("p99 ≤ {most}"),
    }
}

fn verdict(budget: Budget, measured: &Samples, reference: &Samples) -> Verdict {
    let (value, most) = match budget {
        Budget::Ratio(most) => (ratio(measured, reference), most),
        Budget::P50(most) => (measured.p50(), most),
        Budget::P99(most) => (measured.p99(), most),
    };
    match value {
        Some(value) if value <= most => Verdict::Kept,
        Some(_) => Verdict::Over,
        None => Verdict::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let mut figures = Figures::default();
        for value in [200.0, 300.0] {
            figures.push(quantity::START, Role::Measured, value);
        }
        figures.push(quantity::START, Role::Reference, 1000.0);
        figures.push(quantity::IDLE_RSS, Role::Measured, 15.1);
        figures
    }

    #[test]
    fn the_table_shows_what_was_measured_and_no_more() {
        let table = figures().table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 3, "{table}");
        // Memory comes first, whatever was measured first.
        assert!(lines[1].contains("15.1") && lines[1].contains("p50 ≤ 15 OVER"), "{table}");
        assert!(
            lines[2].contains("250") && lines[2].contains("0.250") && lines[2].contains("ratio ≤ 0.5 kept")
        );
    }

    #[test]
    fn the_file_has_every_sample() {
        let json = figures().json();
        assert_eq!(json[1]["key"], "start.running");
        assert_eq!(json[1]["measured"]["samples"], json!([200.0, 300.0]));
        assert_eq!(json[1]["ratio"], 0.25);
        assert_eq!(json[0]["ratio"], Value::Null);
    }

    #[test]
    fn what_was_not_measured_is_neither_kept_nor_over() {
        assert_eq!(verdict(Budget::Ratio(1.0), &Samples::default(), &Samples::default()), Verdict::Unknown);
    }
}

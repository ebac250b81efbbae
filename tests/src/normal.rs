//! What differs between two runs of one kubelet is made alike, so that what is left to differ is the kubelets' doing.
//!
//! | what | becomes |
//! |---|---|
//! | times | `$TIME`, when they are whole seconds as the API writes them |
//! | uids, ids of containers | `$UID`, `$ID`; in statuses at rest numbered in the order of appearance, so that identity shows |
//! | addresses | `$POD_IP`, `10.LAB.…` |
//! | ports that the kernel chose | `$PORT` |
//! | folders and names of the lab | `$LAB` |
//! | how long a pull took | `$TOOK` |
//! | suffixes of generated names | `$RANDOM` |
//! | what the pods that are there at the moment of a refusal have asked for | `$USED` |

use anyhow::{Context as _, Result};
use lab::Lab;
use regex::{Captures, Regex};
use serde_json::Value;

/// How texts of one lab are made alike.
pub struct Normal {
    /// Names and addresses of the lab, and times.
    names: Vec<(Regex, &'static str)>,
    /// Ids.
    ids: Vec<(Regex, &'static str)>,
}

impl Normal {
    /// For one lab.
    ///
    /// # Errors
    /// Its addresses are not what they should be.
    pub fn of(lab: &Lab) -> Result<Self> {
        let plan = lab.plan();
        let pods = plan.addresses.pod_cidr.strip_suffix("0/24").context("the pods' range is no /24")?;
        let rule = |pattern: &str, with| -> Result<(Regex, &'static str)> {
            Ok((Regex::new(pattern).with_context(|| format!("no pattern: {pattern}"))?, with))
        };
        let literal = |text: &str| regex::escape(text);
        Ok(Self {
            names: vec![
                rule(&literal(&plan.paths.dir.display().to_string()), "$$LAB")?,
                rule(&literal(&plan.paths.machine_dir.display().to_string()), "$$LAB")?,
                rule(&literal(&plan.spec.name), "$$LAB")?,
                rule(&format!(r"\b{}\d+\b", literal(pods)), "$$POD_IP")?,
                rule(&format!(r"\b{}", literal(&plan.slot.prefix())), "10.LAB.")?,
                // Ports of `ip_local_port_range`, behind an address.
                rule(
                    r"((?:\$POD_IP|10\.LAB\.[\d.]+|127\.0\.0\.1)):(?:3[2-9]|[45]\d|60)\d{3}\b",
                    "$1:$$PORT",
                )?,
                rule(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", "$$TIME")?,
                rule(r"in \S+ \(\S+ including waiting\)", "in $$TOOK ($$TOOK including waiting)")?,
                rule(r"\bkube-api-access-[a-z0-9]{5}\b", "kube-api-access-$$RANDOM")?,
                rule(r"\bused: \d+, capacity: ", "used: $$USED, capacity: ")?,
            ],
            ids: vec![
                rule(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "$$UID")?,
                // The digest of an image is the same everywhere, and stays.
                rule(r"(^|[^:0-9a-f])[0-9a-f]{64}\b", "$1$$ID")?,
            ],
        })
    }

    /// A text without names, times and ids.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let rules = self.names.iter().chain(&self.ids);
        rules.fold(text.to_owned(), |text, (rule, with)| rule.replace_all(&text, *with).into_owned())
    }

    /// A value without names, times and ids.
    pub fn all(&self, value: &mut Value) {
        each_text(value, &mut |text| *text = self.text(text));
    }

    /// A value without names and times; ids are numbered.
    pub fn numbered(&self, value: &mut Value) {
        let mut known: Vec<String> = Vec::new();
        each_text(value, &mut |text| {
            *text = self
                .names
                .iter()
                .fold(std::mem::take(text), |text, (rule, with)| rule.replace_all(&text, *with).into_owned());
            for (rule, with) in &self.ids {
                let replaced = rule.replace_all(text, |found: &Captures<'_>| {
                    let id = found.get(0).map_or("", |found| found.as_str());
                    let number = known.iter().position(|seen| seen == id).unwrap_or_else(|| {
                        known.push(id.to_owned());
                        known.len() - 1
                    });
                    let before = found.get(1).map_or("", |before| before.as_str());
                    format!("{before}{}{number}", with.trim_start_matches("$1").replace("$$", "$"))
                });
                *text = replaced.into_owned();
            }
        });
    }

    /// A value without names and times; ids stay, as those of a node are the machine's.
    pub fn named(&self, value: &mut Value) {
        each_text(value, &mut |text| {
            *text = self
                .names
                .iter()
                .fold(std::mem::take(text), |text, (rule, with)| rule.replace_all(&text, *with).into_owned());
        });
    }
}

/// Visits every text in the order of the fields.
fn each_text(value: &mut Value, act: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) => act(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, act)),
        Value::Object(fields) => fields.values_mut().for_each(|field| each_text(field, act)),
        _ => {}
    }
}

//! What two kubelets tell of the same pods: every field and every family of upstream's is here too, or stands in
//! `docs/compat.md` as absent.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result};
use metrics::table::{self, Page};
use serde_json::Value;

use crate::{beside::Both, exposition::Family};

/// The families of a page, by name.
pub type Families = BTreeMap<String, Family>;

/// Every field that a document has: members of lists count as one.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                fields(member, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, found);
            }
        }
        Value::Array(members) => {
            for member in members {
                fields(member, &format!("{path}[]"), found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

/// Fields that the compat document says are absent: rows of its table, each for a field and all below it.
fn absent() -> Result<Vec<String>> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compat.md");
    let text = fs::read_to_string(&document).with_context(|| document.display().to_string())?;
    let rows = text
        .lines()
        .skip_while(|line| !line.contains("begin:summary"))
        .take_while(|line| !line.contains("end:summary"));
    Ok(rows.filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect())
}

/// Adds to `found` what upstream's `/stats/summary` has and ours lacks, and with a query what ours has beyond it.
///
/// # Errors
/// The document of differences cannot be read.
pub fn compare_summaries(query: &str, both: &Both<Value>, found: &mut Vec<String>) -> Result<()> {
    let (mut upstream, mut ours) = (BTreeSet::new(), BTreeSet::new());
    fields(&both.upstream, "", &mut upstream);
    fields(&both.ours, "", &mut ours);
    let absent = absent()?;
    let is_absent = |field: &str| {
        absent.iter().any(|row| match row.strip_prefix('*') {
            Some(end) => field.contains(&format!("{end}.")) || field.ends_with(end),
            None => field == row || field.starts_with(&format!("{row}.")),
        })
    };
    for field in upstream.difference(&ours).filter(|field| !is_absent(field)) {
        found.push(format!("/stats/summary{query}: {field} is not here"));
    }
    let extra: Vec<_> = ours.difference(&upstream).map(String::as_str).collect();
    if !query.is_empty() && !extra.is_empty() {
        found.push(format!("/stats/summary{query}: more than upstream's: {}", extra.join(", ")));
    }
    Ok(())
}

/// Adds to `found` the families of a page that one side has and the other, or the table, lacks.
pub fn compare_pages(page: Page, both: &Both<Families>, found: &mut Vec<String>) {
    for (name, family) in &both.upstream {
        let Some(row) = table::all().find(|row| row.page == page && row.name == name) else {
            found.push(format!("{}: {name} has no row", page.path()));
            continue;
        };
        let Some(ours) = both.ours.get(name) else {
            if row.support.is_served() {
                found.push(format!("{}: {name} is not here", page.path()));
            }
            continue;
        };
        if (&ours.kind, &ours.stability) != (&family.kind, &family.stability) {
            found.push(format!("{}: {name} is another kind of thing", page.path()));
        }
        if !ours.labels.is_superset(&family.labels) {
            found.push(format!(
                "{}: {name} has labels {:?}, upstream's {:?}",
                page.path(),
                ours.labels,
                family.labels
            ));
        }
        if ours.help == family.help {
            found.push(format!("{}: the help of {name} is upstream's", page.path()));
        }
    }
    for name in
        both.ours.keys().filter(|name| !table::all().any(|row| row.page == page && row.name == **name))
    {
        found.push(format!("{}: our {name} has no row", page.path()));
    }
}

//! The generated part of `docs/compat.md`: every flag, field and gate, and what it does here.
//!
//! The document is made of sections between `<!-- begin:NAME -->` and `<!-- end:NAME -->`. A section that this program
//! generates is replaced; everything else (behaviour, differences, prose) is left as it is.

use std::fmt::Write as _;

use agent::events::catalog::Here;

use crate::{
    config::{
        KubeletConfiguration,
        schema::{self, Field, Preset, Support},
    },
    flags::{self, Deprecation, FLAGS, removed::REMOVED},
    gates::{self, GATES, Stage},
};

/// A generated section.
#[derive(Debug)]
pub struct Section {
    /// Name in its markers.
    pub name: &'static str,
    /// Heading.
    pub title: &'static str,
    /// Body.
    pub body: fn() -> String,
}

/// All of them, in order.
pub const SECTIONS: [Section; 7] = [
    Section { name: "flags", title: "Flags", body: flag_table },
    Section { name: "removed-flags", title: "Flags of older kubelets", body: removed_flags },
    Section { name: "fields", title: "Configuration fields", body: fields },
    Section { name: "gates", title: "Feature gates", body: gate_table },
    Section { name: "events", title: "Events", body: events },
    Section { name: "routes", title: "HTTP paths", body: routes },
    Section { name: "metrics", title: "Metrics", body: metrics },
];

/// All sections with their markers.
#[must_use]
pub fn render() -> String {
    SECTIONS.iter().map(Section::block).collect::<Vec<_>>().join("\n")
}

impl Section {
    fn markers(&self) -> (String, String) {
        (format!("<!-- begin:{} (generated) -->", self.name), format!("<!-- end:{} -->", self.name))
    }

    fn block(&self) -> String {
        let (begin, end) = self.markers();
        format!("{begin}\n## {}\n\n{}{end}\n", self.title, (self.body)())
    }
}

/// Puts the generated sections into a document; those that it does not have are added at its end.
#[must_use]
pub fn update(document: &str) -> String {
    let mut text = document.to_owned();
    for section in &SECTIONS {
        let (begin, end) = section.markers();
        let block = section.block();
        let place =
            text.find(&begin).and_then(|from| Some((from, from + text[from..].find(&end)? + end.len() + 1)));
        match place {
            Some((from, to)) => text.replace_range(from..to.min(text.len()), &block),
            None => {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&block);
            }
        }
    }
    text
}

fn events() -> String {
    let mut text =
        "Texts and rates are upstream's.\n\n| object | type | reason | here |\n|---|---|---|---|\n"
            .to_owned();
    for event in agent::events::catalog::EVENTS {
        let kind = if event.warning { "Warning" } else { "Normal" };
        let here = match event.here {
            Here::Same => "same".to_owned(),
            Here::Differs(how) => format!("differs: {how}"),
            Here::Absent(feature) => format!("absent: {feature} is not built yet"),
            Here::Otherwise(why) => format!("absent: {why}"),
        };
        text.push_str(&format!("| {} | {kind} | `{}` | {here} |\n", event.about.word(), event.reason));
    }
    text
}

fn routes() -> String {
    let mut text = "| port | path | methods | here |\n|---|---|---|---|\n".to_owned();
    for route in server::catalog::routes::ROUTES {
        let port = match route.server {
            server::catalog::routes::Server::Main => "10250",
            server::catalog::routes::Server::Healthz => "10248",
        };
        text.push_str(&format!(
            "| {port} | `{}` | {} | {} |\n",
            route.path,
            route.allow(),
            route.support().words()
        ));
    }
    text
}

fn metrics() -> String {
    let mut rows: Vec<_> = ::metrics::table::all().collect();
    rows.sort_by_key(|metric| (metric.page, metric.name));
    let mut text = "Types, labels, buckets and stability are upstream's; help texts are our own.\n\n\
                    | page | name | type | here |\n|---|---|---|---|\n"
        .to_owned();
    for metric in rows {
        let page = metric.page.path();
        text.push_str(&format!(
            "| `{page}` | `{}` | {} | {} |\n",
            metric.name,
            metric.kind.word(),
            cell(&metric.support.words())
        ));
    }
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn verdict(support: Support) -> (&'static str, &'static str) {
    match support {
        Support::Effective => ("same", ""),
        Support::NoEffectUpstream => ("same", "no effect, as upstream"),
        Support::Differs { how } => ("differs", how),
        Support::AcceptedNoEffect { why } => ("absent", why),
        Support::Rejected { why } => ("same", why),
    }
}

fn flag_table() -> String {
    let mut out = "Every flag of upstream 1.37.2 is accepted, with its type and default. A flag with a field does what the field does; \
                   `absent` means that nothing acts on it yet: setting it logs one warning at start.\n\n\
                   | flag | type | default | field | deprecated | here |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for flag in FLAGS {
        let support = flag
            .field
            .and_then(|path| schema::find(KubeletConfiguration::FIELDS, path))
            .map(|field| field.support);
        let (word, why) = verdict(support.unwrap_or_else(|| flags::support::of(flag.name)));
        let why = remark(flag.name).unwrap_or(why);
        let _ = writeln!(
            out,
            "| `--{}` | {} | {} | {} | {} | {}{} |",
            flag.name,
            cell(flag.kind.name()),
            if flag.default.is_empty() { String::new() } else { format!("`{}`", cell(flag.default)) },
            flag.field.map(|field| format!("`{field}`")).unwrap_or_default(),
            if flag.deprecated == Deprecation::No { "" } else { "yes" },
            word,
            if why.is_empty() { String::new() } else { format!(": {}", cell(why)) },
        );
    }
    out.push('\n');
    out
}

/// What is to be said of a flag besides what it does.
fn remark(name: &str) -> Option<&'static str> {
    (name == "version").then_some("`--version=raw` prints our own build as well")
}

fn removed_flags() -> String {
    let mut out = "Upstream 1.37.2 refuses these with `unknown flag`. Here they are accepted and ignored, each with a warning on standard error, \
                   so that an older unit file starts. `--container-runtime` with another value than `remote` is refused.\n\n\
                   | flag | removed in | instead |\n|---|---|---|\n"
        .to_owned();
    for flag in REMOVED {
        let _ = writeln!(
            out,
            "| `--{}` | {} | {} |",
            flag.name,
            flag.since.unwrap_or("before 1.37"),
            cell(flag.replaced_by)
        );
    }
    out.push('\n');
    out
}

fn fields() -> String {
    let mut out = "KubeletConfiguration `kubelet.config.k8s.io/v1beta1`. Every field is parsed, checked and served back; \
                   `absent` means that nothing acts on it yet: setting it logs one warning at start.\n\n\
                   | field | type | default | meaning | here |\n|---|---|---|---|---|\n"
        .to_owned();
    let mut row = |path: &str, field: &'static Field| {
        let (word, why) = verdict(field.support);
        let default = match field.default {
            Preset::Nothing => String::new(),
            Preset::Bool(value) => format!("`{value}`"),
            Preset::Int(value) => format!("`{value}`"),
            Preset::Text(value) => format!("`{}`", cell(value)),
            Preset::Texts(values) => format!("`[{}]`", values.join(", ")),
        };
        let why = if why.is_empty() { String::new() } else { format!(": {}", cell(why)) };
        let _ = writeln!(
            out,
            "| `{path}` | {} | {default} | {} | {word}{why} |",
            field.kind.name(),
            cell(field.doc.trim())
        );
    };
    schema::leaves(KubeletConfiguration::FIELDS, &mut row);
    out.push('\n');
    out
}

fn gate_table() -> String {
    let mut out = "The names, defaults, stages, locks and needs of all 254 gates of upstream 1.37.2 are known; a wrong one stops the start. \
                   Listed are those that a kubelet reads. `absent` means that switching the gate changes nothing here: it logs one warning at start.\n\n\
                   | gate | default | stage | locked | needs | here |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for spec in GATES {
        let Some(here) = gates::support::of(spec) else { continue };
        let needs: Vec<_> = spec.needs.iter().map(|gate| format!("`{}`", gate.name())).collect();
        let here = match here {
            gates::support::Here::Obeyed => "same".to_owned(),
            gates::support::Here::Partly(what) => format!("differs: {what}"),
            gates::support::Here::Checks => "same (checks of the configuration)".to_owned(),
            gates::support::Here::Locked => "locked".to_owned(),
            gates::support::Here::Absent => "absent".to_owned(),
        };
        let stage = match spec.stage {
            Stage::Alpha => "alpha",
            Stage::Beta => "beta",
            Stage::Ga => "GA",
            Stage::Deprecated => "deprecated",
        };
        let _ = writeln!(
            out,
            "| `{}` | {} | {stage} | {} | {} | {here} |",
            spec.name,
            if spec.default { "on" } else { "off" },
            if spec.locked { "yes" } else { "" },
            needs.join(", "),
        );
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_replaced_in_place_and_the_rest_is_kept() {
        let first = update("# Compatibility\n\nBefore.\n");
        let edited = first.replace("Before.", "Changed.").replace("| `--kubeconfig` |", "| `--nonsense` |")
            + "\n## Routes\n\nBy hand.\n";
        let second = update(&edited);
        assert!(second.contains("Changed.") && second.ends_with("## Routes\n\nBy hand.\n"));
        assert!(!second.contains("nonsense"));
        assert_eq!(update(&second), second, "settled");
    }

    /// `KUBELET_UPDATE_DOCS=1 cargo test -p kubelet compat` writes it anew.
    #[test]
    fn the_document_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compat.md");
        let document = std::fs::read_to_string(path).unwrap_or_default();
        let updated = update(&document);
        if std::env::var_os("KUBELET_UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).unwrap();
            std::fs::write(path, updated).unwrap();
        } else {
            let stale = document.lines().zip(updated.lines()).find(|(old, new)| old != new);
            assert_eq!(
                stale, None,
                "docs/compat.md is stale: KUBELET_UPDATE_DOCS=1 cargo test -p kubelet compat"
            );
            assert_eq!(document.lines().count(), updated.lines().count(), "docs/compat.md is stale");
        }
    }
}

//! Printing the effective configuration.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::{
    config::{Loaded, Problem, Source, Sources, problem::Stage, schema::join},
    flags::{FLAGS, RawFlags, value},
};

/// Form of `kubelet config`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// YAML with a comment behind every value that somebody set.
    Yaml,
    /// An object with `config`, `sources` and `flags`.
    Json,
}

impl Output {
    /// Takes `--output` out of the arguments.
    pub(super) fn take(args: Vec<String>) -> Result<(Self, Vec<String>), Box<Problem>> {
        let mut output = Self::Yaml;
        let mut rest = Vec::new();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let text = match arg.strip_prefix("--output").or_else(|| arg.strip_prefix("-o")) {
                Some("") => args.next().unwrap_or_default(),
                Some(joined) if joined.starts_with('=') => joined[1..].to_owned(),
                _ => {
                    rest.push(arg);
                    continue;
                }
            };
            output = match text.as_str() {
                "yaml" => Self::Yaml,
                "json" => Self::Json,
                other => {
                    let cause = format!("invalid argument {other:?} for \"--output\" flag");
                    return Err(Box::new(Problem::new(
                        Stage::Parse,
                        "--output",
                        cause,
                        "write yaml or json",
                    )));
                }
            };
        }
        Ok((output, rest))
    }
}

/// The whole print.
pub(super) fn render(loaded: &Loaded, flags: &RawFlags, output: Output) -> String {
    match output {
        Output::Yaml => {
            let mut out = String::new();
            for notice in &loaded.notices {
                let _ = writeln!(out, "# warning: {}\n#   hint: {}", notice.message, notice.hint);
            }
            yaml(&mut out, &masked(loaded), &loaded.sources, "", 0);
            let own: Vec<String> =
                own_flags(flags).map(|(name, text)| format!("#   --{name}={text:?}\n")).collect();
            if !own.is_empty() {
                let _ = write!(out, "# flags without a field:\n{}", own.concat());
            }
            out
        }
        Output::Json => {
            let sources = leaf_sources(loaded);
            let own: Map<String, Value> =
                own_flags(flags).map(|(name, text)| (name.to_owned(), text.into())).collect();
            let all = serde_json::json!({ "config": masked(loaded), "sources": sources, "flags": own });
            format!("{all:#}\n")
        }
    }
}

/// Flags that were given and write no field.
fn own_flags(flags: &RawFlags) -> impl Iterator<Item = (&'static str, String)> + '_ {
    let own = FLAGS.iter().filter(|flag| flag.field.is_none());
    own.filter_map(|flag| Some((flag.name, value::print(flag.kind, flags.values.get(flag.name)?))))
}

/// For the log: sorted YAML in upstream's form, header values masked.
pub(super) fn masked_yaml(loaded: &Loaded) -> String {
    let mut out = String::new();
    yaml(&mut out, &masked(loaded), &Sources::default(), "", 0);
    out
}

fn masked(loaded: &Loaded) -> Map<String, Value> {
    let mut document = loaded.document.clone();
    if let Some(Value::Object(headers)) = document.get_mut("staticPodURLHeader") {
        headers.values_mut().for_each(|values| *values = serde_json::json!(["<masked>"]));
    }
    document
}

fn leaf_sources(loaded: &Loaded) -> Map<String, Value> {
    fn walk(prefix: &str, map: &Map<String, Value>, sources: &Sources, found: &mut Map<String, Value>) {
        for (name, value) in map {
            let path = join(prefix, name);
            match value {
                Value::Object(inner) => walk(&path, inner, sources, found),
                _ => {
                    found.insert(path.clone(), sources.of(&path).to_string().into());
                }
            }
        }
    }
    let mut found = Map::new();
    walk("", &loaded.document, &loaded.sources, &mut found);
    found
}

/// Block YAML. Every scalar that YAML could misread is quoted, by being written as JSON.
fn yaml(out: &mut String, map: &Map<String, Value>, sources: &Sources, prefix: &str, indent: usize) {
    for (name, value) in map {
        let path = join(prefix, name);
        let _ = write!(out, "{:indent$}{}:", "", scalar_text(name));
        match value {
            Value::Object(inner) if inner.is_empty() => out.push_str(" {}\n"),
            Value::Object(inner) => {
                out.push('\n');
                yaml(out, inner, sources, &path, indent + 2);
            }
            Value::Array(items) if items.is_empty() => out.push_str(" []\n"),
            Value::Array(items) => {
                comment(out, sources, &path);
                for item in items {
                    list_item(out, item, indent);
                }
            }
            scalar => {
                let _ = write!(out, " {}", scalar_yaml(scalar));
                comment(out, sources, &path);
            }
        }
    }
}

fn list_item(out: &mut String, item: &Value, indent: usize) {
    match item {
        Value::Object(map) if !map.is_empty() => {
            let mut inner = String::new();
            yaml(&mut inner, map, &Sources::default(), "", indent + 2);
            let _ = write!(out, "{:indent$}- {}", "", inner.trim_start_matches(' '));
        }
        other => {
            let _ = writeln!(out, "{:indent$}- {}", "", scalar_yaml(other));
        }
    }
}

fn comment(out: &mut String, sources: &Sources, path: &str) {
    match sources.of(path) {
        Source::Default => out.push('\n'),
        source => drop(writeln!(out, "  # {source}")),
    }
}

fn scalar_yaml(value: &Value) -> String {
    match value {
        Value::String(text) => scalar_text(text),
        other => other.to_string(),
    }
}

/// Plain where no YAML 1.1 or 1.2 reader takes it for anything but this text.
fn scalar_text(text: &str) -> String {
    let plain_bytes = |b: u8| b.is_ascii_alphanumeric() || b"/._-<>*%+@()".contains(&b);
    let first = text.as_bytes().first().copied().unwrap_or(b' ');
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null" | "~" | ".inf" | ".nan"
    );
    let starts_well = first.is_ascii_alphabetic() || first == b'/';
    // A duration such as 10s or a quantity such as 10Mi starts with a digit, ends with a letter and holds no `e`, `x`, `o`, `b`.
    let amount = first.is_ascii_digit()
        && text.bytes().last().is_some_and(|b| b.is_ascii_alphabetic() || b == b'%')
        && !text.bytes().any(|b| b"eExXoObB_".contains(&b));
    let address = first.is_ascii_digit() && text.parse::<std::net::Ipv4Addr>().is_ok();
    let url = starts_well
        && text.contains("://")
        && !text.contains(": ")
        && text.bytes().all(|b| plain_bytes(b) || b == b':');
    if !word
        && ((starts_well && text.bytes().all(plain_bytes))
            || url
            || address
            || (amount && text.bytes().all(plain_bytes)))
    {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::document;

    proptest! {
        /// What is printed reads back as the same text, as value and as key.
        #[test]
        fn scalars_read_back(text in "[-a-zA-Z0-9_.:/%~+<>*#\"' ]{0,12}") {
            let map = Map::from_iter([("k".to_owned(), Value::from(text.clone())), (format!("x{text}"), Value::from(1))]);
            let mut out = String::new();
            yaml(&mut out, &map, &Sources::default(), "", 0);
            prop_assert_eq!(document::read(out.as_bytes()).unwrap().root, map, "{}", out);
        }
    }

    #[test]
    fn nested_values_read_back() {
        let value = serde_json::json!({
            "a": {"b": {}, "c": [], "d": [1, "x"], "e": [{"f": "10s", "g": {"h": true}}, {"f": "no"}]},
            "i": "1e3", "j": "0x10", "k": "10.0.0.1", "l": "unix:///run/x.sock", "m": -5, "n": 0.5,
        });
        let Value::Object(map) = value else { unreachable!() };
        let mut out = String::new();
        yaml(&mut out, &map, &Sources::default(), "", 0);
        assert_eq!(document::read(out.as_bytes()).unwrap().root, map, "{out}");
    }
}

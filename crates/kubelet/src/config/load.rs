//! The layers: defaults < file < drop-ins < flags. One document, and where each of its values came from.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{
    API_VERSION, KIND, KubeletConfiguration, defaults, document, dropin,
    problem::{Problem, Stage},
    shape,
    source::{Source, Sources},
};
use crate::{
    flags::{RawFlags, table},
    gates::FeatureGates,
};

/// Something to tell the operator that does not stop the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What.
    pub message: String,
    /// What to do, or what happens.
    pub hint: String,
}

/// The effective configuration.
#[derive(Debug)]
pub struct Loaded {
    /// As an object.
    pub config: KubeletConfiguration,
    /// As upstream prints it, with `apiVersion` and `kind`; keys sorted.
    pub document: Map<String, Value>,
    /// Where each value came from.
    pub sources: Sources,
    /// Resolved gates.
    pub gates: FeatureGates,
    /// What to log as warnings.
    pub notices: Vec<Notice>,
    /// Files in the drop-in directory that are no drop-ins.
    pub skipped: Vec<PathBuf>,
    /// What is wrong so far: gates, and values of the wrong type in drop-ins.
    pub problems: Vec<Problem>,
}

/// Fields that hold a path; relative ones in a configuration file are relative to that file.
const PATHS: [&str; 7] = [
    "staticPodPath",
    "authentication.x509.clientCAFile",
    "tlsCertFile",
    "tlsPrivateKeyFile",
    "resolvConf",
    "volumePluginDir",
    "podLogsDir",
];

/// Builds the effective configuration from the flags and the files that they name.
///
/// # Errors
/// Problems that leave no configuration to look at: unreadable files, wrong kinds, values of the wrong type.
pub fn load(flags: &RawFlags) -> Result<Loaded, Vec<Problem>> {
    let mut state = State { flag_gates: bool_map(flags.values.get("feature-gates")), ..State::default() };
    let mut document = match flags.text("config") {
        Some(path) => state.file(&absolute(path))?,
        None => {
            let mut document = defaults::flag_baseline(&state.gates(&Map::new()));
            state.apply_flags(flags, &mut document);
            document
        }
    };
    if let Some(directory) = flags.text("config-dir") {
        document = state.drop_ins(document, &absolute(directory), flags.text("config").is_some())?;
    }
    state.apply_flags(flags, &mut document);
    let (gates, errors) = FeatureGates::resolve(&bool_map(document.get("featureGates")));
    for error in errors {
        let path = format!("featureGates.{}", error.name());
        let origin = state.sources.of(&path);
        let problem = Problem::new(Stage::Validate, path, error.to_string(), error.hint());
        state.problems.push(Problem { origin: Some(origin.to_string()), ..problem });
    }
    shape::prune(KubeletConfiguration::FIELDS, &mut document);
    document.insert("apiVersion".to_owned(), API_VERSION.into());
    document.insert("kind".to_owned(), KIND.into());
    let config = serde_json::from_value(Value::Object(document.clone())).map_err(|error| {
        vec![Problem::new(
            Stage::Validate,
            "",
            format!("failed to decode: {error}"),
            "compare the field with docs/compat.md",
        )]
    })?;
    let State { sources, notices, skipped, problems, .. } = state;
    Ok(Loaded { config, document, sources, gates, notices, skipped, problems })
}

#[derive(Default)]
struct State {
    flag_gates: BTreeMap<String, bool>,
    sources: Sources,
    notices: Vec<Notice>,
    skipped: Vec<PathBuf>,
    problems: Vec<Problem>,
}

impl State {
    /// Gates that defaults depend on. Errors in them are reported once, at the end.
    fn gates(&self, document: &Map<String, Value>) -> FeatureGates {
        let mut asked = bool_map(document.get("featureGates"));
        asked.extend(self.flag_gates.clone());
        FeatureGates::resolve(&asked).0
    }

    fn file(&mut self, path: &Path) -> Result<Map<String, Value>, Vec<Problem>> {
        let stage = Stage::File(path.to_owned());
        let raw = read(path, &stage)?;
        if !raw.duplicates.is_empty() {
            self.notices.push(Notice {
                message: format!(
                    "Using lenient decoding as strict decoding failed: {}: keys given more than once: {}",
                    path.display(),
                    raw.duplicates.join(", ")
                ),
                hint: "the last one wins; delete the others".to_owned(),
            });
        }
        let (mut document, findings) = shape::check(KubeletConfiguration::FIELDS, raw.root, &stage, false);
        self.unknown(path, &findings.unknown);
        if !findings.problems.is_empty() {
            return Err(findings.problems);
        }
        let directory = path.parent().unwrap_or(Path::new("/"));
        for field in PATHS {
            resolve_path(&mut document, field, directory);
        }
        self.sources.record(KubeletConfiguration::FIELDS, &document, &Source::File(path.to_owned()));
        let gates = self.gates(&document);
        defaults::apply(&mut document, &gates);
        defaults::apply_eviction(&mut document);
        Ok(document)
    }

    fn drop_ins(
        &mut self,
        mut document: Map<String, Value>,
        directory: &Path,
        has_file: bool,
    ) -> Result<Map<String, Value>, Vec<Problem>> {
        let stage = Stage::DropIns;
        let found = dropin::walk(directory).map_err(|(path, error)| {
            let cause = format!(
                "failed to walk through kubelet dropin directory {:?}: {error}",
                path.display().to_string()
            );
            vec![Problem::new(
                stage.clone(),
                "--config-dir",
                cause,
                "create the directory, or delete the flag",
            )]
        })?;
        self.skipped = found.skipped;
        shape::prune(KubeletConfiguration::FIELDS, &mut document);
        let mut problems = Vec::new();
        for path in &found.files {
            let raw = match read(path, &stage) {
                Ok(raw) => raw,
                Err(more) => {
                    problems.extend(more);
                    continue;
                }
            };
            for duplicate in &raw.duplicates {
                let cause = format!(
                    "failed to load kubelet dropin file, path: {}: strict decoding error: key {duplicate:?} already set in map",
                    path.display()
                );
                problems.push(Problem::new(stage.clone(), duplicate, cause, "give each key once"));
            }
            let (patch, findings) = shape::check(KubeletConfiguration::FIELDS, raw.root, &stage, true);
            self.unknown(path, &findings.unknown);
            problems.extend(findings.problems.into_iter().map(|problem| Problem {
                origin: Some(Source::DropIn(path.clone()).to_string()),
                ..problem
            }));
            self.sources.record(KubeletConfiguration::FIELDS, &patch, &Source::DropIn(path.clone()));
            let mut merged = Value::Object(document);
            json_patch::merge(&mut merged, &Value::Object(patch));
            document = match merged {
                Value::Object(map) => map,
                _ => Map::new(),
            };
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        if !has_file && !found.files.is_empty() {
            self.notices.push(Notice {
                message: "--config-dir without --config: the defaults of the flags apply, which let anonymous requests in and allow everything".to_owned(),
                hint: "give --config as well (a file with apiVersion and kind is enough) to get the secure defaults".to_owned(),
            });
        }
        let gates = self.gates(&document);
        defaults::apply(&mut document, &gates);
        Ok(document)
    }

    fn unknown(&mut self, path: &Path, unknown: &[(String, Option<&'static str>)]) {
        for (field, close) in unknown {
            self.notices.push(Notice {
                message: format!(
                    "Using lenient decoding as strict decoding failed: {}: unknown field {field:?}",
                    path.display()
                ),
                hint: match close {
                    Some(close) => format!("it is ignored; did you mean {close}?"),
                    None => "it is ignored; delete it".to_owned(),
                },
            });
        }
    }

    /// Writes the flags over the document. Gates are added, everything else is replaced.
    fn apply_flags(&mut self, flags: &RawFlags, document: &mut Map<String, Value>) {
        for (name, value) in &flags.values {
            let Some(path) = table::find(name).and_then(|flag| flag.field) else { continue };
            let source = Source::Flag(name);
            if path == "featureGates" {
                let gates = document.entry(path).or_insert_with(|| Value::Object(Map::new()));
                if let (Value::Object(gates), Value::Object(more)) = (gates, value) {
                    for (gate, on) in more {
                        gates.insert(gate.clone(), on.clone());
                        self.sources.set(&format!("{path}.{gate}"), source.clone());
                    }
                }
                continue;
            }
            if let Value::Object(map) = value {
                for key in map.keys() {
                    self.sources.set(&format!("{path}.{key}"), source.clone());
                }
            }
            self.sources.set(path, source);
            write_at(document, path, value.clone());
        }
    }
}

fn read(path: &Path, stage: &Stage) -> Result<document::Document, Vec<Problem>> {
    let at = path.display().to_string();
    let problem = |cause: String, hint: &str| vec![Problem::new(stage.clone(), at.clone(), cause, hint)];
    let bytes = fs::read(path).map_err(|error| {
        problem(
            format!("failed to read kubelet config file {at:?}, error: {error}"),
            "check the path and the permissions of the file",
        )
    })?;
    let document = document::read(&bytes).map_err(|error| match error {
        document::DocumentError::Empty => problem(
            format!("kubelet config file {at:?} was empty"),
            "write at least apiVersion: kubelet.config.k8s.io/v1beta1 and kind: KubeletConfiguration",
        ),
        error => problem(
            format!("failed to decode {at:?}: {error}"),
            "correct the syntax; the position is in the message",
        ),
    })?;
    let text = |name: &str| document.root.get(name).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let hint = "write apiVersion: kubelet.config.k8s.io/v1beta1 and kind: KubeletConfiguration";
    if version.is_empty() || kind.is_empty() {
        let which = if kind.is_empty() { "Kind" } else { "apiVersion" };
        return Err(problem(format!("{at}: no apiVersion/kind: Object '{which}' is missing"), hint));
    }
    if version != API_VERSION || kind != KIND {
        let cause =
            format!("{at}: unknown apiVersion/kind: no kind {kind:?} is registered for version {version:?}");
        return Err(problem(cause, hint));
    }
    Ok(document)
}

fn bool_map(value: Option<&Value>) -> BTreeMap<String, bool> {
    let pairs = value.and_then(Value::as_object).into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_bool()?))).collect()
}

/// Sets a dotted path, making the objects on the way.
fn write_at(document: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            document.insert(path.to_owned(), value);
        }
        Some((head, tail)) => {
            let inner = document.entry(head).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                write_at(inner, tail, value);
            }
        }
    }
}

/// Value at a dotted path; keys of maps may hold dots themselves.
#[must_use]
pub fn read_at<'a>(document: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = document.get(path) {
        return Some(value);
    }
    path.match_indices('.')
        .find_map(|(dot, _)| read_at(document.get(&path[..dot])?.as_object()?, &path[dot + 1..]))
}

fn resolve_path(document: &mut Map<String, Value>, path: &str, directory: &Path) {
    let Some(text) = read_at(document, path).and_then(Value::as_str) else { return };
    if text.is_empty() || text.starts_with('/') {
        return;
    }
    let joined = clean(&directory.join(text)).display().to_string();
    write_at(document, path, joined.into());
}

/// Absolute and clean, against the working directory.
#[must_use]
pub fn absolute(path: &str) -> PathBuf {
    let path = Path::new(path);
    if path.is_absolute() {
        return clean(path);
    }
    clean(&std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")).join(path))
}

/// The path without `.`, `..`, and doubled or trailing slashes; purely lexical.
#[must_use]
pub fn clean(path: &Path) -> PathBuf {
    let mut parts: Vec<Component<'_>> = Vec::new();
    for part in path.components() {
        match (part, parts.last()) {
            (Component::CurDir, _) | (Component::ParentDir, Some(Component::RootDir)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                parts.pop();
            }
            (part, _) => parts.push(part),
        }
    }
    if parts.is_empty() { PathBuf::from(".") } else { parts.into_iter().collect() }
}

#[cfg(test)]
mod tests;

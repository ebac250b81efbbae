//! Collects what is wrong with a pod, under field paths and in the API server's words.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::spec::{hash::go_json_string, names, quote::go_quote, static_pod::Problem};

/// Problems found so far. Values are shown as the API server shows them: texts in quotes, numbers and truth values plain,
/// everything else as JSON.
#[derive(Default)]
pub(super) struct Checker {
    problems: Vec<Problem>,
}

impl Checker {
    /// How many problems there are so far.
    pub(super) fn count(&self) -> usize {
        self.problems.len()
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    pub(super) fn add(&mut self, field: &str, detail: String, hint: &'static str) {
        self.problems.push(Problem { field: field.to_owned(), detail, hint });
    }

    pub(super) fn required(&mut self, field: &str, detail: &str, hint: &'static str) {
        let detail =
            if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        self.add(field, detail, hint);
    }

    pub(super) fn invalid(&mut self, field: &str, value: &str, detail: &str) {
        self.invalid_json(field, &go_quote(value), detail);
    }

    pub(super) fn invalid_number(&mut self, field: &str, value: i64, detail: &str) {
        self.invalid_json(field, &value.to_string(), detail);
    }

    /// `value` is JSON already.
    pub(super) fn invalid_json(&mut self, field: &str, value: &str, detail: &str) {
        self.add(field, format!("Invalid value: {value}: {detail}"), "");
    }

    pub(super) fn invalid_list(&mut self, field: &str, values: &[String], detail: &str) {
        let values: Vec<String> = values.iter().map(|value| json_text(value)).collect();
        self.invalid_json(field, &format!("[{}]", values.join(",")), detail);
    }

    pub(super) fn forbidden(&mut self, field: &str, detail: &str) {
        self.add(field, format!("Forbidden: {detail}"), "");
    }

    pub(super) fn duplicate(&mut self, field: &str, value: &str, hint: &'static str) {
        self.add(field, format!("Duplicate value: {}", go_quote(value)), hint);
    }

    pub(super) fn not_found(&mut self, field: &str, value: &str, hint: &'static str) {
        self.add(field, format!("Not found: {}", go_quote(value)), hint);
    }

    /// `most` in bytes.
    pub(super) fn too_long(&mut self, field: &str, most: usize) {
        self.add(field, format!("Too long: may not be more than {most} bytes"), "");
    }

    pub(super) fn at_most(&mut self, field: &str, count: usize, most: usize) {
        if count > most {
            self.add(field, format!("Too many: {count}: must have at most {most} items"), "");
        }
    }

    pub(super) fn names(&mut self, field: &str, value: &str, problems: Vec<String>) {
        for problem in problems {
            self.invalid(field, value, &problem);
        }
    }

    /// One of a few words. `allowed` in the order in which they are listed to the user.
    pub(super) fn supported(&mut self, field: &str, value: &str, allowed: &[&str]) {
        if allowed.contains(&value) {
            return;
        }
        let allowed: Vec<String> = allowed.iter().map(|word| go_quote(word)).collect();
        let detail =
            format!("Unsupported value: {}: supported values: {}", go_quote(value), allowed.join(", "));
        self.add(field, detail, "");
    }

    /// As [`Self::supported`]; a word that is empty or absent is asked for.
    pub(super) fn one_of(&mut self, field: &str, value: Option<&str>, allowed: &[&str]) {
        match value.unwrap_or_default() {
            "" => self.required(field, "", ""),
            value => self.supported(field, value, allowed),
        }
    }

    pub(super) fn not_negative(&mut self, field: &str, value: i64) {
        if value < 0 {
            self.invalid_number(field, value, "must be greater than or equal to 0");
        }
    }

    /// A user or group id.
    pub(super) fn id(&mut self, field: &str, id: Option<i64>) {
        if let Some(id) = id
            && !(0..=i64::from(i32::MAX)).contains(&id)
        {
            self.invalid_number(field, id, "must be between 0 and 2147483647, inclusive");
        }
    }

    /// Permissions of files.
    pub(super) fn file_mode(&mut self, field: &str, mode: Option<i32>) {
        if let Some(mode) = mode.filter(|mode| !(0..=0o777).contains(mode)) {
            let detail = "must be a number between 0 and 0777 (octal), both inclusive";
            self.invalid_number(field, i64::from(mode), detail);
        }
    }

    pub(super) fn port_number(&mut self, field: &str, port: i32) {
        for problem in names::port_problems(port) {
            self.invalid_number(field, i64::from(port), &problem);
        }
    }

    pub(super) fn port(&mut self, field: &str, port: &IntOrString) {
        match port {
            IntOrString::Int(number) => self.port_number(field, *number),
            IntOrString::String(name) => self.names(field, name, names::port_name_problems(name)),
        }
    }

    /// A path that does not lead up.
    pub(super) fn no_backsteps(&mut self, field: &str, path: &str) {
        if path.split('/').any(|part| part == "..") {
            self.invalid(field, path, "must not contain '..'");
        }
    }

    /// A path below a directory: relative and without `..`.
    pub(super) fn descending_path(&mut self, field: &str, path: &str) {
        if path.starts_with('/') {
            self.invalid(field, path, "must be a relative path");
        }
        self.no_backsteps(field, path);
    }

    /// The path of a file in a volume whose own files begin with `..`.
    pub(super) fn file_path(&mut self, field: &str, path: &str) {
        if path.is_empty() {
            self.required(field, "", "");
        }
        self.descending_path(field, path);
        if path.starts_with("..") && !path.starts_with("../") {
            self.invalid(field, path, "must not start with '..'");
        }
    }
}

/// A text as JSON.
pub(super) fn json_text(text: &str) -> String {
    let mut out = String::new();
    go_json_string(&mut out, text);
    out
}

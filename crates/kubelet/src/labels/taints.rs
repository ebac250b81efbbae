//! Taints: `key=value:Effect`, `key:Effect`.

use k8s_openapi::api::core::v1::Taint;

use super::{name_problem, value_problem};

/// Why a text is no taint. Displays in upstream's words.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TaintError {
    /// Not the form, or a bad key or value.
    #[error("invalid taint spec: {spec}{}", problem.map(|problem| format!(", {problem}")).unwrap_or_default())]
    Spec {
        /// The text.
        spec: String,
        /// What is wrong with its key or value.
        problem: Option<&'static str>,
    },
    /// Not an effect.
    #[error("invalid taint effect: {0}, unsupported taint effect")]
    Effect(String),
    /// The same key and effect twice.
    #[error("duplicated taints with the same key and effect: {key}:{effect}")]
    Duplicate {
        /// Key.
        key: String,
        /// Effect.
        effect: String,
    },
}

/// The effects there are.
pub const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// A comma-separated list. Items that end in `-` would remove a taint and are skipped, as upstream does.
///
/// # Errors
/// [`TaintError`] of the first bad item.
pub fn parse_list(text: &str) -> Result<Vec<Taint>, TaintError> {
    let mut taints: Vec<Taint> = Vec::new();
    if text.is_empty() {
        return Ok(taints);
    }
    for spec in text.split(',').filter(|spec| !spec.ends_with('-')) {
        let taint = parse(spec)?;
        if taints.iter().any(|other| other.key == taint.key && other.effect == taint.effect) {
            return Err(TaintError::Duplicate { key: taint.key, effect: taint.effect });
        }
        taints.push(taint);
    }
    Ok(taints)
}

fn parse(spec: &str) -> Result<Taint, TaintError> {
    let bad = |problem| TaintError::Spec { spec: spec.to_owned(), problem };
    let (pair, effect) = spec.split_once(':').ok_or_else(|| bad(None))?;
    if effect.contains(':') {
        return Err(bad(None));
    }
    if !EFFECTS.contains(&effect) {
        return Err(TaintError::Effect(effect.to_owned()));
    }
    let (key, value) = match pair.split_once('=') {
        Some((_, value)) if value.contains('=') => return Err(bad(None)),
        Some((key, value)) => (key, Some(value)),
        None => (pair, None),
    };
    if let Some(problem) = name_problem(key).or_else(|| value_problem(value.unwrap_or_default())) {
        return Err(bad(Some(problem)));
    }
    Ok(Taint {
        key: key.to_owned(),
        value: value.filter(|value| !value.is_empty()).map(str::to_owned),
        effect: effect.to_owned(),
        time_added: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let taints = parse_list("a=b:NoSchedule,c:NoExecute,gone-").unwrap();
        assert_eq!(taints.len(), 2);
        assert_eq!((taints[0].value.as_deref(), taints[1].value.as_deref()), (Some("b"), None));
        for (text, error) in [
            ("a", "invalid taint spec: a"),
            ("a=b=c:NoSchedule", "invalid taint spec: a=b=c:NoSchedule"),
            ("a:Never", "invalid taint effect: Never, unsupported taint effect"),
            ("a:NoSchedule,a=x:NoSchedule", "duplicated taints with the same key and effect: a:NoSchedule"),
        ] {
            assert_eq!(parse_list(text).unwrap_err().to_string(), error);
        }
    }
}

//! What is wrong with the command line or the configuration, told so that it can be put right.

use std::{fmt, path::PathBuf};

/// Where the start was when it found a problem. Displays as the words that upstream puts before the cause.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Reading the command line.
    Parse,
    /// Checking flags that have no field.
    Flags,
    /// Reading the file of `--config`.
    File(PathBuf),
    /// Reading and merging the drop-ins.
    DropIns,
    /// Checking the outcome.
    Validate,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parse => f.write_str("failed to parse kubelet flag"),
            Self::Flags => f.write_str("failed to validate kubelet flags"),
            Self::File(path) => {
                write!(f, "failed to load kubelet config file, path: {}, error", path.display())
            }
            Self::DropIns => f.write_str("failed to merge kubelet configs"),
            Self::Validate => f.write_str("failed to validate kubelet configuration, error"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// When it was found.
    pub stage: Stage,
    /// Field (dotted path), flag (`--name`) or file that it is about.
    pub path: String,
    /// Offending value as text, where there is one.
    pub value: Option<String>,
    /// Where that value came from.
    pub origin: Option<String>,
    /// What is wrong, in upstream's words where upstream says it.
    pub cause: String,
    /// What to do.
    pub hint: String,
}

impl Problem {
    /// A problem without a value.
    #[must_use]
    pub fn new(
        stage: Stage,
        path: impl Into<String>,
        cause: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { stage, path: path.into(), value: None, origin: None, cause: cause.into(), hint: hint.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.cause)?;
        if !self.path.is_empty() {
            write!(f, "\n  at: {}", self.path)?;
        }
        if let Some(value) = &self.value {
            write!(f, "\n  value: {value}")?;
            if let Some(origin) = &self.origin {
                write!(f, " (from {origin})")?;
            }
        }
        write!(f, "\n  hint: {}", self.hint)
    }
}

/// All problems as one line, the way upstream logs them: stages in order, several causes in brackets.
#[must_use]
pub fn summary(problems: &[Problem]) -> String {
    let mut stages: Vec<&Stage> = Vec::new();
    for problem in problems {
        if !stages.contains(&&problem.stage) {
            stages.push(&problem.stage);
        }
    }
    let of_stage = |stage: &Stage| {
        let causes: Vec<_> = problems
            .iter()
            .filter(|problem| problem.stage == *stage)
            .map(|problem| problem.cause.as_str())
            .collect();
        match causes.as_slice() {
            [one] => format!("{stage}: {one}"),
            many => format!("{stage}: [{}]", many.join(", ")),
        }
    };
    stages.into_iter().map(of_stage).collect::<Vec<_>>().join("; ")
}

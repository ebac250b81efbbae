//! Command line flags: one table makes the parser, `--help`, the `FLAG:` log lines and the docs.
//!
//! ```text
//!   argv ─► lexer (pflag's grammar) ─► value (typed, accumulated) ─► RawFlags ─► config::load ─► Settings
//! ```
//!
//! Invariants: every flag of upstream 1.37.2 is in [`table::FLAGS`] with upstream's type and default; a flag that mirrors
//! a configuration field holds no meaning of its own, it only writes that field. Flags that upstream has dropped are in
//! [`removed::REMOVED`]: accepted, ignored, and named on stderr.

pub mod help;
pub mod lexer;
pub mod removed;
pub mod support;
pub mod table;
pub mod value;

pub use lexer::{ParseError, RawFlags, parse};
pub use table::{FLAGS, find};

/// One flag.
#[derive(Debug)]
pub struct Flag {
    /// Long name.
    pub name: &'static str,
    /// One-letter form.
    pub short: Option<char>,
    /// Type of the value.
    pub kind: Kind,
    /// Default, as pflag prints it.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Whether, and in favour of what, it is deprecated.
    pub deprecated: Deprecation,
    /// Configuration field that it writes, as a dotted path.
    pub field: Option<&'static str>,
}

/// Type of a flag's value, by pflag's or upstream's value types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`; the value may be left out.
    Bool,
    /// 32-bit number: decimal, `0x`, `0o`, `0b`.
    Int32,
    /// 64-bit number.
    Int64,
    /// Any text.
    Text,
    /// `1m30s`.
    Duration,
    /// An IP address.
    Ip,
    /// Comma-separated list (CSV quoting); repeating appends.
    Texts,
    /// `key=value,key2=value2`; repeating adds.
    TextMap,
    /// One `key=value` a time; the value may hold commas.
    TextMapUnsplit,
    /// `key=true,key2=false`; repeating adds.
    BoolMap,
    /// `key<value,key2<value2`; repeating adds.
    AngleMap,
    /// `key:value,key:value2`; a key may repeat.
    ColonMultimap,
    /// `key=value,key2`; a value may be left out.
    Labels,
    /// Verbosity, 0 to 2³¹−1.
    Level,
    /// `pattern=N,…`; repeating adds.
    VModule,
    /// `true`, `raw` or `vX.Y.Z…`.
    Version,
    /// `10Mi`.
    Quantity,
    /// `key=value:Effect,…`; the last one wins.
    Taints,
    /// `node:type=quantity,…;node:…`; repeating adds.
    ReservedMemory,
}

impl Kind {
    /// Upstream's name of the type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Text => "string",
            Self::Duration => "duration",
            Self::Ip => "ip",
            Self::Texts => "stringSlice",
            Self::TextMap | Self::TextMapUnsplit | Self::AngleMap | Self::Labels => "mapStringString",
            Self::BoolMap => "mapStringBool",
            Self::ColonMultimap => "colonSeparatedMultimapStringString",
            Self::Level => "Level",
            Self::VModule => "pattern=N,...",
            Self::Version => "version",
            Self::Quantity => "quantity",
            Self::Taints => "[]v1.Taint",
            Self::ReservedMemory => "reserved-memory",
        }
    }

    /// The value that a flag without one gets; `None` when it needs one.
    #[must_use]
    pub fn implied(self) -> Option<&'static str> {
        matches!(self, Self::Bool | Self::Version).then_some("true")
    }
}

/// Whether a flag is deprecated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deprecation {
    /// No.
    No,
    /// In favour of the configuration file.
    ConfigFile,
    /// For another reason, in upstream's words.
    Because(&'static str),
}

impl Deprecation {
    /// What stands behind `has been deprecated, `.
    #[must_use]
    pub fn hint(self) -> Option<&'static str> {
        match self {
            Self::No => None,
            Self::ConfigFile => Some(
                "This parameter should be set via the config file specified by the Kubelet's --config flag. \
                 See https://kubernetes.io/docs/tasks/administer-cluster/kubelet-config-file/ for more information.",
            ),
            Self::Because(text) => Some(text),
        }
    }
}

/// The candidate that a mistyped name most likely meant: at most a third of its letters differ.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edit distance (insert, delete, replace, swap of neighbours), ASCII case ignored.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let letters = |text: &str| text.chars().map(|c| c.to_ascii_lowercase()).collect::<Vec<char>>();
    let (a, b) = (letters(a), letters(b));
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before_last[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests;

//! pflag's grammar: what is a flag, what is its value, what is left.
//!
//! `--name=value`, `--name value`, `--bool`, `-v4`, `-v=4`, `-v 4`, `--` ends the flags, `_` in a name reads as `-`.
//! Unlike pflag we go on after an error and report all of them; the first is worded as upstream's.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Flag, find, nearest,
    removed::{self, Removed},
    table::FLAGS,
    value::{self, ValueError},
};

/// What the command line said, each value of its type. Nothing is checked beyond a flag's own type.
#[derive(Clone, Debug, Default)]
pub struct RawFlags {
    /// Value by flag name, in the form that the mirrored configuration field has.
    pub values: BTreeMap<&'static str, Value>,
    /// Arguments that are not flags.
    pub positional: Vec<String>,
    /// Deprecated flags in use, once each.
    pub deprecated: Vec<&'static Flag>,
    /// Removed flags in use, once each.
    pub removed: Vec<&'static Removed>,
}

impl RawFlags {
    /// Text of a flag that holds one; `None` when not given or empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A bool flag; false when not given.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.values.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Every flag with its value as pflag prints it: the `FLAG:` lines and `/flagz`. Sorted by name.
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        FLAGS.iter().map(|flag| {
            let text = match self.values.get(flag.name) {
                Some(value) => value::print(flag.kind, value),
                None => flag.default.to_owned(),
            };
            (flag.name, text)
        })
    }
}

/// Why the command line is refused. Displays in pflag's words.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseError {
    /// Never was a flag.
    #[error("unknown flag: --{name}")]
    Unknown {
        /// As given, without the value.
        name: String,
    },
    /// No such letter.
    #[error("unknown shorthand flag: '{letter}' in -{group}")]
    UnknownShort {
        /// The letter.
        letter: char,
        /// The whole group.
        group: String,
    },
    /// `--=x`, `---x`.
    #[error("bad flag syntax: {text}")]
    Syntax {
        /// The argument.
        text: String,
    },
    /// The last argument wants a value.
    #[error("flag needs an argument: {flag}")]
    NeedsValue {
        /// `--name`, or `'v' in -v`.
        flag: String,
    },
    /// The value is not of the flag's type.
    #[error("invalid argument {text:?} for \"{flag}\" flag: {cause}")]
    Invalid {
        /// `--name`, or `-v, --v`.
        flag: String,
        /// The value.
        text: String,
        /// Why.
        cause: ValueError,
    },
    /// A removed flag with a value that asks for something that is gone.
    #[error("--{name}={text} is not possible any more")]
    Gone {
        /// Flag name.
        name: &'static str,
        /// Its value.
        text: String,
        /// What to do.
        hint: &'static str,
    },
}

impl ParseError {
    /// What the operator can do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown { name } => {
                let name = name.replace('_', "-");
                let known =
                    FLAGS.iter().map(|flag| flag.name).chain(removed::REMOVED.iter().map(|flag| flag.name));
                match nearest(&name, known) {
                    Some(close) => format!("did you mean --{close}? `kubelet --help` lists all flags"),
                    None => "`kubelet --help` lists all flags".to_owned(),
                }
            }
            Self::UnknownShort { .. } | Self::Syntax { .. } => {
                "flags are written --name=value; the only one-letter flags are -v and -h".to_owned()
            }
            Self::NeedsValue { flag } => format!("write {flag}=<value>"),
            Self::Invalid { cause, .. } => cause.hint().to_owned(),
            Self::Gone { hint, .. } => (*hint).to_owned(),
        }
    }
}

/// Reads the arguments (without the program's name).
///
/// # Errors
/// All that is wrong with them, in order.
pub fn parse<I: IntoIterator<Item = String>>(args: I) -> Result<RawFlags, Vec<ParseError>> {
    let mut args = args.into_iter();
    let mut flags = RawFlags::default();
    let mut errors = Vec::new();
    while let Some(arg) = args.next() {
        if arg == "--" {
            flags.positional.extend(args);
            break;
        }
        let result = if arg.starts_with("--") {
            long(&arg, &mut args, &mut flags)
        } else if arg.len() > 1 && arg.starts_with('-') {
            short(&arg[1..], &mut args, &mut flags)
        } else {
            flags.positional.push(arg);
            Ok(())
        };
        errors.extend(result.err());
    }
    if errors.is_empty() { Ok(flags) } else { Err(errors) }
}

fn long(arg: &str, rest: &mut impl Iterator<Item = String>, flags: &mut RawFlags) -> Result<(), ParseError> {
    let body = &arg[2..];
    if body.starts_with(['-', '=']) {
        return Err(ParseError::Syntax { text: arg.to_owned() });
    }
    let (given, inline) = match body.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (body, None),
    };
    let name = given.replace('_', "-");
    let needs_value = || ParseError::NeedsValue { flag: format!("--{given}") };
    if let Some(flag) = find(&name) {
        let text = inline
            .or_else(|| flag.kind.implied().map(str::to_owned))
            .or_else(|| rest.next())
            .ok_or_else(needs_value)?;
        return set(flag, text, flags);
    }
    if let Some(flag) = removed::find(&name) {
        let text = inline
            .or_else(|| flag.implied().map(str::to_owned))
            .or_else(|| rest.next())
            .ok_or_else(needs_value)?;
        if let Some(hint) = flag.refuses(&text) {
            return Err(ParseError::Gone { name: flag.name, text, hint });
        }
        if !flags.removed.iter().any(|seen| seen.name == flag.name) {
            flags.removed.push(flag);
        }
        return Ok(());
    }
    Err(ParseError::Unknown { name: given.to_owned() })
}

fn short(
    group: &str,
    rest: &mut impl Iterator<Item = String>,
    flags: &mut RawFlags,
) -> Result<(), ParseError> {
    let mut letters = group;
    while let Some(letter) = letters.chars().next() {
        let Some(flag) = FLAGS.iter().find(|flag| flag.short == Some(letter)) else {
            return Err(ParseError::UnknownShort { letter, group: letters.to_owned() });
        };
        let tail = &letters[letter.len_utf8()..];
        let (text, remaining) = if tail.len() > 1 && tail.starts_with('=') {
            (tail[1..].to_owned(), "")
        } else if let Some(implied) = flag.kind.implied() {
            (implied.to_owned(), tail)
        } else if !tail.is_empty() {
            (tail.to_owned(), "")
        } else if let Some(next) = rest.next() {
            (next, "")
        } else {
            return Err(ParseError::NeedsValue { flag: format!("'{letter}' in -{letters}") });
        };
        set(flag, text, flags)?;
        letters = remaining;
    }
    Ok(())
}

fn set(flag: &'static Flag, text: String, flags: &mut RawFlags) -> Result<(), ParseError> {
    if flag.deprecated.hint().is_some() && !flags.deprecated.iter().any(|seen| seen.name == flag.name) {
        flags.deprecated.push(flag);
    }
    match value::accumulate(flag.kind, flags.values.get(flag.name), &text) {
        Ok(Some(value)) => {
            flags.values.insert(flag.name, value);
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(cause) => Err(ParseError::Invalid {
            flag: match flag.short {
                Some(letter) => format!("-{letter}, --{}", flag.name),
                None => format!("--{}", flag.name),
            },
            text,
            cause,
        }),
    }
}

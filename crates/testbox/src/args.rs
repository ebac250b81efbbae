//! Command line words into values: `--name value`, `--name=value`, switches, positionals, `--` ends the flags.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use anyhow::{Context, Result, bail};

use crate::commands::Command;

/// The parsed words of one subcommand; flags are known to exist.
#[derive(Debug)]
pub(crate) struct Args {
    flags: BTreeMap<&'static str, Vec<String>>,
    positional: Vec<String>,
}

impl Args {
    /// Check the words against the table.
    pub(crate) fn parse(command: &'static Command, words: Vec<String>) -> Result<Self> {
        let mut args = Self { flags: BTreeMap::new(), positional: Vec::new() };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if word == "--" {
                args.positional.extend(words.by_ref());
                break;
            }
            let Some(body) = word.strip_prefix("--") else {
                args.positional.push(word);
                continue;
            };
            let (name, inline) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (body, None),
            };
            let Some(flag) = command.flags.iter().find(|flag| flag.name == name) else {
                bail!("no flag '--{name}'");
            };
            let value = match (flag.value.is_empty(), inline) {
                (true, None) => String::new(),
                (true, Some(_)) => bail!("'--{name}' takes no value"),
                (false, Some(value)) => value,
                (false, None) => {
                    words.next().with_context(|| format!("'--{name}' wants a {}", flag.value))?
                }
            };
            args.flags.entry(flag.name).or_default().push(value);
        }
        if command.positional.is_empty() && !args.positional.is_empty() {
            bail!("takes no argument '{}'", args.positional[0]);
        }
        if command.positional.starts_with(char::is_alphabetic) && args.positional.is_empty() {
            bail!("wants {}", command.positional);
        }
        Ok(args)
    }

    /// Words that are no flags.
    pub(crate) fn positional(&self) -> &[String] {
        &self.positional
    }

    /// Every value of a repeated flag, in order.
    pub(crate) fn all(&self, name: &str) -> &[String] {
        self.flags.get(name).map_or(&[], Vec::as_slice)
    }

    /// The last value.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.all(name).last().map(String::as_str)
    }

    /// Whether a switch was given.
    pub(crate) fn given(&self, name: &str) -> bool {
        self.flags.contains_key(name)
    }

    /// The last value, parsed with `FromStr`.
    pub(crate) fn parsed<T: FromStr>(&self, name: &str) -> Result<Option<T>>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        self.text(name).map(|text| text.parse().with_context(|| format!("'--{name} {text}'"))).transpose()
    }

    /// The last value as a time.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Duration>> {
        self.text(name).map(|text| time(text).with_context(|| format!("'--{name} {text}'"))).transpose()
    }

    /// The last value as a size in bytes.
    pub(crate) fn size(&self, name: &str) -> Result<Option<u64>> {
        self.text(name).map(|text| size(text).with_context(|| format!("'--{name} {text}'"))).transpose()
    }
}

/// `500ms`, `2s`, `1m`, `1h`, or seconds.
pub(crate) fn time(text: &str) -> Result<Duration> {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let scale = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        unit => bail!("no time unit '{unit}' (ms, s, m, h)"),
    };
    let number: f64 = digits.parse().context("not a time")?;
    Duration::try_from_secs_f64(number * scale).context("not a time")
}

/// `4096`, `64Ki`, `10Mi`, `1Gi`, `1k`, `1M`, `1G`.
pub(crate) fn size(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let scale: u64 = match &text[digits.len()..] {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        unit => bail!("no size unit '{unit}' (k, M, G, Ki, Mi, Gi)"),
    };
    let number: u64 = digits.parse().context("not a size")?;
    number.checked_mul(scale).context("too large")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::COMMANDS;

    fn parse(line: &str) -> Result<Args> {
        let mut words = line.split_whitespace().map(str::to_owned);
        let name = words.next().unwrap();
        let command = COMMANDS.iter().find(|command| command.name == name).unwrap();
        Args::parse(command, words.collect())
    }

    #[test]
    fn times_and_sizes() {
        assert_eq!(time("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(time("1.5").unwrap(), Duration::from_millis(1500));
        assert_eq!(time("2m").unwrap(), Duration::from_secs(120));
        assert!(time("-1s").is_err());
        assert!(time("1d").is_err());
        assert!(time("").is_err());
        assert_eq!(size("64Ki").unwrap(), 65536);
        assert_eq!(size("3M").unwrap(), 3_000_000);
        assert!(size("1KiB").is_err());
        assert!(size("99999999999Gi").is_err());
    }

    #[test]
    fn flags_in_both_spellings_and_repeated() {
        let args = parse("trap --ignore=TERM --ignore INT --exit 3").unwrap();
        assert_eq!(args.all("ignore"), ["TERM", "INT"]);
        assert_eq!(args.parsed::<u8>("exit").unwrap(), Some(3));
        assert!(args.parsed::<u8>("after").unwrap().is_none());
    }

    #[test]
    fn mistakes_are_named() {
        for (line, part) in [
            ("exit --cod 3", "no flag '--cod'"),
            ("exit --code", "'--code' wants a N"),
            ("exit 3", "takes no argument '3'"),
            ("log --partial=yes", "takes no value"),
            ("print-file", "wants PATH"),
        ] {
            let message = format!("{:#}", parse(line).unwrap_err());
            assert!(message.contains(part), "{line}: {message}");
        }
    }

    #[test]
    fn words_after_two_dashes_are_no_flags() {
        let args = parse("print-args -- --code 3").unwrap();
        assert_eq!(args.positional(), ["--code", "3"]);
    }
}

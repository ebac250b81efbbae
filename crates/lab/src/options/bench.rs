//! The options of `lab bench`.

use std::{path::PathBuf, str::FromStr, time::Duration};

use anyhow::{Context as _, Result};
use lab::bench::Options;

use super::Raw;

/// Parse them, and look for mistakes.
pub(super) fn options(raw: &Raw, state: PathBuf) -> Result<Options> {
    let mut options = if raw.has("--short") { Options::short(state) } else { Options::full(state) };
    if raw.one("--name").is_some() {
        options.name = raw.name()?;
    }
    if let Some(runtime) = raw.one("--runtime") {
        options.runtime = runtime.parse()?;
    }
    if let Some(kubelet) = raw.kubelet()? {
        options.kubelet = kubelet;
    }
    if let Some(against) = raw.one("--against") {
        options.against = against.parse()?;
    }
    if let Some(list) = raw.one("--only").filter(|list| !list.is_empty()) {
        options.measures = list.split(',').map(str::parse).collect::<Result<_>>()?;
    }
    let counts = [
        ("--rounds", &mut options.rounds),
        ("--samples", &mut options.samples),
        ("--batch", &mut options.batch),
        ("--pods", &mut options.pods),
    ];
    for (name, field) in counts {
        if let Some(count) = number(raw, name)? {
            *field = count;
        }
    }
    for (name, field) in [("--settle", &mut options.settle), ("--window", &mut options.window)] {
        if let Some(seconds) = number(raw, name)? {
            *field = Duration::from_secs(seconds);
        }
    }
    options.output = raw.one("--output").map(PathBuf::from);
    options.check()?;
    Ok(options)
}

fn number<T: FromStr>(raw: &Raw, name: &str) -> Result<Option<T>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    raw.one(name).map(|text| text.parse().with_context(|| format!("{name} {text} is no number"))).transpose()
}

#[cfg(test)]
mod tests {
    use lab::{KubeletBinary, bench::Measure};

    use super::*;

    fn parsed(line: &str) -> Result<Options> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        options(&Raw::parse(&arguments)?, "/s".into())
    }

    #[test]
    fn each_option_has_its_field() {
        let found = parsed(
            "--name b --kubelet /k --against ours --only idle,start --rounds 3 --samples 7 --batch 8 --pods 9 \
             --settle 10 --window 11 --output /o",
        )
        .unwrap();
        let wanted = Options {
            name: "b".to_owned(),
            kubelet: KubeletBinary::Path("/k".into()),
            against: KubeletBinary::Ours,
            measures: [Measure::Idle, Measure::Start].into(),
            rounds: 3,
            samples: 7,
            batch: 8,
            pods: 9,
            settle: Duration::from_secs(10),
            window: Duration::from_secs(11),
            output: Some("/o".into()),
            ..Options::full("/s".into())
        };
        assert_eq!(found, wanted);
        assert_eq!(parsed("--short").unwrap(), Options::short("/s".into()));
        // As the make target gives it when nothing is chosen.
        assert_eq!(parsed("--only=").unwrap(), Options::full("/s".into()));
    }

    #[test]
    fn mistakes_are_named() {
        for (line, part) in [
            ("--only sleep", "nothing to measure"),
            ("--rounds x", "--rounds x is no number"),
            ("--window 0", "--window"),
            ("--name A", "cannot be the name"),
        ] {
            let error = format!("{:#}", parsed(line).unwrap_err());
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}

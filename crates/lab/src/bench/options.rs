//! What a bench is asked for.

use std::{collections::BTreeSet, path::PathBuf, str::FromStr, time::Duration};

use anyhow::{Result, bail, ensure};
use serde::Serialize;

use crate::spec::{KubeletBinary, Runtime};

/// Most pods of a bench: the node's range has 254 addresses.
const MOST_PODS: usize = 200;

/// One thing to measure; a kubelet's visit goes through them in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Size of the program.
    Size,
    /// Memory, processor time and CRI calls without pods.
    Idle,
    /// Answers beside clients that say nothing.
    Silent,
    /// Pods created one by one.
    Start,
    /// Containers killed one by one.
    Kill,
    /// Pods deleted one by one.
    Delete,
    /// Many pods created at once.
    Batch,
    /// Memory, processor time and CRI calls with many pods.
    Rest,
    /// Processor time of scrapes with many pods.
    Scrape,
    /// The kubelet started again with many pods.
    Restart,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Size,
        Self::Idle,
        Self::Silent,
        Self::Start,
        Self::Kill,
        Self::Delete,
        Self::Batch,
        Self::Rest,
        Self::Scrape,
        Self::Restart,
    ];

    /// Its word on the command line and in keys.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Idle => "idle",
            Self::Silent => "silent",
            Self::Start => "start",
            Self::Kill => "kill",
            Self::Delete => "delete",
            Self::Batch => "batch",
            Self::Rest => "rest",
            Self::Scrape => "scrape",
            Self::Restart => "restart",
        }
    }
}

impl FromStr for Measure {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|measure| measure.name() == text) {
            Some(measure) => Ok(measure),
            None => bail!("{text} is nothing to measure\nhint: {}", Self::ALL.map(Self::name).join(", ")),
        }
    }
}

/// What is measured, how often and how long.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Options {
    /// Name of the lab.
    pub name: String,
    /// State folder.
    #[serde(skip)]
    pub state: PathBuf,
    /// Container runtime.
    pub runtime: Runtime,
    /// The kubelet that is measured.
    #[serde(skip)]
    pub kubelet: KubeletBinary,
    /// The one that it is compared with.
    #[serde(skip)]
    pub against: KubeletBinary,
    /// What is measured.
    pub measures: BTreeSet<Measure>,
    /// Visits of each kubelet.
    pub rounds: usize,
    /// Pods created one by one, of each kubelet, over all rounds; as many are killed and deleted, and as often the pages are
    /// scraped.
    pub samples: usize,
    /// Pods created at once.
    pub batch: usize,
    /// Pods at rest.
    pub pods: usize,
    /// Time for a kubelet to come to rest before it is watched.
    pub settle: Duration,
    /// Time over which processor time and calls are counted.
    pub window: Duration,
    /// Where the figures go; a file of `STATE/bench` by default.
    #[serde(skip)]
    pub output: Option<PathBuf>,
}

impl Options {
    /// What a figure for `BUDGETS.md` wants: three quarters of an hour.
    #[must_use]
    pub fn full(state: PathBuf) -> Self {
        Self {
            name: "bench".to_owned(),
            state,
            runtime: Runtime::Containerd2,
            kubelet: KubeletBinary::Ours,
            against: KubeletBinary::Upstream,
            measures: Measure::ALL.into(),
            rounds: 2,
            samples: 16,
            batch: 50,
            pods: 100,
            settle: Duration::from_secs(120),
            window: Duration::from_secs(60),
            output: None,
        }
    }

    /// Enough to see that everything works, in some minutes; its figures mean little.
    #[must_use]
    pub fn short(state: PathBuf) -> Self {
        Self {
            rounds: 1,
            samples: 2,
            batch: 5,
            pods: 5,
            settle: Duration::from_secs(5),
            window: Duration::from_secs(10),
            ..Self::full(state)
        }
    }

    /// Look for mistakes that need no machine to be seen.
    ///
    /// # Errors
    /// The first one.
    pub fn check(&self) -> Result<()> {
        ensure!(!self.measures.is_empty(), "nothing is to be measured\nhint: --only");
        ensure!(self.rounds > 0 && self.samples > 0, "nothing is to be measured: no rounds, or no samples");
        ensure!(!self.window.is_zero(), "nothing can be counted in no time\nhint: --window 60");
        let most = self.batch.max(self.pods);
        ensure!(self.batch > 0 && self.pods > 0, "a batch or a node without pods shows nothing");
        ensure!(most <= MOST_PODS, "{most} pods are more than the lab has addresses for ({MOST_PODS})");
        Ok(())
    }

    /// Whether something is to be measured.
    #[must_use]
    pub fn wants(&self, measure: Measure) -> bool {
        self.measures.contains(&measure)
    }

    /// Samples in each round, so that together there are as many as asked for, or a few more.
    #[must_use]
    pub fn samples_a_round(&self) -> usize {
        self.samples.div_ceil(self.rounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_are_known_by_their_names() {
        for measure in Measure::ALL {
            assert_eq!(measure.name().parse::<Measure>().unwrap(), measure);
        }
        assert!("sleep".parse::<Measure>().unwrap_err().to_string().contains("restart"));
    }

    #[test]
    fn both_sizes_hold_and_mistakes_are_seen() {
        for options in [Options::full("/s".into()), Options::short("/s".into())] {
            options.check().unwrap();
            assert!(options.samples_a_round() * options.rounds >= options.samples);
        }
        let with = |change: fn(&mut Options)| {
            let mut options = Options::full("/s".into());
            change(&mut options);
            options.check().unwrap_err().to_string()
        };
        assert!(with(|options| options.pods = 201).contains("addresses"));
        assert!(with(|options| options.window = Duration::ZERO).contains("--window"));
        assert!(with(|options| options.measures.clear()).contains("--only"));
        assert!(with(|options| options.rounds = 0).contains("rounds"));
    }
}

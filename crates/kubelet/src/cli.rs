//! Which way a start goes: help, version, a subcommand, a refusal, or the node.

use std::fmt::Write as _;

use crate::{
    compat,
    config::{
        self, Loaded, Problem,
        load::Notice,
        problem::{self, Stage},
        validate::{self, CgroupVersion},
        without_effect::Idle,
    },
    flags::{self, RawFlags},
    settings::{self, Settings},
    version,
};

pub mod ask;
pub mod show;

use ask::{Question, Topic};
use show::Output;

/// What to do.
#[derive(Debug)]
pub enum Start {
    /// Print this on standard output and end well.
    Print(String),
    /// Run the node.
    Run(Box<Run>),
    /// Ask the running kubelet, and print its answer.
    Ask(Question),
    /// Refuse.
    Refuse(Refusal),
}

/// A node to run, and what to say before.
#[derive(Debug)]
pub struct Run {
    /// What to run.
    pub settings: Settings,
    /// Lines for standard error before logging starts: deprecated and removed flags.
    pub warnings: Vec<String>,
    /// To log as warnings.
    pub notices: Vec<Notice>,
    /// Effective configuration as YAML, secrets masked, to log at level 0.
    pub dump: String,
    /// `FLAG:` lines, to log at level 1.
    pub flags: Vec<String>,
    /// Files in the drop-in directory that are none, to log at level 4.
    pub skipped: Vec<String>,
}

/// Why the start is refused.
#[derive(Debug)]
pub struct Refusal {
    /// Lines for standard error first: deprecated and removed flags.
    pub warnings: Vec<String>,
    /// Warnings found on the way.
    pub notices: Vec<Notice>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl Refusal {
    fn of(problems: Vec<Problem>) -> Start {
        Start::Refuse(Self { warnings: Vec::new(), notices: Vec::new(), problems })
    }

    /// One line with upstream's words, for the log.
    #[must_use]
    pub fn summary(&self) -> String {
        problem::summary(&self.problems)
    }

    /// Every problem with its place, value and hint, for people.
    #[must_use]
    pub fn details(&self) -> String {
        self.problems.iter().fold(String::new(), |mut out, problem| {
            let _ = writeln!(out, "{problem}");
            out
        })
    }
}

/// Decides. `args` are without the program's name.
#[must_use]
pub fn start(args: Vec<String>) -> Start {
    match args.first().map(String::as_str) {
        Some("config") => show(args[1..].to_vec()),
        Some("docs") => docs(&args[1..]),
        Some("explain") => ask::parse(Topic::Explain, &args[1..]).start(),
        Some("timeline") => ask::parse(Topic::Timeline, &args[1..]).start(),
        _ => run(args),
    }
}

fn parse(args: Vec<String>) -> Result<RawFlags, Start> {
    let flags = flags::parse(args).map_err(|errors| {
        let problems = errors
            .iter()
            .map(|error| Problem::new(Stage::Parse, "", error.to_string(), error.hint()))
            .collect();
        Refusal::of(problems)
    })?;
    if let Some(argument) = flags.positional.first() {
        let mut refused = Problem::new(
            Stage::Parse,
            "",
            format!("unknown command {argument}"),
            "the kubelet takes flags only; a bool flag takes its value with an equal sign, as in --register-node=false",
        );
        if let Some(close) = flags::nearest(argument, ["config", "explain", "timeline"].into_iter()) {
            refused.hint = format!("did you mean `kubelet {close}`, with the word before all flags?");
        }
        return Err(Refusal::of(vec![refused]));
    }
    if flags.is_on("help") {
        return Err(Start::Print(flags::help::render()));
    }
    match flags.text("version") {
        Some("true") => Err(Start::Print(format!("{}\n", version::line(version::KUBERNETES)))),
        Some("raw") => Err(Start::Print(format!("{}\n", version::raw()))),
        _ => Ok(flags),
    }
}

fn warnings(flags: &RawFlags) -> Vec<String> {
    let deprecated = flags.deprecated.iter().filter_map(|flag| {
        let hint = flag.deprecated.hint()?;
        Some(format!("Flag --{} has been deprecated, {hint}", flag.name))
    });
    deprecated.chain(flags.removed.iter().map(|flag| flag.warning())).collect()
}

/// Loads and checks; everything that is wrong comes together.
fn load(flags: &RawFlags) -> Result<Loaded, Refusal> {
    let refusal = |notices, problems| Refusal { warnings: warnings(flags), notices, problems };
    let mut loaded = config::load(flags).map_err(|problems| refusal(Vec::new(), problems))?;
    let mut problems = validate::validate(&loaded, flags);
    problems.splice(0..0, std::mem::take(&mut loaded.problems));
    problems.sort_by_key(|problem| problem.stage.clone());
    if problems.is_empty() { Ok(loaded) } else { Err(refusal(loaded.notices, problems)) }
}

fn run(args: Vec<String>) -> Start {
    let flags = match parse(args) {
        Ok(flags) => flags,
        Err(start) => return start,
    };
    let mut loaded = match load(&flags) {
        Ok(loaded) => loaded,
        Err(refusal) => return Start::Refuse(refusal),
    };
    let host = validate::validate_host(&loaded, CgroupVersion::of_this_machine());
    if !host.is_empty() {
        return Start::Refuse(Refusal {
            warnings: warnings(&flags),
            notices: loaded.notices,
            problems: host,
        });
    }
    let mut notices = std::mem::take(&mut loaded.notices);
    notices.extend(config::without_effect(&loaded, &flags).into_iter().map(Idle::notice));
    let dump = show::masked_yaml(&loaded);
    let skipped = loaded.skipped.iter().map(|path| path.display().to_string()).collect();
    let lines = flags.lines().map(|(name, value)| format!("FLAG: --{name}={value:?}")).collect();
    match settings::build(loaded, &flags) {
        Ok(settings) => {
            let warnings = warnings(&flags);
            Start::Run(Box::new(Run { settings, warnings, notices, dump, flags: lines, skipped }))
        }
        Err(problems) => Start::Refuse(Refusal { warnings: warnings(&flags), notices, problems }),
    }
}

/// `kubelet config`: what would be effective, and where it came from.
fn show(args: Vec<String>) -> Start {
    let (output, args) = match Output::take(args) {
        Ok(taken) => taken,
        Err(problem) => return Refusal::of(vec![*problem]),
    };
    let flags = match parse(args) {
        Ok(flags) => flags,
        Err(start) => return start,
    };
    match load(&flags) {
        Ok(loaded) => Start::Print(show::render(&loaded, &flags, output)),
        Err(refusal) => Start::Refuse(refusal),
    }
}

/// `kubelet docs compat`: the generated part of docs/compat.md.
fn docs(args: &[String]) -> Start {
    match args {
        [section] if section == "compat" => Start::Print(compat::render()),
        _ => Refusal::of(vec![Problem::new(
            Stage::Parse,
            "",
            "unknown command docs",
            "the only document is `kubelet docs compat`",
        )]),
    }
}

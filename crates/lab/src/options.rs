//! The command line of `lab`, parsed into validated commands.

mod bench;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use lab::{KubeletBinary, MetricsApi, Mode, Spec, spec::checkout};

/// What `lab --help` prints.
const HELP: &str = "\
Runs a node on this machine: a container runtime, if wanted a control plane, and a kubelet.

Usage: lab COMMAND [OPTION]...

Commands:
  up             bring a lab up; returns when its kubelet answers and, in a cluster, its node is Ready
  down           take labs down, and say whether anything is left
  kubelet VERB   stop (SIGTERM), kill (SIGKILL), start or restart a lab's kubelet
  wait-pod POD   wait until the runtime runs POD (NAME or NAMESPACE/NAME) and show the last line of its log
  status         list labs and what of them runs
  machine start  boot Debian with systemd and cgroup v2 in a virtual machine as the node of a lab that has no kubelet
  machine kubelet WHICH  let `ours` or `upstream` be the machine's kubelet, and restart it
  machine shell  a shell on the machine; with words behind it, a command
  bench          measure a kubelet against upstream's, in a lab of its own
  build          build everything that labs need and Debian does not have
  prerequisites  install missing Debian packages, check toolchains
  check-deps     check that the workspace's rooms depend on each other in the right direction

Options for all:
  --state DIR            state folder (default: .lab in the checkout)
  --name NAME            which lab (default: default)
  --help

Options of `up`:
  --mode MODE            standalone (default) or cluster
  --runtime RUNTIME      containerd2 (default: 2.4, built from source) or containerd1 (Debian's 1.6)
  --kubelet KUBELET      ours (default: target/release/kubelet), upstream, or a path; also by KUBELET_BIN
  --kubelet-flag FLAG    one more flag for the kubelet; may be given again
  --kubelet-config JSON  laid over the kubelet's configuration, as a JSON merge patch
  --credentials KIND     certificate (default) or bootstrap-token
  --node-name NAME       name of the node (default: the lab's)
  --port-base PORT       first of the ports to listen on (default: the usual ones)
  --manifest FILE        a static pod; may be given again
  --metrics-server       run metrics-server too, for `kubectl top`; wants --mode cluster
  --replace              take down a lab of the same name first
  --no-kubelet           start everything but the kubelet

Options of `bench` (and --runtime, --kubelet; --name is `bench` by default):
  --against KUBELET      what to compare with (default: upstream)
  --only LIST            size, idle, silent, start, kill, delete, batch, rest, scrape, restart, by commas (default: all)
  --short                little of everything, to see that it works
  --rounds N             visits of each kubelet (default: 2)
  --samples N            pods created, killed and deleted one by one, and scrapes, of each kubelet (default: 16)
  --batch N              pods created at once (default: 50)
  --pods N               pods of `rest`, `scrape` and `restart` (default: 100)
  --settle SECONDS       time to come to rest (default: 120)
  --window SECONDS       time over which processor time and calls are counted (default: 60)
  --output FILE          where the figures go (default: a file in STATE/bench)

Options of `down`:
  --all                  every lab of the state folder

Options of `kubelet start` and `kubelet restart`:
  --kubelet KUBELET      another kubelet from now on";

/// What to do with a kubelet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// SIGTERM.
    Stop,
    /// SIGKILL.
    Kill,
    /// Start and wait for `/healthz`.
    Start,
    /// Stop, start.
    Restart,
}

/// What to do with a virtual machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MachineVerb {
    /// Boot it.
    Start,
    /// Run one of its kubelets.
    Kubelet(String),
    /// Run a command, or a shell.
    Shell(Vec<String>),
}

/// Whether `up` starts the kubelet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KubeletStart {
    /// Yes.
    Now,
    /// The user will.
    Later,
}

/// What `up` does about a lab of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Refuse.
    Keep,
    /// Take it down.
    Replace,
}

/// A command with its parameters.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Up { spec: Box<Spec>, existing: Existing, kubelet: KubeletStart },
    Down { state: PathBuf, name: Option<String> },
    Kubelet { state: PathBuf, name: String, verb: Verb, binary: Option<KubeletBinary> },
    WaitPod { state: PathBuf, name: String, namespace: String, pod: String },
    Status { state: PathBuf },
    Machine { state: PathBuf, name: String, verb: MachineVerb },
    Build { state: PathBuf },
    Bench(Box<lab::bench::Options>),
    Prerequisites,
    CheckDependencies,
}

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub(crate) enum Parsed {
    /// To print a text.
    Help(&'static str),
    /// To do something.
    Run(Box<Command>),
}

/// Options as they stand on the command line.
#[derive(Default)]
struct Raw {
    words: Vec<String>,
    values: Vec<(String, String)>,
    switches: Vec<String>,
}

/// Options with a value, and the commands that take them; an empty list means all.
const VALUES: [(&str, &[&str]); 20] = [
    ("--state", &[]),
    ("--name", &[]),
    ("--mode", &["up"]),
    ("--runtime", &["up", "bench"]),
    ("--kubelet", &["up", "kubelet", "bench"]),
    ("--kubelet-flag", &["up"]),
    ("--kubelet-config", &["up"]),
    ("--credentials", &["up"]),
    ("--node-name", &["up"]),
    ("--port-base", &["up"]),
    ("--manifest", &["up"]),
    ("--against", &["bench"]),
    ("--only", &["bench"]),
    ("--rounds", &["bench"]),
    ("--samples", &["bench"]),
    ("--batch", &["bench"]),
    ("--pods", &["bench"]),
    ("--settle", &["bench"]),
    ("--window", &["bench"]),
    ("--output", &["bench"]),
];
/// Options without one.
const SWITCHES: [(&str, &[&str]); 5] = [
    ("--all", &["down"]),
    ("--metrics-server", &["up"]),
    ("--replace", &["up"]),
    ("--no-kubelet", &["up"]),
    ("--short", &["bench"]),
];

impl Raw {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut raw = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (argument.as_str(), None),
            };
            if VALUES.iter().any(|(option, _)| *option == name) {
                let value = match value {
                    Some(value) => value,
                    None => rest.next().with_context(|| format!("{name} wants a value"))?.clone(),
                };
                raw.values.push((name.to_owned(), value));
            } else if SWITCHES.iter().any(|(option, _)| *option == name) && value.is_none() {
                raw.switches.push(name.to_owned());
            } else if name.starts_with('-') {
                bail!("there is no option {argument}\nhint: lab --help");
            } else {
                raw.words.push(argument.clone());
            }
        }
        Ok(raw)
    }

    /// Refuse options that the command does not take.
    fn check(&self, command: &str) -> Result<()> {
        let given = self.values.iter().map(|(name, _)| name).chain(&self.switches);
        for name in given {
            let known = VALUES.iter().chain(&SWITCHES).find(|(option, _)| option == name);
            if known.is_some_and(|(_, commands)| !commands.is_empty() && !commands.contains(&command)) {
                bail!("`lab {command}` takes no {name}\nhint: lab --help");
            }
        }
        Ok(())
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.values.iter().filter(move |(option, _)| option == name).map(|(_, value)| value.as_str())
    }

    /// The last value given.
    fn one<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).last()
    }

    fn has(&self, switch: &str) -> bool {
        self.switches.iter().any(|given| given == switch)
    }

    fn state(&self) -> Result<PathBuf> {
        let state = self
            .one("--state")
            .map_or_else(|| checkout().map(|top| top.join(".lab")), |path| Ok(path.into()))?;
        std::path::absolute(&state).context("the state folder has no absolute path")
    }

    fn name(&self) -> Result<String> {
        let name = self.one("--name").unwrap_or("default");
        lab::spec::check_name(name)?;
        Ok(name.to_owned())
    }

    fn kubelet(&self) -> Result<Option<KubeletBinary>> {
        Ok(match self.one("--kubelet") {
            Some("") | None => None,
            Some(text) => Some(text.parse()?),
        })
    }
}

/// Parse the command line, without the program's name.
pub(crate) fn parse(arguments: &[String]) -> Result<Parsed> {
    if arguments.is_empty()
        || arguments.iter().any(|argument| matches!(argument.as_str(), "--help" | "-h" | "help"))
    {
        return Ok(Parsed::Help(HELP));
    }
    let raw = Raw::parse(arguments)?;
    let words: Vec<&str> = raw.words.iter().map(String::as_str).collect();
    let command = words.first().copied().unwrap_or_default();
    raw.check(command)?;
    let state = raw.state()?;
    let command = match words.as_slice() {
        ["up"] => up(&raw, state)?,
        ["down"] => Command::Down { state, name: if raw.has("--all") { None } else { Some(raw.name()?) } },
        ["kubelet", verb] => {
            let verb = match *verb {
                "stop" => Verb::Stop,
                "kill" => Verb::Kill,
                "start" => Verb::Start,
                "restart" => Verb::Restart,
                other => bail!("a kubelet cannot {other}\nhint: stop, kill, start or restart"),
            };
            Command::Kubelet { state, name: raw.name()?, verb, binary: raw.kubelet()? }
        }
        ["wait-pod", pod] => {
            let (namespace, pod) = pod.split_once('/').unwrap_or(("default", pod));
            Command::WaitPod {
                state,
                name: raw.name()?,
                namespace: namespace.to_owned(),
                pod: pod.to_owned(),
            }
        }
        ["machine", verb @ ..] => {
            let verb = match verb {
                ["start"] => MachineVerb::Start,
                ["kubelet", which @ ("ours" | "upstream")] => MachineVerb::Kubelet((*which).to_owned()),
                ["shell", words @ ..] => {
                    MachineVerb::Shell(words.iter().map(|&word| word.to_owned()).collect())
                }
                other => bail!(
                    "a machine cannot {}\nhint: start, kubelet ours, kubelet upstream, shell",
                    other.join(" ")
                ),
            };
            Command::Machine { state, name: raw.name()?, verb }
        }
        ["bench"] => Command::Bench(Box::new(bench::options(&raw, state)?)),
        ["status"] => Command::Status { state },
        ["build"] => Command::Build { state },
        ["prerequisites"] => Command::Prerequisites,
        ["check-deps"] => Command::CheckDependencies,
        [] => bail!("no command\nhint: lab --help"),
        [..] => bail!("there is no command `{}`\nhint: lab --help", words.join(" ")),
    };
    Ok(Parsed::Run(Box::new(command)))
}

fn up(raw: &Raw, state: PathBuf) -> Result<Command> {
    let mode = raw.one("--mode").map_or(Ok(Mode::Standalone), str::parse)?;
    let mut spec = Spec::new(&raw.name()?, mode)?;
    spec.state = state;
    if let Some(runtime) = raw.one("--runtime") {
        spec.runtime = runtime.parse()?;
    }
    if let Some(kubelet) = raw.kubelet()? {
        spec.kubelet = kubelet;
    }
    if let Some(credentials) = raw.one("--credentials") {
        spec.credentials = credentials.parse()?;
    }
    if let Some(text) = raw.one("--kubelet-config") {
        spec.kubelet_config = serde_json::from_str(text).context("--kubelet-config is no JSON object")?;
    }
    if let Some(text) = raw.one("--port-base") {
        spec.port_base = Some(text.parse().with_context(|| format!("--port-base {text} is no port"))?);
    }
    if raw.has("--metrics-server") {
        spec.metrics_api = MetricsApi::MetricsServer;
    }
    spec.node_name = raw.one("--node-name").map(str::to_owned);
    spec.kubelet_flags = raw.all("--kubelet-flag").map(str::to_owned).collect();
    spec.manifests = raw.all("--manifest").map(|path| Path::new(path).to_owned()).collect();
    spec.check()?;
    Ok(Command::Up {
        spec: Box::new(spec),
        existing: if raw.has("--replace") { Existing::Replace } else { Existing::Keep },
        kubelet: if raw.has("--no-kubelet") { KubeletStart::Later } else { KubeletStart::Now },
    })
}

#[cfg(test)]
mod tests {
    use lab::Runtime;

    use super::*;

    fn parsed(line: &str) -> Result<Command> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match parse(&arguments)? {
            Parsed::Run(command) => Ok(*command),
            Parsed::Help(text) => bail!("{text}"),
        }
    }

    #[test]
    fn up_with_everything() {
        let line = "up --mode=cluster --name x --runtime containerd1 --kubelet upstream --kubelet-flag --v=4 \
                    --kubelet-flag=--seccomp-default --metrics-server --replace --state /s";
        let Command::Up { spec, existing, .. } = parsed(line).unwrap() else { unreachable!() };
        assert_eq!(
            (spec.mode, spec.runtime, existing),
            (Mode::Cluster, Runtime::Containerd1, Existing::Replace)
        );
        assert_eq!((&spec.kubelet, spec.metrics_api), (&KubeletBinary::Upstream, MetricsApi::MetricsServer));
        assert_eq!(spec.kubelet_flags, ["--v=4", "--seccomp-default"]);
        assert_eq!((spec.name.as_str(), spec.state.as_path()), ("x", Path::new("/s")));
    }

    #[test]
    fn down_of_one_and_of_all() {
        let one = Command::Down { state: "/s".into(), name: Some("default".to_owned()) };
        assert_eq!(parsed("down --state /s").unwrap(), one);
        assert_eq!(
            parsed("down --all --state /s").unwrap(),
            Command::Down { state: "/s".into(), name: None }
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (line, part) in [
            ("fly", "no command `fly`"),
            ("up --fast", "no option --fast"),
            ("up --mode", "--mode wants a value"),
            ("up --mode wild", "standalone, cluster"),
            ("down --mode cluster", "takes no --mode"),
            ("kubelet dance", "cannot dance"),
            ("up --name A", "cannot be the name"),
            ("up --port-base 1", "between 1024"),
            ("up --metrics-server", "--mode cluster"),
        ] {
            let error = parsed(line).unwrap_err().to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn help_names_every_option() {
        for (option, _) in VALUES.iter().chain(&SWITCHES) {
            assert!(HELP.contains(option), "{option}");
        }
    }
}

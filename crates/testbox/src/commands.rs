//! The table of subcommands: parser, help and dispatch come from this one place.

use std::fmt::Write as _;

use anyhow::Result;

use crate::{args::Args, eaters, games, logs, printers, serve, signals};

/// A flag of a subcommand.
pub(crate) struct Flag {
    /// Without the dashes.
    pub(crate) name: &'static str,
    /// Name of its value in the help; empty for a switch.
    pub(crate) value: &'static str,
    /// What it does, with its default.
    pub(crate) help: &'static str,
}

/// A subcommand.
pub(crate) struct Command {
    /// Its word.
    pub(crate) name: &'static str,
    /// Name of the positional arguments in the help; empty: none are taken.
    pub(crate) positional: &'static str,
    /// One line.
    pub(crate) about: &'static str,
    /// More lines for its own help; may be empty.
    pub(crate) details: &'static str,
    /// Its flags.
    pub(crate) flags: &'static [Flag],
    /// What to run.
    pub(crate) run: Run,
}

/// Which code a subcommand runs.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    Serve,
    Exit,
    Trap,
    Sleep,
    EatMemory,
    EatDisk,
    EatCpu,
    EatPids,
    PrintEnv,
    PrintArgs,
    PrintSelf,
    PrintFile,
    Log,
    Exists,
    Write,
}

const fn flag(name: &'static str, value: &'static str, help: &'static str) -> Flag {
    Flag { name, value, help }
}

const HOLD: Flag = flag("hold", "D", "then stay for this long and leave with 0 (default: for ever)");
const MESSAGE: Flag = flag("message", "TEXT", "write this to the termination log before leaving");
const MESSAGE_PATH: Flag = flag("message-path", "PATH", "the termination log (default /dev/termination-log)");

/// Everything there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: "serve",
        positional: "",
        about: "HTTP, HTTPS, TCP and gRPC health servers whose answers can be switched",
        details: serve::ROUTES,
        flags: &[
            flag("http", "PORT", "HTTP/1.1 and h2c (default 8080; 'off' for none)"),
            flag("https", "PORT", "the same over TLS, self-signed (default 8443; 'off' for none)"),
            flag("tcp", "PORT", "accepts, and sends back what it gets (default 8081; 'off' for none)"),
            flag("grpc", "PORT", "grpc.health.v1.Health, plain text (default 8082; 'off' for none)"),
            flag("listen", "ADDRESS", "address to bind (default :: and, without IPv6, 0.0.0.0)"),
            flag("start-after", "D", "bind the ports only after this time (default 0)"),
            flag("set", "PATH=CODE", "initial status of a path, for example /healthz=500; may be repeated"),
            flag("not-serving", "", "start with gRPC NOT_SERVING"),
            flag("tcp-closed", "", "start with the TCP listener closed"),
            flag("drain", "D", "after TERM keep serving for this long, with /readyz at 503 (default 0)"),
            flag("log-requests", "", "print a line for each HTTP request"),
        ],
        run: Run::Serve,
    },
    Command {
        name: "exit",
        positional: "",
        about: "leave with a code",
        details: "",
        flags: &[
            flag("code", "N", "exit code, 0 to 255 (default 0)"),
            flag("after", "D", "wait first (default 0)"),
            flag(
                "codes",
                "N,N,…",
                "a code per run: the first run takes the first, the last one repeats; wants --count-file",
            ),
            flag("count-file", "PATH", "file that remembers how many runs there were"),
            flag("stdout", "TEXT", "print this line first"),
            flag("stderr", "TEXT", "print this line on standard error first"),
            MESSAGE,
            MESSAGE_PATH,
        ],
        run: Run::Exit,
    },
    Command {
        name: "trap",
        positional: "",
        about: "signal games: print each signal, ignore some, leave on others",
        details: "Prints 'ready', then a line 'signal NAME' for each signal. Signals are names (TERM, SIGUSR1, RTMIN+3) or numbers.\n\
                  Followed are HUP, INT, QUIT, USR1, USR2, TERM, WINCH, CONT and those named by the flags.\n",
        flags: &[
            flag("on", "SIGNAL", "leave on this signal; may be repeated (default TERM unless ignored)"),
            flag("ignore", "SIGNAL", "print it and go on; may be repeated"),
            flag("exit", "N", "the code to leave with (default 0)"),
            flag("after", "D", "from the signal to the exit (default 0)"),
            MESSAGE,
            MESSAGE_PATH,
        ],
        run: Run::Trap,
    },
    Command {
        name: "sleep",
        positional: "[D]",
        about: "wait, for ever unless a time is given; TERM and INT end it with 0",
        details: "",
        flags: &[],
        run: Run::Sleep,
    },
    Command {
        name: "eat-memory",
        positional: "",
        about: "allocate and touch memory",
        details: "",
        flags: &[
            flag("bytes", "N", "how much, for example 64Mi"),
            flag("rate", "N", "bytes a second (default: at once)"),
            HOLD,
        ],
        run: Run::EatMemory,
    },
    Command {
        name: "eat-disk",
        positional: "",
        about: "fill a file, or make many",
        details: "",
        flags: &[
            flag("path", "PATH", "file to write; with --files the folder to fill"),
            flag("bytes", "N", "how much, for example 64Mi (of each file, with --files; then default 0)"),
            flag("rate", "N", "bytes a second (default: at once)"),
            flag("files", "N", "make this many files in the folder (inodes)"),
            HOLD,
        ],
        run: Run::EatDisk,
    },
    Command {
        name: "eat-cpu",
        positional: "",
        about: "keep threads busy",
        details: "",
        flags: &[flag("threads", "N", "how many (default 1)"), HOLD],
        run: Run::EatCpu,
    },
    Command {
        name: "eat-pids",
        positional: "",
        about: "start threads that wait (each counts as a pid); says how many it got",
        details: "",
        flags: &[flag("count", "N", "how many"), HOLD],
        run: Run::EatPids,
    },
    Command {
        name: "print-env",
        positional: "[NAME…]",
        about: "print the environment, sorted, or the named variables",
        details: "",
        flags: &[flag("stay", "", "then wait for TERM")],
        run: Run::PrintEnv,
    },
    Command {
        name: "print-args",
        positional: "[WORD…]",
        about: "print each argument on a line of its own",
        details: "",
        flags: &[],
        run: Run::PrintArgs,
    },
    Command {
        name: "print-self",
        positional: "",
        about: "print what this process is: ids, groups, capabilities, seccomp, limits, cgroup, host name",
        details: "",
        flags: &[flag("stay", "", "then wait for TERM")],
        run: Run::PrintSelf,
    },
    Command {
        name: "print-file",
        positional: "PATH…",
        about: "print files (or the files of a folder) with mode, owner and contents",
        details: "The format is a line '== PATH mode=0644 uid=0 gid=0 size=5', the contents, and a newline if they end without.\n\
                  A file that is not there: '== PATH missing'. One that cannot be read: '== PATH error: TEXT'.\n",
        flags: &[flag("every", "D", "look again this often, print again what changed, until TERM")],
        run: Run::PrintFile,
    },
    Command {
        name: "log",
        positional: "",
        about: "write numbered lines to both streams",
        details: "A line is 'STREAM NUMBER xxxx…', filled to --bytes. Longer ones than a runtime's buffer come out in parts.\n",
        flags: &[
            flag("lines", "N", "how many on each stream (default 10; 0: for ever)"),
            flag("bytes", "N", "length of a line without its newline (default 64)"),
            flag("every", "D", "time between lines (default 0)"),
            flag("stream", "NAME", "stdout, stderr or both (default both)"),
            flag("partial", "", "the last line gets no newline"),
            flag("stay", "", "then wait for TERM"),
        ],
        run: Run::Log,
    },
    Command {
        name: "exists",
        positional: "PATH…",
        about: "leave with 0 if every path is there, else with 1 (for exec probes)",
        details: "",
        flags: &[flag("after", "D", "wait first (default 0)")],
        run: Run::Exists,
    },
    Command {
        name: "write",
        positional: "",
        about: "write a line to a file (for hooks, and between containers)",
        details: "",
        flags: &[
            flag("path", "PATH", "the file"),
            flag("text", "TEXT", "the line (default empty)"),
            flag("append", "", "instead of replacing"),
            flag("after", "D", "wait first (default 0)"),
            flag("stay", "", "then wait for TERM"),
        ],
        run: Run::Write,
    },
];

/// Run one. TERM and INT end everything with 0, except `trap` and `serve`, which say themselves what a signal does.
pub(crate) async fn run(run: Run, args: Args) -> Result<u8> {
    match run {
        Run::Serve => serve::run(args).await,
        Run::Trap => games::trap(args).await,
        // Cancel-safe: the process leaves, nothing is resumed.
        other => tokio::select! {
            code = plain(other, args) => code,
            name = signals::termination()? => {
                eprintln!("testbox: got {name}, leaving");
                Ok(0)
            }
        },
    }
}

async fn plain(run: Run, args: Args) -> Result<u8> {
    match run {
        Run::Exit => games::exit(args).await,
        Run::Sleep => games::sleep(args).await,
        Run::EatMemory => eaters::memory(args).await,
        Run::EatDisk => eaters::disk(args).await,
        Run::EatCpu => eaters::cpu(args).await,
        Run::EatPids => eaters::pids(args).await,
        Run::PrintEnv => printers::env(args).await,
        Run::PrintArgs => printers::arguments(args),
        Run::PrintSelf => printers::this_process(args).await,
        Run::PrintFile => printers::files(args).await,
        Run::Log => logs::run(args).await,
        Run::Exists => games::exists(args).await,
        Run::Write => games::write(args).await,
        Run::Serve | Run::Trap => unreachable!("run() handles these"),
    }
}

/// `testbox --help`.
pub(crate) fn overview() -> String {
    let mut text = String::from(
        "testbox: one static program with the behaviours that tests of a kubelet want from a container\n\n\
         Usage: testbox SUBCOMMAND [FLAGS]\n\nSubcommands ('testbox SUBCOMMAND --help' says more):\n",
    );
    for command in COMMANDS {
        let _ = writeln!(text, "  {:<12} {}", command.name, command.about);
    }
    text.push_str(
        "\nTimes (D) are like 500ms, 2s, 1m, 1h, or a number of seconds. Sizes (N of bytes) are like 4096, 64Ki, 10Mi, 1Gi, 1M.\n\
         Safe as PID 1: TERM and INT end it, orphans are reaped.\n",
    );
    text
}

impl Command {
    /// `testbox SUBCOMMAND --help`.
    pub(crate) fn help(&self) -> String {
        let mut text = format!("testbox {}: {}\n\nUsage: testbox {}", self.name, self.about, self.name);
        for part in [if self.flags.is_empty() { "" } else { "[FLAGS]" }, self.positional] {
            if !part.is_empty() {
                let _ = write!(text, " {part}");
            }
        }
        text.push('\n');
        if !self.flags.is_empty() {
            text.push_str("\nFlags:\n");
        }
        for flag in self.flags {
            let _ = writeln!(text, "  {:<24} {}", format!("--{} {}", flag.name, flag.value), flag.help);
        }
        if !self.details.is_empty() {
            let _ = write!(text, "\n{}", self.details);
        }
        text
    }
}

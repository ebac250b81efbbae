//! The static test program that the lab's images carry.
//!
//! One binary, no shell needed: each subcommand is one behaviour that a kubelet test wants from a container, such as
//! answering probes in a way that can be changed at run time, leaving with a chosen code, or filling a volume.
//!
//! Invariants: it is safe as PID 1 (it handles TERM and INT itself, since the kernel applies no default action there, and
//! it reaps what is handed to it); what it prints is one fact a line, flushed at once, so that tests can wait for it.

mod args;
mod commands;
mod eaters;
mod games;
mod logs;
mod printers;
mod serve;
mod signals;

use std::process::ExitCode;

use commands::{COMMANDS, Command};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let name = words.next();
    match name.as_deref() {
        None | Some("--help" | "-h" | "help") => {
            print!("{}", commands::overview());
            ExitCode::SUCCESS
        }
        Some("--version") => {
            println!("testbox {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Some(name) => match COMMANDS.iter().find(|command| command.name == name) {
            Some(command) => dispatch(command, words.collect()).await,
            None => {
                eprintln!("testbox: no subcommand '{name}'\nhint: 'testbox --help' lists them");
                ExitCode::from(USAGE)
            }
        },
    }
}

/// Exit code for a command line that makes no sense, as in sysexits(3) `EX_USAGE`.
const USAGE: u8 = 64;

async fn dispatch(command: &'static Command, words: Vec<String>) -> ExitCode {
    if words.iter().take_while(|word| *word != "--").any(|word| word == "--help" || word == "-h") {
        print!("{}", command.help());
        return ExitCode::SUCCESS;
    }
    let args = match args::Args::parse(command, words) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("testbox {}: {error:#}\nhint: 'testbox {} --help'", command.name, command.name);
            return ExitCode::from(USAGE);
        }
    };
    signals::reap_children();
    match commands::run(command.run, args).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("testbox {}: {error:#}", command.name);
            ExitCode::FAILURE
        }
    }
}

//! Entry point: `sim --lives N --seed N [--fault-free] [--trace]`.

use std::process::ExitCode;

use anyhow::{Context, bail};
use sim::{Options, live_many};

const USAGE: &str = "usage: sim [--lives N] [--seed N] [--fault-free] [--trace]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let mut options = Options::default();
    let (mut lives, mut seed) = (10_000, 1);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = |name: &str| -> anyhow::Result<u64> {
            let text = args.next().with_context(|| format!("{name} wants a number\n{USAGE}"))?;
            text.parse().with_context(|| format!("{name} {text}: not a number\n{USAGE}"))
        };
        match arg.as_str() {
            "--lives" => lives = number("--lives")?,
            "--seed" => seed = number("--seed")?,
            "--fault-free" => options.fault_free = true,
            "--trace" => options.trace = true,
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(());
            }
            other => bail!("unknown argument {other}\n{USAGE}"),
        }
    }
    let sum = live_many(seed, lives, options)?;
    println!(
        "{lives} lives from seed {seed}: {} decisions, {} actions, {} faults, {} kubelet starts, largest state {}",
        sum.decisions, sum.actions, sum.faults, sum.starts, sum.weight
    );
    Ok(())
}

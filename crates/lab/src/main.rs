//! The `lab` command.

mod commands;
mod options;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match options::parse(&arguments) {
        Ok(options::Parsed::Help(text)) => {
            println!("{text}");
            Ok(())
        }
        Ok(options::Parsed::Run(command)) => commands::run(*command),
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

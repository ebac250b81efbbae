//! Entry point: reads the command line, sets up logging, and hands over to the wiring.

use std::{io::Write as _, process::ExitCode};

use kubelet::{
    cli::{self, Refusal, Run, Start, ask::Question},
    config::v1beta1::Logging,
    logging, process, version, wiring,
};
use tracing::{error, info, warn};

/// Threads that run tasks: the node waits far more than it computes, and each costs memory.
const WORKERS: usize = 2;

fn main() -> ExitCode {
    let args = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    match cli::start(args) {
        Start::Print(text) => {
            // A closed pipe (`kubelet --help | head`) is no failure.
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Start::Ask(question) => ask(&question),
        Start::Refuse(refusal) => refuse(&refusal),
        Start::Run(run) => start(*run),
    }
}

fn refuse(refusal: &Refusal) -> ExitCode {
    to_stderr(&refusal.warnings);
    logging::install(&Logging::default());
    for notice in &refusal.notices {
        warn!(hint = notice.hint, "{}", notice.message);
    }
    error!(err = refusal.summary(), "command failed");
    let _ = std::io::stderr().lock().write_all(refusal.details().as_bytes());
    ExitCode::FAILURE
}

/// Asks the running kubelet: the one way in which this process is a client of another.
fn ask(question: &Question) -> ExitCode {
    let answer = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli::ask::ask(question)),
        Err(cause) => Err(format!("error: cannot start the task runtime: {cause}\n")),
    };
    match answer {
        Ok(text) => {
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(text) => {
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn start(run: Run) -> ExitCode {
    let Run { settings, warnings, notices, dump, flags, skipped } = run;
    to_stderr(&warnings);
    let verbosity = logging::install(&settings.process.logging);
    info!(config = dump, "Effective KubeletConfiguration");
    drop(dump);
    if verbosity.get() >= 1 {
        flags.iter().for_each(|line| info!(v = 1, "{line}"));
    }
    drop(flags);
    for notice in &notices {
        warn!(hint = notice.hint, "{}", notice.message);
    }
    drop(notices);
    process::check_permissions();
    for file in &skipped {
        tracing::debug!(v = 4, file, "Skipped file in drop-in directory (does not have .conf extension)");
    }
    info!(
        kubeletVersion = settings.reported_version,
        build = env!("CARGO_PKG_VERSION"),
        release = version::KUBERNETES,
        "Kubelet version"
    );
    process::raise_open_files(settings.process.max_open_files);
    // Before there are other threads, which inherit it.
    if let Err(error) = linux::scheduling::ask_for_short_slices() {
        tracing::debug!(%error, "The kernel does not grant short slices");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(wiring::run(settings));
            // Without waiting for blocking calls: one may hang in the kernel, and the process is done.
            runtime.shutdown_background();
            code
        }
        Err(cause) => {
            error!(err = %cause, "command failed: cannot start the task runtime");
            ExitCode::FAILURE
        }
    }
}

fn to_stderr(lines: &[String]) {
    let mut stderr = std::io::stderr().lock();
    for line in lines {
        let _ = writeln!(stderr, "{line}");
    }
}

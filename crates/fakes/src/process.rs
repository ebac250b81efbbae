//! A process for one test: what is about a limit of the process must not be about its neighbours.

use std::{io, process::Command};

use rustix::process::{Resource, Rlimit, setrlimit};

/// Files that it may have open.
const FEW: u64 = 64;
/// Tells the process what it is for.
const CHILD: &str = "FEW_DESCRIPTORS";

/// Runs a test, by its full name, once more in a process that may have few files open, and returns whether this is that
/// process.
///
/// # Errors
/// The process cannot be made or limited.
///
/// # Panics
/// The test fails there, or there is none of this name.
pub fn with_few_descriptors(test: &str) -> io::Result<bool> {
    if std::env::var_os(CHILD).is_some() {
        setrlimit(Resource::Nofile, Rlimit { current: Some(FEW), maximum: Some(FEW) })?;
        return Ok(true);
    }
    let ended = Command::new(std::env::current_exe()?).args(["--exact", test]).env(CHILD, "1").output()?;
    let (said, erred) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success() && said.contains("1 passed"), "{said}{erred}");
    Ok(false)
}

//! Kernel settings that the kubelet depends on (contract §18).
//!
//! Memory is overcommitted and the kernel kills instead of panicking when it runs out; it reboots 10 s after a panic
//! and panics on an oops; and there are enough keys for one per container.

use std::path::Path;

use crate::{facts::Roots, files};

/// Name and value of each.
const TUNABLES: [(&str, i64); 6] = [
    ("vm/overcommit_memory", 1),
    ("vm/panic_on_oom", 0),
    ("kernel/panic", 10),
    ("kernel/panic_on_oops", 1),
    ("kernel/keys/root_maxkeys", 1_000_000),
    ("kernel/keys/root_maxbytes", 25_000_000),
];

/// What to do about a setting that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunables {
    /// Change it: the default.
    Set,
    /// Refuse to start: `protectKernelDefaults`.
    Verify,
}

/// Why a setting is not as it has to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TunableError {
    /// It differs and may not be changed.
    #[error(
        "invalid kernel flag: {name}, expected value: {expected}, actual value: {actual}; hint: set it with sysctl, or \
         turn protectKernelDefaults off"
    )]
    Differs {
        /// Sysctl, as in /proc/sys.
        name: &'static str,
        /// Wanted.
        expected: i64,
        /// Found.
        actual: i64,
    },
    /// It could not be read.
    #[error("cannot read the kernel flag {name}: {cause}")]
    Read {
        /// Sysctl.
        name: &'static str,
        /// Cause.
        cause: String,
    },
    /// It could not be changed.
    #[error("cannot set the kernel flag {name} to {expected}: {cause}")]
    Write {
        /// Sysctl.
        name: &'static str,
        /// Wanted.
        expected: i64,
        /// Cause.
        cause: String,
    },
}

/// Goes over all of them. In a user namespace a refused change is only logged (gate `KubeletInUserNamespace`).
///
/// # Errors
/// Everything that is not as it has to be.
pub fn apply(roots: &Roots, mode: Tunables, in_user_namespace: bool) -> Result<(), Vec<TunableError>> {
    let mut errors = Vec::new();
    for (name, expected) in TUNABLES {
        match apply_one(&roots.proc.join("sys").join(name), name, expected, mode) {
            Err(error @ TunableError::Write { .. }) if in_user_namespace => {
                tracing::info!("{error} (running in a user namespace, ignored)");
            }
            Err(error) => errors.push(error),
            Ok(()) => {}
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn apply_one(path: &Path, name: &'static str, expected: i64, mode: Tunables) -> Result<(), TunableError> {
    let text = files::read(path).map_err(|error| TunableError::Read { name, cause: error.to_string() })?;
    let actual: i64 =
        text.parse().map_err(|_| TunableError::Read { name, cause: format!("{text:?} is no number") })?;
    if actual == expected {
        return Ok(());
    }
    match mode {
        Tunables::Verify => Err(TunableError::Differs { name, expected, actual }),
        Tunables::Set => {
            tracing::info!("Updating kernel flag {name} from {actual} to {expected}");
            files::write(path, &expected.to_string()).map_err(|error| TunableError::Write {
                name,
                expected,
                cause: error.to_string(),
            })
        }
    }
}

#[cfg(test)]
mod tests;

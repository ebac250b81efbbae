//! One long-running process: started apart from us, found again by its pid file, stopped.
//!
//! It gets a session of its own and init for a parent, so that it outlives the `lab` command and leaves no zombie to a test
//! that uses this library. A pid is believed only if its process is in the lab's network namespace: pids are used again.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    cgroups::Groups,
    plan::{Plan, Service},
    run, wait,
};

/// Longest for a process to write its pid: it is a shell's first act.
const START_BOUND: Duration = Duration::from_secs(10);
/// Longest for a killed process to go.
const KILL_BOUND: Duration = Duration::from_secs(15);
/// Longest for a process to end by itself after SIGTERM, before it is killed.
const TERM_BOUND: Duration = Duration::from_secs(20);

/// A command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Environment variables besides the inherited ones.
    pub environment: Vec<(String, OsString)>,
}

impl Invocation {
    /// A program and its arguments.
    pub fn new(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
        }
    }
}

/// A process of a lab, running or not.
#[derive(Clone, Copy, Debug)]
pub struct Daemon<'plan> {
    plan: &'plan Plan,
    service: Service,
}

impl<'plan> Daemon<'plan> {
    pub(crate) fn new(plan: &'plan Plan, service: Service) -> Self {
        Self { plan, service }
    }

    /// Its process, if it runs.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.plan.paths.pid_file(self.service)).ok()?;
        let pid = Pid::from_raw(text.trim().parse().ok()?)?;
        (is_alive(pid) && is_in_netns(pid, &self.plan.netns_path())).then_some(pid)
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.pid().is_some()
    }

    /// Its log file. Starts append to it.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.plan.paths.log(self.service)
    }

    /// Start it; one that runs is left alone. Gives the process once its program is being run, ready or not.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self) -> Result<Pid> {
        if let Some(pid) = self.pid() {
            return Ok(pid);
        }
        let invocation = crate::services::invocation(self.plan, self.service)?;
        let pid_file = self.plan.paths.pid_file(self.service);
        let _ = fs::remove_file(&pid_file);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .with_context(|| format!("cannot write {}", self.log().display()))?;
        let errors = log.try_clone().context("cannot share the log file")?;
        let tracking =
            Groups::new(&self.plan.cgroup_root)?.tracking().unwrap_or_else(|| PathBuf::from("/dev/null"));
        // The shell enters the group, writes its pid and becomes nsenter, which becomes the program: one pid for all.
        let mut command = Command::new("setsid");
        command
            .args(["--fork", "sh", "-c", "echo $$ >\"$1\"; echo $$ >\"$2\"; shift 2; exec \"$@\"", "sh"])
            .arg(tracking)
            .arg(&pid_file)
            .arg("nsenter")
            .arg(format!("--net={}", self.plan.netns_path().display()))
            .arg(&invocation.program)
            .args(&invocation.arguments)
            .envs(invocation.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.plan.paths.dir)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        let status = command.status().with_context(|| format!("cannot start {}", self.service))?;
        if !status.success() {
            bail!("cannot start {}: setsid ended with {status}", self.service);
        }
        wait::until(&format!("{} to start", self.service), START_BOUND, || {
            Ok(self.pid().map_or_else(|| wait::Look::NotYet(run::tail(&self.log(), 3)), wait::Look::Ready))
        })
        .with_context(|| format!("{} ended at once, or did not start", self.service))
    }

    /// Wait for a condition, but no longer than the process lives.
    ///
    /// # Errors
    /// The process ended (the error shows the end of its log), or the bound is over.
    pub fn ready(&self, bound: Duration, mut look: impl FnMut() -> wait::Look<()>) -> Result<()> {
        wait::until(&format!("{} to be ready", self.service), bound, || {
            let seen = look();
            if matches!(seen, wait::Look::NotYet(_)) && !self.is_running() {
                bail!(
                    "{} has ended; its log {} ends so:\n{}",
                    self.service,
                    self.log().display(),
                    run::tail(&self.log(), 12)
                );
            }
            Ok(seen)
        })
    }

    /// Send a signal. SIGSTOP and SIGCONT make a process hang and go on.
    ///
    /// # Errors
    /// It does not run, or the signal is refused.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().with_context(|| format!("{} does not run", self.service))?;
        kill_process(pid, signal).with_context(|| format!("cannot send a signal to {}", self.service))
    }

    /// Ask it to end (SIGTERM) and wait; after 20 s it is killed. One that does not run is no error.
    ///
    /// # Errors
    /// It cannot be ended.
    pub fn stop(&self) -> Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        let _ = kill_process(pid, Signal::TERM);
        if wait::until_true("", TERM_BOUND, || !is_alive(pid)).is_err() {
            return self.kill();
        }
        self.forget()
    }

    /// Kill it (SIGKILL) and wait until it is gone. One that does not run is no error.
    ///
    /// # Errors
    /// It does not go.
    pub fn kill(&self) -> Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        let _ = kill_process(pid, Signal::KILL);
        wait::until_true(&format!("{} to go", self.service), KILL_BOUND, || !is_alive(pid))?;
        self.forget()
    }

    /// [`Self::stop`], then [`Self::start`].
    ///
    /// # Errors
    /// As those.
    pub fn restart(&self) -> Result<Pid> {
        self.stop()?;
        self.start()
    }

    fn forget(&self) -> Result<()> {
        let file = self.plan.paths.pid_file(self.service);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", file.display()))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a process lives. A zombie does not, once its other threads are gone: until then its sockets are open.
fn is_alive(pid: Pid) -> bool {
    let proc = format!("/proc/{}", pid.as_raw_nonzero());
    let Ok(stat) = fs::read_to_string(format!("{proc}/stat")) else { return false };
    // The state follows the name in brackets, which may hold anything (proc_pid_stat(5)).
    let leader_lives = stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']));
    leader_lives || fs::read_dir(format!("{proc}/task")).is_ok_and(|threads| threads.count() > 1)
}

/// Whether a process is in a network namespace.
fn is_in_netns(pid: Pid, netns: &Path) -> bool {
    let inode = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    let own = inode(Path::new(&format!("/proc/{}/ns/net", pid.as_raw_nonzero())));
    own.is_some() && own == inode(netns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn life_and_death() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert!(is_alive(pid));
        assert!(is_in_netns(pid, Path::new("/proc/self/ns/net")));
        assert!(!is_in_netns(pid, Path::new("/proc/self/ns/mnt")));
        child.kill().unwrap();
        // A zombie until it is waited for.
        wait::until_true("a zombie", Duration::from_secs(5), || !is_alive(pid)).unwrap();
        child.wait().unwrap();
    }
}

//! Black-box tests of the real kubelet binary: a lab is brought up, used as a user would, and taken down.

pub mod beside;
pub mod difference;
pub mod exposition;
pub mod history;
pub mod known;
pub mod normal;
pub mod play;
pub mod recorder;

use std::{ops::Deref, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use lab::{KubeletBinary, Lab, Spec, wait};
use serde_json::Value;

/// Longest path of a state folder with room for the sockets beneath it.
const LONGEST_STATE: usize = 50;

/// A lab for one test: taken down at the end, also when the test fails.
pub struct Node(Option<Lab>);

impl Node {
    /// Brings a lab up; one that an earlier run left behind is cleared away first. Where the test wants our kubelet,
    /// the variable `KUBELET_BIN` may name another build of it than the release binary of this checkout.
    ///
    /// # Errors
    /// It does not come up.
    pub fn up(mut spec: Spec) -> Result<Self> {
        if spec.kubelet == KubeletBinary::Ours {
            spec.kubelet = ours()?;
        }
        if spec.state.as_os_str().len() > LONGEST_STATE {
            // Sockets in a deep checkout would have paths that the kernel refuses.
            spec.state = PathBuf::from("/var/tmp/kubelet-lab-tests");
        }
        if Lab::list(&spec.state)?.contains(&spec.name) {
            Lab::open(&spec.state, &spec.name)?.down()?;
        }
        Ok(Self(Some(Lab::up(spec)?)))
    }

    /// The lab, to stop and start its parts.
    ///
    /// # Errors
    /// It was taken down.
    pub fn lab(&mut self) -> Result<&mut Lab> {
        self.0.as_mut().context("the lab is down")
    }

    /// Takes it down, and checks that nothing is left.
    ///
    /// # Errors
    /// Something is.
    pub fn down(mut self) -> Result<()> {
        self.0.take().map_or(Ok(()), Lab::down)
    }

    /// Waits until a look at the API succeeds. Its error says what was seen last.
    ///
    /// # Errors
    /// The bound is over.
    pub fn eventually<T>(
        &self,
        what: &str,
        bound: Duration,
        mut look: impl FnMut(&Lab) -> Result<T>,
    ) -> Result<T> {
        let lab = self.0.as_ref().context("the lab is down")?;
        wait::until(what, bound, || {
            Ok(match look(lab) {
                Ok(value) => wait::Look::Ready(value),
                Err(error) => wait::Look::NotYet(format!("{error:#}")),
            })
        })
    }
}

/// Has the kubelet measure volumes every few seconds, where a test would wait for the minute that is usual.
pub fn measure_volumes_often(spec: &mut Spec) {
    spec.kubelet_config.insert("volumeStatsAggPeriod".to_owned(), "5s".into());
}

/// Our kubelet: the release binary of this checkout, or the build that the variable `KUBELET_BIN` names.
///
/// # Errors
/// The variable holds no path.
pub fn ours() -> Result<KubeletBinary> {
    match std::env::var("KUBELET_BIN") {
        Ok(other) => other.parse(),
        Err(_) => Ok(KubeletBinary::Ours),
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(lab) = self.0.take()
            && let Err(error) = lab.down()
        {
            eprintln!("the lab did not go down cleanly: {error:#}");
        }
    }
}

impl Deref for Node {
    type Target = Lab;

    #[expect(clippy::expect_used, reason = "only `down` takes the lab, and it consumes the node")]
    fn deref(&self) -> &Lab {
        self.0.as_ref().expect("the lab is up until `down`")
    }
}

/// Pods of the default namespace with these labels.
///
/// # Errors
/// The API server cannot be reached.
pub fn pods(lab: &Lab, selector: &str) -> Result<Vec<Value>> {
    lab.api()?.selected("pods", selector)
}

/// Succeeds when the runtime has no container and the kubelet no pod directory any more.
///
/// # Errors
/// What is left.
pub fn nothing_left(lab: &Lab) -> Result<()> {
    let containers = lab.ctr(&["containers", "ls", "--quiet"])?;
    ensure!(containers.trim().is_empty(), "containers are left: {containers}");
    let dirs = std::fs::read_dir(lab.paths().kubelet_root.join("pods"))?.count();
    ensure!(dirs == 0, "{dirs} pod directories are left");
    Ok(())
}

/// Succeeds when exactly `count` pods exist, all Ready and none ever restarted.
///
/// # Errors
/// What is not so.
pub fn all_ready(lab: &Lab, selector: &str, count: usize) -> Result<Vec<Value>> {
    let pods = pods(lab, selector)?;
    if pods.len() != count {
        bail!("{} pods, not {count}", pods.len());
    }
    for pod in &pods {
        let conditions =
            pod.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        let ready =
            conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
        if !ready {
            bail!("{} is not Ready: {}", pod["metadata"]["name"], pod["status"]);
        }
        if let Some(restarts) = pod.pointer("/status/containerStatuses/0/restartCount").filter(|n| **n != 0) {
            bail!("{} restarted {restarts} times", pod["metadata"]["name"]);
        }
    }
    Ok(pods)
}

//! Black-box tests of the real kubelet binary: a lab is brought up, used as a user would, and taken down.

pub mod beside;
pub mod difference;
pub mod exposition;
pub mod history;
pub mod known;
pub mod normal;
pub mod play;
pub mod recorder;
pub mod statistics;

use std::{ops::Deref, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use lab::{KubeletBinary, Lab, Mode, Runtime, Service, Spec, wait};
use serde_json::Value;

/// Longest path of a state folder with room for the sockets beneath it.
const LONGEST_STATE: usize = 50;

/// A ConfigMap and a Secret for pods to read and to mount.
pub const OBJECTS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {greeting: hello}
---
apiVersion: v1
kind: Secret
metadata: {name: credentials}
stringData: {password: s3cret}
";

/// A lab for one test: taken down at the end, also when the test fails.
pub struct Node(Option<Lab>);

impl Node {
    /// Brings a lab up; one that an earlier run left behind is cleared away first. Where the test wants our kubelet,
    /// the variable `KUBELET_BIN` may name another build of it than the release binary of this checkout.
    ///
    /// # Errors
    /// It does not come up.
    pub fn up(spec: Spec) -> Result<Self> {
        Self::by(Lab::up, spec)
    }

    /// Brings up a plain lab in which no kubelet runs.
    ///
    /// # Errors
    /// It does not come up.
    pub fn without_kubelet(name: &str, mode: Mode, runtime: Runtime) -> Result<Self> {
        let mut spec = Spec::new(name, mode)?;
        spec.runtime = runtime;
        Self::by(Lab::up_without_kubelet, spec)
    }

    fn by(up: impl FnOnce(Spec) -> Result<Lab>, mut spec: Spec) -> Result<Self> {
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
        Ok(Self(Some(up(spec)?)))
    }

    /// Brings up a lab that is as plain as they come on this runtime.
    ///
    /// # Errors
    /// It does not come up.
    pub fn plain(name: &str, mode: Mode, runtime: Runtime) -> Result<Self> {
        let mut spec = Spec::new(name, mode)?;
        spec.runtime = runtime;
        Self::up(spec)
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
        look: impl FnMut(&Lab) -> Result<T>,
    ) -> Result<T> {
        eventually(self.0.as_ref().context("the lab is down")?, what, bound, look)
    }
}

/// Has the kubelet measure volumes every few seconds, where a test would wait for the minute that is usual.
pub fn measure_volumes_often(spec: &mut Spec) {
    spec.kubelet_config.insert("volumeStatsAggPeriod".to_owned(), "5s".into());
}

/// Waits until a look at a lab succeeds. Its error says what was seen last.
///
/// # Errors
/// The bound is over.
pub fn eventually<T>(
    lab: &Lab,
    what: &str,
    bound: Duration,
    mut look: impl FnMut(&Lab) -> Result<T>,
) -> Result<T> {
    wait::until(what, bound, || {
        Ok(match look(lab) {
            Ok(value) => wait::Look::Ready(value),
            Err(error) => wait::Look::NotYet(format!("{error:#}")),
        })
    })
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

/// A condition of a pod or a node; null when it has none of this type.
#[must_use]
pub fn condition<'v>(object: &'v Value, kind: &str) -> &'v Value {
    let mut all = object["status"]["conditions"].as_array().into_iter().flatten();
    all.find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

/// Whether the condition Ready of a pod or a node is True.
#[must_use]
pub fn is_ready(object: &Value) -> bool {
    condition(object, "Ready")["status"] == "True"
}

/// What the kubelet has written into its log so far.
#[must_use]
pub fn kubelet_log(lab: &Lab) -> String {
    String::from_utf8_lossy(&std::fs::read(lab.paths().log(Service::Kubelet)).unwrap_or_default())
        .into_owned()
}

/// Succeeds when the API has no pod of this name.
///
/// # Errors
/// It has.
pub fn gone(lab: &Lab, name: &str) -> Result<()> {
    ensure!(!lab.has_pod(name)?, "{name} is still there");
    Ok(())
}

/// Succeeds when the runtime has no container any more.
///
/// # Errors
/// It has.
pub fn no_containers(lab: &Lab) -> Result<()> {
    let containers = lab.ctr(&["containers", "ls", "--quiet"])?;
    ensure!(containers.trim().is_empty(), "containers are left: {containers}");
    Ok(())
}

/// Succeeds when the runtime has no container and the kubelet no pod directory any more.
///
/// # Errors
/// What is left.
pub fn nothing_left(lab: &Lab) -> Result<()> {
    no_containers(lab)?;
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
        if !is_ready(pod) {
            bail!("{} is not Ready: {}", pod["metadata"]["name"], pod["status"]);
        }
        if let Some(restarts) = pod.pointer("/status/containerStatuses/0/restartCount").filter(|n| **n != 0) {
            bail!("{} restarted {restarts} times", pod["metadata"]["name"]);
        }
    }
    Ok(pods)
}

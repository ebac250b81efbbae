//! Upstream's kubelet and ours side by side: two labs that differ in the kubelet alone, on one machine, at one time.
//!
//! Both nodes have the same name, so that what they report differs by addresses, ids and times only.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use lab::{KubeletBinary, Lab, Mode, Runtime, Spec};
use serde_json::Value;

use crate::{Node, measure_volumes_often};

/// Name of both nodes.
pub const NODE: &str = "node";

/// The two labs.
pub struct Beside {
    /// With upstream's kubelet.
    pub upstream: Node,
    /// With ours.
    pub ours: Node,
}

/// One value of each side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Both<T> {
    /// Upstream's.
    pub upstream: T,
    /// Ours.
    pub ours: T,
}

impl Beside {
    /// Brings both up at once, with a control plane each. The labs are called `NAME-theirs` and `NAME-ours`.
    ///
    /// # Errors
    /// One does not come up; the other is taken down.
    pub fn up(name: &str, runtime: Runtime) -> Result<Self> {
        let spec = |suffix: &str, kubelet| -> Result<Spec> {
            let mut spec = Spec::new(&format!("{name}-{suffix}"), Mode::Cluster)?;
            spec.runtime = runtime;
            spec.kubelet = kubelet;
            spec.node_name = Some(NODE.to_owned());
            measure_volumes_often(&mut spec);
            Ok(spec)
        };
        let specs = Both {
            upstream: spec("theirs", KubeletBinary::Upstream)?,
            ours: spec("ours", KubeletBinary::Ours)?,
        };
        let Both { upstream, ours } = at_once(&specs, |spec| Node::up(spec.clone()))?;
        Ok(Self { upstream, ours })
    }

    /// Does the same on both at once.
    ///
    /// # Errors
    /// It fails on one of them; the error says on which.
    pub fn each<T: Send>(&self, act: impl Fn(&Lab) -> Result<T> + Sync) -> Result<Both<T>> {
        let labs: Both<&Lab> = Both { upstream: &self.upstream, ours: &self.ours };
        at_once(&labs, |lab| act(lab))
    }

    /// Takes both down, and checks that nothing is left.
    ///
    /// # Errors
    /// Something is.
    pub fn down(self) -> Result<()> {
        let Self { upstream, ours } = self;
        let (upstream, ours) = std::thread::scope(|scope| {
            let upstream = scope.spawn(|| upstream.down());
            let ours = ours.down();
            (upstream.join().unwrap_or_else(|_| Err(anyhow!("the thread panicked"))), ours)
        });
        upstream.and(ours)
    }
}

impl Both<Value> {
    /// Writes both into `folder/TEST-upstream.json` and `folder/TEST-ours.json`, for a look at what a test saw.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn keep(&self, folder: &Path, test: &str) -> Result<()> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (side, value) in [("upstream", &self.upstream), ("ours", &self.ours)] {
            let file = folder.join(format!("{test}-{side}.json"));
            std::fs::write(&file, format!("{value:#}\n"))
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }
}

/// Both sides in threads of their own. Both are waited for, so that an error of one does not leave the other half done.
fn at_once<S: Sync, T: Send>(sides: &Both<S>, act: impl Fn(&S) -> Result<T> + Sync) -> Result<Both<T>> {
    let (upstream, ours) = std::thread::scope(|scope| {
        let upstream = scope.spawn(|| act(&sides.upstream));
        let ours = act(&sides.ours);
        (upstream.join().unwrap_or_else(|_| Err(anyhow!("the thread panicked"))), ours)
    });
    Ok(Both { upstream: upstream.context("with upstream's kubelet")?, ours: ours.context("with ours")? })
}

//! Measures with many pods on the node.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;

use super::{Measure, Visit, milliseconds, number};
use crate::bench::{
    pod::{Pod, Probe},
    quantity,
    watch::Stamp,
};

/// Longest for a kubelet to take up every pod after its start.
const TAKEN_UP_BOUND: Duration = Duration::from_secs(300);
/// For this long after a restart flaps are looked for: longer than the ten seconds from one probe to the next.
const FLAP_TIME: Duration = Duration::from_secs(15);

impl Visit<'_> {
    fn names(&self, measure: Measure, count: usize) -> Vec<String> {
        (0..count).map(|at| self.name(measure, at)).collect()
    }

    /// Pods that are created at once.
    pub(super) fn batch(&mut self) -> Result<()> {
        self.warm_up()?;
        let names = self.names(Measure::Batch, self.options.batch);
        let log = self.node.containerd_log_length()?;
        let started = self.node.run_all(&names, Probe::None)?;
        for one in &started {
            self.push(quantity::BATCH, milliseconds(one.asked, one.running));
        }
        let last = started.iter().map(|one| one.running).max_by_key(|running| running.time);
        if let (Some(first), Some(last)) = (started.first(), last) {
            self.push(quantity::BATCH_ALL, milliseconds(first.asked, last));
        }
        self.take_apart(&started, log, &quantity::BATCH_PARTS)?;
        self.node.clear()
    }

    /// Have the pods that the kubelet is at rest with.
    pub(super) fn fill(&mut self) -> Result<()> {
        if self.node.watch.pods().len() < self.options.pods {
            self.node.run_all(&self.names(Measure::Rest, self.options.pods), Probe::None)?;
        }
        Ok(())
    }

    /// End the kubelet, change something harmless in every pod, start it, and see when it has acted on each change: then it
    /// has the pod in hand again. No container has to be touched for it, so every other change of a status is a flap.
    pub(super) fn restart(&mut self) -> Result<()> {
        self.fill()?;
        let probed = self.names(Measure::Restart, self.options.pods.div_ceil(10));
        self.node.run_all(&probed, Probe::Http)?;
        let before: BTreeMap<String, Pod> = self.node.watch.pods().clone();
        self.node.lab.kubelet().stop()?;
        for name in before.keys() {
            self.node.api.add_toleration(name, &format!("visit-{}", self.number))?;
        }
        let begun = Stamp::now();
        self.node.lab.kubelet().spawn()?;
        let mut flaps = 0_u64;
        let mut taken_up: BTreeMap<String, Stamp> = BTreeMap::new();
        let is_flap = |pod: &Pod| before.get(&pod.name).is_none_or(|before| !pod.is_as_before(before));
        let what = format!("{} pods to be taken up", before.len());
        self.node.watch.until(&what, TAKEN_UP_BOUND, |event| {
            let pod = &event.pod;
            flaps += u64::from(is_flap(pod));
            let is_new = before.get(&pod.name).is_some_and(|before| pod.generation > before.generation);
            if is_new && pod.observed == pod.generation {
                taken_up.entry(pod.name.clone()).or_insert(event.at);
            }
            (taken_up.len() == before.len()).then_some(())
        })?;
        self.node.watch.during(FLAP_TIME, |event| flaps += u64::from(is_flap(&event.pod)))?;
        for at in taken_up.values() {
            self.push(quantity::RESTART, milliseconds(begun, *at));
        }
        if let Some(last) = taken_up.values().max_by_key(|at| at.time) {
            self.push(quantity::RESTART_ALL, milliseconds(begun, *last));
        }
        self.push(quantity::RESTART_FLAPS, number(flaps));
        Ok(())
    }
}

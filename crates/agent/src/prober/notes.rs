//! How probes stand, for explanations.

use lifecycle::{PodUid, explain::ProbeNote};
use tokio::time::Instant;

use super::{Kind, Prober, table::may_run};

impl Prober {
    /// How a pod's probes stand, for explanations.
    #[must_use]
    pub fn notes(&self, uid: &PodUid) -> Vec<ProbeNote> {
        let (now, instant) = (self.clock.now(), Instant::now());
        let table = self.table.lock();
        let mine = table.entries.iter().filter(|(key, _)| key.uid == *uid);
        let mut notes: Vec<_> = mine
            .map(|(key, entry)| {
                let waits =
                    entry.tally.on_hold(key.kind) || key.kind != Kind::Startup && !may_run(&table, key);
                let next = now.after(entry.due.saturating_duration_since(instant));
                ProbeNote {
                    container: key.container.clone(),
                    kind: key.kind,
                    result: entry.tally.result(),
                    row: entry.tally.row(),
                    failure_threshold: entry.tally.failure_threshold(),
                    success_threshold: entry.tally.success_threshold(),
                    next: (!waits).then(|| next.into()),
                    last_failure: entry
                        .last_failure
                        .as_deref()
                        .map(|(at, text)| ((*at).into(), text.clone())),
                }
            })
            .collect();
        notes.sort_by(|a, b| (&a.container, a.kind).cmp(&(&b.container, b.kind)));
        notes
    }
}

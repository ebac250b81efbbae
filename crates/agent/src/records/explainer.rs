//! Finds the pod that is asked for, and answers.

use std::sync::Arc;

use lifecycle::{PodKey, PodSource, PodUid, Tick, explain::Beside};
use seams::{
    Clock,
    explain::{Explainer, Explanation, PodEntry, PodList, Timeline, Unknown, VERSION, Wanted},
};

use super::{PodRecord, Records, document};

/// What others than its worker know of a pod now.
pub type Asked = Box<dyn Fn(&PodUid, Tick) -> Beside + Send + Sync>;

/// Answers from the records, and from what others know.
pub struct RecordsExplainer {
    records: Arc<Records>,
    asked: Asked,
    clock: Arc<dyn Clock>,
    node: String,
}

impl std::fmt::Debug for RecordsExplainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordsExplainer").field("records", &self.records).finish_non_exhaustive()
    }
}

impl RecordsExplainer {
    /// `asked` answers at once, whatever those who know are doing.
    #[must_use]
    pub fn new(records: Arc<Records>, asked: Asked, clock: Arc<dyn Clock>, node: String) -> Self {
        Self { records, asked, clock, node }
    }

    /// Those that are there, by namespace and name; then those that are gone, the newest first.
    fn all(&self) -> (Vec<Arc<PodRecord>>, Vec<Arc<PodRecord>>) {
        let mut live: Vec<_> = self.records.live.lock().values().cloned().collect();
        live.sort_by(|a, b| a.key.cmp(&b.key));
        let ended = self.records.ended.lock().iter().rev().cloned().collect();
        (live, ended)
    }

    /// One that is there comes before all that are gone; of these the newest counts.
    fn find(&self, wanted: &Wanted) -> Result<Arc<PodRecord>, Unknown> {
        let (live, ended) = self.all();
        let fits = |record: &&Arc<PodRecord>| self.fits(record, wanted);
        let found: Vec<_> = live.iter().filter(fits).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(Arc::clone(one)),
            // A name as written beats the name of a manifest.
            several => {
                let exact: Vec<_> =
                    several.iter().filter(|record| *record.key.name == *wanted.name).collect();
                return match exact.as_slice() {
                    [one] => Ok(Arc::clone(one)),
                    _ => Err(Unknown::Several(several.iter().map(|r| document::name(&r.key)).collect())),
                };
            }
        }
        let gone: Vec<_> = ended.iter().filter(fits).collect();
        let newest = gone.first().ok_or(Unknown::NoSuchPod)?;
        let namesake = |key: &PodKey| key.namespace == newest.key.namespace && key.name == newest.key.name;
        if gone.iter().all(|record| namesake(&record.key)) {
            Ok(Arc::clone(newest))
        } else {
            Err(Unknown::Several(gone.iter().map(|record| document::name(&record.key)).collect()))
        }
    }

    fn fits(&self, record: &PodRecord, wanted: &Wanted) -> bool {
        let key = &record.key;
        let of_manifest = || {
            let is_static = record.inner.lock().source.is_static();
            let manifest = key.name.strip_suffix(&*self.node).and_then(|name| name.strip_suffix('-'));
            is_static && manifest == Some(wanted.name.as_str())
        };
        wanted.namespace.as_deref().is_none_or(|namespace| *namespace == *key.namespace)
            && wanted.uid.as_deref().is_none_or(|uid| uid == key.uid.as_str())
            && (*key.name == *wanted.name || of_manifest())
    }
}

impl Explainer for RecordsExplainer {
    fn pods(&self) -> PodList {
        let now = self.clock.now();
        // How a pod is, its worker has decided alone.
        let beside = Beside::default();
        let (live, ended) = self.all();
        let entry = |record: &Arc<PodRecord>| {
            let inner = record.inner.lock();
            let explanation = inner.explanation(&beside, now);
            PodEntry {
                pod: document::name(&record.key),
                source: source(inner.source).to_owned(),
                standing: document::standing(&explanation.standing),
                ended: inner.ended().map(|at| at.wall()),
            }
        };
        let pods = live.iter().chain(&ended).map(entry).collect();
        PodList { version: VERSION.to_owned(), now: now.wall, node: self.node.clone(), pods }
    }

    fn explain(&self, wanted: &Wanted) -> Result<Explanation, Unknown> {
        let record = self.find(wanted)?;
        let now = self.clock.now();
        let beside = (self.asked)(&record.key.uid, now);
        let inner = record.inner.lock();
        let told = inner.explanation(&beside, now);
        Ok(Explanation {
            version: VERSION.to_owned(),
            now: now.wall,
            node: self.node.clone(),
            pod: document::name(&record.key),
            source: source(inner.source).to_owned(),
            seen: inner.record.seen().wall(),
            decided: inner.record.looked().map(|at| at.wall()),
            ended: inner.ended().map(|at| at.wall()),
            phase: inner.phase(),
            standing: document::standing(&told.standing),
            since: told.since.map(|at| at.wall()),
            blocks: told.blocks.iter().map(document::block).collect(),
            containers: told.containers.iter().map(document::container).collect(),
            probes: beside.probes.iter().map(document::probe).collect(),
            lately: document::lately(&inner.record),
        })
    }

    fn timeline(&self, wanted: &Wanted) -> Result<Timeline, Unknown> {
        let record = self.find(wanted)?;
        let now = self.clock.now();
        let inner = record.inner.lock();
        let past = document::past(&inner.record);
        Ok(Timeline {
            version: VERSION.to_owned(),
            now: now.wall,
            node: self.node.clone(),
            pod: document::name(&record.key),
            source: source(inner.source).to_owned(),
            seen: inner.record.seen().wall(),
            taken_up: past.taken_up,
            start: past.start,
            steps: past.steps,
            inspections: past.inspections,
            why: past.why,
            forgotten: inner.record.forgotten(),
        })
    }
}

fn source(source: PodSource) -> &'static str {
    match source {
        PodSource::Api => "api",
        PodSource::File => "file",
        PodSource::Http => "http",
        PodSource::RuntimeOnly => "runtime",
    }
}

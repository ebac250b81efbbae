//! How many pods and containers there are, and in what state: asked when somebody scrapes, of those who know.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use lifecycle::{PodSource, state::StageKind};
use metrics::{
    Metrics,
    family::Put,
    pods::{ContainerState, Stage, Static, Wish, Working},
};

use crate::{
    mirror::Mirrors,
    pods::wanted::Wanted,
    records::{Census, Records},
};

/// Who is asked.
pub(crate) struct Sources {
    /// What workers saw and decided last.
    pub(crate) records: Arc<Records>,
    /// What sources want.
    pub(crate) wanted: Wanted,
    /// `None` without an API server.
    pub(crate) mirrors: Option<Arc<Mirrors>>,
    /// Where the records of image pulls are: begun ones, and ended ones.
    pub(crate) pull_records: (PathBuf, PathBuf),
}

/// Tells the metrics whom to ask.
pub(crate) fn register(metrics: &Metrics, sources: Sources) {
    let Sources { records, wanted, mirrors, pull_records: (intents, pulled) } = sources;
    let (pods, images) = (&metrics.pods, &metrics.images);

    let known = wanted.clone();
    pods.desired.answered_by(move |put| {
        let is_static = known.all().into_iter().map(|(_, (source, _))| source.is_static());
        put_static(is_static, put);
    });
    let (known, asked) = (wanted.clone(), Arc::clone(&records));
    pods.active.answered_by(move |put| {
        let active = asked.census().into_iter().filter(|pod| !pod.is_over && known.contains(&pod.uid));
        put_static(active.map(|pod| pod.source.is_static()), put);
    });
    let (known, asked) = (wanted.clone(), Arc::clone(&records));
    pods.working.answered_by(move |put| {
        let mut counts: BTreeMap<Working, f64> = every_working().map(|labels| (labels, 0.0)).collect();
        for pod in asked.census() {
            *counts.entry(working(&pod, known.contains(&pod.uid))).or_default() += 1.0;
        }
        counts.into_iter().for_each(|(labels, count)| put(labels, count));
    });
    let asked = Arc::clone(&records);
    pods.running.answered_by(move |put| {
        let running: u32 = asked.census().iter().map(|pod| u32::from(pod.holdings.sandbox)).sum();
        put((), f64::from(running));
    });
    pods.running_containers.answered_by(move |put| {
        let census = records.census();
        let mut tell = |state, count: fn(&Census) -> u32| {
            let count: u32 = census.iter().map(count).sum();
            // As upstream: a state that no container is in is not shown.
            if count > 0 {
                put(state, f64::from(count));
            }
        };
        tell(ContainerState::Created, |pod| pod.holdings.created.into());
        tell(ContainerState::Running, |pod| pod.holdings.running.into());
        tell(ContainerState::Exited, |pod| pod.holdings.exited.into());
        tell(ContainerState::Unknown, |pod| pod.holdings.unknown.into());
    });
    pods.ephemeral_containers.answered_by(move |put| {
        let pods = wanted.all().into_iter().filter_map(|(_, (_, pod))| {
            let spec = pod.spec.as_ref()?;
            spec.ephemeral_containers.as_ref().map(Vec::len)
        });
        put((), number(pods.sum()));
    });
    pods.mirrors.answered_by(move |put| put((), number(mirrors.as_ref().map_or(0, |known| known.count()))));
    images.pull_intents.answered_by(move |put| put((), files_in(&intents)));
    images.pulled_records.answered_by(move |put| put((), files_in(&pulled)));
}

fn put_static(pods: impl Iterator<Item = bool>, put: &mut Put<'_, Static>) {
    let (mut statics, mut others) = (0_u32, 0_u32);
    for is_static in pods {
        *(if is_static { &mut statics } else { &mut others }) += 1;
    }
    put(Static::No, f64::from(others));
    put(Static::Yes, f64::from(statics));
}

/// Every combination that there can be, for those that nothing is in.
fn every_working() -> impl Iterator<Item = Working> {
    let known = [Wish::Desired, Wish::Orphan]
        .into_iter()
        .flat_map(|config| [Static::No, Static::Yes].into_iter().map(move |is_static| (config, is_static)));
    let all = known.chain([(Wish::RuntimeOnly, Static::Unknown)]);
    all.flat_map(|(config, is_static)| {
        Stage::ALL.iter().map(move |lifecycle| Working { config, lifecycle: *lifecycle, is_static })
    })
}

fn working(pod: &Census, is_wanted: bool) -> Working {
    let lifecycle = match pod.stage {
        StageKind::Syncing => Stage::Sync,
        StageKind::Terminating => Stage::Terminating,
        StageKind::Terminated => Stage::Terminated,
    };
    let (config, is_static) = match pod.source {
        PodSource::RuntimeOnly => (Wish::RuntimeOnly, Static::Unknown),
        source => (
            if is_wanted { Wish::Desired } else { Wish::Orphan },
            if source.is_static() { Static::Yes } else { Static::No },
        ),
    };
    Working { config, lifecycle, is_static }
}

/// What cannot be read holds nothing.
fn files_in(folder: &std::path::Path) -> f64 {
    number(std::fs::read_dir(folder).map_or(0, Iterator::count))
}

fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

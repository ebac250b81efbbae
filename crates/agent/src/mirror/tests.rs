use fakes::cluster::FakeCluster;
use k8s_openapi::{
    api::core::v1::{ContainerStatus, PodCondition, PodStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};

use lifecycle::{Outlook, PodSource};

use super::*;

fn pod(name: &str, uid: &str, key: &str, hash: &str) -> (Name, Arc<Pod>) {
    let mut pod = fakes::pods::pod("default", name, uid, &[]);
    pod.metadata.annotations = Some([(key.to_owned(), hash.to_owned())].into());
    (name_of(&pod), Arc::new(pod))
}

#[test]
fn an_edited_static_pod_gets_a_new_mirror_only_after_the_old_one_is_gone() {
    let statics = BTreeMap::from([pod("a", "2", HASH, "2")]);
    let mirrors = BTreeMap::from([pod("a", "m", MIRROR, "1")]);
    let name = ("default".to_owned(), "a".to_owned());
    assert_eq!(
        plan(&statics, &mirrors, &BTreeSet::new(), &BTreeSet::new(), Sources::Delivered),
        [Step::Delete(name.clone(), "m".to_owned())]
    );
    assert_eq!(
        plan(&statics, &BTreeMap::new(), &BTreeSet::new(), &BTreeSet::new(), Sources::Awaited),
        [Step::Create(name)]
    );
}

#[test]
fn a_mirror_stays_while_its_pod_stops_and_goes_after() {
    let mirrors = BTreeMap::from([pod("a", "m", MIRROR, "1")]);
    let name = ("default".to_owned(), "a".to_owned());
    assert_eq!(
        plan(
            &BTreeMap::new(),
            &mirrors,
            &BTreeSet::from([name.clone()]),
            &BTreeSet::new(),
            Sources::Delivered
        ),
        []
    );
    // A pod that no source has delivered yet looks just like one that is gone.
    assert_eq!(plan(&BTreeMap::new(), &mirrors, &BTreeSet::new(), &BTreeSet::new(), Sources::Awaited), []);
    assert_eq!(
        plan(&BTreeMap::new(), &mirrors, &BTreeSet::new(), &BTreeSet::new(), Sources::Delivered),
        [Step::Delete(name, "m".to_owned())]
    );
}

#[test]
fn a_static_pod_that_comes_back_gets_another_mirror() {
    let statics = BTreeMap::from([pod("a", "1", HASH, "1")]);
    let mirrors = BTreeMap::from([pod("a", "m", MIRROR, "1")]);
    let name = ("default".to_owned(), "a".to_owned());
    let plan = |mirrors, ended| plan(&statics, mirrors, &BTreeSet::new(), ended, Sources::Delivered);
    let (none, nothing, ended) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::from(["1".to_owned()]));
    assert_eq!(plan(&mirrors, &none), []);
    assert_eq!(plan(&mirrors, &ended), [Step::Delete(name.clone(), "m".to_owned())]);
    assert_eq!(plan(&nothing, &ended), [Step::Create(name)]);
}

#[test]
fn a_version_that_never_ran_takes_no_mirror_with_it() {
    let (name, first) = pod("a", "1", HASH, "1");
    let (_, second) = pod("a", "2", HASH, "2");
    let mirrors = BTreeMap::from([pod("a", "m", MIRROR, "1")]);
    let mut state = State { mirrors, sources: Sources::Delivered, listed: true, ..State::default() };
    state.applied(&first);
    assert_eq!(state.plan(&BTreeSet::new()), []);
    // Edited twice: the version between waits for the first to stop, and is gone before it could start.
    state.stopping(&first);
    state.stopping(&second);
    state.gone(&second);
    assert_eq!(state.plan(&BTreeSet::new()), [], "the first still stops");
    state.gone(&first);
    assert_eq!(state.plan(&BTreeSet::new()), [Step::Delete(name, "m".to_owned())]);
}

#[test]
fn a_static_pod_takes_up_the_status_of_its_own_mirror_alone() {
    let (_, static_pod) = pod("a", "u", HASH, "u");
    let reported = |hash: &str| {
        let (_, mirror) = pod("a", "m", MIRROR, hash);
        let mut mirror = Pod::clone(&mirror);
        mirror.status.get_or_insert_default().start_time = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        mirror
    };
    assert!(recalled(&static_pod, &reported("another version")).is_none());
    assert!(recalled(&static_pod, &pod("a", "m", MIRROR, "u").1).is_none(), "nobody has reported yet");
    let with = recalled(&static_pod, &reported("u")).unwrap();
    assert!(is_reported(&with));
    assert!(recalled(&with, &reported("u")).is_none(), "once is enough");
    // What was rejected is asked about anew; what ran to its end has ended.
    let mut ended = reported("u");
    let status = ended.status.get_or_insert_default();
    status.phase = Some("Failed".to_owned());
    status.container_statuses = None;
    assert!(recalled(&static_pod, &ended).is_none());
    assert!(is_reported(&ended) && !is_recallable(&ended), "nobody waits for it to be taken up");
    let status = ended.status.get_or_insert_default();
    status.container_statuses = Some(vec![ContainerStatus::default()]);
    status.reason = Some("Terminated".to_owned());
    let disrupted = PodCondition { type_: "DisruptionTarget".to_owned(), ..PodCondition::default() };
    status.conditions = Some(vec![disrupted]);
    let with = recalled(&static_pod, &ended).unwrap().status.clone().unwrap();
    // Of how it ended nothing: that is seen in the runtime, or is over.
    assert_eq!((with.phase, with.reason, with.conditions), (None, None, Some(Vec::new())));
    assert!(with.start_time.is_some() && with.container_statuses.is_some());
}

#[test]
fn a_static_pod_that_comes_back_begins_anew() {
    let (_, static_pod) = pod("a", "u", HASH, "u");
    let mut static_pod = Pod::clone(&static_pod);
    static_pod.spec.get_or_insert_default().restart_policy = Some("Never".to_owned());
    let static_pod = Arc::new(static_pod);
    let (_, mirror) = pod("a", "m", MIRROR, "u");
    let mut mirror = Pod::clone(&mirror);
    mirror.status.get_or_insert_default().start_time = Some(Time(jiff::Timestamp::UNIX_EPOCH));
    let mirror = Arc::new(mirror);
    for listed_first in [true, false] {
        let cluster = Arc::new(FakeCluster::default());
        let statuses = Arc::new(StatusQueue::new(Some(Arc::clone(&cluster) as Arc<dyn Cluster>)));
        let mirrors = Mirrors::new(cluster, Arc::clone(&statuses));
        if listed_first {
            mirrors.listed(vec![Arc::clone(&mirror)]);
            assert!(mirrors.with_status(&static_pod).is_some(), "an earlier process reported it");
        }
        mirrors.static_applied(&static_pod);
        mirrors.static_stopping(&static_pod);
        mirrors.static_gone(&static_pod);
        let uid = PodUid::from("u".to_owned());
        statuses.set(&static_pod, PodSource::File, &PodStatus::default(), Outlook::Lasting);
        statuses.forget(&uid);
        mirrors.mirror_applied(&mirror);
        assert!(mirrors.with_status(&static_pod).is_none(), "that was its former life");
        // One whose containers always restart goes on.
        let (_, other) = pod("b", "o", HASH, "o");
        statuses.set(&other, PodSource::File, &PodStatus::default(), Outlook::Lasting);
        statuses.forget(&PodUid::from("o".to_owned()));
        assert!(!statuses.has_ended_before(&PodUid::from("o".to_owned())));
        mirrors.listed(vec![Arc::clone(&mirror)]);
        assert!(mirrors.with_status(&static_pod).is_none(), "and still is");
        mirrors.mirror_deleted(&mirror);
        assert!(!statuses.has_ended_before(&uid), "without a mirror there is nothing to be misled by");
    }
}

#[test]
fn the_mirror_is_owned_by_the_node_and_carries_the_hash() {
    let (_, pod) = pod("a", "u", HASH, "u");
    let mut node = Node::default();
    node.metadata.name = Some("n".to_owned());
    node.metadata.uid = Some("nu".to_owned());
    let mirror = mirror_of(&pod, &node);
    assert_eq!(annotation(&mirror, MIRROR), Some("u"));
    assert_eq!(mirror.metadata.uid, None);
    let owner = &mirror.metadata.owner_references.unwrap()[0];
    assert_eq!((owner.name.as_str(), owner.uid.as_str(), owner.controller), ("n", "nu", Some(true)));
}

fn node() -> Node {
    let mut node = Node::default();
    node.metadata.name = Some("n".to_owned());
    node
}

/// Mirrors of an API server that has none yet, and whose node is there.
fn world() -> (Arc<FakeCluster>, Arc<Mirrors>) {
    let cluster = Arc::new(FakeCluster::default());
    cluster.show(node());
    let seam = Arc::clone(&cluster) as Arc<dyn Cluster>;
    let mirrors = Arc::new(Mirrors::new(seam, Arc::new(StatusQueue::new(None))));
    mirrors.listed(Vec::new());
    tokio::spawn(Arc::clone(&mirrors).run());
    (cluster, mirrors)
}

/// Nothing more is going to happen by itself.
async fn settled() {
    tokio::time::sleep(Duration::from_secs(600)).await;
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_creation_brings_no_mirror_back() {
    let (cluster, mirrors) = world();
    cluster.hold_creations(true);
    let (name, first) = pod("a", "1", HASH, "1");
    mirrors.static_applied(&first);
    cluster.until(|state| state.pods.len() == 1).await;
    let made = Arc::new(cluster.pods_created().remove(0));
    // It comes and goes, and its pod too, before its creation is answered.
    mirrors.mirror_applied(&made);
    mirrors.mirror_deleted(&made);
    mirrors.static_stopping(&first);
    mirrors.static_gone(&first);
    cluster.hold_creations(false);
    settled().await;
    assert_eq!(mirrors.count(), 0);

    // Another has its name by then.
    cluster.hold_creations(true);
    mirrors.static_applied(&first);
    cluster.until(|state| state.pods.len() == 2).await;
    let made = Arc::new(cluster.pods_created().remove(1));
    mirrors.mirror_applied(&made);
    mirrors.mirror_deleted(&made);
    let (_, other) = pod("a", "m", MIRROR, "1");
    mirrors.mirror_applied(&other);
    cluster.hold_creations(false);
    settled().await;
    assert_eq!(mirrors.state.lock().mirrors[&name].metadata.uid.as_deref(), Some("m"));
}

#[tokio::test(start_paused = true)]
async fn a_mirror_is_known_by_the_answer_to_its_creation() {
    let (cluster, mirrors) = world();
    mirrors.static_applied(&pod("a", "1", HASH, "1").1);
    settled().await;
    assert_eq!((cluster.pods_created().len(), mirrors.count()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_being_deleted_gets_no_mirrors() {
    let (cluster, mirrors) = world();
    let mut leaving = node();
    leaving.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
    cluster.show(leaving);
    mirrors.static_applied(&pod("a", "1", HASH, "1").1);
    settled().await;
    assert_eq!(cluster.pods_created(), []);
    // A kubelet that starts registers another.
    cluster.show(node());
    cluster.until(|state| state.pods.len() == 1).await;
}

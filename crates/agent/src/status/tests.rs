use std::{future::pending, time::Duration};

use async_trait::async_trait;
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Event, Node},
    node::v1::RuntimeClass,
};
use lifecycle::{
    Tick,
    explain::{ReportFailure, ReportNote, ReportObstacle},
    record::Stamp,
};
use seams::cluster::PodEvent;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::*;

/// Answers status patches by pod name with what was set for it, and counts them.
#[derive(Default)]
struct Api {
    answers: Mutex<BTreeMap<String, ApiError>>,
    patches: Mutex<Vec<String>>,
    /// Pods whose deletion was asked for, and refused.
    deletions: Mutex<Vec<String>>,
    /// Whether deletions find no pod; else a webhook is against them.
    finds_none: Mutex<bool>,
    /// Whether the next patch panics.
    panics: Mutex<bool>,
    /// While it is locked, patches are not answered.
    answering: tokio::sync::Mutex<()>,
    patched: Notify,
}

impl Api {
    fn answer(&self, pod: &str, error: Option<ApiError>) {
        let mut answers = self.answers.lock();
        match error {
            Some(error) => answers.insert(pod.to_owned(), error),
            None => answers.remove(pod),
        };
    }

    fn count(&self, pod: &str) -> usize {
        self.patches.lock().iter().filter(|name| *name == pod).count()
    }

    async fn until(&self, pod: &str, count: usize) {
        let wait = async {
            while self.count(pod) < count {
                self.patched.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(600), wait).await.unwrap();
    }
}

#[async_trait]
impl Cluster for Api {
    async fn patch_pod_status(&self, _: &str, name: &str, patch: &Value) -> Result<Pod, ApiError> {
        self.patches.lock().push(name.to_owned());
        self.patched.notify_one();
        let panics = std::mem::take(&mut *self.panics.lock());
        assert!(!panics, "a defect");
        drop(self.answering.lock().await);
        match self.answers.lock().get(name) {
            Some(error) => Err(error.clone()),
            None => {
                let mut api = (*pod(name)).clone();
                api.status = Some(serde_json::from_value(patch["status"].clone()).unwrap());
                api.metadata.resource_version = Some("9".to_owned());
                api.metadata.uid = patch["metadata"]["uid"].as_str().map(str::to_owned);
                api.metadata.annotations = Some([(mirror::MIRROR.to_owned(), name.to_owned())].into());
                Ok(api)
            }
        }
    }
    fn pods(&self) -> mpsc::Receiver<PodEvent> {
        mpsc::channel(1).1
    }
    fn node(&self) -> watch::Receiver<Option<Arc<Node>>> {
        watch::channel(None).1
    }
    async fn get_pod(&self, _: &str, _: &str) -> Result<Pod, ApiError> {
        pending().await
    }
    async fn create_pod(&self, _: &Pod) -> Result<Pod, ApiError> {
        pending().await
    }
    async fn delete_pod(&self, _: &str, name: &str, _: &str, _: u32) -> Result<(), ApiError> {
        self.deletions.lock().push(name.to_owned());
        if *self.finds_none.lock() {
            return Err(not_found());
        }
        Err(ApiError::Conflict { reason: "Conflict".to_owned(), message: "denied by a webhook".to_owned() })
    }
    async fn get_node(&self) -> Result<Node, ApiError> {
        pending().await
    }
    async fn create_node(&self, _: &Node) -> Result<Node, ApiError> {
        pending().await
    }
    async fn patch_node(&self, _: &Value) -> Result<Node, ApiError> {
        pending().await
    }
    async fn patch_node_status(&self, _: &Value) -> Result<Node, ApiError> {
        pending().await
    }
    async fn get_lease(&self) -> Result<Lease, ApiError> {
        pending().await
    }
    async fn create_lease(&self, _: &Lease) -> Result<Lease, ApiError> {
        pending().await
    }
    async fn update_lease(&self, _: &Lease) -> Result<Lease, ApiError> {
        pending().await
    }
    async fn create_event(&self, _: &Event) -> Result<Event, ApiError> {
        pending().await
    }
    async fn patch_event(&self, _: &str, _: &str, _: &Value) -> Result<Event, ApiError> {
        pending().await
    }
    async fn runtime_class(&self, _: &str) -> Result<Arc<RuntimeClass>, ApiError> {
        pending().await
    }
    fn reset_connections(&self) {}
}

fn pod(name: &str) -> Arc<Pod> {
    let pod = json!({"metadata": {"namespace": "ns", "name": name, "uid": name, "resourceVersion": "7"}});
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn running() -> PodStatus {
    PodStatus { phase: Some("Running".to_owned()), ..PodStatus::default() }
}

fn world() -> (Arc<Api>, Arc<StatusQueue>) {
    let api = Arc::new(Api::default());
    let queue = Arc::new(StatusQueue::new(Some(Arc::clone(&api) as Arc<dyn Cluster>)));
    tokio::spawn(Arc::clone(&queue).run());
    (api, queue)
}

fn forbidden() -> ApiError {
    ApiError::Forbidden("no relationship found between node 'n' and this object".to_owned())
}

fn not_found() -> ApiError {
    ApiError::NotFound("pods \"p\" not found".to_owned())
}

/// Everything that was to be sent was sent, and no retry is due for a long time.
async fn settled() {
    tokio::time::sleep(Duration::from_secs(120)).await;
}

#[tokio::test(start_paused = true)]
async fn a_status_that_passes_waits_for_the_next_one_and_not_for_long() {
    let (api, queue) = world();
    let pending = |message: &str| PodStatus {
        phase: Some("Pending".to_owned()),
        message: Some(message.to_owned()),
        ..PodStatus::default()
    };
    // What is in the line before it takes it along at once.
    queue.set(&pod("p"), PodSource::Api, &pending("first"), Outlook::Lasting);
    queue.set(&pod("p"), PodSource::Api, &pending("second"), Outlook::Passing);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(api.count("p"), 1);
    queue.set(&pod("p"), PodSource::Api, &pending("third"), Outlook::Passing);
    tokio::time::sleep(Duration::from_millis(600)).await;
    // Neither another one that passes nor news of the object make it wait longer, or less long.
    queue.set(&pod("p"), PodSource::Api, &pending("fourth"), Outlook::Passing);
    queue.observed(&pod("p"));
    tokio::time::sleep(HOLD - Duration::from_millis(610)).await;
    assert_eq!(api.count("p"), 1);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(api.count("p"), 2);
    queue.set(&pod("p"), PodSource::Api, &pending("fifth"), Outlook::Passing);
    tokio::time::sleep(Duration::from_millis(100)).await;
    queue.set(&pod("p"), PodSource::Api, &running(), Outlook::Lasting);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(api.count("p"), 3, "the next one is not held up");
    settled().await;
    assert_eq!(api.count("p"), 3);
    assert_eq!(queue.get(&"p".into()), Some(running()));
}

#[tokio::test(start_paused = true)]
async fn a_terminal_phase_that_others_wrote_is_not_overwritten() {
    let (api, queue) = world();
    queue.set(&pod("p"), PodSource::Api, &running(), Outlook::Lasting);
    api.until("p", 1).await;
    settled().await;
    let mut failed = Pod::clone(&pod("p"));
    failed.metadata.resource_version = Some("10".to_owned());
    failed.status = Some(PodStatus { phase: Some("Failed".to_owned()), ..PodStatus::default() });
    queue.observed(&Arc::new(failed));
    settled().await;
    assert_eq!(api.count("p"), 1, "its worker has not even looked");
    // What the worker makes of it goes out.
    let ended = PodStatus {
        phase: Some("Failed".to_owned()),
        reason: Some("NodeLost".to_owned()),
        ..PodStatus::default()
    };
    queue.set(&pod("p"), PodSource::Api, &ended, Outlook::Lasting);
    settled().await;
    assert_eq!(api.count("p"), 2);
}

/// A pod that is to be deleted has ended, and the API knows: only its deletion is left to ask for.
fn release(queue: &StatusQueue) {
    let mut going = Pod::clone(&pod("p"));
    going.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
    going.status = Some(PodStatus { phase: Some("Failed".to_owned()), ..PodStatus::default() });
    let status = going.status.clone().unwrap();
    queue.set(&Arc::new(going), PodSource::Api, &status, Outlook::Released);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_is_refused_is_asked_for_again_while_the_pod_is_there() {
    let (api, queue) = world();
    release(&queue);
    let note = told(&queue).unwrap();
    assert_eq!((note.what, note.failure), (Report::Deletion, None), "it was not asked for yet");
    settled().await;
    let asked = api.deletions.lock().len();
    assert!(asked > 1, "asked {asked} times");
    let note = told(&queue).unwrap();
    let failure = note.failure.unwrap();
    assert_eq!((note.what, failure.obstacle), (Report::Deletion, ReportObstacle::Refused));
    assert_eq!(failure.message, "denied by a webhook");
    queue.deleted(&PodUid::from("p".to_owned()));
    settled().await;
    let asked = api.deletions.lock().len();
    settled().await;
    assert_eq!(api.deletions.lock().len(), asked, "it is gone");
    assert_eq!(told(&queue), None);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_finds_no_pod_is_asked_for_again_until_the_watch_tells() {
    let (api, queue) = world();
    *api.finds_none.lock() = true;
    release(&queue);
    settled().await;
    let asked = api.deletions.lock().len();
    assert!((2..=6).contains(&asked), "asked {asked} times in two minutes");
    queue.deleted(&PodUid::from("p".to_owned()));
    settled().await;
    assert_eq!(api.deletions.lock().len(), asked, "it is gone");
    assert_eq!(told(&queue), None);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_not_found_is_reported_when_it_is_found_again() {
    let (api, queue) = world();
    api.answer("p", Some(not_found()));
    queue.set(&pod("p"), PodSource::Api, &running(), Outlook::Lasting);
    api.until("p", 1).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    // Not even what is new: it would find nobody either.
    let newer = PodStatus { phase: Some("Pending".to_owned()), ..PodStatus::default() };
    queue.set(&pod("p"), PodSource::Api, &newer, Outlook::Lasting);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(api.count("p"), 1, "the watch is about to tell that it is gone");
    api.until("p", 2).await;
    api.answer("p", None);
    queue.set(&pod("p"), PodSource::Api, &running(), Outlook::Lasting);
    api.until("p", 3).await;
    settled().await;
    assert_eq!(api.count("p"), 3);
    let held = queue.slots.lock().by_uid[&PodUid::from("p".to_owned())].api.status.clone();
    assert_eq!(held.unwrap().phase.as_deref(), Some("Running"));
    assert_eq!(told(&queue), None);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_not_found_is_asked_for_at_once_when_the_watch_shows_it() {
    let (api, queue) = world();
    api.answer("p", Some(not_found()));
    queue.set(&pod("p"), PodSource::Api, &running(), Outlook::Lasting);
    api.until("p", 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    queue.observed(&pod("p"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(api.count("p"), 2);
    // No trouble of another kind is cut short by that.
    api.answer("p", Some(forbidden()));
    settled().await;
    let seen = api.count("p") + 1;
    api.until("p", seen).await;
    queue.observed(&pod("p"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(api.count("p"), seen);
}

#[tokio::test(start_paused = true)]
async fn a_refused_status_of_a_pod_that_is_gone_is_given_up() {
    let (api, queue) = world();
    api.answer("p", Some(forbidden()));
    queue.set(&pod("p"), PodSource::Api, &running(), Outlook::Lasting);
    api.until("p", 2).await;
    queue.deleted(&PodUid::from("p".to_owned()));
    settled().await;
    let seen = api.count("p");
    settled().await;
    assert_eq!(api.count("p"), seen, "it is still being sent");
    // The worker's last words have nowhere to go either.
    queue.set(&pod("p"), PodSource::Api, &PodStatus::default(), Outlook::Released);
    settled().await;
    assert_eq!(api.count("p"), seen);
}

#[tokio::test(start_paused = true)]
async fn a_refused_status_of_a_pod_that_is_there_is_sent_when_the_right_comes_back() {
    let (api, queue) = world();
    api.answer("p", Some(forbidden()));
    queue.set(&pod("p"), PodSource::Api, &running(), Outlook::Lasting);
    api.until("p", 3).await;
    api.answer("p", None);
    let seen = api.count("p");
    api.until("p", seen + 1).await;
    settled().await;
    assert_eq!(api.count("p"), seen + 1, "what the API holds is not sent again");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_comes_back_is_reported_again() {
    let (api, queue) = world();
    api.answer("p", Some(forbidden()));
    queue.set(&pod("p"), PodSource::Api, &running(), Outlook::Lasting);
    api.until("p", 1).await;
    queue.deleted(&PodUid::from("p".to_owned()));
    settled().await;
    api.answer("p", None);
    let seen = api.count("p");
    queue.observed(&pod("p"));
    api.until("p", seen + 1).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_delays_the_newest_status_and_loses_nothing() {
    let (api, queue) = world();
    let away = ApiError::Unreachable { server: "s".to_owned(), message: "refused".to_owned() };
    for name in ["a", "b"] {
        api.answer(name, Some(away.clone()));
        queue.set(&pod(name), PodSource::Api, &running(), Outlook::Lasting);
    }
    api.until("a", 2).await;
    let failed = PodStatus { phase: Some("Failed".to_owned()), ..PodStatus::default() };
    queue.set(&pod("a"), PodSource::Api, &failed, Outlook::Lasting);
    for name in ["a", "b"] {
        api.answer(name, None);
    }
    settled().await;
    let of =
        |name: &str| queue.slots.lock().by_uid[&PodUid::from(name.to_owned())].api.status.clone().unwrap();
    assert_eq!(of("a").phase.as_deref(), Some("Failed"));
    assert_eq!(of("b").phase.as_deref(), Some("Running"));
}

#[tokio::test(start_paused = true)]
async fn a_status_that_lost_to_other_writers_is_sent_again() {
    let (api, queue) = world();
    for error in [
        ApiError::Conflict {
            reason: "Conflict".to_owned(),
            message: "the object has been modified".to_owned(),
        },
        ApiError::Status { code: 422, message: "invalid".to_owned() },
    ] {
        api.answer("p", Some(error));
        let seen = api.count("p");
        queue.set(&pod("p"), PodSource::Api, &running(), Outlook::Released);
        api.until("p", seen + 2).await;
        api.answer("p", None);
        settled().await;
        let held = queue.slots.lock().by_uid[&PodUid::from("p".to_owned())].api.status.clone();
        assert_eq!(held.unwrap().phase.as_deref(), Some("Running"));
        queue.forget(&PodUid::from("p".to_owned()));
    }
}

/// A static pod, and a mirror of it that carries a status of an earlier process.
fn static_pod() -> (Arc<Pod>, Arc<Pod>) {
    let mut mirror = Pod::clone(&pod("p"));
    let annotations = mirror.metadata.annotations.get_or_insert_default();
    annotations.insert(mirror::MIRROR.to_owned(), "p".to_owned());
    let status = json!({"phase": "Running", "startTime": "2026-01-01T00:00:00Z"});
    mirror.status = Some(serde_json::from_value(status).unwrap());
    (pod("p"), Arc::new(mirror))
}

#[tokio::test(start_paused = true)]
async fn a_mirror_is_not_written_to_before_its_status_was_taken_up() {
    let (api, queue) = world();
    let (pod, mirror) = static_pod();
    let uid = PodUid::from("p".to_owned());
    queue.set(&pod, PodSource::File, &PodStatus::default(), Outlook::Lasting);
    queue.observed_mirror("ns", "p", Some(Arc::clone(&mirror)));
    settled().await;
    assert_eq!(api.count("p"), 0, "the pod would look as if it had just begun");
    assert!(queue.is_recall_awaited(&uid));

    let mut recalled = Pod::clone(&pod);
    recalled.status.clone_from(&mirror.status);
    queue.set(&Arc::new(recalled), PodSource::File, &PodStatus::default(), Outlook::Lasting);
    api.until("p", 1).await;
    assert!(!queue.is_recall_awaited(&uid));
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_tells_of_a_rejection_does_not_wait_for_being_taken_up() {
    let (api, queue) = world();
    let (pod, mirror) = static_pod();
    let mut rejected = Pod::clone(&mirror);
    let status = json!({"phase": "Failed", "reason": "OutOfcpu", "startTime": "2026-01-01T00:00:00Z"});
    rejected.status = Some(serde_json::from_value(status).unwrap());
    queue.set(&pod, PodSource::File, &running(), Outlook::Lasting);
    queue.observed_mirror("ns", "p", Some(Arc::new(rejected)));
    settled().await;
    assert_eq!(api.count("p"), 1);
    let held = queue.slots.lock().mirrors[&("ns".to_owned(), "p".to_owned())].status.clone();
    assert_eq!(held.unwrap().phase.as_deref(), Some("Running"));
}

#[tokio::test(start_paused = true)]
async fn the_mirror_of_the_second_of_two_namesakes_wakes_the_second() {
    let (api, queue) = world();
    let (pod, mirror) = static_pod();
    let mut first = Pod::clone(&pod);
    first.metadata.uid = Some("before p".to_owned());
    let mut blank = Pod::clone(&mirror);
    blank.status = None;
    queue.set(&Arc::new(first), PodSource::File, &PodStatus::default(), Outlook::Released);
    queue.set(&pod, PodSource::File, &running(), Outlook::Lasting);
    settled().await;
    assert_eq!(api.count("p"), 0, "there is no mirror");
    queue.observed_mirror("ns", "p", Some(Arc::new(blank)));
    settled().await;
    assert_eq!(api.count("p"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_mirror_in_place_of_one_that_was_not_found_is_written_to_at_once() {
    let (api, queue) = world();
    let (pod, mirror) = static_pod();
    let blank = |uid: &str| {
        let mut mirror = Pod::clone(&mirror);
        (mirror.status, mirror.metadata.uid) = (None, Some(uid.to_owned()));
        Some(Arc::new(mirror))
    };
    let began = Instant::now();
    queue.set(&pod, PodSource::File, &running(), Outlook::Lasting);
    // The watch tells before the answer comes.
    api.answer("p", Some(not_found()));
    let held = api.answering.lock().await;
    queue.observed_mirror("ns", "p", blank("first"));
    api.until("p", 1).await;
    queue.observed_mirror("ns", "p", None);
    queue.observed_mirror("ns", "p", blank("second"));
    drop(held);
    api.until("p", 2).await;
    // It tells after that.
    tokio::time::sleep(Duration::from_secs(1)).await;
    api.answer("p", None);
    queue.observed_mirror("ns", "p", None);
    queue.observed_mirror("ns", "p", blank("third"));
    api.until("p", 3).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_new_mirror_is_written_to_at_once_and_nothing_is_taken_up_from_it() {
    let (api, queue) = world();
    let (pod, mirror) = static_pod();
    let mut blank = Pod::clone(&mirror);
    blank.status = None;
    queue.set(&pod, PodSource::File, &running(), Outlook::Lasting);
    queue.observed_mirror("ns", "p", Some(Arc::new(blank)));
    api.until("p", 1).await;
    // What the watch brings back is this process' own report.
    queue.observed_mirror("ns", "p", Some(mirror));
    assert!(!queue.is_recall_awaited(&PodUid::from("p".to_owned())));
    queue.set(&pod, PodSource::File, &PodStatus::default(), Outlook::Lasting);
    api.until("p", 2).await;
}

#[tokio::test(start_paused = true)]
async fn the_mirror_of_another_version_is_left_alone() {
    let (api, queue) = world();
    let (pod, mirror) = static_pod();
    let mut other = Pod::clone(&mirror);
    other.metadata.annotations.get_or_insert_default().insert(mirror::MIRROR.to_owned(), "older".to_owned());
    queue.set(&pod, PodSource::File, &running(), Outlook::Lasting);
    queue.observed_mirror("ns", "p", Some(Arc::new(other)));
    settled().await;
    assert_eq!(api.count("p"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_panics_is_made_again() {
    let (api, queue) = world();
    *api.panics.lock() = true;
    queue.set(&pod("p"), PodSource::Api, &running(), Outlook::Lasting);
    api.until("p", 2).await;
    settled().await;
    let held = queue.slots.lock().by_uid[&PodUid::from("p".to_owned())].api.status.clone();
    assert_eq!(held.unwrap().phase.as_deref(), Some("Running"));
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_brings_no_mirror_back() {
    let (api, queue) = world();
    let (pod, mirror) = static_pod();
    let blank = |uid: &str| {
        let mut mirror = Pod::clone(&mirror);
        (mirror.status, mirror.metadata.uid) = (None, Some(uid.to_owned()));
        Some(Arc::new(mirror))
    };
    let known = || {
        let slots = queue.slots.lock();
        let mirror = slots.mirrors.get(&("ns".to_owned(), "p".to_owned()));
        mirror.map(|mirror| mirror.metadata.uid.clone().unwrap())
    };
    queue.set(&pod, PodSource::File, &running(), Outlook::Lasting);
    let held = api.answering.lock().await;
    queue.observed_mirror("ns", "p", blank("first"));
    api.until("p", 1).await;
    queue.observed_mirror("ns", "p", None);
    queue.observed_mirror("ns", "p", blank("second"));
    drop(held);
    api.until("p", 2).await;
    settled().await;
    assert_eq!(known().as_deref(), Some("second"));

    let held = api.answering.lock().await;
    queue.set(&pod, PodSource::File, &PodStatus::default(), Outlook::Lasting);
    api.until("p", 3).await;
    queue.observed_mirror("ns", "p", None);
    drop(held);
    settled().await;
    assert_eq!(known(), None);
}

fn told(queue: &StatusQueue) -> Option<ReportNote> {
    let mono = Duration::from_secs(1_000);
    queue.unsent(&PodUid::from("p".to_owned()), Tick { mono, wall: jiff::Timestamp::UNIX_EPOCH })
}

/// Milliseconds from an instant to when [`told`] asks.
fn ago(stamp: Stamp) -> i64 {
    1_000_000 - i64::try_from(stamp.mono() / 1_000).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_can_be_told() {
    let (api, queue) = world();
    assert_eq!(told(&queue), None);
    let away = ApiError::Unreachable { server: "s".to_owned(), message: "refused".to_owned() };
    api.answer("p", Some(away));
    queue.set(&pod("p"), PodSource::Api, &running(), Outlook::Lasting);
    api.until("p", 2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let note = told(&queue).unwrap();
    let message = "cannot reach the API server at s: refused".to_owned();
    let failure = ReportFailure { obstacle: ReportObstacle::Unreachable, message, tries: 2 };
    assert_eq!((note.what, note.failure), (Report::Status, Some(failure)));
    assert_eq!((ago(note.since), note.next.map(ago)), (300, Some(-300)));
    api.answer("p", Some(forbidden()));
    settled().await;
    let note = told(&queue).unwrap();
    assert_eq!(note.failure.unwrap().obstacle, ReportObstacle::Forbidden);
    assert!(ago(note.since) > 120_000, "one trouble, whatever its errors");
    api.answer("p", None);
    settled().await;
    assert_eq!(told(&queue), None);
    // Not answered yet.
    let held = api.answering.lock().await;
    queue.set(&pod("p"), PodSource::Api, &PodStatus::default(), Outlook::Lasting);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let note = told(&queue).unwrap();
    assert_eq!((note.failure, ago(note.since)), (None, 5_000));
    drop(held);
    settled().await;
    assert_eq!(told(&queue), None);
    let alone = StatusQueue::new(None);
    alone.set(&pod("p"), PodSource::Api, &running(), Outlook::Lasting);
    assert_eq!(told(&alone), None, "there is nobody to take it");
}

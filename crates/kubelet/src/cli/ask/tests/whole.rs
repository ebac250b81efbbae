//! The whole way: from what is decided for a pod, and what others know of it, to what an operator reads.

use std::{
    future::{Future, pending},
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

use agent::records::{
    PodRecord, Records, RecordsExplainer,
    traced::{self, TracedRuntime, in_step},
};
use fakes::{
    clock::HandClock,
    pods,
    runtime::{FakeRuntime, Fault, When, sandbox_request},
};
use k8s_openapi::{
    api::core::v1::{Pod, PodStatus},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use lifecycle::{
    Action, Admission, Done, Failure, FailureStep, Intent, Observation, Outcome, PodKey, PodSource, PodState,
    explain::{Beside, Hold, PullsNote, Report, ReportFailure, ReportNote, ReportObstacle},
    observation::{ContainerRecord, RuntimePod, RuntimeState, SandboxRecord},
    record::{Stamp, StepId},
    spec::hash::container_hash,
};
use parking_lot::Mutex;
use seams::{Clock, Runtime, explain::Wanted};

use super::*;

/// A node with one pod, and what its worker would keep.
struct Scene {
    clock: Arc<HandClock>,
    explainer: RecordsExplainer,
    beside: Arc<Mutex<Beside>>,
    record: Arc<PodRecord>,
    state: Arc<PodState>,
    seen: Observation,
}

impl Scene {
    /// It begins at 08:00:00.
    fn new() -> Self {
        let clock = Arc::new(HandClock::at(at(0)));
        let records = Arc::new(Records::new(clock.clone()));
        let beside = Arc::new(Mutex::new(Beside::default()));
        let known = Arc::clone(&beside);
        let explainer = RecordsExplainer::new(
            Arc::clone(&records),
            Box::new(move |_, _| known.lock().clone()),
            clock.clone(),
            "node-1".to_owned(),
        );
        let pod = Arc::new(pods::pod("default", "web", "5d3c", &[("web", "r.test/web:1")]));
        let record = records.open(&PodKey::of(&pod), PodSource::Api, clock.now());
        let seen = Observation::of(pod);
        Self { clock, explainer, beside, record, state: Arc::default(), seen }
    }

    fn pod(&mut self) -> &mut Pod {
        Arc::make_mut(&mut self.seen.pod)
    }

    /// So many seconds after the beginning.
    fn set(&self, seconds: u64) {
        self.clock.set(Duration::from_secs(seconds));
    }

    fn stamp(&self, seconds: u64) -> Stamp {
        Stamp::from(self.clock.now()).at(Duration::from_secs(seconds))
    }

    /// One look; returns what is to be done.
    fn look(&mut self) -> Vec<(Action, StepId)> {
        let now = self.clock.now();
        let id = self.record.inspecting(now);
        self.record.inspected(id, self.seen.runtime.as_ref().ok(), now);
        self.record.answered(&self.seen.outcomes);
        let mut decision = lifecycle::decide(&self.state, &self.seen, now);
        self.seen.outcomes.clear();
        let actions = std::mem::take(&mut decision.actions);
        self.state = self.record.decided(&self.seen, &mut decision, now);
        actions.into_iter().map(|action| (action.clone(), self.record.began(&action, now))).collect()
    }

    fn answer(&mut self, action: &Action, result: Result<Done, Failure>) {
        self.seen.outcomes.push(Outcome { key: action.key(), at: self.clock.now(), result });
    }

    /// Looks, and answers everything with success but one action, which is returned.
    fn until(&mut self, wanted: impl Fn(&Action) -> bool) -> (Action, StepId) {
        let mut found = None;
        for _ in 0..10 {
            for (action, id) in self.look() {
                match &action {
                    it if wanted(it) => found = Some((action, id)),
                    Action::EnsureImage { .. } => {
                        let image_ref = "sha256:1".to_owned();
                        self.answer(&action, Ok(Done::Image { image_ref, pulled: None }));
                    }
                    _ => self.answer(&action, Ok(Done::Plain)),
                }
            }
        }
        found.expect("it is never asked for")
    }

    /// All that is said.
    fn text(&self) -> String {
        let wanted = Wanted { name: "web".to_owned(), ..Wanted::default() };
        explanation::render(&self.explainer.explain(&wanted).unwrap(), &Zone::utc())
    }

    /// What is said of blocks.
    fn blocks(&self) -> String {
        let text = self.text();
        let (_, rest) = text.split_once(" UTC\n").unwrap();
        rest.split("\nCONTAINERS\n").next().unwrap().split("\nDECIDED LATELY\n").next().unwrap().to_owned()
    }
}

/// Begins something within a step, and leaves it where it waits.
fn begun(scene: &Scene, id: StepId, what: impl Future + 'static) -> Pin<Box<dyn Future<Output = ()>>> {
    let step = in_step(Arc::clone(&scene.record), id, async move { drop(what.await) });
    let mut step: Pin<Box<dyn Future<Output = ()>>> = Box::pin(step);
    assert!(step.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    step
}

#[test]
fn a_deletion_waits_for_a_network_plugin_that_hangs() {
    let mut scene = Scene::new();
    let (_, id) = scene.until(|action| matches!(action, Action::CreateSandbox { .. }));
    let fake = FakeRuntime::new();
    fake.core.plan("RunPodSandbox", Fault::Hang, When::Before, None);
    let runtime = TracedRuntime::new(Arc::new(fake), scene.clock.clone());
    let request = sandbox_request(Arc::clone(&scene.seen.pod));
    let _call = begun(&scene, id, async move { runtime.run_sandbox(&request).await });
    scene.set(90);
    scene.seen.intent = Intent::Delete { grace: Duration::from_secs(30) };
    scene.look();
    scene.set(130);
    let expected = "
UNDER WAY: the sandbox
  since   08:00:00, 2m10s ago
  why     it is under way: the runtime works on RunPodSandbox
  who     the container runtime; its log tells more
  next    the pod goes on to stop when this is done: what it makes has to go too
";
    assert_eq!(scene.blocks(), expected);
    assert!(scene.text().contains("\nState   stopping: the pod is being deleted\n"), "{}", scene.text());
}

#[test]
fn an_end_is_not_taken_by_the_api_server() {
    let mut scene = Scene::new();
    scene.seen.intent = Intent::Delete { grace: Duration::from_secs(30) };
    scene.until(|action| matches!(action, Action::RemoveCgroup));
    scene.set(60);
    let report = |scene: &Scene, what, obstacle, message: &str| {
        let failure = ReportFailure { obstacle, message: message.to_owned(), tries: 9 };
        let (since, next) = (scene.stamp(2), Some(scene.stamp(67)));
        scene.beside.lock().report = Some(ReportNote { what, since, failure: Some(failure), next });
    };
    report(&scene, Report::Status, ReportObstacle::Unreachable, "cannot reach the API server at https://api");
    // The cgroup is still there.
    let expected = "
BLOCKED: the report of the pod's status
  since   08:00:02, 58s ago; 9 failures in a row
  why     Unreachable: cannot reach the API server at https://api
  who     the API server: it could not be asked
  next    08:01:07, in 7s: the kubelet tries again
";
    let blocks = scene.blocks();
    assert!(blocks.starts_with("\nUNDER WAY: the pod's cgroup\n") && blocks.ends_with(expected), "{blocks}");
    report(&scene, Report::Deletion, ReportObstacle::Refused, "admission webhook \"w\" denied the request");
    let expected = "
BLOCKED: the deletion of the pod's object
  since   08:00:02, 58s ago; 9 failures in a row
  why     Refused: admission webhook \"w\" denied the request
  who     whoever looks after the cluster: its API server, or a webhook, refuses what the kubelet tells
  next    08:01:07, in 7s: the kubelet tries again
";
    assert!(scene.blocks().ends_with(expected), "{}", scene.blocks());
    // Taken at last, and not shown yet.
    scene.beside.lock().report = None;
    let expected = "
WAITING: the report of the pod's status
  since   08:00:00, 1m ago
  why     the API server has taken it, and does not show it yet
  who     the API server: its answer is awaited
  next    what is kept of the pod is removed when it is shown
";
    assert!(scene.blocks().ends_with(expected), "{}", scene.blocks());
}

#[test]
fn nothing_is_blocked_when_all_is_given_back() {
    let mut scene = Scene::new();
    scene.pod().status = Some(PodStatus { phase: Some("Failed".to_owned()), ..PodStatus::default() });
    assert!(!scene.text().contains("Nothing is blocked"), "{}", scene.text());
    let (action, _) = scene.until(|action| matches!(action, Action::UnmountVolumes));
    assert!(scene.blocks().starts_with("\nUNDER WAY: volumes\n"), "{}", scene.blocks());
    scene.answer(&action, Ok(Done::Plain));
    let (action, _) = scene.until(|action| matches!(action, Action::RemoveCgroup));
    scene.answer(&action, Ok(Done::Plain));
    scene.look();
    assert_eq!(scene.blocks(), "\nNothing is blocked.\n");
}

#[test]
fn a_worker_waits_for_the_runtimes_name() {
    let scene = Scene::new();
    scene.record.held(Hold::RuntimeName, scene.clock.now());
    scene.set(12);
    scene.beside.lock().unnamed =
        Some("container runtime does not tell its name: no answer to Version within 10s".to_owned());
    let expected = "
BLOCKED: the runtime's name
  since   08:00:00, 12s ago
  why     KubeletNotReady: container runtime does not tell its name: no answer to Version within 10s
  who     the container runtime; its log tells more
  next    the pod goes on when this is done
";
    assert_eq!(scene.blocks(), expected);
    scene.record.goes_on();
    let expected = "
WAITING: the next look at the pod
  since   08:00:00, 12s ago
  why     no step has failed, and none is under way
  who     nobody else: the kubelet is at it
  next    the kubelet looks again when something changes, or after the resync period
";
    assert_eq!(scene.blocks(), expected);
}

#[test]
fn a_leftover_of_a_pod_that_runs_cannot_be_removed() {
    let mut scene = Scene::new();
    let instance = |attempt: u32, state| ContainerRecord {
        state,
        hash: container_hash("web", "r.test/web:1"),
        image: "r.test/web:1".to_owned(),
        started_at: Some(at(0)),
        finished_at: (state == RuntimeState::Exited).then(|| at(0)),
        ..ContainerRecord::created(format!("k{attempt}"), "web", attempt, "s", at(0))
    };
    let sandbox = SandboxRecord {
        id: "s".into(),
        attempt: 0,
        ready: true,
        created_at: at(0),
        ips: vec!["10.0.0.1".to_owned()],
        without_address: false,
        host_network: false,
    };
    let (ended, runs) = (RuntimeState::Exited, RuntimeState::Running);
    let containers = vec![instance(2, runs), instance(1, ended), instance(0, ended)];
    scene.seen.runtime = Ok(RuntimePod { sandboxes: vec![sandbox], containers });
    let (action, _) = scene.until(|action| matches!(action, Action::RemoveContainer { .. }));
    scene.answer(&action, Err(Failure::new(FailureStep::Teardown, "device is busy")));
    scene.look();
    let text = scene.text();
    let expected = "
BLOCKED: the removal of what has ended
  since   08:00:00, 0s ago; 1 failure
  why     FailedKillPod: device is busy
  who     the container runtime; its log tells more
  next    08:00:0";
    assert!(scene.blocks().starts_with(expected), "{text}");
    assert!(text.contains("\nState   running and ready\n"), "{text}");
}

#[test]
fn a_pod_was_refused() {
    let mut scene = Scene::new();
    let owner = OwnerReference { controller: Some(true), ..OwnerReference::default() };
    scene.pod().metadata.owner_references = Some(vec![owner]);
    scene.seen.admission =
        Admission::Rejected { reason: "OutOfcpu".to_owned(), message: "Node didn't have enough".to_owned() };
    let (action, _) = scene.until(|action| matches!(action, Action::RemoveCgroup));
    scene.answer(&action, Ok(Done::Plain));
    scene.look();
    let expected = "
BLOCKED: the pod's admission to this node
  since   08:00:00, 0s ago
  why     OutOfcpu: Node didn't have enough
  who     whoever wrote the pod, or looks after the node: it asks for what the node does not have or allow
  next    it is not tried again: the controller that owns it makes another pod
";
    assert_eq!(scene.blocks(), expected);
    let state = "\nState   ended: rejected, OutOfcpu: Node didn't have enough\n";
    assert!(scene.text().contains(state), "{}", scene.text());
}

#[test]
fn a_pull_waits_for_others() {
    let mut scene = Scene::new();
    let (_, id) = scene.until(|action| matches!(action, Action::EnsureImage { .. }));
    scene.set(5);
    let clock = scene.clock.clone();
    let waits = begun(&scene, id, async move {
        let _wait = traced::wait(&*clock);
        pending::<()>().await;
    });
    scene.set(135);
    let oldest = Some(("r.test/big:1".to_owned(), scene.stamp(5)));
    scene.beside.lock().pulls = Some(PullsNote { places: 5, under_way: 5, oldest: oldest.clone() });
    let expected = "WAITING: the image of container web
  since   08:00:05, 2m10s ago
  why     its pull has not begun: it waits for a place; 5 of at most 5 pulls are under way, the oldest for
          2m10s: image \"r.test/big:1\"
  who     the registry of \"r.test/big:1\", or the container runtime, which pulls it
  next    its pull begins when one of the others is over
";
    assert!(scene.blocks().contains(expected), "{}", scene.blocks());
    scene.beside.lock().pulls = Some(PullsNote { places: 1, under_way: 1, oldest });
    let expected = "
  why     its pull has not begun: it waits for a place; images are pulled one at a time, and that of
          \"r.test/big:1\" has been for 2m10s
";
    assert!(scene.blocks().contains(expected), "{}", scene.blocks());
    // The wait is a part of the step of its own.
    drop(waits);
    let wanted = Wanted { name: "web".to_owned(), ..Wanted::default() };
    let timeline = timeline::render(&scene.explainer.timeline(&wanted).unwrap(), &Zone::utc());
    let row = timeline.lines().find(|line| line.contains("waits for a place"));
    assert!(row.is_some_and(|row| row.contains("5000.0 ms      130.0 s")), "{timeline}");
}

//! Arguments, and answers as people read them.

use std::sync::Arc;

use seams::explain::{
    Block, Call, Container, Explainer, PodEntry, PodName, Probe, Said, Span, StartFigures, Step, TimedWhy,
    Unknown, VERSION, Wanted, Why,
};
use tokio_util::sync::CancellationToken;

use super::*;

mod whole;

fn parsed(args: &[&str]) -> Parsed {
    parse(Topic::Explain, &args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
}

fn question(args: &[&str]) -> Question {
    match parsed(args) {
        Parsed::Ask(question) => question,
        other => panic!("{other:?}"),
    }
}

#[test]
fn arguments() {
    let plain = question(&["ns/web"]);
    assert_eq!(plain.pod.as_deref(), Some("ns/web"));
    assert_eq!(plain.socket, PathBuf::from("/var/lib/kubelet/kubelet-rs.sock"));
    assert_eq!(plain.output, Output::Text);
    let all = question(&["-o", "json", "--root-dir=/x", "web", "--uid", "u"]);
    assert_eq!((all.output, all.uid.as_deref()), (Output::Json, Some("u")));
    assert_eq!(all.socket, PathBuf::from("/x/kubelet-rs.sock"));
    assert_eq!(question(&["--socket", "/s"]).socket, PathBuf::from("/s"));
    assert_eq!(question(&[]).pod, None);
    assert!(
        matches!(parsed(&["web", "--help"]), Parsed::Help(text) if text.contains("kubelet explain [NAMESPACE/]POD"))
    );
    for (args, cause, hint) in [
        (&["a", "b"][..], "one pod at a time", "list"),
        (&["--rootdir", "/x"], "unknown flag: --rootdir", "--root-dir"),
        (&["-o", "yaml"], "invalid argument \"yaml\" for -o", "text or json"),
        (&["--socket"], "flag needs an argument: --socket", "after"),
    ] {
        let Parsed::Refuse(problem) = parsed(args) else { panic!("{args:?}") };
        assert!(problem.cause.contains(cause), "{problem}");
        assert!(problem.hint.contains(hint), "{problem}");
    }
}

fn at(seconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn said(name: &str, text: &str) -> Said {
    Said { name: name.to_owned(), text: text.to_owned() }
}

fn name() -> PodName {
    PodName { namespace: "default".to_owned(), name: "web".to_owned(), uid: "5d3c".to_owned() }
}

fn blocked() -> Explanation {
    let container = |name: &str, kind: &str, state: &str, waits: Option<&str>| Container {
        name: name.to_owned(),
        kind: kind.to_owned(),
        state: state.to_owned(),
        ready: waits.is_none(),
        restarts: 0,
        waits_for: waits.map(str::to_owned),
    };
    Explanation {
        version: VERSION.to_owned(),
        now: at(131),
        node: "node-1".to_owned(),
        pod: name(),
        source: "api".to_owned(),
        seen: at(0),
        decided: Some(at(130)),
        ended: None,
        phase: "Pending".to_owned(),
        standing: said("Starting", "starting"),
        since: Some(at(0)),
        blocks: vec![
            Block {
                step: said("Volumes", "volumes"),
                container: None,
                state: "failed".to_owned(),
                since: Some(at(1)),
                reason: Some("FailedMount".to_owned()),
                why: "FailedMount: MountVolume.SetUp failed for volume \"settings\" : configmap \"settings\" not found\nMountVolume.SetUp failed for volume \"login\" : secret \"login\" not found".to_owned(),
                tries: 9,
                actor: said("ObjectOwner", "whoever owns the pod: create configmap \"settings\", create secret \"login\""),
                next: said("Retry", "the kubelet tries again"),
                next_at: Some(at(139)),
            },
            Block {
                step: said("Image", "the image"),
                container: Some("web".to_owned()),
                state: "under_way".to_owned(),
                since: Some(at(120)),
                reason: None,
                why: "it is under way: the runtime works on PullImage".to_owned(),
                tries: 0,
                actor: said("Registry", "the registry"),
                next: said("Answer", "the pod goes on when this is done"),
                next_at: None,
            },
        ],
        containers: vec![
            container("side", "sidecar", "running", None),
            container("web", "regular", "waiting: ContainerCreating", Some("the image")),
        ],
        probes: vec![Probe {
            container: "side".to_owned(),
            kind: "Readiness".to_owned(),
            result: Some(true),
            text: "3 of 1 successes in a row".to_owned(),
            last_failure: None,
            next: Some(at(140)),
        }],
        lately: vec![Why {
            at: at(1),
            last: Some(at(130)),
            times: 9,
            event: Some("FailedMount".to_owned()),
            container: None,
            text: "MountVolume.SetUp failed for volume \"settings\" : configmap \"settings\" not found".to_owned(),
        }],
    }
}

const BLOCKED: &str = r#"Pod     default/web  (uid 5d3c)
Node    node-1; the pod is from the API server
State   starting, held up by volumes
Since   08:00:00, 2m11s ago
Phase   Pending
Seen    08:00:00, 2m11s ago, first by this kubelet
Now     2027-01-15 08:02:11 UTC

BLOCKED: volumes
  since   08:00:01, 2m10s ago; 9 failures in a row
  why     FailedMount: MountVolume.SetUp failed for volume "settings" : configmap "settings" not found
          MountVolume.SetUp failed for volume "login" : secret "login" not found
  who     whoever owns the pod: create configmap "settings", create secret "login"
  next    08:02:19, in 8s: the kubelet tries again

UNDER WAY: the image of container web
  since   08:02:00, 11s ago
  why     it is under way: the runtime works on PullImage
  who     the registry
  next    the pod goes on when this is done

CONTAINERS
  NAME  KIND     STATE                       READY  RESTARTS  WAITS FOR
  side  sidecar  running                     yes    0         -
  web   regular  waiting: ContainerCreating  no     0         the image

PROBES
  CONTAINER  PROBE      RESULT    NEXT      STANDS AT
  side       Readiness  succeeds  08:02:20  3 of 1 successes in a row

DECIDED LATELY
  08:00:01  MountVolume.SetUp failed for volume "settings" : configmap "settings" not found (9 times, last
            08:02:10)
"#;

#[test]
fn a_blocked_pod() {
    let text = explanation::render(&blocked(), &Zone::utc());
    assert_eq!(text, BLOCKED, "\n{text}");
}

#[test]
fn a_pod_that_is_well_and_one_that_is_gone() {
    let mut told = blocked();
    told.blocks.clear();
    told.standing = said("Ready", "running and ready");
    assert!(explanation::render(&told, &Zone::utc()).contains("\nNothing is blocked.\n"));
    // What is left to say of it is no trouble of the pod's own.
    told.blocks = vec![Block { step: said("Removal", "the removal"), ..blocked().blocks.remove(0) }];
    let text = explanation::render(&told, &Zone::utc());
    assert!(
        text.contains("\nState   running and ready\n") && text.contains("\nBLOCKED: the removal\n"),
        "{text}"
    );
    assert!(!text.contains("Nothing is blocked"), "{text}");
    told.blocks.clear();
    told.standing = said("Gone", "gone: nothing of it is left on this node");
    told.ended = Some(at(100));
    let text = explanation::render(&told, &Zone::utc());
    assert!(text.contains("Gone    08:01:40, 31s ago\n") && !text.contains("Nothing is blocked"), "{text}");
}

fn started() -> Timeline {
    let span = |offset_ms: f64, took: f64| Span { offset_ms, duration_ms: Some(took) };
    let step = |name: &str, container: Option<&str>, span: Span, calls: Vec<Call>| Step {
        step: name.to_owned(),
        container: container.map(str::to_owned),
        span,
        state: "done".to_owned(),
        failed_before: 0,
        of_start: true,
        wait: None,
        calls,
    };
    let call = |name: &str, span: Span| Call { call: name.to_owned(), span };
    let mut crash = step("EnsureImage", Some("web"), Span { offset_ms: 61_000.0, duration_ms: None }, vec![]);
    crash.of_start = false;
    crash.state = "under_way".to_owned();
    crash.failed_before = 1;
    let calls = vec![call("ImageStatus", span(1.0, 5.0)), call("PullImage", span(160.0, 80.0))];
    let mut pull = step("EnsureImage", Some("web"), span(1.0, 240.0), calls);
    pull.wait = Some(span(60.0, 90.0));
    Timeline {
        version: VERSION.to_owned(),
        now: at(62),
        node: "node-1".to_owned(),
        pod: name(),
        source: "file".to_owned(),
        seen: at(0),
        taken_up: false,
        start: Some(StartFigures {
            running: at(0),
            status_sent: None,
            status_accepted: None,
            total_ms: 320.0,
            cri_ms: 300.0,
            init_ms: 0.0,
            added_latency_ms: 20.0,
            idle_ms: 3.5,
            cri_calls: 6,
        }),
        steps: vec![
            step("PrepareDirs", None, span(1.0, 4.0), vec![]),
            pull,
            step("CreateSandbox", None, span(5.0, 145.0), vec![call("RunPodSandbox", span(10.0, 138.0))]),
            step(
                "StartContainer",
                Some("web"),
                span(250.0, 60.0),
                vec![call("StartContainer", span(250.0, 60.0))],
            ),
            crash,
        ],
        inspections: vec![span(0.0, 2.0), span(160.0, 10.0)],
        why: vec![TimedWhy {
            offset_ms: 311.0,
            why: Why {
                at: at(0),
                last: None,
                times: 1,
                event: Some("Started".to_owned()),
                container: Some("web".to_owned()),
                text: "Container started".to_owned(),
            },
        }],
        forgotten: 12,
    }
}

const STARTED: &str = r#"Pod     default/web  (uid 5d3c)
Node    node-1; the pod is static, from a manifest file
Seen    2027-01-15 08:00:00 UTC, first by this kubelet: offset 0

START   320.0 ms from the first sight until it was found running
      300.0 ms  at least one of 6 runtime calls was under way
       20.0 ms  added by the kubelet; for 3.5 ms of the whole no step was under way

        OFFSET         TOOK  STEP                               0 … 320.0 ms
        1.0 ms       4.0 ms  PrepareDirs                        |#                               |
        1.0 ms     240.0 ms  EnsureImage web                    |########################        |
        1.0 ms       5.0 ms    ImageStatus                      |#                               |
       60.0 ms      90.0 ms    waits for a place                |      #########                 |
      160.0 ms      80.0 ms    PullImage                        |                ########        |
        5.0 ms     145.0 ms  CreateSandbox                      |###############                 |
       10.0 ms     138.0 ms    RunPodSandbox                    | #############                  |
      250.0 ms      60.0 ms  StartContainer web                 |                         ###### |
      250.0 ms      60.0 ms    StartContainer                   |                         ###### |
                    12.0 ms  2 looks at the runtime's account   |#               #               |

DECIDED, AND DONE SINCE THE START
  12 older entries between the start and the newest are forgotten
      311.0 ms               · container web: Container started
        61.0 s            …  EnsureImage web: under way ×2
"#;

#[test]
fn a_start() {
    let text = timeline::render(&started(), &Zone::utc());
    assert_eq!(text, STARTED, "\n{text}");
    let mut before = started();
    (before.taken_up, before.start) = (true, None);
    before.steps.iter_mut().for_each(|step| step.of_start = false);
    before.inspections.clear();
    let text = timeline::render(&before, &Zone::utc());
    assert!(text.contains("The pod was there before this kubelet") && !text.contains("START   "), "{text}");
}

#[test]
fn what_a_container_wrote_moves_no_cursor_and_makes_no_lines() {
    // Clears the screen, goes up a line, renames the window, begins a line that looks like one of ours.
    const EVIL: &str = "\u{1b}[2J\u{9b}1A\u{1b}]0;x\u{7}\r\nNothing is blocked.\u{7f}";
    const SEEN: &str = "\\x1b[2J\\u{9b}1A\\x1b]0;x\\x07\\r\\nNothing is blocked.\\x7f";
    let is_safe = |text: &str| !text.chars().any(|letter| letter.is_control() && letter != '\n');
    let plain = explanation::render(&blocked(), &Zone::utc());
    let mut told = blocked();
    told.standing.text.push_str(EVIL);
    told.phase.push_str(EVIL);
    told.node.push_str(EVIL);
    told.blocks[1].container.as_mut().unwrap().push_str(EVIL);
    told.containers[0].state.push_str(EVIL);
    told.probes[0].text.push_str(EVIL);
    let text = explanation::render(&told, &Zone::utc());
    assert!(is_safe(&text) && text.matches(SEEN).count() == 6, "{text}");
    assert_eq!(text.lines().count(), plain.lines().count(), "{text}");
    // Messages have lines, but stay below their label.
    told.blocks[0].why = EVIL.to_owned();
    told.lately[0].text = EVIL.to_owned();
    let text = explanation::render(&told, &Zone::utc());
    assert!(is_safe(&text) && !text.contains("\nNothing"), "{text}");

    let plain = timeline::render(&started(), &Zone::utc());
    let mut told = started();
    told.node.push_str(EVIL);
    told.steps[1].step.push_str(EVIL);
    told.steps[1].calls[0].call.push_str(EVIL);
    told.steps[4].container.as_mut().unwrap().push_str(EVIL);
    let text = timeline::render(&told, &Zone::utc());
    assert!(is_safe(&text) && text.matches(SEEN).count() == 4, "{text}");
    assert_eq!(text.lines().count(), plain.lines().count(), "{text}");
    told.why[0].why.text = EVIL.to_owned();
    assert!(is_safe(&timeline::render(&told, &Zone::utc())));

    let mut list = Known.pods();
    list.pods[0].standing.text = EVIL.to_owned();
    let text = layout::pods(&list, &Zone::utc());
    assert!(is_safe(&text) && text.contains(SEEN) && text.lines().count() == 4, "{text}");
}

/// Knows one pod.
struct Known;

impl Explainer for Known {
    fn pods(&self) -> PodList {
        let entry = |name: &str| PodEntry {
            pod: PodName { namespace: "default".to_owned(), name: name.to_owned(), uid: "u".to_owned() },
            source: "api".to_owned(),
            standing: said("Ready", "running and ready"),
            ended: None,
        };
        let pods = ["web", "database-0", "proxy-node-1"].map(entry).to_vec();
        PodList { version: VERSION.to_owned(), now: at(0), node: "node-1".to_owned(), pods }
    }

    fn explain(&self, wanted: &Wanted) -> Result<Explanation, Unknown> {
        match (wanted.name.as_str(), &wanted.uid) {
            ("web", _) => Ok(blocked()),
            ("twice", None) => Err(Unknown::Several(vec![name()])),
            ("twice", Some(_)) => Ok(blocked()),
            _ => Err(Unknown::NoSuchPod),
        }
    }

    fn timeline(&self, _: &Wanted) -> Result<Timeline, Unknown> {
        Ok(started())
    }
}

#[tokio::test]
async fn asks_over_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(server::local::FILE);
    let socket = path.to_str().unwrap().to_owned();
    let answer = async |args: &[&str]| {
        let question = question(&[args, &["--socket", &socket]].concat());
        ask(&question).await
    };
    // Not there, and left behind by a kill.
    let none = answer(&["web"]).await.unwrap_err();
    assert!(none.contains("there is no such socket\nhint: is the kubelet running?"), "{none}");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let dead = answer(&["web"]).await.unwrap_err();
    assert!(dead.contains("nothing listens on it\nhint: the kubelet has stopped"), "{dead}");

    let serving = server::local::bind(&path).await.unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(server::local::serve(serving, Arc::new(Known), stop.clone()));
    assert!(answer(&["default/web"]).await.unwrap().contains("BLOCKED: volumes"));
    let json = answer(&["web", "-o", "json"]).await.unwrap();
    assert_eq!(serde_json::from_str::<Explanation>(&json).unwrap(), blocked());
    let list = answer(&[]).await.unwrap();
    assert!(list.starts_with("NAMESPACE  NAME          SOURCE  STATE"), "{list}");
    let near = answer(&["database"]).await.unwrap_err();
    assert_eq!(
        near,
        "error: this kubelet knows no pod database\nhint: did you mean one of these?\n  default/database-0\n"
    );
    let near = answer(&["porxy"]).await.unwrap_err();
    assert!(near.ends_with("one of these?\n  default/proxy-node-1\n"), "{near}");
    let far = answer(&["x/nothing-like-it"]).await.unwrap_err();
    assert!(far.contains("hint: is it bound to node node-1? `kubelet explain` lists"), "{far}");
    let several = answer(&["twice"]).await.unwrap_err();
    assert!(
        several.contains("  default/web  --uid 5d3c\nhint: name the namespace, or give --uid"),
        "{several}"
    );
    assert!(answer(&["twice", "--uid", "5d3c"]).await.is_ok());
    stop.cancel();
}

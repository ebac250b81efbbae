//! Pods as a whole: their way from the submission to the end, phases, conditions, restart policies, init containers.

use anyhow::{Context as _, Result, ensure};
use lab::cgroups::Groups;
use node_tests::condition;
use serde_json::{Value, json};

use super::{
    api,
    seen::{Seen, seconds},
    stage::{Case, pod},
};

pub(super) fn cases() -> Vec<Case> {
    let mut all = vec![
        Case::pod(&[1, 2, 21], "submitted", SUBMITTED)
            .step(
                |seen| {
                    seen.ready()?;
                    addresses(seen)?;
                    class(seen, "BestEffort", "kubepods/besteffort/")
                },
                |seen| api::delete(seen.lab, "submitted", None),
            )
            .must(removed),
        Case::pod(&[15, 21], "deadline", DEADLINE)
            .step(
                |seen| {
                    seen.ready()?;
                    class(seen, "Guaranteed", "kubepods/")
                },
                |seen| api::patch(seen.lab, "deadline", &json!({"spec": {"activeDeadlineSeconds": 1}})),
            )
            .must(|seen| {
                seen.phase("Failed")?;
                let status = seen.status();
                ensure!(status["reason"] == "DeadlineExceeded", "{status}");
                let text = "Pod was active on the node longer than the specified deadline";
                ensure!(status["message"] == text, "{status}");
                seen.event("DeadlineExceeded", text)
            }),
        gates(),
        collection(),
    ];
    all.extend(policies());
    all.extend(init_containers());
    all.extend(conditions());
    all
}

/// It takes its time to end, and is not killed before.
const SUBMITTED: &str = r#"
containers:
- name: main
  image: $BUSYBOX
  command: [sh, -c, "trap 'sleep 2; exit 0' TERM; while true; do sleep 0.1; done"]
"#;

const DEADLINE: &str = r#"
activeDeadlineSeconds: 3600
containers:
- {name: main, image: $TESTBOX, args: [trap], resources: {limits: {cpu: 50m, memory: 32Mi}}}
"#;

/// Addresses of the node and of the pod's network.
fn addresses(seen: &Seen<'_>) -> Result<()> {
    let (status, addresses) = (seen.status(), &seen.lab.plan().addresses);
    let node = addresses.node.to_string();
    ensure!(status["hostIP"] == *node && status["hostIPs"] == json!([{"ip": node}]), "{status}");
    let network = addresses.pod_cidr.trim_end_matches("0/24");
    let ip = status["podIP"].as_str().unwrap_or_default();
    ensure!(ip.starts_with(network) && ip.len() > network.len(), "{ip} is not of {network}: {status}");
    ensure!(status["podIPs"] == json!([{"ip": ip}]), "{status}");
    ensure!(status["startTime"].is_string(), "{status}");
    Ok(())
}

/// The class that the API shows, and the pod's cgroup beneath that of the class.
fn class(seen: &Seen<'_>, class: &str, group: &str) -> Result<()> {
    ensure!(seen.status()["qosClass"] == class, "{}", seen.status());
    let groups = Groups::new(&seen.lab.plan().cgroup_root)?;
    let hierarchies = groups.existing();
    let group = format!("{group}pod{}", seen.uid());
    let found = hierarchies.iter().any(|hierarchy| hierarchy.join(&group).is_dir());
    ensure!(found, "there is no cgroup {group} in {hierarchies:?}");
    Ok(())
}

/// It was seen on its way out, ended by itself within its grace, and left nothing on the node.
fn removed(seen: &Seen<'_>) -> Result<()> {
    seen.gone()?;
    let leaving = |pod: &Value| {
        pod["metadata"]["deletionGracePeriodSeconds"] == 30 && pod["status"]["phase"] == "Running"
    };
    ensure!(seen.past().versions.iter().any(|pod| leaving(pod)), "it was not seen to leave");
    let ended = &seen.container("main")["state"]["terminated"];
    ensure!(ended["exitCode"] == 0 && ended["reason"] == "Completed", "{}", seen.status());
    let after = seen.ended_after("main")?;
    ensure!((1..30).contains(&after), "it ended after {after} s");
    seen.event("Killing", "Stopping container main")?;
    let folder = seen.lab.paths().kubelet_root.join("pods").join(seen.uid());
    ensure!(!folder.exists(), "{} is left", folder.display());
    Ok(())
}

fn gate(name: &str, status: &str) -> impl Fn(&Seen<'_>) -> Result<()> + use<> {
    let patch =
        json!({"status": {"conditions": [{"type": format!("example.com/{name}"), "status": status}]}});
    move |seen| api::patch_status(seen.lab, "gates", &patch)
}

/// Its containers are ready, itself it is not, and the condition says why.
fn gated(seen: &Seen<'_>, text: &str) -> Result<()> {
    ensure!(seen.past().holds("ContainersReady"), "{}", seen.status());
    let ready = seen.condition("Ready");
    ensure!(ready["status"] == "False" && ready["reason"] == "ReadinessGatesNotReady", "{ready}");
    let message = ready["message"].as_str().unwrap_or_default();
    ensure!(message == text, "the message is {message:?}");
    Ok(())
}

fn gates() -> Case {
    let missing = |gate: &str| {
        format!("corresponding condition of pod readiness gate \"example.com/{gate}\" does not exist.")
    };
    let (one, both) = (missing("two"), format!("{}, {}", missing("one"), missing("two")));
    let lost = "the status of pod readiness gate \"example.com/one\" is not \"True\", but False";
    let spec = "
readinessGates: [{conditionType: example.com/one}, {conditionType: example.com/two}]
containers: [{name: main, image: $TESTBOX, args: [sleep], resources: {requests: {cpu: 10m}}}]
";
    Case::pod(&[30, 21], "gates", spec)
        .step(
            move |seen| {
                class(seen, "Burstable", "kubepods/burstable/")?;
                gated(seen, &both)
            },
            gate("one", "True"),
        )
        .step(move |seen| gated(seen, &one), gate("two", "True"))
        .step(|seen| seen.ready(), gate("one", "False"))
        .must(move |seen| {
            gated(seen, lost)?;
            let first = seen.past().versions.iter().find(|pod| condition(pod, "Ready")["status"] == "True");
            let first = first.context("it was never Ready")?;
            for gate in ["example.com/one", "example.com/two"] {
                ensure!(condition(first, gate)["status"] == "True", "Ready without {gate}: {first}");
            }
            seen.never_restarted("main")
        })
}

/// Three pods of one label: what is changed about one is followed, and what somebody else says in its status stays;
/// in the end all are deleted by one request.
fn collection() -> Case {
    const NAMES: [&str; 3] = ["collected-1", "collected-2", "collected-3"];
    let spec = "
terminationGracePeriodSeconds: 5
containers: [{name: main, image: $TESTBOX, args: [sleep]}]
";
    let one = |name: &str| pod(name, spec).replace("labels: {", "labels: {set: collected, ");
    let mut case = Case::later(&[7], NAMES[0]);
    for name in NAMES {
        let pod = one(name);
        case = case.step(|_| Ok(()), move |seen| api::create(seen.lab, &seen.filled(&pod)));
    }
    for name in &NAMES[1..] {
        case = case.with(name);
    }
    case.step(
        |seen| NAMES.iter().try_for_each(|name| seen.of(name).ready()),
        |seen| {
            let foreign = json!({"type": "example.com/foreign", "status": "True", "reason": "Foreign"});
            api::patch_status(seen.lab, NAMES[0], &json!({"status": {"conditions": [foreign]}}))?;
            let main = json!({"name": "main", "image": lab::images::TESTBOX_2});
            let change = json!({"metadata": {"labels": {"more": "two"}}, "spec": {"containers": [main]}});
            api::patch(seen.lab, NAMES[0], &change)
        },
    )
    .step(
        |seen| {
            seen.ready()?;
            seen.restarted("main", 1)?;
            let image = &seen.container("main")["image"];
            ensure!(image == lab::images::TESTBOX_2, "the image is {image}");
            ensure!(seen.pod()["metadata"]["labels"]["more"] == "two", "the label is gone");
            ensure!(seen.condition("example.com/foreign")["reason"] == "Foreign", "{}", seen.status());
            Ok(())
        },
        |seen| api::delete_all(seen.lab, "set%3Dcollected"),
    )
    .must(|seen| NAMES.iter().try_for_each(|name| seen.of(name).gone()))
}

/// Fails, succeeds, and then stays if it is run again.
const COUNTING: &str = "
containers:
- name: main
  image: $BUSYBOX
  command:
  - sh
  - -c
  - |
    echo run >> /pod/journal
    case `grep -c run /pod/journal` in 1) exit 1;; 2) exit 0;; esac
    while true; do sleep 0.1; done
  volumeMounts: [{name: pod, mountPath: /pod}]
volumes: [{name: pod, hostPath: {path: $FOLDER}}]
terminationGracePeriodSeconds: 1
";

fn policies() -> Vec<Case> {
    let ended = |seen: &Seen<'_>, restarts: i64, code: i64, reason: &str| {
        let (main, ready) = (seen.container("main"), seen.condition("Ready"));
        ensure!(main["restartCount"] == restarts, "{main}");
        let state = &main["state"]["terminated"];
        ensure!(state["exitCode"] == code && state["reason"] == reason, "{main}");
        ensure!(main["ready"] == false && ready["status"] == "False", "{}", seen.status());
        let runs = seen.journal().len();
        ensure!(i64::try_from(runs)? == restarts + 1, "it ran {runs} times");
        Ok(())
    };
    vec![
        Case::pod(&[3], "always", COUNTING).slow().must(|seen| {
            seen.ready()?;
            seen.runs("main")?;
            let main = seen.container("main");
            ensure!(main["restartCount"] == 2 && main["ready"] == true, "{main}");
            let last = &main["lastState"]["terminated"];
            ensure!(last["exitCode"] == 0 && last["reason"] == "Completed", "{main}");
            Ok(())
        }),
        Case::pod(&[3], "on-failure", &format!("restartPolicy: OnFailure{COUNTING}")).must(move |seen| {
            seen.phase("Succeeded")?;
            ended(seen, 1, 0, "Completed")
        }),
        Case::pod(&[3], "never", &format!("restartPolicy: Never{COUNTING}")).must(move |seen| {
            seen.phase("Failed")?;
            ended(seen, 0, 1, "Error")
        }),
    ]
}

/// Two init containers and one that comes after them; the first ends with a code.
fn with_init(policy: &str, code: u8, main: &str) -> String {
    let write = "args: [write, --append, --path, /pod/journal, --text";
    let mounts = "volumeMounts: [{name: pod, mountPath: /pod}]";
    format!(
        "
restartPolicy: {policy}
initContainers:
- {{name: one, image: $BUSYBOX, command: [sh, -c, 'sleep 1; echo one >> /pod/journal; exit {code}'], {mounts}}}
- {{name: two, image: $TESTBOX, {write}, two], {mounts}}}
containers:
- {{name: main, image: $TESTBOX, {write}, main{main}], {mounts}}}
volumes: [{{name: pod, hostPath: {{path: $FOLDER}}}}]
"
    )
}

fn init_containers() -> Vec<Case> {
    let in_order = |seen: &Seen<'_>| {
        let journal = seen.journal();
        ensure!(journal == ["one", "two", "main"], "they ran as {journal:?}");
        for name in ["one", "two"] {
            let status = seen.container(name);
            ensure!(status["state"]["terminated"]["reason"] == "Completed", "{status}");
            ensure!(status["restartCount"] == 0 && status["ready"] == true, "{status}");
        }
        ensure!(seen.past().holds("Initialized"), "{}", seen.status());
        let waited = |pod: &Value| {
            let condition = condition(pod, "Initialized");
            condition["reason"] == "ContainersNotInitialized"
                && condition["message"] == "containers with incomplete status: [one two]"
        };
        ensure!(seen.past().versions.iter().any(|pod| waited(pod)), "it was never said to wait for them");
        Ok(())
    };
    // Neither the second nor the main one has run.
    let stuck = |seen: &Seen<'_>| {
        let condition = seen.condition("Initialized");
        ensure!(condition["status"] == "False", "{condition}");
        ensure!(condition["reason"] == "ContainersNotInitialized", "{condition}");
        ensure!(condition["message"] == "containers with incomplete status: [one two]", "{condition}");
        for name in ["two", "main"] {
            let state = &seen.container(name)["state"];
            ensure!(state["waiting"]["reason"] == "PodInitializing", "{name}: {state}");
        }
        let journal = seen.journal();
        ensure!(!journal.is_empty() && journal.iter().all(|line| line == "one"), "they ran as {journal:?}");
        Ok(())
    };
    vec![
        Case::pod(&[6], "init-always", &with_init("Always", 0, ", --stay")).must(move |seen| {
            seen.ready()?;
            in_order(seen)
        }),
        Case::pod(&[6], "init-never", &with_init("Never", 0, "")).must(move |seen| {
            seen.phase("Succeeded")?;
            ensure!(seen.condition("Initialized")["reason"] == "PodCompleted", "{}", seen.status());
            in_order(seen)
        }),
        Case::pod(&[6], "init-fails-never", &with_init("Never", 1, "")).must(move |seen| {
            seen.phase("Failed")?;
            let one = seen.container("one");
            ensure!(one["state"]["terminated"]["exitCode"] == 1 && one["restartCount"] == 0, "{one}");
            stuck(seen)
        }),
        Case::pod(&[6], "init-fails-always", &with_init("Always", 1, "")).slow().must(move |seen| {
            seen.restarted("one", 2)?;
            seen.phase("Pending")?;
            let last = &seen.container("one")["lastState"]["terminated"];
            ensure!(last["exitCode"] == 1, "{}", seen.container("one"));
            stuck(seen)
        }),
    ]
}

/// Conditions came true in this order; several may have in one second.
fn in_order(seen: &Seen<'_>, order: [&str; 5]) -> Result<()> {
    seen.ready()?;
    let mut before = 0;
    for kind in order {
        let condition = seen.condition(kind);
        ensure!(condition["status"] == "True", "{kind}: {condition}");
        let at = seconds(&condition["lastTransitionTime"])?;
        ensure!(at >= before, "{kind} came true too early: {}", seen.status());
        before = at;
    }
    Ok(())
}

/// Waits for a volume, which was tried some times, so that all has been done that can be done without it.
fn blocked(seen: &Seen<'_>, initialised: &str) -> Result<()> {
    let tries = seen.told("FailedMount", "MountVolume.SetUp failed for volume");
    ensure!(tries >= 3, "it was tried {tries} times");
    for (kind, status) in [
        ("PodScheduled", "True"),
        ("PodReadyToStartContainers", "False"),
        ("Initialized", initialised),
        ("ContainersReady", "False"),
        ("Ready", "False"),
    ] {
        let condition = seen.condition(kind);
        ensure!(condition["status"] == status, "{kind} is not {status}: {}", seen.status());
    }
    Ok(())
}

/// Nothing was said to be ready for its containers.
fn unstarted(seen: &Seen<'_>) -> Result<()> {
    let ready = &seen.condition("PodReadyToStartContainers")["status"];
    ensure!(*ready != "True", "it is ready to start containers: {}", seen.status());
    Ok(())
}

fn conditions() -> Vec<Case> {
    let init = "initContainers: [{name: first, image: $TESTBOX, args: [exit, --after, 2s]}]";
    let main = "containers: [{name: main, image: $TESTBOX, args: [sleep]}]";
    let missing = |kind: &str| {
        format!(
            "containers: [{{name: main, image: $TESTBOX, args: [sleep], volumeMounts: [{{name: v, mountPath: /v}}]}}]\n\
             volumes: [{{name: v, {kind}}}]"
        )
    };
    let secret = missing("secret: {secretName: nowhere}");
    let config_map = missing("configMap: {name: nowhere}");
    vec![
        Case::pod(&[51], "conditions", main).must(|seen| {
            let ready_to_start = "PodReadyToStartContainers";
            in_order(seen, ["PodScheduled", "Initialized", ready_to_start, "ContainersReady", "Ready"])
        }),
        Case::pod(&[51], "conditions-init", &format!("{init}\n{main}")).must(|seen| {
            let ready_to_start = "PodReadyToStartContainers";
            in_order(seen, ["PodScheduled", ready_to_start, "Initialized", "ContainersReady", "Ready"])
        }),
        Case::pod(&[51], "no-config-map", &config_map).never(unstarted).must(|seen| blocked(seen, "True")),
        Case::pod(&[51], "no-secret-init", &format!("{init}\n{secret}"))
            .never(unstarted)
            .must(|seen| blocked(seen, "False")),
    ]
}

//! Static pods and their mirrors at the end of a pod: grace, changes meanwhile, an outage of the runtime; and a restart
//! of the kubelet that finds less than there was. What else changes about static pods is in `static_pods.rs`.

use std::{fs, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lab::{Lab, Service};
use node_tests::{Node, is_ready, kubelet_log};
use serde_json::Value;

use super::{
    NODE,
    seen::{Seen, folder},
    stage::Case,
};

/// Longest for anything to come about.
const BOUND: Duration = Duration::from_secs(120);

/// Seconds that it is seen to stay at least with five seconds of grace: it tells so every tenth of a second, or every
/// second on a busy machine, and its times are cut to seconds.
const STAYS: i64 = 3;

/// A static pod that tells its version, when it was asked to end, and when it is still there; it does not end by itself.
fn beating(name: &str, version: u8) -> String {
    let script = format!(
        "echo up {version} >> /pod/journal; trap 'echo asked `date +%s` >> /pod/journal' TERM; \
         while true; do sleep 0.1; echo beat `date +%s` >> /pod/journal; done"
    );
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 5
  containers:
  - name: main
    image: $BUSYBOX
    command: [sh, -c, \"{script}\"]
    volumeMounts: [{{name: pod, mountPath: /pod}}]
  volumes: [{{name: pod, hostPath: {{path: $FOLDER}}}}]
"
    )
}

/// A static pod that ends when it is asked to.
fn plain(name: &str, more: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 5
  containers: [{{name: main, image: $TESTBOX, args: [trap]}}]
{more}"
    )
}

fn mirror(name: &str) -> String {
    format!("{name}-{NODE}")
}

fn place(seen: &Seen<'_>, file: &str, manifest: &str) -> Result<()> {
    seen.lab.add_static_pod(file, &seen.filled(manifest)).map(drop)
}

fn remove(lab: &Lab, file: &str) -> Result<()> {
    fs::remove_file(lab.paths().manifests.join(file)).with_context(|| format!("cannot remove {file}"))
}

pub(super) fn cases() -> Vec<Case> {
    vec![generations(), again(), grace_removed(), grace_changed()]
}

/// Uids of the mirrors so far, in their order.
fn uids(seen: &Seen<'_>) -> Vec<Value> {
    let mut uids: Vec<Value> =
        seen.past().versions.iter().map(|pod| pod["metadata"]["uid"].clone()).collect();
    uids.dedup();
    uids
}

/// A mirror is never of another generation than the first, and says nothing of an observed one: a changed manifest is
/// another mirror.
fn generations() -> Case {
    let changed = plain("generation", "  activeDeadlineSeconds: 3000\n");
    Case::later(&[48], &mirror("generation"))
        .step(|_| Ok(()), |seen| place(seen, "generation.yaml", &plain("generation", "")))
        .step(|seen| seen.ready(), move |seen| place(seen, "generation.yaml", &changed))
        .never(|seen| {
            // A deletion is a change of the object.
            let stays = |pod: &&Arc<Value>| pod["metadata"]["deletionTimestamp"].is_null();
            for pod in seen.past().versions.iter().filter(stays) {
                let generation = &pod["metadata"]["generation"];
                ensure!(*generation == 1, "the generation is {generation}");
                let observed = &pod["status"]["observedGeneration"];
                ensure!(observed.as_i64().unwrap_or_default() == 0, "the observed generation is {observed}");
            }
            Ok(())
        })
        .step(
            |seen| {
                ensure!(uids(seen).len() == 2, "the mirrors were {:?}", uids(seen));
                ensure!(seen.pod()["spec"]["activeDeadlineSeconds"] == 3000, "{}", seen.pod()["spec"]);
                seen.ready()
            },
            |seen| remove(seen.lab, "generation.yaml"),
        )
        .must(|seen| seen.gone())
}

/// A file that goes and comes again is the same pod, whose container was restarted.
fn again() -> Case {
    Case::later(&[48], &mirror("again"))
        .step(|_| Ok(()), |seen| place(seen, "again.yaml", &plain("again", "")))
        .step(|seen| seen.ready(), |seen| remove(seen.lab, "again.yaml"))
        // One look later.
        .step(|_| Ok(()), |seen| place(seen, "again.yaml", &plain("again", "")))
        .step(
            |seen| {
                seen.ready()?;
                seen.runs("main")?;
                let count = &seen.container("main")["restartCount"];
                ensure!(*count == 1, "it was restarted {count} times");
                Ok(())
            },
            |seen| remove(seen.lab, "again.yaml"),
        )
        .must(|seen| seen.gone())
}

/// It has told something.
fn tells(seen: &Seen<'_>, what: &str) -> Result<()> {
    let journal = seen.journal();
    ensure!(journal.iter().any(|line| line.starts_with(what)), "it says {journal:?}");
    Ok(())
}

/// It was there for its grace after it was asked to end.
fn stayed(journal: &[String]) -> Result<()> {
    let time = |line: &String, what: &str| line.strip_prefix(what)?.trim().parse::<i64>().ok();
    let asked = journal.iter().find_map(|line| time(line, "asked")).context("it was not asked to end")?;
    let last = journal.iter().rev().find_map(|line| time(line, "beat")).context("it was never there")?;
    ensure!(last - asked >= STAYS, "it stayed for {} s", last - asked);
    Ok(())
}

/// The mirror stays what it is until the grace period is over.
fn grace_removed() -> Case {
    Case::later(&[49], &mirror("grace-removed"))
        .slow()
        .step(|_| Ok(()), |seen| place(seen, "grace-removed.yaml", &beating("grace-removed", 1)))
        .step(
            |seen| {
                seen.ready()?;
                tells(seen, "beat")
            },
            |seen| remove(seen.lab, "grace-removed.yaml"),
        )
        .never(|seen| {
            ensure!(uids(seen).len() <= 1, "the mirrors were {:?}", uids(seen));
            if seen.past().gone { stayed(&seen.journal()) } else { Ok(()) }
        })
        .must(|seen| {
            seen.gone()?;
            let journal = seen.journal();
            let asked = journal.iter().filter(|line| line.starts_with("asked")).count();
            ensure!(asked == 1, "it was asked {asked} times: {journal:?}");
            Ok(())
        })
}

/// A changed manifest waits for the end of what runs. Of several changes meanwhile only the last one ever runs.
fn grace_changed() -> Case {
    const LAST: u8 = 6;
    let mut case = Case::later(&[49], &mirror("grace-changed"))
        .slow()
        .step(|_| Ok(()), |seen| place(seen, "grace-changed.yaml", &beating("grace-changed", 1)));
    for version in 2..=LAST {
        case = case.step(
            move |seen| {
                seen.ready()?;
                // The first when it runs, the others while it ends.
                tells(seen, if version == 2 { "beat" } else { "asked" })
            },
            move |seen| place(seen, "grace-changed.yaml", &beating("grace-changed", version)),
        );
    }
    let ups = |seen: &Seen<'_>| -> Vec<String> {
        seen.journal().into_iter().filter(|line| line.starts_with("up")).collect()
    };
    case.step(
        move |seen| {
            let ups = ups(seen);
            ensure!(ups == ["up 1".to_owned(), format!("up {LAST}")], "there were {ups:?}");
            ensure!(uids(seen).len() >= 2, "the mirror is the first one");
            let command = seen.pod()["spec"]["containers"][0]["command"][2].as_str().unwrap_or_default();
            ensure!(command.contains(&format!("up {LAST}")), "the mirror's command is {command}");
            seen.ready()?;
            seen.never_restarted("main")
        },
        |seen| remove(seen.lab, "grace-changed.yaml"),
    )
    .never(move |seen| {
        let journal = seen.journal();
        let second = journal.iter().position(|line| *line == format!("up {LAST}"));
        second.map_or(Ok(()), |second| stayed(&journal[..second]))
    })
    .must(|seen| seen.gone())
}

/// What no other pod may run beside: the runtime ends while a static pod does, and the kubelet is restarted.
pub(super) fn alone(node: &mut Node) -> Result<()> {
    outage(node).context("an outage of the runtime while a static pod ends")?;
    forgotten(node).context("a kubelet that finds less than there was")
}

fn get(lab: &Lab, name: &str) -> Result<Value> {
    let pod = lab.pod(&mirror(name))?;
    ensure!(pod["status"]["phase"] == "Running", "{}", pod["status"]);
    Ok(pod)
}

fn gone(lab: &Lab, name: &str) -> Result<()> {
    ensure!(!lab.has_pod(&mirror(name))?, "{name} is still there");
    Ok(())
}

/// The mirror stays while nothing is known of the pod, and the end goes on when the runtime is back.
fn outage(node: &Node) -> Result<()> {
    const NAME: &str = "outage";
    let nothing = std::collections::BTreeMap::new();
    let seen = Seen { lab: node, name: NAME, pasts: &nothing };
    fs::create_dir_all(folder(node, NAME))?;
    place(&seen, "outage.yaml", &beating(NAME, 1))?;
    node.eventually("the static pod to run", BOUND, |_| tells(&seen, "beat"))?;
    let before = node.eventually("its mirror", BOUND, |lab| get(lab, NAME))?;
    remove(node, "outage.yaml")?;
    node.eventually("it to be asked to end", BOUND, |_| tells(&seen, "asked"))?;
    node.service(Service::Containerd).kill()?;
    node.eventually("the kubelet to miss the runtime", BOUND, |lab| {
        ensure!(kubelet_log(lab).contains("nothing listens on the socket"), "it does not say so");
        Ok(())
    })?;
    let meanwhile = get(node, NAME)?;
    ensure!(meanwhile["metadata"]["uid"] == before["metadata"]["uid"], "another mirror");
    node.service(Service::Containerd).start()?;
    node.eventually("the static pod to end", BOUND, |lab| gone(lab, NAME))?;
    stayed(&seen.journal())
}

const FORGOTTEN: &str = "  initContainers:
  - {name: init, image: $TESTBOX, args: [exit]}
  - {name: sidecar, image: $TESTBOX, args: [trap], restartPolicy: Always}
";

/// Init containers that have ended may be removed from the runtime: a new kubelet takes them for done, and the pod is
/// Ready as it was.
fn forgotten(node: &mut Node) -> Result<()> {
    const NAME: &str = "forgotten";
    let nothing = std::collections::BTreeMap::new();
    place(&Seen { lab: node, name: NAME, pasts: &nothing }, "forgotten.yaml", &plain(NAME, FORGOTTEN))?;
    let ready = |lab: &Lab| {
        let pod = get(lab, NAME)?;
        ensure!(is_ready(&pod), "{}", pod["status"]);
        Ok(pod)
    };
    let before = node.eventually("the static pod to be Ready", BOUND, ready)?;
    let id = before["status"]["initContainerStatuses"][0]["containerID"].as_str().unwrap_or_default();
    let id = id.rsplit('/').next().unwrap_or_default().to_owned();
    node.lab()?.kubelet().stop()?;
    node.ctr(&["containers", "delete", &id])?;
    // Its CRI keeps its own record, which it reads from the containers when it starts.
    node.service(Service::Containerd).kill()?;
    node.service(Service::Containerd).start()?;
    node.lab()?.kubelet().start()?;
    node.lab()?.wait_node_ready(BOUND)?;
    // A pod that comes now shows that the kubelet has gone through all of them.
    let after_it = "apiVersion: v1\nkind: Pod\nmetadata: {name: after-it}\nspec:\n  containers: [{name: main, image: $BUSYBOX, command: [sleep, '1000']}]\n  terminationGracePeriodSeconds: 1\n";
    let seen = Seen { lab: node, name: "after-it", pasts: &nothing };
    place(&seen, "after-it.yaml", after_it)?;
    node.eventually("a pod that comes later", BOUND, |lab| get(lab, "after-it"))?;
    let after = node.eventually("the static pod to be Ready again", BOUND, ready)?;
    let of = |pod: &Value, at: &str| pod["status"][at][0].clone();
    let init = of(&after, "initContainerStatuses");
    let ended = &init["state"]["terminated"];
    ensure!(ended["reason"] == "Completed" && ended["exitCode"] == 0, "{init}");
    let (old, new) = (of(&before, "containerStatuses"), of(&after, "containerStatuses"));
    ensure!(old["containerID"] == new["containerID"] && new["restartCount"] == 0, "{old}, then {new}");
    for file in ["forgotten.yaml", "after-it.yaml"] {
        remove(node, file)?;
    }
    node.eventually("both to go", BOUND, |lab| gone(lab, NAME).and_then(|()| gone(lab, "after-it")))
}

//! Static pods and their mirrors under change: files edited, renamed, removed and put back, two files with one name, the
//! API server down, mirrors deleted, the same name from another source; and running pods that get another image or
//! other metadata. Upstream's kubelet (`KUBELET_BIN=upstream`) passes all of it but one step: where a pod of the API has
//! the name that a mirror would have, it makes no mirror when that pod is gone.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use lab::{Lab, Mode, Runtime, Service};
use node_tests::{Node, gone, is_ready};
use serde_json::Value;

/// Longest for anything to come about; upstream reads the directory every 20 s and retries mirrors after a minute.
const BOUND: Duration = Duration::from_secs(150);

struct Manifests {
    node: Node,
}

/// What is known of a static pod: from its mirror, and from the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    mirror_uid: String,
    /// The pod's own uid.
    hash: String,
    container: String,
    restarts: u64,
    image: String,
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A pod on the node's network with a port of the node: two versions of it cannot run side by side, nor be admitted so.
fn manifest(name: &str, uid: &str, port: u16, image: &str, args: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}{uid}}}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 4
  containers:
  - name: main
    image: {image}
    ports: [{{containerPort: {port}}}]
    args: [serve, --http, \"{port}\", --https, \"off\", --grpc, \"off\", --tcp, \"off\", --drain, 1s{args}]
    readinessProbe: {{httpGet: {{path: /readyz, port: {port}}}, periodSeconds: 1}}
"
    )
}

const FIRST: &str = "registry.test/testbox:1";
const SECOND: &str = "registry.test/testbox:2";

/// Running containers of a pod by its name, as uid and id.
fn running(lab: &Lab, pod: &str) -> Result<Vec<(String, String)>> {
    let filter =
        format!("labels.\"io.kubernetes.pod.name\"=={pod},labels.\"io.kubernetes.container.name\"==main");
    let ids = lab.ctr(&["containers", "list", "--quiet", &filter])?;
    let tasks = lab.ctr(&["tasks", "list"])?;
    let mut found = Vec::new();
    for id in ids.lines() {
        let runs = tasks.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.first() == Some(&id) && words.last() == Some(&"RUNNING")
        });
        if runs {
            let info: Value = serde_json::from_str(&lab.ctr(&["containers", "info", id])?)?;
            found.push((text(&info, "/Labels/io.kubernetes.pod.uid"), id.to_owned()));
        }
    }
    Ok(found)
}

impl Manifests {
    fn name(&self, pod: &str) -> String {
        format!("{pod}-{}", self.node.plan().node_name)
    }

    fn place(&self, file: &str, text: &str) -> Result<()> {
        self.node.add_static_pod(file, text).map(drop)
    }

    fn remove(&self, file: &str) -> Result<()> {
        fs::remove_file(self.node.paths().manifests.join(file)).with_context(|| format!("remove {file}"))
    }

    /// A static pod whose mirror shows what runs.
    fn look(lab: &Lab, name: &str) -> Result<Seen> {
        let mirror = lab.pod(name)?;
        let runs = running(lab, name)?;
        let [(uid, id)] = &runs[..] else { bail!("{} containers run: {runs:?}", runs.len()) };
        let status = mirror.pointer("/status/containerStatuses/0").context("no container status")?;
        let seen = Seen {
            mirror_uid: text(&mirror, "/metadata/uid"),
            hash: text(&mirror, "/metadata/annotations/kubernetes.io~1config.hash"),
            container: id.clone(),
            restarts: status["restartCount"].as_u64().unwrap_or(0),
            image: text(status, "/image"),
        };
        ensure!(is_ready(&mirror), "not Ready: {}", mirror["status"]);
        ensure!(
            text(status, "/containerID") == format!("containerd://{id}"),
            "{} runs, the API shows {}",
            id,
            status["containerID"]
        );
        ensure!(seen.hash == *uid, "the hash is {}, the pod's uid {uid}", seen.hash);
        ensure!(
            text(&mirror, "/metadata/annotations/kubernetes.io~1config.mirror") == *uid,
            "the mirror is another pod's"
        );
        ensure!(text(&mirror, "/metadata/annotations/kubernetes.io~1config.source") == "file", "no source");
        ensure!(!text(&mirror, "/metadata/annotations/kubernetes.io~1config.seen").is_empty(), "not seen");
        let owner = mirror.pointer("/metadata/ownerReferences/0").context("no owner")?;
        ensure!(owner["kind"] == "Node" && owner["controller"] == true, "owned by {owner}");
        Ok(seen)
    }

    fn until(&self, what: &str, pod: &str, check: impl Fn(&Seen) -> bool) -> Result<Seen> {
        let name = self.name(pod);
        self.node.eventually(what, BOUND, |lab| {
            let seen = Self::look(lab, &name)?;
            ensure!(check(&seen), "{seen:?}");
            Ok(seen)
        })
    }

    fn until_gone(&self, what: &str, pod: &str) -> Result<()> {
        let name = self.name(pod);
        self.node.eventually(what, BOUND, |lab| {
            gone(lab, &name)?;
            let runs = running(lab, &name)?;
            ensure!(runs.is_empty(), "it runs: {runs:?}");
            Ok(())
        })
    }

    fn edited_renamed_removed(&self) -> Result<()> {
        self.place("a.yaml", &manifest("a", "", 18001, FIRST, ""))?;
        let first = self.until("the static pod", "a", |_| true)?;
        self.place("a.yaml", &manifest("a", "", 18001, FIRST, ", --log-requests"))?;
        let edited = self.until("the edited pod", "a", |seen| seen.hash != first.hash)?;
        ensure!(edited.mirror_uid != first.mirror_uid, "the mirror of the old version was kept");
        ensure!(edited.restarts == 0, "it restarted: the old version still held the port");

        let folder = &self.node.paths().manifests;
        fs::rename(folder.join("a.yaml"), folder.join("renamed.yaml"))?;
        let renamed = self.until("the pod of the renamed file", "a", |seen| seen.hash != edited.hash)?;
        ensure!(renamed.restarts == 0, "it restarted: the old version still held the port");
        // The same text in the same place is the same pod again, whatever was in between.
        fs::rename(folder.join("renamed.yaml"), folder.join("a.yaml"))?;
        self.until("the pod of the file renamed back", "a", |seen| {
            seen.hash == edited.hash && seen.container != edited.container
        })?;

        let away = self.node.paths().dir.join("away.yaml");
        let before = self.until("the pod", "a", |_| true)?;
        fs::rename(folder.join("a.yaml"), &away)?;
        self.node.eventually("the pod to be on its way out", BOUND, |lab| {
            let ended = !running(lab, &self.name("a"))?.iter().any(|(_, id)| *id == before.container);
            ensure!(ended, "it runs");
            Ok(())
        })?;
        fs::rename(&away, folder.join("a.yaml"))?;
        let back =
            self.until("the pod of the file that came back", "a", |seen| seen.container != before.container)?;
        ensure!(back.hash == before.hash, "the file that came back is another pod");
        self.remove("a.yaml")?;
        self.until_gone("the removed pod to go", "a")
    }

    /// A pod that must not run twice is another one when its file comes back.
    fn once_more(&self) -> Result<()> {
        let once = manifest("once", "", 18013, FIRST, "").replace("spec:", "spec:\n  restartPolicy: Never");
        self.place("once.yaml", &once)?;
        let before = self.until("the pod that runs once", "once", |_| true)?;
        let (file, away) =
            (self.node.paths().manifests.join("once.yaml"), self.node.paths().dir.join("away.yaml"));
        fs::rename(&file, &away)?;
        self.node.eventually("the pod to be told to end", BOUND, |lab| {
            let ended =
                text(&lab.pod(&self.name("once"))?, "/status/containerStatuses/0/state/terminated/reason");
            let runs = running(lab, &self.name("once"))?;
            ensure!(!ended.is_empty() || runs.is_empty(), "it runs");
            Ok(())
        })?;
        fs::rename(&away, &file)?;
        let again =
            self.until("the pod whose file came back", "once", |seen| seen.container != before.container)?;
        ensure!(again.restarts == 0 && again.hash == before.hash, "{again:?}");
        self.remove("once.yaml")?;
        self.until_gone("the pod that ran once to go", "once")
    }

    /// A hook that would go on for long ends with its container.
    fn with_an_endless_hook(&self) -> Result<()> {
        let hook = "\n    lifecycle: {postStart: {sleep: {seconds: 600}}}\n    readinessProbe";
        let endless = manifest("endless", "", 18014, FIRST, "").replace("\n    readinessProbe", hook);
        // No hook may sleep for longer than this.
        let endless = endless.replace("PeriodSeconds: 4", "PeriodSeconds: 600");
        self.place("endless.yaml", &endless)?;
        let name = self.name("endless");
        self.node.eventually("the pod whose hook runs", BOUND, |lab| {
            ensure!(running(lab, &name)?.len() == 1, "it does not run");
            Ok(())
        })?;
        self.remove("endless.yaml")?;
        self.until_gone("the pod whose hook ran to go", "endless")
    }

    fn taken_away_and_put_back_at_once(&self) -> Result<()> {
        self.place("q.yaml", &manifest("q", ", uid: q-1", 18006, FIRST, ""))?;
        self.until("the pod", "q", |_| true)?;
        let folder = &self.node.paths().manifests;
        let away = self.node.paths().dir.join("away.yaml");
        for _ in 0..3 {
            fs::rename(folder.join("q.yaml"), &away)?;
            fs::rename(&away, folder.join("q.yaml"))?;
        }
        // Whether it was restarted or not, it runs in the end, and stays.
        let settled = self.until("the pod that was put back", "q", |_| true)?;
        self.place("z.yaml", &manifest("z", "", 18007, FIRST, ""))?;
        self.until("a neighbour", "z", |_| true)?;
        let after = self.until("the pod that was put back", "q", |_| true)?;
        ensure!(after.hash == settled.hash, "{after:?}");
        self.remove("q.yaml")?;
        self.remove("z.yaml")?;
        self.until_gone("the pod that was put back to go", "q")?;
        self.until_gone("the neighbour to go", "z")
    }

    /// A pod with a uid of its own is updated in place.
    fn with_a_uid(&self) -> Result<()> {
        self.place("u.yaml", &manifest("u", ", uid: own-uid-1", 18002, FIRST, ""))?;
        let first = self.until("the pod with a uid", "u", |seen| seen.hash == "own-uid-1")?;
        let folder = &self.node.paths().manifests;
        fs::rename(folder.join("u.yaml"), folder.join("u2.yaml"))?;
        self.place("neighbour.yaml", &manifest("neighbour", "", 18003, FIRST, ""))?;
        self.until("a neighbour", "neighbour", |_| true)?;
        let renamed = self.until("the pod of the renamed file", "u", |_| true)?;
        ensure!(renamed.hash == first.hash, "{renamed:?}");
        self.place("u2.yaml", &manifest("u", ", uid: own-uid-1", 18002, SECOND, ""))?;
        let updated = self
            .until("the new image", "u", |seen| seen.image == SECOND && seen.restarts > renamed.restarts)?;
        ensure!(updated.hash == first.hash, "{updated:?}");
        self.remove("u2.yaml")?;
        self.remove("neighbour.yaml")?;
        self.until_gone("the pod with a uid to go", "u")?;
        self.until_gone("the neighbour to go", "neighbour")
    }

    fn two_files_with_one_name(&mut self) -> Result<()> {
        self.place("twin-2.yaml", &manifest("twin", "", 18004, FIRST, ", --log-requests"))?;
        let last = self.until("the only file's pod", "twin", |_| true)?;
        self.place("twin-1.yaml", &manifest("twin", "", 18004, FIRST, ""))?;
        self.place("aside.yaml", &manifest("aside", "", 18005, FIRST, ""))?;
        self.until("a neighbour", "aside", |_| true)?;
        // Upstream lets the newer file win until it reads the whole directory again.
        self.until("the last file's pod", "twin", |seen| seen.hash == last.hash)?;
        let lab = self.node.lab()?;
        lab.kubelet().stop()?;
        lab.kubelet().start()?;
        lab.wait_node_ready(BOUND)?;
        let kept =
            self.until("the last file's pod after a restart", "twin", |seen| seen.hash == last.hash)?;
        self.remove("twin-2.yaml")?;
        self.until("the first file's pod", "twin", |seen| seen.hash != kept.hash)?;
        self.remove("twin-1.yaml")?;
        self.remove("aside.yaml")?;
        self.until_gone("the pod of both files to go", "twin")?;
        self.until_gone("the neighbour to go", "aside")
    }

    fn mirror_deleted(&self) -> Result<()> {
        self.place("m.yaml", &manifest("m", "", 18008, FIRST, ""))?;
        let before = self.until("the pod", "m", |_| true)?;
        for grace in ["--grace-period=30", "--force"] {
            let name = self.name("m");
            let old = self.until("the mirror", "m", |_| true)?;
            self.node.kubectl(&["delete", "pod", &name, "--wait=false", grace])?;
            let again = self.until("another mirror", "m", |seen| seen.mirror_uid != old.mirror_uid)?;
            ensure!(again.container == before.container, "deleting the mirror disturbed the pod: {again:?}");
            ensure!(again.restarts == 0 && again.hash == before.hash, "{again:?}");
        }
        self.remove("m.yaml")?;
        self.until_gone("the pod to go", "m")
    }

    fn without_an_api_server(&mut self) -> Result<()> {
        self.place("stays.yaml", &manifest("stays", "", 18009, FIRST, ""))?;
        self.place("goes.yaml", &manifest("goes", "", 18010, FIRST, ""))?;
        let stays = self.until("a pod that stays", "stays", |_| true)?;
        self.until("a pod that goes", "goes", |_| true)?;
        let edited = self.until("a pod that is edited", "stays", |_| true)?;
        self.node.service(Service::ApiServer).stop()?;
        self.remove("goes.yaml")?;
        self.place("comes.yaml", &manifest("comes", "", 18011, FIRST, ""))?;
        self.place("stays.yaml", &manifest("stays", "", 18009, FIRST, ", --log-requests"))?;
        let (goes, comes, edits) = (self.name("goes"), self.name("comes"), self.name("stays"));
        self.node.eventually("the node to follow its files alone", BOUND, |lab| {
            ensure!(running(lab, &goes)?.is_empty(), "the removed pod runs");
            ensure!(running(lab, &comes)?.len() == 1, "the new pod does not run");
            let now = running(lab, &edits)?;
            ensure!(now.len() == 1 && now[0].1 != edited.container, "the edited pod is {now:?}");
            Ok(())
        })?;
        // And over a restart of the kubelet.
        self.node.lab()?.kubelet().kill()?;
        self.node.lab()?.kubelet().start()?;
        self.node.service(Service::ApiServer).start()?;
        self.until("the new pod's mirror", "comes", |_| true)?;
        self.until("the edited pod's mirror", "stays", |seen| seen.hash != stays.hash)?;
        self.until_gone("the removed pod's mirror to go", "goes")?;
        self.remove("comes.yaml")?;
        self.remove("stays.yaml")?;
        self.until_gone("the new pod to go", "comes")?;
        self.until_gone("the edited pod to go", "stays")
    }

    /// A pod of the API has the name that the mirror would have.
    fn name_taken(&self) -> Result<()> {
        let name = self.name("taken");
        self.node.apply(&format!(
            "
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{{name: other, image: {FIRST}, args: [sleep]}}]
"
        ))?;
        self.node.eventually("the pod of the API", BOUND, |lab| {
            ensure!(is_ready(&lab.pod(&name)?), "not Ready");
            Ok(())
        })?;
        self.place("taken.yaml", &manifest("taken", "", 18012, FIRST, ""))?;
        let id = self.node.eventually("the static pod beside it", BOUND, |lab| {
            let runs = running(lab, &name)?;
            ensure!(runs.len() == 1, "{runs:?}");
            Ok(runs[0].1.clone())
        })?;
        ensure!(is_ready(&self.node.pod(&name)?), "the pod of the API is not Ready any more");
        self.node.kubectl(&["delete", "pod", &name])?;
        let seen = self.until("the mirror in its place", "taken", |_| true)?;
        ensure!(seen.container == id, "the static pod was disturbed: {seen:?}");
        self.remove("taken.yaml")?;
        self.until_gone("the static pod to go", "taken")
    }

    /// A pod of the API gets another image, and other labels and annotations.
    fn updated(&self) -> Result<()> {
        self.node.apply(&format!(
            "
apiVersion: v1
kind: Pod
metadata: {{name: updated, labels: {{stage: one}}}}
spec:
  terminationGracePeriodSeconds: 2
  volumes: [{{name: self, downwardAPI: {{items: [{{path: labels, fieldRef: {{fieldPath: metadata.labels}}}}]}}}}]
  containers:
  - name: main
    image: {FIRST}
    args: [serve]
    volumeMounts: [{{name: self, mountPath: /self}}]
"
        ))?;
        let look = |lab: &Lab| -> Result<Value> {
            let pod = lab.pod("updated")?;
            ensure!(is_ready(&pod), "not Ready: {}", pod["status"]);
            Ok(pod)
        };
        let first = self.node.eventually("the pod", BOUND, look)?;
        self.node.kubectl(&["label", "pod", "updated", "stage=two", "--overwrite"])?;
        self.node.kubectl(&["annotate", "pod", "updated", "example.com/a=b"])?;
        let ip = text(&first, "/status/podIP");
        self.node.eventually("the new label in the volume", BOUND, |lab| {
            let url = format!("http://{ip}:8080/file?path=/self/labels");
            let output = lab.command("curl").args(["--silent", "--max-time", "10", &url]).output()?;
            let shown = String::from_utf8_lossy(&output.stdout).into_owned();
            ensure!(shown.contains("stage=\"two\""), "it shows {shown}");
            Ok(())
        })?;
        let labelled = self.node.eventually("the pod", BOUND, look)?;
        let id = "/status/containerStatuses/0/containerID";
        ensure!(text(&labelled, id) == text(&first, id), "metadata restarted the container");

        self.node.kubectl(&["set", "image", "pod/updated", &format!("main={SECOND}")])?;
        let second = self.node.eventually("the new image", BOUND, |lab| {
            let pod = look(lab)?;
            ensure!(text(&pod, "/status/containerStatuses/0/image") == SECOND, "{}", pod["status"]);
            Ok(pod)
        })?;
        ensure!(
            second.pointer("/status/containerStatuses/0/restartCount") == Some(&Value::from(1)),
            "{second}"
        );
        ensure!(text(&second, "/status/podIP") == ip, "the sandbox was replaced");
        ensure!(
            second.pointer("/status/containerStatuses/0/lastState/terminated").is_some(),
            "no last state"
        );
        // Events are sent behind what they tell of, one after another.
        self.node.eventually("the event of the new image", BOUND, |lab| {
            let events = Value::from(lab.api()?.events("involvedObject.name=updated")?).to_string();
            ensure!(events.contains("Container main definition changed"), "{events}");
            Ok(())
        })?;
        self.node.kubectl(&["delete", "pod", "updated"]).map(drop)
    }
}

fn under_change(runtime: Runtime, name: &str) -> Result<()> {
    let mut all = Manifests { node: Node::plain(name, Mode::Cluster, runtime)? };
    all.edited_renamed_removed().context("edited, renamed, removed")?;
    all.once_more().context("a pod that runs once comes back")?;
    all.with_an_endless_hook().context("with an endless hook")?;
    all.taken_away_and_put_back_at_once().context("taken away and put back at once")?;
    all.with_a_uid().context("with a uid")?;
    all.two_files_with_one_name().context("two files with one name")?;
    all.mirror_deleted().context("mirror deleted")?;
    all.without_an_api_server().context("without an API server")?;
    all.name_taken().context("name taken")?;
    all.updated().context("updated")?;
    all.node.eventually("nothing to be left", BOUND, |lab| {
        let folders = fs::read_dir(lab.paths().kubelet_root.join("pods"))?.count();
        ensure!(folders == 0, "{folders} pod directories are left");
        Ok(())
    })?;
    all.node.down()
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn static_pods_under_change_on_containerd_2() {
    under_change(Runtime::Containerd2, "t-mirror2").unwrap();
}

//! Files that the kubelet makes or reads for every container: its log, its termination message, `/etc/hosts`; and its
//! root, which can be read-only.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;

use super::{api, seen::Seen, stage::Case};

/// What is there before the pods.
pub(super) const OBJECTS: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: hosts}
data: {hosts: 192.0.2.8 own.local}
"#;

/// First line of the file that is made for pods with a network of their own.
const MANAGED: &str = "# Kubernetes-managed hosts file.";

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::pod(&[8], "prints", PRINTS)
            .step(
                |seen| {
                    seen.reason("says", "Completed")?;
                    seen.reason("fails", "Error")?;
                    ensure!(
                        seen.container("fails")["state"]["terminated"]["exitCode"] == 1,
                        "{}",
                        seen.status()
                    );
                    seen.phase("Failed")?;
                    logged(seen)
                },
                |seen| api::delete(seen.lab, "prints", None),
            )
            .must(|seen| seen.gone()),
        Case::pod(&[9], "messages", MESSAGES).must(|seen| {
            seen.phase("Failed")?;
            for (name, want) in [
                ("default-path", "DONE"),
                ("own-path", "DONE"),
                ("relative-path", "DONE"),
                ("from-log", "DONE"),
                ("no-error", ""),
                ("from-file", "from the file"),
            ] {
                let ended = &seen.container(name)["state"]["terminated"];
                let message = ended["message"].as_str().unwrap_or_default();
                ensure!(ended.is_object() && message.trim_end() == want, "{name}: {ended}");
            }
            Ok(())
        }),
        Case::pod(&[10, 23], "hosts", HOSTS).must(|seen| {
            seen.phase("Succeeded")?;
            let log = seen.log("managed");
            ensure!(log.lines().nth(1) == Some(MANAGED), "it is {log}");
            let own = format!("{}\thosts", seen.status()["podIP"].as_str().unwrap_or_default());
            seen.printed("managed", &[&own, "192.0.2.7\tfoo.local\tbar.local"])?;
            let log = seen.log("mounts-its-own");
            ensure!(log.lines().skip(1).eq(["192.0.2.8 own.local"]), "it is {log}");
            seen.printed("read-only", &["refused", "/dev/shm can be written", "/scratch can be written"])
        }),
        Case::pod(&[10], "hosts-of-the-node", HOSTS_OF_THE_NODE).must(|seen| {
            seen.phase("Succeeded")?;
            let log = seen.log("main");
            ensure!(!log.contains(MANAGED), "it is {log}");
            let node = fs::read_to_string("/etc/hosts").context("cannot read /etc/hosts")?;
            ensure!(log.contains(node.trim_end()), "it is {log}, the node's {node}");
            Ok(())
        }),
    ]
}

const PRINTS: &str = r#"
restartPolicy: Never
containers:
- {name: says, image: $BUSYBOX, command: [sh, -c, "echo to out; echo to err >&2"]}
- {name: fails, image: $BUSYBOX, command: ["false"]}
"#;

/// The lines of both streams, in the file that `kubectl logs` is answered from.
fn logged(seen: &Seen<'_>) -> Result<()> {
    let folder = format!("default_prints_{}/says/0.log", seen.uid());
    let file = seen.lab.paths().pod_logs.join(folder);
    let log = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    for want in ["stdout F to out", "stderr F to err"] {
        let line = log.lines().find_map(|line| line.strip_suffix(want));
        let time = line.with_context(|| format!("{want:?} is not in {log}"))?;
        time.trim().parse::<Timestamp>().with_context(|| format!("{time:?} is no time"))?;
    }
    Ok(())
}

const MESSAGES: &str = r#"
restartPolicy: Never
containers:
- {name: default-path, image: $TESTBOX, args: [exit, --message, DONE]}
- name: own-path
  image: $TESTBOX
  args: [exit, --message, DONE, --message-path, /dev/termination-custom-log]
  terminationMessagePath: /dev/termination-custom-log
  securityContext: {runAsUser: 10000}
- {name: relative-path, image: $TESTBOX, args: [exit, --message, DONE, --message-path, /a/log], terminationMessagePath: a/log}
- name: from-log
  image: $TESTBOX
  args: [exit, --stdout, DONE, --code, "1"]
  terminationMessagePolicy: FallbackToLogsOnError
- {name: no-error, image: $TESTBOX, args: [exit, --stdout, DONE], terminationMessagePolicy: FallbackToLogsOnError}
- name: from-file
  image: $TESTBOX
  args: [exit, --stdout, from the log, --message, from the file, --code, "1"]
  terminationMessagePolicy: FallbackToLogsOnError
"#;

const HOSTS: &str = r#"
restartPolicy: Never
hostAliases: [{ip: 192.0.2.7, hostnames: [foo.local, bar.local]}]
containers:
- {name: managed, image: $TESTBOX, args: [print-file, /etc/hosts]}
- name: mounts-its-own
  image: $TESTBOX
  args: [print-file, /etc/hosts]
  volumeMounts: [{name: own, mountPath: /etc/hosts, subPath: hosts}]
- name: read-only
  image: $BUSYBOX
  command:
  - sh
  - -c
  - |
    touch /file || echo refused
    for folder in /dev/shm /scratch; do touch $folder/file && echo "$folder can be written"; done
  securityContext: {readOnlyRootFilesystem: true}
  volumeMounts: [{name: scratch, mountPath: /scratch}]
volumes:
- {name: scratch, emptyDir: {}}
- {name: own, configMap: {name: hosts}}
"#;

const HOSTS_OF_THE_NODE: &str = r#"
restartPolicy: Never
hostNetwork: true
containers: [{name: main, image: $TESTBOX, args: [print-file, /etc/hosts]}]
"#;

//! The users and groups of a process: those of the pod, those that the image gives its user, and those of a user
//! namespace.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt as _};

use anyhow::{Context as _, Result, ensure};

use super::{seen::Seen, stage::Case};

/// The image's user is `tester` (1001), a member of `extra` (2000).
fn groups(name: &'static str, policy: &str, want: &'static [u32]) -> Case {
    let spec = format!(
        "
terminationGracePeriodSeconds: 1
securityContext: {{supplementalGroups: [3000], fsGroup: 4000{policy}}}
containers: [{{name: main, image: $NAMED, args: [print-self, --stay]}}]
"
    );
    Case::pod(&[35], name, &spec).must(move |seen| {
        seen.ready()?;
        has(seen, want)
    })
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        groups("groups", "", &[1001, 2000, 3000, 4000]),
        groups("groups-merged", ", supplementalGroupsPolicy: Merge", &[1001, 2000, 3000, 4000]),
        groups("groups-strict", ", supplementalGroupsPolicy: Strict", &[1001, 3000, 4000]),
        Case::pod(&[35], "user-namespace", USER_NAMESPACE).must(|seen| {
            seen.ready()?;
            in_user_namespace(seen)
        }),
    ]
}

const USER_NAMESPACE: &str = r#"
hostUsers: false
terminationGracePeriodSeconds: 1
securityContext: {fsGroup: 4000}
volumes:
- {name: data, emptyDir: {}}
- {name: memory, emptyDir: {medium: Memory}}
- {name: files, configMap: {name: hosts}}
initContainers:
- name: writes
  image: $BUSYBOX
  command: [sh, -c, "echo of the first > /data/file && chown 7:8 /data/file"]
  volumeMounts: [{name: data, mountPath: /data}]
containers:
- name: main
  image: $BUSYBOX
  command:
  - sh
  - -c
  - |
    echo uids $(cat /proc/self/uid_map)
    echo gids $(cat /proc/self/gid_map)
    echo owners $(stat -c %u:%g /data /memory /files/hosts /data/file)
    touch /memory/new; echo $(cat /files/hosts); cat /data/file
    while :; do sleep 1; done
  volumeMounts:
  - {name: data, mountPath: /data}
  - {name: memory, mountPath: /memory}
  - {name: files, mountPath: /files}
"#;

/// Root of the pod is nobody on the node, and its files belong to whom they belong on the node.
fn in_user_namespace(seen: &Seen<'_>) -> Result<()> {
    let dir = seen.lab.paths().kubelet_root.join("pods").join(seen.uid());
    let record = dir.join("userns");
    let text = fs::read_to_string(&record).with_context(|| format!("cannot read {}", record.display()))?;
    let record: serde_json::Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let first = record["uidMappings"][0]["hostId"].as_u64().unwrap_or_default();
    ensure!(first >= 65536 && first.is_multiple_of(65536), "the record is {text}");
    let ids = format!("0 {first} 65536");
    seen.printed("main", &[&format!("uids {ids}"), &format!("gids {ids}")])?;
    seen.printed("main", &["owners 0:4000 0:4000 0:4000 7:8", "192.0.2.8 own.local", "of the first"])?;
    let file = dir.join("volumes/kubernetes.io~empty-dir/data/file");
    let owner = fs::metadata(&file).with_context(|| format!("cannot read {}", file.display()))?;
    ensure!((owner.uid(), owner.gid()) == (7, 8), "{} belongs to {}", file.display(), owner.uid());
    seen.never_restarted("main")
}

/// The process has these groups, and the status says the same.
fn has(seen: &Seen<'_>, want: &[u32]) -> Result<()> {
    let log = seen.log("main");
    let line = |key: &str| log.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    ensure!(line("Uid:") == Some("1001 1001 1001 1001"), "it is {log}");
    let numbers = line("Groups:").with_context(|| format!("no groups in {log}"))?;
    let known: Result<BTreeSet<u32>, _> = numbers.split_whitespace().map(str::parse).collect();
    let want: BTreeSet<u32> = want.iter().copied().collect();
    ensure!(known? == want, "the groups are {numbers}");
    let user = &seen.container("main")["user"]["linux"];
    ensure!(user["uid"] == 1001 && user["gid"] == 1001, "{user}");
    let told = user["supplementalGroups"].as_array().into_iter().flatten();
    let told: BTreeSet<u32> = told.filter_map(|group| u32::try_from(group.as_u64()?).ok()).collect();
    ensure!(told == want, "the status says {user}");
    Ok(())
}

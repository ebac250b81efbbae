//! Volumes: modes, owners and contents as containers see them, and how changes arrive. The test program prints each
//! file with its mode and owner, and again when it changes.

use anyhow::{Result, ensure};
use serde_json::json;

use super::{api, environment::allocatable, seen::Seen, stage::Case};

/// What is there before the pods. `changed` and `goes` are changed and deleted while they are mounted.
pub(super) const OBJECTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: elsewhere}
---
apiVersion: v1
kind: Secret
metadata: {name: volume, namespace: elsewhere}
stringData: {one: of another namespace}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: volume}
data: {one: value-1, two: value-2}
binaryData: {binary: 3sr+utD+/w==}
---
apiVersion: v1
kind: Secret
metadata: {name: volume}
stringData: {one: value-1, two: value-2}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: changed}
data: {key: before}
---
apiVersion: v1
kind: Secret
metadata: {name: changed}
stringData: {key: before}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: goes}
data: {key: for a while}
---
apiVersion: v1
kind: Secret
metadata: {name: goes}
stringData: {key: for a while}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: immutable}
immutable: true
data: {key: for ever}
---
apiVersion: v1
kind: Secret
metadata: {name: immutable}
immutable: true
stringData: {key: for ever}
"#;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::pod(&[42], "empty-dirs", EMPTY_DIRS).must(empty_dirs),
        Case::pod(&[42], "empty-dirs-group", EMPTY_DIRS_GROUP).must(empty_dirs_group),
        Case::pod(&[43, 44], "kept", KEPT).must(kept),
        Case::pod(&[44], "secret-group", SECRET_GROUP).must(|seen| {
            seen.phase("Succeeded")?;
            shows(seen, "main", "/v/one", "mode=0440 uid=0 gid=1001", "value-1")
        }),
        Case::pod(&[46], "projected", PROJECTED).must(projected),
        changing(),
        downward(),
    ]
}

/// A file was printed with a mode and owner, and with this for its first line.
fn shows(seen: &Seen<'_>, container: &str, path: &str, meta: &str, text: &str) -> Result<()> {
    let log = seen.log(container);
    let lines: Vec<&str> = log.lines().collect();
    let start = format!("== {path} {meta} size=");
    let found = lines.windows(2).any(|pair| pair[0].starts_with(&start) && pair[1] == text);
    ensure!(found, "{path} is not {meta} {text:?} in {log}");
    Ok(())
}

const EMPTY_DIRS: &str = r#"
restartPolicy: Never
containers:
- name: root
  image: $BUSYBOX
  command: &command
  - sh
  - -c
  - |
    for folder in /disk /memory; do
      echo "$folder `stat -c %a $folder | tail -c 4`"
      for mode in 644 666 777; do
        file=$folder/$USER_NAME-$mode
        echo content > $file; chmod $mode $file
        echo "`stat -c '%n %a %u' $file` `cat $file`"
      done
    done
    echo "shared by $USER_NAME" > /disk/shared-$USER_NAME
    until [ -s /disk/shared-$OTHER ]; do sleep 0.1; done
    cat /disk/shared-$OTHER
    grep -q ' /memory tmpfs ' /proc/mounts && echo "memory is tmpfs"
    grep -q ' /disk tmpfs ' /proc/mounts || echo "disk is none"
    df -k /memory | tail -n 1 | awk '{print "memory has " $2}'
  env: [{name: USER_NAME, value: root}, {name: OTHER, value: user}]
  volumeMounts: &mounts [{name: disk, mountPath: /disk}, {name: memory, mountPath: /memory}]
- name: user
  image: $BUSYBOX
  command: *command
  env: [{name: USER_NAME, value: user}, {name: OTHER, value: root}]
  volumeMounts: *mounts
  securityContext: {runAsUser: 1001}
volumes:
- {name: disk, emptyDir: {}}
- {name: memory, emptyDir: {medium: Memory, sizeLimit: 10Mi}}
"#;

/// For root and for others: everybody may write, files keep their modes, both containers see one folder.
fn empty_dirs(seen: &Seen<'_>) -> Result<()> {
    seen.phase("Succeeded")?;
    for (name, uid, other) in [("root", 0, "user"), ("user", 1001, "root")] {
        let mut lines = vec![
            format!("shared by {other}"),
            "memory is tmpfs".to_owned(),
            "disk is none".to_owned(),
            "memory has 10240".to_owned(),
        ];
        for folder in ["/disk", "/memory"] {
            lines.push(format!("{folder} 777"));
            let files =
                ["644", "666", "777"].map(|mode| format!("{folder}/{name}-{mode} {mode} {uid} content"));
            lines.extend(files);
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        seen.printed(name, &lines)?;
    }
    Ok(())
}

const EMPTY_DIRS_GROUP: &str = r#"
restartPolicy: Never
securityContext: {fsGroup: 123}
containers:
- name: root
  image: $BUSYBOX
  command: &command
  - sh
  - -c
  - |
    umask 0
    for folder in /disk /memory; do
      stat -c '%n %a %u %g' $folder
      echo content > $folder/$USER_NAME; chmod 660 $folder/$USER_NAME
      stat -c '%n %a %g' $folder/$USER_NAME
    done
    stat -c '%n %a %u %g' /part
  env: [{name: USER_NAME, value: root}]
  volumeMounts: &mounts
  - {name: disk, mountPath: /disk}
  - {name: memory, mountPath: /memory}
  - {name: memory, mountPath: /part, subPath: not/there/yet}
- name: user
  image: $BUSYBOX
  command: *command
  env: [{name: USER_NAME, value: user}]
  volumeMounts: *mounts
  securityContext: {runAsUser: 1001}
volumes:
- {name: disk, emptyDir: {}}
- {name: memory, emptyDir: {medium: Memory}}
"#;

/// The group owns the folders and what is made in them, a part that was not there included. The root of a tmpfs has
/// the sticky bit, and so has what is made of it.
fn empty_dirs_group(seen: &Seen<'_>) -> Result<()> {
    seen.phase("Succeeded")?;
    for name in ["root", "user"] {
        let files = ["/disk", "/memory"].map(|folder| format!("{folder}/{name} 660 123"));
        let folders = ["/disk 2777 0 123", "/memory 3777 0 123", "/part 3777 0 123"];
        seen.printed(name, &folders)?;
        seen.printed(name, &files.each_ref().map(String::as_str))?;
    }
    Ok(())
}

/// Volumes that stay as they are, for root and for another user.
const KEPT: &str = r#"
restartPolicy: Never
containers:
- name: root
  image: $TESTBOX
  args: [print-file, /config, /config-modes, /config-items, /secret, /secret-modes, /secret-items, /immutable]
  volumeMounts: &mounts
  - {name: config, mountPath: /config}
  - {name: config-modes, mountPath: /config-modes}
  - {name: config-items, mountPath: /config-items}
  - {name: secret, mountPath: /secret}
  - {name: secret-modes, mountPath: /secret-modes}
  - {name: secret-items, mountPath: /secret-items}
  - {name: config-immutable, mountPath: /immutable/config}
  - {name: secret-immutable, mountPath: /immutable/secret}
- name: user
  image: $TESTBOX
  args: [print-file, /config, /config-items, /secret, /secret-items]
  volumeMounts: *mounts
  securityContext: {runAsUser: 1001}
- name: binary
  image: $BUSYBOX
  command: [hexdump, -v, -e, '/1 "%02x "', /config/binary]
  volumeMounts: *mounts
volumes:
- {name: config, configMap: {name: volume}}
- {name: config-modes, configMap: {name: volume, defaultMode: 0400}}
- name: config-items
  configMap: {name: volume, items: [{key: two, path: path/to/two}, {key: one, path: one, mode: 0400}]}
- {name: secret, secret: {secretName: volume}}
- {name: secret-modes, secret: {secretName: volume, defaultMode: 0400}}
- name: secret-items
  secret: {secretName: volume, items: [{key: two, path: path/to/two}, {key: one, path: one, mode: 0400}]}
- {name: config-immutable, configMap: {name: immutable}}
- {name: secret-immutable, secret: {secretName: immutable}}
"#;

fn kept(seen: &Seen<'_>) -> Result<()> {
    seen.phase("Succeeded")?;
    let usual = "mode=0644 uid=0 gid=0";
    let narrow = "mode=0400 uid=0 gid=0";
    for source in ["config", "secret"] {
        // Several volumes of one object, each in its own way; the secret of this namespace, not of another.
        for user in ["root", "user"] {
            shows(seen, user, &format!("/{source}/one"), usual, "value-1")?;
            shows(seen, user, &format!("/{source}/two"), usual, "value-2")?;
            shows(seen, user, &format!("/{source}-items/path/to/two"), usual, "value-2")?;
        }
        shows(seen, "root", &format!("/{source}-modes/one"), narrow, "value-1")?;
        shows(seen, "root", &format!("/{source}-items/one"), narrow, "value-1")?;
        let refused = format!("== /{source}-items/one error: Permission denied");
        let log = seen.log("user");
        ensure!(log.contains(&refused), "{source}-items/one is not refused in {log}");
        shows(seen, "root", &format!("/immutable/{source}/key"), usual, "for ever")?;
    }
    let binary = seen.log("binary");
    ensure!(binary.trim() == "de ca fe ba d0 fe ff", "it is {binary}");
    Ok(())
}

const SECRET_GROUP: &str = r#"
restartPolicy: Never
securityContext: {runAsUser: 1000, fsGroup: 1001}
containers: [{name: main, image: $TESTBOX, args: [print-file, /v], volumeMounts: [{name: v, mountPath: /v}]}]
volumes: [{name: v, secret: {secretName: volume, defaultMode: 0440}}]
"#;

const CHANGING: &str = r#"
terminationGracePeriodSeconds: 1
containers:
- name: main
  image: $TESTBOX
  args: [print-file, --every, 200ms, /config, /secret, /projected]
  volumeMounts:
  - {name: config-changed, mountPath: /config/changed}
  - {name: config-comes, mountPath: /config/comes}
  - {name: config-goes, mountPath: /config/goes}
  - {name: secret-changed, mountPath: /secret/changed}
  - {name: secret-comes, mountPath: /secret/comes}
  - {name: secret-goes, mountPath: /secret/goes}
  - {name: projected, mountPath: /projected}
volumes:
- {name: config-changed, configMap: {name: changed}}
- {name: config-comes, configMap: {name: comes, optional: true}}
- {name: config-goes, configMap: {name: goes, optional: true}}
- {name: secret-changed, secret: {secretName: changed}}
- {name: secret-comes, secret: {secretName: comes, optional: true}}
- {name: secret-goes, secret: {secretName: goes, optional: true}}
- name: projected
  projected:
    sources:
    - {configMap: {name: changed, items: [{key: key, path: config/changed/key}]}}
    - {configMap: {name: comes, optional: true, items: [{key: key, path: config/comes/key}]}}
    - {configMap: {name: goes, optional: true, items: [{key: key, path: config/goes/key}]}}
    - {secret: {name: changed, items: [{key: key, path: secret/changed/key}]}}
    - {secret: {name: comes, optional: true, items: [{key: key, path: secret/comes/key}]}}
    - {secret: {name: goes, optional: true, items: [{key: key, path: secret/goes/key}]}}
"#;

/// Where the pod `changing` has its ConfigMaps and Secrets.
const PLACES: [&str; 4] = ["/config", "/secret", "/projected/config", "/projected/secret"];

/// What changes, comes and goes is followed, and nothing is restarted for it.
fn changing() -> Case {
    let usual = "mode=0644 uid=0 gid=0";
    let case = Case::pod(&[43, 44, 46], "changing", CHANGING);
    let before = move |seen: &Seen<'_>| {
        seen.ready()?;
        for place in PLACES {
            shows(seen, "main", &format!("{place}/changed/key"), usual, "before")?;
            shows(seen, "main", &format!("{place}/goes/key"), usual, "for a while")?;
        }
        Ok(())
    };
    case.step(before, |seen| {
        for (kind, data) in [("configmaps", "data"), ("secrets", "stringData")] {
            api::patch_at(seen.lab, &format!("{kind}/changed"), &json!({data: {"key": "after"}}))?;
            seen.lab.api()?.send("DELETE", &format!("{kind}/goes"), "json", "")?;
            let comes = json!({"metadata": {"name": "comes"}, data: {"key": "at last"}});
            seen.lab.api()?.send("POST", kind, "json", &comes.to_string())?;
        }
        Ok(())
    })
    .must(move |seen| {
        for place in PLACES {
            shows(seen, "main", &format!("{place}/changed/key"), usual, "after")?;
            shows(seen, "main", &format!("{place}/comes/key"), usual, "at last")?;
            seen.printed("main", &[&format!("== {place}/goes/key missing")])?;
        }
        seen.never_restarted("main")
    })
}

/// The items that both kinds of volume have.
const ITEMS: &str = r#"
        - {path: name, fieldRef: {fieldPath: metadata.name}, mode: 0400}
        - {path: labels, fieldRef: {fieldPath: metadata.labels}}
        - {path: annotations, fieldRef: {fieldPath: metadata.annotations}}
        - {path: cpu-limit, resourceFieldRef: {containerName: limited, resource: limits.cpu, divisor: 1m}}
        - {path: cpu-request, resourceFieldRef: {containerName: limited, resource: requests.cpu, divisor: 1m}}
        - {path: memory-limit, resourceFieldRef: {containerName: limited, resource: limits.memory}}
        - {path: memory-request, resourceFieldRef: {containerName: limited, resource: requests.memory}}
        - {path: node-cpu, resourceFieldRef: {containerName: unlimited, resource: limits.cpu, divisor: 1m}}
        - {path: node-memory, resourceFieldRef: {containerName: unlimited, resource: limits.memory}}
"#;

const DOWNWARD: &str = r#"
terminationGracePeriodSeconds: 1
containers:
- name: limited
  image: $TESTBOX
  args: [print-file, --every, 200ms, /plain, /projected]
  resources: {requests: {cpu: 20m, memory: 16Mi}, limits: {cpu: 250m, memory: 64Mi}}
  volumeMounts: [{name: plain, mountPath: /plain}, {name: projected, mountPath: /projected}]
- {name: unlimited, image: $TESTBOX, args: [sleep]}
volumes:
- name: plain
  downwardAPI:
    defaultMode: 0440
    items:$ITEMS
- name: projected
  projected:
    defaultMode: 0440
    sources:
    - downwardAPI:
        items:$ITEMS
"#;

/// Fields, resources and the node's, with their modes; labels and annotations are followed.
fn downward() -> Case {
    let usual = "mode=0440 uid=0 gid=0";
    let both = ["/plain", "/projected"];
    Case::pod(&[45, 46], "downward", &DOWNWARD.replace("$ITEMS", ITEMS.trim_end()))
        .step(
            move |seen| {
                seen.ready()?;
                let (cpu, memory) = allocatable(seen)?;
                let (cpu, memory) = (cpu.to_string(), memory.to_string());
                for place in both {
                    let file = |name: &str, text: &str| {
                        shows(seen, "limited", &format!("{place}/{name}"), usual, text)
                    };
                    shows(seen, "limited", &format!("{place}/name"), "mode=0400 uid=0 gid=0", "downward")?;
                    file("labels", "case=\"downward\"")?;
                    file("cpu-limit", "250")?;
                    file("cpu-request", "20")?;
                    file("memory-limit", "67108864")?;
                    file("memory-request", "16777216")?;
                    file("node-cpu", &cpu)?;
                    file("node-memory", &memory)?;
                }
                Ok(())
            },
            |seen| {
                let change = json!({"labels": {"case": "changed"}, "annotations": {"note": "new"}});
                api::patch(seen.lab, "downward", &json!({"metadata": change}))
            },
        )
        .must(move |seen| {
            for place in both {
                shows(seen, "limited", &format!("{place}/labels"), usual, "case=\"changed\"")?;
                let log = seen.log("limited");
                ensure!(log.lines().any(|line| line == "note=\"new\""), "no annotation in {log}");
            }
            seen.never_restarted("limited")
        })
}

/// All kinds of sources in one volume, whose mode is not that of every item.
const PROJECTED: &str = r#"
restartPolicy: Never
containers:
- {name: main, image: $TESTBOX, args: [print-file, /all], volumeMounts: [{name: all, mountPath: /all}]}
volumes:
- name: all
  projected:
    defaultMode: 0640
    sources:
    - {configMap: {name: volume, items: [{key: one, path: config/one}]}}
    - {secret: {name: volume, items: [{key: two, path: secret/two, mode: 0400}]}}
    - {downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}
    - {serviceAccountToken: {path: token}}
"#;

fn projected(seen: &Seen<'_>) -> Result<()> {
    seen.phase("Succeeded")?;
    shows(seen, "main", "/all/config/one", "mode=0640 uid=0 gid=0", "value-1")?;
    shows(seen, "main", "/all/secret/two", "mode=0400 uid=0 gid=0", "value-2")?;
    shows(seen, "main", "/all/name", "mode=0640 uid=0 gid=0", "projected")?;
    let log = seen.log("main");
    let files: Vec<&str> = log.lines().filter(|line| line.starts_with("== ")).collect();
    ensure!(files.len() == 4 && files.iter().any(|line| line.contains("/token mode=0640 ")), "{files:?}");
    Ok(())
}

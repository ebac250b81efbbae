//! Hooks, and how containers and pods end.

use node_tests::play::{Case, End};

use super::{crash_loops, delete, gone, phase_failed, ready};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::pod("hooks", HOOKS, End::Rest(gone)).step(ready, |lab| delete(lab, "hooks")),
        Case::pod("hooks-http", HOOKS_HTTP, End::Rest(gone)).step(ready, |lab| delete(lab, "hooks-http")),
        Case::pod("pre-stop-sleeps", PRE_STOP_SLEEPS, End::Rest(gone))
            .step(ready, |lab| delete(lab, "pre-stop-sleeps")),
        Case::pod("post-start-fails", POST_START_FAILS, End::At(|past| crash_loops(past, "main"))),
        Case::pod("pre-stop-fails", PRE_STOP_FAILS, End::Rest(gone))
            .step(ready, |lab| delete(lab, "pre-stop-fails")),
        Case::pod(
            "deadline",
            "activeDeadlineSeconds: 40\ncontainers:\n- {name: main, image: $TESTBOX, args: [trap, --exit, '4']}",
            End::Rest(phase_failed),
        ),
        Case::pod("messages", MESSAGES, End::Rest(phase_failed)),
        Case::pod("out-of-memory", OUT_OF_MEMORY, End::Rest(phase_failed)),
        Case::pod("killed", KILLED, End::Rest(phase_failed)),
        Case::pod("start-error-never", &start_error("Never"), End::Rest(phase_failed)),
        Case::pod("start-error-always", &start_error("Always"), End::At(|past| crash_loops(past, "main"))),
        Case::pod("grace", GRACE, End::Rest(gone)).step(ready, |lab| delete(lab, "grace")),
        Case::pod("deleted", DELETED, End::Rest(gone)).step(ready, |lab| delete(lab, "deleted")),
        Case::pod("deleted-pending", DELETED_PENDING, End::Rest(gone))
            .step(|past| past.event("FailedMount"), |lab| delete(lab, "deleted-pending")),
    ]
}

const HOOKS: &str = r#"
containers:
- name: main
  image: $TESTBOX
  args: [trap, --after, 1s]
  lifecycle:
    postStart: {exec: {command: [/testbox, write, --path, /tmp/started, --after, 3s]}}
    preStop: {exec: {command: [/testbox, write, --path, /tmp/stopped, --after, 2s]}}
"#;

const HOOKS_HTTP: &str = r#"
containers:
- name: main
  image: $TESTBOX
  args: [serve]
  lifecycle:
    postStart: {sleep: {seconds: 3}}
    preStop: {httpGet: {path: /healthz, port: 8080}}
"#;

const PRE_STOP_SLEEPS: &str = r#"
terminationGracePeriodSeconds: 3
containers:
- name: main
  image: $TESTBOX
  args: [trap, --exit, "6"]
  lifecycle: {preStop: {sleep: {seconds: 2}}}
"#;

const POST_START_FAILS: &str = r#"
containers:
- name: main
  image: $TESTBOX
  args: [trap]
  lifecycle: {postStart: {exec: {command: [/testbox, exists, --after, 3s, /nowhere]}}}
"#;

const PRE_STOP_FAILS: &str = r#"
containers:
- name: main
  image: $TESTBOX
  args: [trap, --after, 1s]
  lifecycle: {preStop: {exec: {command: [/testbox, exists, --after, 1s, /nowhere]}}}
"#;

/// All policies of termination messages; together more than the pod's share.
const MESSAGES: &str = r#"
restartPolicy: Never
containers:
- {name: file, image: $TESTBOX, args: [exit, --after, 3s, --message, from the file, --stdout, from the log]}
- name: own-path
  image: $TESTBOX
  args: [exit, --after, 3s, --message, elsewhere, --message-path, /tmp/message]
  terminationMessagePath: /tmp/message
- name: fallback
  image: $TESTBOX
  args: [exit, --after, 3s, --code, "1", --stdout, from the log]
  terminationMessagePolicy: FallbackToLogsOnError
- name: fallback-unused
  image: $TESTBOX
  args: [exit, --after, 3s, --code, "1", --stdout, from the log, --message, from the file]
  terminationMessagePolicy: FallbackToLogsOnError
- name: no-error
  image: $TESTBOX
  args: [exit, --after, 3s, --stdout, from the log]
  terminationMessagePolicy: FallbackToLogsOnError
- name: long
  image: $BUSYBOX
  command: [sh, -c, "sleep 3; yes 0123456789 | head -c 10000 > /dev/termination-log"]
- name: long-log
  image: $BUSYBOX
  command: [sh, -c, "sleep 3; yes 0123456789 | head -c 10000; exit 1"]
  terminationMessagePolicy: FallbackToLogsOnError
"#;

const OUT_OF_MEMORY: &str = r#"
restartPolicy: Never
containers:
- name: main
  image: $TESTBOX
  args: [eat-memory, --bytes, 400Mi, --rate, 20Mi]
  resources: {limits: {memory: 96Mi}}
"#;

/// The kernel's way to say that a process was killed, without a lack of memory.
const KILLED: &str = r#"
restartPolicy: Never
containers:
- {name: main, image: $BUSYBOX, command: [sh, -c, "sleep 3; sh -c 'kill -9 $$'; exit $?"]}
"#;

fn start_error(policy: &str) -> String {
    format!(
        "restartPolicy: {policy}\ncontainers:\n- {{name: main, image: $TESTBOX, command: [nothing-there, --flag]}}"
    )
}

const GRACE: &str = r#"
terminationGracePeriodSeconds: 3
containers:
- {name: main, image: $TESTBOX, args: [trap, --ignore, TERM]}
"#;

const DELETED: &str = r#"
restartPolicy: OnFailure
containers:
- {name: main, image: $TESTBOX, args: [trap, --after, 2s]}
- {name: other, image: $TESTBOX, args: [trap, --exit, "7"]}
"#;

const DELETED_PENDING: &str = r#"
containers:
- {name: main, image: $TESTBOX, args: [sleep], volumeMounts: [{name: v, mountPath: /v}]}
volumes: [{name: v, secret: {secretName: nowhere}}]
"#;

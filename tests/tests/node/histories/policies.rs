//! Restart policies, init containers, sidecars, ephemeral containers.

use node_tests::play::{Case, End};

use super::{crash_loops, delete, gone, phase_failed, phase_succeeded, ready};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::pod(
            "always-fails",
            "containers:\n- {name: main, image: $TESTBOX, args: [exit, --code, '1', --after, 3s]}",
            End::At(|past| crash_loops(past, "main")),
        ),
        Case::pod(
            "always-succeeds",
            "containers:\n- {name: main, image: $TESTBOX, args: [exit, --after, 3s]}",
            End::At(|past| crash_loops(past, "main")),
        ),
        Case::pod("on-failure", ON_FAILURE, End::Rest(phase_succeeded)),
        Case::pod(
            "never-fails",
            "restartPolicy: Never\ncontainers:\n- {name: main, image: $TESTBOX, args: [exit, --code, '3', --after, 3s]}",
            End::Rest(phase_failed),
        ),
        Case::pod(
            "never-succeeds",
            "restartPolicy: Never\ncontainers:\n- {name: main, image: $TESTBOX, args: [exit, --after, 3s]}",
            End::Rest(phase_succeeded),
        ),
        Case::pod("rules", RULES, End::Rest(phase_failed)),
        Case::pod("init-good", INIT_GOOD, End::Rest(ready)),
        Case::pod("init-fails-never", &init_fails("Never"), End::Rest(phase_failed)),
        Case::pod("init-fails-always", &init_fails("Always"), End::At(|past| crash_loops(past, "first"))),
        Case::pod("sidecar", SIDECAR, End::Rest(gone)).step(ready, |lab| delete(lab, "sidecar")),
        Case::pod("sidecar-of-a-job", SIDECAR_OF_A_JOB, End::Rest(phase_succeeded)),
        Case::pod("sidecar-crashes", SIDECAR_CRASHES, End::At(|past| crash_loops(past, "helper"))),
        Case::pod(
            "ephemeral",
            "containers:\n- {name: main, image: $TESTBOX, args: [sleep]}",
            End::Rest(|past| past.container("debug")["state"]["terminated"].is_object()),
        )
        .step(ready, |lab| {
            let debug =
                ["debug", "ephemeral", "--image=registry.test/testbox:1", "--container=debug", "--quiet"];
            let command =
                ["--image-pull-policy=IfNotPresent", "--", "/testbox", "exit", "--code=2", "--after=3s"];
            lab.kubectl(&[debug.as_slice(), command.as_slice()].concat()).map(drop)
        }),
    ]
}

const ON_FAILURE: &str = r#"
restartPolicy: OnFailure
containers:
- name: main
  image: $TESTBOX
  args: [exit, --codes, "1,0", --count-file, /count/runs, --after, 3s]
  volumeMounts: [{name: count, mountPath: /count}]
volumes: [{name: count, emptyDir: {}}]
"#;

/// Ends with 42, which its rule restarts, then with 1, which its policy does not.
const RULES: &str = r#"
restartPolicy: Never
containers:
- name: main
  image: $TESTBOX
  args: [exit, --codes, "42,1", --count-file, /count/runs, --after, 3s]
  restartPolicy: Never
  restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]
  volumeMounts: [{name: count, mountPath: /count}]
volumes: [{name: count, emptyDir: {}}]
"#;

const INIT_GOOD: &str = r#"
initContainers:
- {name: second, image: $TESTBOX, args: [exit, --after, 3s]}
- {name: first, image: $TESTBOX, args: [exit, --after, 3s, --message, prepared]}
containers:
- {name: main, image: $TESTBOX, args: [sleep]}
"#;

fn init_fails(policy: &str) -> String {
    format!(
        "restartPolicy: {policy}\n\
         initContainers:\n\
         - {{name: first, image: $TESTBOX, args: [exit, --code, '2', --after, 3s]}}\n\
         - {{name: second, image: $TESTBOX, args: [exit]}}\n\
         containers:\n\
         - {{name: main, image: $TESTBOX, args: [sleep]}}"
    )
}

const SIDECAR: &str = r#"
initContainers:
- {name: prepare, image: $TESTBOX, args: [exit, --after, 3s]}
- name: helper
  image: $TESTBOX
  args: [trap, --exit, "5", --after, 2s]
  restartPolicy: Always
  startupProbe: {exec: {command: [/testbox, exists, /testbox]}, initialDelaySeconds: 3, periodSeconds: 1, timeoutSeconds: 10}
containers:
- {name: main, image: $TESTBOX, args: [trap, --exit, "4", --after, 2s]}
"#;

const SIDECAR_OF_A_JOB: &str = r#"
restartPolicy: OnFailure
initContainers:
- {name: helper, image: $TESTBOX, args: [trap, --after, 2s], restartPolicy: Always}
containers:
- {name: main, image: $TESTBOX, args: [exit, --after, 4s]}
"#;

const SIDECAR_CRASHES: &str = r#"
initContainers:
- {name: helper, image: $TESTBOX, args: [exit, --code, "1", --after, 3s], restartPolicy: Always}
containers:
- {name: main, image: $TESTBOX, args: [sleep]}
"#;

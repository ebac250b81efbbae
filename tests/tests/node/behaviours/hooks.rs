//! Lifecycle hooks: that they are run, and when; and what a hook that sleeps does to the end of a pod.

use anyhow::{Result, ensure};

use super::{
    api,
    seen::Seen,
    stage::{Case, pod},
};

pub(super) fn cases() -> Vec<Case> {
    vec![
        served(),
        Case::pod(&[41], "pre-stop-sleeps", SLEEPS)
            .step(
                |seen| {
                    seen.runs("sleeps")?;
                    seen.runs("zero")?;
                    seen.reason("ended", "Completed")
                },
                |seen| api::delete(seen.lab, "pre-stop-sleeps", None),
            )
            .must(|seen| {
                seen.gone()?;
                let (sleeps, zero) = (seen.ended_after("sleeps")?, seen.ended_after("zero")?);
                // Times are cut to seconds.
                ensure!(sleeps >= 5, "it ended after {sleeps} s");
                ensure!(zero < sleeps, "without a sleep it ended after {zero} s, with one after {sleeps} s");
                ensure!(seen.told("FailedPreStopHook", "") == 0, "a hook failed: {:?}", seen.past().events);
                for name in ["sleeps", "zero"] {
                    let ended = &seen.container(name)["state"]["terminated"];
                    ensure!(ended["exitCode"] == 0, "{name}: {ended}");
                }
                Ok(())
            }),
        // A shorter grace period that the hook still fits into cuts nothing short.
        Case::pod(&[41], "pre-stop-hurried", HURRIED)
            .step(|seen| seen.ready(), |seen| api::delete(seen.lab, "pre-stop-hurried", Some(60)))
            .step(
                |seen| {
                    let grace = &seen.pod()["metadata"]["deletionGracePeriodSeconds"];
                    ensure!(*grace == 60, "its grace period is {grace}");
                    Ok(())
                },
                |seen| api::delete(seen.lab, "pre-stop-hurried", Some(30)),
            )
            .must(|seen| {
                seen.gone()?;
                let after = seen.ended_after("main")?;
                ensure!(after >= 5, "it ended after {after} s, before its hook");
                ensure!(seen.told("FailedPreStopHook", "") == 0, "a hook failed: {:?}", seen.past().events);
                Ok(())
            }),
        Case::pod(&[41], "pre-stop-cut", CUT)
            .step(|seen| seen.ready(), |seen| api::delete(seen.lab, "pre-stop-cut", Some(4)))
            // The bound of a case is much less than the hook's and the pod's time.
            .must(|seen| {
                seen.gone()?;
                let after = seen.ended_after("main")?;
                ensure!(after >= 4, "it ended after {after} s");
                Ok(())
            }),
    ]
}

/// One with a sleep, one with none, and one that has ended: nobody waits for its hook, or the case would never be over.
const SLEEPS: &str = r#"
terminationGracePeriodSeconds: 1000
restartPolicy: Never
containers:
- {name: sleeps, image: $TESTBOX, args: [trap], lifecycle: {preStop: {sleep: {seconds: 5}}}}
- {name: zero, image: $TESTBOX, args: [trap], lifecycle: {preStop: {sleep: {seconds: 0}}}}
- {name: ended, image: $TESTBOX, args: [exit], lifecycle: {preStop: {sleep: {seconds: 900}}}}
"#;

const HURRIED: &str = r#"
terminationGracePeriodSeconds: 1000
containers:
- {name: main, image: $TESTBOX, args: [trap], lifecycle: {preStop: {sleep: {seconds: 6}}}}
"#;

const CUT: &str = r#"
terminationGracePeriodSeconds: 1000
containers:
- {name: main, image: $TESTBOX, args: [trap], lifecycle: {preStop: {sleep: {seconds: 900}}}}
"#;

/// The server is on the node's network, so that its address is known beforehand.
const SERVER: &str = r#"
hostNetwork: true
containers:
- name: main
  image: $TESTBOX
  args: [serve, --http, "18081", --https, "18444", --tcp, "off", --grpc, "off", --log-requests]
  readinessProbe: {httpGet: {path: /healthz, port: 18081}, periodSeconds: 1, timeoutSeconds: 10}
"#;

/// Its container with the exec hooks tells when it is asked to end.
const HOOKED: &str = r#"
containers:
- name: exec
  image: $BUSYBOX
  command: [sh, -c, "trap 'echo asked >> /pod/journal; exit 0' TERM; while true; do sleep 0.1; done"]
  lifecycle:
    postStart: {exec: {command: [sh, -c, "echo post-start >> /pod/journal"]}}
    preStop: {exec: {command: [sh, -c, "sleep 1; echo pre-stop >> /pod/journal"]}}
  volumeMounts: [{name: pod, mountPath: /pod}]
- name: http
  image: $TESTBOX
  args: [trap]
  lifecycle:
    postStart: {httpGet: {host: $NODE_IP, port: 18081, path: /http/post-start}}
    preStop: {httpGet: {host: $NODE_IP, port: 18081, path: /http/pre-stop}}
- name: https
  image: $TESTBOX
  args: [trap]
  lifecycle:
    postStart: {httpGet: {host: $NODE_IP, port: 18444, scheme: HTTPS, path: /https/post-start}}
    preStop: {httpGet: {host: $NODE_IP, port: 18444, scheme: HTTPS, path: /https/pre-stop}}
volumes: [{name: pod, hostPath: {path: $FOLDER}}]
"#;

/// Every hook reaches its server: postStart before the pod is Ready, preStop before its container is asked to end.
fn served() -> Case {
    // Any answer is a success.
    let asked = |seen: &Seen<'_>, hook: &str| -> Result<()> {
        let lines = ["http", "https"].map(|kind| format!("GET /{kind}/{hook} 404"));
        seen.printed("main", &[&lines[0], &lines[1]])
    };
    Case::pod(&[13], "hook-server", SERVER)
        .with("hooked")
        .step(|seen| seen.ready(), |seen| api::create(seen.lab, &seen.filled(&pod("hooked", HOOKED))))
        .step(
            move |seen| {
                seen.of("hooked").ready()?;
                asked(seen, "post-start")?;
                let journal = seen.journal();
                ensure!(journal == ["post-start"], "it says {journal:?}");
                Ok(())
            },
            |seen| api::delete(seen.lab, "hooked", None),
        )
        .must(move |seen| {
            let hooked = seen.of("hooked");
            hooked.gone()?;
            let journal = seen.journal();
            ensure!(journal == ["post-start", "pre-stop", "asked"], "it says {journal:?}");
            asked(seen, "pre-stop")?;
            for reason in ["FailedPostStartHook", "FailedPreStopHook"] {
                ensure!(hooked.told(reason, "") == 0, "a hook failed: {:?}", hooked.past().events);
            }
            Ok(())
        })
}

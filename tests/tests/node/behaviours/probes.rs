//! Probes: each case once with regular containers, and once with sidecars (rank 34). The containers of one pod have one
//! network, so each has ports of its own. Probes that should pass have ten seconds for an answer: the machine is busy.

use anyhow::ensure;
use node_tests::condition;
use serde_json::Value;

use super::{api, seen::seconds, stage::Case};

/// Which containers are probed.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Regular,
    Sidecar,
}

/// Fields of a probe that fails soon.
const SOON: &str = "periodSeconds: 1, failureThreshold: 2, timeoutSeconds: 10";

/// Time for a server to bind its ports.
const WAITS: &str = "initialDelaySeconds: 3";

/// A server of HTTP alone.
fn http(port: u16, more: &str) -> String {
    format!(
        "image: $TESTBOX, args: [serve, --http, '{port}', --https, 'off', --tcp, 'off', --grpc, 'off'{more}]"
    )
}

const SLEEPS: &str = "image: $TESTBOX, args: [sleep]";
const FAILS: &str = "exec: {command: [/testbox, exists, /nowhere]}";
const PASSES: &str = "exec: {command: [/testbox, exists, /testbox]}";

impl Place {
    /// What is told when a probe has failed for good.
    fn killed(self, container: &str, probe: &str) -> String {
        match self {
            Self::Regular => format!("Container {container} failed {probe} probe, will be restarted"),
            Self::Sidecar => format!("Init container {container} failed {probe} probe"),
        }
    }

    /// A pod with these containers, each the inside of a flow mapping.
    fn case(self, ranks: &[u8], name: &str, pod: &str, containers: &[(&str, String)]) -> Case {
        let lines = |more: &str| -> String {
            containers.iter().map(|(name, text)| format!("- {{name: {name}, {text}{more}}}\n")).collect()
        };
        match self {
            Self::Regular => Case::pod(ranks, name, &format!("{pod}containers:\n{}", lines(""))),
            Self::Sidecar => {
                let sidecars = lines(", restartPolicy: Always");
                let other = format!("containers: [{{name: other, {SLEEPS}}}]");
                Case::pod(
                    &[34],
                    &format!("{name}-sidecar"),
                    &format!("{pod}initContainers:\n{sidecars}{other}"),
                )
            }
        }
    }
}

pub(super) fn cases() -> Vec<Case> {
    let both = [Place::Regular, Place::Sidecar].into_iter();
    both.flat_map(|place| {
        [
            passes(place),
            fails(place),
            delayed(place),
            unready(place),
            startup_delays(place),
            startup_fails(place),
            ready_at_once(place),
            redirects(place),
            grace(place),
            terminating(place),
        ]
    })
    .collect()
}

/// Liveness of every kind, some fifteen times in a row.
fn passes(place: Place) -> Case {
    const ALL: [&str; 4] = ["exec", "http", "tcp", "grpc"];
    let probe = |handler: &str| {
        format!("livenessProbe: {{{handler}, {WAITS}, periodSeconds: 1, timeoutSeconds: 10}}")
    };
    let serve = |kind: &str, port: u16| {
        let off = ["http", "https", "tcp", "grpc"].into_iter().filter(|other| *other != kind);
        let off: String = off.map(|kind| format!(", --{kind}, 'off'")).collect();
        format!("image: $TESTBOX, args: [serve, --{kind}, '{port}'{off}, --log-requests]")
    };
    let containers = [
        (ALL[0], format!("{SLEEPS}, {}", probe(PASSES))),
        (ALL[1], format!("{}, {}", serve("http", 8001), probe("httpGet: {path: /healthz, port: 8001}"))),
        (ALL[2], format!("{}, {}", serve("tcp", 8002), probe("tcpSocket: {port: 8002}"))),
        (ALL[3], format!("{}, {}", serve("grpc", 8003), probe("grpc: {port: 8003}"))),
    ];
    place.case(&[5], "liveness-passes", "", &containers).slow().must(|seen| {
        seen.ready()?;
        let asked = seen.count("http", "GET /healthz 200");
        ensure!(asked >= 15, "it was asked {asked} times");
        ALL.iter().try_for_each(|name| seen.never_restarted(name))
    })
}

/// Liveness of every kind that fails; an exec probe that takes too long fails too (rank 18).
fn fails(place: Place) -> Case {
    const ALL: [&str; 5] = ["exec", "http", "tcp", "grpc", "slow"];
    let probe = |handler: &str| format!("livenessProbe: {{{handler}, {SOON}}}");
    let grpc = "image: $TESTBOX, args: [serve, --http, 'off', --https, 'off', --tcp, 'off', --grpc, '8003', --not-serving]";
    let containers = [
        (ALL[0], format!("{SLEEPS}, {}", probe(FAILS))),
        (
            ALL[1],
            format!(
                "{}, {}",
                http(8001, ", --set, /healthz=500"),
                probe("httpGet: {path: /healthz, port: 8001}")
            ),
        ),
        (ALL[2], format!("{SLEEPS}, {}", probe("tcpSocket: {port: 8002}"))),
        (ALL[3], format!("{grpc}, {}", probe("grpc: {port: 8003}"))),
        (
            ALL[4],
            format!(
                "{SLEEPS}, livenessProbe: {{exec: {{command: [/testbox, sleep]}}, periodSeconds: 1, failureThreshold: 1}}"
            ),
        ),
    ];
    place.case(&[5, 18], "liveness-fails", "", &containers).slow().must(move |seen| {
        ALL.iter().try_for_each(|name| seen.restarted(name, 1))?;
        // Again and again: that no count ever fell is looked at for every case.
        seen.restarted("exec", 2)?;
        // Of the many events about one pod only the first ones are told.
        let killed = ALL.iter().any(|name| seen.told("Killing", &place.killed(name, "liveness")) > 0);
        ensure!(killed, "no container was said to be killed");
        seen.event("Unhealthy", "Liveness probe failed: ")
    })
}

/// Not ready before the initial delay, and never restarted for it.
fn delayed(place: Place) -> Case {
    let probe = "readinessProbe: {httpGet: {path: /readyz, port: 8001}, initialDelaySeconds: 4, periodSeconds: 1, timeoutSeconds: 10}";
    let containers = [("main", format!("{}, {probe}", http(8001, "")))];
    place.case(&[4], "readiness-delayed", "", &containers).must(|seen| {
        seen.ready()?;
        let started = seconds(&seen.container("main")["state"]["running"]["startedAt"])?;
        let ready = seconds(&seen.condition("Ready")["lastTransitionTime"])?;
        // Both are cut to seconds, so that four seconds never show as less.
        ensure!(ready - started >= 4, "ready {} s after its start", ready - started);
        seen.never_restarted("main")
    })
}

/// Readiness that fails, once by its answer and once by its time (rank 18).
fn unready(place: Place) -> Case {
    let containers = [
        (
            "answers",
            format!(
                "{}, readinessProbe: {{httpGet: {{path: /readyz, port: 8001}}, {SOON}}}",
                http(8001, ", --set, /readyz=500, --log-requests")
            ),
        ),
        (
            "slow",
            format!(
                "{SLEEPS}, readinessProbe: {{exec: {{command: [/testbox, sleep]}}, periodSeconds: 1, failureThreshold: 1}}"
            ),
        ),
    ];
    place
        .case(&[4, 18], "readiness-fails", "", &containers)
        .never(|seen| {
            for name in ["answers", "slow"] {
                ensure!(seen.container(name)["ready"] != true, "{name} is ready: {}", seen.status());
            }
            Ok(())
        })
        .must(|seen| {
            let asked = seen.count("answers", "GET /readyz 500");
            ensure!(asked >= 4, "it was asked {asked} times");
            seen.event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 500")?;
            let slow = |event: &Value| {
                let field = event["involvedObject"]["fieldPath"].as_str().unwrap_or_default();
                event["reason"] == "Unhealthy" && field.ends_with("{slow}")
            };
            ensure!(seen.past().events.iter().any(|event| slow(event)), "the slow probe did not fail");
            ensure!(seen.past().phase() == "Running", "{}", seen.status());
            ["answers", "slow"].iter().try_for_each(|name| seen.never_restarted(name))
        })
}

/// Liveness, which would fail, waits for the startup probe; after its success it is heard.
fn startup_delays(place: Place) -> Case {
    // Not before what starts after the first has been made: on a busy machine that takes its time.
    let liveness = format!(
        "livenessProbe: {{{FAILS}, initialDelaySeconds: 8, periodSeconds: 1, failureThreshold: 1, timeoutSeconds: 10}}"
    );
    let startup = |handler: &str| {
        format!("startupProbe: {{{handler}, periodSeconds: 1, failureThreshold: 600, timeoutSeconds: 10}}")
    };
    let writes = "image: $TESTBOX, args: [write, --path, /tmp/started, --after, 2s, --stay]";
    let enabled = startup("exec: {command: [/testbox, exists, /tmp/started]}");
    let containers = [
        ("enables", format!("{writes}, {enabled}, {liveness}")),
        ("delays", format!("{SLEEPS}, {}, {liveness}", startup(FAILS))),
    ];
    place.case(&[19], "startup-delays", "", &containers).never(|seen| seen.never_restarted("delays")).must(
        move |seen| {
            seen.restarted("enables", 1)?;
            seen.event("Killing", &place.killed("enables", "liveness"))?;
            seen.runs("delays")?;
            let delays = seen.container("delays");
            ensure!(delays["started"] == false && delays["ready"] == false, "{delays}");
            let failed = seen.told("Unhealthy", "Startup probe failed");
            ensure!(failed >= 5, "the startup probe failed {failed} times");
            Ok(())
        },
    )
}

/// A container that does not start in time is restarted, though its liveness probe would pass.
fn startup_fails(place: Place) -> Case {
    let containers = [(
        "main",
        format!("{SLEEPS}, startupProbe: {{{FAILS}, {SOON}}}, livenessProbe: {{{PASSES}, {SOON}}}"),
    )];
    place.case(&[19], "startup-fails", "", &containers).must(move |seen| {
        seen.restarted("main", 1)?;
        seen.event("Killing", &place.killed("main", "startup"))
    })
}

/// Readiness is asked as soon as the startup probe has succeeded, whatever its period.
fn ready_at_once(place: Place) -> Case {
    let writes = "image: $TESTBOX, args: [write, --path, /tmp/started, --after, 2s, --stay]";
    let startup = "startupProbe: {exec: {command: [/testbox, exists, /tmp/started]}, periodSeconds: 1, failureThreshold: 60, timeoutSeconds: 10}";
    let readiness = format!("readinessProbe: {{{PASSES}, periodSeconds: 300, timeoutSeconds: 10}}");
    let containers = [("main", format!("{writes}, {startup}, {readiness}"))];
    place
        .case(&[19], "ready-at-once", "", &containers)
        .never(|seen| {
            let main = seen.container("main");
            ensure!(main["ready"] != true || main["started"] == true, "ready before it started: {main}");
            Ok(())
        })
        // The bound of a case is less than the period.
        .must(|seen| {
            seen.ready()?;
            seen.never_restarted("main")
        })
}

/// Redirects on the same host are followed; one that leads elsewhere counts as a success, with a warning.
fn redirects(place: Place) -> Case {
    let containers = ["local", "bad", "elsewhere"];
    let targets = ["/healthz", "/status/500", "http://elsewhere.test/"];
    let containers: Vec<(&str, String)> = containers
        .into_iter()
        .zip(targets)
        .zip(8001..)
        .map(|((name, target), port)| {
            let server = http(port, ", --log-requests");
            let get = format!("httpGet: {{path: '/redirect?to={target}', port: {port}}}");
            (name, format!("{server}, livenessProbe: {{{get}, {WAITS}, {SOON}}}"))
        })
        .collect();
    place.case(&[31], "redirects", "", &containers).must(|seen| {
        for (name, line) in [("local", "GET /healthz 200"), ("elsewhere", "GET /redirect 302")] {
            let asked = seen.count(name, line);
            ensure!(asked >= 4, "{name} was asked {asked} times");
            seen.never_restarted(name)?;
        }
        seen.restarted("bad", 1)?;
        seen.event("ProbeWarning", "Liveness probe warning: Probe terminated redirects")
    })
}

/// The probe's grace is what counts, not the pod's ten minutes.
fn grace(place: Place) -> Case {
    let ignores = "image: $TESTBOX, args: [trap, --ignore, TERM]";
    let fails = format!("{FAILS}, {SOON}, terminationGracePeriodSeconds: 1");
    let containers = [
        ("alive", format!("{ignores}, livenessProbe: {{{fails}}}")),
        ("starts", format!("{ignores}, startupProbe: {{{fails}}}")),
    ];
    let pod = "terminationGracePeriodSeconds: 600\n";
    place.case(&[32], "probe-grace", pod, &containers).must(|seen| {
        for name in ["alive", "starts"] {
            seen.restarted(name, 1)?;
            let ended = &seen.container(name)["lastState"]["terminated"];
            ensure!(ended["exitCode"] == 137, "it was not killed: {}", seen.container(name));
        }
        Ok(())
    })
}

/// When it is told to end, both probes would fail: readiness does, liveness is not asked any more.
fn terminating(place: Place) -> Case {
    let script = "touch /tmp/ok; trap 'rm /tmp/ok; sleep 5; exit 0' TERM; while true; do sleep 0.1; done";
    let probe = "exec: {command: [test, -e, /tmp/ok]}, initialDelaySeconds: 2, periodSeconds: 1, failureThreshold: 1, timeoutSeconds: 10";
    let main = format!(
        "image: $BUSYBOX, command: [sh, -c, \"{script}\"], readinessProbe: {{{probe}}}, livenessProbe: {{{probe}}}"
    );
    place
        .case(&[33], "terminating", "", &[("main", main)])
        .step(|seen| seen.ready(), |seen| api::delete(seen.lab, seen.name, None))
        .never(|seen| {
            seen.never_restarted("main")?;
            ensure!(seen.told("Unhealthy", "Liveness") == 0, "liveness was asked: {:?}", seen.past().events);
            Ok(())
        })
        .must(|seen| {
            seen.gone()?;
            let unready = |pod: &Value| {
                let lists = ["initContainerStatuses", "containerStatuses"];
                let mut all = lists.iter().filter_map(|list| pod["status"][list].as_array()).flatten();
                let main = all.find(|status| status["name"] == "main");
                let running = main.is_some_and(|main| main["state"]["running"].is_object());
                let leaves = pod["metadata"]["deletionTimestamp"].is_string();
                leaves && running && condition(pod, "Ready")["status"] == "False"
            };
            ensure!(seen.past().versions.iter().any(|pod| unready(pod)), "it stayed Ready until its end");
            let ended = &seen.container("main")["state"]["terminated"];
            ensure!(ended["exitCode"] == 0, "{}", seen.status());
            Ok(())
        })
}

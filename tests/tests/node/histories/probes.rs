//! Probes of all four handlers and three kinds, good and failing.

use node_tests::{
    play::{Case, End},
    recorder::Past,
};

use super::ready;

/// Three kinds of probe with one handler, patient enough for a busy machine.
fn good(handler: &str) -> String {
    let probe = |initial: u32| {
        format!(
            "{{{handler}, initialDelaySeconds: {initial}, periodSeconds: 1, timeoutSeconds: 10, failureThreshold: 30}}"
        )
    };
    format!(
        "containers:\n\
         - name: main\n  image: $TESTBOX\n  args: [serve]\n  ports: [{{containerPort: 8080, name: http}}]\n  \
         startupProbe: {}\n  readinessProbe: {}\n  livenessProbe: {}",
        probe(3),
        probe(6),
        probe(0)
    )
}

/// One kind of probe that fails after a while.
fn bad(serve: &str, kind: &str, handler: &str) -> String {
    let patience = if handler.contains("timeoutSeconds") { "" } else { "timeoutSeconds: 10, " };
    format!(
        "containers:\n\
         - name: main\n  image: $TESTBOX\n  args: [{serve}]\n  \
         {kind}: {{{handler}, {patience}initialDelaySeconds: 3, periodSeconds: 2, failureThreshold: 2}}"
    )
}

/// To another host, which is not followed.
const REDIRECT: &str = "httpGet: {path: '/redirect?to=http://elsewhere.test/', port: 8080}";

/// The probe's grace, not the pod's thirty seconds.
const GRACE: &str = "terminationGracePeriodSeconds: 1, exec: {command: [/testbox, exists, /nowhere]}";

fn restarted(past: &Past) -> bool {
    past.restarts("main") >= 1 && past.container("main")["state"]["running"].is_object()
}

fn unhealthy(past: &Past) -> bool {
    past.phase() == "Running" && past.event("Unhealthy")
}

pub(crate) fn cases() -> Vec<Case> {
    let served = |name, handler| Case::pod(name, &good(handler), End::Rest(ready));
    let unready =
        |name, serve, handler| Case::pod(name, &bad(serve, "readinessProbe", handler), End::Rest(unhealthy));
    let killed = |name, serve, kind, handler| Case::pod(name, &bad(serve, kind, handler), End::At(restarted));
    vec![
        served("exec", "exec: {command: [/testbox, exists, /testbox]}"),
        served("http", "httpGet: {path: /healthz, port: http}"),
        served("https", "httpGet: {path: /healthz, port: 8443, scheme: HTTPS}"),
        served("tcp", "tcpSocket: {port: 8081}"),
        served("grpc", "grpc: {port: 8082}"),
        unready("readiness-exec", "serve", "exec: {command: [/testbox, exists, /nowhere]}"),
        unready("readiness-no-command", "serve", "exec: {command: [/nowhere]}"),
        unready("readiness-exec-slow", "serve", "timeoutSeconds: 1, exec: {command: [/testbox, sleep]}"),
        unready("readiness-http", "serve, --set, /healthz=500", "httpGet: {path: /healthz, port: 8080}"),
        unready("readiness-http-slow", "serve", "timeoutSeconds: 1, httpGet: {path: /hang, port: 8080}"),
        unready("readiness-http-closed", "serve", "httpGet: {path: /, port: 9}"),
        unready("readiness-no-tls", "serve", "httpGet: {path: /, port: 8080, scheme: HTTPS}"),
        unready("readiness-no-port", "serve", "httpGet: {path: /, port: nowhere}"),
        unready("readiness-tcp", "serve, --tcp-closed", "tcpSocket: {port: 8081}"),
        unready("readiness-grpc", "serve, --not-serving", "grpc: {port: 8082}"),
        unready("readiness-no-grpc", "serve", "grpc: {port: 8080}"),
        unready("readiness-grpc-service", "serve", "grpc: {port: 8082, service: nobody}"),
        Case::pod("redirected", &good(REDIRECT), End::Rest(|past| past.event("ProbeWarning") && ready(past))),
        killed("liveness-exec", "serve", "livenessProbe", "exec: {command: [/testbox, exists, /nowhere]}"),
        killed(
            "liveness-http",
            "serve, --set, /healthz=404",
            "livenessProbe",
            "httpGet: {path: /healthz, port: 8080}",
        ),
        killed("liveness-grpc", "serve, --grpc, 'off'", "livenessProbe", "grpc: {port: 8082}"),
        killed("liveness-tcp", "serve, --tcp-closed", "livenessProbe", "tcpSocket: {port: 8081}"),
        killed("liveness-grace", "trap, --ignore, TERM", "livenessProbe", GRACE),
        killed("startup-tcp", "serve, --tcp-closed", "startupProbe", "tcpSocket: {port: 8081}"),
    ]
}

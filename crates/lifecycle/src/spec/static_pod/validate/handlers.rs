//! Checks of probes and lifecycle hooks.

use k8s_openapi::api::core::v1::{
    ExecAction, GRPCAction, HTTPGetAction, Lifecycle, PodSpec, Probe, SleepAction, TCPSocketAction,
};

use super::Checker;

/// Signals of Linux that may end a container, in the order of their names.
const LINUX_SIGNALS: [&str; 65] = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMAX-1",
    "SIGRTMAX-10",
    "SIGRTMAX-11",
    "SIGRTMAX-12",
    "SIGRTMAX-13",
    "SIGRTMAX-14",
    "SIGRTMAX-2",
    "SIGRTMAX-3",
    "SIGRTMAX-4",
    "SIGRTMAX-5",
    "SIGRTMAX-6",
    "SIGRTMAX-7",
    "SIGRTMAX-8",
    "SIGRTMAX-9",
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];
/// Signals of Windows.
const WINDOWS_SIGNALS: [&str; 2] = ["SIGKILL", "SIGTERM"];

/// Which probe.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Liveness.
    Liveness,
    /// Readiness.
    Readiness,
    /// Startup.
    Startup,
}

struct Handler<'a> {
    exec: Option<&'a ExecAction>,
    http_get: Option<&'a HTTPGetAction>,
    tcp_socket: Option<&'a TCPSocketAction>,
    grpc: Option<&'a GRPCAction>,
    sleep: Option<&'a SleepAction>,
    /// The pod's grace period in seconds, which a sleep has to fit into.
    grace: i64,
}

fn handler(checker: &mut Checker, handler: &Handler<'_>, path: &str) {
    let present = [
        ("exec", handler.exec.is_some()),
        ("httpGet", handler.http_get.is_some()),
        ("tcpSocket", handler.tcp_socket.is_some()),
        ("grpc", handler.grpc.is_some()),
        ("sleep", handler.sleep.is_some()),
    ];
    let mut present = present.into_iter().filter(|(_, is_some)| *is_some).map(|(name, _)| name);
    let Some(first) = present.next() else {
        checker.required(path, "must specify a handler type", "");
        return;
    };
    for extra in present {
        checker.forbidden(&format!("{path}.{extra}"), "may not specify more than 1 handler type");
    }
    let path = format!("{path}.{first}");
    if let Some(exec) = handler.exec
        && exec.command.iter().flatten().next().is_none()
    {
        checker.required(&format!("{path}.command"), "", "");
    } else if let Some(http) = handler.http_get {
        http_get(checker, http, &path);
    } else if let Some(tcp) = handler.tcp_socket {
        checker.port(&format!("{path}.port"), &tcp.port);
    } else if let Some(grpc) = handler.grpc {
        checker.port_number(&format!("{path}.port"), grpc.port);
        if let Some(mode) = &grpc.mode {
            checker.supported(&format!("{path}.mode"), mode, &["Plaintext", "TLS"]);
        }
    } else if let Some(sleep) = handler.sleep
        && !(0..=handler.grace).contains(&sleep.seconds)
    {
        let detail =
            format!("must be non-negative and less than terminationGracePeriodSeconds ({})", handler.grace);
        checker.invalid_number(&path, sleep.seconds, &detail);
    }
}

fn http_get(checker: &mut Checker, http: &HTTPGetAction, path: &str) {
    checker.port(&format!("{path}.port"), &http.port);
    let scheme = http.scheme.as_deref();
    checker.supported(&format!("{path}.scheme"), scheme.unwrap_or_default(), &["HTTP", "HTTPS"]);
    for header in http.http_headers.iter().flatten() {
        if header.name.is_empty()
            || !header.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            checker.invalid(
                &format!("{path}.httpHeaders"),
                &header.name,
                "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used \
                 for validation is '[-A-Za-z0-9]+')",
            );
        }
    }
    if let Some(protocol) = http.protocol.as_deref() {
        let field = format!("{path}.protocol");
        checker.supported(&field, protocol, &["HTTP1", "HTTP2"]);
        let host = http.host.as_deref().unwrap_or_default();
        if protocol == "HTTP2" && scheme != Some("HTTP") {
            checker.invalid(&field, protocol, "is only supported with HTTP (H2C)");
        } else if protocol == "HTTP2" && !host.is_empty() {
            checker.invalid(&format!("{path}.host"), host, "must be empty when `protocol` is \"HTTP2\"");
        }
    }
}

/// A container's hooks and the signal that ends it.
pub(super) fn lifecycle(checker: &mut Checker, lifecycle: Option<&Lifecycle>, spec: &PodSpec, path: &str) {
    let Some(lifecycle) = lifecycle else {
        return;
    };
    for (field, hook) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
        if let Some(hook) = hook {
            let parts = Handler {
                exec: hook.exec.as_ref(),
                http_get: hook.http_get.as_ref(),
                tcp_socket: hook.tcp_socket.as_ref(),
                grpc: None,
                sleep: hook.sleep.as_ref(),
                grace: spec.termination_grace_period_seconds.unwrap_or(0),
            };
            handler(checker, &parts, &format!("{path}.{field}"));
        }
    }
    if let Some(signal) = &lifecycle.stop_signal {
        let field = format!("{path}.stopSignal");
        match spec.os.as_ref().map(|os| os.name.as_str()) {
            None => {
                checker.forbidden(&field, "may not be set for containers with empty `spec.os.name`");
            }
            Some("linux") => checker.supported(&field, signal, &LINUX_SIGNALS),
            Some("windows") => checker.supported(&field, signal, &WINDOWS_SIGNALS),
            Some(_) => {}
        }
    }
}

/// One probe, after defaulting.
pub(super) fn probe(checker: &mut Checker, probe: Option<&Probe>, path: &str, kind: Kind) {
    let Some(probe) = probe else {
        return;
    };
    let parts = Handler {
        exec: probe.exec.as_ref(),
        http_get: probe.http_get.as_ref(),
        tcp_socket: probe.tcp_socket.as_ref(),
        grpc: probe.grpc.as_ref(),
        sleep: None,
        grace: 0,
    };
    handler(checker, &parts, path);
    for (field, value) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        checker.not_negative(&format!("{path}.{field}"), i64::from(value.unwrap_or(0)));
    }
    let grace = format!("{path}.terminationGracePeriodSeconds");
    match probe.termination_grace_period_seconds {
        Some(seconds) if kind == Kind::Readiness => {
            checker.invalid_number(&grace, seconds, "must not be set for readinessProbes");
        }
        Some(seconds) if seconds <= 0 => checker.invalid_number(&grace, seconds, "must be greater than 0"),
        _ => {}
    }
    if kind != Kind::Readiness && probe.success_threshold != Some(1) {
        checker.invalid_number(
            &format!("{path}.successThreshold"),
            i64::from(probe.success_threshold.unwrap_or(0)),
            "must be 1",
        );
    }
}

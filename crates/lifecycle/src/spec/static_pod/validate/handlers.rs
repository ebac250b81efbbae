//! Checks of probes and lifecycle hooks.

use k8s_openapi::api::core::v1::{
    ExecAction, GRPCAction, HTTPGetAction, Lifecycle, Probe, SleepAction, TCPSocketAction,
};

use super::Checker;
use crate::spec::names;

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
        checker.port(&format!("{path}.port"), &http.port);
        checker.one_of(&format!("{path}.scheme"), http.scheme.as_deref(), &["HTTP", "HTTPS"]);
        for header in http.http_headers.iter().flatten() {
            if header.name.is_empty()
                || !header.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            {
                checker.invalid(
                    &format!("{path}.httpHeaders"),
                    &header.name,
                    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex \
                     used for validation is '[-A-Za-z0-9]+')",
                );
            }
        }
    } else if let Some(tcp) = handler.tcp_socket {
        checker.port(&format!("{path}.port"), &tcp.port);
    } else if let Some(grpc) = handler.grpc {
        for problem in names::port_problems(grpc.port) {
            checker.invalid_number(&format!("{path}.port"), i64::from(grpc.port), &problem);
        }
    } else if let Some(sleep) = handler.sleep {
        checker.not_negative(&format!("{path}.seconds"), sleep.seconds);
    }
}

/// A container's hooks.
pub(super) fn lifecycle(checker: &mut Checker, lifecycle: Option<&Lifecycle>, path: &str) {
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
            };
            handler(checker, &parts, &format!("{path}.{field}"));
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

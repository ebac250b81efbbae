use super::*;

fn container(kind: ContainerKind) -> ContainerRef {
    ContainerRef { kind, name: "c".into() }
}

fn event(reason: &Reason) -> (bool, String, String, Option<String>) {
    let event = reason.event().unwrap();
    (event.warning, event.reason.into_owned(), event.message, event.field_path)
}

#[test]
fn texts_are_upstreams() {
    let regular = || container(ContainerKind::Regular);
    let at = |path: &str| Some(path.to_owned());
    let pod = PodKey { namespace: "ns".into(), name: "p".into(), uid: "u".into() };
    let pulled =
        Pulled { took: Duration::from_millis(1234), including_wait: Duration::from_millis(2000), size: 42 };
    let image = || "i:1".to_owned();
    for (reason, want) in [
        (
            Reason::ImagePulled { container: regular(), image: image(), pulled },
            (
                false,
                "Pulled",
                "Successfully pulled image \"i:1\" in 1.234s (2s including waiting). Image size: 42 bytes.",
                at("spec.containers{c}"),
            ),
        ),
        (
            Reason::ImagePresent { container: regular(), image: image(), access: ImageAccess::Anybody },
            (false, "Pulled", "Container image \"i:1\" already present on machine", at("spec.containers{c}")),
        ),
        (
            Reason::ImagePresent {
                container: container(ContainerKind::Ephemeral),
                image: image(),
                access: ImageAccess::Checked,
            },
            (
                false,
                "Pulled",
                "Container image \"i:1\" already present on machine and can be accessed by the pod",
                at("spec.ephemeralContainers{c}"),
            ),
        ),
        (
            Reason::CrashLoop { container: regular(), pod, delay: Duration::from_secs(10) },
            (
                true,
                "BackOff",
                "Back-off restarting failed container c in pod p_ns(u)",
                at("spec.containers{c}"),
            ),
        ),
        (
            Reason::Killing {
                container: regular(),
                cause: KillCause::Liveness,
                afterwards: Afterwards::Restart,
            },
            (
                false,
                "Killing",
                "Container c failed liveness probe, will be restarted",
                at("spec.containers{c}"),
            ),
        ),
        (
            Reason::Killing {
                container: container(ContainerKind::Init),
                cause: KillCause::DefinitionChanged,
                afterwards: Afterwards::Restart,
            },
            (false, "Killing", "Init container c definition changed", at("spec.initContainers{c}")),
        ),
        (
            Reason::Killing {
                container: regular(),
                cause: KillCause::PodStops,
                afterwards: Afterwards::Stay,
            },
            (false, "Killing", "Stopping container c", at("spec.containers{c}")),
        ),
        (
            Reason::Terminating { cause: Cause::DeadlineExceeded },
            (
                false,
                "DeadlineExceeded",
                "Pod was active on the node longer than the specified deadline",
                None,
            ),
        ),
        (
            Reason::SandboxChanged { old: Some("s".into()) },
            (false, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.", None),
        ),
    ] {
        let got = event(&reason);
        assert_eq!((got.0, got.1.as_str(), got.2.as_str(), got.3), want);
    }
}

#[test]
fn log_lines_are_no_events() {
    for reason in [
        Reason::Gone,
        Reason::SandboxChanged { old: None },
        Reason::TeardownFailed { step: "remove the pod cgroup", message: "busy".into() },
        Reason::Terminating { cause: Cause::Deleted },
    ] {
        assert_eq!(reason.event(), None);
        assert!(!reason.to_string().is_empty());
    }
}

#[test]
fn rejection_and_eviction_speak_with_their_bare_message() {
    let rejected = |reason: &str| Reason::Terminating {
        cause: Cause::Rejected { reason: reason.to_owned(), message: "no room".to_owned() },
    };
    for reason in ["OutOfcpu", "OutOfexample.com/gpu", "SysctlForbidden"] {
        assert_eq!(event(&rejected(reason)), (true, reason.to_owned(), "no room".to_owned(), None));
    }
    let killed = |reason: &str| Reason::Terminating {
        cause: Cause::Killed { reason: reason.to_owned(), message: "low. ".to_owned() },
    };
    assert_eq!(event(&killed("Evicted")), (true, "Evicted".to_owned(), "low. ".to_owned(), None));
    assert_eq!(killed("Terminated").event(), None);
}

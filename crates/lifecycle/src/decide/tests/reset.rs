//! Restart rules, and all containers started over in place.

use k8s_openapi::api::core::v1::{ContainerRestartRule, ContainerRestartRuleOnExitCodes, ContainerStatus};

use super::*;

/// A container with its own policy and one rule for one exit code.
fn ruled(name: &str, policy: &str, action: &str, code: i32) -> Container {
    let exit_codes = ContainerRestartRuleOnExitCodes { operator: "In".to_owned(), values: Some(vec![code]) };
    let rule = ContainerRestartRule { action: action.to_owned(), exit_codes: Some(exit_codes) };
    Container {
        restart_policy: Some(policy.to_owned()),
        restart_policy_rules: Some(vec![rule]),
        ..container(name)
    }
}

fn condition(decision: &Decision) -> (String, Option<String>, Option<String>, Option<i64>) {
    let last = decision.status.conditions.as_ref().unwrap().last().unwrap();
    assert_eq!(last.type_, "AllContainersRestarting", "it is the last of all");
    (last.status.clone(), last.reason.clone(), last.message.clone(), last.observed_generation)
}

fn under_way() -> (String, Option<String>, Option<String>, Option<i64>) {
    let reason = Some("RestartAllContainersStarted".to_owned());
    ("True".to_owned(), reason, Some("container exited with restart policy rule".to_owned()), None)
}

fn over() -> (String, Option<String>, Option<String>, Option<i64>) {
    ("False".to_owned(), None, None, None)
}

fn status_of(decision: &Decision, name: &str) -> ContainerStatus {
    let lists = [&decision.status.container_statuses, &decision.status.init_container_statuses];
    lists.into_iter().flatten().flatten().find(|s| s.name == name).unwrap().clone()
}

/// An init container, a sidecar, one that triggers, and two others, of which one has ended for good.
fn running() -> Scene {
    let done = Container { restart_policy: Some("Never".to_owned()), ..container("done") };
    let mut scene = Scene::new(
        "Never",
        vec![container("i"), sidecar("s")],
        vec![ruled("c", "Never", "RestartAllContainers", 42), container("d"), done],
    );
    scene.settle_with_inits();
    scene.exit("done", 0);
    scene.settle();
    scene
}

#[test]
fn a_rule_restarts_its_container_alone() {
    let mut scene = Scene::new("Never", vec![], vec![ruled("c", "Never", "Restart", 42), container("d")]);
    scene.settle();
    scene.exit("c", 42);
    let decision = scene.look();
    assert_eq!(phase(&decision), "Running");
    assert!(
        decision.status.conditions.as_ref().unwrap().iter().all(|c| c.type_ != "AllContainersRestarting")
    );
    for action in &decision.actions {
        scene.succeed(action);
    }
    assert!(brief(&scene.settle()).contains(&"create c 1".to_owned()));
    scene.exit("d", 0);
    scene.exit("c", 41);
    scene.settle();
    assert_eq!(phase(&scene.look()), "Failed", "no rule matches, and the policies let both ends stand");
}

#[test]
fn all_are_started_over_in_place() {
    let mut scene = running();
    let before = scene.look();
    assert_eq!(condition(&before), over());
    let (sandbox, ip) = (scene.runtime.as_ref().unwrap().sandboxes.clone(), before.status.pod_ip.clone());
    scene.exit("c", 42);
    // Regular containers first, without grace, whatever the pod's is; what has ended is only removed.
    let first = scene.look();
    assert_eq!(brief(&first.actions), ["stop d 0", "remove container, keep log"]);
    assert!(matches!(&first.actions[0], Action::StopContainer { run_pre_stop: false, .. }));
    assert_eq!(events(&first), [("Killing", "killing".to_owned())]);
    assert_eq!(condition(&first), under_way());
    assert_eq!(phase(&first), "Running");
    for action in &first.actions {
        scene.succeed(action);
    }
    let second = scene.look();
    assert_eq!(brief(&second.actions), ["remove container, keep log"], "d");
    let gone = status_of(&second, "done");
    let waiting = gone.state.as_ref().unwrap().waiting.as_ref().unwrap();
    let text = "The container is removed because RestartAllContainers in place";
    assert_eq!(
        (waiting.reason.as_deref(), waiting.message.as_deref()),
        (Some("RestartingAllContainers"), Some(text))
    );
    let last = gone.last_state.unwrap().terminated.unwrap();
    assert_eq!(
        (last.exit_code, last.reason.as_deref(), last.message.as_deref()),
        (137, Some("RestartingAllContainers"), Some(text))
    );
    assert_eq!(gone.restart_count, 1);
    scene.succeed(&second.actions[0]);
    // Then init containers and sidecars.
    let third = scene.look();
    assert_eq!(brief(&third.actions), ["remove container, keep log", "stop s 0"]);
    for action in &third.actions {
        scene.succeed(action);
    }
    let fourth = scene.look();
    assert_eq!(brief(&fourth.actions), ["remove container, keep log"], "s");
    scene.succeed(&fourth.actions[0]);
    // What triggered it goes last.
    let fifth = scene.look();
    assert_eq!(brief(&fifth.actions), ["remove container, keep log"], "c");
    assert_eq!(status_of(&fifth, "c").state.unwrap().terminated.unwrap().exit_code, 42);
    assert_eq!(condition(&fifth), under_way());
    scene.succeed(&fifth.actions[0]);
    let sixth = scene.look();
    assert_eq!(condition(&sixth), over());
    assert_eq!(phase(&sixth), "Running", "it is not over, and it is not pending again");
    assert_eq!(brief(&sixth.actions), ["image i"]);
    let initialised = sixth.status.conditions.iter().flatten().find(|c| c.type_ == "Initialized").unwrap();
    assert_eq!(initialised.status, "True", "once true, always true");
    for action in &sixth.actions {
        scene.succeed(action);
    }
    // All start over, the one that had ended for good too, and all count one restart.
    assert_eq!(
        scene.settle_with_inits(),
        [
            "create i 1",
            "start i",
            "create s 1",
            "start s",
            "create c 1",
            "start c",
            "create d 1",
            "start d",
            "create done 1",
            "start done"
        ]
    );
    let after = scene.look();
    assert_eq!(condition(&after), over());
    assert_eq!(
        (scene.runtime.as_ref().unwrap().sandboxes.clone(), after.status.pod_ip.clone()),
        (sandbox, ip)
    );
    for name in ["i", "s", "c", "d", "done"] {
        let status = status_of(&after, name);
        assert_eq!(status.restart_count, 1, "{name}");
        let last = status.last_state.unwrap().terminated.unwrap();
        assert_eq!(last.reason.as_deref(), Some("RestartingAllContainers"), "{name}");
    }
    assert!(scene.look().actions.is_empty());
}

#[test]
fn no_back_off_delays_it() {
    let mut scene = Scene::new("Never", vec![], vec![ruled("c", "Never", "RestartAllContainers", 42)]);
    scene.settle();
    for attempt in 1..5 {
        scene.exit("c", 42);
        assert!(brief(&scene.settle()).contains(&format!("create c {attempt}")));
    }
}

#[test]
fn a_process_that_dies_in_the_middle_is_no_matter() {
    for steps in 0..7 {
        for reported in [true, false] {
            let mut scene = running();
            scene.pod.status = Some(scene.look().status);
            scene.exit("c", 42);
            for _ in 0..steps {
                let decision = scene.look();
                if reported {
                    scene.pod.status = Some(decision.status.clone());
                }
                for action in &decision.actions {
                    scene.succeed(action);
                }
            }
            scene.outcomes.clear();
            scene.state = PodState::default();
            scene.settle_with_inits();
            let after = scene.look();
            let text = format!("killed after {steps} looks, reported: {reported}");
            assert_eq!(condition(&after), over(), "{text}");
            assert_eq!(phase(&after), "Running", "{text}");
            for name in ["i", "s", "c", "d"] {
                let status = status_of(&after, name);
                assert!(status.ready, "{name} {text}");
                assert_eq!(status.restart_count, 1, "{name} {text}");
            }
        }
    }
}

#[test]
fn a_container_made_since_is_not_taken_for_one_left_over() {
    let mut scene = running();
    scene.exit("c", 42);
    // Everything was cleared away and the first init container runs again, but the API was told of none of it but the
    // beginning.
    let first = scene.look();
    first.actions.iter().for_each(|action| scene.succeed(action));
    let reported = first.status;
    let mut looks = 0;
    while !brief(&scene.settle_one()).contains(&"start i".to_owned()) {
        looks += 1;
        assert!(looks < 20);
    }
    let id = scene.record("i").id.clone();
    scene.pod.status = Some(reported);
    scene.outcomes.clear();
    scene.state = PodState::default();
    let actions = scene.settle();
    assert!(!brief(&actions).iter().any(|a| a.starts_with("stop") || a.starts_with("remove")), "{actions:?}");
    assert_eq!(scene.record("i").id, id);
    assert_eq!(condition(&scene.look()), over());
}

#[test]
fn a_creation_under_way_is_waited_for_and_cleared_away() {
    let mut scene = Scene::new(
        "Always",
        vec![container("i")],
        vec![ruled("c", "Never", "RestartAllContainers", 42), container("d")],
    );
    scene.settle_with_inits();
    scene.exit("d", 1);
    let create = loop {
        let decision = scene.look();
        if let Some(create) = decision.actions.iter().find(|a| matches!(a, Action::CreateContainer { .. })) {
            break create.clone();
        }
        decision.actions.iter().for_each(|action| scene.succeed(action));
    };
    scene.exit("c", 42);
    let mut removed = 0;
    for _ in 0..5 {
        let decision = scene.look();
        removed += brief(&decision.actions).iter().filter(|a| a.starts_with("remove")).count();
        decision.actions.iter().for_each(|action| scene.succeed(action));
        assert_eq!(condition(&decision), under_way());
    }
    assert_eq!(removed, 2, "d and i; c waits until nobody can be overlooked");
    scene.succeed(&create);
    assert_eq!(brief(&scene.settle_one()), ["remove container, keep log"], "the new d");
    assert_eq!(brief(&scene.settle_one()), ["remove container, keep log"], "c");
    assert_eq!(scene.settle_with_inits().first().unwrap(), "create i 1");
}

#[test]
fn with_the_sandbox_lost_as_well_a_new_one_comes_first() {
    let mut scene = running();
    scene.exit("c", 42);
    scene.runtime.as_mut().unwrap().sandboxes[0].ready = false;
    for name in ["d", "s"] {
        scene.exit(name, 137);
    }
    let actions = scene.settle_with_inits();
    assert_eq!(actions.first().unwrap(), "sandbox 1");
    assert!(actions.contains(&"create i 1".to_owned()), "{actions:?}");
    assert_eq!(condition(&scene.look()), over());
    assert_eq!(phase(&scene.look()), "Running");
}

#[test]
fn deletion_ends_it() {
    let mut scene = running();
    scene.exit("c", 42);
    scene.look();
    scene.intent = Intent::Delete { grace: secs(30) };
    scene.pod.metadata.deletion_timestamp = Some(time(scene.wall));
    let decision = scene.look();
    assert!(decision.actions.iter().all(|a| !matches!(a, Action::RemoveContainer { .. })));
    scene.outcomes.clear();
    let flying: Vec<_> = decision.next.in_flight().cloned().collect();
    assert!(!flying.is_empty());
    for name in ["d", "s"] {
        let id = scene.record(name).id.clone();
        scene.exit(name, 143);
        let stop =
            Action::StopContainer { container: name.into(), id, grace: Duration::ZERO, run_pre_stop: false };
        scene.answer(&stop, Ok(Done::Plain));
    }
    scene.settle();
    let ended = scene.look();
    assert_eq!(phase(&ended), "Failed");
    assert_eq!(condition(&ended), ("False".to_owned(), Some("PodFailed".to_owned()), None, None));
}

#[test]
fn what_ends_while_the_pod_stops_starts_nothing_over_and_is_told() {
    let mut scene =
        Scene::new("Never", vec![], vec![ruled("c", "Never", "RestartAllContainers", 143), container("d")]);
    scene.settle();
    scene.intent = Intent::Delete { grace: secs(30) };
    scene.pod.metadata.deletion_timestamp = Some(time(scene.wall));
    scene.settle();
    scene.pass(secs(1));
    scene.settle();
    let last = scene.look();
    assert!(last.finished);
    for name in ["c", "d"] {
        let ended = status_of(&last, name).state.unwrap().terminated.unwrap();
        assert_eq!((ended.exit_code, ended.reason.as_deref()), (143, Some("Error")), "{name}");
    }
}

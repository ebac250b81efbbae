//! Debug containers, added while the pod runs.

use k8s_openapi::api::core::v1::{ContainerState, EphemeralContainer};

use super::*;

fn debug(scene: &mut Scene, name: &str) {
    let container = EphemeralContainer {
        name: name.to_owned(),
        image: Some("debug:1".to_owned()),
        target_container_name: Some("c".to_owned()),
        ..EphemeralContainer::default()
    };
    scene.spec().ephemeral_containers.get_or_insert_default().push(container);
}

fn state(decision: &Decision, name: &str) -> ContainerState {
    let statuses = decision.status.ephemeral_container_statuses.as_ref().unwrap();
    statuses.iter().find(|s| s.name == name).unwrap().state.clone().unwrap()
}

#[test]
fn starts_once_and_never_again() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    debug(&mut scene, "e");
    let first = scene.look();
    assert_eq!(brief(&first.actions), ["image e"]);
    assert_eq!(state(&first, "e").waiting.unwrap().reason.as_deref(), Some("ContainerCreating"));
    assert_eq!(phase(&first), "Running", "they do not count for the phase");
    first.actions.iter().for_each(|action| scene.succeed(action));
    assert_eq!(brief(&scene.settle()), ["create e 0", "start e"]);
    let runs = scene.look();
    assert!(state(&runs, "e").running.is_some());
    let ready = runs.status.conditions.iter().flatten().find(|c| c.type_ == "Ready").unwrap();
    assert_eq!(ready.status, "True");
    scene.exit("e", 7);
    assert!(scene.settle().is_empty());
    assert_eq!(state(&scene.look(), "e").terminated.unwrap().exit_code, 7);
    // Its record is removed, by whomever: its end is still told, and it does not come back.
    scene.runtime.as_mut().unwrap().containers.retain(|c| c.name.as_str() != "e");
    assert!(scene.settle().is_empty());
    scene.restart();
    assert!(!brief(&scene.settle()).iter().any(|a| a.contains(" e")));
    assert_eq!(state(&scene.look(), "e").terminated.unwrap().exit_code, 7);
}

#[test]
fn one_that_vanished_is_over() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    debug(&mut scene, "e");
    scene.settle();
    scene.runtime.as_mut().unwrap().containers.retain(|c| c.name.as_str() != "e");
    assert!(scene.settle().is_empty());
    let ended = state(&scene.look(), "e").terminated.unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_deref()), (137, Some("ContainerStatusUnknown")));
}

#[test]
fn does_not_wait_for_initialisation_and_does_not_keep_the_pod() {
    let mut scene = Scene::new("Never", vec![container("i")], vec![container("c")]);
    debug(&mut scene, "e");
    scene.settle();
    assert_eq!(scene.record("e").state, RuntimeState::Running, "i still runs");
    scene.exit("i", 0);
    scene.settle();
    scene.exit("c", 0);
    let actions = brief(&scene.settle());
    assert_eq!(actions[0], "stop e 30");
    assert_eq!(phase(&scene.look()), "Succeeded");
}

#[test]
fn one_that_cannot_start_is_told_of() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    debug(&mut scene, "e");
    let image = scene.look().actions[0].clone();
    scene.succeed(&image);
    let create = scene.look().actions[0].clone();
    scene.fail(&create, FailureStep::ContainerConfig, "unable to find target container c");
    let decision = scene.look();
    let waiting = state(&decision, "e").waiting.unwrap();
    assert_eq!(
        (waiting.reason.as_deref(), waiting.message.as_deref()),
        (Some("CreateContainerConfigError"), Some("unable to find target container c"))
    );
    let event = decision.why.iter().find_map(Reason::event).unwrap();
    assert_eq!(event.field_path.as_deref(), Some("spec.ephemeralContainers{e}"));
}

#[test]
fn stays_where_it_is_when_all_others_are_started_over() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    debug(&mut scene, "e");
    scene.settle();
    let id = scene.record("e").id.clone();
    scene.exit("c", 1);
    scene.settle();
    assert_eq!((scene.record("e").id.clone(), scene.record("e").state), (id, RuntimeState::Running));
}

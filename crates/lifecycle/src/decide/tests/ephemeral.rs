//! Debug containers, added while the pod runs.

use k8s_openapi::api::core::v1::{ContainerState, EphemeralContainer, VolumeMount};

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
fn the_first_that_uses_a_volume_waits_for_it() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    debug(&mut scene, "e");
    let mount = |name: &str| VolumeMount { name: name.to_owned(), ..VolumeMount::default() };
    let mounts = &mut scene.spec().ephemeral_containers.as_mut().unwrap()[0].volume_mounts;
    *mounts = Some(vec![mount("scratch")]);
    assert_eq!(brief(&scene.look().actions), ["MountVolumes", "image e"]);
    scene.succeed(&Action::EnsureImage { container: "e".into() });
    assert!(scene.look().actions.is_empty(), "without its volume it cannot be made");
    // Another one, while the mount for the first goes on.
    debug(&mut scene, "f");
    scene.spec().ephemeral_containers.as_mut().unwrap()[1].volume_mounts = Some(vec![mount("more")]);
    assert_eq!(brief(&scene.look().actions), ["image f"]);
    scene.succeed(&Action::MountVolumes);
    assert_eq!(brief(&scene.look().actions), ["MountVolumes"], "that mount knew one of the two");
    scene.fail(&Action::MountVolumes, FailureStep::Volumes, "not yet");
    assert!(scene.look().actions.is_empty());
    scene.pass(secs(10));
    assert_eq!(brief(&scene.look().actions), ["MountVolumes"]);
    scene.succeed(&Action::MountVolumes);
    scene.succeed(&Action::EnsureImage { container: "f".into() });
    assert_eq!(brief(&scene.settle()), ["create e 0", "create f 0", "start e", "start f"]);
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

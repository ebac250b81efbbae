//! Containers that the runtime has lost: what runs once does not run twice.

use super::*;

fn vanish(scene: &mut Scene, name: &str) {
    scene.runtime.as_mut().unwrap().containers.retain(|c| c.name.as_str() != name);
}

fn lose_track(scene: &mut Scene, name: &str) {
    let containers = &mut scene.runtime.as_mut().unwrap().containers;
    containers.iter_mut().filter(|c| c.name.as_str() == name).for_each(|c| c.state = RuntimeState::Unknown);
}

fn forget_all(scene: &mut Scene, _: &str) {
    scene.runtime = Ok(RuntimePod::default());
}

/// Settles; nothing of it starts anything. The pod has failed.
fn assert_failed(scene: &mut Scene) {
    let actions = brief(&scene.settle());
    let starts = |text: &String| ["sandbox", "create", "start"].iter().any(|word| text.starts_with(word));
    assert!(!actions.iter().any(starts), "{actions:?}");
    let decision = scene.look();
    assert_eq!((phase(&decision), decision.next.stage()), ("Failed", "terminated"));
}

#[test]
fn a_lost_container_that_runs_once_ends_its_pod() {
    let own = Container { restart_policy: Some("Never".to_owned()), ..container("c") };
    for lose in [vanish, lose_track, forget_all] {
        for (policy, c) in [("Never", container("c")), ("Always", own.clone())] {
            for restarted in [true, false] {
                let mut scene = Scene::new(policy, vec![], vec![c.clone()]);
                scene.settle();
                scene.look();
                if restarted {
                    scene.restart();
                }
                lose(&mut scene, "c");
                assert_failed(&mut scene);
                let status = scene.look().status.container_statuses.unwrap().remove(0);
                let ended = status.state.unwrap().terminated.unwrap();
                // One that was only out of sight may be seen to end after all.
                let seen = scene.runtime.as_ref().unwrap().containers.len();
                let end = [(137, Some("ContainerStatusUnknown")), (143, Some("Error"))][seen];
                assert_eq!((ended.exit_code, ended.reason.as_deref()), end);
                assert_eq!(status.restart_count, 1);
            }
        }
    }
}

#[test]
fn a_lost_init_container_that_runs_once_ends_its_pod() {
    for lose in [vanish, lose_track, forget_all] {
        let mut scene = Scene::new("Never", vec![sidecar("s"), container("i")], vec![container("c")]);
        scene.settle();
        assert_eq!(scene.record("i").state, RuntimeState::Running);
        lose(&mut scene, "i");
        assert_failed(&mut scene);
    }
}

#[test]
fn a_lost_container_runs_again_beside_a_sibling_or_by_its_policy() {
    for (policy, containers) in
        [("Never", vec![container("c"), container("d")]), ("OnFailure", vec![container("c")])]
    {
        for lose in [vanish, lose_track] {
            let mut scene = Scene::new(policy, vec![], containers.clone());
            scene.settle();
            lose(&mut scene, "c");
            assert!(brief(&scene.settle()).contains(&"create c 1".to_owned()));
            assert_eq!(phase(&scene.look()), "Running");
        }
    }
}

#[test]
fn a_promised_instance_is_made_whatever_the_policy_says_of_the_one_before() {
    let mut scene = Scene::new("Never", vec![], vec![with_hook("c")]);
    scene.settle();
    scene.spec().containers[0].image = Some("image:2".to_owned());
    let start = scene.until_start();
    scene.effect(&start);
    assert!(scene.look().actions.is_empty(), "its hook runs");
    scene.answer(&start, Ok(Done::Plain));
    assert_eq!(phase(&scene.look()), "Running");
    assert_eq!(scene.record("c").attempt, 1);
}

#[test]
fn what_an_earlier_process_ran_of_a_static_pod_runs_again_after_a_reboot() {
    let mut scene = Scene::new("Never", vec![], vec![container("c")]);
    scene.source = PodSource::File;
    scene.settle();
    scene.restart();
    forget_all(&mut scene, "c");
    assert!(brief(&scene.settle()).contains(&"start c".to_owned()));
    vanish(&mut scene, "c");
    assert_failed(&mut scene);
}

#[test]
fn a_new_sandbox_does_not_count_on_the_cgroup_of_the_old_one() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    scene.runtime.as_mut().unwrap().sandboxes[0].ready = false;
    let actions = brief(&scene.settle());
    let at = |name: &str| actions.iter().position(|action| action == name);
    assert!(at("EnsureCgroup").unwrap() < at("sandbox 1").unwrap(), "{actions:?}");
}

#[test]
fn an_end_for_good_outlasts_its_record_and_older_ones() {
    let mut scene = Scene::new("OnFailure", vec![], vec![container("c"), container("d")]);
    scene.settle();
    scene.exit("c", 1);
    scene.settle();
    scene.exit("c", 0);
    let end = |scene: &mut Scene| scene.look().status.container_statuses.unwrap()[0].clone();
    let told = end(&mut scene);
    assert_eq!(
        (told.restart_count, told.state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code),
        (1, 0)
    );
    // The sandbox is lost with what is in it. The first instance, which failed, cannot be removed.
    let runtime = scene.runtime.as_mut().unwrap();
    runtime.sandboxes.clear();
    runtime.containers.retain(|record| record.name.as_str() == "c" && record.attempt == 0);
    assert_eq!(runtime.containers.len(), 1);
    let actions = brief(&scene.settle());
    assert!(actions.contains(&"create d 1".to_owned()), "{actions:?}");
    assert!(!actions.iter().any(|action| action.starts_with("create c")), "{actions:?}");
    assert_eq!(end(&mut scene), told);
}

use node::conditions::RuntimeCondition;
use seams::runtime::RuntimeStatus;

use super::*;

fn condition(name: &str, ready: bool) -> Option<RuntimeCondition> {
    Some(RuntimeCondition { name: name.to_owned(), ready, reason: "R".to_owned(), message: "m".to_owned() })
}

fn health(runtime_ready: bool, network_ready: bool, good_at: u64) -> RuntimeHealth {
    RuntimeHealth {
        status: Some(RuntimeStatus {
            runtime_ready: condition("RuntimeReady", runtime_ready),
            network_ready: condition("NetworkReady", network_ready),
            ..RuntimeStatus::default()
        }),
        error: None,
        good_at: Some(Duration::from_secs(good_at)),
    }
}

fn told(health: &RuntimeHealth, now: u64) -> Vec<String> {
    let problems = runtime_problems(health, None, Duration::from_secs(now));
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_short_silence_is_no_problem_and_a_long_one_is() {
    let mut known = health(true, true, 100);
    known.error = Some("Status did not answer within 120s".to_owned());
    assert!(told(&known, 129).is_empty());
    assert_eq!(told(&known, 130), ["container runtime is down"]);
}

#[test]
fn before_the_first_answer_nothing_is_known() {
    assert_eq!(
        told(&RuntimeHealth::default(), 1000),
        ["container runtime status check may not have completed yet", "network state unknown"]
    );
}

#[test]
fn what_the_runtime_says_about_itself_comes_after_its_silence() {
    assert_eq!(
        told(&health(false, false, 100), 130),
        [
            "container runtime is down",
            "container runtime not ready: RuntimeReady=false reason:R message:m",
            "container runtime network not ready: NetworkReady=false reason:R message:m",
        ]
    );
    let relist = NotReady::Unhealthy { part: "PLEG".to_owned(), cause: "old".to_owned() };
    let problems = runtime_problems(&health(true, true, 0), Some(relist), Duration::from_secs(60));
    assert_eq!(
        problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["container runtime is down", "PLEG is not healthy: old"]
    );
}

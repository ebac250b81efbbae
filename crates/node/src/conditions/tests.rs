use super::*;
use crate::quantity::Quantity;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn capacity() -> ResourceList {
    ["cpu", "memory", "pods", "ephemeral-storage"].map(|name| (name.to_owned(), Quantity::count(1))).into()
}

fn ready(problems: Vec<NotReady>) -> ReadyInputs {
    ReadyInputs { problems, warnings: vec![], local_storage: true }
}

fn step(
    previous: &[NodeCondition],
    pressures: Pressures,
    inputs: &ReadyInputs,
    second: i64,
) -> (Vec<NodeCondition>, Vec<&'static str>) {
    let (conditions, events) = next("n", previous, pressures, inputs, &capacity(), at(second));
    assert!(events.iter().all(|event| event.message == format!("Node n status is now: {}", event.reason)));
    (conditions, events.into_iter().map(|event| event.reason).collect())
}

fn named<'a>(conditions: &'a [NodeCondition], name: &str) -> &'a NodeCondition {
    conditions.iter().find(|condition| condition.type_ == name).unwrap()
}

fn times(condition: &NodeCondition) -> (i64, i64) {
    let second = |time: &Option<Time>| time.as_ref().unwrap().0.as_second() - 1_000_000;
    (second(&condition.last_heartbeat_time), second(&condition.last_transition_time))
}

#[test]
fn the_first_report_of_a_healthy_node() {
    let (conditions, events) = step(&[], Pressures::default(), &ready(vec![]), 0);
    let shown: Vec<_> = conditions
        .iter()
        .map(|one| {
            let text = |field: &Option<String>| field.clone().unwrap();
            format!("{} {} {} {}", one.type_, one.status, text(&one.reason), text(&one.message))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "MemoryPressure False KubeletHasSufficientMemory kubelet has sufficient memory available",
            "DiskPressure False KubeletHasNoDiskPressure kubelet has no disk pressure",
            "PIDPressure False KubeletHasSufficientPID kubelet has sufficient PID available",
            "Ready True KubeletReady kubelet is posting ready status",
        ]
    );
    assert_eq!(events, ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"]);
    assert!(is_ready(&conditions));
}

#[test]
fn transitions_move_the_time_and_have_one_event() {
    let (start, _) = step(&[], Pressures::default(), &ready(vec![]), 0);
    let (same, events) = step(&start, Pressures::default(), &ready(vec![]), 10);
    assert!(events.is_empty());
    assert!(same.iter().all(|condition| times(condition) == (10, 0)), "{same:?}");
    let full = Pressures { disk: true, memory: true, pid: true };
    let (pressed, events) = step(&same, full, &ready(vec![]), 20);
    assert_eq!(events, ["NodeHasInsufficientMemory", "NodeHasDiskPressure", "NodeHasInsufficientPID"]);
    assert_eq!(times(named(&pressed, "DiskPressure")), (20, 20));
    assert_eq!(times(named(&pressed, "Ready")), (20, 0));
    assert_eq!(
        named(&pressed, "PIDPressure").message.as_deref(),
        Some("kubelet has insufficient PID available")
    );
}

#[test]
fn readiness_says_everything_that_is_wrong() {
    let (start, _) = step(&[], Pressures::default(), &ready(vec![]), 0);
    let (down, events) = step(&start, Pressures::default(), &ready(vec![NotReady::RuntimeDown]), 10);
    assert_eq!(events, ["NodeNotReady"]);
    let condition = named(&down, "Ready");
    assert_eq!(
        (condition.status.as_str(), condition.message.as_deref()),
        ("False", Some("container runtime is down"))
    );
    let network = RuntimeCondition {
        name: "NetworkReady".to_owned(),
        ready: false,
        reason: "NetworkPluginNotReady".to_owned(),
        message: "cni plugin not initialized".to_owned(),
    };
    let many = vec![
        NotReady::RuntimeUnchecked,
        NotReady::Unhealthy { part: "PLEG".to_owned(), cause: "pleg was last seen active 4m ago".to_owned() },
        NotReady::NetworkNotReady(network),
        NotReady::RuntimeUnchecked,
    ];
    let (worse, events) = step(&down, Pressures::default(), &ready(many), 20);
    assert!(events.is_empty(), "still not ready");
    let condition = named(&worse, "Ready");
    assert_eq!(
        condition.message.as_deref(),
        Some(
            "[container runtime status check may not have completed yet, PLEG is not healthy: pleg was last seen \
             active 4m ago, container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady \
             message:cni plugin not initialized]"
        )
    );
    assert_eq!(times(condition), (20, 10), "no transition");
    let (up, events) = step(&worse, Pressures::default(), &ready(vec![]), 30);
    assert_eq!(events, ["NodeReady"]);
    assert_eq!(times(named(&up, "Ready")), (30, 30));
}

#[test]
fn missing_capacity_and_warnings() {
    let mut inputs = ready(vec![]);
    inputs.warnings = vec!["CPU quota is off".to_owned()];
    let (warned, _) = step(&[], Pressures::default(), &inputs, 0);
    assert_eq!(
        named(&warned, "Ready").message.as_deref(),
        Some("kubelet is posting ready status. WARNING: CPU quota is off")
    );
    assert!(is_ready(&warned));
    let known: ResourceList = [("cpu".to_owned(), Quantity::count(2))].into();
    let message = |local_storage| {
        let inputs = ReadyInputs { local_storage, ..ready(vec![]) };
        let (conditions, _) = next("n", &[], Pressures::default(), &inputs, &known, at(0));
        named(&conditions, "Ready").message.clone().unwrap()
    };
    assert_eq!(message(true), "missing node capacity for resources: memory, pods, ephemeral-storage");
    assert_eq!(message(false), "missing node capacity for resources: memory, pods");
}

#[test]
fn conditions_of_others_stay_in_their_place() {
    let other = NodeCondition {
        type_: "NetworkUnavailable".to_owned(),
        status: "False".to_owned(),
        ..NodeCondition::default()
    };
    let (conditions, _) = step(std::slice::from_ref(&other), Pressures::default(), &ready(vec![]), 0);
    assert_eq!(conditions[0], other);
    assert_eq!(conditions.len(), 5);
}

#[test]
fn times_are_whole_seconds() {
    let now = Timestamp::new(1_000_000, 999_999_999).unwrap();
    let (conditions, _) = next("n", &[], Pressures::default(), &ready(vec![]), &capacity(), now);
    assert_eq!(conditions[0].last_heartbeat_time.as_ref().unwrap().0, at(0));
}

use super::*;

fn q(text: &str) -> Quantity {
    text.parse().unwrap()
}

fn list(pairs: &[(&str, &str)]) -> ResourceList {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), q(text))).collect()
}

fn shown(list: &ResourceList) -> Vec<String> {
    list.iter().map(|(name, quantity)| format!("{name}={quantity}")).collect()
}

/// The machine of the sample that upstream served.
fn sample() -> NodeFacts {
    NodeFacts {
        cpus: 2,
        memory_bytes: 24_684_092 << 10,
        ephemeral_storage_bytes: Some(264_212_084 << 10),
        hugepages: vec![(1 << 30, 0), (2 << 20, 0)],
        max_pids: Some(4_194_304),
        max_pods: 110,
        pods_per_core: 0,
    }
}

fn eviction() -> Vec<EvictionReserve> {
    vec![
        EvictionReserve::Memory(Threshold::Quantity(q("100Mi"))),
        EvictionReserve::NodeFs(Threshold::Fraction(10.0 / 100.0)),
    ]
}

#[test]
fn upstreams_sample_byte_by_byte() {
    let resources =
        NodeResources::of(&sample(), &Reservations { eviction: eviction(), ..Reservations::default() });
    assert_eq!(
        shown(&resources.capacity),
        [
            "cpu=2",
            "ephemeral-storage=270553174016",
            "hugepages-1Gi=0",
            "hugepages-2Mi=0",
            "memory=24684092Ki",
            "pods=110"
        ]
    );
    assert_eq!(
        shown(&resources.allocatable()),
        [
            "cpu=2",
            "ephemeral-storage=243497856212",
            "hugepages-1Gi=0",
            "hugepages-2Mi=0",
            "memory=24581692Ki",
            "pods=110"
        ]
    );
}

#[test]
fn reservations_add_up_and_have_a_floor() {
    let reservations = Reservations {
        system: list(&[("cpu", "200m"), ("memory", "1Gi"), ("ephemeral-storage", "1000Ti"), ("pid", "1000")]),
        kube: list(&[("cpu", "100m"), ("memory", "500Mi")]),
        eviction: eviction(),
    };
    let resources = NodeResources::of(&sample(), &reservations);
    let allocatable = resources.allocatable();
    assert_eq!(allocatable["cpu"].to_string(), "1700m");
    assert_eq!(allocatable["memory"], q("24684092Ki").minus(q("1624Mi")));
    assert_eq!(allocatable["ephemeral-storage"].to_string(), "0");
    assert_eq!(
        resources.enforced["memory"],
        q("24684092Ki").minus(q("1524Mi")),
        "eviction is not taken off here"
    );
    assert_eq!(resources.enforced["pid"].to_string(), "4193304");
    assert_eq!(resources.unenforced["memory"], resources.capacity["memory"]);
    let problems = resources.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("Resource \"ephemeral-storage\" has a reservation of "), "{problems:?}");
}

#[test]
fn huge_pages_are_no_memory_for_pods() {
    let facts = NodeFacts { hugepages: vec![(2 << 20, 512), (1 << 30, 1)], ..sample() };
    let resources = NodeResources::of(&facts, &Reservations::default());
    assert_eq!(resources.capacity["hugepages-2Mi"].to_string(), "1Gi");
    assert_eq!(resources.allocatable()["memory"], q("24684092Ki").minus(q("2Gi")));
    let all = NodeFacts { hugepages: vec![(1 << 30, 4000)], ..sample() };
    assert_eq!(NodeResources::of(&all, &Reservations::default()).allocatable()["memory"].to_string(), "0");
}

#[test]
fn pods_per_core_caps_pods() {
    let pods = |per_core, max_pods| {
        let facts = NodeFacts { pods_per_core: per_core, max_pods, ..sample() };
        NodeResources::of(&facts, &Reservations::default()).capacity["pods"].to_string()
    };
    assert_eq!((pods(0, 110), pods(10, 110), pods(100, 110)), ("110".into(), "20".into(), "110".into()));
}

#[test]
fn extended_resources_pass_through() {
    let resources = NodeResources::of(&sample(), &Reservations::default());
    let mut capacity = resources.capacity.clone();
    capacity.insert("example.com/gpu".to_owned(), q("4"));
    assert_eq!(resources.allocatable_of(&capacity)["example.com/gpu"].to_string(), "4");
    let unknown = NodeFacts { ephemeral_storage_bytes: None, ..sample() };
    assert!(
        !NodeResources::of(&unknown, &Reservations::default()).capacity.contains_key("ephemeral-storage")
    );
}

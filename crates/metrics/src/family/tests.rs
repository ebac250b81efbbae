use super::*;
use crate::{
    pods::{ContainerType, LogOf, StartError, Started},
    table::{Page as On, find},
};

const STARTED: &Metric = find(On::Metrics, "kubelet_started_containers_total");

fn page(family: &dyn Family) -> String {
    let mut page = Page::new();
    write(family, &mut page);
    page.finish()
}

#[test]
fn a_vector_shows_what_was_used() {
    let vector: Vector<ContainerType, Counter> = Vector::new(STARTED);
    assert_eq!(page(&vector), "");
    vector.inc(&ContainerType::InitContainer);
    let kept = vector.of(&ContainerType::Container);
    kept.add(2);
    let text = page(&vector);
    assert!(text.ends_with(
        "# TYPE kubelet_started_containers_total counter\n\
         kubelet_started_containers_total{container_type=\"container\"} 2\n\
         kubelet_started_containers_total{container_type=\"init_container\"} 1\n"
    ));
    vector.forget(&ContainerType::Container);
    assert!(!page(&vector).contains("\"container\""));
    assert_eq!(vector.known(&ContainerType::Container).map(|value| value.get()), None);
}

#[test]
fn a_vector_may_show_label_sets_from_the_start() {
    let vector: Vector<ContainerType, Counter> = Vector::with(STARTED, [ContainerType::EphemeralContainer]);
    assert!(page(&vector).ends_with("{container_type=\"ephemeral_container\"} 0\n"));
}

#[test]
fn what_is_asked_is_not_kept() {
    let asked: Asked<()> = Asked::new(find(On::Metrics, "kubelet_running_pods"));
    assert_eq!(page(&asked), "");
    let truth = Arc::new(Gauge::default());
    let known = Arc::clone(&truth);
    asked.answered_by(move |put| put((), known.get()));
    truth.set(3.0);
    assert!(page(&asked).ends_with("kubelet_running_pods 3\n"));
    truth.set(4.0);
    assert!(page(&asked).ends_with("kubelet_running_pods 4\n"));
}

#[test]
fn what_is_told_takes_the_place_of_what_was() {
    let told: Told<LogOf> = Told::new(find(On::Metrics, "kubelet_container_log_filesystem_used_bytes"));
    assert_eq!(page(&told), "");
    let log = |container: &str| LogOf {
        container: container.into(),
        namespace: "default".into(),
        pod: "web".into(),
        uid: "u".into(),
    };
    told.tell([(log("b"), 4096.0), (log("a"), 0.0)]);
    let rest = "namespace=\"default\",pod=\"web\",uid=\"u\"}";
    let expected = format!(
        "used_bytes{{container=\"a\",{rest} 0\nkubelet_container_log_filesystem_used_bytes{{container=\"b\",{rest} 4096\n"
    );
    assert!(page(&told).ends_with(&expected), "{}", page(&told));
    told.tell([(log("c"), 1.0)]);
    assert!(!page(&told).contains("\"a\"") && page(&told).contains("\"c\""));
}

#[test]
fn label_sets_of_several_names_are_sorted_by_value() {
    let row = find(On::Metrics, "kubelet_started_containers_errors_total");
    let vector: Vector<Started, Counter> = Vector::new(row);
    for code in [StartError::RunContainer, StartError::PullImage] {
        vector.inc(&Started { code, container_type: ContainerType::Container });
    }
    let text = page(&vector);
    let at = |code: &str| text.find(code).unwrap();
    assert!(at("ErrImagePull") < at("RunContainerError"));
}

#[test]
#[should_panic(expected = "labels of")]
#[cfg(debug_assertions)]
fn labels_are_those_of_the_row() {
    let _: Vector<(), Counter> = Vector::new(STARTED);
}

#[test]
#[should_panic(expected = "type of")]
#[cfg(debug_assertions)]
fn types_are_those_of_the_row() {
    let _: Vector<ContainerType, Histogram> = Vector::new(STARTED);
}

#[test]
#[should_panic(expected = "is said to be absent")]
#[cfg(debug_assertions)]
fn what_is_absent_cannot_be_counted() {
    let _: Single<Counter> = Single::new(find(On::Metrics, "apiserver_audit_event_total"));
}

use k8s_openapi::api::core::v1::PodSpec;
use proptest::prelude::*;

use super::*;

fn amounts(pairs: &[(&str, &str)]) -> Amounts {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Quantity((*value).to_owned()))).collect()
}

fn container(name: &str, requests: &[(&str, &str)], limits: &[(&str, &str)]) -> Container {
    Container {
        name: name.into(),
        resources: Some(ResourceRequirements {
            requests: Some(amounts(requests)),
            limits: Some(amounts(limits)),
            ..ResourceRequirements::default()
        }),
        ..Container::default()
    }
}

fn selector(container: &str, resource: &str, divisor: &str) -> ResourceFieldSelector {
    ResourceFieldSelector {
        container_name: Some(container.into()),
        resource: resource.into(),
        divisor: Some(Quantity(divisor.into())),
    }
}

fn allocatable() -> Allocatable {
    [("cpu", "3500m"), ("memory", "8Gi"), ("ephemeral-storage", "100G")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn pod() -> Pod {
    Pod {
        spec: Some(PodSpec {
            containers: vec![
                container(
                    "main",
                    &[("cpu", "250m"), ("memory", "100Mi"), ("hugepages-2Mi", "4Mi")],
                    &[("cpu", "1500m"), ("memory", "0")],
                ),
                container("bare", &[], &[]),
            ],
            init_containers: Some(vec![container("init", &[("cpu", "1")], &[])]),
            ..PodSpec::default()
        }),
        ..Pod::default()
    }
}

#[test]
fn quantities() {
    for (text, nano) in [
        ("0", 0),
        ("1", NANO),
        ("1.5", NANO + NANO / 2),
        (".5", NANO / 2),
        ("5.", 5 * NANO),
        ("100m", NANO / 10),
        ("1u", 1000),
        ("1n", 1),
        ("0.1n", 1),
        ("2k", 2000 * NANO),
        ("1Ki", 1024 * NANO),
        ("1.5Gi", 1_610_612_736 * NANO),
        ("1E", 1_000_000_000_000_000_000 * NANO),
        ("1e3", 1000 * NANO),
        ("1E-3", NANO / 1000),
        ("12e+2", 1200 * NANO),
        ("-1", -NANO),
        ("+1", NANO),
        ("0e99", 0),
        ("1e-99", 1),
    ] {
        assert_eq!(parse_nano(text), Some(nano), "{text}");
    }
    for bad in ["", "m", "1x", "1.2.3", "1 ", "1ki", "e3", "1e", "--1", "1KiB", "1e99"] {
        assert_eq!(parse_nano(bad), None, "{bad}");
    }
    assert_eq!(units("1100m"), Ok(2));
}

#[test]
fn environment_values() {
    let pod = pod();
    let main = &pod.spec.as_ref().unwrap().containers[0];
    for (container, resource, divisor, expected) in [
        ("", "requests.cpu", "", "1"),
        ("", "requests.cpu", "1m", "250"),
        ("", "requests.cpu", "100m", "3"),
        ("", "limits.cpu", "0", "2"),
        ("", "limits.cpu", "1m", "1500"),
        ("", "limits.memory", "1Mi", "8192"),
        ("", "limits.ephemeral-storage", "1G", "100"),
        ("", "requests.memory", "1", "104857600"),
        ("", "requests.memory", "1G", "1"),
        ("", "requests.ephemeral-storage", "1", "0"),
        ("", "requests.hugepages-2Mi", "1Mi", "4"),
        ("", "limits.hugepages-2Mi", "1Mi", "0"),
        ("bare", "limits.cpu", "1m", "3500"),
        ("init", "requests.cpu", "1", "1"),
        ("init", "limits.cpu", "1", "0"),
    ] {
        assert_eq!(
            value(&pod, main, &selector(container, resource, divisor), &allocatable()).as_deref(),
            Ok(expected),
            "{container} {resource} {divisor}"
        );
    }
}

#[test]
fn pod_limits_come_before_the_nodes() {
    let mut pod = pod();
    pod.spec.as_mut().unwrap().resources = Some(ResourceRequirements {
        limits: Some(amounts(&[("cpu", "2"), ("ephemeral-storage", "1G")])),
        ..ResourceRequirements::default()
    });
    let bare = &pod.spec.as_ref().unwrap().containers[1];
    let get = |resource: &str| value(&pod, bare, &selector("", resource, "1"), &allocatable()).unwrap();
    assert_eq!(get("limits.cpu"), "2");
    assert_eq!(get("limits.memory"), (8_u64 << 30).to_string());
    assert_eq!(get("limits.ephemeral-storage"), "100000000000");
    assert_eq!(volume_value(&pod, &selector("bare", "limits.cpu", "1"), &allocatable()).unwrap(), "4");
    assert_eq!(volume_value(&pod, &selector("init", "limits.cpu", "1m"), &allocatable()).unwrap(), "3500");
}

#[test]
fn errors() {
    let pod = pod();
    let main = &pod.spec.as_ref().unwrap().containers[0];
    let get = |container: &str, resource: &str| {
        value(&pod, main, &selector(container, resource, ""), &allocatable()).unwrap_err().to_string()
    };
    assert_eq!(get("", "limits.pods"), "unsupported container resource : limits.pods");
    assert_eq!(get("", "cpu"), "unsupported container resource : cpu");
    assert_eq!(get("nobody", "limits.cpu"), "container nobody not found");
}

proptest! {
    #[test]
    fn never_panics(text in "[-+0-9.eEinumkKMGTP]{0,24}") {
        let _ = parse_nano(&text);
    }

    #[test]
    fn whole_numbers_round_trip(value in 0_i64..=i64::MAX) {
        prop_assert_eq!(units(&value.to_string()), Ok(i128::from(value)));
    }
}

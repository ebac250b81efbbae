use k8s_openapi::{ByteString, api::core::v1::Service};
use serde_json::json;

use super::*;

struct World {
    fields: FieldContext,
    config_maps: BTreeMap<String, Result<Arc<ConfigMap>, Missing>>,
    secrets: BTreeMap<String, Result<Arc<Secret>, Missing>>,
    services: ServiceMap,
    allocatable: Allocatable,
}

fn world() -> World {
    let config: ConfigMap =
        serde_json::from_value(json!({"data": {"a": "1", "b": "2", "ref": "$(a)"}})).unwrap();
    let secret = Secret {
        data: Some(
            [("bin".to_owned(), ByteString(vec![0xff, 0xfe])), ("a".to_owned(), ByteString(b"s".to_vec()))]
                .into(),
        ),
        ..Secret::default()
    };
    let service: Service = serde_json::from_value(json!({
        "metadata": {"name": "db", "namespace": "ns"},
        "spec": {"clusterIP": "10.0.0.5", "ports": [{"port": 80}]}
    }))
    .unwrap();
    World {
        fields: FieldContext {
            node_name: "n".into(),
            host_ips: vec!["192.0.2.1".into()],
            pod_ips: vec!["10.1.0.1".into()],
        },
        config_maps: [
            ("cm".to_owned(), Ok(Arc::new(config))),
            ("none".to_owned(), Err(Missing::NotFound("configmap \"none\" not found".into()))),
            ("down".to_owned(), Err(Missing::Unavailable("dial tcp: refused".into()))),
            ("alone".to_owned(), Err(Missing::NoClient)),
        ]
        .into(),
        secrets: [
            ("sec".to_owned(), Ok(Arc::new(secret))),
            ("none".to_owned(), Err(Missing::NotFound("secret \"none\" not found".into()))),
            ("alone".to_owned(), Err(Missing::NoClient)),
        ]
        .into(),
        services: [(("ns".to_owned(), "db".to_owned()), Arc::new(service))].into(),
        allocatable: [("cpu".to_owned(), "4".to_owned())].into(),
    }
}

fn read_file(selector: &FileKeySelector) -> Result<EnvFile, EnvFileFailure> {
    match (selector.volume_name.as_str(), selector.path.as_str()) {
        ("vol", "f.env") => Ok(EnvFile { path: "/p/f.env".into(), text: "K='v'\nEMPTY=''\n".into() }),
        ("vol", "bad.env") => Ok(EnvFile { path: "/p/bad.env".into(), text: "K=v\n".into() }),
        ("vol", _) => Err(EnvFileFailure::Unreadable("no such file".into())),
        _ => Err(EnvFileFailure::NoVolume),
    }
}

fn run_with(
    container: serde_json::Value,
    pod_change: impl FnOnce(&mut Pod),
    services: impl for<'a> FnOnce(&'a ServiceMap) -> Services<'a>,
) -> Result<Vec<(String, Vec<u8>)>, EnvError> {
    let world = world();
    let container: Container = serde_json::from_value(container).unwrap();
    let mut pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "u"},
        "spec": {"enableServiceLinks": false, "containers": []}
    }))
    .unwrap();
    pod_change(&mut pod);
    let inputs = EnvInputs {
        fields: &world.fields,
        config_maps: &world.config_maps,
        secrets: &world.secrets,
        services: services(&world.services),
        allocatable: &world.allocatable,
        read_file: &read_file,
    };
    build(&pod, &container, &inputs)
}

fn run(container: serde_json::Value) -> Result<Vec<(String, Vec<u8>)>, EnvError> {
    run_with(container, |_| (), |all| Services::Listed(all))
}

fn texts(container: serde_json::Value) -> Vec<(String, String)> {
    run(container).unwrap().into_iter().map(|(k, v)| (k, String::from_utf8(v).unwrap())).collect()
}

fn error(variable: serde_json::Value) -> String {
    run(json!({"name": "c", "env": [variable]})).unwrap_err().to_string()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn sources_and_order() {
    assert_eq!(
        texts(json!({
            "name": "c",
            "envFrom": [
                {"configMapRef": {"name": "cm"}},
                {"prefix": "P_", "configMapRef": {"name": "cm"}},
                {"configMapRef": {"name": "none", "optional": true}},
            ],
            "env": [
                {"name": "EARLY", "value": "$(LATE) $(a) $(ref) $$(a)"},
                {"name": "b", "value": "own $(b)"},
                {"name": "LATE", "value": "x"},
                {"name": "EMPTY"},
                {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "ref"}}},
                {"name": "SKIP", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "zz", "optional": true}}},
                {"name": "SKIP2", "valueFrom": {"secretKeyRef": {"name": "none", "key": "zz", "optional": true}}},
                {"name": "FILE", "valueFrom": {"fileKeyRef": {"volumeName": "vol", "path": "f.env", "key": "K"}}},
                {"name": "FILE2", "valueFrom": {"fileKeyRef": {"volumeName": "vol", "path": "f.env", "key": "EMPTY", "optional": true}}},
            ],
        })),
        pairs(&[
            ("a", "1"),
            ("b", "own 2"),
            ("ref", "$(a)"),
            ("P_a", "1"),
            ("P_b", "2"),
            ("P_ref", "$(a)"),
            ("EARLY", "$(LATE) 1 $(a) $(a)"),
            ("LATE", "x"),
            ("EMPTY", ""),
            ("NAME", "web"),
            ("CPU", "4"),
            ("KEY", "$(a)"),
            ("FILE", "v"),
        ])
    );
}

#[test]
fn secrets_may_be_binary_even_through_expansion() {
    let found = run(json!({
        "name": "c",
        "envFrom": [{"secretRef": {"name": "sec"}}],
        "env": [{"name": "X", "value": "<$(bin)>"}],
    }))
    .unwrap();
    assert_eq!(found[1], ("bin".into(), vec![0xff, 0xfe]));
    assert_eq!(found[2], ("X".into(), b"<\xff\xfe>".to_vec()));
}

#[test]
fn services_come_last_and_never_override() {
    let links = |pod: &mut Pod| pod.spec.as_mut().unwrap().enable_service_links = Some(true);
    let container = json!({"name": "c", "env": [
        {"name": "URL", "value": "$(DB_PORT)"},
        {"name": "DB_SERVICE_HOST", "value": "mine"},
    ]});
    let found = run_with(container, links, |all| Services::Listed(all)).unwrap();
    let found: Vec<_> = found.iter().map(|(k, v)| (k.as_str(), std::str::from_utf8(v).unwrap())).collect();
    assert_eq!(
        found[..3],
        [("URL", "tcp://10.0.0.5:80"), ("DB_SERVICE_HOST", "mine"), ("DB_SERVICE_PORT", "80")]
    );
}

#[test]
fn services_have_to_be_listed_first() {
    let empty = || json!({"name": "c"});
    assert_eq!(run_with(empty(), |_| (), |_| Services::NotListed), Err(EnvError::ServicesNotRead));
    assert_eq!(run_with(empty(), |_| (), |_| Services::NoApi), Ok(vec![]));
    let file = |pod: &mut Pod| {
        pod.metadata.annotations =
            Some([("kubernetes.io/config.source".to_owned(), "file".to_owned())].into());
    };
    assert_eq!(run_with(empty(), file, |_| Services::NotListed), Ok(vec![]));
    let nil = |pod: &mut Pod| pod.spec.as_mut().unwrap().enable_service_links = None;
    assert_eq!(
        run_with(empty(), nil, |_| Services::NoApi).unwrap_err().to_string(),
        "nil pod.spec.enableServiceLinks encountered, cannot construct envvars"
    );
}

#[test]
fn error_texts() {
    let from = |source: serde_json::Value| error(json!({"name": "X", "valueFrom": source}));
    for (source, expected) in [
        (json!({"configMapKeyRef": {"name": "none", "key": "k"}}), "configmap \"none\" not found"),
        (json!({"configMapKeyRef": {"name": "down", "key": "k", "optional": true}}), "dial tcp: refused"),
        (json!({"configMapKeyRef": {"name": "cm", "key": "k"}}), "couldn't find key k in ConfigMap ns/cm"),
        (
            json!({"configMapKeyRef": {"name": "alone", "key": "k"}}),
            "couldn't get configMap ns/alone, no kubeClient defined",
        ),
        (json!({"secretKeyRef": {"name": "none", "key": "k"}}), "secret \"none\" not found"),
        (json!({"secretKeyRef": {"name": "sec", "key": "k"}}), "couldn't find key k in Secret ns/sec"),
        (
            json!({"secretKeyRef": {"name": "alone", "key": "k"}}),
            "couldn't get secret ns/alone, no kubeClient defined",
        ),
        (json!({"fieldRef": {"fieldPath": "spec.x"}}), "field label not supported: spec.x"),
        (
            json!({"fieldRef": {"apiVersion": "v2", "fieldPath": "metadata.name"}}),
            "unsupported pod version: v2",
        ),
        (
            json!({"resourceFieldRef": {"containerName": "q", "resource": "limits.cpu"}}),
            "container q not found",
        ),
        (
            json!({"fileKeyRef": {"volumeName": "no", "path": "f.env", "key": "K"}}),
            "cannot find the volume \"no\" referenced by FileKeyRef",
        ),
        (
            json!({"fileKeyRef": {"volumeName": "vol", "path": "bad.env", "key": "K"}}),
            "couldn't parse env file",
        ),
        (
            json!({"fileKeyRef": {"volumeName": "vol", "path": "none", "key": "K", "optional": true}}),
            "couldn't parse env file",
        ),
        (
            json!({"fileKeyRef": {"volumeName": "vol", "path": "f.env", "key": "EMPTY"}}),
            "environment variable key \"EMPTY\" not found in file \"/p/f.env\"",
        ),
    ] {
        assert_eq!(from(source.clone()), expected, "{source}");
    }
    let all =
        |source: serde_json::Value| run(json!({"name": "c", "envFrom": [source]})).unwrap_err().to_string();
    assert_eq!(all(json!({"secretRef": {"name": "none"}})), "secret \"none\" not found");
    assert_eq!(
        all(json!({"configMapRef": {"name": "unasked"}})),
        "couldn't get configMap ns/unasked, no kubeClient defined"
    );
}

#[test]
fn references_are_collected_once() {
    let container: Container = serde_json::from_value(json!({
        "name": "c",
        "envFrom": [{"configMapRef": {"name": "cm", "optional": true}}, {"secretRef": {"name": "s"}}],
        "env": [
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}},
            {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "other", "key": "k", "optional": true}}},
            {"name": "C", "value": "x"},
        ],
    }))
    .unwrap();
    let found: Vec<_> =
        references(&Pod::default(), &container).into_iter().map(|r| (r.kind, r.name, r.optional)).collect();
    assert_eq!(
        found,
        [
            (ObjectKind::ConfigMap, "cm".to_owned(), false),
            (ObjectKind::Secret, "s".to_owned(), false),
            (ObjectKind::ConfigMap, "other".to_owned(), true),
        ]
    );
}

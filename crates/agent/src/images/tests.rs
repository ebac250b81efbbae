use async_trait::async_trait;
use fakes::{
    clock::HandClock,
    runtime::{Code, Core, FakeRuntime, Fault, ImageScript, When, sandbox_request},
};
use k8s_openapi::{
    ByteString,
    api::{
        authentication::v1::TokenRequest,
        core::v1::{ConfigMap, Secret},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use lifecycle::spec::service_env::ServiceMap;
use seams::ObjectError;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::*;

/// Pull secrets: one that opens the registry, one that does not, and some that are of no use.
struct Secrets;

#[async_trait]
impl Objects for Secrets {
    fn register(&self, _: &Pod) {}
    fn unregister(&self, _: &str) {}
    async fn config_map(&self, _: &str, _: &str) -> Result<Arc<ConfigMap>, ObjectError> {
        Err(ObjectError::Unavailable("no".to_owned()))
    }
    async fn secret(&self, _: &str, name: &str) -> Result<Arc<Secret>, ObjectError> {
        let text = match name {
            "good" => r#"{"auths":{"r.test":{"username":"lab","password":"sesame"}}}"#,
            "wrong" => r#"{"auths":{"r.test":{"username":"lab","password":"guess"}}}"#,
            "garbled" => "{",
            "empty" => "",
            "opaque" => "x",
            _ => return Err(ObjectError::NotFound { kind: "secret", name: name.to_owned() }),
        };
        let kind = if name == "opaque" { "Opaque" } else { "kubernetes.io/dockerconfigjson" };
        let metadata = ObjectMeta { uid: Some(name.to_owned()), ..ObjectMeta::default() };
        Ok(Arc::new(Secret {
            metadata,
            type_: Some(kind.to_owned()),
            data: Some([(".dockerconfigjson".to_owned(), ByteString(text.as_bytes().to_vec()))].into()),
            ..Secret::default()
        }))
    }
    async fn token(&self, _: &str, _: &str, _: &TokenRequest) -> Result<TokenRequest, ObjectError> {
        Err(ObjectError::Unavailable("no".to_owned()))
    }
    fn services(&self) -> watch::Receiver<Option<Arc<ServiceMap>>> {
        watch::channel(None).1
    }
    fn changes(&self) -> mpsc::Receiver<String> {
        mpsc::channel(1).1
    }
}

struct World {
    core: Core,
    images: Images,
    root: tempfile::TempDir,
}

fn world(settings: PullSettings) -> World {
    let root = tempfile::tempdir().unwrap();
    let runtime = FakeRuntime::new();
    let core = runtime.core.clone();
    let clock = Arc::new(HandClock::at("2026-11-24T01:02:03Z".parse().unwrap()));
    let events = EventSink::new(None, "n".to_owned(), None, Arc::clone(&clock) as Arc<dyn Clock>).0;
    let images = Images {
        runtime: Arc::new(runtime),
        objects: Some(Arc::new(Secrets)),
        places: settings.max_parallel.map(|places| Places::new(places, clock.clone())),
        clock,
        events,
        rate: bucket(settings.rate),
        node_files: settings.node_files,
        records: Arc::new(Records::new(root.path(), settings.verification, Metrics::new())),
        metrics: Metrics::new(),
    };
    World { core, images, root }
}

fn pod(secrets: &[&str]) -> Pod {
    let secrets: Vec<_> = secrets.iter().map(|name| json!({"name": name})).collect();
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "default", "uid": "u"},
        "spec": {"imagePullSecrets": secrets, "containers": []},
    }))
    .unwrap()
}

impl World {
    async fn ensure(&self, image: &str, policy: &str, secrets: &[&str]) -> Result<Done, Failure> {
        self.ask(image, policy, secrets, async |wanted| self.images.ensure(wanted).await).await
    }

    async fn ask(
        &self,
        image: &str,
        policy: &str,
        secrets: &[&str],
        how: impl AsyncFnOnce(&Wanted<'_>) -> Result<(Option<ImageInfo>, Done), Failure>,
    ) -> Result<Done, Failure> {
        let pod = pod(secrets);
        let container: Container =
            serde_json::from_value(json!({"name": "c", "image": image, "imagePullPolicy": policy})).unwrap();
        let sandbox = sandbox_request(pod.clone());
        let field_path = "spec.containers{c}".to_owned();
        let wanted = Wanted { pod: &pod, container: &container, field_path, sandbox: &sandbox };
        how(&wanted).await.map(|(_, done)| done)
    }

    async fn failure(&self, image: &str, policy: &str, secrets: &[&str]) -> (FailureStep, String) {
        let failure = self.ensure(image, policy, secrets).await.unwrap_err();
        (failure.step, failure.message)
    }
}

#[tokio::test]
async fn policies_decide_who_asks_the_registry() {
    let world = world(PullSettings::default());
    world.core.add_image("r.test/here:1", None, "");
    assert!(matches!(
        world.ensure("r.test/here:1", "IfNotPresent", &[]).await,
        Ok(Done::Image { pulled: None, .. })
    ));
    assert!(matches!(
        world.ensure("r.test/here:1", "Never", &[]).await,
        Ok(Done::Image { pulled: None, .. })
    ));
    assert_eq!(world.core.count("PullImage"), 0);
    assert!(matches!(
        world.ensure("r.test/here:1", "Always", &[]).await,
        Ok(Done::Image { pulled: Some(_), .. })
    ));
    assert!(matches!(
        world.ensure("r.test/gone", "IfNotPresent", &[]).await,
        Ok(Done::Image { pulled: Some(_), .. })
    ));
    let pulled: Vec<_> =
        world.core.calls().into_iter().filter(|c| c.method == "PullImage").map(|c| c.object).collect();
    assert_eq!(pulled, ["r.test/here:1", "r.test/gone:latest"]);
    assert_eq!(
        world.failure("r.test/none:1", "Never", &[]).await,
        (
            FailureStep::ImageNeverPull,
            "Container image \"r.test/none:1\" is not present with pull policy of Never".to_owned()
        )
    );
}

#[tokio::test]
async fn a_look_finds_what_is_there_and_pulls_nothing() {
    let world = world(PullSettings::default());
    world.core.add_image("r.test/here:1", None, "");
    let look = async |image: &str, policy: &str| {
        world.ask(image, policy, &[], async |wanted| world.images.find(wanted).await).await
    };
    assert!(matches!(look("r.test/here:1", "IfNotPresent").await, Ok(Done::Image { pulled: None, .. })));
    assert_eq!(look("r.test/gone", "IfNotPresent").await, Ok(Done::Plain));
    assert_eq!(look("r.test/here:1", "Always").await, Ok(Done::Plain));
    assert_eq!(look("UPPER", "IfNotPresent").await.unwrap_err().step, FailureStep::ImageName);
    assert_eq!(world.core.count("PullImage"), 0);
}

#[tokio::test]
async fn errors_are_told_as_upstream_tells_them() {
    let world = world(PullSettings::default());
    for (image, code, told, step) in [
        ("r.test/a:1", Code::Unknown, "no such host", FailureStep::ImagePull),
        (
            "r.test/b:1",
            Code::NotFound,
            "rpc error: code = NotFound desc = no such host",
            FailureStep::ImagePull,
        ),
    ] {
        world.core.script_image(image, ImageScript::Fails(code, "no such host".to_owned()));
        assert_eq!(world.failure(image, "Always", &[]).await, (step, told.to_owned()));
    }
    for (word, step) in [
        ("RegistryUnavailable", FailureStep::RegistryUnavailable),
        ("SignatureValidationFailed", FailureStep::SignatureValidation),
    ] {
        world.core.script_image("r.test/c:1", ImageScript::Fails(Code::Unknown, format!("{word}: more")));
        assert_eq!(world.failure("r.test/c:1", "Always", &[]).await, (step, format!("{word}: more")));
    }
    world.core.plan("ImageStatus", Fault::Fail(Code::Internal, "disk".to_owned()), When::Before, Some(1));
    assert_eq!(
        world.failure("r.test/a:1", "IfNotPresent", &[]).await,
        (FailureStep::ImageInspect, "rpc error: code = Internal desc = disk".to_owned())
    );
    assert_eq!(world.failure("r.test/A", "Always", &[]).await.0, FailureStep::ImageName);
}

#[tokio::test]
async fn a_pull_that_succeeded_stands_whatever_the_look_at_its_image_says() {
    let world = world(PullSettings::default());
    world.core.plan("ImageStatus", Fault::Fail(Code::Internal, "disk".to_owned()), When::Before, None);
    let done = world.ensure("r.test/a:1", "Always", &[]).await.unwrap();
    assert!(matches!(done, Done::Image { pulled: Some(Pulled { size: 0, .. }), .. }), "{done:?}");
}

#[tokio::test]
async fn every_credential_is_tried_and_every_error_told_once() {
    let world = world(PullSettings::default());
    let private = ImageScript::Private("lab".to_owned(), "sesame".to_owned());
    world.core.script_image("r.test/a:1", private);
    assert!(world.ensure("r.test/a:1", "Always", &["wrong", "garbled", "none", "good"]).await.is_ok());
    assert_eq!(world.core.count("PullImage"), 2);
    let (_, message) = world.failure("r.test/a:1", "Always", &["wrong", "wrong"]).await;
    assert_eq!(message.matches("authorization failed").count(), 1, "{message}");
    assert_eq!(world.core.count("PullImage"), 4);
}

#[tokio::test]
async fn only_secrets_that_cannot_be_had_are_missing() {
    let world = world(PullSettings::default());
    let pod = pod(&["", "none", "opaque", "empty", "garbled", "good"]);
    let container = Container::default();
    let sandbox = sandbox_request(pod.clone());
    let field_path = "spec.containers{c}".to_owned();
    let wanted = Wanted { pod: &pod, container: &container, field_path, sandbox: &sandbox };
    let (keyring, missing) = world.images.pull_secrets(&wanted).await;
    assert_eq!(missing, ["none"]);
    assert_eq!(keyring.lookup("r.test/a").len(), 1);
}

#[tokio::test]
async fn the_nodes_credentials_come_after_the_pods() {
    let root = tempfile::tempdir().unwrap();
    let world =
        world(PullSettings { node_files: NodeFiles::usual(root.path(), None), ..PullSettings::default() });
    let private = ImageScript::Private("lab".to_owned(), "sesame".to_owned());
    world.core.script_image("r.test/a:1", private);
    assert!(world.ensure("r.test/a:1", "Always", &[]).await.is_err());
    let config = r#"{"auths":{"r.test":{"auth":"bGFiOnNlc2FtZQ=="}}}"#;
    std::fs::write(root.path().join("config.json"), config).unwrap();
    assert!(world.ensure("r.test/a:1", "Always", &["wrong"]).await.is_ok());
    assert_eq!(world.core.count("PullImage"), 3);
}

#[tokio::test(start_paused = true)]
async fn pulls_wait_for_a_place_and_lose_it_when_dropped() {
    let world = world(PullSettings { max_parallel: Some(1), ..PullSettings::default() });
    world.core.script_image("r.test/slow:1", ImageScript::Hangs);
    let stuck = world.ensure("r.test/slow:1", "Always", &[]);
    // The hung pull holds the only place until its future is dropped.
    assert!(tokio::time::timeout(Duration::from_secs(5), stuck).await.is_err());
    assert!(world.ensure("r.test/a:1", "Always", &[]).await.is_ok());
    assert_eq!(world.core.most_in_flight("PullImage"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_a_bucket_that_refills() {
    let world = world(PullSettings { rate: (1, 2), ..PullSettings::default() });
    for image in ["r.test/a:1", "r.test/b:1"] {
        assert!(world.ensure(image, "Always", &[]).await.is_ok());
    }
    let (step, message) = world.failure("r.test/c:1", "Always", &[]).await;
    assert_eq!((step, message.as_str()), (FailureStep::ImagePull, "pull QPS exceeded"));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(world.ensure("r.test/c:1", "Always", &[]).await.is_ok());
}

#[tokio::test]
async fn an_image_that_a_secret_pulled_is_not_everybodys() {
    let world = world(PullSettings { verification: Verification::Preloaded, ..PullSettings::default() });
    let private = ImageScript::Private("lab".to_owned(), "sesame".to_owned());
    world.core.script_image("r.test/a:1", private);
    assert!(world.ensure("r.test/a:1", "IfNotPresent", &["good"]).await.is_ok());
    assert!(world.ensure("r.test/a:1", "IfNotPresent", &["good"]).await.is_ok());
    assert_eq!(world.core.count("PullImage"), 1, "its own pod needs no second pull");
    assert_eq!(world.failure("r.test/a:1", "IfNotPresent", &[]).await.0, FailureStep::ImagePull);
    assert_eq!(world.failure("r.test/a:1", "Never", &["wrong"]).await.0, FailureStep::ImageNeverPull);
    assert!(world.images.records.unfinished().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_pull_that_was_given_up_brings_is_no_preloaded_image() {
    let world = world(PullSettings { verification: Verification::Preloaded, ..PullSettings::default() });
    world.core.script_image("r.test/slow:1", ImageScript::Hangs);
    let stuck = world.ensure("r.test/slow:1", "Always", &["good"]);
    assert!(tokio::time::timeout(Duration::from_secs(5), stuck).await.is_err());
    // The runtime ended it when nobody waited any more.
    world.core.add_image("r.test/slow:1", None, "");
    world.core.script_image("r.test/slow:1", ImageScript::Private("lab".to_owned(), "sesame".to_owned()));
    assert!(world.ensure("r.test/slow:1", "IfNotPresent", &[]).await.is_err());
    // Another pull that fails leaves that as it is; one that brings the image ends it.
    let pulling = world.root.path().join("image_manager/pulling");
    let intents = || std::fs::read_dir(&pulling).unwrap().count();
    assert_eq!(intents(), 1);
    assert!(world.ensure("r.test/slow:1", "IfNotPresent", &["good"]).await.is_ok());
    assert_eq!(intents(), 0);
}

#[tokio::test]
async fn what_was_asked_is_counted_as_upstream_counts() {
    let world = world(PullSettings::default());
    let ensured = |present_locally, pull_policy, pull_required| {
        let labels = Ensured { present_locally, pull_policy, pull_required };
        world.images.metrics.images.ensured.known(&labels).is_some()
    };
    assert!(world.ensure("UPPER", "Always", &[]).await.is_err());
    assert!(ensured(Answer::Unknown, Policy::Always, Answer::Unknown));
    assert!(world.ensure("r.test/a:1", "Never", &[]).await.is_err());
    assert!(ensured(Answer::No, Policy::Never, Answer::Unknown));
}

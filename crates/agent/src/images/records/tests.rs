use super::*;

const IMAGE: &str = "r.test:5000/team/app:1";
const REF: &str = "sha256:abc";

fn now() -> Timestamp {
    "2026-11-24T01:02:03.5Z".parse().unwrap()
}

fn secret(uid: &str, hash: &str) -> PullSecret {
    PullSecret {
        uid: uid.to_owned(),
        namespace: "ns".to_owned(),
        name: format!("name-{uid}"),
        credential_hash: hash.to_owned(),
    }
}

fn records(verification: Verification) -> (tempfile::TempDir, Records) {
    let root = tempfile::tempdir().unwrap();
    let records = Records::new(root.path(), verification, Metrics::new());
    (root, records)
}

fn pulled(records: &Records, with: &PulledWith) {
    records.begin(IMAGE).unwrap();
    records.succeeded(IMAGE, REF, with, now());
}

#[test]
fn names_lose_tag_and_digest_only() {
    let digest = format!("sha256:{}", "a".repeat(64));
    for (image, name) in [
        ("busybox", "busybox"),
        ("busybox:1", "busybox"),
        ("r.test:5000/a/b", "r.test:5000/a/b"),
        ("r.test:5000/a/b:1", "r.test:5000/a/b"),
        (&format!("a/b:1@{digest}"), "a/b"),
        (&format!("a/b@{digest}"), "a/b"),
    ] {
        assert_eq!(repository(image), name);
    }
}

#[test]
fn an_image_is_for_those_whose_secret_pulled_it() {
    let (_root, records) = records(Verification::Preloaded);
    assert!(!records.must_pull(IMAGE, REF, &[], now()), "nobody pulled it: it was preloaded");
    pulled(&records, &PulledWith::Secret(secret("1", "h1")));
    assert!(!records.must_pull(IMAGE, REF, &[secret("1", "h1")], now()));
    assert!(records.must_pull(IMAGE, REF, &[], now()));
    assert!(records.must_pull(IMAGE, REF, &[secret("2", "h2")], now()));
    assert!(
        records.must_pull("r.test:5000/other/app:1", REF, &[secret("1", "h1")], now()),
        "another repository"
    );
    // The same credential elsewhere counts, and is known from then on; so is a secret with a new content.
    assert!(!records.must_pull(IMAGE, REF, &[secret("3", "h1")], now()));
    assert!(!records.must_pull(IMAGE, REF, &[secret("3", "h9")], now()));
    assert!(!records.must_pull(IMAGE, REF, &[secret("4", "h9")], now()));
    // Pulled without credentials: everybody's.
    pulled(&records, &PulledWith::Node);
    assert!(!records.must_pull(IMAGE, REF, &[], now()));
}

#[test]
fn a_pull_under_way_or_cut_short_makes_nothing_accessible() {
    let (root, records) = records(Verification::Preloaded);
    records.begin(IMAGE).unwrap();
    records.begin(IMAGE).unwrap();
    assert!(records.must_pull(IMAGE, REF, &[], now()));
    records.failed(IMAGE);
    assert!(records.must_pull(IMAGE, REF, &[], now()), "the other pull is still under way");
    // Killed here.
    let next = Records::new(root.path(), Verification::Preloaded, Metrics::new());
    assert_eq!(next.unfinished(), [IMAGE]);
    assert!(next.must_pull(IMAGE, REF, &[], now()));
    let present = ImageInfo { id: REF.to_owned(), repo_tags: vec![IMAGE.to_owned()], ..ImageInfo::default() };
    next.adopt(&next.unfinished());
    assert_eq!(next.given_up_for(Duration::ZERO), [IMAGE]);
    assert!(next.given_up_for(Duration::from_secs(60)).is_empty());
    // Somebody pulls it again: that one's end counts.
    next.begin(IMAGE).unwrap();
    assert!(next.given_up_for(Duration::ZERO).is_empty());
    next.settle(IMAGE, None, now());
    next.failed(IMAGE);
    assert_eq!(next.unfinished(), [IMAGE]);
    next.settle(IMAGE, Some(&present), now());
    assert!(next.unfinished().is_empty() && next.given_up_for(Duration::ZERO).is_empty());
    assert!(next.must_pull(IMAGE, REF, &[], now()), "pulled by nobody knows whom");
}

#[test]
fn a_pull_that_was_given_up_and_brought_nothing_leaves_nothing() {
    let (_root, records) = records(Verification::Preloaded);
    records.begin(IMAGE).unwrap();
    records.given_up(IMAGE);
    assert_eq!(
        (records.unfinished(), records.given_up_for(Duration::ZERO)),
        (vec![IMAGE.to_owned()], vec![IMAGE.to_owned()])
    );
    records.settle(IMAGE, None, now());
    assert!(records.unfinished().is_empty() && records.given_up_for(Duration::ZERO).is_empty());
    assert!(!records.must_pull(IMAGE, REF, &[], now()), "what comes later is preloaded");
}

#[test]
fn the_files_are_upstreams() {
    use std::os::unix::fs::PermissionsExt as _;
    let (root, records) = records(Verification::Preloaded);
    records.begin("a/b:1").unwrap();
    let folder = root.path().join("image_manager");
    let name = |text: &str| format!("sha256-{}", hex(&Sha256::digest(text)));
    let intent = folder.join("pulling").join(name("a/b:1"));
    assert_eq!(
        std::fs::read_to_string(&intent).unwrap(),
        "{\"kind\":\"ImagePullIntent\",\"apiVersion\":\"kubelet.config.k8s.io/v1beta1\",\"image\":\"a/b:1\"}\n"
    );
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&intent), mode(&folder.join("pulling"))), (0o600, 0o700));
    records.succeeded("a/b:1", REF, &PulledWith::Secret(secret("1", "h1")), now());
    assert!(!intent.exists());
    assert_eq!(
        std::fs::read_to_string(folder.join("pulled").join(name(REF))).unwrap(),
        "{\"kind\":\"ImagePulledRecord\",\"apiVersion\":\"kubelet.config.k8s.io/v1beta1\",\
         \"lastUpdatedTime\":\"2026-11-24T01:02:03Z\",\"imageRef\":\"sha256:abc\",\"credentialMapping\":{\"a/b\":\
         {\"kubernetesSecrets\":[{\"uid\":\"1\",\"namespace\":\"ns\",\"name\":\"name-1\",\"credentialHash\":\"h1\"}]}}}\n"
    );
}

#[test]
fn what_cannot_be_read_or_written_makes_a_pull_necessary() {
    let (root, records) = records(Verification::Preloaded);
    pulled(&records, &PulledWith::Node);
    let file = root.path().join("image_manager/pulled").join(file_name(REF));
    std::fs::write(&file, "garbage").unwrap();
    assert!(records.must_pull(IMAGE, REF, &[], now()));
    std::fs::remove_dir_all(root.path().join("image_manager")).unwrap();
    std::fs::write(root.path().join("image_manager"), "no folder").unwrap();
    assert!(records.begin(IMAGE).unwrap_err().starts_with("failed to record image pull intent: "));
}

#[test]
fn policies() {
    for (verification, preloaded, private) in [
        (Verification::Off, false, false),
        (Verification::Never, false, false),
        (Verification::Preloaded, false, true),
        (Verification::Always, true, true),
        (Verification::Allowlisted(vec!["r.test:5000/team/app".to_owned()]), false, false),
        (Verification::Allowlisted(vec!["r.test:5000/*".to_owned()]), false, false),
        (Verification::Allowlisted(vec!["r.test:5000/team".to_owned()]), true, true),
    ] {
        let (_root, records) = records(verification.clone());
        assert_eq!(records.must_pull(IMAGE, REF, &[], now()), preloaded, "{verification:?}");
        pulled(&records, &PulledWith::Secret(secret("1", "h1")));
        assert_eq!(records.must_pull(IMAGE, REF, &[], now()), private, "{verification:?}");
    }
}

use k8s_openapi::ByteString;

use super::*;

fn secret(kind: &str, key: &str, text: &str) -> Secret {
    Secret {
        type_: Some(format!("kubernetes.io/{kind}")),
        data: Some([(key.to_owned(), ByteString(text.as_bytes().to_vec()))].into()),
        ..Secret::default()
    }
}

fn keyring(json: &str) -> Keyring {
    let mut keyring = Keyring::default();
    keyring.add(&secret("dockerconfigjson", ".dockerconfigjson", json)).unwrap();
    keyring
}

fn users(keyring: &Keyring, image: &str) -> Vec<String> {
    keyring.lookup(image).into_iter().map(|found| found.auth.username).collect()
}

#[test]
fn the_longest_path_comes_first() {
    let keyring = keyring(
        r#"{"auths":{"https://r.test:5000":{"username":"a","password":"1"},"r.test:5000/team":{"auth":"Yjoy"}}}"#,
    );
    assert_eq!(users(&keyring, "r.test:5000/team/app:1"), ["b", "a"]);
    assert_eq!(users(&keyring, "r.test:5000/other/app:1"), ["a"]);
    assert!(users(&keyring, "r.test/team/app").is_empty());
    // Upstream compares texts, not segments.
    assert_eq!(users(&keyring, "r.test:5000/teams/app:1"), ["b", "a"]);
}

#[test]
fn globs_stay_within_a_label() {
    let keyring = keyring(r#"{"auths":{"*.r.test":{"username":"a","password":"1"}}}"#);
    assert_eq!(keyring.lookup("x.r.test/y").len(), 1);
    assert!(keyring.lookup("x.y.r.test/y").is_empty());
}

#[test]
fn the_docker_hubs_old_key_is_for_images_without_a_host() {
    let keyring = keyring(r#"{"auths":{"https://index.docker.io/v1/":{"username":"a","password":"1"}}}"#);
    for image in ["busybox", "library/busybox", "docker.io/library/busybox", "index.docker.io/me/x"] {
        assert_eq!(users(&keyring, image), ["a"], "{image}");
    }
    assert!(users(&keyring, "r.test/busybox").is_empty());
}

#[test]
fn hosts_with_brackets_keep_their_colons() {
    let keyring = keyring(r#"{"auths":{"[::1]:5000":{"username":"a","password":"1"}}}"#);
    assert_eq!(users(&keyring, "[::1]:5000/x"), ["a"]);
    assert!(users(&keyring, "[::1]:5001/x").is_empty());
}

#[test]
fn auth_is_taken_with_and_without_padding_and_its_password_may_have_colons() {
    for auth in ["YTpiOmM=", "YTpiOmM", "YTpi\\nOmM="] {
        let keyring = keyring(&format!(r#"{{"auths":{{"r.test":{{"username":"no","auth":"{auth}"}}}}}}"#));
        let found = keyring.lookup("r.test/x");
        assert_eq!(
            (found[0].auth.username.as_str(), found[0].auth.password.as_str()),
            ("a", "b:c"),
            "{auth}"
        );
    }
}

#[test]
fn configurations_are_read_as_leniently_as_upstream_reads_them() {
    for entry in [
        r#"{"username":"a","password":"1","email":null}"#,
        r#"{"username":"a","password":"1","auth":null,"identitytoken":7}"#,
        r#"{"Username":"a","PASSWORD":"1"}"#,
        r#"{"username":"b","username":"a","password":"1"}"#,
        r#"{"Auth":"YTox"}"#,
        // Two bits too many in the last letter.
        r#"{"auth":"YTp="}"#,
    ] {
        let keyring = keyring(&format!(r#"{{"Auths":{{"r.test":{entry},"other.test":null}}}}"#));
        assert_eq!(users(&keyring, "r.test/x"), ["a"], "{entry}");
    }
    for nothing in ["null", "{}", r#"{"auths":null}"#] {
        assert!(users(&keyring(nothing), "r.test/x").is_empty());
    }
    for wrong in
        ["[]", r#"{"auths":[]}"#, r#"{"auths":{"r.test":{"auth":1}}}"#, r#"{"auths":{"r.test":"a"}}"#]
    {
        let told =
            Keyring::default().add(&secret("dockerconfigjson", ".dockerconfigjson", wrong)).unwrap_err();
        assert_eq!(told, CredentialError::Json(CONFIG_JSON), "{wrong}");
    }
}

#[test]
fn the_old_format_is_read_too() {
    let mut keyring = Keyring::default();
    keyring.add(&secret("dockercfg", ".dockercfg", r#"{"r.test":{"username":"a","password":"1"}}"#)).unwrap();
    assert_eq!(users(&keyring, "r.test/x"), ["a"]);
}

#[test]
fn what_cannot_be_used_is_named_and_never_shown() {
    let mut keyring = Keyring::default();
    for (broken, error) in [
        (secret("opaque", "x", "s3cret"), CredentialError::Type),
        (secret("dockercfg", "x", "s3cret"), CredentialError::NoKey(".dockercfg")),
        (secret("dockercfg", ".dockercfg", "s3cret"), CredentialError::Json(".dockercfg")),
        (
            secret("dockercfg", ".dockercfg", r#"{"r.test":{"auth":"s3cret!"}}"#),
            CredentialError::Auth("r.test".to_owned()),
        ),
    ] {
        let seen = keyring.add(&broken).unwrap_err();
        assert_eq!(seen, error);
        assert!(!seen.to_string().contains("s3cret"));
    }
    assert!(keyring.0.is_empty());
}

#[test]
fn the_first_usable_file_of_the_node_counts() {
    let (root, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = NodeFiles::usual(root.path(), Some(home.path()));
    let look = || {
        let mut keyring = Keyring::default();
        keyring.add_node_files(&files);
        users(&keyring, "r.test/x")
    };
    let entry = |user: &str| format!(r#"{{"r.test":{{"username":"{user}","password":"1"}}}}"#);
    assert!(look().is_empty());
    std::fs::write(home.path().join(".dockercfg"), entry("old")).unwrap();
    assert_eq!(look(), ["old"]);
    std::fs::create_dir(home.path().join(".docker")).unwrap();
    let config = |user: &str| format!(r#"{{"auths":{}}}"#, entry(user));
    std::fs::write(home.path().join(".docker/config.json"), config("home")).unwrap();
    assert_eq!(look(), ["home"]);
    std::fs::write(root.path().join("config.json"), "not JSON").unwrap();
    assert_eq!(look(), ["home"]);
    std::fs::write(root.path().join("config.json"), config("root")).unwrap();
    assert_eq!(look(), ["root"]);
}

#[test]
fn a_credential_is_known_by_upstreams_hash() {
    let mut keyring = Keyring::default();
    let mut secret = secret(
        "dockercfg",
        ".dockercfg",
        r#"{"r.test":{"username":"a","password":"<&>","email":"e"},"s.test":{"username":"a"}}"#,
    );
    secret.metadata.uid = Some("u".to_owned());
    keyring.add(&secret).unwrap();
    let known = |image: &str| match keyring.lookup(image).remove(0).with {
        PulledWith::Secret(known) => known,
        PulledWith::Node => panic!("it is a secret's"),
    };
    // sha256sum of what Go's encoding/json makes of the two.
    let digest = |text: &str| hex(&Sha256::digest(text));
    let first = known("r.test/x");
    assert_eq!(first.uid, "u");
    assert_eq!(
        first.credential_hash,
        digest(r#"{"username":"a","password":"\u003c\u0026\u003e","email":"e"}"#)
    );
    assert_eq!(known("s.test/x").credential_hash, digest(r#"{"username":"a"}"#));
}

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn settings(dir: &Path, suites: &[&str], only_tls13: bool) -> TlsSettings {
    let (certificate, key) = self_signed(dir, "node-1", jiff::Timestamp::now()).unwrap();
    let cipher_suites = suites.iter().map(ToString::to_string).collect();
    TlsSettings { certificate, key, client_ca: None, only_tls13, cipher_suites }
}

#[test]
fn the_own_pair_is_made_once_and_again_when_it_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path().join("pki");
    let now = jiff::Timestamp::now();
    let (certificate, key) = self_signed(&pki, "node-1", now).unwrap();
    assert_eq!((certificate.clone(), key.clone()), (pki.join("kubelet.crt"), pki.join("kubelet.key")));
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let first = std::fs::read(&certificate).unwrap();
    self_signed(&pki, "node-1", now).unwrap();
    assert_eq!(std::fs::read(&certificate).unwrap(), first);
    let later = now + jiff::SignedDuration::from_hours(366 * 24);
    self_signed(&pki, "node-1", later).unwrap();
    assert_ne!(std::fs::read(&certificate).unwrap(), first);
    std::fs::write(&key, "").unwrap();
    let second = std::fs::read(&certificate).unwrap();
    self_signed(&pki, "node-1", later).unwrap();
    assert_ne!(std::fs::read(&certificate).unwrap(), second);
}

#[test]
fn suites_are_those_of_the_list_and_the_newest_version() {
    let dir = tempfile::tempdir().unwrap();
    let count = |suites: &[&str], only| {
        let settings = settings(dir.path(), suites, only);
        let provider = provider(&settings);
        (provider.cipher_suites.len(), versions(&settings, &provider).len())
    };
    assert_eq!(count(&[], false), (9, 2));
    assert_eq!(count(&[], true), (9, 1));
    assert_eq!(count(&["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"], false), (4, 2));
    assert_eq!(count(&["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"], false), (4, 2));
    assert_eq!(count(&["TLS_RSA_WITH_AES_128_CBC_SHA"], false), (3, 1));
}

#[test]
fn bad_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path(), &[], false);
    assert!(Tls::load(settings.clone()).is_ok());
    settings.client_ca = Some(dir.path().join("none"));
    let error = Tls::load(settings.clone()).unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
    settings.client_ca = None;
    std::fs::write(&settings.key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(matches!(Tls::load(settings), Err(TlsError::Pair { .. })));
}

use std::path::{Path, PathBuf};

use jiff::{Timestamp, ToSpan};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;

struct Files {
    dir: TempDir,
}

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["n1".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2031, 5, 6);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(dir.path().join("cert.pem"), certificate.pem()).unwrap();
        std::fs::write(dir.path().join("key.pem"), key.serialize_pem()).unwrap();
        Self { dir }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn config(&self, cluster: &str, user: &str) -> PathBuf {
        self.write("config", &format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\npreferences: {{}}\n\
             contexts:\n- name: other\n  context: {{cluster: x, user: x}}\n- name: c\n  context: {{cluster: k, user: u, namespace: d}}\n\
             clusters:\n- name: k\n  cluster: {cluster}\nusers:\n- name: u\n  user: {user}\n"
        ))
    }

    fn error(&self, cluster: &str, user: &str) -> String {
        text(Access::load(&self.config(cluster, user)))
    }
}

fn text(result: Result<Access, KubeconfigError>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(e) => e.told(),
    }
}

const SERVER: &str = "{server: \"https://10.0.0.1:6443\", certificate-authority: cert.pem}";
const USER: &str = "{client-certificate: cert.pem, client-key: key.pem}";

#[test]
fn reads_files_beside_the_kubeconfig() {
    let files = Files::new();
    let access = Access::load(&files.config(SERVER, USER)).unwrap();
    assert_eq!(access.server_url(), "https://10.0.0.1:6443");
    assert_eq!((access.server().host.as_str(), access.server().port), ("10.0.0.1", 6443));
    let end: Timestamp = "2031-05-06T00:00:00Z".parse().unwrap();
    assert_eq!(access.client_certificate_expiry().unwrap(), Some(end));
    assert!(access.check_client_certificate(end - 1.second()).is_ok());
    let error = access.check_client_certificate(end).unwrap_err().told();
    assert!(error.contains("cert.pem expired at 2031-05-06T00:00:00Z") && error.contains("hint:"), "{error}");
}

#[test]
fn reads_inline_data_and_the_combined_pem_of_a_rotated_certificate() {
    let files = Files::new();
    let read = |name: &str| std::fs::read_to_string(files.dir.path().join(name)).unwrap();
    let both = files.write("current.pem", &(read("cert.pem") + &read("key.pem")));
    let data = STANDARD.encode(read("cert.pem"));
    let cluster = format!("{{server: \"https://[::1]:6443/prefix/\", certificate-authority-data: {data}}}");
    let user = format!("{{client-certificate: {0}, client-key: {0}}}", both.display());
    let access = Access::load(&files.config(&cluster, &user)).unwrap();
    assert_eq!(access.server().host, "::1");
    assert_eq!(access.server().authority, "[::1]:6443");
    assert_eq!(access.server().prefix, "/prefix");
}

#[test]
fn a_server_without_a_scheme_is_https_where_certificates_are_given() {
    let files = Files::new();
    let with =
        Access::load(&files.config("{server: \"h:1\", certificate-authority: cert.pem}", "{}")).unwrap();
    assert!(with.server().tls);
    let without = Access::load(&files.config("{server: \"h:1\"}", "{}")).unwrap();
    assert!(!without.server().tls);
}

#[test]
fn a_missing_kubeconfig_is_named() {
    let error = text(Access::load(Path::new("/nowhere/kubelet.conf")));
    assert!(
        error.contains("cannot read the kubeconfig /nowhere/kubelet.conf") && error.contains("kubeadm join"),
        "{error}"
    );
}

#[test]
fn every_mistake_names_its_field() {
    let files = Files::new();
    files.write("bad.pem", "-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n");
    files.write("empty.pem", "hello\n");
    let cases = [
        (
            SERVER,
            "{client-certificate: nope.pem, client-key: key.pem}",
            "users[].user.client-certificate: cannot read",
        ),
        (SERVER, "{client-certificate: bad.pem, client-key: key.pem}", "bad.pem: not PEM"),
        (
            SERVER,
            "{client-certificate: empty.pem, client-key: key.pem}",
            "empty.pem: holds no PEM certificate",
        ),
        (SERVER, "{client-certificate: cert.pem, client-key: cert.pem}", "users[].user.client-key: "),
        (SERVER, "{client-certificate: cert.pem}", "a client certificate without client-key"),
        (SERVER, "{client-key: key.pem}", "a client key without client-certificate"),
        (
            SERVER,
            "{client-certificate-data: '%%%', client-key: key.pem}",
            "users[].user.client-certificate-data: not base64",
        ),
        (SERVER, "{exec: {command: x}}", "users[].user.exec: not supported"),
        (SERVER, "{auth-provider: {name: gcp}}", "users[].user.auth-provider: not supported"),
        (SERVER, "{tokenFile: nope}", "users[].user.tokenFile: cannot read"),
        (
            "{server: \"https://h\", proxy-url: \"http://p\"}",
            USER,
            "clusters[].cluster.proxy-url: not supported",
        ),
        ("{server: \"ftp://h\"}", USER, "clusters[].cluster.server: ftp://h: unknown scheme"),
        ("{}", USER, "clusters[].cluster.server: empty"),
        (
            "{server: \"https://h\", certificate-authority: cert.pem, insecure-skip-tls-verify: true}",
            USER,
            "insecure-skip-tls-verify: set together",
        ),
        ("{server: \"https://h\", tls-server-name: \"a b\"}", USER, "clusters[].cluster.tls-server-name"),
    ];
    for (cluster, user, wanted) in cases {
        let error = files.error(cluster, user);
        assert!(error.contains(wanted), "{cluster} {user}\n got: {error}\n wanted: {wanted}");
        assert!(error.contains("hint: "), "{error}");
    }
}

#[test]
fn a_missing_context_lists_what_there_is() {
    let files = Files::new();
    let path = files.write(
        "config",
        "current-context: gone\ncontexts:\n- name: a\n  context: {}\n- name: b\n  context: {}\n",
    );
    let error = text(Access::load(&path));
    assert!(
        error.contains("current-context names the context \"gone\"") && error.contains("a, b"),
        "{error}"
    );
    let path = files.write("config", "clusters: null\n");
    let error = text(Access::load(&path));
    assert!(error.contains("the file has no context at all"), "{error}");
    let path = files.write("config", "clusters: [\n");
    assert!(text(Access::load(&path)).contains("is not valid"));
}

#[test]
fn a_token_file_wins_over_a_token() {
    let files = Files::new();
    files.write("token", "t");
    let access = Access::load(&files.config(SERVER, "{token: x, tokenFile: token}")).unwrap();
    assert!(matches!(access.login(), Login::TokenFile(path) if path.ends_with("token")));
    let access = Access::load(&files.config(SERVER, "{token: \" x \"}")).unwrap();
    assert!(matches!(access.login(), Login::Token(token) if token == "x"));
}

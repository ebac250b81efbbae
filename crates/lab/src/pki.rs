//! Keys and certificates of a lab, and the kubeconfigs made of them. They live as long as the lab and protect nothing else.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};

use crate::{
    metrics_server,
    plan::{Plan, make_dir, write},
    spec::{Credentials, MetricsApi, Mode},
};

/// Bootstrap token: id and secret, of the shape `[a-z0-9]{6}.[a-z0-9]{16}`.
pub const BOOTSTRAP_TOKEN: (&str, &str) = ("labtok", "0123456789abcdef");

/// What a certificate is for.
#[derive(Debug)]
pub enum Purpose {
    /// To ask.
    Client,
    /// To answer under these names.
    Server(Vec<SanType>),
}

impl Purpose {
    /// To answer at one address.
    #[must_use]
    pub fn server_at(address: Ipv4Addr) -> Self {
        Self::Server(vec![SanType::IpAddress(IpAddr::V4(address))])
    }
}

/// An authority that signs.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Make one and write `NAME.crt` and `NAME.key`.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn new(pki: &Path, name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, format!("lab {name}"));
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("cannot make a key")?;
        let certificate = params.self_signed(&key).with_context(|| format!("cannot sign {name}"))?;
        write(&pki.join(format!("{name}.crt")), &certificate.pem())?;
        write_secret(&pki.join(format!("{name}.key")), &key.serialize_pem())?;
        Ok(Self { issuer: Issuer::new(params, key) })
    }

    /// Sign a certificate for `name`, of the group (organization), and write `FILE.crt` and `FILE.key`.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn sign(
        &self,
        pki: &Path,
        file: &str,
        name: &str,
        group: Option<&str>,
        purpose: Purpose,
    ) -> Result<()> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.use_authority_key_identifier_extension = true;
        match purpose {
            Purpose::Client => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            Purpose::Server(names) => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                params.subject_alt_names = names;
            }
        }
        let key = KeyPair::generate().context("cannot make a key")?;
        let certificate =
            params.signed_by(&key, &self.issuer).with_context(|| format!("cannot sign {file}"))?;
        write(&pki.join(format!("{file}.crt")), &certificate.pem())?;
        write_secret(&pki.join(format!("{file}.key")), &key.serialize_pem())
    }
}

fn write_secret(file: &Path, text: &str) -> Result<()> {
    write(file, text)?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot restrict {}", file.display()))
}

/// Make everything: `ca`, `admin`; in cluster mode also the API server's and its clients', the front proxy's, the service
/// account keys and all kubeconfigs but metrics-server's, whose token the API server makes.
///
/// # Errors
/// A file cannot be written.
pub fn make(plan: &Plan) -> Result<()> {
    let pki = &plan.paths.pki;
    make_dir(pki)?;
    let ca = Authority::new(pki, "ca")?;
    ca.sign(pki, "admin", "admin", Some("system:masters"), Purpose::Client)?;
    if plan.spec.mode == Mode::Standalone {
        return Ok(());
    }

    let mut names = Vec::new();
    for name in [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
    ] {
        names.push(SanType::DnsName(name.try_into().context("a DNS name is not one")?));
    }
    for address in [plan.addresses.node, plan.addresses.api_service, [127, 0, 0, 1].into()] {
        names.push(SanType::IpAddress(IpAddr::V4(address)));
    }
    ca.sign(pki, "apiserver", "kube-apiserver", None, Purpose::Server(names))?;
    ca.sign(
        pki,
        "apiserver-kubelet-client",
        "kube-apiserver-kubelet-client",
        Some("system:masters"),
        Purpose::Client,
    )?;
    let front_proxy = Authority::new(pki, "front-proxy-ca")?;
    front_proxy.sign(pki, "front-proxy-client", "front-proxy-client", None, Purpose::Client)?;

    if plan.spec.metrics_api == MetricsApi::MetricsServer {
        let name = metrics_server::host_name();
        let names = vec![SanType::DnsName(name.as_str().try_into().context("a DNS name is not one")?)];
        ca.sign(pki, "metrics-server", &name, None, Purpose::Server(names))?;
    }

    let tokens = KeyPair::generate().context("cannot make the service account key")?;
    write_secret(&pki.join("sa.key"), &tokens.serialize_pem())?;
    write(&pki.join("sa.pub"), &tokens.public_key_pem())?;

    for user in ["controller-manager", "scheduler"] {
        ca.sign(pki, user, &format!("system:kube-{user}"), None, Purpose::Client)?;
        write_kubeconfig(plan, &pki.join(format!("{user}.kubeconfig")), &certificate_user(pki, user)?)?;
    }
    write_kubeconfig(plan, &plan.paths.kubeconfig, &certificate_user(pki, "admin")?)?;
    match plan.spec.credentials {
        Credentials::Certificate => {
            let node = format!("system:node:{}", plan.node_name);
            ca.sign(pki, "kubelet", &node, Some("system:nodes"), Purpose::Client)?;
            write_kubeconfig(plan, &plan.paths.kubelet_kubeconfig, &certificate_user(pki, "kubelet")?)
        }
        Credentials::BootstrapToken => {
            let (id, secret) = BOOTSTRAP_TOKEN;
            write_kubeconfig(
                plan,
                &plan.paths.bootstrap_kubeconfig,
                &json!({ "token": format!("{id}.{secret}") }),
            )
        }
    }
}

/// The `user` of a kubeconfig, with certificate and key inside, so that the file can be copied anywhere.
fn certificate_user(pki: &Path, name: &str) -> Result<Value> {
    Ok(json!({
        "client-certificate-data": encoded(&pki.join(format!("{name}.crt")))?,
        "client-key-data": encoded(&pki.join(format!("{name}.key")))?,
    }))
}

fn encoded(file: &Path) -> Result<String> {
    Ok(STANDARD.encode(fs::read(file).with_context(|| format!("cannot read {}", file.display()))?))
}

/// Write a kubeconfig for the API server, with a `user` of this shape.
pub(crate) fn write_kubeconfig(plan: &Plan, file: &Path, user: &Value) -> Result<()> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "lab",
            "cluster": {
                "server": plan.api_server(),
                "certificate-authority-data": encoded(&plan.paths.pki_file("ca.crt"))?,
            },
        }],
        "users": [{ "name": "lab", "user": user }],
        "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab" } }],
        "current-context": "lab",
    });
    // JSON is YAML too.
    write_secret(file, &format!("{config:#}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        artifacts::Tools,
        plan::Slot,
        spec::{Mode, Spec},
    };

    fn made(mode: Mode, credentials: Credentials) -> (tempfile::TempDir, Plan) {
        let folder = tempfile::tempdir().unwrap();
        let mut spec = Spec::new("a", mode).unwrap();
        spec.state = folder.path().to_owned();
        spec.credentials = credentials;
        let plan = Plan::new(spec, Slot(1), Tools::default(), "/k".into()).unwrap();
        make(&plan).unwrap();
        (folder, plan)
    }

    #[test]
    fn standalone_has_an_authority_and_an_administrator_only() {
        let (_folder, plan) = made(Mode::Standalone, Credentials::Certificate);
        assert!(plan.paths.pki_file("admin.crt").exists());
        assert!(!plan.paths.pki_file("apiserver.crt").exists());
        assert!(!plan.paths.kubeconfig.exists());
    }

    #[test]
    fn a_kubeconfig_carries_its_key_and_is_for_its_owner_only() {
        let (_folder, plan) = made(Mode::Cluster, Credentials::Certificate);
        let text = fs::read_to_string(&plan.paths.kubelet_kubeconfig).unwrap();
        let config: Value = serde_json::from_str(&text).unwrap();
        let key = config["users"][0]["user"]["client-key-data"].as_str().unwrap();
        assert_eq!(STANDARD.decode(key).unwrap(), fs::read(plan.paths.pki_file("kubelet.key")).unwrap());
        assert_eq!(config["clusters"][0]["cluster"]["server"], "https://10.101.0.2:6443");
        assert_eq!(fs::metadata(&plan.paths.kubelet_kubeconfig).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn with_a_token_the_kubelet_has_no_certificate() {
        let (_folder, plan) = made(Mode::Cluster, Credentials::BootstrapToken);
        assert!(!plan.paths.kubelet_kubeconfig.exists());
        assert!(
            fs::read_to_string(&plan.paths.bootstrap_kubeconfig).unwrap().contains("labtok.0123456789abcdef")
        );
    }
}

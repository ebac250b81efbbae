//! A certificate authority for one fake.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, pki_types::PrivateKeyDer, server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;

/// A client's certificate and key.
#[derive(Clone)]
pub struct ClientCertificate {
    /// Certificate in PEM.
    pub certificate_pem: String,
    /// Private key in PEM (PKCS #8).
    pub key_pem: String,
}

/// Issues the server's and the clients' certificates.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Making keys and certificates from constants does not fail; if it does, no test can go on.
fn made<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    match result {
        Ok(made) => made,
        Err(error) => unreachable!("the fake API server cannot make its certificates: {error}"),
    }
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = made(CertificateParams::new(Vec::new()));
        params.distinguished_name = name("fake-api-ca", "");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Self { issuer: made(CertifiedIssuer::self_signed(params, made(KeyPair::generate()))) }
    }

    pub(super) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(super) fn client(&self, common_name: &str, organization: &str) -> ClientCertificate {
        let mut params = made(CertificateParams::new(Vec::new()));
        params.distinguished_name = name(common_name, organization);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = made(KeyPair::generate());
        let certificate = made(params.signed_by(&key, &self.issuer));
        ClientCertificate { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let mut params = made(CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]));
        params.distinguished_name = name("fake-api", "");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = made(KeyPair::generate());
        let certificate = made(params.signed_by(&key, &self.issuer));

        let mut roots = RootCertStore::empty();
        made(roots.add(self.issuer.der().clone()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = made(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .allow_unauthenticated()
                .build(),
        );
        let key = made(PrivateKeyDer::try_from(key.serialize_der()));
        let mut config = made(
            made(ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions())
                .with_client_cert_verifier(verifier)
                .with_single_cert(vec![certificate.der().clone()], key),
        );
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

fn name(common_name: &str, organization: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    if !organization.is_empty() {
        name.push(DnType::OrganizationName, organization);
    }
    name
}

/// Common name of the client's certificate, if it showed one.
pub(super) fn common_name(connection: &ServerConnection) -> Option<String> {
    let certificate = connection.peer_certificates()?.first()?;
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    parsed.subject().iter_common_name().next()?.as_str().ok().map(str::to_owned)
}

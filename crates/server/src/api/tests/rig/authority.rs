//! Certificates for servers and clients of the tests.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A certificate authority.
pub(in crate::api::tests) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(in crate::api::tests) pem: String,
}

/// A certificate and its key, PEM.
pub(in crate::api::tests) type Pair = (String, String);

impl Authority {
    pub(in crate::api::tests) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(in crate::api::tests) fn issue(&self, name: &str, group: &str, hosts: &[&str]) -> Pair {
        let mut params =
            CertificateParams::new(hosts.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if !name.is_empty() {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.distinguished_name.push(DnType::OrganizationName, group);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// Writes a serving pair as a rotation does: beside, and renamed.
pub(in crate::api::tests) fn write_pair(dir: &Path, (certificate, key): &Pair) {
    for (name, content) in [("tls.crt", certificate), ("tls.key", key)] {
        let fresh = dir.join("new");
        std::fs::write(&fresh, content).unwrap();
        std::fs::rename(&fresh, dir.join(name)).unwrap();
    }
}

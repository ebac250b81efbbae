//! PEM into the types that TLS wants, with errors that name the field.

use std::path::Path;

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{KubeconfigError, Material};

/// All certificates, in order; at least one.
pub(crate) fn certificates(
    kubeconfig: &Path,
    material: &Material,
) -> Result<Vec<CertificateDer<'static>>, KubeconfigError> {
    let pem = material.read(kubeconfig)?;
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| {
            problem(kubeconfig, material, format!("not PEM: {e}"), "copy the file again, as a whole")
        })?;
        chain.push(certificate);
    }
    if chain.is_empty() {
        return Err(problem(
            kubeconfig,
            material,
            "holds no PEM certificate".to_owned(),
            "it must hold a block that begins with -----BEGIN CERTIFICATE-----",
        ));
    }
    Ok(chain)
}

/// The first private key (PKCS#8, PKCS#1 or SEC 1).
pub(crate) fn private_key(
    kubeconfig: &Path,
    material: &Material,
) -> Result<PrivateKeyDer<'static>, KubeconfigError> {
    const HINT: &str =
        "it must be an unencrypted PEM key: RSA of 2048 bits or more, ECDSA P-256 or P-384, or Ed25519";
    let pem = material.read(kubeconfig)?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|e| problem(kubeconfig, material, format!("no usable private key: {e}"), HINT))?;
    rustls::crypto::ring::sign::any_supported_type(&key)
        .map_err(|e| problem(kubeconfig, material, format!("no usable private key: {e}"), HINT))?;
    Ok(key)
}

fn problem(kubeconfig: &Path, material: &Material, problem: String, hint: &'static str) -> KubeconfigError {
    let problem = match material.file() {
        Some(file) => format!("{}: {problem}", file.display()),
        None => problem,
    };
    KubeconfigError::Field { kubeconfig: kubeconfig.to_owned(), field: material.field(), problem, hint }
}

//! The pair that the node makes for itself when nobody gave it one: `kubelet.crt` and `kubelet.key` (contract §3).

use std::{
    fs::{DirBuilder, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::TlsError;

/// Validity, as upstream's.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// Clocks of clients may be behind.
const BACKDATE: Duration = Duration::from_secs(3600);

/// Paths of the pair in `dir`; makes it for `host` unless there is one that has not ended.
///
/// # Errors
/// [`TlsError::SelfSigned`].
pub fn self_signed(dir: &Path, host: &str, now: Timestamp) -> Result<(PathBuf, PathBuf), TlsError> {
    let failed = |cause: String| TlsError::SelfSigned { dir: dir.to_owned(), cause };
    let (certificate, key) = (dir.join("kubelet.crt"), dir.join("kubelet.key"));
    if is_usable(&certificate, &key, now) {
        return Ok((certificate, key));
    }
    let pair = KeyPair::generate().map_err(|error| failed(error.to_string()))?;
    let made = params(host, now)
        .and_then(|params| params.self_signed(&pair))
        .map_err(|error| failed(error.to_string()))?;
    let mut builder = DirBuilder::new();
    let written = builder
        .recursive(true)
        .mode(0o750)
        .create(dir)
        .and_then(|()| replace(&key, pair.serialize_pem().as_bytes(), 0o600))
        .and_then(|()| replace(&certificate, made.pem().as_bytes(), 0o644));
    written.map_err(|error| failed(error.to_string()))?;
    tracing::info!(certificate = %certificate.display(), key = %key.display(), "Using self-signed cert");
    Ok((certificate, key))
}

fn params(host: &str, now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, format!("{host}@{}", now.as_second()));
    params.not_before = (std::time::SystemTime::from(now) - BACKDATE).into();
    params.not_after = (std::time::SystemTime::from(now) + LIFETIME).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

/// Both parts can be read, and the certificate has not ended.
fn is_usable(certificate: &Path, key: &Path, now: Timestamp) -> bool {
    let Ok(chain) = CertificateDer::from_pem_file(certificate) else { return false };
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(&chain) else { return false };
    PrivateKeyDer::from_pem_file(key).is_ok() && parsed.validity().not_after.timestamp() > now.as_second()
}

/// Written beside and renamed: nobody reads half of it, and the mode is right from the first byte.
fn replace(path: &Path, content: &[u8], mode: u32) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

//! TLS settings from the kubeconfig's files as they are now.
//!
//! Files are looked at (not read) before each new connection and once a minute; when one changed, settings are made
//! anew. While a file is being replaced, key and certificate may not fit: then the settings made before stay.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::ring};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::TransportError;
use crate::kubeconfig::{Access, Material, Trust, certificates, private_key};

/// Where distributions keep the bundle, in Go's order.
const SYSTEM_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What tells one version of a file from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    inode: u64,
    size: u64,
}

pub(super) struct TlsFiles {
    access: Arc<Access>,
    made: Mutex<Option<Made>>,
}

/// Settings, and the files that they were made from (`None`: not there).
type Made = (Vec<Option<Stamp>>, Arc<ClientConfig>);

impl TlsFiles {
    pub(super) fn new(access: Arc<Access>) -> Self {
        Self { access, made: Mutex::default() }
    }

    /// Whether a file changed since the settings in use were made, and the files fit together again.
    pub(super) fn changed(&self) -> bool {
        let stamps = self.stamps();
        match &*self.made.lock() {
            None => return false,
            Some((made_from, _)) if *made_from == stamps => return false,
            Some(_) => {}
        }
        match self.build() {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!("credentials of the kubeconfig changed but cannot be used yet: {error}");
                false
            }
        }
    }

    pub(super) fn current(&self) -> Result<Arc<ClientConfig>, TransportError> {
        let stamps = self.stamps();
        let mut made = self.made.lock();
        if let Some((made_from, config)) = &*made
            && *made_from == stamps
        {
            return Ok(Arc::clone(config));
        }
        match (self.build(), &*made) {
            (Ok(config), _) => {
                let config = Arc::new(config);
                *made = Some((stamps, Arc::clone(&config)));
                Ok(config)
            }
            (Err(error), Some((_, before))) => {
                tracing::warn!("{error}; going on with the credentials read before");
                Ok(Arc::clone(before))
            }
            (Err(error), None) => Err(error),
        }
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        let bundle = match self.access.trust() {
            Trust::Bundle(material) => material.file(),
            Trust::System | Trust::Anyone => None,
        };
        let identity = self.access.identity();
        let files =
            [bundle, identity.and_then(|i| i.certificate.file()), identity.and_then(|i| i.key.file())];
        files.into_iter().flatten().map(stamp).collect()
    }

    fn build(&self) -> Result<ClientConfig, TransportError> {
        let kubeconfig = self.access.path();
        let said = |e: crate::KubeconfigError| TransportError::text(e.told());
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| TransportError::of(&e))?;
        let builder = match self.access.trust() {
            Trust::Anyone => {
                builder.dangerous().with_custom_certificate_verifier(unverified::verifier(&provider))
            }
            Trust::Bundle(bundle) => {
                let roots = certificates(kubeconfig, bundle).map_err(said)?;
                builder.with_root_certificates(roots_of(roots, bundle.field())?)
            }
            Trust::System => {
                let (path, roots) = system_bundle()?;
                builder.with_root_certificates(roots_of(roots, &path.display().to_string())?)
            }
        };
        let mut config = match self.access.identity() {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = certificates(kubeconfig, &identity.certificate).map_err(said)?;
                let key = private_key(kubeconfig, &identity.key).map_err(said)?;
                builder.with_client_auth_cert(chain, key).map_err(|e| {
                    TransportError::text(format!(
                        "{} and {} of {} do not fit together: {e}",
                        name_of(&identity.certificate),
                        name_of(&identity.key),
                        kubeconfig.display()
                    ))
                })?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // A resumed session would still carry the identity of the certificate before the rotation.
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

fn name_of(material: &Material) -> String {
    match material.file() {
        Some(file) => file.display().to_string(),
        None => material.field().to_owned(),
    }
}

fn roots_of(
    certificates: Vec<CertificateDer<'static>>,
    place: &str,
) -> Result<RootCertStore, TransportError> {
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(TransportError::text(format!(
            "{place}: none of its {ignored} certificates can be a root"
        )));
    }
    Ok(roots)
}

fn system_bundle() -> Result<(PathBuf, Vec<CertificateDer<'static>>), TransportError> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let candidates = named.into_iter().chain(SYSTEM_BUNDLES.iter().map(PathBuf::from));
    for path in candidates {
        let Ok(pem) = std::fs::read(&path) else { continue };
        let roots: Vec<_> = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
        if !roots.is_empty() {
            return Ok((path, roots));
        }
    }
    Err(TransportError::text(
        "the kubeconfig names no certificate authority and this machine has no bundle of its own; \
         set certificate-authority, or install ca-certificates",
    ))
}

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp { modified: metadata.modified().ok(), inode: metadata.ino(), size: metadata.len() })
}

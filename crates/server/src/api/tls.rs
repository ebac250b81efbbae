//! TLS of the API: the serving pair, and client certificates that are asked for and not judged here.
//!
//! A client certificate is requested when there is a client CA, and only its possession is checked: whether its chain is
//! good is for authentication to say, so that a bad certificate is a 401 and no broken handshake (contract §3).
//!
//! The files are looked at on a handshake or a request, at most once a second, by their modification time, size and inode. Not by
//! inotify: a pair is often a link to a link that is swapped, which a watch on one file does not see; and without
//! clients nothing needs to be looked at.
//!
//! Invariants:
//! * a pair or CA that cannot be read leaves the one before in use, and is told once;
//! * sessions are not resumed: each connection proves its certificate anew.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rustls::{
    CipherSuite, RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use tokio::time::Instant;

use self::possession::Possession;

mod possession;
mod self_signed;

pub use self_signed::self_signed;

/// Between two looks at the files: a rotation is seen at once for people, and a burst of clients costs four `stat`s.
const LOOK: Duration = Duration::from_secs(1);

/// Where the parts are, and what is allowed.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// Certificate chain, PEM, the node's own first.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// `clientCAFile`.
    pub client_ca: Option<PathBuf>,
    /// `tlsMinVersion` is `VersionTLS13`. Older than 1.2 is not spoken, whatever is configured.
    pub only_tls13: bool,
    /// `tlsCipherSuites`, IANA names; empty is all that are good. As upstream's they concern TLS 1.2 only.
    pub cipher_suites: Vec<String>,
}

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or is not PEM of its kind.
    #[error("cannot read {what} from {}: {cause}\nhint: it must be a PEM file that the kubelet may read", path.display())]
    File {
        /// `a certificate`, `a private key`.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Parser's or system's answer.
        cause: String,
    },
    /// Certificate and key do not belong together, or the key is of no kind that is supported.
    #[error("cannot serve with {}: {source}\nhint: check that the key belongs to the certificate", path.display())]
    Pair {
        /// The certificate.
        path: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// No CA certificate in the bundle is usable.
    #[error("no usable certificate in the client CA bundle {}", path.display())]
    ClientCa {
        /// Which.
        path: PathBuf,
    },
    /// Making the self-signed pair.
    #[error("cannot make a self-signed serving certificate in {}: {cause}", dir.display())]
    SelfSigned {
        /// `--cert-dir`.
        dir: PathBuf,
        /// Cause.
        cause: String,
    },
}

/// What is in use now.
pub struct Loaded {
    /// For handshakes.
    pub server: Arc<ServerConfig>,
    /// Judges chains of client certificates; `None` without a client CA.
    pub clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("clients", &self.clients.is_some()).finish_non_exhaustive()
    }
}

/// The serving side of TLS, fresh from its files.
#[derive(Debug)]
pub struct Tls {
    settings: TlsSettings,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    loaded: Arc<Loaded>,
    marks: Vec<Mark>,
    looked: Instant,
}

/// What tells one content of a file from the next: device, inode, size, modification time.
type Mark = Option<(u64, u64, u64, i64, i64)>;

impl Tls {
    /// Reads everything once.
    ///
    /// # Errors
    /// [`TlsError`]: what is wrong at start has to be put right by somebody.
    pub fn load(settings: TlsSettings) -> Result<Self, TlsError> {
        let marks = marks(&settings);
        let loaded = Arc::new(read(&settings)?);
        tell_unknown(&settings);
        Ok(Self { settings, state: Mutex::new(State { loaded, marks, looked: Instant::now() }) })
    }

    /// The newest that could be read.
    #[must_use]
    pub fn current(&self) -> Arc<Loaded> {
        let mut state = self.state.lock();
        if state.looked.elapsed() >= LOOK {
            state.looked = Instant::now();
            let marks = marks(&self.settings);
            if marks != state.marks {
                state.marks = marks;
                match read(&self.settings) {
                    Ok(loaded) => {
                        state.loaded = Arc::new(loaded);
                        tracing::info!(certificate = %self.settings.certificate.display(), "Serving certificate or client CA changed; using the new one");
                    }
                    Err(error) => {
                        tracing::error!(%error, "The new serving certificate or client CA cannot be used; staying with the one before");
                    }
                }
            }
        }
        Arc::clone(&state.loaded)
    }
}

fn marks(settings: &TlsSettings) -> Vec<Mark> {
    let files = [Some(&settings.certificate), Some(&settings.key), settings.client_ca.as_ref()];
    let mark = |path: &PathBuf| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
    };
    files.into_iter().flatten().map(mark).collect()
}

fn read(settings: &TlsSettings) -> Result<Loaded, TlsError> {
    let provider = Arc::new(provider(settings));
    let chain = certificates(&settings.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key).map_err(|cause| TlsError::File {
        what: "a private key",
        path: settings.key.clone(),
        cause: cause.to_string(),
    })?;
    let clients = settings.client_ca.as_deref().map(|path| clients(path, &provider)).transpose()?;
    let pair = |source| TlsError::Pair { path: settings.certificate.clone(), source };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions(settings, &provider))
        .map_err(pair)?;
    let builder = match &clients {
        Some(clients) => {
            let hints = clients.root_hint_subjects().to_vec();
            builder.with_client_cert_verifier(Arc::new(Possession::new(hints, &provider)))
        }
        None => builder.with_no_client_auth(),
    };
    let mut server = builder.with_single_cert(chain, key).map_err(pair)?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(Loaded { server: Arc::new(server), clients })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |cause| TlsError::File { what: "a certificate", path: path.to_owned(), cause };
    let all = CertificateDer::pem_file_iter(path).map_err(|cause| failed(cause.to_string()))?;
    let all: Vec<_> = all.collect::<Result<_, _>>().map_err(|cause| failed(cause.to_string()))?;
    if all.is_empty() { Err(failed("there is none in it".to_owned())) } else { Ok(all) }
}

fn clients(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(path)?);
    // Fails only when there is no root.
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|_| TlsError::ClientCa { path: path.to_owned() })
}

fn provider(settings: &TlsSettings) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !settings.cipher_suites.is_empty() {
        provider.cipher_suites.retain(|suite| {
            suite.tls13().is_some() || settings.cipher_suites.iter().any(|name| is_named(suite.suite(), name))
        });
    }
    provider
}

/// What rustls speaks.
static ALL: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
static NEW: [&SupportedProtocolVersion; 1] = [&TLS13];

/// TLS 1.2 is left out where no cipher suite of it is allowed.
fn versions(
    settings: &TlsSettings,
    provider: &CryptoProvider,
) -> &'static [&'static SupportedProtocolVersion] {
    let has_tls12 = provider.cipher_suites.iter().any(|suite| suite.tls13().is_none());
    if settings.only_tls13 || !has_tls12 { &NEW } else { &ALL }
}

/// rustls names suites of TLS 1.3 with a number in them, IANA does not; both names of the ChaCha suites are in use.
fn is_named(suite: CipherSuite, name: &str) -> bool {
    let known = format!("{suite:?}").replace("TLS13_", "TLS_");
    known == name || known.strip_suffix("_SHA256") == Some(name)
}

fn tell_unknown(settings: &TlsSettings) {
    let known = ring::default_provider().cipher_suites;
    for name in &settings.cipher_suites {
        if !known.iter().any(|suite| is_named(suite.suite(), name)) {
            tracing::warn!(
                suite = name,
                hint = "suites without forward secrecy or authenticated encryption are not offered; remove it from tlsCipherSuites",
                "A configured cipher suite is not offered"
            );
        }
    }
}

#[cfg(test)]
mod tests;

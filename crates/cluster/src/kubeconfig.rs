//! Reading a kubeconfig: which server, whom to trust, and who we are.
//!
//! Two steps: the file as it is written ([`file`]), then [`Access`], in which every part has been looked at: files
//! exist and are PEM, base64 decodes, the key fits a key type that TLS can use. Files stay paths, because they are
//! rotated while we run; `transport` reads them again when they change.
//!
//! Secrets (keys, tokens, passwords) are in types without `Debug` and `Display`.

mod error;
mod expiry;
mod file;
mod pem;

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use rustls_pki_types::ServerName;

pub use error::KubeconfigError;
pub(crate) use expiry::not_after;
pub(crate) use pem::{certificates, private_key};

use file::{AuthInfo, ClusterInfo, Kubeconfig};

/// Everything that is needed to reach the API server, validated.
pub struct Access {
    path: PathBuf,
    server: Server,
    trust: Trust,
    server_name: Option<ServerName<'static>>,
    identity: Option<Identity>,
    login: Login,
}

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// As the operator wrote it, without a slash at the end: for messages.
    pub(crate) url: String,
    /// False for plain `http://`.
    pub(crate) tls: bool,
    /// Name or address, without brackets.
    pub(crate) host: String,
    /// Port, from the URL or the scheme.
    pub(crate) port: u16,
    /// Host and port as sent.
    pub(crate) authority: String,
    /// Path before `/api`, for servers behind a proxy; empty or starting with a slash.
    pub(crate) prefix: String,
}

/// Which certificates prove the server's identity.
pub(crate) enum Trust {
    /// The machine's own bundle.
    System,
    /// This bundle.
    Bundle(Material),
    /// None needed (`insecure-skip-tls-verify`).
    Anyone,
}

/// PEM, inline or in a file.
pub(crate) enum Material {
    /// Inline.
    Data {
        /// Field it came from.
        field: &'static str,
        /// Decoded.
        pem: Vec<u8>,
    },
    /// In a file that may change.
    File {
        /// Field that names it.
        field: &'static str,
        /// Absolute, or relative to the working directory as the kubeconfig's own path is.
        path: PathBuf,
    },
}

/// Client certificate and its key.
pub(crate) struct Identity {
    pub(crate) certificate: Material,
    pub(crate) key: Material,
}

/// What goes into the `Authorization` header.
pub(crate) enum Login {
    /// Nothing.
    None,
    /// A fixed bearer token.
    Token(String),
    /// A bearer token in a file that is rotated.
    TokenFile(PathBuf),
    /// Base64 of `user:password`.
    Basic(String),
}

impl Material {
    pub(crate) fn read(&self, kubeconfig: &Path) -> Result<Vec<u8>, KubeconfigError> {
        match self {
            Self::Data { pem, .. } => Ok(pem.clone()),
            Self::File { field, path } => std::fs::read(path).map_err(|source| KubeconfigError::File {
                kubeconfig: kubeconfig.to_owned(),
                field,
                file: path.clone(),
                source,
            }),
        }
    }

    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::Data { .. } => None,
            Self::File { path, .. } => Some(path),
        }
    }

    pub(crate) fn field(&self) -> &'static str {
        match self {
            Self::Data { field, .. } | Self::File { field, .. } => field,
        }
    }
}

impl Access {
    /// Reads and validates the current context of a kubeconfig.
    ///
    /// # Errors
    /// The file, the field, the cause and a hint. An expired client certificate is not an error here, since a new one
    /// may be on its way: see [`Access::client_certificate_expiry`].
    pub fn load(path: &Path) -> Result<Self, KubeconfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| KubeconfigError::Read { path: path.to_owned(), source })?;
        let config: Kubeconfig = serde_saphyr::from_str(&text)
            .map_err(|e| KubeconfigError::Parse { path: path.to_owned(), message: e.to_string() })?;
        Self::from_file(path, config)
    }

    /// Server as the kubeconfig names it.
    #[must_use]
    pub fn server_url(&self) -> &str {
        &self.server.url
    }

    /// When the client certificate, as it is now on disk, ends; `None` without a client certificate.
    ///
    /// # Errors
    /// As [`Access::load`]: files may have changed since.
    pub fn client_certificate_expiry(&self) -> Result<Option<Timestamp>, KubeconfigError> {
        let Some(identity) = &self.identity else { return Ok(None) };
        let chain = certificates(&self.path, &identity.certificate)?;
        Ok(chain.first().and_then(not_after))
    }

    /// The error to show when the client certificate has ended at `now`.
    ///
    /// # Errors
    /// [`KubeconfigError::Expired`], or the reason why the certificate cannot be read.
    pub fn check_client_certificate(&self, now: Timestamp) -> Result<(), KubeconfigError> {
        match (self.client_certificate_expiry()?, &self.identity) {
            (Some(at), Some(identity)) if at <= now => Err(KubeconfigError::Expired {
                kubeconfig: self.path.clone(),
                field: identity.certificate.field(),
                file: identity.certificate.file().map(Path::to_owned),
                at,
            }),
            _ => Ok(()),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    pub(crate) fn server_name(&self) -> Option<&ServerName<'static>> {
        self.server_name.as_ref()
    }

    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    pub(crate) fn login(&self) -> &Login {
        &self.login
    }

    fn from_file(path: &Path, config: Kubeconfig) -> Result<Self, KubeconfigError> {
        let current = config.current_context.unwrap_or_default();
        let context = file::find(path, "context", "current-context", config.contexts, &current)?;
        let cluster =
            file::find(path, "cluster", "contexts[].context.cluster", config.clusters, &context.cluster)?;
        let user = if context.user.is_empty() {
            AuthInfo::default()
        } else {
            file::find(path, "user", "contexts[].context.user", config.users, &context.user)?
        };
        let reader = Reader { path, base: path.parent().unwrap_or(Path::new("")) };
        let trust = reader.trust(&cluster)?;
        let identity = reader.identity(&user)?;
        let server = reader.server(&cluster, &trust, identity.is_some())?;
        let server_name = match cluster.tls_server_name.as_deref() {
            None | Some("") => None,
            Some(name) => Some(ServerName::try_from(name.to_owned()).map_err(|e| {
                reader.field(
                    "clusters[].cluster.tls-server-name",
                    e.to_string(),
                    "give a DNS name or an IP address",
                )
            })?),
        };
        let login = reader.login(user)?;
        let access = Self { path: path.to_owned(), server, trust, server_name, identity, login };
        access.validate()?;
        Ok(access)
    }

    /// Reads every file once, so that what is wrong is said at the start.
    fn validate(&self) -> Result<(), KubeconfigError> {
        if let Trust::Bundle(bundle) = &self.trust {
            certificates(&self.path, bundle)?;
        }
        if let Some(identity) = &self.identity {
            certificates(&self.path, &identity.certificate)?;
            private_key(&self.path, &identity.key)?;
        }
        if let Login::TokenFile(file) = &self.login {
            std::fs::read(file).map_err(|source| KubeconfigError::File {
                kubeconfig: self.path.clone(),
                field: "users[].user.tokenFile",
                file: file.clone(),
                source,
            })?;
        }
        Ok(())
    }
}

struct Reader<'a> {
    path: &'a Path,
    base: &'a Path,
}

impl Reader<'_> {
    fn field(&self, field: &'static str, problem: String, hint: &'static str) -> KubeconfigError {
        KubeconfigError::Field { kubeconfig: self.path.to_owned(), field, problem, hint }
    }

    /// Data wins over a file, as in client-go.
    fn material(
        &self,
        data: Option<&str>,
        data_field: &'static str,
        file: Option<&str>,
        file_field: &'static str,
    ) -> Result<Option<Material>, KubeconfigError> {
        if let Some(data) = data.filter(|d| !d.is_empty()) {
            let compact: String = data.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            let pem = STANDARD.decode(compact).map_err(|e| {
                self.field(data_field, format!("not base64: {e}"), "encode the PEM file with `base64 -w0`")
            })?;
            return Ok(Some(Material::Data { field: data_field, pem }));
        }
        Ok(file
            .filter(|f| !f.is_empty())
            .map(|file| Material::File { field: file_field, path: self.base.join(file) }))
    }

    fn trust(&self, cluster: &ClusterInfo) -> Result<Trust, KubeconfigError> {
        let bundle = self.material(
            cluster.certificate_authority_data.as_deref(),
            "clusters[].cluster.certificate-authority-data",
            cluster.certificate_authority.as_deref(),
            "clusters[].cluster.certificate-authority",
        )?;
        match (bundle, cluster.insecure_skip_tls_verify) {
            (Some(_), true) => Err(self.field(
                "clusters[].cluster.insecure-skip-tls-verify",
                "set together with a certificate authority".to_owned(),
                "remove insecure-skip-tls-verify: the certificate authority is enough",
            )),
            (Some(bundle), false) => Ok(Trust::Bundle(bundle)),
            (None, true) => Ok(Trust::Anyone),
            (None, false) => Ok(Trust::System),
        }
    }

    fn identity(&self, user: &AuthInfo) -> Result<Option<Identity>, KubeconfigError> {
        let certificate = self.material(
            user.client_certificate_data.as_deref(),
            "users[].user.client-certificate-data",
            user.client_certificate.as_deref(),
            "users[].user.client-certificate",
        )?;
        let key = self.material(
            user.client_key_data.as_deref(),
            "users[].user.client-key-data",
            user.client_key.as_deref(),
            "users[].user.client-key",
        )?;
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(Identity { certificate, key })),
            (None, None) => Ok(None),
            (Some(certificate), None) => Err(self.field(
                certificate.field(),
                "a client certificate without client-key or client-key-data".to_owned(),
                "name the private key that belongs to the certificate",
            )),
            (None, Some(key)) => Err(self.field(
                key.field(),
                "a client key without client-certificate or client-certificate-data".to_owned(),
                "name the certificate that belongs to the key",
            )),
        }
    }

    fn login(&self, user: AuthInfo) -> Result<Login, KubeconfigError> {
        for (present, field) in [
            (user.exec.is_some(), "users[].user.exec"),
            (user.auth_provider.is_some(), "users[].user.auth-provider"),
            (user.act_as.is_some_and(|name| !name.is_empty()), "users[].user.as"),
        ] {
            if present {
                return Err(self.field(
                    field,
                    "not supported by this kubelet".to_owned(),
                    "use a client certificate, token or tokenFile",
                ));
            }
        }
        // A token file is used before a token, as in client-go, so that rotation works.
        if let Some(file) = user.token_file.filter(|f| !f.is_empty()) {
            return Ok(Login::TokenFile(self.base.join(file)));
        }
        if let Some(token) = user.token.filter(|t| !t.is_empty()) {
            return Ok(Login::Token(token.trim().to_owned()));
        }
        match user.username.filter(|u| !u.is_empty()) {
            Some(name) => {
                let password = user.password.unwrap_or_default();
                Ok(Login::Basic(STANDARD.encode(format!("{name}:{password}"))))
            }
            None => Ok(Login::None),
        }
    }

    fn server(
        &self,
        cluster: &ClusterInfo,
        trust: &Trust,
        identity: bool,
    ) -> Result<Server, KubeconfigError> {
        const FIELD: &str = "clusters[].cluster.server";
        const HINT: &str = "write it as https://host:port";
        if cluster.proxy_url.as_deref().is_some_and(|p| !p.is_empty()) {
            return Err(self.field(
                "clusters[].cluster.proxy-url",
                "not supported by this kubelet".to_owned(),
                "give the node a direct way to the API server",
            ));
        }
        let text = cluster.server.as_deref().unwrap_or_default().trim_end_matches('/');
        if text.is_empty() {
            return Err(self.field(FIELD, "empty".to_owned(), HINT));
        }
        let tls_by_default = identity || !matches!(trust, Trust::System);
        let url = match (text.contains("://"), tls_by_default) {
            (true, _) => text.to_owned(),
            (false, true) => format!("https://{text}"),
            (false, false) => format!("http://{text}"),
        };
        let uri: http::Uri = url.parse().map_err(|e| self.field(FIELD, format!("{text}: {e}"), HINT))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            other => {
                let scheme = other.unwrap_or_default();
                return Err(self.field(FIELD, format!("{text}: unknown scheme {scheme:?}"), HINT));
            }
        };
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(self.field(FIELD, format!("{text}: no host"), HINT));
        }
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Server { url, tls, host, port, authority, prefix })
    }
}

#[cfg(test)]
mod tests;

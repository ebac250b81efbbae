//! Where the runtime listens: `unix:///run/containerd/containerd.sock`.

use std::{fmt, path::PathBuf};

/// A socket to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Path of the socket.
    pub path: PathBuf,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", self.path.display())
    }
}

/// An endpoint that cannot be dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Nothing was given.
    #[error(
        "the container runtime endpoint is empty; hint: set containerRuntimeEndpoint (or --container-runtime-endpoint), for example unix:///run/containerd/containerd.sock"
    )]
    Empty,
    /// Not a unix socket.
    #[error(
        "the container runtime endpoint {endpoint:?} uses {scheme:?}: only unix sockets can be used; hint: write unix:///path/to/runtime.sock"
    )]
    Scheme {
        /// As given.
        endpoint: String,
        /// Its scheme.
        scheme: String,
    },
    /// `unix://` without an absolute path.
    #[error(
        "the container runtime endpoint {endpoint:?} has no absolute path; hint: three slashes, as in unix:///run/containerd/containerd.sock"
    )]
    Relative {
        /// As given.
        endpoint: String,
    },
}

/// An endpoint, and what to tell the operator about the way it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Where to dial.
    pub endpoint: Endpoint,
    /// Set for a bare path, which upstream accepts as a deprecated form.
    pub warning: Option<String>,
}

/// Parses an endpoint.
///
/// # Errors
/// Empty, another scheme, or no absolute path.
pub fn parse(text: &str) -> Result<Parsed, EndpointError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(EndpointError::Empty);
    }
    let (path, warning) = match text.split_once("://") {
        Some(("unix", path)) => (path, None),
        Some((scheme, _)) => {
            return Err(EndpointError::Scheme { endpoint: text.into(), scheme: scheme.into() });
        }
        None => match text.split_once(':') {
            // `unix:/path` is a URL as well; a path before the colon is just a path.
            Some(("unix", path)) => (path, None),
            Some((scheme, _)) if !scheme.contains('/') => {
                return Err(EndpointError::Scheme { endpoint: text.into(), scheme: scheme.into() });
            }
            _ => {
                let warning = format!(
                    "using {text:?} as endpoint is deprecated, please consider using full url format; hint: write unix://{text}"
                );
                (text, Some(warning))
            }
        },
    };
    if !path.starts_with('/') {
        return Err(EndpointError::Relative { endpoint: text.into() });
    }
    Ok(Parsed { endpoint: Endpoint { path: PathBuf::from(path) }, warning })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_unix_sockets() {
        for (text, path, warns) in [
            ("unix:///run/x.sock", "/run/x.sock", false),
            ("unix:/run/x.sock", "/run/x.sock", false),
            (" unix:///run/x.sock\n", "/run/x.sock", false),
            ("/run/x.sock", "/run/x.sock", true),
            ("/run/odd:name.sock", "/run/odd:name.sock", true),
        ] {
            let parsed = parse(text).unwrap();
            assert_eq!(parsed.endpoint.path, PathBuf::from(path), "{text}");
            assert_eq!(parsed.warning.is_some(), warns, "{text}");
        }
    }

    #[test]
    fn everything_else_says_what_to_write() {
        assert_eq!(parse(" "), Err(EndpointError::Empty));
        for text in ["tcp://127.0.0.1:1", "npipe:////./pipe/x", "http://localhost", "tcp:1"] {
            assert!(matches!(parse(text), Err(EndpointError::Scheme { .. })), "{text}");
        }
        for text in ["unix://run/x.sock", "run/x.sock", "unix:run"] {
            assert!(matches!(parse(text), Err(EndpointError::Relative { .. })), "{text}");
        }
        assert!(parse("tcp://x").unwrap_err().to_string().contains("hint: write unix://"));
    }
}

//! Image names as people write them: `[registry[:port]/]path[:tag][@digest]`.

/// Why a name is not an image reference. Displays as the tail of upstream's message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("couldn't parse image name \"{name}\": {cause}")]
pub struct InvalidReference {
    name: String,
    cause: String,
}

/// The parts of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    /// Registry host with port; `None` when the name has none.
    pub registry: Option<&'a str>,
    /// Repository path.
    pub path: &'a str,
    /// Tag.
    pub tag: Option<&'a str>,
    /// Digest, `algorithm:hex`.
    pub digest: Option<&'a str>,
}

/// Adds `:latest` where a name has neither tag nor digest.
///
/// # Errors
/// The name is no reference.
pub fn with_default_tag(name: &str) -> Result<String, InvalidReference> {
    let reference = parse(name)?;
    if reference.tag.is_none() && reference.digest.is_none() {
        Ok(format!("{name}:latest"))
    } else {
        Ok(name.to_owned())
    }
}

/// Parses a reference by the grammar of the distribution project.
///
/// # Errors
/// The name is no reference.
pub fn parse(name: &str) -> Result<Reference<'_>, InvalidReference> {
    let because = |cause: String| InvalidReference { name: name.to_owned(), cause };
    let invalid = || because("invalid reference format".to_owned());
    if name.len() == 64 && name.bytes().all(is_hex) {
        let why = "cannot specify 64-byte hexadecimal strings";
        return Err(because(format!("invalid repository name ({name}), {why}")));
    }
    let (rest, digest) = match name.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (name, None),
    };
    if digest.is_some_and(|digest| !looks_like_digest(digest)) {
        return Err(invalid());
    }
    let (rest, tag) = match rest.rsplit_once(':') {
        // A colon before the last slash belongs to the registry's port.
        Some((rest, tag)) if !tag.contains('/') => (rest, Some(tag)),
        _ => (rest, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err(invalid());
    }
    let (registry, path) = match rest.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" || has_upper(host) => {
            (Some(host), path)
        }
        _ => (None, rest),
    };
    if registry.is_some_and(|host| !is_host(host)) {
        return Err(invalid());
    }
    if has_upper(path) {
        let library = if !path.contains('/') && registry.is_none_or(is_docker_hub) { LIBRARY } else { "" };
        return Err(because(format!(
            "invalid reference format: repository name ({library}{path}) must be lowercase"
        )));
    }
    if !path.split('/').all(is_component) {
        return Err(invalid());
    }
    // Host apart, and with the part that the Docker Hub's short names leave out.
    let short = !path.contains('/') && registry.is_none_or(is_docker_hub);
    if path.len() + if short { LIBRARY.len() } else { 0 } > 255 {
        return Err(because("repository name must not be more than 255 characters".to_owned()));
    }
    if let Some(digest) = digest {
        check_digest(digest).map_err(|cause| because(cause.to_owned()))?;
    }
    Ok(Reference { registry, path, tag, digest })
}

fn has_upper(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_tag(tag: &str) -> bool {
    let mut bytes = tag.bytes();
    tag.len() <= 128
        && bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// Where the Docker Hub keeps images with a name of one part.
const LIBRARY: &str = "library/";

fn is_docker_hub(host: &str) -> bool {
    matches!(host, "docker.io" | "index.docker.io")
}

/// `algorithm:hex`, whatever the algorithm: letters and digits after a letter, joined by one of `-_+.`.
fn looks_like_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        algorithm.split(['-', '_', '+', '.']).all(|part| {
            part.starts_with(|first: char| first.is_ascii_alphabetic())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        }) && hex.len() >= 32
            && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

fn check_digest(digest: &str) -> Result<(), &'static str> {
    let (algorithm, hex) = digest.split_once(':').unwrap_or_default();
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return Err("unsupported digest algorithm"),
    };
    if hex.len() != length {
        return Err("invalid checksum digest length");
    }
    if !hex.bytes().all(is_hex) {
        return Err("invalid checksum digest format");
    }
    Ok(())
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    };
    port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
        && !name.is_empty()
        && (name.starts_with('[') && name.ends_with(']')
            || name.split('.').all(|label| {
                !label.is_empty()
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            }))
}

/// `[a-z0-9]+` runs joined by `.`, `_`, `__` or any number of `-`.
fn is_component(component: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    if !bytes.first().copied().is_some_and(alphanumeric) || !bytes.last().copied().is_some_and(alphanumeric) {
        return false;
    }
    bytes.split(|byte| alphanumeric(*byte)).all(|separator| {
        matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_is_added_only_where_none_is() {
        for (name, want) in [
            ("busybox", "busybox:latest"),
            ("busybox:1", "busybox:1"),
            ("registry.test:5000/a/b", "registry.test:5000/a/b:latest"),
            ("registry.test:5000/a/b:v1", "registry.test:5000/a/b:v1"),
            ("a--b/c__d.e:T_1", "a--b/c__d.e:T_1"),
            ("localhost/x", "localhost/x:latest"),
        ] {
            assert_eq!(with_default_tag(name).unwrap(), want);
        }
        let digest = format!("x@sha256:{}", "a".repeat(64));
        assert_eq!(with_default_tag(&digest).unwrap(), digest);
    }

    #[test]
    fn nonsense_is_refused() {
        for name in [
            "",
            "A",
            "a/B",
            "a:",
            "a b",
            "x@sha256:zz",
            "x@sha256:0123456789abcdef0123456789abcdef",
            "x@md5:0123456789abcdef0123456789abcdef",
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "-a",
            "a-",
            "a___b",
            "/a",
            "a//b",
            "http://x/y",
            "a:b:c",
        ] {
            assert!(parse(name).is_err(), "{name} was accepted");
        }
        for (name, told) in [
            ("r.test/NONE:2", "invalid reference format: repository name (NONE) must be lowercase"),
            ("B", "invalid reference format: repository name (library/B) must be lowercase"),
            ("a/B", "invalid reference format: repository name (a/B) must be lowercase"),
            ("a:", "invalid reference format"),
        ] {
            let error = parse(name).unwrap_err().to_string();
            assert_eq!(error, format!("couldn't parse image name \"{name}\": {told}"));
        }
        for (name, told) in [
            ("x@sha256:zz".to_owned(), "invalid reference format"),
            (format!("x@sha256:{}", "a".repeat(40)), "invalid checksum digest length"),
            (format!("x@sha256:{}", "A".repeat(64)), "invalid checksum digest format"),
            (format!("x@md5:{}", "a".repeat(32)), "unsupported digest algorithm"),
            (format!("r.test/{}", "a".repeat(256)), "repository name must not be more than 255 characters"),
            ("a".repeat(248), "repository name must not be more than 255 characters"),
        ] {
            let error = parse(&name).unwrap_err().to_string();
            assert_eq!(error, format!("couldn't parse image name \"{name}\": {told}"));
        }
        assert!(parse(&format!("r.test/{}", "a".repeat(255))).is_ok());
    }
}

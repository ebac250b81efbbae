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
    if digest.is_some_and(|digest| !is_digest(digest)) {
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
        let hub = registry.is_none_or(|host| host == "docker.io" || host == "index.docker.io");
        let library = if hub && !path.contains('/') { "library/" } else { "" };
        return Err(because(format!(
            "invalid reference format: repository name ({library}{path}) must be lowercase"
        )));
    }
    if !path.split('/').all(is_component) || path.len() + registry.map_or(0, |host| host.len() + 1) > 255 {
        return Err(invalid());
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

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        let length = match algorithm {
            "sha256" => 64,
            "sha384" => 96,
            "sha512" => 128,
            _ => return false,
        };
        hex.len() == length && hex.bytes().all(is_hex)
    })
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
    }
}

//! The name formats of the Kubernetes API, and the words in which upstream says that a value does not fit one.
//!
//! Hostnames, static pod validation and downward API subscripts all report these texts to users, so they live once.
//! Each function returns every problem; an empty list means that the value is fine.

const LABEL_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SEARCH_DOMAIN_FORMAT: &str = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
const CONFIG_KEY_FORMAT: &str = "[-._a-zA-Z0-9]+";
const LABEL_KEY_FORMAT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_KEY_TEXT: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// Longest DNS label (RFC 1123).
pub const LABEL_MAX: usize = 63;
/// Longest DNS subdomain (RFC 1123).
pub const SUBDOMAIN_MAX: usize = 253;

fn too_long(limit: usize) -> String {
    format!("must be no more than {limit} characters")
}

fn pattern(text: &str, format: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{text} (e.g. {}regex used for validation is '{format}')", examples.join(" or "))
}

fn is_lower_alnum(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) => {
            is_lower_alnum(first)
                && is_lower_alnum(last)
                && bytes.iter().all(|&byte| is_lower_alnum(byte) || byte == b'-')
        }
        _ => false,
    }
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// Problems of a DNS label (RFC 1123): names of containers, volumes, namespaces, `spec.hostname`.
#[must_use]
pub fn label_problems(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > LABEL_MAX {
        problems.push(too_long(LABEL_MAX));
    }
    if !is_label(value) {
        problems.push(if is_subdomain(value) {
            "must not contain dots".to_owned()
        } else {
            pattern(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
                 and end with an alphanumeric character",
                LABEL_FORMAT,
                &["my-name", "123-abc"],
            )
        });
    }
    problems
}

/// Problems of a DNS subdomain (RFC 1123): names of pods, config maps, secrets, `spec.hostnameOverride`.
#[must_use]
pub fn subdomain_problems(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > SUBDOMAIN_MAX {
        problems.push(too_long(SUBDOMAIN_MAX));
    }
    if !is_subdomain(value) {
        problems.push(pattern(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character",
            SUBDOMAIN_FORMAT,
            &["example.com"],
        ));
    }
    problems
}

/// Problems of a search domain of name resolution: a subdomain whose labels may hold underscores and begin with one.
#[must_use]
pub fn search_domain_problems(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > SUBDOMAIN_MAX {
        problems.push(too_long(SUBDOMAIN_MAX));
    }
    let is_fine = |label: &str| {
        let bytes = label.strip_prefix('_').unwrap_or(label).as_bytes();
        bytes.first().is_some_and(|&byte| is_lower_alnum(byte))
            && bytes.last().is_some_and(|&byte| is_lower_alnum(byte))
            && bytes.iter().all(|&byte| is_lower_alnum(byte) || matches!(byte, b'-' | b'_'))
    };
    if !value.split('.').all(is_fine) {
        problems.push(pattern(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and \
             must start and end with an alphanumeric character",
            SEARCH_DOMAIN_FORMAT,
            &["example.com"],
        ));
    }
    problems
}

/// Problems of a key of a config map or a secret, which is a file name too.
#[must_use]
pub fn config_key_problems(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > SUBDOMAIN_MAX {
        problems.push(too_long(SUBDOMAIN_MAX));
    }
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if value.is_empty() || !value.bytes().all(is_fine) {
        problems.push(pattern(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            CONFIG_KEY_FORMAT,
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    match value {
        "." => problems.push("must not be '.'".to_owned()),
        ".." => problems.push("must not be '..'".to_owned()),
        value if value.starts_with("..") => problems.push("must not start with '..'".to_owned()),
        _ => {}
    }
    problems
}

fn is_label_key_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            first.is_ascii_alphanumeric()
                && last.is_ascii_alphanumeric()
                && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        }
        _ => false,
    }
}

/// Problems of a label or annotation key: an optional subdomain and `/`, then a name of at most 63 characters.
#[must_use]
pub fn label_key_problems(value: &str) -> Vec<String> {
    let examples = ["MyName", "my.name", "123-abc"];
    let mut problems = Vec::new();
    let mut parts = value.split('/');
    let first = parts.next().unwrap_or_default();
    let second = parts.next();
    if parts.next().is_some() {
        problems.push(format!(
            "a valid label key {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
            pattern(LABEL_KEY_TEXT, LABEL_KEY_FORMAT, &examples)
        ));
        return problems;
    }
    let name = match second {
        None => first,
        Some(name) => {
            if first.is_empty() {
                problems.push("prefix part must be non-empty".to_owned());
            } else {
                problems.extend(
                    subdomain_problems(first).into_iter().map(|problem| format!("prefix part {problem}")),
                );
            }
            name
        }
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        problems.push(format!("name part {}", too_long(LABEL_MAX)));
    }
    if !is_label_key_name(name) {
        problems.push(format!("name part {}", pattern(LABEL_KEY_TEXT, LABEL_KEY_FORMAT, &examples)));
    }
    problems
}

/// Problems of a label value: empty, or at most 63 characters shaped like a label key's name.
#[must_use]
pub fn label_value_problems(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > LABEL_MAX {
        problems.push(too_long(LABEL_MAX));
    }
    if !value.is_empty() && !is_label_key_name(value) {
        problems.push(pattern(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
             start and end with an alphanumeric character",
            &format!("({LABEL_KEY_FORMAT})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    problems
}

/// Problems of a container port's name (IANA service name, at most 15 characters).
#[must_use]
pub fn port_name_problems(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > 15 {
        problems.push(too_long(15));
    }
    if value.is_empty() || !value.bytes().all(|byte| is_lower_alnum(byte) || byte == b'-') {
        problems.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !value.bytes().any(|byte| byte.is_ascii_lowercase()) {
        problems.push("must contain at least one letter (a-z)".to_owned());
    }
    if value.contains("--") {
        problems.push("must not contain consecutive hyphens".to_owned());
    }
    if value.starts_with('-') || value.ends_with('-') {
        problems.push("must not begin or end with a hyphen".to_owned());
    }
    problems
}

/// Problems of an environment variable's name: printable ASCII without `=` (the relaxed rule of 1.34 and later).
#[must_use]
pub fn env_name_problems(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.is_empty() {
        problems.push("environment variable name must be non-empty".to_owned());
    }
    if !value.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=') {
        problems.push(
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
                .to_owned(),
        );
    }
    problems
}

/// Problems of a port number: 1 to 65535.
#[must_use]
pub fn port_problems(value: i32) -> Vec<String> {
    if (1..=65_535).contains(&value) {
        Vec::new()
    } else {
        vec!["must be between 1 and 65535, inclusive".to_owned()]
    }
}

/// Whether a text can name a directory or a cgroup of a pod, and no other: a uid, name or namespace becomes a part of
/// paths that are removed later.
#[must_use]
pub fn names_a_directory(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    plain && !text.is_empty() && text.len() <= 253 && !text.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for good in ["a", "0", "a-b", "my-name", &"x".repeat(63)] {
            assert!(label_problems(good).is_empty(), "{good}");
        }
        assert_eq!(label_problems("a.b"), ["must not contain dots"]);
        assert_eq!(
            label_problems("A"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
              and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
              '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        for bad in ["", "-a", "a-", "a_b", "a..b", ".a"] {
            assert!(!label_problems(bad).is_empty(), "{bad}");
        }
        assert_eq!(label_problems(&"x".repeat(64)), ["must be no more than 63 characters"]);
    }

    #[test]
    fn subdomains() {
        for good in ["a", "a.b", "kube-system.svc", "1.2"] {
            assert!(subdomain_problems(good).is_empty(), "{good}");
        }
        for bad in ["", "a.", ".a", "a..b", "a.-b", "A.b"] {
            assert!(!subdomain_problems(bad).is_empty(), "{bad}");
        }
        assert_eq!(subdomain_problems(&"a".repeat(254)), ["must be no more than 253 characters"]);
    }

    #[test]
    fn label_keys() {
        for good in ["a", "A_b.c-d", "example.com/Name", "kubernetes.io/config.hash"] {
            assert!(label_key_problems(good).is_empty(), "{good}");
        }
        assert_eq!(label_key_problems("/a"), ["prefix part must be non-empty"]);
        assert_eq!(label_key_problems("a/").first().map(String::as_str), Some("name part must be non-empty"));
        for bad in ["a/b/c", "-a", "Ex.com/a", ""] {
            assert!(!label_key_problems(bad).is_empty(), "{bad}");
        }
    }

    #[test]
    fn ports_and_variables() {
        assert!(port_name_problems("http-2").is_empty());
        for bad in ["", "80", "a--b", "-a", "a-", "HTTP", "abcdefghijklmnop"] {
            assert!(!port_name_problems(bad).is_empty(), "{bad}");
        }
        assert!(env_name_problems("my.env-name:x y").is_empty());
        for bad in ["", "a=b", "ä", "a\tb"] {
            assert!(!env_name_problems(bad).is_empty(), "{bad}");
        }
        assert!(
            port_problems(65_535).is_empty()
                && !port_problems(0).is_empty()
                && !port_problems(65_536).is_empty()
        );
    }
}

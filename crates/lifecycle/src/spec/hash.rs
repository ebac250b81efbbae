//! The hash that tells whether a running container still is what its spec asks for (contract §7).
//!
//! Only name and image count. The value is written into the annotation `io.kubernetes.container.hash`, so it has to be
//! the very number that the kubelet which made the container computed: upstream takes FNV-1a (32 bits) over go-spew's
//! `%#v` rendering of the bytes of the JSON object `{"image":…,"name":…}`, that is over the text
//! `([]uint8)[123 34 105 …]`. Any slip here restarts every container of a node at a swap of kubelets.

/// FNV-1a, 32 bits, fed piece by piece.
struct Fnv(u32);

impl Fnv {
    fn new() -> Self {
        Self(0x811c_9dc5)
    }

    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }
}

/// Hash of a container, as upstream keeps it: 32 bits of FNV-1a in a `u64`.
#[must_use]
pub fn container_hash(name: &str, image: &str) -> u64 {
    let mut json = String::with_capacity(name.len() + image.len() + 24);
    json.push_str("{\"image\":");
    go_json_string(&mut json, image);
    json.push_str(",\"name\":");
    go_json_string(&mut json, name);
    json.push('}');

    let mut hash = Fnv::new();
    hash.feed(b"([]uint8)[");
    for (i, byte) in json.bytes().enumerate() {
        if i > 0 {
            hash.feed(b" ");
        }
        hash.feed(decimal(byte).as_bytes());
    }
    hash.feed(b"]");
    u64::from(hash.0)
}

/// The annotation's text: lower-case hexadecimal without padding.
#[must_use]
pub fn container_hash_text(hash: u64) -> String {
    format!("{hash:x}")
}

/// Reads the annotation; missing or unreadable is 0, which matches no container (contract §7).
#[must_use]
pub fn parse_container_hash(text: Option<&str>) -> u64 {
    text.and_then(|t| u64::from_str_radix(t, 16).ok()).unwrap_or(0)
}

fn decimal(byte: u8) -> String {
    byte.to_string()
}

/// Appends a JSON string with the escapes of Go's `encoding/json`, which also escapes `<`, `>`, `&` and the two
/// Unicode line separators.
pub fn go_json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values printed by upstream's own function.
    #[test]
    fn same_numbers_as_upstream() {
        for (name, image, want) in [
            ("web", "nginx:1.27", 0x0e22_0f96_u64),
            ("a", "b", 0x646f_ef1b),
            ("", "", 0xedd6_7cc4),
            ("pause", "registry.k8s.io/pause:3.10", 0x28ed_4cd7),
            (
                "app",
                "docker.io/library/busybox@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                0x8425_cd80,
            ),
            ("x", "a<b>&c\"\\\u{2028}é", 0x6356_14d6),
            ("c-1", "localhost:5000/test/box:v2", 0x5a4c_a329),
            ("t", "a\u{1}\t\n\u{7f}", 0xb10f_9b59),
        ] {
            assert_eq!(container_hash(name, image), want, "{name} {image}");
        }
    }

    #[test]
    fn text_has_no_padding_and_reads_back() {
        assert_eq!(container_hash_text(container_hash("web", "nginx:1.27")), "e220f96");
        assert_eq!(parse_container_hash(Some("e220f96")), 0x0e22_0f96);
        assert_eq!(parse_container_hash(Some("zz")), 0);
        assert_eq!(parse_container_hash(None), 0);
    }
}

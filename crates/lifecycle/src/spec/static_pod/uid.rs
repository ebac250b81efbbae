//! Identity of a static pod without `metadata.uid`.

use serde_json::Value;

use crate::PodSource;

/// FNV-1a, 128 bits.
struct Fnv(u128);

impl Fnv {
    fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }
}

/// Feeds a value as JSON without spaces and with sorted fields, whatever order the reader kept them in.
fn feed_value(hash: &mut Fnv, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            hash.feed(b"{");
            for (name, value) in fields {
                hash.feed(Value::from(name.as_str()).to_string().as_bytes());
                hash.feed(b":");
                feed_value(hash, value);
                hash.feed(b",");
            }
            hash.feed(b"}");
        }
        Value::Array(items) => {
            hash.feed(b"[");
            for item in items {
                feed_value(hash, item);
                hash.feed(b",");
            }
            hash.feed(b"]");
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            hash.feed(value.to_string().as_bytes());
        }
    }
}

/// 32 hexadecimal digits: a hash of the manifest as written (not of what it is defaulted to, so that a newer kubelet
/// with other defaults keeps the pod), of the node's name and of the manifest's place. Order of fields and notation
/// do not matter, contents do.
#[must_use]
pub fn uid(manifest: &Value, origin: &str, source: PodSource, node_name: &str) -> String {
    let mut hash = Fnv::new();
    feed_value(&mut hash, manifest);
    match source {
        PodSource::Http => hash.feed(format!("url:{origin}").as_bytes()),
        _ => hash.feed(format!("host:{node_name}file:{origin}").as_bytes()),
    }
    format!("{:032x}", hash.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_of_the_hash() {
        // Test vectors of the FNV authors for 128-bit FNV-1a.
        let of = |text: &str| {
            let mut hash = Fnv::new();
            hash.feed(text.as_bytes());
            format!("{:032x}", hash.0)
        };
        assert_eq!(of(""), "6c62272e07bb014262b821756295c58d");
        assert_eq!(of("a"), "d228cb696f1a8caf78912b704e4a8964");
        assert_eq!(of("foobar"), "343e1662793c64bf6f0d3597ba446f18");
    }

    #[test]
    fn everything_that_identifies_counts_and_nothing_else() {
        let parse = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
        let pod = parse(r#"{"a": 1, "b": [1, 2]}"#);
        let base = uid(&pod, "/m/a.yaml", PodSource::File, "n");
        assert_eq!(base.len(), 32);
        assert_eq!(base, uid(&parse(r#"{"b":[1,2],"a":1}"#), "/m/a.yaml", PodSource::File, "n"));
        for other in [
            uid(&parse(r#"{"a": 1, "b": [2, 1]}"#), "/m/a.yaml", PodSource::File, "n"),
            uid(&pod, "/m/b.yaml", PodSource::File, "n"),
            uid(&pod, "/m/a.yaml", PodSource::File, "m"),
            uid(&pod, "/m/a.yaml", PodSource::Http, "n"),
        ] {
            assert_ne!(base, other);
        }
    }
}

//! Identity of a static pod without `metadata.uid`.
//!
//! A swap of kubelets must find the pod that runs to be the pod of the manifest, so the uid is the one that upstream
//! gives: FNV-1a, 128 bits, over a rendering of the completed pod with every type and field spelled out, then over the
//! node's name and the manifest's place.
//!
//! ```text
//!   completed manifest ─► (core.Pod){TypeMeta:(v1.TypeMeta){…} … Spec:(core.PodSpec){…} …} ─► hash ◄─ host:…file:…
//! ```
//! Times (`metadata.creationTimestamp` and the like) are the exception: upstream's rendering of one holds the time zone
//! tables of its machine.

use serde_json::{Map, Value};

use self::quantity::Quantity;
use super::types::{self, Field, Place, Type};
use crate::{PodSource, spec::hash::go_json_string};

pub(super) mod quantity;

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

/// The uid of a completed manifest: 32 hexadecimal digits.
pub(super) fn uid(completed: &Value, origin: &str, source: PodSource, node_name: &str) -> String {
    let mut hash = Fnv::new();
    hash.feed(rendering(completed).as_bytes());
    match source {
        PodSource::Http => hash.feed(format!("url:{origin}").as_bytes()),
        _ => hash.feed(format!("host:{node_name}file:{origin}").as_bytes()),
    }
    format!("{:032x}", hash.0)
}

/// The text that is hashed.
fn rendering(completed: &Value) -> String {
    let mut pod = completed.clone();
    if let Value::Object(pod) = &mut pod {
        // Reading takes them off.
        pod.remove("apiVersion");
        pod.remove("kind");
    }
    let mut out = format!("(*{})", types::POD);
    write(&mut out, types::POD, Some(&pod), Names::Left);
    out
}

/// Whether a value's type stands before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Written,
    Left,
}

fn write(out: &mut String, ty: &'static str, value: Option<&Value>, names: Names) {
    let resolved = types::resolve(ty);
    if let Type::Pointer(inner) = resolved {
        out.push_str(&format!("({ty})"));
        match value {
            Some(_) => write(out, inner, value, Names::Left),
            None => out.push_str("<nil>"),
        }
        return;
    }
    if names == Names::Written {
        out.push_str(&format!("({ty})"));
    }
    match resolved {
        Type::Slice(inner) => match value {
            Some(Value::Array(items)) => {
                out.push('[');
                separated(out, items, |out, item| write(out, inner, Some(item), Names::Left));
                out.push(']');
            }
            _ => out.push_str("<nil>"),
        },
        Type::Map(inner) => match value {
            Some(Value::Object(map)) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_by_key(|(key, _)| *key);
                out.push_str("map[");
                separated(out, entries, |out, (key, value)| {
                    out.push_str(key);
                    out.push(':');
                    match ty {
                        types::AMOUNTS => write_amount(out, value),
                        _ => write(out, inner, Some(value), Names::Left),
                    }
                });
                out.push(']');
            }
            _ => out.push_str("<nil>"),
        },
        Type::Struct(fields) => write_struct(out, fields, value.and_then(Value::as_object)),
        Type::Quantity => quantity(value).write(out),
        _ => write_scalar(out, resolved, value),
    }
}

fn quantity(value: Option<&Value>) -> Quantity {
    value.and_then(Value::as_str).and_then(Quantity::parse).unwrap_or_else(Quantity::absent)
}

/// Amounts of resources have been rounded, other quantities have not.
fn write_amount(out: &mut String, value: &Value) {
    let mut amount = quantity(Some(value));
    amount.round_up_to_milli();
    amount.write(out);
}

fn write_struct(out: &mut String, fields: &'static [Field], object: Option<&Map<String, Value>>) {
    out.push('{');
    separated(out, fields, |out, field| {
        out.push_str(field.name);
        out.push(':');
        match (&field.place, types::resolve(field.ty)) {
            (Place::Inline, Type::Struct(inner)) => {
                out.push_str(&format!("({})", field.ty));
                write_struct(out, inner, object);
            }
            (Place::Member(name), _) => {
                write(out, field.ty, object.and_then(|object| object.get(name)), Names::Written);
            }
            _ => write(out, field.ty, None, Names::Written),
        }
    });
    out.push('}');
}

fn write_scalar(out: &mut String, ty: Type, value: Option<&Value>) {
    match ty {
        Type::Text => out.push_str(value.and_then(Value::as_str).unwrap_or_default()),
        Type::Truth => {
            out.push_str(if value.and_then(Value::as_bool).unwrap_or(false) { "true" } else { "false" });
        }
        Type::Number => match value {
            Some(Value::Number(number)) => out.push_str(&types::number_text(number)),
            _ => out.push('0'),
        },
        Type::IntOrString => {
            let (kind, number, text) = match value {
                Some(Value::Number(number)) => (0, number.as_i64().unwrap_or(0), ""),
                Some(Value::String(text)) => (1, 0, text.as_str()),
                _ => (0, 0, ""),
            };
            out.push_str(&format!(
                "{{Type:(intstr.Type){kind} IntVal:(int32){number} StrVal:(string){text}}}"
            ));
        }
        Type::Time => match value {
            Some(time) => out.push_str(&format!("{{Time:(time.Time){{{time}}}}}")),
            None => out.push_str("{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}"),
        },
        Type::FieldSet => {
            let mut text = String::new();
            write_json(&mut text, value.unwrap_or(&Value::Null));
            let bytes: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
            out.push_str(&format!("{{Raw:([]uint8)[{}]}}", bytes.join(" ")));
        }
        _ => {}
    }
}

/// JSON as the way from YAML makes it: without spaces, fields sorted.
fn write_json(out: &mut String, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (at, (key, value)) in entries.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                go_json_string(out, key);
                out.push(':');
                write_json(out, value);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_json(out, item);
            }
            out.push(']');
        }
        Value::String(text) => go_json_string(out, text),
        Value::Number(number) => out.push_str(&types::number_text(number)),
        Value::Null | Value::Bool(_) => out.push_str(&value.to_string()),
    }
}

fn separated<T>(out: &mut String, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut String, T)) {
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(' ');
        }
        write(out, item);
    }
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
}

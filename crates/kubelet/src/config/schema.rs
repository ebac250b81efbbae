//! How a field of the configuration is written down: once, for the decoder, the defaults, the flags and the docs.

/// One field of the wire format.
#[derive(Debug)]
pub struct Field {
    /// Name on the wire, with upstream's capitals.
    pub name: &'static str,
    /// Shape of its value.
    pub kind: Kind,
    /// What counts as "not set".
    pub unset: Unset,
    /// Value when not set, in a configuration file's default set.
    pub default: Preset,
    /// Whether it does anything.
    pub support: Support,
    /// Description for the docs.
    pub doc: &'static str,
}

/// Shape of a value.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// 32-bit whole number.
    Int32,
    /// 64-bit whole number.
    Int64,
    /// Whole number from 0 to 2³²−1.
    Uint32,
    /// Number.
    Float,
    /// String.
    Text,
    /// Duration, as a string.
    Duration,
    /// Duration as a string, or nanoseconds as a number (`logging.flushFrequency` only).
    DurationOrNanos,
    /// Resource quantity, as a string or a number.
    Quantity,
    /// List of strings.
    Texts,
    /// List of 32-bit numbers.
    Ints,
    /// Map from string to string.
    TextMap,
    /// Map from string to bool.
    BoolMap,
    /// Map from string to a list of strings.
    TextsMap,
    /// Map from string to quantity.
    QuantityMap,
    /// Nested object.
    Object(&'static [Field]),
    /// List of objects.
    Objects(&'static [Field]),
}

impl Kind {
    /// Name for messages and docs, in the terms of upstream's types.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Uint32 => "uint32",
            Self::Float => "float64",
            Self::Text => "string",
            Self::Duration | Self::DurationOrNanos => "duration",
            Self::Quantity => "quantity",
            Self::Texts => "[]string",
            Self::Ints => "[]int32",
            Self::TextMap => "map[string]string",
            Self::BoolMap => "map[string]bool",
            Self::TextsMap => "map[string][]string",
            Self::QuantityMap => "map[string]quantity",
            Self::Object(_) => "object",
            Self::Objects(_) => "[]object",
        }
    }
}

/// What counts as "not set": upstream has plain fields, whose zero value means that, and pointers, whose null does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unset {
    /// Zero, empty or null: takes the default; left out of the printed form.
    Zero,
    /// Zero or null, but printed all the same.
    Shown,
    /// Only null: an explicit zero is kept and printed.
    Null,
}

/// A default, as a constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Preset {
    /// None: stays unset.
    Nothing,
    /// Bool.
    Bool(bool),
    /// Whole number.
    Int(i64),
    /// String, duration or quantity.
    Text(&'static str),
    /// List of strings.
    Texts(&'static [&'static str]),
}

impl Preset {
    /// As a document value; `None` stays unset.
    #[must_use]
    pub fn value(self) -> Option<serde_json::Value> {
        Some(match self {
            Self::Nothing => return None,
            Self::Bool(value) => value.into(),
            Self::Int(value) => value.into(),
            Self::Text(value) => value.into(),
            Self::Texts(values) => values.to_vec().into(),
        })
    }
}

/// Whether setting a field does anything here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Does what upstream's does.
    Effective,
    /// Does something else than upstream's.
    Differs {
        /// What.
        how: &'static str,
    },
    /// Parsed, validated and served in `/configz`, but nothing acts on it. One warning at start when it is set.
    AcceptedNoEffect {
        /// Why, or until when.
        why: &'static str,
    },
    /// Nothing acts on it, and nothing does upstream.
    NoEffectUpstream,
    /// Setting it stops the start, as upstream's does.
    Rejected {
        /// Why.
        why: &'static str,
    },
}

/// A part of upstream that is not built yet.
pub(crate) const fn not_yet(part: &'static str) -> Support {
    Support::AcceptedNoEffect { why: part }
}

/// Looks a dotted path up: `authentication.webhook.enabled`.
#[must_use]
pub fn find(fields: &'static [Field], path: &str) -> Option<&'static Field> {
    let (head, tail) = path.split_once('.').map_or((path, None), |(head, tail)| (head, Some(tail)));
    let field = fields.iter().find(|field| field.name == head)?;
    match (tail, field.kind) {
        (None, _) => Some(field),
        (Some(tail), Kind::Object(inner)) => find(inner, tail),
        (Some(_), _) => None,
    }
}

/// Calls `each` for every field that holds a value (not for objects around them), with its dotted path.
pub fn leaves(fields: &'static [Field], each: &mut dyn FnMut(&str, &'static Field)) {
    fn walk(prefix: &str, fields: &'static [Field], each: &mut dyn FnMut(&str, &'static Field)) {
        for field in fields {
            let path = join(prefix, field.name);
            match field.kind {
                Kind::Object(inner) => walk(&path, inner, each),
                _ => each(&path, field),
            }
        }
    }
    walk("", fields, each);
}

/// `prefix.name`.
#[must_use]
pub fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// Declares a part of the wire format: the struct that holds it and the table that describes it.
///
/// `field: Type, "wireName", Kind, value|shown|pointer Preset, support;`. Docs of a field become its description.
macro_rules! wire {
    (@unset value) => { $crate::config::schema::Unset::Zero };
    (@unset shown) => { $crate::config::schema::Unset::Shown };
    (@unset pointer) => { $crate::config::schema::Unset::Null };
    ($(
        $(#[doc = $struct_doc:literal])*
        pub struct $struct:ident {
            $( $(#[doc = $doc:literal])* $field:ident: $type:ty, $name:literal, $kind:expr, $unset:ident $default:expr, $support:expr; )*
        }
    )*) => { $(
        $(#[doc = $struct_doc])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $struct {
            $( $(#[doc = $doc])* #[serde(rename = $name)] pub $field: $type, )*
        }

        impl $struct {
            /// What this part is made of, in upstream's order.
            pub const FIELDS: &'static [$crate::config::schema::Field] = &[$(
                $crate::config::schema::Field {
                    name: $name,
                    kind: $kind,
                    unset: wire!(@unset $unset),
                    default: $default,
                    support: $support,
                    doc: concat!($($doc,)*),
                },
            )*];
        }
    )* };
}
pub(crate) use wire;

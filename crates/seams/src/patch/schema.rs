//! Which lists of a Pod's and a Node's status are merged, and by which key: a table of facts of the API
//! (`x-kubernetes-patch-strategy` and `x-kubernetes-patch-merge-key` in its OpenAPI document).

/// How one level of an object is patched.
#[derive(Debug)]
pub(super) struct Schema {
    /// Field name and how it differs from the default; fields that are not listed are plain: objects are patched key
    /// by key, lists and scalars are replaced.
    pub(super) fields: &'static [(&'static str, Field)],
}

/// A field with a rule of its own.
#[derive(Debug)]
pub(super) enum Field {
    /// An object whose fields have rules.
    Object(&'static Schema),
    /// A list of objects merged by `key`.
    Merge {
        /// Name of the field that identifies an element.
        key: &'static str,
        /// Whether a changed element must name all keys it keeps (`$retainKeys`).
        retain_keys: bool,
    },
    /// A list of scalars treated as a set (`$deleteFromPrimitiveList`).
    MergeScalars,
}

impl Schema {
    pub(super) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|(n, _)| *n == name).map(|(_, field)| field)
    }
}

const fn by(key: &'static str) -> Field {
    Field::Merge { key, retain_keys: false }
}

/// No rule at all.
pub(super) static ATOMIC: Schema = Schema { fields: &[] };

static METADATA: Schema =
    Schema { fields: &[("ownerReferences", by("uid")), ("finalizers", Field::MergeScalars)] };

/// `PodStatus`. Container statuses and `volumeHealth` are replaced as a whole.
pub(super) static POD_STATUS: Schema = Schema {
    fields: &[
        ("conditions", by("type")),
        ("hostIPs", by("ip")),
        ("podIPs", by("ip")),
        ("resourceClaimStatuses", Field::Merge { key: "name", retain_keys: true }),
        ("nodeAllocatableResourceClaimStatuses", by("resourceClaimName")),
    ],
};

/// `NodeStatus`. Images, volumes, runtime handlers and declared features are replaced as a whole.
pub(super) static NODE_STATUS: Schema =
    Schema { fields: &[("conditions", by("type")), ("addresses", by("type"))] };

static NODE_SPEC: Schema = Schema { fields: &[("podCIDRs", Field::MergeScalars)] };

/// `Pod`.
pub(super) static POD: Schema =
    Schema { fields: &[("metadata", Field::Object(&METADATA)), ("status", Field::Object(&POD_STATUS))] };

/// `Node`.
pub(super) static NODE: Schema = Schema {
    fields: &[
        ("metadata", Field::Object(&METADATA)),
        ("spec", Field::Object(&NODE_SPEC)),
        ("status", Field::Object(&NODE_STATUS)),
    ],
};

//! How label sets and groups of metrics are written down: one line for each.

use std::{borrow::Cow, sync::Arc};

/// Something that can be a label's value.
pub trait Word {
    /// The value.
    fn text(&self) -> Cow<'_, str>;
}

impl Word for Arc<str> {
    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

impl Word for &'static str {
    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

impl Word for i32 {
    fn text(&self) -> Cow<'_, str> {
        Cow::Owned(self.to_string())
    }
}

impl Word for bool {
    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(if *self { "true" } else { "false" })
    }
}

/// An enum of the values that one label may have; with the label's name, it is a label set of its own.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident $label:literal { $($variant:ident = $word:literal),+ $(,)? }) => {
        $crate::labels::words! { $(#[$doc])* $name { $($variant = $word),+ } }

        impl $crate::family::Labels for $name {
            const NAMES: &'static [&'static str] = &[$label];

            fn values(&self) -> Vec<std::borrow::Cow<'_, str>> {
                vec![self.word().into()]
            }
        }
    };
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = concat!("`", $word, "`.")] $variant),+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As in the label.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl $crate::labels::Word for $name {
            fn text(&self) -> std::borrow::Cow<'_, str> {
                self.word().into()
            }
        }
    };
}

/// A label set of several names; its fields are in the order of the names.
macro_rules! label_set {
    ($(#[$doc:meta])* $name:ident { $($field:ident $label:literal: $type:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            $(#[doc = concat!("Label `", $label, "`.")] pub $field: $type),+
        }

        impl $crate::family::Labels for $name {
            const NAMES: &'static [&'static str] = &[$($label),+];

            fn values(&self) -> Vec<std::borrow::Cow<'_, str>> {
                vec![$($crate::labels::Word::text(&self.$field)),+]
            }
        }
    };
}

/// A struct of metrics: which field is which row, and all of them for the registry.
macro_rules! group {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty = $page:ident $metric:literal $([$labels:expr])?),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            $(#[doc = concat!("`", $metric, "`.")] pub $field: $type),+
        }

        impl $name {
            pub(crate) fn new() -> Self {
                Self {
                    $($field: group!(@new $type, $page $metric $([$labels])?)),+
                }
            }

            pub(crate) fn families(&self) -> Vec<&dyn $crate::family::Family> {
                vec![$(&self.$field),+]
            }
        }
    };
    (@new $type:ty, $page:ident $metric:literal) => {
        <$type>::new(const { $crate::table::find($crate::table::Page::$page, $metric) })
    };
    (@new $type:ty, $page:ident $metric:literal [$labels:expr]) => {
        <$type>::with(const { $crate::table::find($crate::table::Page::$page, $metric) }, $labels)
    };
}

pub(crate) use {group, label_set, words};

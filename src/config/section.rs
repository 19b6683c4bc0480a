//! A section of the configuration: a struct whose fields are its keys, and the same fields by name.

use super::setting::{Fault, Raw};

/// A key of a section, for printing.
pub(super) struct Field {
    /// Its name within the section.
    pub(super) name: &'static str,
    /// What it means.
    pub(super) doc: String,
    /// Its value; `None` when it is not set.
    pub(super) shown: Option<toml::Value>,
    /// The keys of its tables, with their defaults, when it is a list of tables.
    pub(super) inner: Vec<Field>,
}

/// Access to a section's keys by name.
pub(super) trait Section {
    /// Its name in the file; empty for keys without a section.
    fn name(&self) -> &'static str;
    /// Its keys in the order of the documentation.
    fn fields(&self) -> Vec<Field>;
    /// Sets one; `None` when there is no such key.
    fn set(&mut self, field: &str, raw: &Raw) -> Option<Result<(), Vec<Fault>>>;
}

/// The full name of a key.
pub(super) fn key(section: &str, field: &str) -> String {
    if section.is_empty() {
        field.to_owned()
    } else {
        format!("{section}.{field}")
    }
}

/// Declares a section: one line per key with its meaning, type and default.
macro_rules! section {
    ($(#[doc = $about:literal])+ $name:ident, $section:literal {
        $( $(#[doc = $doc:literal])+ $field:ident: $kind:ty = $default:expr, )+
    }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone)]
        pub struct $name { $( $(#[doc = $doc])+ pub $field: $kind, )+ }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $crate::config::section::Section for $name {
            fn name(&self) -> &'static str {
                $section
            }

            fn fields(&self) -> Vec<$crate::config::section::Field> {
                vec![$( $crate::config::section::Field {
                    name: stringify!($field),
                    doc: concat!($($doc),+).trim().to_owned(),
                    shown: $crate::config::setting::Value::show(&self.$field),
                    inner: <$kind as $crate::config::setting::Value>::inner(),
                } ),+]
            }

            fn set(
                &mut self,
                field: &str,
                raw: &$crate::config::setting::Raw,
            ) -> Option<Result<(), Vec<$crate::config::setting::Fault>>> {
                match field {
                    $( stringify!($field) => {
                        Some($crate::config::setting::Value::read(raw).map(|value| self.$field = value))
                    } )+
                    _ => None,
                }
            }
        }

        impl $name {
            /// The keys whose values differ.
            pub(super) fn changed(&self, other: &Self) -> Vec<String> {
                let mut changed = Vec::new();
                $( if self.$field != other.$field {
                    changed.push($crate::config::section::key($section, stringify!($field)));
                } )+
                changed
            }
        }
    };
}
pub(super) use section;

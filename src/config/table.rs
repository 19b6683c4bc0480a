//! Lists of tables, such as `[[littlebrother.users]]`: a struct for each table whose fields are its keys.

use super::problem::nearest;
use super::section::Field;
use super::setting::{Fault, Placed, Raw, Value};
use std::ops::Deref;

/// A table of a list.
pub(super) trait Table: Sized {
    /// Its keys, with defaults.
    fn keys() -> Vec<Field>;
    /// Reads it, or says all that is wrong.
    fn read(fields: &[(String, Placed)]) -> Result<Self, Vec<Fault>>;
    /// Its keys and values.
    fn show(&self) -> Vec<Field>;
}

/// Any number of tables of one kind, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables<T>(pub Vec<T>);

impl<T> Deref for Tables<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Table> Value for Tables<T> {
    fn read(raw: &Raw) -> Result<Self, Vec<Fault>> {
        let Raw::List(items) = raw else {
            let expected = "a list of tables, which only the file can have: [[…]]".to_owned();
            return Err(vec![raw.is_not(&expected).into()]);
        };
        let (mut tables, mut faults) = (Vec::new(), Vec::new());
        for (index, item) in items.iter().enumerate() {
            let read = match &item.raw {
                Raw::Table(fields) => T::read(fields),
                other => Err(vec![other.is_not("a table").into()]),
            };
            match read {
                Ok(table) => tables.push(table),
                Err(wrong) => {
                    let within = |fault: Fault| fault.within(&format!("[{index}]"), item.line);
                    faults.extend(wrong.into_iter().map(within));
                }
            }
        }
        match faults.is_empty() {
            true => Ok(Self(tables)),
            false => Err(faults),
        }
    }

    fn show(&self) -> Option<toml::Value> {
        let table = |table: &T| {
            let keys = table.show().into_iter();
            let set = keys.filter_map(|key| Some((key.name.to_owned(), key.shown?)));
            toml::Value::Table(set.collect())
        };
        Some(toml::Value::Array(self.iter().map(table).collect()))
    }

    fn inner() -> Vec<Field> {
        T::keys()
    }
}

/// The value of one key of a table, if it is there and right. What is wrong is added to `faults`.
pub(super) fn field<T: Value>(fields: &[(String, Placed)], name: &str, faults: &mut Vec<Fault>) -> Option<T> {
    let (_, placed) = fields.iter().find(|(found, _)| found == name)?;
    match T::read(&placed.raw) {
        Ok(value) => Some(value),
        Err(wrong) => {
            let within = |fault: Fault| fault.within(&format!(".{name}"), placed.line);
            faults.extend(wrong.into_iter().map(within));
            None
        }
    }
}

/// Keys that the table does not have.
pub(super) fn unknown(fields: &[(String, Placed)], known: &[&str], faults: &mut Vec<Fault>) {
    for (name, placed) in fields.iter().filter(|(name, _)| !known.contains(&&**name)) {
        let text = format!("no such key{}", nearest(name, known.iter().copied()));
        faults.push(Fault::from(text).within(&format!(".{name}"), placed.line));
    }
}

/// Keys that the table needs and that are not there.
pub(super) fn missing(fields: &[(String, Placed)], name: &str, faults: &mut Vec<Fault>) {
    if !fields.iter().any(|(found, _)| found == name) {
        let fault = Fault {
            place: format!(".{name}"),
            line: None,
            text: "is missing".to_owned(),
        };
        faults.push(fault);
    }
}

/// Declares a table: one line per key with its meaning, type and, unless it must be given, its default.
macro_rules! table {
    ($(#[doc = $about:literal])+ $name:ident {
        $( $(#[doc = $doc:literal])+ $field:ident: $kind:ty $(= $default:expr)?, )+
    }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $( $(#[doc = $doc])+ pub $field: $kind, )+ }

        impl $crate::config::table::Table for $name {
            fn keys() -> Vec<$crate::config::section::Field> {
                vec![$( $crate::config::section::Field {
                    name: stringify!($field),
                    doc: concat!($($doc),+).trim().to_owned(),
                    shown: None::<$kind>$(.or(Some($default)))?
                        .and_then(|value| $crate::config::setting::Value::show(&value)),
                    inner: Vec::new(),
                } ),+]
            }

            fn read(
                fields: &[(String, $crate::config::setting::Placed)],
            ) -> Result<Self, Vec<$crate::config::setting::Fault>> {
                let mut faults = Vec::new();
                $crate::config::table::unknown(fields, &[$( stringify!($field) ),+], &mut faults);
                $( let $field: Option<$kind> =
                    $crate::config::table::field(fields, stringify!($field), &mut faults)
                    $(.or_else(|| Some($default)))?; )+
                $( if $field.is_none() {
                    $crate::config::table::missing(fields, stringify!($field), &mut faults);
                } )+
                match ($( $field, )+) {
                    ($( Some($field), )+) if faults.is_empty() => Ok(Self { $( $field, )+ }),
                    _ => Err(faults),
                }
            }

            fn show(&self) -> Vec<$crate::config::section::Field> {
                vec![$( $crate::config::section::Field {
                    name: stringify!($field),
                    doc: String::new(),
                    shown: $crate::config::setting::Value::show(&self.$field),
                    inner: Vec::new(),
                } ),+]
            }
        }
    };
}
pub(super) use table;

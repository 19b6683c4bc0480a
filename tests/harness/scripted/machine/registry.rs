//! A registry in memory. Names have no case, and keep the one they were made with.

use super::Trouble;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tripline_protocol::verb::{RegistryListing, RegistryValue, SetRegistryValue};

/// The hives, with their long names.
const HIVES: [(&str, &str); 5] = [
    ("HKLM", "HKEY_LOCAL_MACHINE"),
    ("HKCU", "HKEY_CURRENT_USER"),
    ("HKCR", "HKEY_CLASSES_ROOT"),
    ("HKU", "HKEY_USERS"),
    ("HKCC", "HKEY_CURRENT_CONFIG"),
];

/// A value's data with its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    /// `REG_SZ`.
    Text(String),
    /// `REG_EXPAND_SZ`.
    Expandable(String),
    /// `REG_DWORD`.
    Dword(u32),
    /// `REG_QWORD`.
    Qword(u64),
    /// `REG_MULTI_SZ`.
    Texts(Vec<String>),
    /// `REG_BINARY`; base64 on the wire.
    Binary(Vec<u8>),
}

impl Data {
    /// Reads it as a caller wrote it; without a type it is what the JSON is.
    fn read(value: &Value, value_type: Option<&str>) -> Result<Self, Trouble> {
        let guessed = match value {
            Value::Number(number) if number.as_u64().is_some_and(|n| n > u64::from(u32::MAX)) => "REG_QWORD",
            Value::Number(_) => "REG_DWORD",
            Value::Array(_) => "REG_MULTI_SZ",
            _ => "REG_SZ",
        };
        let text = || value.as_str().map(str::to_owned);
        let number = || value.as_u64();
        let texts = |list: &Vec<Value>| list.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        let data = match value_type.unwrap_or(guessed) {
            "REG_SZ" => text().map(Self::Text),
            "REG_EXPAND_SZ" => text().map(Self::Expandable),
            "REG_DWORD" => number().and_then(|n| u32::try_from(n).ok()).map(Self::Dword),
            "REG_QWORD" => number().map(Self::Qword),
            "REG_MULTI_SZ" => value.as_array().and_then(texts).map(Self::Texts),
            "REG_BINARY" => text().and_then(|b64| STANDARD.decode(b64).ok()).map(Self::Binary),
            _ => None,
        };
        data.ok_or(Trouble::Invalid)
    }

    fn shown(&self, name: &str) -> RegistryValue {
        let (value_type, value_data) = match self {
            Self::Text(text) => ("REG_SZ", json!(text)),
            Self::Expandable(text) => ("REG_EXPAND_SZ", json!(text)),
            Self::Dword(number) => ("REG_DWORD", json!(number)),
            Self::Qword(number) => ("REG_QWORD", json!(number)),
            Self::Texts(texts) => ("REG_MULTI_SZ", json!(texts)),
            Self::Binary(bytes) => ("REG_BINARY", json!(STANDARD.encode(bytes))),
        };
        RegistryValue {
            value_name: name.to_owned(),
            value_type: value_type.to_owned(),
            value_data,
        }
    }
}

/// A key: its name as it was written, and its values by their names without case.
#[derive(Debug, Default)]
struct Key {
    name: String,
    values: BTreeMap<String, (String, Data)>,
}

/// The keys, by their whole path without case.
#[derive(Debug)]
pub(crate) struct Registry(BTreeMap<String, Key>);

/// The hive's short name and what follows, without case.
fn normal(path: &str) -> Option<String> {
    let mut parts = path.split('\\').filter(|part| !part.is_empty());
    let first = parts.next()?;
    let (hive, _) = HIVES
        .iter()
        .find(|(short, long)| [short, long].iter().any(|name| name.eq_ignore_ascii_case(first)))?;
    let rest = parts.map(|part| format!("\\{}", part.to_lowercase()));
    Some(hive.to_lowercase() + &rest.collect::<String>())
}

/// A value's key, and its name; that of a key's default value is empty.
fn split(path: &str) -> Result<(&str, &str), Trouble> {
    path.rsplit_once('\\').ok_or(Trouble::Invalid)
}

impl Registry {
    pub(super) fn new() -> Self {
        let hives = HIVES.map(|(name, _)| (name.to_lowercase(), name.to_owned()));
        let keys = hives.map(|(normal, name)| {
            let values = BTreeMap::new();
            (normal, Key { name, values })
        });
        Self(keys.into())
    }

    /// Makes a key, and those above it; one that is there stays as it is.
    pub(crate) fn create_key(&mut self, path: &str) -> Result<(), Trouble> {
        let whole = normal(path).ok_or(Trouble::NoFile)?;
        let names: Vec<&str> = path.split('\\').filter(|part| !part.is_empty()).collect();
        let mut key = String::new();
        for (part, name) in whole.split('\\').zip(names) {
            if !key.is_empty() {
                key.push('\\');
            }
            key.push_str(part);
            self.0.entry(key.clone()).or_insert_with(|| Key {
                name: name.to_owned(),
                values: BTreeMap::new(),
            });
        }
        Ok(())
    }

    /// Writes a value, and makes its key.
    pub(crate) fn set(&mut self, path: &str, data: Data) -> Result<(), Trouble> {
        let (key, name) = split(path)?;
        self.create_key(key)?;
        let values = &mut self.key_mut(key)?.values;
        values.insert(name.to_lowercase(), (name.to_owned(), data));
        Ok(())
    }

    /// A value's data.
    pub(crate) fn get(&self, path: &str) -> Result<&Data, Trouble> {
        let (key, name) = split(path)?;
        let (_, data) = self
            .key(key)?
            .values
            .get(&name.to_lowercase())
            .ok_or(Trouble::NoFile)?;
        Ok(data)
    }

    fn key(&self, path: &str) -> Result<&Key, Trouble> {
        normal(path)
            .and_then(|key| self.0.get(&key))
            .ok_or(Trouble::NoFile)
    }

    fn key_mut(&mut self, path: &str) -> Result<&mut Key, Trouble> {
        normal(path)
            .and_then(|key| self.0.get_mut(&key))
            .ok_or(Trouble::NoFile)
    }

    /// `get_registry_value`.
    pub(super) fn query(&self, path: &str) -> Result<RegistryValue, Trouble> {
        let (key, name) = split(path)?;
        let found = self.key(key)?.values.get(&name.to_lowercase());
        let (name, data) = found.ok_or(Trouble::NoFile)?;
        Ok(data.shown(name))
    }

    /// `list_registry_keys_and_values`.
    pub(super) fn list(&self, path: &str) -> Result<RegistryListing, Trouble> {
        let values = self.key(path)?.values.values();
        let above = normal(path).ok_or(Trouble::NoFile)? + "\\";
        let below = self
            .0
            .range(above.clone()..)
            .take_while(|(key, _)| key.starts_with(&above));
        let children = below.filter(|(key, _)| !key.split_at(above.len()).1.contains('\\'));
        Ok(RegistryListing {
            values: values.map(|(name, data)| data.shown(name)).collect(),
            sub_keys: children.map(|(_, key)| key.name.clone()).collect(),
        })
    }

    /// `set_registry_value`: its key has to be there.
    pub(super) fn write(&mut self, args: &SetRegistryValue) -> Result<(), Trouble> {
        let data = Data::read(&args.value, args.value_type.as_deref())?;
        let (key, name) = split(&args.path)?;
        let values = &mut self.key_mut(key)?.values;
        if args.overwrite == Some(false) && values.contains_key(&name.to_lowercase()) {
            return Err(Trouble::Exists);
        }
        values.insert(name.to_lowercase(), (name.to_owned(), data));
        Ok(())
    }

    /// `delete_registry_key`: of a key without keys below it.
    pub(super) fn delete_key(&mut self, path: &str) -> Result<(), Trouble> {
        let key = normal(path).ok_or(Trouble::NoFile)?;
        if !self.list(path)?.sub_keys.is_empty() || !key.contains('\\') {
            return Err(Trouble::Denied);
        }
        self.0.remove(&key);
        Ok(())
    }

    /// `delete_registry_value`.
    pub(super) fn delete_value(&mut self, path: &str) -> Result<(), Trouble> {
        let (key, name) = split(path)?;
        let removed = self.key_mut(key)?.values.remove(&name.to_lowercase());
        removed.map(|_| ()).ok_or(Trouble::NoFile)
    }
}

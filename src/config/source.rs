//! Reads keys and values from a TOML file, with their lines, and from the environment.

use super::problem::nearest;
use super::setting::{Placed, Raw};
use super::{Config, Error, Origin, Problem};
use std::path::Path;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// First part of the name of every variable that sets a key.
const PREFIX: &str = "TRIPLINE__";

/// The one list of tables that belongs to no section.
const LIST_OF_SERVICES: &str = "services";

/// A key with its value, as it was written.
pub(super) struct Entry {
    /// Empty for keys without a section.
    pub(super) section: String,
    /// The key within its section.
    pub(super) field: String,
    /// Its value.
    pub(super) raw: Raw,
    /// Where it was written.
    pub(super) origin: Origin,
}

/// Reads a file. What is no TOML becomes a problem without a key.
pub(super) fn read_file(path: &Path, problems: &mut Vec<Problem>) -> Result<Vec<Entry>, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let file = File { path, text: &text };
    match DeTable::parse(&text) {
        Ok(table) => Ok(file.entries(table.get_ref(), problems)),
        Err(error) => {
            let origin = file.origin(error.span().map_or(0, |span| span.start));
            let text = format!("not TOML: {}", error.message().replace('\n', ", "));
            problems.push(Problem {
                key: String::new(),
                origin,
                text,
            });
            Ok(Vec::new())
        }
    }
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn origin(&self, offset: usize) -> Origin {
        Origin::File {
            path: self.path.to_owned(),
            line: self.line(offset),
        }
    }

    fn line(&self, offset: usize) -> usize {
        let before = self.text.bytes().take(offset);
        1 + before.filter(|byte| *byte == b'\n').count()
    }

    fn raw(&self, value: &DeValue<'_>) -> Raw {
        match value {
            DeValue::String(text) => Raw::Text(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Raw::Other("integer beyond 64 bits"), Raw::Integer),
            DeValue::Float(number) => number.as_str().parse().map_or(Raw::Other("float"), Raw::Float),
            DeValue::Boolean(value) => Raw::Boolean(*value),
            DeValue::Array(items) => Raw::List(items.iter().map(|item| self.item(item)).collect()),
            DeValue::Table(fields) => Raw::Table(self.fields(fields)),
            other => Raw::Other(other.type_str()),
        }
    }

    fn item(&self, value: &Spanned<DeValue<'_>>) -> Placed {
        Placed {
            line: self.line(value.span().start),
            raw: self.raw(value.get_ref()),
        }
    }

    /// In the order of the file, each in the line of its name.
    fn fields(&self, table: &DeTable<'_>) -> Vec<(String, Placed)> {
        let field = |(name, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
            let placed = Placed {
                line: self.line(name.span().start),
                raw: self.raw(value.get_ref()),
            };
            (name.get_ref().to_string(), placed)
        };
        let mut fields: Vec<_> = table.iter().map(field).collect();
        fields.sort_by_key(|(_, placed)| placed.line);
        fields
    }

    fn entries(&self, table: &DeTable<'_>, problems: &mut Vec<Problem>) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut items: Vec<_> = table.iter().collect();
        items.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in items {
            let origin = self.origin(name.span().start);
            let name: &str = name.get_ref();
            if let Some(text) = refused_section(name, value.get_ref().is_table()) {
                problems.push(Problem {
                    key: name.to_owned(),
                    origin,
                    text,
                });
            } else if let Some(fields) = value.get_ref().as_table() {
                entries.extend(fields.iter().map(|(field, value)| Entry {
                    section: name.to_owned(),
                    field: field.get_ref().to_string(),
                    raw: self.raw(value.get_ref()),
                    origin: self.origin(field.span().start),
                }));
            } else {
                entries.push(Entry {
                    section: String::new(),
                    field: name.to_owned(),
                    raw: self.raw(value.get_ref()),
                    origin,
                });
            }
        }
        entries
    }
}

/// Why there is no such section, if there is none.
fn refused_section(name: &str, is_table: bool) -> Option<String> {
    if name == LIST_OF_SERVICES {
        return is_table.then(|| format!("is a list of tables: write [[{LIST_OF_SERVICES}]]"));
    }
    let config = Config::default();
    let mut known = config
        .sections()
        .into_iter()
        .map(|section| section.name())
        .filter(|name| !name.is_empty());
    let is_section = known.any(|known| known == name);
    match (is_section, is_table) {
        (true, false) => Some(format!("is a section: write [{name}] and its keys below")),
        (false, true) => {
            let known = config.sections();
            Some(format!(
                "no such section{}",
                nearest(name, known.iter().map(|section| section.name()))
            ))
        }
        _ => None,
    }
}

/// Reads the variables whose names begin with `TRIPLINE__`; others are not ours.
pub(super) fn read_environment(variables: impl IntoIterator<Item = (String, String)>) -> Vec<Entry> {
    let mut ours: Vec<(String, String)> = variables
        .into_iter()
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    ours.sort();
    let mut entries = Vec::new();
    for (variable, value) in ours {
        let path = variable.trim_start_matches(PREFIX).to_ascii_lowercase();
        let (section, field) = path.split_once("__").unwrap_or(("", &path));
        let origin = Origin::Environment(variable.clone());
        let (section, field) = (section.to_owned(), field.to_owned());
        entries.push(Entry {
            section,
            field,
            raw: Raw::Environment(value),
            origin,
        });
    }
    entries
}

//! How a value of each type is read from a file or the environment, and shown again.
//!
//! A [`Setting`] is written in one place, so one text says what is wrong with it. A [`Value`] may also be a list
//! of tables, in which several things can be wrong, each in its own line.

use super::section::Field;
use std::net::SocketAddr;
use std::path::PathBuf;
use tripline_protocol::api::Role;
use tripline_protocol::id::InvalidId;
use tripline_protocol::{Label, Name, Org, Span, Subjects};

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    /// Text from the environment: any type is read from it.
    Environment(String),
    /// A TOML string.
    Text(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML float.
    Float(f64),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML array.
    List(Vec<Placed>),
    /// A TOML table.
    Table(Vec<(String, Placed)>),
    /// Something no key takes; its TOML type.
    Other(&'static str),
}

/// A value within another, and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    /// Line in the file, from 1.
    pub(super) line: usize,
    /// The value.
    pub(super) raw: Raw,
}

impl Raw {
    fn describe(&self) -> String {
        match self {
            Raw::Environment(text) | Raw::Text(text) => {
                format!("{:?}", text.chars().take(80).collect::<String>())
            }
            Raw::Integer(number) => number.to_string(),
            Raw::Float(number) => number.to_string(),
            Raw::Boolean(value) => value.to_string(),
            Raw::List(_) => "an array".to_owned(),
            Raw::Table(_) => "a TOML table".to_owned(),
            Raw::Other(kind) => format!("a TOML {kind}"),
        }
    }

    /// "… is not …", without the value when it may be a secret.
    pub(super) fn is_not(&self, expected: &str) -> String {
        format!("{} is not {expected}", self.describe())
    }

    /// Every place within it, as what follows its key: `[1]`, `[1].login`.
    pub(super) fn places(&self) -> Vec<(String, usize)> {
        let mut places = Vec::new();
        let mut within = |part: String, placed: &Placed| {
            let inner = placed.raw.places().into_iter();
            places.push((part.clone(), placed.line));
            places.extend(inner.map(|(rest, line)| (format!("{part}{rest}"), line)));
        };
        match self {
            Raw::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    within(format!("[{index}]"), item);
                }
            }
            Raw::Table(fields) => {
                for (name, field) in fields {
                    within(format!(".{name}"), field);
                }
            }
            _ => {}
        }
        places
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Raw::Environment(text) | Raw::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Raw::Integer(number) => Some(*number),
            Raw::Environment(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl Raw {
    /// A number, whole or not.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Raw::Float(number) => Some(*number),
            Raw::Integer(number) => Some(*number as f64),
            Raw::Environment(text) => text.parse().ok(),
            _ => None,
        }
    }
}

/// What is wrong in a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The place within the value, such as `[1].login`; empty for the value itself.
    pub(super) place: String,
    /// Its line; `None` for that of the key.
    pub(super) line: Option<usize>,
    /// What is wrong and what was expected.
    pub(super) text: String,
}

impl Fault {
    /// The same, seen from around `part`, which was written in `line`.
    pub(super) fn within(self, part: &str, line: usize) -> Self {
        Self {
            place: format!("{part}{}", self.place),
            line: self.line.or(Some(line)),
            text: self.text,
        }
    }
}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        Self {
            place: String::new(),
            line: None,
            text,
        }
    }
}

/// What a key can have: a setting, or more.
pub(super) trait Value: Sized {
    /// Reads it, or says all that is wrong.
    fn read(raw: &Raw) -> Result<Self, Vec<Fault>>;
    /// As [`Setting::show`].
    fn show(&self) -> Option<toml::Value>;
    /// The keys of its tables with their defaults, if it has any.
    fn inner() -> Vec<Field> {
        Vec::new()
    }
}

impl<T: Setting> Value for T {
    fn read(raw: &Raw) -> Result<Self, Vec<Fault>> {
        T::read(raw).map_err(|text| vec![text.into()])
    }

    fn show(&self) -> Option<toml::Value> {
        T::show(self)
    }
}

/// A type that a key can have.
pub(super) trait Setting: Sized {
    /// Reads it; the error says what was expected.
    fn read(raw: &Raw) -> Result<Self, String>;
    /// As it is written in a file; `None` when it is not set. Secrets come out masked.
    fn show(&self) -> Option<toml::Value>;
}

/// Reads a type that is written as text.
pub(super) fn read_text<T>(
    raw: &Raw,
    expected: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, String> {
    raw.text()
        .filter(|text| !text.is_empty())
        .and_then(parse)
        .ok_or_else(|| raw.is_not(expected))
}

impl<T: Setting> Setting for Option<T> {
    fn read(raw: &Raw) -> Result<Self, String> {
        T::read(raw).map(Some)
    }

    fn show(&self) -> Option<toml::Value> {
        self.as_ref().and_then(T::show)
    }
}

impl Setting for bool {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Boolean(value) => Ok(*value),
            Raw::Environment(text) => text.parse().map_err(|_| raw.is_not("true or false")),
            _ => Err(raw.is_not("true or false")),
        }
    }

    fn show(&self) -> Option<toml::Value> {
        Some((*self).into())
    }
}

impl Setting for u32 {
    fn read(raw: &Raw) -> Result<Self, String> {
        raw.integer()
            .and_then(|number| number.try_into().ok())
            .ok_or_else(|| raw.is_not("a whole number from 0 to 4294967295"))
    }

    fn show(&self) -> Option<toml::Value> {
        Some((*self).into())
    }
}

impl Setting for u64 {
    fn read(raw: &Raw) -> Result<Self, String> {
        raw.integer()
            .and_then(|number| number.try_into().ok())
            .ok_or_else(|| raw.is_not("a whole number, not negative"))
    }

    fn show(&self) -> Option<toml::Value> {
        Some(i64::try_from(*self).unwrap_or(i64::MAX).into())
    }
}

impl Setting for Span {
    fn read(raw: &Raw) -> Result<Self, String> {
        read_text(raw, "a span of time such as \"30s\", \"2m\" or \"7d\"", |text| {
            text.parse().ok()
        })
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

impl Setting for String {
    fn read(raw: &Raw) -> Result<Self, String> {
        read_text(raw, "a text that is not empty", |text| Some(text.to_owned()))
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.clone().into())
    }
}

impl Setting for PathBuf {
    fn read(raw: &Raw) -> Result<Self, String> {
        read_text(raw, "a path", |text| Some(text.into()))
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.to_string_lossy().into_owned().into())
    }
}

impl Setting for SocketAddr {
    fn read(raw: &Raw) -> Result<Self, String> {
        read_text(
            raw,
            "an IP address with a port, such as \"127.0.0.1:7400\"",
            |text| text.parse().ok(),
        )
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

impl Setting for Subjects {
    fn read(raw: &Raw) -> Result<Self, String> {
        read_text(
            raw,
            "dot-separated words of A-Z a-z 0-9 _ -, at most 64 bytes",
            |text| text.parse().ok(),
        )
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.prefix().into())
    }
}

impl Setting for Org {
    fn read(raw: &Raw) -> Result<Self, String> {
        read_text(
            raw,
            "an org: 1 to 64 of A-Z a-z 0-9 _ -, the first a letter or digit",
            |text| text.parse().ok(),
        )
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

impl Setting for Vec<Org> {
    fn read(raw: &Raw) -> Result<Self, String> {
        let texts = <Vec<String> as Setting>::read(raw)?;
        let orgs = texts.iter().map(|text| text.parse());
        orgs.collect::<Result<_, _>>()
            .map_err(|error: InvalidId| error.to_string())
    }

    fn show(&self) -> Option<toml::Value> {
        let texts: Vec<String> = self.iter().map(Org::to_string).collect();
        Some(texts.into())
    }
}

impl Setting for Name {
    fn read(raw: &Raw) -> Result<Self, String> {
        let text = raw.text().ok_or_else(|| raw.is_not("a name"))?;
        text.parse().map_err(|error: InvalidId| error.to_string())
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

impl Setting for Role {
    fn read(raw: &Raw) -> Result<Self, String> {
        read_text(raw, "viewer, operator or admin", |text| {
            text.parse().ok().filter(|role| *role != Self::Enrol)
        })
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.to_string().into())
    }
}

impl Setting for Vec<Label> {
    fn read(raw: &Raw) -> Result<Self, String> {
        let texts = <Vec<String> as Setting>::read(raw)?;
        let labels = texts.iter().map(|text| text.parse());
        labels
            .collect::<Result<_, _>>()
            .map_err(|error: InvalidId| error.to_string())
    }

    fn show(&self) -> Option<toml::Value> {
        let texts: Vec<String> = self.iter().map(Label::to_string).collect();
        Some(texts.into())
    }
}

impl Setting for Vec<String> {
    fn read(raw: &Raw) -> Result<Self, String> {
        const EXPECTED: &str = "an array of texts (in the environment: separated by commas)";
        match raw {
            Raw::List(items) => items
                .iter()
                .map(|item| <String as Setting>::read(&item.raw))
                .collect::<Result<_, _>>(),
            Raw::Environment(text) if !text.is_empty() => {
                Ok(text.split(',').map(|item| item.trim().to_owned()).collect())
            }
            _ => Err(raw.is_not(EXPECTED)),
        }
    }

    fn show(&self) -> Option<toml::Value> {
        Some(self.clone().into())
    }
}

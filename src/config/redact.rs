//! `audit.redact`: patterns of what must not go on record.

use super::setting::{Raw, Setting};
use crate::cli::chain;
use tripline_actors::audit::Redactor;

/// Regular expressions, each of which is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redact(Vec<String>);

impl Redact {
    /// As the audit uses them.
    pub fn to_redactor(&self) -> Redactor {
        // They were read once already, so they are patterns.
        Redactor::new(&self.0).unwrap_or_default()
    }
}

impl Setting for Redact {
    /// In the environment it is one pattern: patterns have commas.
    fn read(raw: &Raw) -> Result<Self, String> {
        let patterns = match raw {
            Raw::Environment(text) => vec![text.clone()],
            list => <Vec<String> as Setting>::read(list)?,
        };
        match Redactor::new(&patterns) {
            Ok(_) => Ok(Self(patterns)),
            Err(error) => Err(chain(&error)),
        }
    }

    fn show(&self) -> Option<toml::Value> {
        Setting::show(&self.0)
    }
}

//! Configuration files of the real programs.

use std::fmt::Write;

/// Sections with keys and values, in order.
#[derive(Default)]
pub(super) struct Ini(String);

impl Ini {
    /// Adds a section.
    pub(super) fn section(mut self, name: &str, entries: &[(&str, &str)]) -> Self {
        // Writing into a text does not fail.
        let _ = writeln!(self.0, "[{name}]");
        for (key, value) in entries {
            let _ = writeln!(self.0, "{key} = {value}");
        }
        self
    }

    pub(super) fn text(self) -> String {
        self.0
    }
}

//! Which processes a user's patterns mean, exactly as little-brother 0.5.8 reads them.
//!
//! The text is split into lines; lines of one character or less are dropped. A login pattern with a `/` anywhere
//! joins its lines with `|` as they are; without one, each line stands for `.*line.*`, again joined with `|`.
//! A name matches when the pattern matches at its beginning. A bar inside a line is not bracketed, so
//! `systemd|bash` means `.*systemd` or a name that begins with `bash`. Source: observed on the running program.

use regex::{Regex, RegexBuilder};

/// Most memory a compiled pattern may take, in bytes.
const COMPILED_BYTES_MAX: usize = 1024 * 1024;

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// Nothing is left of it.
    #[error("no line of two or more characters is left in the pattern: it would match nothing")]
    Empty,
    /// It is no regular expression, or uses what only Python's have (look-around, back-references).
    #[error("not a regular expression: {0}")]
    Syntax(String),
}

/// Which processes count: matched against the process' name.
#[derive(Debug, Clone)]
pub struct ProcessPattern(Regex);

/// Which processes must not run: matched against the whole command line.
#[derive(Debug, Clone)]
pub struct ProhibitedPattern(Regex);

impl ProcessPattern {
    /// Reads the text of a login pattern.
    ///
    /// # Errors
    /// It is empty or no regular expression.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let lines = lines(text);
        let joined = if text.contains('/') {
            lines.join("|")
        } else {
            lines.iter().map(anywhere).collect::<Vec<_>>().join("|")
        };
        compile(&joined).map(Self)
    }

    /// Whether a process of this name counts.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }

    /// The regular expression it became.
    pub fn expression(&self) -> &str {
        self.0.as_str()
    }
}

impl ProhibitedPattern {
    /// Reads the text of a prohibited pattern; `None` when nothing is prohibited.
    ///
    /// # Errors
    /// It is no regular expression.
    pub fn parse(text: &str) -> Result<Option<Self>, InvalidPattern> {
        let lines = lines(text);
        if lines.is_empty() {
            return Ok(None);
        }
        let joined = lines.iter().map(anywhere).collect::<Vec<_>>().join("|");
        compile(&joined).map(|regex| Some(Self(regex)))
    }

    /// Whether a process with this command line must not run.
    pub fn matches(&self, command_line: &str) -> bool {
        self.0.is_match(command_line)
    }

    /// The regular expression it became.
    pub fn expression(&self) -> &str {
        self.0.as_str()
    }
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.chars().count() > 1).collect()
}

fn anywhere(line: &&str) -> String {
    format!("(.*{line}.*)")
}

/// Anchored at the beginning, as `re.match` is.
fn compile(joined: &str) -> Result<Regex, InvalidPattern> {
    if joined.is_empty() {
        return Err(InvalidPattern::Empty);
    }
    RegexBuilder::new(&format!(r"\A(?:{joined})"))
        .size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| InvalidPattern::Syntax(error.to_string()))
}

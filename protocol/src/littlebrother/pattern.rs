//! Which processes a user's patterns mean, exactly as little-brother 0.5.8 reads them.
//!
//! The text is split at line feeds, carriage returns are dropped wherever they are, and each line loses the white
//! space around it; lines of one character or less are dropped. A login pattern with a `/` anywhere joins its lines
//! with `|` as they are; without one, each line stands for `(.*line.*)`, again joined with `|`. A name matches
//! when the pattern matches at its beginning. A bar inside a line is not bracketed, so `systemd|bash` means
//! `.*systemd` or a name that begins with `bash`. Source: observed on the running program.
//!
//! Lines are Python's regular expressions: [`python`] rewrites them, and refuses what cannot be rewritten.

mod python;

use regex::{Regex, RegexBuilder};

/// Most memory a compiled pattern may take, in bytes.
const COMPILED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// Nothing is left of it.
    #[error("no line of two or more characters is left in the pattern: it would match nothing")]
    Empty,
    /// It is no regular expression, for Python neither.
    #[error("not a regular expression: {0}")]
    Syntax(String),
    /// Python takes it; matching in linear time does not.
    #[error("{0} is not supported in patterns")]
    Unsupported(&'static str),
}

/// Which processes count: matched against the process' name.
#[derive(Debug, Clone)]
pub struct ProcessPattern(Pattern);

/// Which processes must not run: matched against the whole command line.
#[derive(Debug, Clone)]
pub struct ProhibitedPattern(Pattern);

impl ProcessPattern {
    /// Reads the text of a login pattern.
    ///
    /// # Errors
    /// It is empty, no regular expression, or one that cannot be matched in linear time.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let form = match text.contains('/') {
            true => Form::AsItIs,
            false => Form::Anywhere,
        };
        Pattern::parse(lines(text), form).map(Self)
    }

    /// Whether a process of this name counts.
    pub fn matches(&self, name: &str) -> bool {
        self.0.regex.is_match(name)
    }

    /// The first line of the pattern that matches `name`; all lines when they match only together, because a
    /// bracket is opened in one and closed in another; `None` when it does not match.
    pub fn explain(&self, name: &str) -> Option<&str> {
        self.0.explain(name)
    }

    /// The regular expression, Python's, that the lines became.
    pub fn expression(&self) -> &str {
        &self.0.expression
    }
}

impl ProhibitedPattern {
    /// Reads the text of a prohibited pattern; `None` when nothing is prohibited.
    ///
    /// # Errors
    /// It is no regular expression, or one that cannot be matched in linear time.
    pub fn parse(text: &str) -> Result<Option<Self>, InvalidPattern> {
        let lines = lines(text);
        if lines.is_empty() {
            return Ok(None);
        }
        Pattern::parse(lines, Form::Anywhere).map(|pattern| Some(Self(pattern)))
    }

    /// Whether a process with this command line must not run.
    pub fn matches(&self, command_line: &str) -> bool {
        self.0.regex.is_match(command_line)
    }

    /// As [`ProcessPattern::explain`].
    pub fn explain(&self, command_line: &str) -> Option<&str> {
        self.0.explain(command_line)
    }

    /// The regular expression, Python's, that the lines became.
    pub fn expression(&self) -> &str {
        &self.0.expression
    }
}

/// What a line stands for.
#[derive(Debug, Clone, Copy)]
enum Form {
    AsItIs,
    Anywhere,
}

impl Form {
    fn expand(self, line: &str) -> String {
        match self {
            Self::AsItIs => line.to_owned(),
            Self::Anywhere => format!("(.*{line}.*)"),
        }
    }
}

#[derive(Debug, Clone)]
struct Pattern {
    regex: Regex,
    expression: String,
    lines: Vec<String>,
    text: String,
    form: Form,
}

impl Pattern {
    fn parse(lines: Vec<String>, form: Form) -> Result<Self, InvalidPattern> {
        if lines.is_empty() {
            return Err(InvalidPattern::Empty);
        }
        let expanded: Vec<String> = lines.iter().map(|line| form.expand(line)).collect();
        let expression = expanded.join("|");
        Ok(Self {
            regex: compile(&expression)?,
            expression,
            text: lines.join("\n"),
            lines,
            form,
        })
    }

    fn explain(&self, name: &str) -> Option<&str> {
        if !self.regex.is_match(name) {
            return None;
        }
        let matches =
            |line: &&String| compile(&self.form.expand(line)).is_ok_and(|regex| regex.is_match(name));
        Some(self.lines.iter().find(matches).unwrap_or(&self.text))
    }
}

fn lines(text: &str) -> Vec<String> {
    text.replace('\r', "")
        .split('\n')
        .map(|line| line.trim_matches(python::is_space))
        .filter(|line| line.chars().nth(1).is_some())
        .map(str::to_owned)
        .collect()
}

/// Anchored at the beginning, as `re.match` is.
fn compile(expression: &str) -> Result<Regex, InvalidPattern> {
    let translated = python::translate(expression)?;
    RegexBuilder::new(&format!(r"\A(?:{translated})"))
        .size_limit(COMPILED_BYTES_MAX)
        .build()
        .map_err(|error| InvalidPattern::Syntax(error.to_string()))
}

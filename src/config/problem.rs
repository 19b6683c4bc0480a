//! What can be wrong with a configuration.

use std::fmt;
use std::path::PathBuf;

/// Where a value was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In the file.
    File {
        /// Which.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// By this environment variable.
    Environment(String),
    /// Nowhere: it is the default.
    Default,
}

impl Origin {
    /// Its line, for sorting: what is not in the file comes last.
    pub(super) fn line(&self) -> usize {
        match self {
            Self::File { line, .. } => *line,
            Self::Environment(_) | Self::Default => usize::MAX,
        }
    }

    /// Another line of the same file; the same as it is where there are no lines.
    pub(super) fn at(&self, line: Option<usize>) -> Self {
        match (self, line) {
            (Self::File { path, .. }, Some(line)) => Self::File {
                path: path.clone(),
                line,
            },
            _ => self.clone(),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key; empty when the file is no TOML.
    pub key: String,
    /// Where it was set.
    pub origin: Origin,
    /// What is wrong and what would be right.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File { path, line } => write!(f, "{}:{line}: ", path.display())?,
            Origin::Environment(variable) => write!(f, "environment variable {variable}: ")?,
            Origin::Default => f.write_str("default: ")?,
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("read the configuration {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something in it is wrong; at least one problem.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(Problem::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// `; did you mean …?` when one of `known` is close to `word`, else nothing.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    known
        .map(|candidate| (distance(word, candidate), candidate))
        .min()
        .filter(|(distance, _)| *distance * 3 <= word.len().max(3))
        .map_or_else(String::new, |(_, candidate)| {
            format!("; did you mean {candidate}?")
        })
}

/// Levenshtein distance in bytes.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, a) in left.bytes().enumerate() {
        let mut diagonal = index;
        let mut before = index + 1;
        let mut next = vec![before];
        for (b, above) in right.bytes().zip(row.iter().skip(1)) {
            before = (diagonal + usize::from(a != b)).min(above + 1).min(before + 1);
            diagonal = *above;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

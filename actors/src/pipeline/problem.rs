//! What is wrong with a set of files: every problem with its place and what was expected instead.

use std::fmt;
use std::path::Path;

/// Most problems, and most warnings, that are reported; the rest is counted.
const PROBLEMS_MAX: usize = 1_000;

/// A file to parse, already read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// As it is shown to people.
    pub path: String,
    /// Its content.
    pub text: String,
}

impl SourceFile {
    /// Its name within its folder.
    pub(super) fn name(&self) -> &str {
        let name = Path::new(&self.path).file_name().and_then(|name| name.to_str());
        name.unwrap_or(&self.path)
    }
}

/// Something wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProblem {
    /// The file's path.
    pub file: String,
    /// From 1; 0 when the file could not be read.
    pub line: u64,
    /// From 1, in characters; 0 when the file could not be read.
    pub column: u64,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            _ => write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message),
        }
    }
}

/// A set of files that cannot be put in force; nothing of it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    /// Everything found, by file and line; at most 1,000.
    pub problems: Vec<FileProblem>,
    /// Problems found beyond those.
    pub omitted: usize,
}

impl LoadError {
    pub(crate) fn new(mut problems: Vec<FileProblem>) -> Self {
        let omitted = bound(&mut problems);
        Self { problems, omitted }
    }
}

/// What is legal in a set of files, and most likely a mistake.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Warnings {
    /// Everything found, by file and line; at most 1,000.
    pub found: Vec<FileProblem>,
    /// Those found beyond them.
    pub omitted: usize,
}

impl Warnings {
    pub(super) fn new(mut found: Vec<FileProblem>) -> Self {
        let omitted = bound(&mut found);
        Self { found, omitted }
    }
}

/// Sorts what was found and gives how many are left out.
fn bound(found: &mut Vec<FileProblem>) -> usize {
    found.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    let omitted = found.len().saturating_sub(PROBLEMS_MAX);
    found.truncate(PROBLEMS_MAX);
    omitted
}

/// What was found in files so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) problems: Vec<FileProblem>,
    pub(super) warnings: Vec<FileProblem>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        if self.omitted > 0 {
            write!(f, "\nand {} more problems", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

/// A place in the file that is being read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct At {
    /// From 1.
    pub(crate) line: u64,
    /// From 1, in characters.
    pub(crate) column: u64,
    /// Bytes from the start of the file.
    pub(crate) byte: usize,
}

/// Collects the problems and warnings of one file.
pub(super) struct Problems<'a> {
    file: &'a str,
    found: &'a mut Found,
}

impl<'a> Problems<'a> {
    pub(super) fn new(file: &'a str, found: &'a mut Found) -> Self {
        Self { file, found }
    }

    /// Notes a problem and gives `None`, so that a reader can end with it.
    pub(super) fn add<T>(&mut self, at: At, message: impl Into<String>) -> Option<T> {
        let problem = self.at(at, message.into());
        self.found.problems.push(problem);
        None
    }

    /// Notes what is legal and most likely a mistake.
    pub(super) fn warn(&mut self, at: At, message: impl Into<String>) {
        let warning = self.at(at, message.into());
        self.found.warnings.push(warning);
    }

    fn at(&self, at: At, message: String) -> FileProblem {
        FileProblem {
            file: self.file.to_owned(),
            line: at.line,
            column: at.column,
            message,
        }
    }

    /// How many problems there are by now, of all files.
    pub(super) fn count(&self) -> usize {
        self.found.problems.len()
    }
}

/// `; did you mean "timeout"?` when a candidate is close to `word`, else nothing.
pub(super) fn suggestion<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> String {
    let length = word.chars().count();
    let close = (length / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= close && *distance < length)
        .min()
        .map(|(_, candidate)| format!("; did you mean {candidate:?}?"))
        .unwrap_or_default()
}

/// Edits between two words: insert, remove, replace, swap neighbours. Long words are cut, they are typos of
/// nothing.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    // The row two above and the character before, for swaps.
    let mut above_row: Vec<usize> = Vec::new();
    let mut left_before = None;
    for (index, left) in a.chars().take(64).enumerate() {
        let mut next = vec![index + 1];
        let mut last = index + 1;
        let mut right_before = None;
        for (column, ((right, above_left), above)) in b.iter().zip(&row).zip(row.iter().skip(1)).enumerate() {
            last = (above_left + usize::from(left != *right))
                .min(above + 1)
                .min(last + 1);
            if left_before == Some(*right) && right_before == Some(left) {
                let swapped = column.checked_sub(1).and_then(|column| above_row.get(column));
                last = swapped.map_or(last, |swapped| last.min(swapped + 1));
            }
            next.push(last);
            right_before = Some(*right);
        }
        above_row = std::mem::replace(&mut row, next);
        left_before = Some(left);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_answered_with_the_nearest_word() {
        assert_eq!(
            suggestion("tiemout", ["timeout", "expires"]),
            "; did you mean \"timeout\"?"
        );
        assert_eq!(
            suggestion("list_proceses", ["list_processes"]),
            "; did you mean \"list_processes\"?"
        );
        assert_eq!(suggestion("m", ["n"]), "");
        assert_eq!(suggestion("bananas", ["timeout", "expires"]), "");
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("naem", "name"), 1);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("ca", "abc"), 3);
    }
}

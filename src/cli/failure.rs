//! Why a command did not do what was asked, and the exit code that says so to scripts.

use std::process::ExitCode;

/// How refusals for want of a right begin.
pub(crate) const NOT_ALLOWED: &str = "not allowed: ";

/// A command that failed. Its text is one clear line (or several, one per problem) for stderr.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// It was tried and failed, or a watched job did not succeed: exit code 1.
    Failed(String),
    /// Bad input or usage, nothing was changed: exit code 2.
    Input(String),
    /// Bad input in files, a line for each problem as `file:line:…`: exit code 2.
    Problems(Vec<String>),
    /// The server cannot be reached, or does not allow it: exit code 3.
    Unavailable(String),
    /// A server that had started and cannot go on: exit code 4.
    Broken(String),
    /// Whoever read the output has gone; nothing to say. Exit code 0: it had what it wanted.
    OutputClosed,
    /// A watched job did not succeed, which its last line already said: exit code 1.
    NotSucceeded,
}

impl Failure {
    /// The number for the shell.
    pub fn code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Failed(_) | Self::NotSucceeded => 1,
            Self::Input(_) | Self::Problems(_) => 2,
            Self::Unavailable(_) => 3,
            Self::Broken(_) => 4,
        }
    }

    /// What to write to stderr, line by line.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Failed(text) | Self::Input(text) | Self::Unavailable(text) | Self::Broken(text) => {
                text.lines().map(|line| format!("tripline: {line}")).collect()
            }
            // As they are, so that editors find the place.
            Self::Problems(problems) => problems.clone(),
            Self::OutputClosed | Self::NotSucceeded => Vec::new(),
        }
    }

    /// Whether the server answered and does not allow it, rather than being away.
    pub(crate) fn is_not_allowed(&self) -> bool {
        matches!(self, Self::Unavailable(text) if text.starts_with(NOT_ALLOWED))
    }

    /// Bad input, from an error with its causes.
    pub fn input(error: &dyn std::error::Error) -> Self {
        Self::Input(chain(error))
    }
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        failure.code().into()
    }
}

/// An error and its causes in one line, without repeating a cause that the text before it already has.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_the_documentation() {
        let text = || "x".to_owned();
        let codes = [
            Failure::OutputClosed,
            Failure::Failed(text()),
            Failure::Input(text()),
            Failure::Problems(vec![text()]),
            Failure::Unavailable(text()),
            Failure::Broken(text()),
        ]
        .map(|failure| failure.code());
        assert_eq!(codes, [0, 1, 2, 2, 3, 4]);
        assert_eq!(Failure::NotSucceeded.code(), 1);
    }

    #[test]
    fn causes_are_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("open the file")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("disk on fire"));
        assert_eq!(chain(&error), "open the file: disk on fire");
    }
}

//! What verifying a chain came to: for the table, for programs, and for the exit code.

use super::super::Failure;
use super::super::output::{Format, print, print_json, table};
use crate::audit::{Broken, Verified};
use serde::Serialize;
use tripline_protocol::audit::{AuditMark, AuditVerified};

/// What stands where there is nothing to say.
const NOTHING: &str = "–";

/// What became of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is as it was written.
    Sound(Verified),
    /// It is not.
    Broken(Broken),
    /// There is no record, where there must be this one.
    Empty(u64),
    /// There is no record in the copy, and none was published yet.
    Unpublished,
}

impl Outcome {
    /// `last`: a record that must be there.
    pub(super) fn of(verified: Result<Option<Verified>, Broken>, last: u64) -> Self {
        match verified {
            Ok(Some(sound)) => Self::Sound(sound),
            Ok(None) if last == 0 => Self::Unpublished,
            Ok(None) => Self::Empty(last),
            Err(broken) => Self::Broken(broken),
        }
    }

    pub(super) fn sound(&self) -> Option<&Verified> {
        match self {
            Self::Sound(sound) => Some(sound),
            _ => None,
        }
    }

    const fn word(&self) -> &'static str {
        match self {
            Self::Sound(_) => "sound",
            Self::Broken(_) => "broken",
            Self::Empty(_) => "empty",
            Self::Unpublished => "unpublished",
        }
    }

    /// What is wrong with it.
    fn what(&self) -> Option<String> {
        match self {
            Self::Broken(broken) => Some(broken.to_string()),
            Self::Empty(_) => Some("there is no record, so nothing was verified".to_owned()),
            Self::Sound(_) | Self::Unpublished => None,
        }
    }

    /// The first record that is wrong.
    fn wrong(&self) -> Option<u64> {
        match self {
            Self::Broken(broken) => Some(broken.number),
            Self::Empty(last) => Some(*last),
            Self::Sound(_) | Self::Unpublished => None,
        }
    }

    /// As the server keeps it on record.
    pub(super) fn to_verified(&self, source: &str) -> AuditVerified {
        AuditVerified {
            source: source.to_owned(),
            first: self.sound().map(|sound| sound.first),
            last: self.sound().map(|sound| sound.last.clone()),
            broken: self.wrong(),
        }
    }
}

/// A chain that was verified.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    org: String,
    source: &'static str,
    verdict: &'static str,
    first: Option<u64>,
    head: Option<AuditMark>,
    broken: Option<u64>,
    what: Option<String>,
}

impl Finding {
    pub(super) fn new(org: &str, source: &'static str, outcome: &Outcome) -> Self {
        let sound = outcome.sound();
        Self {
            org: org.to_owned(),
            source,
            verdict: outcome.word(),
            first: sound.map(|sound| sound.first),
            head: sound.map(|sound| sound.last.clone()),
            broken: outcome.wrong(),
            what: outcome.what(),
        }
    }

    /// Where there is no chain at all.
    pub(super) fn nothing(org: Option<&str>, source: &'static str) -> Self {
        Self::new(org.unwrap_or(NOTHING), source, &Outcome::Empty(1))
    }

    fn row(&self) -> [String; 5] {
        let head = self.head.as_ref();
        let head = head.map(|head| format!("{}:{}", head.n, head.sha256));
        let first = self.first.map(|first| first.to_string());
        let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
        let verdict = match self.what {
            Some(_) => self.verdict.to_uppercase(),
            None => self.verdict.to_owned(),
        };
        [
            self.org.clone(),
            self.source.to_owned(),
            verdict,
            or_nothing(first),
            or_nothing(head),
        ]
    }
}

/// Prints them; fails when something is wrong with one.
pub(super) fn tell(format: Format, findings: &[Finding]) -> Result<(), Failure> {
    match format {
        Format::Json => print_json(&findings)?,
        Format::Table => print(&table(
            ["ORG", "SOURCE", "VERDICT", "FIRST", "HEAD"],
            findings.iter().map(Finding::row),
        ))?,
    }
    let wrong = |finding: &Finding| {
        let what = finding.what.as_ref()?;
        Some(format!("{} ({}): {what}", finding.org, finding.source))
    };
    let wrong: Vec<String> = findings.iter().filter_map(wrong).collect();
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Failure::Failed(wrong.join("\n"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_verified_is_sound() {
        let last = AuditMark {
            n: 7,
            sha256: "0".repeat(64).parse().expect("a hash"),
        };
        let sound = Outcome::of(Ok(Some(Verified { first: 1, last })), 7);
        assert_eq!((sound.word(), sound.what(), sound.wrong()), ("sound", None, None));
        let empty = Outcome::of(Ok(None), 7);
        assert_eq!((empty.word(), empty.wrong()), ("empty", Some(7)));
        assert_eq!(empty.to_verified("nats").broken, Some(7));
        assert!(empty.what().is_some() && empty.sound().is_none());
        let none_yet = Outcome::of(Ok(None), 0);
        assert_eq!((none_yet.word(), none_yet.what()), ("unpublished", None));
    }
}

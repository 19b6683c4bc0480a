//! One chain, record by record: whether each is as it was written, and whether none is missing.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use tripline_protocol::audit::{Action, AuditMark, AuditRecord, canonical};

/// A chain that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {number}: {what}")]
pub struct Broken {
    /// The first record that is wrong.
    pub number: u64,
    /// What is wrong, and what that means.
    pub what: String,
}

/// What a chain that is sound comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The number of the first record that was there.
    pub first: u64,
    /// The last one. Keep it: with it a tail that is cut off later is found.
    pub last: AuditMark,
}

/// Takes the records of one chain in their order.
#[derive(Debug, Default)]
pub struct Verifier {
    chain: Option<String>,
    first: Option<AuditMark>,
    last: Option<AuditMark>,
    /// Places that somebody noted: they must be met, and be the same.
    marks: BTreeMap<u64, String>,
    /// What records of the chain say was the last one pruned.
    pruned: BTreeMap<u64, String>,
}

fn broken<T>(number: u64, what: impl Into<String>) -> Result<T, Broken> {
    Err(Broken {
        number,
        what: what.into(),
    })
}

impl Verifier {
    /// One for a chain of which these places are known from elsewhere.
    pub fn new(marks: impl IntoIterator<Item = AuditMark>) -> Self {
        let marks = marks.into_iter().filter(|mark| mark.n > 0);
        Self {
            marks: marks.map(|mark| (mark.n, mark.sha256.to_string())).collect(),
            ..Self::default()
        }
    }

    /// The number of the last record that was taken; 0 before the first.
    pub fn reached(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.n)
    }

    /// Takes the next record, a line without its end.
    ///
    /// # Errors
    /// It is not the one that must come here.
    pub fn take(&mut self, line: &[u8]) -> Result<(), Broken> {
        let Some(expected) = self.reached().checked_add(1) else {
            return broken(self.reached(), "something comes after the last number there is");
        };
        let Ok(record) = serde_json::from_slice::<AuditRecord>(line) else {
            return broken(expected, "this is no record of an audit");
        };
        // What is passed over as a field of a later version may still be no JSON that can be written again.
        let value = serde_json::from_slice::<Value>(line).map(|value| canonical(&value));
        if !value.is_ok_and(|text| text.as_bytes() == line) {
            return broken(
                record.n,
                "it is not in its canonical encoding; it was written again by something",
            );
        }
        let sha256 = tripline_protocol::Sha256::from_digest(&Sha256::digest(line).into());
        self.check_place(&record, expected)?;
        if let Some(noted) = self.marks.get(&record.n)
            && noted != sha256.as_str()
        {
            return broken(
                record.n,
                "it is not the one that was noted; it or one before it was changed",
            );
        }
        let mark = AuditMark { n: record.n, sha256 };
        if record.action == Action::AuditPrune.as_str() {
            self.note_pruned(&record);
        }
        self.first.get_or_insert(AuditMark {
            n: record.n,
            sha256: record.prev,
        });
        self.chain.get_or_insert(record.org);
        self.last = Some(mark);
        Ok(())
    }

    fn check_place(&self, record: &AuditRecord, expected: u64) -> Result<(), Broken> {
        if self.chain.as_ref().is_some_and(|chain| *chain != record.org) {
            return broken(expected, format!("this one belongs to the chain {}", record.org));
        }
        if record.n == 0 {
            return broken(0, "records are numbered from 1");
        }
        let Some(last) = &self.last else {
            let begins = record.n == 1 && record.prev.as_str().bytes().any(|byte| byte != b'0');
            return match begins {
                true => broken(1, "it is the first and yet names one before it"),
                false => Ok(()),
            };
        };
        match record.n {
            number if number > expected.saturating_add(1) => broken(
                expected,
                format!("missing, and so are those up to {}", number - 1),
            ),
            number if number > expected => broken(expected, "missing, or out of its order"),
            number if number < expected => broken(number, "it comes again, or out of its order"),
            _ if record.prev != last.sha256 => {
                let after = record.n;
                broken(
                    last.n,
                    format!("its hash is not the one that record {after} names: one of the two was changed"),
                )
            }
            _ => Ok(()),
        }
    }

    fn note_pruned(&mut self, record: &AuditRecord) {
        let last = record.detail.get("last").and_then(Value::as_u64);
        let sha256 = record.detail.get("sha256").and_then(Value::as_str);
        if let (Some(last), Some(sha256)) = (last, sha256) {
            self.pruned.insert(last, sha256.to_owned());
        }
    }

    /// That was all. `from_middle`: the chain was asked for from there on, so nothing need say why it does not begin
    /// with its first record.
    ///
    /// # Errors
    /// Records before the first one are gone and no record says that they were pruned, or records after the last
    /// one are.
    pub fn end(self, from_middle: bool) -> Result<Option<Verified>, Broken> {
        let cut = |number| {
            broken(
                number,
                "missing, and all after it: the chain was longer than this",
            )
        };
        let noted = self.marks.last_key_value().map(|(number, _)| *number);
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return noted.map_or(Ok(None), |_| cut(1));
        };
        if first.n > 1 && !from_middle {
            let before = first.n - 1;
            if self.pruned.get(&before).map(String::as_str) != Some(first.sha256.as_str()) {
                return broken(
                    before,
                    "missing, and no record of the chain says that it was pruned",
                );
            }
        }
        if noted.is_some_and(|noted| noted > last.n) {
            return cut(last.n + 1);
        }
        Ok(Some(Verified { first: first.n, last }))
    }
}

#[cfg(test)]
mod tests;

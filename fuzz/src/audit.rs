//! Files that `tripline audit verify` reads.
//!
//! Input: lines. Behind `file` they are such a file. Behind `chain EDIT AT` each is a record, which is made the next of
//! one sound chain here; then one thing is done to it at line or byte `AT`: `nothing`, `flip` a bit, `drop` a line, `again`
//! (a line is there twice), `swap` it with the next, `cut` all from there on.

use crate::input::order_and_rest;
use sha2::{Digest, Sha256};
use tripline::audit::verify_lines;
use tripline_protocol::audit::{AuditMark, AuditRecord, canonical};

const ORG: &str = "acme";
const RECORDS_MAX: usize = 32;

/// A sound chain is sound, and whatever is done to it is found, given its head.
pub fn run(data: &[u8]) {
    let (order, rest) = order_and_rest(data);
    let order = String::from_utf8_lossy(order);
    let words: Vec<&str> = order.split(' ').collect();
    match words.as_slice() {
        ["file"] => file(rest),
        ["chain", edit, at] => {
            if let Ok(at) = at.parse() {
                chain(rest, edit, at);
            }
        }
        _ => {}
    }
}

fn file(lines: &[u8]) {
    for only in [None, Some((ORG, Vec::new()))] {
        match verify_lines(lines, only) {
            Ok(chains) => {
                for (chain, outcome) in chains {
                    let broken = outcome.err();
                    assert!(
                        broken.is_none_or(|broken| !broken.what.is_empty()),
                        "{chain}: no word"
                    );
                }
            }
            Err(error) => assert!(!error.to_string().is_empty(), "an error without a word"),
        }
    }
}

fn chain(lines: &[u8], edit: &str, at: usize) {
    let lines = linked(lines);
    let Some(head) = lines.last().map(|last| mark(lines.len(), last)) else {
        return;
    };
    assert!(is_sound(&lines, &head), "a sound chain is not: {lines:?}");
    let mut edited = lines.clone();
    edit_at(&mut edited, edit, at);
    if edited != lines {
        assert!(!is_sound(&edited, &head), "{edit} at {at} is not found");
    }
}

/// The records that there are, in canonical encoding, each with the hash of the one before it.
fn linked(lines: &[u8]) -> Vec<Vec<u8>> {
    let mut linked: Vec<Vec<u8>> = Vec::new();
    for line in lines.split(|byte| *byte == b'\n').take(RECORDS_MAX) {
        let Ok(mut record) = serde_json::from_slice::<AuditRecord>(line) else {
            continue;
        };
        record.n = linked.len() as u64 + 1;
        ORG.clone_into(&mut record.org);
        let none = || "0".repeat(64).parse().expect("a hash");
        record.prev = linked.last().map_or_else(none, |last| hash(last));
        let value = serde_json::to_value(&record).expect("a record can be written");
        linked.push(canonical(&value).into_bytes());
    }
    linked
}

fn hash(line: &[u8]) -> tripline_protocol::Sha256 {
    tripline_protocol::Sha256::from_digest(&Sha256::digest(line).into())
}

fn mark(n: usize, line: &[u8]) -> AuditMark {
    AuditMark {
        n: n as u64,
        sha256: hash(line),
    }
}

fn is_sound(lines: &[Vec<u8>], head: &AuditMark) -> bool {
    let text = lines.join(&b'\n');
    let chains = verify_lines(text.as_slice(), Some((ORG, vec![head.clone()])));
    chains.is_ok_and(|chains| chains.get(ORG).is_some_and(Result::is_ok))
}

fn edit_at(lines: &mut Vec<Vec<u8>>, edit: &str, at: usize) {
    let line = at % lines.len();
    match edit {
        "flip" => {
            let all: usize = lines.iter().map(Vec::len).sum();
            if let Some(byte) = lines.iter_mut().flatten().nth(at % all) {
                *byte ^= 1 << (at / all % 8);
            }
        }
        "drop" => drop(lines.remove(line)),
        "again" => {
            let again = lines.get(line).cloned().unwrap_or_default();
            lines.insert(line, again);
        }
        "swap" if line + 1 < lines.len() => lines.swap(line, line + 1),
        "cut" => lines.truncate(line),
        _ => {}
    }
}

//! A file of records, one a line, of one chain or of several, one after the other or mixed.

use super::{Broken, Verified, Verifier};
use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};
use tripline_protocol::audit::{AuditMark, AuditRecord};

/// Longest line that is read; no server writes one of a sixtieth of that.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// A file that is none of records.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// A line is something else.
    #[error("line {line}: this is no record of an audit")]
    NoRecord {
        /// Which, from 1.
        line: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A line is longer than any record.
    #[error("line {line}: it has more than {LINE_BYTES_MAX} bytes, which no record of an audit has")]
    TooLong {
        /// Which, from 1.
        line: u64,
    },
}

/// Verifies every chain in `lines`, or `only` this one, of which these places are known from elsewhere. The answer is
/// by chain; what `only` names is in it also when there is no record of it.
///
/// # Errors
/// It is no file of records.
pub fn verify_lines(
    mut lines: impl BufRead,
    only: Option<(&str, Vec<AuditMark>)>,
) -> Result<BTreeMap<String, Result<Option<Verified>, Broken>>, FileError> {
    let mut chains: BTreeMap<String, Result<Verifier, Broken>> = BTreeMap::new();
    let only = only.map(|(org, marks)| {
        chains.insert(org.to_owned(), Ok(Verifier::new(marks)));
        org
    });
    let (mut line, mut number) = (Vec::new(), 0);
    while next_line(&mut lines, &mut line)? {
        number += 1;
        if line.len() > LINE_BYTES_MAX {
            return Err(FileError::TooLong { line: number });
        }
        // Nothing else is taken off: a record is its bytes.
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let record: AuditRecord =
            serde_json::from_slice(text).map_err(|source| FileError::NoRecord { line: number, source })?;
        if only.is_none_or(|only| only == record.org) {
            let chain = chains.entry(record.org).or_insert_with(|| Ok(Verifier::new([])));
            if let Ok(verifier) = chain
                && let Err(broken) = verifier.take(text)
            {
                *chain = Err(broken);
            }
        }
    }
    let ended = |(org, chain): (String, Result<Verifier, Broken>)| {
        (org, chain.and_then(|verifier| verifier.end(false)))
    };
    Ok(chains.into_iter().map(ended).collect())
}

/// The next line with its end; of one that is too long, a byte more than may be. `false`: there is none.
fn next_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut bounded = lines.by_ref().take(LINE_BYTES_MAX as u64 + 1);
    Ok(bounded.read_until(b'\n', line)? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_an_end_is_not_read_to_it() {
        let endless = io::BufReader::new(io::repeat(b' '));
        let error = verify_lines(endless, None).expect_err("no record");
        assert!(matches!(error, FileError::TooLong { line: 1 }), "{error}");
    }

    #[test]
    fn nothing_is_taken_off_a_record_but_the_end_of_its_line() {
        let line = tripline_protocol::audit::canonical(&serde_json::json!({
            "action": "host.label", "at": "2026-11-21T09:00:00Z", "by": {"kind": "system"}, "detail": {}, "n": 1,
            "on": {}, "org": "acme", "outcome": {"result": "done"}, "prev": "0".repeat(64),
        }));
        for (end, is_sound) in [
            ("\n", true),
            ("", true),
            (" \n", false),
            ("\r\n", false),
            ("\t", false),
        ] {
            let chains = verify_lines(format!("{line}{end}").as_bytes(), None).unwrap();
            assert_eq!(chains["acme"].is_ok(), is_sound, "{end:?}: {chains:?}");
        }
    }

    #[test]
    fn a_chain_that_is_asked_for_and_not_there_is_cut() {
        let head = AuditMark {
            n: 7,
            sha256: "0".repeat(64).parse().unwrap(),
        };
        let chains = verify_lines(&b""[..], Some(("acme", vec![head]))).unwrap();
        assert_eq!(chains["acme"].as_ref().expect_err("cut").number, 1);
        let nothing_known = verify_lines(&b""[..], Some(("acme", Vec::new()))).unwrap();
        assert_eq!(nothing_known["acme"], Ok(None));
    }
}

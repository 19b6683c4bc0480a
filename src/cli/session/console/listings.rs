//! Directories for completion: this machine's are read, the host's are asked for and kept a while.
//!
//! The prompt's thread asks and waits a moment; the console answers while it waits for a line. An answer that comes too
//! late is kept, so that the next Tab has it.

use super::complete::{Candidate, Entry, EntryKind, Listings, Surroundings, complete};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tripline_protocol::verb::{DirectoryEntry, DirectoryListing};

/// How long Tab waits for the host.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long a listing is believed.
const FRESH: Duration = Duration::from_secs(15);
/// Listings that are kept.
const KEPT_MAX: usize = 64;
/// Entries of a directory of this machine that are looked at.
const LOCAL_ENTRIES_MAX: usize = 10_000;

/// A directory of the host that completion wants to know.
#[derive(Debug)]
pub(super) struct Ask {
    /// Its absolute path.
    pub(super) directory: Vec<u8>,
    answer: mpsc::Sender<()>,
}

/// What the prompt's thread and the console share.
#[derive(Debug, Clone)]
pub(super) struct Known(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    surroundings: Mutex<Surroundings>,
    kept: Mutex<HashMap<Vec<u8>, Kept>>,
    asks: UnboundedSender<Ask>,
}

#[derive(Debug)]
struct Kept {
    at: Instant,
    entries: Vec<Entry>,
}

impl Known {
    /// What is known at the beginning, and what will be asked.
    pub(super) fn new(surroundings: Surroundings) -> (Self, UnboundedReceiver<Ask>) {
        let (asks, asked) = unbounded_channel();
        let inner = Inner {
            surroundings: Mutex::new(surroundings),
            kept: Mutex::default(),
            asks,
        };
        (Self(Arc::new(inner)), asked)
    }

    pub(super) fn surroundings(&self) -> Surroundings {
        self.0.surroundings.lock().clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Surroundings)) {
        change(&mut self.0.surroundings.lock());
    }

    /// Forgets all listings: something may have changed them.
    pub(super) fn forget(&self) {
        self.0.kept.lock().clear();
    }

    /// Keeps a listing that came by.
    pub(super) fn keep(&self, directory: &[u8], listing: &DirectoryListing) {
        let entries = listing.files.iter().map(entry).collect();
        let mut kept = self.0.kept.lock();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        let at = Instant::now();
        kept.insert(directory.to_vec(), Kept { at, entries });
    }

    pub(super) fn kept(&self, directory: &[u8]) -> Option<Vec<Entry>> {
        let kept = self.0.kept.lock();
        let found = kept.get(directory).filter(|kept| kept.at.elapsed() < FRESH)?;
        Some(found.entries.clone())
    }

    /// Candidates for the end of a line; may wait for the host.
    pub(super) fn complete(&self, line: &str) -> (usize, Vec<Candidate>) {
        complete(line, &self.surroundings(), self)
    }
}

impl Listings for Known {
    fn remote(&self, directory: Vec<u8>) -> Option<Vec<Entry>> {
        if let Some(entries) = self.kept(&directory) {
            return Some(entries);
        }
        let (answer, answered) = mpsc::channel();
        let ask = Ask {
            directory: directory.clone(),
            answer,
        };
        self.0.asks.send(ask).ok()?;
        // Too late, or told that there is nothing: both are no candidates.
        answered.recv_timeout(PATIENCE).ok()?;
        self.kept(&directory)
    }

    fn local(&self, directory: &[u8]) -> Option<Vec<Entry>> {
        let entries = std::fs::read_dir(OsStr::from_bytes(directory)).ok()?;
        let mut entries: Vec<Entry> = entries
            .take(LOCAL_ENTRIES_MAX)
            .flatten()
            .map(|entry| Entry {
                kind: match entry.path().is_dir() {
                    true => EntryKind::Directory,
                    false => EntryKind::Other,
                },
                name: entry.file_name().into_vec(),
            })
            .collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Some(entries)
    }
}

impl Ask {
    /// Whoever asked looks at what is kept now.
    pub(super) fn answered(self) {
        // Nobody waits any more: it is kept for the next time.
        let _ = self.answer.send(());
    }
}

/// Only the last question has somebody who waits: there is one prompt.
pub(super) fn newest(mut ask: Ask, asked: &mut UnboundedReceiver<Ask>) -> Ask {
    while let Ok(newer) = asked.try_recv() {
        ask = newer;
    }
    ask
}

fn entry(entry: &DirectoryEntry) -> Entry {
    let is = |word: &str| entry.attributes.iter().any(|attribute| attribute == word);
    Entry {
        name: entry.filename.as_bytes().to_vec(),
        kind: if is("REPARSE_POINT") {
            EntryKind::Link
        } else if is("DIRECTORY") {
            EntryKind::Directory
        } else {
            EntryKind::Other
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::path::{Place, Style};
    use super::*;
    use tripline_protocol::verb::Verb;

    fn known() -> (Known, UnboundedReceiver<Ask>) {
        Known::new(Surroundings {
            place: Place::root(Style::Unix),
            verbs: Verb::ALL.to_vec(),
        })
    }

    fn listing(names: &[&str]) -> DirectoryListing {
        let files = names.iter().map(|name| DirectoryEntry {
            filename: (*name).into(),
            attributes: vec!["DIRECTORY".into()],
            size: 0,
            create_time: 0,
            last_access_time: 0,
            last_write_time: 0,
            mode: None,
            owner: None,
            link_target: None,
        });
        DirectoryListing {
            files: files.collect(),
            omitted: 0,
        }
    }

    #[test]
    fn the_host_is_asked_once_while_its_answer_is_fresh() {
        let (known, mut asked) = known();
        let asking = known.clone();
        let prompt = std::thread::spawn(move || (asking.complete("cd v"), asking.complete("cd v")));
        let ask = asked.blocking_recv().unwrap();
        assert_eq!(ask.directory, b"/");
        known.keep(&ask.directory, &listing(&["usr", "var"]));
        ask.answered();
        let (first, second) = prompt.join().unwrap();
        assert_eq!(first.1.len(), 1);
        assert_eq!(first, second);
        assert!(asked.try_recv().is_err(), "only once");
        known.forget();
        assert_eq!(known.kept(b"/"), None);
    }

    #[test]
    fn a_host_that_does_not_answer_costs_a_moment_and_its_late_answer_is_kept() {
        let (known, mut asked) = known();
        // Nobody answers, so this returns only because it waits no longer.
        assert_eq!(known.complete("cd v").1, []);
        let ask = newest(asked.try_recv().unwrap(), &mut asked);
        known.keep(&ask.directory, &listing(&["var"]));
        ask.answered();
        assert_eq!(known.complete("cd v").1.len(), 1);
    }

    #[test]
    fn without_a_console_nothing_is_waited_for() {
        let (known, asked) = known();
        drop(asked);
        assert_eq!(known.complete("cd v").1, []);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (known, _asked) = known();
        for number in 0..=KEPT_MAX {
            known.keep(number.to_string().as_bytes(), &listing(&[]));
        }
        assert!(known.0.kept.lock().len() <= KEPT_MAX);
    }
}

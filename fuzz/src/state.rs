//! The files of an agent's state directory, as it finds them when it starts: after a crash, on a disk that fails.
//!
//! Input: the file's name in a line, then its content. Behind `records` it is the journal without checksums, which are put
//! in here: kind (1), number of its command (1), seconds (1), length (1), body; a kind of 255 ends the records, and what
//! follows is a tail as it is.

use crate::input::{order_and_rest, take, take_up_to};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tripline_agent::identity::{Identity, enrolment};
use tripline_agent::isolation::{HostIsolation, Moment, Server};
use tripline_agent::journal::{Journal, Known, Options};
use tripline_agent::platform::isolation::{NetworkIsolation, Walls};
use tripline_agent::state_dir::StateDir;
use tripline_agent::watcher::{self, Saved, Watcher};
use tripline_protocol::littlebrother::LocalTime;
use tripline_protocol::{CommandId, Fault, Timestamp};
use uuid::Uuid;

const JOURNAL: &str = "commands.journal";

/// An agent starts, or says what is damaged; what was durable stays, and what it adds is durable.
pub fn run(data: &[u8]) {
    let (name, content) = order_and_rest(data);
    let folder = tempfile::tempdir().expect("a folder");
    match name {
        b"journal" => journal(&folder, content),
        b"records" => journal(&folder, &records(content)),
        b"isolation.json" => isolation(&folder, content),
        b"identity.json" | b"enrolment.json" => identity(&folder, name, content),
        b"watcher.json" => watched(content),
        _ => {}
    }
}

fn records(mut from: &[u8]) -> Vec<u8> {
    let mut journal = [b"TRIPJNL1".as_slice(), Uuid::from_u128(7).as_bytes()].concat();
    while let Some(&[kind]) = take(&mut from, 1) {
        if kind == u8::MAX {
            journal.extend_from_slice(from);
            break;
        }
        let Some(&[command, seconds, length]) = take(&mut from, 3) else {
            break;
        };
        let body = take_up_to(&mut from, usize::from(length));
        let id = Uuid::from_u128(command.into());
        let time = u64::from(seconds).to_be_bytes();
        let payload = [&[kind], id.as_bytes().as_slice(), &time, body].concat();
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        let sum = Sha256::digest(&payload);
        journal.extend([&length, sum.get(..8).unwrap_or_default(), &payload].concat());
    }
    journal
}

/// What a journal knows, in an order of its own.
#[derive(Debug, PartialEq)]
struct Knowledge {
    id: Uuid,
    epoch: u64,
    begun: Vec<String>,
    unacked: Vec<(CommandId, Arc<str>)>,
}

impl Knowledge {
    fn of(journal: &Journal) -> Self {
        let mut begun: Vec<String> = journal.begun().iter().map(|begun| format!("{begun:?}")).collect();
        let mut unacked = journal.unacked();
        begun.sort();
        unacked.sort();
        assert_eq!(journal.unacked_size().0, unacked.len());
        Self {
            id: journal.id(),
            epoch: journal.epoch(),
            begun,
            unacked,
        }
    }
}

fn journal(folder: &TempDir, content: &[u8]) {
    std::fs::write(folder.path().join(JOURNAL), content).expect("written");
    let first = opened(folder.path());
    let known = Knowledge::of(&first);
    drop(first);
    let again = opened(folder.path());
    assert_eq!(Knowledge::of(&again), known, "another start finds something else");
    let id = CommandId(Uuid::new_v4());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let begun = runtime.block_on(again.begin(id, b"left".to_vec()));
    begun.expect("a command begins");
    drop(again);
    let last = opened(folder.path());
    assert_eq!(last.known(id), Some(Known::Begun), "what was durable is gone");
    let found = Knowledge::of(&last);
    assert_eq!(found.begun.len(), known.begun.len() + 1);
    assert_eq!(
        (found.id, found.epoch, found.unacked),
        (known.id, known.epoch, known.unacked)
    );
}

fn opened(folder: &Path) -> Journal {
    Journal::open(folder, Options::default()).expect("any file can be opened")
}

fn state(folder: &TempDir, name: &str, content: &[u8]) -> Arc<StateDir> {
    let state = StateDir::open(folder.path()).expect("a state directory");
    std::fs::write(state.path().join(name), content).expect("written");
    Arc::new(state)
}

/// Walls that are always there.
struct Paper;

impl NetworkIsolation for Paper {
    fn lacks(&self) -> Option<String> {
        None
    }

    fn raise(&self, _: &Walls, _: Duration) -> Result<(), Fault> {
        Ok(())
    }

    fn lower(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn stands(&self) -> Result<bool, Fault> {
        Ok(true)
    }

    fn name_servers(&self) -> Vec<IpAddr> {
        Vec::new()
    }
}

/// A damaged record keeps no agent from starting, and what is reported of a sound one has an end.
fn isolation(folder: &TempDir, content: &[u8]) {
    let state = state(folder, "isolation.json", content);
    let now = Moment {
        clock: Timestamp::from_micros(1_800_000_000_000_000),
        boot: Uuid::from_u128(7),
        since_boot: Duration::from_secs(1000),
    };
    let server = Server::new("http://127.0.0.1:9".parse().expect("a server"));
    let host = HostIsolation::new(
        Arc::new(Paper),
        state,
        Box::new(move || Ok(now)),
        server,
        Vec::new(),
    );
    host.take_up().expect("an agent starts");
    if let Some(report) = host.report() {
        serde_json::to_string(&report).expect("a report can be written");
    }
}

/// A damaged identity is refused with words, and not replaced by another.
fn identity(folder: &TempDir, name: &[u8], content: &[u8]) {
    let name = String::from_utf8_lossy(name);
    let state = state(folder, &name, content);
    let refused = match &*name {
        "identity.json" => Identity::load_or_make(&state).err(),
        _ => enrolment(&state).err(),
    };
    assert!(refused.is_none_or(|error| error.to_string().contains(&*name)));
    let left = state.read(&name).expect("it can be read");
    assert_eq!(left.as_deref(), Some(content), "it was changed");
}

/// What a watcher saved lets it go on, whatever it says.
fn watched(content: &[u8]) {
    let Ok(saved) = serde_json::from_slice::<Saved>(content) else {
        return;
    };
    let moment = watcher::Moment {
        up: Duration::from_secs(1),
        local: LocalTime::epoch(),
    };
    let mut watcher = Watcher::new(watcher::Options::new("beethoven"), Some(saved), moment);
    watcher.looks();
    watcher.scan(&[], moment);
    watcher.tick(moment);
    let message = watcher.next_message(None, moment);
    serde_json::to_string(&message).expect("a message can be written");
}

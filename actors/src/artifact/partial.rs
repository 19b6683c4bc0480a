//! Contents whose transfer was cut: kept until it goes on, for at most [`PARTIALS_KEPT_FOR`] and at most
//! [`PARTIALS_MAX`] of them. They count among the bytes of all artifacts, and are the first to go when those are used
//! up.
//!
//! The file is named after its transfer, and the boot of the machine, from its first byte, so that a server that was
//! killed finds it at its next start. One of another boot is not gone on with: what was not synced may be missing in it.

use super::error::{Doing, Error};
use super::{ArtifactStore, Incoming, Inner};
use parking_lot::{Condvar, Mutex};
use sha2::Digest;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};
use uuid::Uuid;

/// Most contents kept of transfers that nobody goes on with; the oldest go first.
pub const PARTIALS_MAX: usize = 64;
/// How long a content is kept of a transfer that nobody goes on with.
pub const PARTIALS_KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long the end of a connection is waited for that still has the content.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(10);
/// Bytes read at once.
const BLOCK_BYTES: usize = 256 * 1024;

/// The transfer, the boot and the number in the name of a file.
fn parse(name: &str) -> Option<(Uuid, Uuid, u64)> {
    let (transfer, rest) = name.split_once('.')?;
    let (boot, number) = rest.split_once('.')?;
    Some((transfer.parse().ok()?, boot.parse().ok()?, number.parse().ok()?))
}

/// The boot of the machine; where it does not say, every process is as good as one.
fn boot_id() -> Uuid {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().parse().unwrap_or_else(|_| Uuid::new_v4())
}

#[derive(Debug)]
struct Kept {
    path: PathBuf,
    bytes: u64,
    /// `None`: written by an earlier process.
    hasher: Option<sha2::Sha256>,
    since: SystemTime,
}

#[derive(Debug)]
enum State {
    /// A connection writes it.
    Written,
    Kept(Kept),
}

/// What is known of the transfers.
#[derive(Debug)]
pub(super) struct Partials {
    states: Mutex<HashMap<Uuid, State>>,
    changed: Condvar,
    boot: Uuid,
    number_next: u64,
}

impl Partials {
    /// Finds what an earlier process of this boot left in `dir`, and removes everything else; with the bytes of all.
    pub(super) fn open(dir: &Path) -> Result<(Self, u64), Error> {
        let boot = boot_id();
        let mut found: HashMap<Uuid, Kept> = HashMap::new();
        let mut number_next = 0;
        for entry in dir.read_dir().doing("list", dir)? {
            let entry = entry.doing("list", dir)?;
            let (path, name) = (entry.path(), entry.file_name());
            let parsed = name.to_str().and_then(parse);
            let Some((transfer, _, number)) = parsed.filter(|(_, of, _)| *of == boot) else {
                std::fs::remove_file(&path).doing("remove", &path)?;
                continue;
            };
            number_next = number_next.max(number + 1);
            let metadata = entry.metadata().doing("look at", &path)?;
            let kept = Kept {
                path,
                bytes: metadata.len(),
                hasher: None,
                since: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            };
            // Two connections may each have begun one: the longer one is worth more.
            let shorter = match found.remove(&transfer) {
                Some(other) if other.bytes > kept.bytes => found.insert(transfer, other).or(Some(kept)),
                other => found.insert(transfer, kept).or(other),
            };
            if let Some(Kept { path, .. }) = shorter {
                std::fs::remove_file(&path).doing("remove", &path)?;
            }
        }
        let bytes = found.values().map(|kept| kept.bytes).sum();
        let states = found
            .into_iter()
            .map(|(transfer, kept)| (transfer, State::Kept(kept)))
            .collect();
        let partials = Self {
            states: Mutex::new(states),
            changed: Condvar::new(),
            boot,
            number_next,
        };
        Ok((partials, bytes))
    }

    /// The name of an incoming file.
    pub(super) fn file_name(&self, transfer: Option<Uuid>, number: u64) -> String {
        match transfer {
            Some(transfer) => format!("{transfer}.{}.{number}", self.boot),
            None => number.to_string(),
        }
    }

    pub(super) fn number_next(&self) -> u64 {
        self.number_next
    }

    /// Whoever wrote it does so no more, and leaves nothing.
    pub(super) fn ended(&self, transfer: Uuid) {
        self.states.lock().remove(&transfer);
        self.changed.notify_all();
    }

    /// Takes what is kept, and waits for it as long as another connection has it. `false`: that goes on.
    fn take(&self, transfer: Uuid) -> (Option<Kept>, bool) {
        let until = Instant::now() + GIVEN_BACK_WITHIN;
        let mut states = self.states.lock();
        while matches!(states.get(&transfer), Some(State::Written)) {
            if self.changed.wait_until(&mut states, until).timed_out() {
                return (None, false);
            }
        }
        match states.insert(transfer, State::Written) {
            Some(State::Kept(kept)) => (Some(kept), true),
            _ => (None, true),
        }
    }

    /// The oldest that is kept, if any is or if it is older than `before`.
    fn take_oldest(&self, before: Option<SystemTime>) -> Option<Kept> {
        let mut states = self.states.lock();
        let kept = states.iter().filter_map(|(transfer, state)| match state {
            State::Kept(kept) => Some((kept.since, *transfer)),
            State::Written => None,
        });
        let (since, oldest) = kept.min()?;
        if before.is_some_and(|before| since > before) {
            return None;
        }
        match states.remove(&oldest) {
            Some(State::Kept(kept)) => Some(kept),
            _ => None,
        }
    }

    fn kept_count(&self) -> usize {
        let states = self.states.lock();
        let kept = states.values().filter(|state| matches!(state, State::Kept(_)));
        kept.count()
    }
}

impl ArtifactStore {
    /// Goes on with what came of a transfer, or begins it. What comes of it is kept when it is dropped. Waits some
    /// seconds when another connection still has it; should that take longer, what comes now is not kept.
    pub fn begin_transfer(&self, transfer: Uuid) -> Result<Incoming, Error> {
        let (kept, owned) = self.inner.partials.take(transfer);
        let begin = || Incoming::begin(self.inner.clone(), owned.then_some(transfer));
        let begun = match kept {
            Some(kept) => match self.reopen(transfer, kept) {
                Some(incoming) => Ok(incoming),
                None => begin(),
            },
            None => begin(),
        };
        if begun.is_err() && owned {
            self.inner.partials.ended(transfer);
        }
        begun
    }

    /// What was kept, opened; `None`: it cannot be read, and is gone.
    fn reopen(&self, transfer: Uuid, kept: Kept) -> Option<Incoming> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&kept.path)
            .and_then(|file| {
                let hasher = match &kept.hasher {
                    Some(hasher) => hasher.clone(),
                    None => hash(&file, kept.bytes)?,
                };
                Ok((file, hasher))
            });
        match opened {
            Ok((file, hasher)) => Some(Incoming {
                store: self.inner.clone(),
                file,
                path: kept.path,
                hasher,
                bytes: kept.bytes,
                transfer: Some(transfer),
                named: false,
            }),
            Err(error) => {
                tracing::warn!(%transfer, %error, "what came of a transfer cannot be read, it begins anew");
                self.inner.remove_partial(&kept);
                None
            }
        }
    }

    /// Removes what was kept for `kept_for`; returns how many.
    pub fn sweep_partials(&self, kept_for: Duration) -> usize {
        let before = SystemTime::now().checked_sub(kept_for);
        let before = before.unwrap_or(SystemTime::UNIX_EPOCH);
        let mut swept = 0;
        while let Some(kept) = self.inner.partials.take_oldest(Some(before)) {
            self.inner.drop_partial(&kept, "age");
            swept += 1;
        }
        swept
    }
}

fn hash(file: &File, bytes: u64) -> std::io::Result<sha2::Sha256> {
    let mut hasher = sha2::Sha256::new();
    let (mut from, mut left) = (file.take(bytes), bytes);
    let mut buffer = vec![0; BLOCK_BYTES];
    while left > 0 {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(buffer.get(..length).unwrap_or_default());
        left -= length as u64;
    }
    Ok(hasher)
}

impl Inner {
    /// Keeps what came of a transfer that was cut.
    pub(super) fn keep_partial(&self, transfer: Uuid, incoming: &Incoming) {
        let kept = Kept {
            path: incoming.path.clone(),
            bytes: incoming.bytes,
            hasher: Some(incoming.hasher.clone()),
            since: SystemTime::now(),
        };
        let before = self.partials.states.lock().insert(transfer, State::Kept(kept));
        self.partials.changed.notify_all();
        if let Some(State::Kept(other)) = before {
            self.remove_partial(&other);
        }
        while self.partials.kept_count() > PARTIALS_MAX && self.drop_oldest_partial("count") {}
    }

    /// Gives up on the oldest that is kept; `false`: there is none.
    pub(super) fn drop_oldest_partial(&self, why: &'static str) -> bool {
        let oldest = self.partials.take_oldest(None);
        oldest.inspect(|kept| self.drop_partial(kept, why)).is_some()
    }

    fn drop_partial(&self, kept: &Kept, why: &'static str) {
        metrics::counter!("tripline_artifact_partials_dropped_total", "reason" => why).increment(1);
        tracing::info!(bytes = kept.bytes, why, "gave up on what came of a cut transfer");
        self.remove_partial(kept);
    }

    fn remove_partial(&self, kept: &Kept) {
        self.bytes_used.fetch_sub(kept.bytes, Ordering::AcqRel);
        if let Err(error) = std::fs::remove_file(&kept.path) {
            tracing::warn!(%error, path = %kept.path.display(), "cannot remove an incomplete artifact");
        }
    }
}

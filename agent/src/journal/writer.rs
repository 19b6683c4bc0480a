//! The journal's file: opening, appending in groups, compaction. One thread owns it.

use super::record::{self, Body, Record};
use super::state::State;
use super::{Error, Options};
use crate::state_dir;
use crate::stop::parking::Mutex;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use tokio::sync::oneshot;
use uuid::Uuid;

/// Most records in one group.
const GROUP_MAX: usize = 512;

/// A record to append. With `done` it is synced first, then answered.
pub(super) struct Job {
    pub(super) record: Record,
    pub(super) done: Option<oneshot::Sender<Result<(), Error>>>,
}

/// An opened journal file.
pub(super) struct Opened {
    pub(super) id: Uuid,
    pub(super) file: File,
    pub(super) bytes: u64,
    pub(super) state: State,
}

/// Opens the file at `path`, folds its records into `state`, cuts a torn tail; makes the file if needed.
pub(super) fn open(path: &Path, mut state: State) -> io::Result<Opened> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return create(path, state),
        Err(error) => return Err(error),
    };
    let Some(scan) = record::scan(&bytes) else {
        set_aside(path)?;
        return create(path, state);
    };
    scan.records.into_iter().for_each(|record| state.apply(record));
    if scan.damaged {
        set_aside(path)?;
        return create(path, state);
    }
    let mut file = append_to(path)?;
    let good = scan.good_bytes as u64;
    if scan.good_bytes < bytes.len() {
        tracing::warn!(
            bytes = bytes.len() - scan.good_bytes,
            "cut the torn tail of the journal"
        );
        file.set_len(good)?;
        file.sync_all()?;
    }
    file.seek(SeekFrom::End(0))?;
    Ok(Opened {
        id: scan.id,
        file,
        bytes: good,
        state,
    })
}

/// Keeps a damaged file for people to look at.
fn set_aside(path: &Path) -> io::Result<()> {
    let aside = path.with_extension("damaged");
    tracing::error!(kept_as = %aside.display(), "the journal is damaged: going on with a new one");
    std::fs::rename(path, aside)
}

fn create(path: &Path, state: State) -> io::Result<Opened> {
    let id = Uuid::new_v4();
    let bytes = stage_state(path, id, &state)?;
    let file = publish_state(path)?;
    Ok(Opened {
        id,
        file,
        bytes,
        state,
    })
}

/// Writes the file that [`publish_state`] puts in place: just `state`. Returns its bytes.
fn stage_state(path: &Path, id: Uuid, state: &State) -> io::Result<u64> {
    let mut content = record::header(id);
    state
        .to_records()
        .iter()
        .for_each(|record| record.encode(&mut content));
    let (dir, name) = split(path)?;
    state_dir::stage(dir, name, &content)?;
    Ok(content.len() as u64)
}

fn publish_state(path: &Path) -> io::Result<File> {
    let (dir, name) = split(path)?;
    state_dir::publish(dir, name)?;
    let mut file = append_to(path)?;
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}

fn split(path: &Path) -> io::Result<(&Path, &str)> {
    path.parent()
        .zip(path.file_name().and_then(|name| name.to_str()))
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// The thread that owns the file.
pub(super) struct Writer {
    path: PathBuf,
    file: File,
    bytes: u64,
    id: Uuid,
    options: Options,
    state: Arc<Mutex<State>>,
    broken: Option<Arc<io::Error>>,
}

impl Writer {
    pub(super) fn new(
        path: &Path,
        file: File,
        bytes: u64,
        id: Uuid,
        options: Options,
        state: Arc<Mutex<State>>,
    ) -> Self {
        Self {
            path: path.to_path_buf(),
            file,
            bytes,
            id,
            options,
            state,
            broken: None,
        }
    }

    /// Writes what waits, in groups, until every sender is gone.
    pub(super) fn run(mut self, inbox: &mpsc::Receiver<Job>) {
        while let Ok(first) = inbox.recv() {
            let mut group = vec![first];
            group.extend(inbox.try_iter().take(GROUP_MAX));
            let outcome = self.write_group(&group);
            for job in group {
                self.settle(job, &outcome);
            }
            if outcome.is_ok() {
                self.compact_if_large();
            }
        }
    }

    fn settle(&self, job: Job, outcome: &Result<(), Error>) {
        // An ack counts even if its note is lost: at worst the result is sent once more after a restart.
        if outcome.is_ok() || matches!(job.record.body, Body::Acked) {
            self.state.lock().apply(job.record);
        }
        if let Some(done) = job.done
            && done.send(outcome.clone()).is_err()
        {
            tracing::debug!("nobody waits for a record of the journal any more");
        }
    }

    fn write_group(&mut self, group: &[Job]) -> Result<(), Error> {
        if let Some(error) = &self.broken {
            return Err(Error::Broken(error.clone()));
        }
        let mut bytes = Vec::with_capacity(group.len() * 128);
        group.iter().for_each(|job| job.record.encode(&mut bytes));
        if let Err(error) = self.file.write_all(&bytes) {
            return Err(self.undo_write(error));
        }
        if group.iter().any(|job| job.done.is_some())
            && let Err(error) = self.file.sync_data()
        {
            return Err(self.break_down(error));
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// A full disk is no reason to give up: the file goes back to what it was, and the record is refused.
    fn undo_write(&mut self, error: io::Error) -> Error {
        let undone = self
            .file
            .set_len(self.bytes)
            .and_then(|()| self.file.seek(SeekFrom::Start(self.bytes)));
        match undone {
            Ok(_) => Error::Write(Arc::new(error)),
            Err(error) => self.break_down(error),
        }
    }

    fn break_down(&mut self, error: io::Error) -> Error {
        let error = Arc::new(error);
        self.broken = Some(error.clone());
        Error::Broken(error)
    }

    fn compact_if_large(&mut self) {
        let live = self.state.lock().live_bytes() as u64;
        if self.bytes < self.options.compact_bytes_min || self.bytes < live.saturating_mul(2) {
            return;
        }
        // Only this thread changes the state, so it is exactly what the file says.
        let staged = stage_state(&self.path, self.id, &self.state.lock());
        match staged {
            Ok(bytes) => self.take_compacted(bytes),
            Err(error) => {
                tracing::warn!(%error, "failed to compact the journal: it grows on");
                self.options.compact_bytes_min = self.bytes.saturating_mul(2);
            }
        }
    }

    fn take_compacted(&mut self, bytes: u64) {
        match publish_state(&self.path) {
            Ok(file) => {
                tracing::debug!(from = self.bytes, to = bytes, "compacted the journal");
                (self.file, self.bytes) = (file, bytes);
            }
            Err(error) => {
                // The rename may or may not be durable: which file a restart would find is unknown.
                tracing::error!(%error, "failed to put the compacted journal in place");
                self.break_down(error);
            }
        }
    }
}

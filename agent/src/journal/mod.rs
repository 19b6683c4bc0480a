//! The journal of commands: what makes sure that no command that changes the host runs twice.
//!
//! The id of a mutating command is on disk before the command begins, its result is on disk before it is
//! sent, and both stay until the server acked the result. Several commands share one `fdatasync`. A torn
//! tail is cut when the file is opened; damage before intact records gives the journal a new id, which tells
//! the server that something it counted on was lost.
//!
//! Deliberately not here: what a command is or does, and commands that only read (they may run again).

mod record;
mod state;
mod writer;

pub use state::{Begun, Known};

use crate::stop::parking::Mutex;
use record::{Body, Record};
use state::{Memory, State};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::SystemTime;
use tokio::sync::oneshot;
use tripline_protocol::CommandId;
use uuid::Uuid;
use writer::{Job, Writer};

/// Why the journal did not do its part.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// It could not be opened.
    #[error("failed to open the journal {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the host said.
        source: Arc<io::Error>,
    },
    /// A record could not be written; the file is as it was before.
    #[error("failed to write to the journal")]
    Write(#[source] Arc<io::Error>),
    /// The file's content is unknown after a failed sync or a failed repair: nothing is written any more.
    #[error("failed to sync the journal")]
    Broken(#[source] Arc<io::Error>),
    /// The writer has ended.
    #[error("failed to reach the journal's writer")]
    Closed,
}

/// Size from which the journal is written anew without what is over.
const COMPACT_BYTES_MIN: u64 = 8 * 1024 * 1024;
/// Ids of acked commands that are remembered; the oldest go first.
const ACKED_MAX: usize = 100_000;
/// How long they are.
const ACKED_SECONDS_MAX: u64 = 7 * 24 * 3600;

/// How large the journal may get.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Size in bytes below which the file is not rewritten.
    pub compact_bytes_min: u64,
    /// Most acked ids that are remembered.
    pub acked_max: usize,
    /// Seconds for which an acked id is remembered.
    pub acked_seconds: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            compact_bytes_min: COMPACT_BYTES_MIN,
            acked_max: ACKED_MAX,
            acked_seconds: ACKED_SECONDS_MAX,
        }
    }
}

/// An open journal. Dropping it ends its writer after what was handed to it is written.
pub struct Journal {
    id: Uuid,
    state: Arc<Mutex<State>>,
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl Journal {
    /// Opens or makes `commands.journal` in `dir`, which the caller holds the lock of.
    pub fn open(dir: &Path, options: Options) -> Result<Self, Error> {
        let path = dir.join("commands.journal");
        Self::open_at(&path, options).map_err(|source| Error::Open {
            path: path.clone(),
            source: Arc::new(source),
        })
    }

    fn open_at(path: &Path, options: Options) -> io::Result<Self> {
        let memory = Memory {
            acked_max: options.acked_max,
            acked_seconds: options.acked_seconds,
        };
        let opened = writer::open(path, State::new(memory))?;
        let id = opened.id;
        let state = Arc::new(Mutex::new(opened.state));
        let (jobs, inbox) = mpsc::channel();
        let writer = Writer::new(path, opened.file, opened.bytes, id, options, state.clone());
        let writer = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(&inbox))?;
        Ok(Self {
            id,
            state,
            jobs: Some(jobs),
            writer: Some(writer),
        })
    }

    /// The journal's identity; another one means that what was in the old one is lost.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// What is known about a command.
    pub fn known(&self, id: CommandId) -> Option<Known> {
        self.state.lock().known(id)
    }

    /// Results that wait for an ack: ids and texts of their frames.
    pub fn unacked(&self) -> Vec<(CommandId, Arc<str>)> {
        self.state.lock().unacked()
    }

    /// How many results wait for an ack, and their bytes.
    pub fn unacked_size(&self) -> (usize, usize) {
        self.state.lock().unacked_size()
    }

    /// Commands that began and have no result. Right after opening: those that an earlier agent left.
    pub fn begun(&self) -> Vec<Begun> {
        self.state.lock().begun()
    }

    /// The newest epoch that was written.
    pub fn epoch(&self) -> u64 {
        self.state.lock().epoch()
    }

    /// Makes the beginning of a command durable. Only after it may the command be executed.
    pub async fn begin(&self, id: CommandId, leftover: Vec<u8>) -> Result<(), Error> {
        self.durable(id, Body::Begun { leftover }).await
    }

    /// Makes a result durable. Only after it may the result be sent.
    pub async fn finish(&self, id: CommandId, result: &str) -> Result<(), Error> {
        self.durable(
            id,
            Body::Finished {
                result: result.to_owned(),
            },
        )
        .await
    }

    /// Notes the process group of a command; not synced, so it survives the agent but not the machine.
    pub fn started(&self, id: CommandId, pid: u32) {
        self.lazy(id, Body::Started { pid });
    }

    /// Notes that the server has a result; not synced, since an ack that is lost is only repeated.
    pub fn ack(&self, id: CommandId) {
        self.lazy(id, Body::Acked);
    }

    /// Notes the newest epoch; not synced.
    pub fn note_epoch(&self, epoch: u64) {
        self.lazy(CommandId(Uuid::nil()), Body::Epoch(epoch));
    }

    async fn durable(&self, id: CommandId, body: Body) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        self.send(Job {
            record: record_now(id, body),
            done: Some(done),
        })?;
        answer.await.map_err(|_| Error::Closed)?
    }

    fn lazy(&self, id: CommandId, body: Body) {
        if let Err(error) = self.send(Job {
            record: record_now(id, body),
            done: None,
        }) {
            tracing::debug!(command_id = %id, %error, "a note for the journal was lost");
        }
    }

    fn send(&self, job: Job) -> Result<(), Error> {
        self.jobs
            .as_ref()
            .ok_or(Error::Closed)?
            .send(job)
            .map_err(|_| Error::Closed)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(Err(_)) = self.writer.take().map(JoinHandle::join) {
            tracing::error!("the journal's writer panicked");
        }
    }
}

fn record_now(id: CommandId, body: Body) -> Record {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Record {
        id,
        time: now.as_secs(),
        body,
    }
}

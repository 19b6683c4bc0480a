//! All transfers of one connection: which chunk belongs where, what the disk does, what goes to whom.
//!
//! The disk works on blocking threads; everything else happens in the connection's own task. Whoever holds
//! a `Transfers` gives what the disk has done to [`Transfers::after_disk`], and sends what
//! [`Transfers::next_chunk`] gives.

use super::disk::{self, Done, File, Partial};
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use actix_web::web::Bytes;
use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::mpsc;
use tripline_actors::artifact::ArtifactStore;
use tripline_protocol::frame::{Chunk, Command, CommandResult, ServerFrame};
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::{CommandId, Fault};

/// Commands whose chunks are dropped that are remembered at once; beyond, the memory starts anew.
const DROPPED_MAX: usize = 1024;

/// What the connection is to pass on.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// To the agent.
    Frame(ServerFrame),
    /// To the actors: a result, with the verified file it left.
    Result(Box<CommandResult>, Option<ArtifactRef>),
    /// To the actors: the command cannot succeed any more.
    Failed(CommandId, Fault),
}

/// A chunk on its way to the agent.
struct ReadyChunk {
    command_id: CommandId,
    file: File,
    frame: Bytes,
}

/// The transfers of a connection.
pub(super) struct Transfers {
    store: Arc<ArtifactStore>,
    incoming: HashMap<CommandId, Incoming<Partial>>,
    outgoing: HashMap<CommandId, Outgoing<File>>,
    dropped: HashSet<CommandId>,
    chunks: VecDeque<ReadyChunk>,
    done: mpsc::UnboundedSender<Done>,
}

impl Transfers {
    /// Also gives what the disk has done, at most one message at once for each transfer.
    pub(super) fn new(store: Arc<ArtifactStore>) -> (Self, mpsc::UnboundedReceiver<Done>) {
        let (done, disk) = mpsc::unbounded_channel();
        let transfers = Self {
            store,
            incoming: HashMap::new(),
            outgoing: HashMap::new(),
            dropped: HashSet::new(),
            chunks: VecDeque::new(),
            done,
        };
        (transfers, disk)
    }

    /// A command goes to the agent: expects the file it fetches, begins to read the one it brings.
    pub(super) fn command_sent(&mut self, command: &Command) {
        let id = command.command_id;
        if let Some(transfer) = Incoming::of(&command.call) {
            self.incoming.entry(id).or_insert(transfer);
        }
        if let Some(transfer) = &command.transfer {
            self.outgoing
                .entry(id)
                .or_insert_with(|| Outgoing::new(transfer.clone()));
            self.read_on(id);
        }
    }

    /// A command is cancelled: nothing more is sent to it. What it still sends is taken until its result.
    pub(super) fn command_cancelled(&mut self, id: CommandId) {
        self.outgoing.remove(&id);
    }

    /// A chunk came.
    pub(super) fn chunk(&mut self, chunk: &Chunk<'_>, told: &mut Vec<Told>) {
        let id = chunk.command_id;
        match self.incoming.get_mut(&id).map(|transfer| transfer.take(chunk)) {
            Some(Ok(())) => self.write_on(id),
            Some(Err(fault)) => self.fail(id, fault, told),
            None if self.dropped.contains(&id) => {
                metrics::counter!("tripline_agent_channel_dropped_chunks_total").increment(1);
            }
            None => {
                let text = "a chunk came for a command that this connection did not send";
                self.fail(id, Fault::server("unexpected_chunk", text), told);
            }
        }
    }

    /// The agent can take more of a transfer; for one that ended it means nothing.
    pub(super) fn credit(&mut self, id: CommandId, bytes: u64) {
        if let Some(transfer) = self.outgoing.get_mut(&id) {
            transfer.grant(bytes);
            self.read_on(id);
        }
    }

    /// A command ended: its file is finished first, if it brings one.
    pub(super) fn result(&mut self, result: Box<CommandResult>, told: &mut Vec<Told>) {
        let id = result.command_id;
        self.outgoing.remove(&id);
        match self.incoming.get_mut(&id) {
            Some(transfer) if result.error.is_none() => {
                transfer.end(result);
                self.write_on(id);
            }
            Some(_) => {
                disk::discard(self.incoming.remove(&id));
                told.push(Told::Result(result, None));
            }
            None => told.push(Told::Result(result, None)),
        }
    }

    /// The disk has done something.
    pub(super) fn after_disk(&mut self, done: Done, told: &mut Vec<Told>) {
        match done {
            Done::Written { id, bytes, file } => self.written(id, bytes, file, told),
            Done::Finished { id, result, artifact } => {
                self.incoming.remove(&id);
                self.drop_chunks_of(id);
                told.push(Told::Result(result, artifact));
            }
            Done::Read { id, file, frame } if self.outgoing.contains_key(&id) => {
                self.chunks.push_back(ReadyChunk {
                    command_id: id,
                    file,
                    frame,
                });
            }
            Done::Read { .. } => {}
            Done::Failed { id, fault } => self.fail(id, fault, told),
        }
    }

    fn written(&mut self, id: CommandId, bytes: u64, file: Partial, told: &mut Vec<Told>) {
        let Some(transfer) = self.incoming.get_mut(&id) else {
            disk::discard(Some(file));
            return;
        };
        let credit = transfer.written(file, bytes);
        if credit > 0 {
            told.push(Told::Frame(ServerFrame::Credit {
                command_id: id,
                bytes: credit,
            }));
        }
        self.write_on(id);
    }

    /// Whether [`Transfers::next_chunk`] has something.
    pub(super) fn has_chunk(&self) -> bool {
        !self.chunks.is_empty()
    }

    /// The next chunk to send, of each transfer in turn.
    pub(super) fn next_chunk(&mut self) -> Option<Bytes> {
        while let Some(ReadyChunk {
            command_id,
            file,
            frame,
        }) = self.chunks.pop_front()
        {
            let Some(transfer) = self.outgoing.get_mut(&command_id) else {
                continue;
            };
            transfer.chunk_sent(file);
            if transfer.is_whole() {
                self.outgoing.remove(&command_id);
            } else {
                self.read_on(command_id);
            }
            return Some(frame);
        }
        None
    }

    fn write_on(&mut self, id: CommandId) {
        if let Some(work) = self.incoming.get_mut(&id).and_then(Incoming::next_work) {
            let store = Arc::clone(&self.store);
            self.work(id, move || disk::write(&store, id, work));
        }
    }

    fn read_on(&mut self, id: CommandId) {
        let Some(transfer) = self.outgoing.get_mut(&id) else {
            return;
        };
        if let Some(read) = transfer.next_read() {
            let (store, sha256) = (Arc::clone(&self.store), transfer.transfer().sha256.clone());
            self.work(id, move || disk::read(&store, id, &sha256, read));
        }
    }

    /// Runs it on a blocking thread; even a panic there is reported, so that no transfer waits for ever.
    fn work(&self, id: CommandId, work: impl FnOnce() -> Done + Send + 'static) {
        let done = self.done.clone();
        tokio::task::spawn_blocking(move || {
            let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Done::Failed {
                id,
                fault: Fault::server("internal", "the server's disk work panicked"),
            });
            // Nobody listens any more when the connection has ended; what was written is removed.
            let _ = done.send(outcome);
        });
    }

    fn fail(&mut self, id: CommandId, fault: Fault, told: &mut Vec<Told>) {
        self.outgoing.remove(&id);
        disk::discard(self.incoming.remove(&id));
        self.drop_chunks_of(id);
        told.push(Told::Failed(id, fault));
        told.push(Told::Frame(ServerFrame::Cancel { command_id: id }));
    }

    fn drop_chunks_of(&mut self, id: CommandId) {
        if self.dropped.len() >= DROPPED_MAX {
            self.dropped.clear();
        }
        self.dropped.insert(id);
    }
}

impl Drop for Transfers {
    fn drop(&mut self) {
        disk::discard(std::mem::take(&mut self.incoming));
    }
}

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
use std::time::Instant;
use tokio::sync::mpsc;
use tripline_actors::artifact::ArtifactStore;
use tripline_protocol::frame::{CODE_TRANSFER_PAUSED, Chunk, Command, CommandResult, ServerFrame};
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::{CommandId, Fault, Sha256};

/// Commands whose chunks are dropped that are remembered at once; beyond, the memory starts anew.
pub(super) const DROPPED_MAX: usize = 1024;

/// What the connection is to pass on.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// To the agent.
    Frame(ServerFrame),
    /// To the agent: a command that waited for the disk.
    Command(Box<Command>),
    /// To the actors: a result, with the verified file it left.
    Result(Box<CommandResult>, Option<ArtifactRef>),
    /// To the actors: the command cannot succeed any more.
    Failed(CommandId, Fault),
    /// To the log: a file is not kept.
    NotKept(Fault),
}

/// A command that is sent when it is known what is here of its transfer.
struct Held {
    command: Box<Command>,
    since: Instant,
    cancelled: bool,
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
    held: HashMap<CommandId, Held>,
    /// Transfers that go on later, and whose file the disk still has.
    paused: HashSet<CommandId>,
    dropped: HashSet<CommandId>,
    chunks: VecDeque<ReadyChunk>,
    /// Boxed, because room for some dozen messages is there from the beginning, and most agents never move a file.
    done: mpsc::UnboundedSender<Box<Done>>,
}

impl Transfers {
    /// Also gives what the disk has done, at most one message at once for each transfer.
    pub(super) fn new(store: Arc<ArtifactStore>) -> (Self, mpsc::UnboundedReceiver<Box<Done>>) {
        let (done, disk) = mpsc::unbounded_channel();
        let transfers = Self {
            store,
            incoming: HashMap::new(),
            outgoing: HashMap::new(),
            held: HashMap::new(),
            paused: HashSet::new(),
            dropped: HashSet::new(),
            chunks: VecDeque::new(),
            done,
        };
        (transfers, disk)
    }

    /// Keeps a command back whose transfer may have been cut before, until it is known what is here of it; `false`: it
    /// can be sent.
    pub(super) fn hold(&mut self, command: &Command) -> bool {
        let Some(resume) = command.resume.as_ref().filter(|_| command.call.fetches_content()) else {
            return false;
        };
        let (id, transfer_id) = (command.command_id, resume.transfer_id);
        if self.incoming.contains_key(&id) {
            return false;
        }
        let held = Held {
            command: Box::new(command.clone()),
            since: Instant::now(),
            cancelled: false,
        };
        self.held.insert(id, held);
        let store = Arc::clone(&self.store);
        self.work(id, move || disk::begin(&store, id, transfer_id));
        true
    }

    /// What is here of a transfer is known: its command can be sent.
    fn release(&mut self, id: CommandId, file: Partial, sha256: Sha256, told: &mut Vec<Told>) {
        let Some(mut held) = self.held.remove(&id) else {
            disk::let_go(file);
            return;
        };
        let bytes = file.bytes();
        if let Some(resume) = &mut held.command.resume
            && bytes > 0
        {
            (resume.bytes, resume.sha256) = (bytes, Some(sha256));
            metrics::counter!("tripline_agent_channel_resumed_transfers_total", "direction" => "in")
                .increment(1);
        }
        if let Some(transfer) = Incoming::of(&held.command.call) {
            self.incoming.insert(id, transfer.going_on(file, bytes));
        }
        let waited = u64::try_from(held.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        held.command.remaining_ms = held.command.remaining_ms.saturating_sub(waited);
        told.push(Told::Command(held.command));
        if held.cancelled {
            told.push(Told::Frame(ServerFrame::Cancel { command_id: id }));
        }
    }

    /// A command goes to the agent: expects the file it fetches, begins to read the one it brings.
    pub(super) fn command_sent(&mut self, command: &Command) {
        let id = command.command_id;
        if let Some(transfer) = Incoming::of(&command.call) {
            self.incoming.entry(id).or_insert(transfer);
        }
        if let Some(transfer) = &command.transfer {
            self.outgoing.entry(id).or_insert_with(|| match &command.resume {
                Some(_) => Outgoing::waiting(transfer.clone()),
                None => Outgoing::new(transfer.clone()),
            });
            self.read_on(id);
        }
    }

    /// A command is cancelled: nothing more is sent to it. What it still sends is taken until its result. `false`: it
    /// is not sent yet, and the cancellation follows it.
    pub(super) fn command_cancelled(&mut self, id: CommandId) -> bool {
        self.outgoing.remove(&id);
        match self.held.get_mut(&id) {
            Some(held) => {
                held.cancelled = true;
                false
            }
            None => true,
        }
    }

    /// The agent says where a transfer to it goes on.
    pub(super) fn resumed(&mut self, id: CommandId, offset: u64, told: &mut Vec<Told>) {
        let Some(transfer) = self.outgoing.get_mut(&id) else {
            return;
        };
        if !transfer.begin(offset) {
            let text = format!("the host wants a transfer to go on at {offset}, where it cannot");
            return self.fail(id, Fault::server("wrong_offset", text), told);
        }
        if offset > 0 {
            metrics::counter!("tripline_agent_channel_resumed_transfers_total", "direction" => "out")
                .increment(1);
        }
        if transfer.is_whole() {
            self.outgoing.remove(&id);
        } else {
            self.read_on(id);
        }
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
                self.let_go(id, result.error.as_ref());
                told.push(Told::Result(result, None));
            }
            None => told.push(Told::Result(result, None)),
        }
    }

    /// The transfer is over here: what came of it stays if it goes on.
    fn let_go(&mut self, id: CommandId, error: Option<&Fault>) {
        let goes_on = error.is_some_and(|fault| fault.code == CODE_TRANSFER_PAUSED);
        match self.incoming.remove(&id).map(Incoming::into_file) {
            Some(None) if goes_on => drop(self.paused.insert(id)),
            Some(file) if goes_on => disk::let_go(file),
            Some(file) => disk::discard(file),
            None => {}
        }
    }

    /// The disk has done something.
    pub(super) fn after_disk(&mut self, done: Done, told: &mut Vec<Told>) {
        match done {
            Done::Begun { id, file, sha256 } => self.release(id, file, sha256, told),
            Done::Written { id, bytes, file } => self.written(id, bytes, file, told),
            Done::Finished { id, result, artifact } => {
                self.incoming.remove(&id);
                self.drop_chunks_of(id);
                told.extend(result.error.clone().map(Told::NotKept));
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
            self.stray(id, file);
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

    /// A transfer ended while the disk had its file: one that goes on goes on with it.
    fn stray(&mut self, id: CommandId, file: Partial) {
        match self.paused.remove(&id) {
            true => disk::let_go(file),
            false => disk::discard(Some(file)),
        }
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
            let _ = done.send(Box::new(outcome));
        });
    }

    fn fail(&mut self, id: CommandId, fault: Fault, told: &mut Vec<Told>) {
        self.outgoing.remove(&id);
        disk::discard(self.incoming.remove(&id).and_then(Incoming::into_file));
        self.drop_chunks_of(id);
        told.push(Told::Failed(id, fault));
        // One that was not sent yet needs no end.
        if self.held.remove(&id).is_none() {
            told.push(Told::Frame(ServerFrame::Cancel { command_id: id }));
        }
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
        disk::let_go(std::mem::take(&mut self.incoming));
    }
}

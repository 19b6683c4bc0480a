//! File content on its way between a verb and the connection, in chunks under credit.
//!
//! [`Outbound`] is what `get_file` sends into, [`Inbound`] what `put_file` takes from. Both belong to the
//! connection their command came on. When it is cut the transfer ends: with `transfer_paused` if its command says that
//! it can go on, under another command, at the offset where it stopped; else with `transfer_cut`. Deliberately not
//! here: what is kept of a transfer until then ([`crate::partials`] on this side).

use crate::link::{Link, Outgoing, UNWRITTEN_CHUNKS_MAX};
use crate::stop::Stop;
use crate::stop::parking::Mutex;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, PoisonError};
use std::time::Instant;
use tripline_protocol::frame::{
    AgentFrame, CODE_INTERRUPTED, CODE_TRANSFER_CUT, CODE_TRANSFER_PAUSED, Chunk, Resume,
};
use tripline_protocol::limit::{CHUNK_BYTES_MAX, TRANSFER_CREDIT_BYTES};
use tripline_protocol::{CommandId, Fault};

/// Takes a file's content in order.
pub trait ChunkSink: Send + Sync {
    /// Takes the next bytes; waits for credit, no longer than `stop` allows.
    fn send(&self, bytes: &[u8], stop: &Stop) -> Result<(), Fault>;
}

/// Gives a file's content in order.
pub trait ChunkSource: Send + Sync {
    /// Of a transfer that can go on: tells the sender that `offset` bytes are here, before the first of the rest.
    fn begin(&self, offset: u64);

    /// The next bytes; waits for them, no longer than `stop` allows.
    fn next(&self, stop: &Stop) -> Result<Vec<u8>, Fault>;
}

fn cut() -> Fault {
    Fault::server(CODE_TRANSFER_CUT, "the connection was lost during the transfer")
}

/// What a command answers whose transfer can go on: nothing is in place, nothing is lost.
pub fn paused() -> Fault {
    let text = "the transfer was cut; it goes on where it stopped";
    Fault::server(CODE_TRANSFER_PAUSED, text)
}

/// Whether a transfer that can go on does so after this fault: its connection was cut, or this agent stops.
pub fn is_pause(fault: &Fault) -> bool {
    [CODE_TRANSFER_PAUSED, CODE_INTERRUPTED].contains(&fault.code.as_str())
}

/// State that a verb waits on while the connection changes it.
struct Gate<T> {
    state: Mutex<T>,
    changed: Condvar,
}

impl<T> Gate<T> {
    fn new(state: T) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let answer = change(&mut self.state.lock());
        self.changed.notify_all();
        answer
    }

    /// Waits until `ready` gives something, or the command has to end.
    fn wait<R>(&self, stop: &Stop, mut ready: impl FnMut(&mut T) -> Option<R>) -> Result<R, Fault> {
        let mut state = self.state.lock();
        loop {
            if let Some(answer) = ready(&mut state) {
                return Ok(answer);
            }
            stop.check()?;
            let left = stop.deadline().saturating_duration_since(Instant::now());
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl<T: Send + 'static> Gate<T> {
    fn wake_on(self: &Arc<Self>, stop: &Stop) {
        let gate = self.clone();
        stop.on_stop(move || gate.change(|_| ()));
    }
}

struct Sending {
    credit: u64,
    offset: u64,
    unwritten: usize,
    cut: bool,
    /// What ends it when it is cut.
    fault: Fault,
}

/// Chunks to the server.
pub struct Outbound {
    id: CommandId,
    link: Arc<Link>,
    gate: Arc<Gate<Sending>>,
}

/// Gives the place in the writer's queue back.
struct ChunkWritten(Arc<Gate<Sending>>);

impl Drop for ChunkWritten {
    fn drop(&mut self) {
        self.0
            .change(|sending| sending.unwritten = sending.unwritten.saturating_sub(1));
    }
}

impl Outbound {
    /// For a command that came on `link`, with the initial credit of [`TRANSFER_CREDIT_BYTES`]. With `resume` it
    /// begins behind what the server has.
    pub fn new(id: CommandId, link: Arc<Link>, resume: Option<&Resume>, stop: &Stop) -> Self {
        let sending = Sending {
            credit: TRANSFER_CREDIT_BYTES,
            offset: resume.map_or(0, |resume| resume.bytes),
            unwritten: 0,
            cut: false,
            fault: resume.map_or_else(cut, |_| paused()),
        };
        let gate = Gate::new(sending);
        gate.wake_on(stop);
        Self { id, link, gate }
    }

    /// The server can take `bytes` more.
    pub fn grant(&self, bytes: u64) {
        self.gate
            .change(|sending| sending.credit = sending.credit.saturating_add(bytes));
    }

    /// The connection is gone.
    pub fn cut(&self) {
        self.gate.change(|sending| sending.cut = true);
    }

    /// Takes credit for at most `wanted` bytes: how many, and their offset.
    fn reserve(&self, wanted: usize, stop: &Stop) -> Result<(usize, u64), Fault> {
        let wanted = wanted.min(CHUNK_BYTES_MAX) as u64;
        self.gate.wait(stop, |sending| {
            if sending.cut {
                return Some(Err(sending.fault.clone()));
            }
            if sending.credit == 0 || sending.unwritten >= UNWRITTEN_CHUNKS_MAX {
                return None;
            }
            let bytes = wanted.min(sending.credit);
            let offset = sending.offset;
            sending.credit -= bytes;
            sending.offset += bytes;
            sending.unwritten += 1;
            Some(Ok((usize::try_from(bytes).unwrap_or(CHUNK_BYTES_MAX), offset)))
        })?
    }
}

impl ChunkSink for Outbound {
    fn send(&self, mut bytes: &[u8], stop: &Stop) -> Result<(), Fault> {
        while !bytes.is_empty() {
            stop.check()?;
            let (length, offset) = self.reserve(bytes.len(), stop)?;
            let (now, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
            let frame = Chunk {
                command_id: self.id,
                offset,
                bytes: now,
            }
            .encode();
            let written = Box::new(ChunkWritten(self.gate.clone()));
            if self.link.send(Outgoing::Chunk(frame, written)).is_err() {
                return Err(self.gate.change(|sending| sending.fault.clone()));
            }
            bytes = rest;
        }
        Ok(())
    }
}

struct Receiving {
    chunks: VecDeque<Vec<u8>>,
    /// Bytes received, given to the verb or not.
    offset: u64,
    /// Bytes the server may have sent by now.
    allowed: u64,
    failed: Option<Fault>,
}

/// Chunks from the server.
pub struct Inbound {
    id: CommandId,
    link: Arc<Link>,
    bytes: u64,
    resumable: bool,
    gate: Arc<Gate<Receiving>>,
}

impl Inbound {
    /// For a command that came on `link` and announced `bytes` of content. Nothing is granted yet.
    /// `resumable`: the server waits to be told where to begin.
    pub fn new(id: CommandId, link: Arc<Link>, bytes: u64, resumable: bool, stop: &Stop) -> Self {
        // A server may count the initial credit by itself or wait for the frame: both fit.
        let allowed = TRANSFER_CREDIT_BYTES;
        let gate = Gate::new(Receiving {
            chunks: VecDeque::new(),
            offset: 0,
            allowed,
            failed: None,
        });
        gate.wake_on(stop);
        Self {
            id,
            link,
            bytes,
            resumable,
            gate,
        }
    }

    /// Lets the server begin. One that waits to be told where is told by the verb.
    pub fn open(&self) {
        if !self.resumable {
            self.grant(TRANSFER_CREDIT_BYTES);
        }
    }

    fn grant(&self, bytes: u64) {
        self.gate
            .change(|receiving| receiving.allowed = receiving.allowed.saturating_add(bytes));
        self.link.frame(AgentFrame::Credit {
            command_id: self.id,
            bytes,
        });
    }

    /// Takes a chunk as it came. One that is not the next, is empty, or goes beyond what was announced or
    /// granted, ends the transfer.
    pub fn push(&self, chunk: &Chunk<'_>) {
        let length = chunk.bytes.len() as u64;
        self.gate.change(|receiving| {
            let end = receiving.offset.saturating_add(length);
            if receiving.failed.is_some() {
                return;
            }
            if chunk.offset != receiving.offset || length == 0 || end > self.bytes || end > receiving.allowed
            {
                let text = format!(
                    "a chunk of {length} bytes at {} came when {} of {} were there and {} granted",
                    chunk.offset, receiving.offset, self.bytes, receiving.allowed
                );
                receiving.failed = Some(Fault::server("transfer_protocol", text));
                receiving.chunks.clear();
                return;
            }
            receiving.offset = end;
            receiving.chunks.push_back(chunk.bytes.to_vec());
        });
    }

    /// The connection is gone.
    pub fn cut(&self) {
        self.gate.change(|receiving| {
            // What is complete needs the connection no more.
            if receiving.offset < self.bytes && receiving.failed.is_none() {
                receiving.failed = Some(if self.resumable { paused() } else { cut() });
            }
        });
    }
}

impl ChunkSource for Inbound {
    fn begin(&self, offset: u64) {
        self.gate.change(|receiving| {
            receiving.offset = offset;
            receiving.allowed = offset.saturating_add(TRANSFER_CREDIT_BYTES);
        });
        self.link.frame(AgentFrame::Resume {
            command_id: self.id,
            offset,
        });
    }

    fn next(&self, stop: &Stop) -> Result<Vec<u8>, Fault> {
        stop.check()?;
        let chunk = self.gate.wait(stop, |receiving| {
            // What came before the cut is as good as any.
            match (receiving.chunks.pop_front(), &receiving.failed) {
                (Some(chunk), _) => Some(Ok(chunk)),
                (None, Some(fault)) => Some(Err(fault.clone())),
                (None, None) => None,
            }
        })??;
        self.grant(chunk.len() as u64);
        Ok(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop::Cause;
    use std::time::Duration;
    use tripline_protocol::TransferId;
    use uuid::Uuid;

    const ID: CommandId = CommandId(Uuid::from_u128(5));

    fn stop() -> Stop {
        Stop::after(Duration::MAX)
    }

    #[test]
    fn a_sender_never_exceeds_its_credit() {
        let (link, mut end) = Link::new();
        let stop = Arc::new(stop());
        let outbound = Arc::new(Outbound::new(ID, Arc::new(link), None, &stop));
        let (sender, stopped) = (outbound.clone(), stop.clone());
        let content = vec![7u8; TRANSFER_CREDIT_BYTES as usize + 10];
        let thread = std::thread::spawn(move || sender.send(&content, &stopped));
        let mut got = 0;
        let mut take = |end: &mut crate::link::LinkEnd| loop {
            if let Some(Outgoing::Chunk(frame, _)) = end.try_next() {
                let chunk = Chunk::decode(&frame).unwrap();
                assert_eq!(chunk.offset, got);
                got += chunk.bytes.len() as u64;
                return got;
            }
            std::thread::yield_now();
        };
        while take(&mut end) < TRANSFER_CREDIT_BYTES {}
        assert!(end.try_next().is_none());
        outbound.grant(10);
        assert_eq!(take(&mut end), TRANSFER_CREDIT_BYTES + 10);
        assert_eq!(thread.join().unwrap(), Ok(()));
    }

    #[test]
    fn a_sender_waits_while_so_many_of_its_chunks_are_unwritten() {
        let (link, mut end) = Link::new();
        let outbound = Outbound::new(ID, Arc::new(link), None, &stop());
        for _ in 0..UNWRITTEN_CHUNKS_MAX {
            assert_eq!(outbound.send(b"a", &stop()), Ok(()));
        }
        let soon = Stop::after(Duration::from_millis(20));
        assert_eq!(outbound.send(b"b", &soon).unwrap_err().code, "command_timeout");
        // Taken is not written yet.
        let taken = end.try_next();
        let soon = Stop::after(Duration::from_millis(20));
        assert_eq!(outbound.send(b"b", &soon).unwrap_err().code, "command_timeout");
        drop(taken);
        assert_eq!(outbound.send(b"b", &stop()), Ok(()));
    }

    #[test]
    fn a_waiting_sender_ends_with_its_connection_or_its_command() {
        for by_cut in [true, false] {
            let (link, _end) = Link::new();
            let stop = Arc::new(stop());
            let outbound = Arc::new(Outbound::new(ID, Arc::new(link), None, &stop));
            let (sender, stopped) = (outbound.clone(), stop.clone());
            let thread = std::thread::spawn(move || sender.send(&vec![0; 8 << 20], &stopped));
            if by_cut {
                outbound.cut();
            } else {
                stop.set(Cause::Cancelled);
            }
            let code = if by_cut { "transfer_cut" } else { "cancelled" };
            assert_eq!(thread.join().unwrap().unwrap_err().code, code);
        }
    }

    fn chunk(offset: u64, bytes: &[u8]) -> Chunk<'_> {
        Chunk {
            command_id: ID,
            offset,
            bytes,
        }
    }

    #[test]
    fn chunks_arrive_in_order_and_are_credited_when_taken() {
        let (link, mut end) = Link::new();
        let inbound = Inbound::new(ID, Arc::new(link), 5, false, &stop());
        inbound.push(&chunk(0, b"abc"));
        inbound.push(&chunk(3, b"de"));
        assert_eq!(inbound.next(&stop()).unwrap(), b"abc");
        assert!(matches!(
            end.try_next(),
            Some(Outgoing::Frame(AgentFrame::Credit { bytes: 3, .. }))
        ));
        inbound.cut();
        assert_eq!(inbound.next(&stop()).unwrap(), b"de");
    }

    #[test]
    fn a_transfer_that_can_go_on_begins_where_it_stopped_and_says_so_when_it_is_cut() {
        let resume = Resume {
            transfer_id: TransferId(Uuid::from_u128(9)),
            bytes: 7,
            sha256: None,
        };
        let (link, mut end) = Link::new();
        let outbound = Outbound::new(ID, Arc::new(link), Some(&resume), &stop());
        outbound.send(b"abc", &stop()).unwrap();
        let Some(Outgoing::Chunk(frame, _)) = end.try_next() else {
            panic!("a chunk");
        };
        assert_eq!(Chunk::decode(&frame).unwrap().offset, 7);
        outbound.cut();
        assert_eq!(outbound.send(b"d", &stop()).unwrap_err(), paused());

        let (link, mut end) = Link::new();
        let inbound = Inbound::new(ID, Arc::new(link), 9, true, &stop());
        inbound.open();
        assert!(end.try_next().is_none());
        inbound.begin(4);
        let told = Outgoing::Frame(AgentFrame::Resume {
            command_id: ID,
            offset: 4,
        });
        assert!(
            matches!((end.try_next(), told), (Some(Outgoing::Frame(one)), Outgoing::Frame(other)) if one == other)
        );
        inbound.push(&chunk(4, b"abc"));
        inbound.cut();
        // What came is taken before the cut is heard of.
        assert_eq!(inbound.next(&stop()).unwrap(), b"abc");
        assert_eq!(inbound.next(&stop()).unwrap_err(), paused());
    }

    #[test]
    fn a_chunk_out_of_place_or_beyond_ends_the_transfer() {
        for (offset, bytes) in [(1, &b"a"[..]), (0, b"abcdef"), (0, b"")] {
            let (link, _end) = Link::new();
            let inbound = Inbound::new(ID, Arc::new(link), 5, false, &stop());
            inbound.push(&chunk(offset, bytes));
            assert_eq!(inbound.next(&stop()).unwrap_err().code, "transfer_protocol");
        }
    }

    #[test]
    fn chunks_beyond_the_credit_end_the_transfer() {
        let (link, _end) = Link::new();
        let inbound = Inbound::new(ID, Arc::new(link), u64::MAX, false, &stop());
        let bytes = vec![0; CHUNK_BYTES_MAX];
        for n in 0..=TRANSFER_CREDIT_BYTES / CHUNK_BYTES_MAX as u64 {
            inbound.push(&chunk(n * CHUNK_BYTES_MAX as u64, &bytes));
        }
        assert_eq!(inbound.next(&stop()).unwrap_err().code, "transfer_protocol");
    }
}

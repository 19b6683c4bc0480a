//! A kept file on its way to an agent: a pure state machine.
//!
//! One chunk at a time is read, and the next only when that one went to the socket, so that several
//! transfers take turns and none fills the memory.

use tripline_protocol::frame::Transfer;
use tripline_protocol::limit::{CHUNK_BYTES_MAX, TRANSFER_CREDIT_BYTES};

/// What is to be read next. `F` is the open file, absent before its first byte.
#[derive(Debug)]
pub(super) struct Read<F> {
    /// The file.
    pub(super) file: Option<F>,
    /// From where.
    pub(super) offset: u64,
    /// How many bytes, exactly.
    pub(super) bytes: usize,
}

#[derive(Debug)]
enum Disk<F> {
    Idle(Option<F>),
    /// Being read, or read and waiting for the socket.
    Busy,
}

/// A transfer.
#[derive(Debug)]
pub(super) struct Outgoing<F> {
    transfer: Transfer,
    /// `None`: the agent has not said yet where to begin.
    sent: Option<u64>,
    credit: u64,
    disk: Disk<F>,
}

impl<F> Outgoing<F> {
    /// Begins at the first byte with the credit that both sides know.
    pub(super) fn new(transfer: Transfer) -> Self {
        Self {
            sent: Some(0),
            ..Self::waiting(transfer)
        }
    }

    /// Begins where the agent will say.
    pub(super) fn waiting(transfer: Transfer) -> Self {
        Self {
            transfer,
            sent: None,
            credit: TRANSFER_CREDIT_BYTES,
            disk: Disk::Idle(None),
        }
    }

    /// What it moves.
    pub(super) fn transfer(&self) -> &Transfer {
        &self.transfer
    }

    /// The agent has so many bytes; `false`: that cannot be, or it said so before.
    pub(super) fn begin(&mut self, offset: u64) -> bool {
        let sane = self.sent.is_none() && offset <= self.transfer.bytes;
        if sane {
            self.sent = Some(offset);
        }
        sane
    }

    /// The agent can take more.
    pub(super) fn grant(&mut self, bytes: u64) {
        self.credit = self.credit.saturating_add(bytes);
    }

    /// The next chunk to read, if there is one, credit for it, and the one before was sent.
    pub(super) fn next_read(&mut self) -> Option<Read<F>> {
        let Disk::Idle(file) = &mut self.disk else {
            return None;
        };
        let sent = self.sent?;
        let bytes = (self.transfer.bytes - sent)
            .min(self.credit)
            .min(CHUNK_BYTES_MAX as u64);
        let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes > 0)?;
        let read = Read {
            file: file.take(),
            offset: sent,
            bytes,
        };
        self.sent = Some(sent + bytes as u64);
        self.credit -= bytes as u64;
        self.disk = Disk::Busy;
        Some(read)
    }

    /// The chunk went to the socket.
    pub(super) fn chunk_sent(&mut self, file: F) {
        self.disk = Disk::Idle(Some(file));
    }

    /// Whether every byte was read.
    pub(super) fn is_whole(&self) -> bool {
        self.sent == Some(self.transfer.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_protocol::Sha256;

    fn transfer(bytes: u64) -> Outgoing<()> {
        Outgoing::new(Transfer {
            bytes,
            sha256: Sha256::from_digest(&[0; 32]),
        })
    }

    fn all_reads(transfer: &mut Outgoing<()>) -> Vec<(u64, usize)> {
        let mut reads = Vec::new();
        while let Some(read) = transfer.next_read() {
            reads.push((read.offset, read.bytes));
            transfer.chunk_sent(());
        }
        reads
    }

    #[test]
    fn it_is_read_in_chunks_to_its_end() {
        let mut transfer = transfer(CHUNK_BYTES_MAX as u64 + 5);
        assert_eq!(
            all_reads(&mut transfer),
            [(0, CHUNK_BYTES_MAX), (CHUNK_BYTES_MAX as u64, 5)]
        );
        assert!(transfer.is_whole());
    }

    #[test]
    fn the_next_chunk_waits_until_the_one_before_was_sent() {
        let mut transfer = transfer(CHUNK_BYTES_MAX as u64 + 5);
        assert!(transfer.next_read().is_some());
        assert!(transfer.next_read().is_none());
        transfer.chunk_sent(());
        assert!(transfer.next_read().is_some());
    }

    #[test]
    fn no_more_is_read_than_the_agent_has_credit_for() {
        let mut transfer = transfer(TRANSFER_CREDIT_BYTES + 10);
        let sum: usize = all_reads(&mut transfer).iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(sum as u64, TRANSFER_CREDIT_BYTES);
        transfer.grant(4);
        assert_eq!(all_reads(&mut transfer), [(TRANSFER_CREDIT_BYTES, 4)]);
        transfer.grant(u64::MAX);
        assert_eq!(all_reads(&mut transfer), [(TRANSFER_CREDIT_BYTES + 4, 6)]);
    }

    #[test]
    fn one_that_goes_on_waits_to_be_told_where_and_is_told_once() {
        let mut transfer = Outgoing::<()>::waiting(transfer(100).transfer);
        assert!(transfer.next_read().is_none());
        assert!(!transfer.begin(101));
        assert!(transfer.begin(70));
        assert!(!transfer.begin(70));
        assert_eq!(all_reads(&mut transfer), [(70, 30)]);
        assert!(transfer.is_whole());
    }

    #[test]
    fn an_empty_file_needs_no_chunk() {
        let mut transfer = transfer(0);
        assert!(transfer.next_read().is_none());
        assert!(transfer.is_whole());
    }
}

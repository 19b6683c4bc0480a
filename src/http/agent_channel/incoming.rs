//! A file on its way from an agent to the artifacts: a pure state machine.
//!
//! Chunks that arrive while the disk works are gathered and written together. The agent gets credit for
//! bytes when they have reached the disk, so what waits in memory is never more than the credit.

use tripline_protocol::frame::{Chunk, CommandResult};
use tripline_protocol::limit::TRANSFER_CREDIT_BYTES;
use tripline_protocol::verb::VerbCall;
use tripline_protocol::{Fault, RemotePath};

/// What is to be done on the disk next. `F` is the file being written, absent before its first byte.
#[derive(Debug)]
pub(super) enum Work<F> {
    /// Write these bytes at its end.
    Write {
        /// The file.
        file: Option<F>,
        /// What to write.
        bytes: Vec<u8>,
    },
    /// All is written: verify it against the result, and keep it.
    Finish {
        /// The file.
        file: Option<F>,
        /// Bytes written.
        bytes: u64,
        /// Its name.
        name: String,
        /// What the agent says.
        result: Box<CommandResult>,
    },
}

#[derive(Debug)]
enum Disk<F> {
    Idle(Option<F>),
    Busy,
}

/// A transfer.
#[derive(Debug)]
pub(super) struct Incoming<F> {
    name: String,
    bytes_max: Option<u64>,
    received: u64,
    credit: u64,
    pending: Vec<u8>,
    disk: Disk<F>,
    result: Option<Box<CommandResult>>,
}

impl<F> Incoming<F> {
    /// The transfer that `call` brings, if it brings one.
    pub(super) fn of(call: &VerbCall) -> Option<Self> {
        let (VerbCall::GetFile(args) | VerbCall::GetRawFile(args)) = call else {
            return None;
        };
        Some(Self {
            name: file_name(&args.path),
            bytes_max: args.bytes_max,
            received: 0,
            credit: TRANSFER_CREDIT_BYTES,
            pending: Vec::new(),
            disk: Disk::Idle(None),
            result: None,
        })
    }

    /// The same, going on with a file that has `bytes` already.
    pub(super) fn going_on(self, file: F, bytes: u64) -> Self {
        Self {
            received: bytes,
            disk: Disk::Idle(Some(file)),
            ..self
        }
    }

    /// The file, unless the disk works on it.
    pub(super) fn into_file(self) -> Option<F> {
        match self.disk {
            Disk::Idle(file) => file,
            Disk::Busy => None,
        }
    }

    /// Takes a chunk. After an error the transfer is to be dropped.
    pub(super) fn take(&mut self, chunk: &Chunk<'_>) -> Result<(), Fault> {
        let bytes = chunk.bytes.len() as u64;
        if self.result.is_some() {
            return Err(Fault::server(
                "transfer_after_result",
                "a chunk came after the command's result",
            ));
        }
        if chunk.offset != self.received {
            let text = format!(
                "a chunk at {} came where {} was expected",
                chunk.offset, self.received
            );
            return Err(Fault::server("wrong_offset", text));
        }
        if bytes > self.credit {
            let text = format!(
                "the host sent {} bytes more than it had credit for",
                bytes - self.credit
            );
            return Err(Fault::server("credit_exceeded", text));
        }
        if self.bytes_max.is_some_and(|most| self.received + bytes > most) {
            return Err(Fault::server(
                "too_many_bytes",
                "the host sent more bytes than were asked for",
            ));
        }
        self.received += bytes;
        self.credit -= bytes;
        self.pending.extend_from_slice(chunk.bytes);
        Ok(())
    }

    /// The agent says that all was sent. What is still to be written is written first.
    pub(super) fn end(&mut self, result: Box<CommandResult>) {
        self.result = Some(result);
    }

    /// What the disk is to do now; it is busy with it until [`Incoming::written`].
    pub(super) fn next_work(&mut self) -> Option<Work<F>> {
        let Disk::Idle(file) = &mut self.disk else {
            return None;
        };
        let work = if self.pending.is_empty() {
            let result = self.result.take()?;
            Work::Finish {
                file: file.take(),
                bytes: self.received,
                name: self.name.clone(),
                result,
            }
        } else {
            Work::Write {
                file: file.take(),
                bytes: std::mem::take(&mut self.pending),
            }
        };
        self.disk = Disk::Busy;
        Some(work)
    }

    /// The disk has them: returns the credit to grant, 0 for none.
    pub(super) fn written(&mut self, file: F, bytes: u64) -> u64 {
        self.disk = Disk::Idle(Some(file));
        if self.result.is_some() {
            return 0;
        }
        self.credit += bytes;
        bytes
    }
}

/// The last part of a path, of either kind of host.
fn file_name(path: &RemotePath) -> String {
    let text = path.to_lossy();
    let separator = if text.contains('/') { '/' } else { '\\' };
    let name = text
        .rsplit(separator)
        .find(|part| !part.is_empty())
        .unwrap_or("file");
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_protocol::CommandId;
    use tripline_protocol::verb::{GetFile, NoArguments};
    use uuid::Uuid;

    const ID: CommandId = CommandId(Uuid::from_u128(7));

    fn transfer(bytes_max: Option<u64>) -> Incoming<()> {
        let call = VerbCall::GetFile(GetFile {
            path: "/var/log/syslog".into(),
            offset: None,
            bytes_max,
        });
        Incoming::of(&call).expect("a transfer")
    }

    fn chunk(offset: u64, bytes: &[u8]) -> Chunk<'_> {
        Chunk {
            command_id: ID,
            offset,
            bytes,
        }
    }

    fn result() -> Box<CommandResult> {
        Box::new(CommandResult {
            command_id: ID,
            output: None,
            error: None,
            truncated: None,
        })
    }

    #[test]
    fn only_fetching_a_file_brings_a_transfer() {
        assert!(Incoming::<()>::of(&VerbCall::ListProcesses(NoArguments {})).is_none());
        assert_eq!(transfer(None).name, "syslog");
    }

    #[test]
    fn a_file_is_named_by_the_end_of_its_path() {
        for (path, name) in [
            ("/etc/hosts", "hosts"),
            ("/etc/", "etc"),
            ("/", "file"),
            ("C:\\Windows\\notepad.exe", "notepad.exe"),
            ("/srv/back\\slash", "back\\slash"),
        ] {
            assert_eq!(file_name(&path.into()), name, "{path}");
        }
        assert_eq!(file_name(&b"/tmp/\xff.txt".to_vec().into()), "\u{fffd}.txt");
    }

    #[test]
    fn chunks_that_come_while_the_disk_works_are_written_together() {
        let mut transfer = transfer(None);
        transfer.take(&chunk(0, b"ab")).expect("taken");
        assert!(matches!(transfer.next_work(), Some(Work::Write { file: None, bytes }) if bytes == b"ab"));
        transfer.take(&chunk(2, b"cd")).expect("taken");
        transfer.take(&chunk(4, b"ef")).expect("taken");
        assert!(transfer.next_work().is_none());
        assert_eq!(transfer.written((), 2), 2);
        assert!(
            matches!(transfer.next_work(), Some(Work::Write { file: Some(()), bytes }) if bytes == b"cdef")
        );
    }

    #[test]
    fn it_finishes_when_the_result_is_there_and_everything_is_written() {
        let mut transfer = transfer(None);
        transfer.take(&chunk(0, b"ab")).expect("taken");
        transfer.end(result());
        assert!(matches!(transfer.next_work(), Some(Work::Write { .. })));
        assert!(transfer.next_work().is_none());
        assert_eq!(transfer.written((), 2), 0);
        assert!(matches!(
            transfer.next_work(),
            Some(Work::Finish {
                file: Some(()),
                bytes: 2,
                ..
            })
        ));
        assert!(transfer.next_work().is_none());
    }

    #[test]
    fn a_file_stays_open_while_nothing_comes() {
        let mut transfer = transfer(None);
        transfer.take(&chunk(0, b"ab")).expect("taken");
        assert!(transfer.next_work().is_some());
        transfer.written((), 2);
        assert!(transfer.next_work().is_none());
        transfer.take(&chunk(2, b"cd")).expect("taken");
        assert!(matches!(
            transfer.next_work(),
            Some(Work::Write { file: Some(()), .. })
        ));
    }

    #[test]
    fn an_empty_file_finishes_without_a_write() {
        let mut transfer = transfer(None);
        assert!(transfer.next_work().is_none());
        transfer.end(result());
        assert!(matches!(
            transfer.next_work(),
            Some(Work::Finish {
                file: None,
                bytes: 0,
                ..
            })
        ));
    }

    #[test]
    fn a_chunk_out_of_place_is_refused() {
        let mut transfer = transfer(None);
        transfer.take(&chunk(0, b"ab")).expect("taken");
        for offset in [0, 1, 3, u64::MAX] {
            assert_eq!(
                transfer.take(&chunk(offset, b"x")).expect_err("refused").code,
                "wrong_offset"
            );
        }
        transfer.end(result());
        assert_eq!(
            transfer.take(&chunk(2, b"x")).expect_err("refused").code,
            "transfer_after_result"
        );
    }

    #[test]
    fn nobody_sends_more_than_the_credit_that_was_granted() {
        let mut transfer = transfer(None);
        let half = vec![0; usize::try_from(TRANSFER_CREDIT_BYTES / 2).expect("fits")];
        transfer.take(&chunk(0, &half)).expect("taken");
        assert!(transfer.next_work().is_some());
        transfer
            .take(&chunk(TRANSFER_CREDIT_BYTES / 2, &half))
            .expect("taken");
        let at = TRANSFER_CREDIT_BYTES;
        assert_eq!(
            transfer.take(&chunk(at, b"x")).expect_err("refused").code,
            "credit_exceeded"
        );
        assert_eq!(transfer.written((), at / 2), at / 2);
        transfer.take(&chunk(at, b"x")).expect("taken");
    }

    #[test]
    fn nobody_sends_more_than_was_asked_for() {
        let mut transfer = transfer(Some(3));
        transfer.take(&chunk(0, b"abc")).expect("taken");
        assert_eq!(
            transfer.take(&chunk(3, b"d")).expect_err("refused").code,
            "too_many_bytes"
        );
    }
}

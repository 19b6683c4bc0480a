//! What blocking threads do for transfers: write, verify and keep what comes; read what goes.

use super::incoming::Work;
use super::outgoing::Read;
use actix_web::web::Bytes;
use std::fmt::Display;
use std::io;
use std::os::unix::fs::FileExt;
use tripline_actors::artifact::{self, ArtifactStore};
use tripline_protocol::frame::{Chunk, CommandResult};
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::verb::FileFetched;
use tripline_protocol::{CommandId, Fault, Sha256, TransferId};

/// A file being written; dropping it removes it, or keeps it for the transfer it belongs to.
pub(super) type Partial = artifact::Incoming;
/// A kept file, open for reading.
pub(super) type File = std::fs::File;

/// What the disk has done.
#[derive(Debug)]
pub(super) enum Done {
    /// What is here of a transfer was looked for.
    Begun {
        /// Of which command.
        id: CommandId,
        /// Where it goes on, and with what hash of what is there.
        file: Partial,
        /// The hash of what is there.
        sha256: Sha256,
    },
    /// Bytes of an incoming file are written.
    Written {
        /// Of which command.
        id: CommandId,
        /// How many.
        bytes: u64,
        /// Where.
        file: Partial,
    },
    /// An incoming file is kept, or turned out wrong: then the result says so.
    Finished {
        /// Of which command.
        id: CommandId,
        /// How the command ended.
        result: Box<CommandResult>,
        /// The file.
        artifact: Option<ArtifactRef>,
    },
    /// A chunk of an outgoing file, as it goes on the wire.
    Read {
        /// Of which command.
        id: CommandId,
        /// The file, for the next one.
        file: File,
        /// The binary frame.
        frame: Bytes,
    },
    /// It did not work.
    Failed {
        /// Of which command.
        id: CommandId,
        /// Why.
        fault: Fault,
    },
}

/// Looks for what is here of a transfer.
pub(super) fn begin(store: &ArtifactStore, id: CommandId, transfer_id: TransferId) -> Done {
    match store.begin_transfer(transfer_id.0) {
        Ok(file) => Done::Begun {
            id,
            sha256: file.sha256(),
            file,
        },
        Err(error) => Done::Failed {
            id,
            fault: write_fault(&error),
        },
    }
}

/// Writes or finishes an incoming file.
pub(super) fn write(store: &ArtifactStore, id: CommandId, work: Work<Partial>) -> Done {
    match work {
        Work::Write { file, bytes } => match append(store, file, &bytes) {
            Ok(file) => Done::Written {
                id,
                bytes: bytes.len() as u64,
                file,
            },
            Err(error) => Done::Failed {
                id,
                fault: write_fault(&error),
            },
        },
        Work::Finish {
            file,
            bytes,
            name,
            mut result,
        } => {
            let artifact = match finish(store, file, bytes, name, &result) {
                Ok(artifact) => Some(artifact),
                Err(fault) => {
                    (result.output, result.error) = (None, Some(fault));
                    None
                }
            };
            Done::Finished { id, result, artifact }
        }
    }
}

fn append(store: &ArtifactStore, file: Option<Partial>, bytes: &[u8]) -> Result<Partial, artifact::Error> {
    let mut file = match file {
        Some(file) => file,
        None => store.begin()?,
    };
    match file.write(file.bytes(), bytes) {
        Ok(()) => Ok(file),
        Err(error) => {
            file.discard();
            Err(error)
        }
    }
}

/// Paths of the server stay in its log.
fn write_fault(error: &artifact::Error) -> Fault {
    // That a host does not keep its word is told with the host, where that is known.
    if !matches!(error, artifact::Error::Hash { .. }) {
        tracing::error!(error = error as &dyn std::error::Error, "incoming file not kept");
    }
    let refuse =
        |code, why: &dyn Display| Fault::server(code, format!("the server could not keep the file: {why}"));
    match error {
        artifact::Error::Full { .. } => refuse("artifacts_full", &"its space for artifacts is used up"),
        artifact::Error::Io { source, .. }
            if matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ) =>
        {
            refuse("disk_full", source)
        }
        artifact::Error::Io { source, .. } => refuse("artifact_not_written", source),
        artifact::Error::Hash { .. } => {
            Fault::server("wrong_hash", "the SHA-256 of what came is not what the host says")
        }
        other => refuse("artifact_not_written", other),
    }
}

/// Keeps an incoming file when it is what the host's answer says.
fn finish(
    store: &ArtifactStore,
    file: Option<Partial>,
    bytes: u64,
    name: String,
    result: &CommandResult,
) -> Result<ArtifactRef, Fault> {
    let said = result.output.clone().unwrap_or_default();
    let said: FileFetched = match serde_json::from_value(said) {
        Ok(said) => said,
        Err(error) => {
            if let Some(file) = file {
                file.discard();
            }
            let text = format!("the host's answer to get_file is not understood: {error}");
            return Err(Fault::server("bad_output", text));
        }
    };
    if said.bytes != bytes {
        if let Some(file) = file {
            file.discard();
        }
        let text = format!("the host says it sent {} bytes, {bytes} came", said.bytes);
        return Err(Fault::server("wrong_length", text));
    }
    let (sha256, bytes) = append(store, file, &[])
        .and_then(|file| file.finish(Some(&said.sha256)))
        .map_err(|error| write_fault(&error))?;
    Ok(ArtifactRef { sha256, bytes, name })
}

/// Reads a chunk of an outgoing file.
pub(super) fn read(store: &ArtifactStore, id: CommandId, sha256: &Sha256, wanted: Read<File>) -> Done {
    match read_chunk(store, id, sha256, wanted) {
        Ok((file, frame)) => Done::Read { id, file, frame },
        Err(fault) => Done::Failed { id, fault },
    }
}

fn read_chunk(
    store: &ArtifactStore,
    id: CommandId,
    sha256: &Sha256,
    wanted: Read<File>,
) -> Result<(File, Bytes), Fault> {
    let file = match wanted.file {
        Some(file) => file,
        None => {
            store
                .open_read(sha256)
                .map_err(|error| read_fault(sha256, &error))?
                .0
        }
    };
    let mut bytes = vec![0; wanted.bytes];
    file.read_exact_at(&mut bytes, wanted.offset)
        .map_err(|error| read_fault(sha256, &error))?;
    let chunk = Chunk {
        command_id: id,
        offset: wanted.offset,
        bytes: &bytes,
    };
    Ok((file, chunk.encode().into()))
}

fn read_fault(sha256: &Sha256, error: &(dyn std::error::Error + 'static)) -> Fault {
    tracing::error!(%sha256, error, "artifact not read");
    let text = format!("the server could not read the artifact {sha256}");
    Fault::server("artifact_not_read", text)
}

/// Removes what was being written, on a blocking thread, because removing a large file takes its time.
pub(super) fn discard(files: impl IntoIterator<Item = Partial> + Send + 'static) {
    on_disk(move || files.into_iter().for_each(Partial::discard));
}

/// Lets go of what was being written: a transfer can go on with it.
pub(super) fn let_go<T: Send + 'static>(files: T) {
    on_disk(move || drop(files));
}

fn on_disk(work: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}

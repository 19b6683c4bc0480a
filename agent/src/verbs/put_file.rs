//! `put_file`: written beside its place, checked, synced, and moved into place.
//!
//! A transfer that was cut leaves its file under the temporary name, for the command that goes on with it.

use super::{Context, Done, Resuming};
use crate::partials::{Claim, KEPT_FOR};
use crate::platform::StagedFile;
use crate::stop::Stop;
use crate::transfer::{ChunkSource, is_pause, paused};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Display;
use std::io;
use tripline_protocol::frame::Transfer;
use tripline_protocol::limit::{CHUNK_BYTES_MAX, INLINE_CONTENT_BYTES_MAX};
use tripline_protocol::verb::{FileWritten, PutFile};
use tripline_protocol::{Fault, RemotePath};

pub(super) fn run(context: &Context<'_>, args: &PutFile) -> Result<Done, Fault> {
    let content = Content::of(context, args)?;
    context.policy.admit_size(content.bytes())?;
    if let (Content::Chunks(transfer), Some(resuming)) = (&content, context.resume) {
        return go_on(context, args, transfer, &resuming);
    }
    let mut writing = Writing::new(stage(context, args, &temporary(context.id))?, args);
    match &content {
        Content::Inline(bytes) => writing.write(bytes)?,
        Content::Chunks(transfer) => receive(context, transfer, &mut writing)?,
    }
    finish(context, args, &content, writing)
}

fn stage(context: &Context<'_>, args: &PutFile, temporary: &str) -> Result<Box<dyn StagedFile>, Fault> {
    context.platform.stage_file(&args.path, temporary, context.policy)
}

/// Goes on with what an earlier command of the transfer wrote, or begins it. Cut, it leaves what it wrote to the next.
fn go_on(
    context: &Context<'_>,
    args: &PutFile,
    transfer: &Transfer,
    resuming: &Resuming<'_>,
) -> Result<Done, Fault> {
    let claim = resuming.partials.claim(resuming.resume.transfer_id.0)?;
    let path = beside(&args.path, &temporary(claim.transfer_id()));
    let known = claim.knows(&path);
    let (staged, bytes) = match reopen(context, args, transfer, (&claim, &path)) {
        Ok(reopened) => reopened,
        Err(fault) => {
            // A file of that name that was not begun for this transfer is another's.
            match known {
                true => claim.give_up(context.platform),
                false => claim.forget(),
            }
            return Err(fault);
        }
    };
    let mut writing = Writing::new(staged, args);
    let received = writing
        .read_back(bytes, context.stop)
        .and_then(|()| source(context))
        .map(|source| source.begin(bytes))
        .and_then(|()| receive(context, transfer, &mut writing));
    let done = match received {
        Err(fault) if is_pause(&fault) => {
            writing.file.keep();
            drop(claim);
            // One more waits now.
            resuming.partials.sweep(context.platform, KEPT_FOR);
            return Err(paused());
        }
        Err(fault) => {
            drop(writing);
            Err(fault)
        }
        Ok(()) => finish(context, args, &Content::Chunks(transfer), writing),
    };
    // It is in place, or gone.
    claim.forget();
    done
}

/// The file of the transfer, with how many bytes of it are there.
fn reopen(
    context: &Context<'_>,
    args: &PutFile,
    transfer: &Transfer,
    (claim, path): (&Claim<'_>, &[u8]),
) -> Result<(Box<dyn StagedFile>, u64), Fault> {
    let (platform, name) = (context.platform, temporary(claim.transfer_id()));
    let known = claim.knows(path);
    claim.begin(path).map_err(|error| {
        let text = format!("the agent could not note that it writes a file: {error}");
        Fault::server("state_unwritable", text)
    })?;
    if known
        && let Some((staged, bytes)) = platform.resume_file(&args.path, &name, context.policy)?
        && bytes <= transfer.bytes
    {
        return Ok((staged, bytes));
    }
    let staged = match stage(context, args, &name) {
        // Of another boot, or otherwise nothing to go on with.
        Err(fault) if fault.code == "EEXIST" => {
            platform.remove_leftover(path)?;
            stage(context, args, &name)?
        }
        other => other?,
    };
    Ok((staged, 0))
}

/// Checks what was written and puts it in place.
fn finish(
    context: &Context<'_>,
    args: &PutFile,
    content: &Content<'_>,
    writing: Writing,
) -> Result<Done, Fault> {
    let (staged, written) = writing.end();
    content.check(&written)?;
    context.stop.check()?;
    staged.commit(args.mode, args.overwrite.unwrap_or(true))?;
    Done::of(&written)
}

pub(super) fn temporary(id: impl Display) -> String {
    format!(".tripline-{id}")
}

/// The path of a temporary file: beside the file that is asked for.
pub(super) fn beside(path: &RemotePath, temporary: &str) -> Vec<u8> {
    let path = path.as_bytes();
    let end = path
        .iter()
        .rposition(|byte| *byte != b'/')
        .map_or(0, |last| last + 1);
    let path = path.get(..end).unwrap_or_default();
    let dir = path
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1);
    [path.get(..dir).unwrap_or_default(), temporary.as_bytes()].concat()
}

enum Content<'a> {
    Inline(Cow<'a, [u8]>),
    Chunks(&'a Transfer),
}

impl<'a> Content<'a> {
    fn of(context: &Context<'a>, args: &'a PutFile) -> Result<Self, Fault> {
        let inline = match (&args.content, &args.content_b64, &args.artifact) {
            (Some(text), None, None) => Cow::Borrowed(text.as_bytes()),
            (None, Some(b64), None) => Cow::Owned(
                STANDARD
                    .decode(b64)
                    .map_err(|_| Fault::live_response("EINVAL", "content_b64 is not base64"))?,
            ),
            (None, None, Some(sha256)) => {
                let missing = || Fault::server("transfer_missing", "the server announced no content");
                let transfer = context.transfer.ok_or_else(missing)?;
                if transfer.sha256 != *sha256 {
                    return Err(mismatch("the content announced is not the artifact asked for"));
                }
                return Ok(Self::Chunks(transfer));
            }
            _ => {
                let text = "exactly one of content, content_b64 and artifact is needed";
                return Err(Fault::live_response("EINVAL", text));
            }
        };
        if inline.len() > INLINE_CONTENT_BYTES_MAX {
            let text = format!(
                "content has {} bytes, at most {INLINE_CONTENT_BYTES_MAX} are taken",
                inline.len()
            );
            return Err(Fault::live_response("EINVAL", text));
        }
        Ok(Self::Inline(inline))
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Chunks(transfer) => transfer.bytes,
        }
    }

    fn check(&self, written: &FileWritten) -> Result<(), Fault> {
        match self {
            Self::Chunks(transfer) if transfer.sha256 != written.sha256 => Err(mismatch(
                "the content received does not have the SHA-256 announced",
            )),
            _ => Ok(()),
        }
    }
}

fn mismatch(text: &str) -> Fault {
    Fault::server("hash_mismatch", text)
}

fn source<'a>(context: &Context<'a>) -> Result<&'a dyn ChunkSource, Fault> {
    context
        .source
        .ok_or_else(|| Fault::server("transfer_missing", "nobody sends the content"))
}

fn receive(context: &Context<'_>, transfer: &Transfer, writing: &mut Writing) -> Result<(), Fault> {
    let source = source(context)?;
    while writing.bytes < transfer.bytes {
        writing.write(&source.next(context.stop)?)?;
    }
    Ok(())
}

struct Writing {
    file: Box<dyn StagedFile>,
    path: String,
    hash: Sha256,
    bytes: u64,
}

impl Writing {
    fn new(file: Box<dyn StagedFile>, args: &PutFile) -> Self {
        Self {
            file,
            path: args.path.to_lossy(),
            hash: Sha256::new(),
            bytes: 0,
        }
    }

    fn failed(&self, error: &io::Error) -> Fault {
        crate::platform::host_fault(error, &self.path)
    }

    /// Takes `bytes` for written that an earlier command wrote, so that at the end all of it is checked.
    fn read_back(&mut self, bytes: u64, stop: &Stop) -> Result<(), Fault> {
        let mut buffer = vec![0; CHUNK_BYTES_MAX];
        while self.bytes < bytes {
            stop.check()?;
            let wanted = usize::try_from(bytes - self.bytes).unwrap_or(usize::MAX);
            let wanted = buffer.get_mut(..wanted.min(CHUNK_BYTES_MAX)).unwrap_or_default();
            let read = self.file.read_at(wanted, self.bytes);
            let length = read.map_err(|error| self.failed(&error))?;
            if length == 0 {
                return Err(self.failed(&io::ErrorKind::UnexpectedEof.into()));
            }
            self.hash.update(buffer.get(..length).unwrap_or_default());
            self.bytes += length as u64;
        }
        Ok(())
    }

    fn end(self) -> (Box<dyn StagedFile>, FileWritten) {
        let written = FileWritten {
            bytes: self.bytes,
            sha256: tripline_protocol::Sha256::from_digest(&self.hash.finalize().into()),
        };
        (self.file, written)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let wrote = self.file.write_all(bytes);
        wrote.map_err(|error| self.failed(&error))?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_protocol::CommandId;
    use uuid::Uuid;

    #[test]
    fn the_temporary_file_is_beside_its_place() {
        let id = CommandId(Uuid::nil());
        let of = |path: &str| String::from_utf8(beside(&path.into(), &temporary(id))).unwrap();
        let name = "00000000-0000-0000-0000-000000000000";
        assert_eq!(of("/etc/motd"), format!("/etc/.tripline-{name}"));
        assert_eq!(of("/etc//motd//"), format!("/etc//.tripline-{name}"));
        assert_eq!(of("/motd"), format!("/.tripline-{name}"));
    }
}

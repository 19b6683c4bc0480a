//! `put_file`: written beside its place, checked, synced, and moved into place.

use super::{Context, Done};
use crate::platform::StagedFile;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use tripline_protocol::frame::Transfer;
use tripline_protocol::limit::INLINE_CONTENT_BYTES_MAX;
use tripline_protocol::verb::{FileWritten, PutFile};
use tripline_protocol::{CommandId, Fault};

pub(super) fn run(context: &Context<'_>, args: &PutFile) -> Result<Done, Fault> {
    let content = Content::of(context, args)?;
    context.policy.admit_size(content.bytes())?;
    let mut staged = context
        .platform
        .stage_file(&args.path, &temporary(context.id), context.policy)?;
    let mut writing = Writing {
        file: &mut *staged,
        path: args.path.to_lossy(),
        hash: Sha256::new(),
        bytes: 0,
    };
    match &content {
        Content::Inline(bytes) => writing.write(bytes)?,
        Content::Chunks(transfer) => receive(context, transfer, &mut writing)?,
    }
    let written = FileWritten {
        bytes: writing.bytes,
        sha256: tripline_protocol::Sha256::from_digest(&writing.hash.finalize().into()),
    };
    content.check(&written)?;
    context.stop.check()?;
    staged.commit(args.mode, args.overwrite.unwrap_or(true))?;
    Done::of(&written)
}

fn temporary(id: CommandId) -> String {
    format!(".tripline-{id}")
}

/// The path of the temporary file: beside the file that is asked for.
pub(super) fn leftover(id: CommandId, args: &PutFile) -> Vec<u8> {
    let path = args.path.as_bytes();
    let end = path
        .iter()
        .rposition(|byte| *byte != b'/')
        .map_or(0, |last| last + 1);
    let path = path.get(..end).unwrap_or_default();
    let dir = path
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1);
    [path.get(..dir).unwrap_or_default(), temporary(id).as_bytes()].concat()
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

fn receive(context: &Context<'_>, transfer: &Transfer, writing: &mut Writing<'_>) -> Result<(), Fault> {
    let source = context
        .source
        .ok_or_else(|| Fault::server("transfer_missing", "nobody sends the content"))?;
    while writing.bytes < transfer.bytes {
        writing.write(&source.next(context.stop)?)?;
    }
    Ok(())
}

struct Writing<'a> {
    file: &'a mut dyn StagedFile,
    path: String,
    hash: Sha256,
    bytes: u64,
}

impl Writing<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.file
            .write_all(bytes)
            .map_err(|error| crate::platform::host_fault(&error, &self.path))?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn the_temporary_file_is_beside_its_place() {
        let id = CommandId(Uuid::nil());
        let of = |path: &str| {
            let args = PutFile {
                path: path.into(),
                content: None,
                content_b64: None,
                artifact: None,
                mode: None,
                overwrite: None,
            };
            String::from_utf8(leftover(id, &args)).unwrap()
        };
        let name = "00000000-0000-0000-0000-000000000000";
        assert_eq!(of("/etc/motd"), format!("/etc/.tripline-{name}"));
        assert_eq!(of("/etc//motd//"), format!("/etc//.tripline-{name}"));
        assert_eq!(of("/motd"), format!("/.tripline-{name}"));
    }
}

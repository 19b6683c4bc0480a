//! `get_file`: a regular file, in chunks, hashed on the way.
//!
//! What is sent is the file as large as it was when it was opened: one that grows is cut there, one that
//! shrinks ends early, and the true number of bytes is reported. A file that says it has no bytes (as those in
//! /proc do) is read to its end.
//!
//! A transfer that goes on reads again what the server has of it, and sends the rest only if it is still the same:
//! what arrives is never made of two states of a file.

use super::{Context, Done};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use tripline_protocol::Fault;
use tripline_protocol::limit::CHUNK_BYTES_MAX;
use tripline_protocol::verb::{FileFetched, GetFile};

pub(super) fn run(context: &Context<'_>, args: &GetFile) -> Result<Done, Fault> {
    let file = context.platform.open_file(&args.path, context.policy)?;
    let size = file.metadata().map_err(|error| failed(args, &error))?.len();
    run_with(context, args, file, size)
}

/// The same with an open file that has `size` bytes, 0 if it does not say.
pub(super) fn run_with(
    context: &Context<'_>,
    args: &GetFile,
    mut file: File,
    size: u64,
) -> Result<Done, Fault> {
    let wanted = wanted(context, args, &mut file, size)?;
    Done::of(&send(context, args, &mut file.take(wanted))?)
}

/// Goes to the first byte wanted; how many bytes to send at most.
fn wanted(context: &Context<'_>, args: &GetFile, file: &mut File, size: u64) -> Result<u64, Fault> {
    let offset = args.offset.unwrap_or(0);
    if offset > 0 {
        file.seek(SeekFrom::Start(offset))
            .map_err(|error| failed(args, &error))?;
    }
    let there = if size == 0 {
        u64::MAX
    } else {
        size.saturating_sub(offset)
    };
    let wanted = there.min(args.bytes_max.unwrap_or(u64::MAX));
    if wanted < u64::MAX {
        context.policy.admit_size(wanted)?;
    }
    Ok(wanted)
}

fn send(context: &Context<'_>, args: &GetFile, from: &mut impl Read) -> Result<FileFetched, Fault> {
    let sink = context
        .sink
        .ok_or_else(|| Fault::server("transfer_missing", "nobody takes the content"))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES_MAX];
    let mut bytes = sent_before(context, args, from, &mut hash, &mut buffer)?;
    loop {
        context.stop.check()?;
        let length = fill(from, &mut buffer).map_err(|error| failed(args, &error))?;
        let chunk = buffer.get(..length).unwrap_or_default();
        if chunk.is_empty() {
            break;
        }
        bytes += length as u64;
        context.policy.admit_size(bytes)?;
        hash.update(chunk);
        sink.send(chunk, context.stop)?;
    }
    Ok(FileFetched {
        sha256: tripline_protocol::Sha256::from_digest(&hash.finalize().into()),
        bytes,
    })
}

/// Reads what the server has already, and refuses to go on if it is something else now; how many bytes it is.
fn sent_before(
    context: &Context<'_>,
    args: &GetFile,
    from: &mut impl Read,
    hash: &mut Sha256,
    buffer: &mut [u8],
) -> Result<u64, Fault> {
    let resume = context.resume.map(|resuming| resuming.resume);
    let Some(resume) = resume.filter(|resume| resume.bytes > 0) else {
        return Ok(0);
    };
    let mut from = from.take(resume.bytes);
    let mut bytes = 0;
    while bytes < resume.bytes {
        context.stop.check()?;
        let length = fill(&mut from, buffer).map_err(|error| failed(args, &error))?;
        if length == 0 {
            break;
        }
        hash.update(buffer.get(..length).unwrap_or_default());
        bytes += length as u64;
    }
    let found = tripline_protocol::Sha256::from_digest(&hash.clone().finalize().into());
    if bytes < resume.bytes || resume.sha256.as_ref() != Some(&found) {
        let text = format!(
            "{} changed while its transfer was cut: its first {} bytes are not those that were sent",
            args.path.to_lossy(),
            resume.bytes
        );
        return Err(Fault::live_response("file_changed", text));
    }
    Ok(bytes)
}

/// Reads until the buffer is full or the file ends, so that small reads make no small chunks.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

fn failed(args: &GetFile, error: &std::io::Error) -> Fault {
    crate::platform::host_fault(error, &args.path.to_lossy())
}

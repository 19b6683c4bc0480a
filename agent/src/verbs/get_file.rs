//! `get_file`: a regular file, in chunks, hashed on the way.
//!
//! What is sent is the file as large as it was when it was opened: one that grows is cut there, one that
//! shrinks ends early, and the true number of bytes is reported. A file that says it has no bytes (as those in
//! /proc do) is read to its end.

use super::{Context, Done};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use tripline_protocol::Fault;
use tripline_protocol::limit::CHUNK_BYTES_MAX;
use tripline_protocol::verb::{FileFetched, GetFile};

pub(super) fn run(context: &Context<'_>, args: &GetFile) -> Result<Done, Fault> {
    let mut file = context.platform.open_file(&args.path, context.policy)?;
    let wanted = wanted(context, args, &mut file)?;
    Done::of(&send(context, args, &mut file.take(wanted))?)
}

/// Goes to the first byte wanted; how many bytes to send at most.
fn wanted(context: &Context<'_>, args: &GetFile, file: &mut File) -> Result<u64, Fault> {
    let size = file.metadata().map_err(|error| failed(args, &error))?.len();
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
    let mut bytes = 0;
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

//! The large file: as long as it is asked for, no two pieces alike, and another content in each round, so that the
//! server cannot have it already.

use super::Outcome;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes that are read, hashed and written at once.
pub(crate) const PIECE_BYTES: usize = 256 * 1024;

pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    file: File,
}

impl Source {
    /// Writes it.
    pub(crate) fn make(path: &Path, bytes: u64) -> Outcome<Self> {
        let mut file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        let (mut left, mut state) = (bytes, 0x9e37_79b9_7f4a_7c15_u64);
        let mut piece = vec![0; PIECE_BYTES];
        while left > 0 {
            for word in piece.chunks_exact_mut(8) {
                // xorshift64: nothing compresses it, and it costs next to nothing.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            piece.truncate(usize::try_from(left)?);
            file.write_all(&piece)?;
            left -= piece.len() as u64;
        }
        // What the disk still has to do for it is no part of a measurement.
        file.sync_all()?;
        Ok(Self {
            path: path.to_owned(),
            bytes,
            file,
        })
    }

    /// Makes its content another one.
    pub(crate) fn stamp(&mut self, number: u64) -> Outcome {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&number.to_le_bytes())?;
        Ok(self.file.sync_all()?)
    }
}

/// The next piece of a file; `false` at its end.
pub(crate) fn next(file: &mut File, piece: &mut Vec<u8>) -> Outcome<bool> {
    piece.clear();
    file.take(PIECE_BYTES as u64).read_to_end(piece)?;
    Ok(!piece.is_empty())
}

/// Gives a file's content piece by piece.
pub(crate) fn pieces(path: &Path, mut each: impl FnMut(&[u8]) -> Outcome) -> Outcome {
    let (mut file, mut piece) = (File::open(path)?, Vec::with_capacity(PIECE_BYTES));
    while next(&mut file, &mut piece)? {
        each(&piece)?;
    }
    Ok(())
}

/// The SHA-256 of a file.
pub(crate) fn sha256(path: &Path) -> Outcome<String> {
    use sha2::Digest;
    let mut hasher = sha2::Sha256::new();
    pieces(path, |piece| {
        hasher.update(piece);
        Ok(())
    })?;
    Ok(tripline_protocol::Sha256::from_digest(&hasher.finalize().into()).to_string())
}

/// Copies a file and syncs the copy.
pub(crate) fn copy_synced(from: &Path, to: &Path) -> Outcome {
    let mut file = File::create(to)?;
    pieces(from, |piece| Ok(file.write_all(piece)?))?;
    Ok(file.sync_all()?)
}

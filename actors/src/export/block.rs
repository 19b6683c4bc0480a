//! Blocks: how they are written and read, each with the hash of everything before it.

use super::error::Error;
use sha2::{Digest, Sha256};
use std::io::{ErrorKind, Read, Write};

/// First bytes of every export.
pub(super) const BEGIN: &[u8; 16] = b"tripline-export\n";
/// The longest content of a block: one that says more is damaged.
pub(super) const BLOCK_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What is in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Header,
    Rows,
    Artifact,
    Content,
    End,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Header, Self::Rows, Self::Artifact, Self::Content, Self::End];

    fn letter(self) -> u8 {
        match self {
            Self::Header => b'H',
            Self::Rows => b'R',
            Self::Artifact => b'A',
            Self::Content => b'C',
            Self::End => b'E',
        }
    }

    fn of(letter: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.letter() == letter)
    }
}

/// Writes blocks.
pub(super) struct Blocks<W> {
    to: W,
    hash: Sha256,
    /// Bytes written.
    pub(super) bytes: u64,
}

impl<W: Write> Blocks<W> {
    pub(super) fn begin(to: W) -> Result<Self, Error> {
        let (hash, bytes) = (Sha256::new(), 0);
        let mut blocks = Self { to, hash, bytes };
        blocks.put(BEGIN)?;
        Ok(blocks)
    }

    pub(super) fn write(&mut self, kind: Kind, content: &[u8]) -> Result<(), Error> {
        // Writers end their blocks far below the limit, or refuse the row that is too long for one.
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes();
        self.put(&[kind.letter()])?;
        self.put(&length)?;
        self.put(content)?;
        let hash: [u8; 32] = self.hash.clone().finalize().into();
        self.put(&hash)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        let written = self.to.write_all(bytes);
        written.map_err(|source| Error::Stream {
            verb: "write",
            source,
        })
    }

    pub(super) fn finish(mut self) -> Result<W, Error> {
        let flushed = self.to.flush();
        flushed.map_err(|source| Error::Stream {
            verb: "write",
            source,
        })?;
        Ok(self.to)
    }
}

/// Reads blocks and checks each.
pub(super) struct Checked<R> {
    from: R,
    hash: Sha256,
    /// Bytes read.
    pub(super) bytes: u64,
}

impl<R: Read> Checked<R> {
    pub(super) fn begin(from: R) -> Result<Self, Error> {
        let (hash, bytes) = (Sha256::new(), 0);
        let mut blocks = Self { from, hash, bytes };
        let mut begin = [0; BEGIN.len()];
        blocks.take(&mut begin)?;
        if begin != *BEGIN {
            return Err(damaged(0, "this is no export of tripline"));
        }
        Ok(blocks)
    }

    pub(super) fn next(&mut self) -> Result<(Kind, Vec<u8>), Error> {
        let at = self.bytes;
        let mut head = [0; 5];
        self.take(&mut head)?;
        let [letter, length @ ..] = head;
        let length = u32::from_be_bytes(length) as usize;
        let kind = Kind::of(letter).ok_or_else(|| damaged(at, "no block begins here"))?;
        if length > BLOCK_BYTES_MAX {
            return Err(damaged(at, "a block says that it is longer than any is"));
        }
        let mut content = vec![0; length];
        self.take(&mut content)?;
        let expected: [u8; 32] = self.hash.clone().finalize().into();
        let mut found = [0; 32];
        self.take(&mut found)?;
        match found == expected {
            true => Ok((kind, content)),
            false => Err(damaged(at, "a block is not as it was written")),
        }
    }

    /// The hash of everything that was read.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    /// Whether nothing follows.
    pub(super) fn is_at_end(&mut self) -> Result<bool, Error> {
        let mut more = [0; 1];
        loop {
            match self.from.read(&mut more) {
                Ok(read) => return Ok(read == 0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Stream { verb: "read", source }),
            }
        }
    }

    fn take(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.from
            .read_exact(bytes)
            .map_err(|source| match source.kind() {
                ErrorKind::UnexpectedEof => Error::Cut { at: self.bytes },
                _ => Error::Stream { verb: "read", source },
            })?;
        self.hash.update(&*bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

pub(super) fn damaged(at: u64, what: &'static str) -> Error {
    Error::Damaged { at, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_as_long_as_its_bound() {
        for (length, is_taken) in [(BLOCK_BYTES_MAX, true), (BLOCK_BYTES_MAX + 1, false)] {
            let mut blocks = Blocks::begin(Vec::new()).unwrap();
            blocks.write(Kind::Content, &vec![7; length]).unwrap();
            let bytes = blocks.finish().unwrap();
            let read = Checked::begin(bytes.as_slice()).unwrap().next();
            match read {
                Ok((kind, content)) => assert!(is_taken && kind == Kind::Content && content.len() == length),
                Err(error) => assert!(
                    !is_taken && error.to_string().contains("longer than any"),
                    "{error}"
                ),
            }
        }
    }
}

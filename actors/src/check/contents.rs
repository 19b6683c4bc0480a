//! The files of artifacts, as they lie on the disk. Nothing is changed, and nothing is made.

use crate::artifact;
use serde::Serialize;
use sha2::Digest;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use tripline_protocol::Sha256;

const PIECE_BYTES: usize = 1024 * 1024;

/// How many there are.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Count {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether their contents were read.
    pub read: bool,
}

/// The artifacts of a data directory.
pub struct Contents {
    bytes: HashMap<Sha256, u64>,
    problems: Vec<(String, &'static str)>,
    read: bool,
}

impl Contents {
    /// Lists them; with `deep` it reads each and compares its SHA-256 with its name.
    pub fn look(data_dir: &Path, deep: bool, progress: &mut dyn FnMut(u64)) -> Result<Self, artifact::Error> {
        let root = data_dir.join("artifacts");
        let listed = match root.is_dir() {
            true => artifact::list(&root)?,
            false => Vec::new(),
        };
        let mut problems = Vec::new();
        if deep {
            for (sha256, _) in &listed {
                match digest(&artifact::path(&root, sha256), progress) {
                    Ok(found) if found == *sha256 => {}
                    Ok(_) => problems.push((sha256.to_string(), "its content has another SHA-256")),
                    Err(_) => problems.push((sha256.to_string(), "its content cannot be read")),
                }
            }
        }
        let bytes = listed.into_iter().collect();
        let read = deep;
        Ok(Self {
            bytes,
            problems,
            read,
        })
    }

    /// The length of a content, if it is there.
    pub(super) fn bytes(&self, sha256: &Sha256) -> Option<u64> {
        self.bytes.get(sha256).copied()
    }

    pub(super) fn problems(&self) -> &[(String, &'static str)] {
        &self.problems
    }

    pub(super) fn count(&self) -> Count {
        Count {
            files: self.bytes.len() as u64,
            bytes: self.bytes.values().sum(),
            read: self.read,
        }
    }
}

fn digest(path: &Path, progress: &mut dyn FnMut(u64)) -> io::Result<Sha256> {
    let mut file = File::open(path)?;
    let mut hash = sha2::Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(Sha256::from_digest(&hash.finalize().into()));
        }
        hash.update(piece.get(..read).unwrap_or_default());
        progress(read as u64);
    }
}

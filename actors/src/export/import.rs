//! Taking an export in: it is read whole before anything is written, then a store is made beside nothing, and it gets
//! its name last.

use super::error::{Doing, Error};
use super::read::{Item, Reader};
use super::{Header, Totals};
use crate::artifact::{ArtifactStore, Incoming};
use crate::store::{Built, Loader, Store, free_bytes};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use tripline_protocol::Sha256;

const BUFFER_BYTES: usize = 1024 * 1024;

/// Told how many bytes of an export were read, of how many.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// An export that was read to its end and is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// What it says about itself.
    pub header: Header,
    /// What is in it.
    pub totals: Totals,
    digest: [u8; 32],
}

/// Reads an export to its end and says what is in it; any damage is an error.
pub fn verify(file: &Path, progress: Progress<'_>) -> Result<Imported, Error> {
    read(file, progress, |_| Ok(()))
}

/// Makes the store of `data_dir` from an export. The answer is to be put in place; dropped, nothing is left of it.
pub fn import(file: &Path, data_dir: &Path, progress: Progress<'_>) -> Result<(Imported, Built), Error> {
    let verified = verify(file, progress)?;
    let loader = Loader::import(data_dir)?;
    leave_room(file, data_dir)?;
    let artifacts = match verified.header.artifacts {
        true => Some(ArtifactStore::open(data_dir, u64::MAX)?),
        false => None,
    };
    let built = load(file, &verified, loader, artifacts.as_ref(), progress)?;
    Ok((verified, built))
}

/// Makes a store of an export's rows in the new folder `scratch`, to look into it; it lasts as long as the answer.
pub fn unpack(file: &Path, scratch: &Path, progress: Progress<'_>) -> Result<(Imported, Built), Error> {
    let verified = verify(file, progress)?;
    leave_room(file, scratch)?;
    let built = load(file, &verified, Loader::scratch(scratch)?, None, progress)?;
    Ok((verified, built))
}

fn leave_room(file: &Path, folder: &Path) -> Result<(), Error> {
    let needed = file.metadata().doing("look at", file)?.len();
    match free_bytes(folder).unwrap_or(0) {
        free if free > needed => Ok(()),
        free => Err(Error::Room {
            verb: "import",
            path: folder.to_owned(),
            free,
            needed,
            kept: 0,
        }),
    }
}

fn load(
    file: &Path,
    verified: &Imported,
    mut loader: Loader,
    artifacts: Option<&ArtifactStore>,
    progress: Progress<'_>,
) -> Result<Built, Error> {
    let mut arriving: Option<Arriving> = None;
    let again = read(file, progress, |item| match item {
        Item::Rows(rows) => rows
            .into_iter()
            .try_for_each(|row| loader.put(row))
            .map_err(Error::from),
        Item::Artifact { sha256, bytes } => {
            if let Some(artifacts) = artifacts {
                arriving = Some(Arriving::begin(artifacts, &sha256, bytes)?);
            }
            Arriving::end_if_whole(&mut arriving)
        }
        Item::Content(piece) => {
            if let Some(arriving) = &mut arriving {
                arriving.write(&piece)?;
            }
            Arriving::end_if_whole(&mut arriving)
        }
        Item::End(_) => Ok(()),
    })?;
    match again == *verified {
        true => Ok(loader.finish(verified.header.store_format)?),
        false => Err(Error::Changed),
    }
}

/// An artifact on its way.
struct Arriving {
    incoming: Incoming,
    sha256: Sha256,
    at: u64,
    bytes: u64,
}

impl Arriving {
    fn begin(artifacts: &ArtifactStore, sha256: &[u8; 32], bytes: u64) -> Result<Self, Error> {
        Ok(Self {
            incoming: artifacts.begin()?,
            sha256: Sha256::from_digest(sha256),
            at: 0,
            bytes,
        })
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.incoming.write(self.at, piece)?;
        self.at += piece.len() as u64;
        Ok(())
    }

    fn end_if_whole(arriving: &mut Option<Self>) -> Result<(), Error> {
        match arriving.take_if(|arriving| arriving.at >= arriving.bytes) {
            Some(whole) => {
                whole.incoming.finish(Some(&whole.sha256))?;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Reads an export to its end, item by item.
fn read(
    path: &Path,
    progress: Progress<'_>,
    mut take: impl FnMut(Item) -> Result<(), Error>,
) -> Result<Imported, Error> {
    let file = File::open(path).doing("open", path)?;
    let length = file.metadata().doing("look at", path)?.len();
    let from = BufReader::with_capacity(BUFFER_BYTES, file);
    let mut reader = Reader::begin(from, Store::newest_format())?;
    let mut totals = Totals::default();
    while let Some(item) = reader.next_item()? {
        if let Item::End(found) = &item {
            totals = found.clone();
        }
        take(item)?;
        progress(reader.bytes(), length);
    }
    Ok(imported(&reader, totals))
}

fn imported<R: Read>(reader: &Reader<R>, totals: Totals) -> Imported {
    Imported {
        header: reader.header().clone(),
        totals,
        digest: reader.digest(),
    }
}

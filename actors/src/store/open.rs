//! Opening the store of a data directory.

use super::disk::{SledDisk, wait_until_free};
use super::error::OpenError;
use super::format::{self, Upgrade};
use super::keepsake::Keepsake;
use super::load;
use super::lock::DirLock;
use super::long::LongKeys;
use super::space::Space;
use super::{Options, Store};
use std::path::Path;

/// Opens or makes the store; when that fails, its files are put back as they were.
pub(super) fn open(options: &Options, lock: DirLock, upgrades: &[Upgrade]) -> Result<Store, OpenError> {
    let dir = options.path.join("store");
    load::refuse_unfinished(&options.path)?;
    let announced = format::announced(&dir, upgrades)?;
    let space = Space::new(options.path.clone(), options.disk_free_min);
    let unwritable = |source| OpenError::Unwritable {
        path: dir.clone(),
        source,
    };
    wait_until_free(&dir)?;
    let keepsake = Keepsake::take(&dir, space.free_bytes().unwrap_or(0)).map_err(unwritable)?;
    match open_disk(&dir, options.cache_bytes, announced, upgrades) {
        Ok((disk, long_keys)) => Store::start(Box::new(disk), long_keys, space, Some(lock))
            .map_err(|error| broken(&dir, format!("its writer thread does not start: {error}"))),
        Err(error) => {
            keepsake.map_or(Ok(()), Keepsake::put_back).map_err(unwritable)?;
            Err(error)
        }
    }
}

pub(super) fn open_disk(
    dir: &Path,
    cache_bytes: u64,
    announced: Option<u32>,
    upgrades: &[Upgrade],
) -> Result<(SledDisk, LongKeys), OpenError> {
    let disk = SledDisk::open(dir, cache_bytes)?;
    format::settle(&disk, dir, announced, upgrades)?;
    let long_keys = LongKeys::load(&disk).map_err(|error| broken(dir, format!("failed to {error}")))?;
    Ok((disk, long_keys))
}

fn broken(dir: &Path, detail: String) -> OpenError {
    OpenError::Broken {
        path: dir.to_owned(),
        detail,
    }
}

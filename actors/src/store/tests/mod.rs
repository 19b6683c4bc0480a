//! Tests of the store, and the disks they use.

mod chain;
mod commit;
mod crash;
mod failure;
mod long;
mod model;
mod open;
mod salvage;
mod snapshot;

use super::disk::{Disk, Entries, SledDisk};
use super::long::LongKeys;
use super::space::Space;
use super::{Batch, Error, Options, Store, Table};
use parking_lot::{Condvar, Mutex};
use sled::IVec;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tempfile::TempDir;

/// What a test may wait at most; it never waits that long unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

fn open(dir: &Path) -> Store {
    Store::open(&Options {
        cache_bytes: 8 * 1024 * 1024,
        disk_free_min: 0,
        ..Options::new(dir)
    })
    .unwrap()
}

fn fresh() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    (dir, store)
}

fn put(table: Table, key: &[u8], value: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.put(table, key, value);
    batch
}

/// Commits and waits until it is durable; `false`: it was dropped unrun.
fn commit(store: &Store, batch: Batch) -> bool {
    acknowledged(&submit(store, batch))
}

fn submit(store: &Store, batch: Batch) -> Receiver<()> {
    let (done, wait) = channel();
    store.commit(batch, move || done.send(()).unwrap());
    wait
}

fn acknowledged(wait: &Receiver<()>) -> bool {
    match wait.recv_timeout(PATIENCE) {
        Ok(()) => true,
        Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => false,
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("neither answered nor dropped"),
    }
}

/// All entries on disk below the store, as full keys.
fn entries(dir: &Path) -> Vec<IVec> {
    let disk = SledDisk::open(&dir.join("store"), 8 * 1024 * 1024).unwrap();
    let entries = disk.range(Bound::Unbounded, Bound::Unbounded);
    entries.map(|entry| entry.unwrap().0).collect()
}

fn no_spilled_files(dir: &Path) -> bool {
    dir.join("store/blobs").read_dir().unwrap().next().is_none()
}

#[derive(Default)]
struct Gate {
    applies_let_through: u64,
    holds_sync: bool,
    applied: u64,
    synced: u64,
    fail_apply: bool,
    fail_sync: bool,
    panic_in_apply: bool,
}

/// A disk whose writes wait at a gate, and fail or panic when told to.
struct GatedDisk {
    disk: SledDisk,
    gate: Arc<(Mutex<Gate>, Condvar)>,
}

#[derive(Clone)]
struct Keeper(Arc<(Mutex<Gate>, Condvar)>);

impl Keeper {
    fn set(&self, change: impl FnOnce(&mut Gate)) {
        change(&mut self.0.0.lock());
        self.0.1.notify_all();
    }

    fn let_through(&self, applies: u64) {
        self.set(|gate| gate.applies_let_through += applies);
    }

    fn open(&self) {
        self.set(|gate| gate.applies_let_through = u64::MAX);
    }

    fn applied(&self) -> u64 {
        self.0.0.lock().applied
    }

    fn wait_until_applied(&self, applies: u64) {
        let mut gate = self.0.0.lock();
        while gate.applied < applies {
            assert!(
                !self.0.1.wait_for(&mut gate, PATIENCE).timed_out(),
                "nothing was applied"
            );
        }
    }

    fn synced(&self) -> u64 {
        self.0.0.lock().synced
    }
}

/// A store on a gated disk, the gate closed.
fn gated(dir: &Path) -> (Store, Keeper) {
    let disk = SledDisk::open(dir, 8 * 1024 * 1024).unwrap();
    let gate = Arc::new((Mutex::new(Gate::default()), Condvar::new()));
    let keeper = Keeper(gate.clone());
    let space = Space::new(dir.to_owned(), 0);
    let long_keys = LongKeys::load(&disk).unwrap();
    let disk = Box::new(GatedDisk { disk, gate });
    (Store::start(disk, long_keys, space, None).unwrap(), keeper)
}

impl Disk for GatedDisk {
    fn get(&self, key: &[u8]) -> Result<Option<IVec>, Error> {
        self.disk.get(key)
    }

    fn range<'a>(&'a self, from: Bound<&'a [u8]>, to: Bound<&'a [u8]>) -> Entries<'a> {
        self.disk.range(from, to)
    }

    fn apply(&self, batch: sled::Batch) -> Result<(), Error> {
        let mut gate = self.gate.0.lock();
        while gate.applies_let_through == 0 {
            self.gate.1.wait(&mut gate);
        }
        assert!(!gate.panic_in_apply, "told to panic");
        if gate.fail_apply {
            return Err(Error::Write("told to fail".into()));
        }
        gate.applies_let_through -= 1;
        self.disk.apply(batch)?;
        gate.applied += 1;
        self.gate.1.notify_all();
        Ok(())
    }

    fn sync(&self) -> Result<(), Error> {
        let mut gate = self.gate.0.lock();
        while gate.holds_sync {
            self.gate.1.wait(&mut gate);
        }
        if gate.fail_sync {
            return Err(Error::Sync("told to fail".into()));
        }
        self.disk.sync()?;
        gate.synced += 1;
        Ok(())
    }
}

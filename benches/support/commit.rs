//! What a durable commit costs by itself.

use super::Outcome;
use super::stats::Samples;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use tripline_actors::store::{Batch, Options, Store, Table};

/// Writes of a commit: about what a decision or a job's end writes.
const WRITES: u64 = 5;
/// Bytes of each of them.
const VALUE_BYTES: usize = 600;

/// A durable commit in a store of its own.
pub(crate) fn durable(folder: &Path, count: u64) -> Outcome<Samples> {
    let store = Store::open(&Options::new(folder))?;
    let (done, wait) = channel::<()>();
    let mut samples = Samples::default();
    for number in 0..count {
        let mut batch = Batch::new();
        for write in 0..WRITES {
            let key = (number * WRITES + write).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            batch.put(Table::Job, key.to_be_bytes().to_vec(), vec![7; VALUE_BYTES]);
        }
        let (began, done) = (Instant::now(), done.clone());
        store.commit(batch, move || {
            // The other end waits for it.
            let _ = done.send(());
        });
        wait.recv_timeout(Duration::from_secs(10))?;
        samples.add(began.elapsed());
    }
    Ok(samples)
}

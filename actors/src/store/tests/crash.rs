//! Killed under load: a child process commits and says what was acknowledged, the parent kills it and looks.

use super::*;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

const ROUNDS: usize = 12;
const THREADS: u8 = 3;
const DIR: &str = "TRIPLINE_TEST_CRASH_DIR";

fn key(thread: u8, n: u64) -> Vec<u8> {
    [&[thread][..], &n.to_be_bytes()].concat()
}

/// Every batch writes a job and its place in order; every 50th job is long, every third batch ends an old job.
fn batch(thread: u8, n: u64) -> Batch {
    let mut batch = Batch::new();
    let length = if n.is_multiple_of(50) { 30_000 } else { 100 };
    batch.put(Table::Job, key(thread, n), vec![n as u8; length]);
    batch.put(Table::JobByTime, key(thread, n), b"");
    if n.is_multiple_of(3) {
        batch.delete(Table::Job, key(thread, n / 3));
        batch.delete(Table::JobByTime, key(thread, n / 3));
    }
    batch
}

/// The child: commits as fast as it can until it is killed.
#[test]
#[ignore = "is run, and killed, by every_acknowledged_batch_survives_a_kill"]
fn commit_until_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let store = open(Path::new(&dir));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = store.clone();
            scope.spawn(move || {
                let first = store.scan_back(Table::JobByTime, &[thread], None, 1).unwrap();
                let first = first
                    .first()
                    .map_or(1, |(key, _)| u64::from_be_bytes(key[1..].try_into().unwrap()) + 1);
                for n in first.. {
                    let acknowledge = move || {
                        writeln!(std::io::stdout(), "acknowledged {thread} {n}").unwrap();
                    };
                    store.commit(batch(thread, n), acknowledge);
                    while store.durable_lag() > 200 {
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
}

fn start_child(dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "store::tests::crash::commit_until_killed",
        "--ignored",
        "--nocapture",
    ]);
    command.env(DIR, dir).stdout(Stdio::piped()).spawn().unwrap()
}

/// Kills the child after it acknowledged `after` batches; the highest number per thread it acknowledged.
fn kill_after(mut child: Child, after: usize) -> HashMap<u8, u64> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = HashMap::new();
    let mut seen = 0;
    while let Some(Ok(line)) = lines.next() {
        let Some((_, numbers)) = line.split_once("acknowledged ") else {
            continue;
        };
        let Some((thread, n)) = numbers.split_once(' ') else {
            continue;
        };
        // The last line may be cut short by the kill: only whole ones end in a newline, which `lines` hides,
        // but a number that is cut short is lower than the true one, so nothing is asserted too much.
        if let (Ok(thread), Ok(n)) = (thread.parse(), n.parse::<u64>()) {
            let highest = acknowledged.entry(thread).or_insert(0);
            *highest = n.max(*highest);
        }
        seen += 1;
        if seen == after {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen >= after, "the child ended by itself");
    acknowledged
}

fn check(store: &Store, thread: u8, acknowledged: u64) -> u64 {
    let jobs = store.scan(Table::Job, &[thread], None, usize::MAX).unwrap();
    let places = store.scan(Table::JobByTime, &[thread], None, usize::MAX).unwrap();
    assert!(
        jobs.iter()
            .map(|(key, _)| key)
            .eq(places.iter().map(|(key, _)| key)),
        "half a batch"
    );
    let last = jobs
        .last()
        .map_or(0, |(key, _)| u64::from_be_bytes(key[1..].try_into().unwrap()));
    assert!(
        last >= acknowledged,
        "thread {thread}: {acknowledged} was acknowledged, {last} is there"
    );
    let expected: Vec<u64> = (last / 3 + 1..=last).collect();
    let found: Vec<u64> = jobs
        .iter()
        .map(|(key, _)| u64::from_be_bytes(key[1..].try_into().unwrap()))
        .collect();
    assert_eq!(found, expected, "thread {thread}: a gap or a ghost");
    for (key, value) in &jobs {
        assert!(value.iter().all(|byte| byte == key.last().unwrap()));
    }
    last
}

#[test]
fn every_acknowledged_batch_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..ROUNDS {
        let acknowledged = kill_after(start_child(dir.path()), 50 + 397 * round % 2000);
        let store = open(dir.path());
        for thread in 0..THREADS {
            check(&store, thread, acknowledged.get(&thread).copied().unwrap_or(0));
        }
        assert!(no_spilled_files(dir.path()));
    }
}

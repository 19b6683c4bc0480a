//! What a durable commit costs: alone, in groups, and under a steady load, each beside what the disk itself
//! takes for an fdatasync just before.
//!
//! `cargo bench -p tripline-actors --bench commit` prints the tables of
//! `docs/decisions/0001-durable-commits.md`. With `-- only WRITES COMMITS` it does that many commits of that
//! many writes and nothing else, for strace; with `-- audited` only what records of the audit cost.
//! many writes and nothing else, for strace. With `-- export ROWS` it measures what an export of that many rows does to
//! commits that go on meanwhile.

use std::error::Error;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use tripline_actors::artifact::ArtifactStore;
use tripline_actors::audit::{By, Entry};
use tripline_actors::clock::SystemClock;
use tripline_actors::export::{self, Exporter};
use tripline_actors::store::{Batch, Options, Store, Table};
use tripline_protocol::Timestamp;
use tripline_protocol::audit::Action;

const VALUE_BYTES: usize = 300;
const SIZES: [usize; 4] = [1, 8, 64, 512];
/// Batches with and without records.
const AUDITED: u64 = 100_000;
/// Seconds of the steady load.
const STEADY_SECONDS: u32 = 5;
/// Seconds of commits, and at least as many of exports.
const EXPORT_SECONDS: u64 = 5;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let dir = tempfile::tempdir()?;
    if let [only, writes, commits] = arguments.as_slice()
        && only == "only"
    {
        let store = Store::open(&Options::new(dir.path()))?;
        return one_after_another(&store, true, writes.parse()?, commits.parse()?).map(drop);
    }
    if let [only] = arguments.as_slice()
        && only == "audited"
    {
        return audited(dir.path());
    }
    if let [export, rows] = arguments.as_slice()
        && export == "export"
    {
        return exported(dir.path(), rows.parse()?);
    }
    println!(
        "load average before: {}",
        std::fs::read_to_string("/proc/loadavg")?.trim()
    );
    alone(dir.path())?;
    grouped(dir.path())?;
    steady(dir.path())?;
    audited(dir.path())?;
    println!(
        "\nload average after: {}",
        std::fs::read_to_string("/proc/loadavg")?.trim()
    );
    Ok(())
}

/// Makes batches whose keys are spread as ids are, or follow each other as times do.
struct Source {
    spread: bool,
    next: u64,
}

impl Source {
    fn batch(&mut self, writes: usize) -> Batch {
        let mut batch = Batch::new();
        for _ in 0..writes {
            self.next += 1;
            let first = if self.spread {
                self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            } else {
                0
            };
            let key = [first.to_be_bytes(), self.next.to_be_bytes()].concat();
            batch.put(Table::Job, key, vec![7; VALUE_BYTES]);
        }
        batch
    }
}

/// Commits of five writes, one after the other, first alone and then while the store is exported over and over.
fn exported(dir: &Path, rows: usize) -> Outcome {
    let store = Store::open(&Options::new(dir))?;
    let artifacts = Arc::new(ArtifactStore::open(dir, u64::MAX)?);
    let exporter = Exporter::new(store.clone(), artifacts, Arc::new(SystemClock::default()), dir, 0);
    let mut source = Source {
        spread: true,
        next: 0,
    };
    let (done, wait) = channel();
    for _ in 0..rows / 500 {
        submit(&store, source.batch(500), &done);
        wait.recv()?;
    }
    let mut commits = |until: &dyn Fn() -> bool| -> Outcome<Vec<Duration>> {
        let mut took = Vec::new();
        while !until() {
            submit(&store, source.batch(5), &done);
            took.push(wait.recv()?);
        }
        Ok(took)
    };
    let began = Instant::now();
    let alone = commits(&|| began.elapsed() > Duration::from_secs(EXPORT_SECONDS))?;
    let exporting = std::thread::spawn(move || -> Result<_, export::Error> {
        let (began, mut exports) = (Instant::now(), Vec::new());
        while began.elapsed() < Duration::from_secs(EXPORT_SECONDS) {
            let began = Instant::now();
            let made = exporter.spool(false)?.made;
            exports.push((made.totals.rows(), made.bytes, began.elapsed()));
        }
        Ok(exports)
    });
    let beside = commits(&|| exporting.is_finished())?;
    let exports = exporting.join().map_err(|_| "the exporter panicked")??;
    println!(
        "commits alone           {:>6}  {}",
        alone.len(),
        percentiles(alone)
    );
    println!(
        "commits beside exports  {:>6}  {}",
        beside.len(),
        percentiles(beside)
    );
    for (rows, bytes, took) in exports {
        let seconds = took.as_secs_f64();
        println!(
            "export of {rows} rows, {bytes} bytes: {seconds:.2} s, {:.0} rows/s, {:.0} MB/s",
            rows as f64 / seconds,
            bytes as f64 / 1e6 / seconds
        );
    }
    Ok(())
}

fn one_after_another(store: &Store, spread: bool, writes: usize, commits: usize) -> Outcome<Vec<Duration>> {
    let mut source = Source { spread, next: 0 };
    let (done, wait) = channel();
    let mut took = Vec::with_capacity(commits);
    for _ in 0..commits {
        submit(store, source.batch(writes), &done);
        took.push(wait.recv()?);
    }
    Ok(took)
}

/// Commits; how long it took goes to `done`.
fn submit(store: &Store, batch: Batch, done: &std::sync::mpsc::Sender<Duration>) {
    let (submitted, done) = (Instant::now(), done.clone());
    store.commit(batch, move || {
        // An error says that the bench failed and nobody counts any more.
        let _ = done.send(submitted.elapsed());
    });
}

/// The 10th, 50th and 99th percentile in microseconds, as cells of a table.
fn percentiles(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |percent: usize| {
        took.get(took.len() * percent / 100)
            .map_or(0, Duration::as_micros)
    };
    format!("{} | {} | {}", at(10), at(50), at(99))
}

/// What the disk takes at this moment: 4 KiB over what a file has already, then fdatasync.
fn floor(dir: &Path) -> Outcome<String> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(dir.join("floor"))?;
    file.write_all_at(&vec![1; 4096 * 300], 0)?;
    file.sync_all()?;
    let mut took = Vec::new();
    for n in 0..300_u64 {
        let began = Instant::now();
        file.write_all_at(&[2; 4096], n * 4096)?;
        file.sync_data()?;
        took.push(began.elapsed());
    }
    Ok(percentiles(took))
}

fn alone(dir: &Path) -> Outcome {
    println!(
        "\n| writes, one commit at a time | keys | floor p10 us | p50 | p99 | commit p10 us | p50 | p99 | commits/s |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (writes, spread) in SIZES
        .into_iter()
        .flat_map(|writes| [(writes, true), (writes, false)])
    {
        let keys = if spread { "spread" } else { "in order" };
        let store = Store::open(&Options::new(dir.join(format!("alone-{writes}-{keys}"))))?;
        let floor = floor(dir)?;
        let took = one_after_another(&store, spread, writes, (200_000 / writes).clamp(400, 2000))?;
        let rate = took.len() as f64 / took.iter().sum::<Duration>().as_secs_f64();
        println!(
            "| {writes} | {keys} | {floor} | {} | {rate:.0} |",
            percentiles(took)
        );
    }
    Ok(())
}

fn grouped(dir: &Path) -> Outcome {
    println!(
        "\n| commits of 1 write that wait at a time | floor p10 us | p50 | p99 | commit p10 us | p50 | p99 | commits/s |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for waiting in SIZES {
        let store = Store::open(&Options::new(dir.join(format!("grouped-{waiting}"))))?;
        let floor = floor(dir)?;
        let commits = (waiting * 500).clamp(2000, 50_000);
        let (mut source, (done, wait)) = (
            Source {
                spread: true,
                next: 0,
            },
            channel(),
        );
        let (began, mut took) = (Instant::now(), Vec::with_capacity(commits));
        for n in 0..commits {
            if n >= waiting {
                took.push(wait.recv()?);
            }
            submit(&store, source.batch(1), &done);
        }
        drop(done);
        took.extend(wait);
        let rate = commits as f64 / began.elapsed().as_secs_f64();
        println!("| {waiting} | {floor} | {} | {rate:.0} |", percentiles(took));
    }
    Ok(())
}

/// Batches of five writes at given rates: what share of a core that takes, and how long answers take.
fn steady(dir: &Path) -> Outcome {
    println!(
        "\n| batches/s of 5 writes | floor p10 us | p50 | p99 | commit p10 us | p50 | p99 | answered/s | CPU, of one core |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for rate in [1_000_u32, 5_000, 10_000] {
        let store = Store::open(&Options::new(dir.join(format!("steady-{rate}"))))?;
        let floor = floor(dir)?;
        let (mut source, (done, wait)) = (
            Source {
                spread: true,
                next: 0,
            },
            channel(),
        );
        let (began, cpu) = (Instant::now(), cpu_seconds()?);
        for n in 0..rate * STEADY_SECONDS {
            let due = Duration::from_secs(1) * n / rate;
            if let Some(early) = due.checked_sub(began.elapsed()) {
                // A steady rate is what is measured: the next one is not due yet.
                std::thread::sleep(early);
            }
            submit(&store, source.batch(5), &done);
        }
        drop(done);
        let took: Vec<Duration> = wait.iter().collect();
        let seconds = began.elapsed().as_secs_f64();
        let (answered, cpu) = (took.len() as f64 / seconds, (cpu_seconds()? - cpu) / seconds);
        println!(
            "| {rate} | {floor} | {} | {answered:.0} | {:.0} % |",
            percentiles(took),
            cpu * 100.0
        );
    }
    Ok(())
}

/// The same decisions without a record of the audit, and with one each: how many a second, pipelined.
fn audited(dir: &Path) -> Outcome {
    println!("\n| 100,000 batches of 5 writes, 64 waiting | batches/s | CPU us per batch |");
    println!("| --- | --- | --- |");
    for records in [0_usize, 1, 2] {
        let store = Store::open(&Options::new(dir.join(format!("audited-{records}"))))?;
        let (mut source, (done, wait)) = (
            Source {
                spread: true,
                next: 0,
            },
            channel(),
        );
        let (began, cpu) = (Instant::now(), cpu_seconds()?);
        for n in 0..AUDITED {
            if n >= 64 {
                wait.recv()?;
            }
            let mut batch = source.batch(5);
            (0..records).for_each(|_| batch.audit(record(n)));
            submit(&store, batch, &done);
        }
        drop(done);
        wait.iter().for_each(drop);
        let rate = AUDITED as f64 / began.elapsed().as_secs_f64();
        let cpu = (cpu_seconds()? - cpu) * 1e6 / AUDITED as f64;
        println!("| with {records} records each | {rate:.0} | {cpu:.0} |");
    }
    Ok(())
}

/// A record as a command of a job leaves it.
fn record(n: u64) -> Entry {
    Entry::new(Action::CommandEnd, &By::system(), None, Timestamp::from_micros(1))
        .on("host", "4d07bc89-08d6-5304-abc3-105ffe0c827f")
        .on("hostname", "web01")
        .on("job", "6a476cc7-fafe-5985-9fb8-67233a7efb39")
        .on("command", n)
        .detail("verb", "get_file")
        .detail("step", "evidence")
        .detail("arguments", [("path", "/etc/hosts")])
}

/// User and system time of this process: fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms.
fn cpu_seconds() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat
        .rsplit_once(") ")
        .ok_or("no end of the name in /proc/self/stat")?;
    let ticks = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(str::parse::<f64>)
        .sum::<Result<f64, _>>()?;
    Ok(ticks / 100.0)
}

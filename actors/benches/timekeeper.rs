//! Ticks of many sensors: what they cost in memory and processor time:
//! `cargo bench -p tripline-actors --bench timekeeper`. With `-- SENSORS` it is so many instead of 100,000.
//!
//! Hosts enrol in a store of its own, the actors begin anew with a pipeline on `sensor_per_1h`, and the clock is set on by an hour:
//! so all ticks of an hour are due at once. Processor time is the process', with the store's writer and the outbox, up to when the last
//! tick was handed to the broker. Beside it, in the same run, the same start with nobody listening, as the floor. Prints a table for
//! `benches/README.md`.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tripline_actors::access::Access;
use tripline_actors::artifact::ArtifactStore;
use tripline_actors::clock::{Clock, ManualClock};
use tripline_actors::pipeline::{RuleSet, SourceFile};
use tripline_actors::ports::{BoxFuture, OutMessage, PublishError, Publisher};
use tripline_actors::store::{Options, Store};
use tripline_actors::{Core, CoreConfig};
use tripline_protocol::api::{CreateToken, Enrol, Role};
use tripline_protocol::{InstallId, Sha256, Span};

const SENSORS: u32 = 100_000;
/// Enrolments under way at once.
const TOGETHER: u32 = 64;
const HOUR: Span = Span::from_secs(3600);

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Takes everything, and counts ticks.
#[derive(Default)]
struct CountingPublisher(AtomicU64);

impl Publisher for CountingPublisher {
    fn publish(&self, message: OutMessage) -> BoxFuture<Result<u64, PublishError>> {
        if message.subject.ends_with(".sensor_per_1h") {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        Box::pin(async { Ok(1) })
    }

    fn notify(&self, _: String, _: Vec<u8>) {}

    fn purge(&self, _: Vec<(String, String)>) -> BoxFuture<Result<(), PublishError>> {
        Box::pin(async { Ok(()) })
    }

    fn is_reachable(&self) -> bool {
        true
    }
}

fn main() -> Outcome {
    let sensors = std::env::args().skip(1).find(|argument| argument != "--bench");
    let sensors: u32 = sensors.map_or(Ok(SENSORS), |sensors| sensors.parse())?;
    println!(
        "load average: {}",
        std::fs::read_to_string("/proc/loadavg")?.trim()
    );
    let dir = tempfile::tempdir()?;
    let clock = ManualClock::new(SystemTime::now().into());
    actix::System::new().block_on(async {
        enrol(dir.path(), &clock, sensors).await?;
        println!("\n| {sensors} sensors | start | RSS then | ticks of one hour | processor | of one core | RSS after |");
        println!("| --- | --- | --- | --- | --- | --- | --- |");
        row("nobody listens (floor)", "on: [acme.alert]", dir.path(), &clock, 0).await?;
        row("`sensor_per_1h`", "on: [sensor_per_1h]", dir.path(), &clock, sensors.into()).await
    })
}

async fn row(what: &str, on: &str, dir: &Path, clock: &ManualClock, ticks: u64) -> Outcome {
    let began = Instant::now();
    let (core, _store, publisher) = start(dir, on, clock)?;
    let (started, rss) = (began.elapsed(), rss_kib()? / 1024);
    let (began, before) = (Instant::now(), processor()?);
    clock.advance(HOUR);
    while publisher.0.load(Ordering::Relaxed) < ticks || began.elapsed() < Duration::from_secs(3) {
        // Nobody tells when all ticks are out; a longer look costs nothing that is measured.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (seconds, spent) = (began.elapsed().as_secs_f64(), processor()? - before);
    let share = 100.0 * spent.as_secs_f64() / 3600.0;
    let made = publisher.0.load(Ordering::Relaxed);
    println!(
        "| {what} | {started:.2?} | {rss} MiB | {made} in {seconds:.1} s | {spent:.2?} | {share:.3} % | {} MiB |",
        rss_kib()? / 1024
    );
    core.drain(Span::ZERO).await;
    Ok(())
}

fn start(dir: &Path, on: &str, clock: &ManualClock) -> Outcome<(Core, Store, Arc<CountingPublisher>)> {
    let text = format!("name: p\n{on}\njob: {{ steps: [ list_processes: {{}} ] }}\n");
    let path = "p.yaml".into();
    let rules = Arc::new(RuleSet::parse(&[SourceFile { path, text }], &[])?);
    let store = opened(dir)?;
    let artifacts = Arc::new(ArtifactStore::open(dir, u64::MAX)?);
    let publisher = Arc::new(CountingPublisher::default());
    let core = Core::start(
        CoreConfig::default(),
        store.clone(),
        artifacts,
        rules,
        Arc::clone(&publisher) as _,
        Arc::new(clock.clone()),
    )?;
    Ok((core, store, publisher))
}

/// The one before may still be letting go of it.
fn opened(dir: &Path) -> Outcome<Store> {
    let began = Instant::now();
    loop {
        match Store::open(&Options::new(dir)) {
            Ok(store) => return Ok(store),
            Err(error) if began.elapsed() > Duration::from_secs(10) => return Err(error.into()),
            // Its lock says nothing when it is free.
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

async fn enrol(dir: &Path, clock: &ManualClock, sensors: u32) -> Outcome {
    let (core, store, _) = start(dir, "on: [acme.alert]", clock)?;
    let token = CreateToken {
        name: "bench".into(),
        role: Role::Enrol,
        org: None,
        uses: None,
        expires: None,
    };
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    let token = Access::new(store, clock).create(token).await?.view.id;
    let mut tasks = Vec::new();
    for first in 0..TOGETHER {
        let (core, token) = (core.clone(), token.clone());
        tasks.push(actix::spawn(async move {
            for number in (first..sensors).step_by(TOGETHER as usize) {
                core.enrol(token.clone(), host(number)).await?;
            }
            Ok::<_, tripline_actors::Refusal>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    core.drain(Span::ZERO).await;
    Ok(())
}

fn host(number: u32) -> Enrol {
    let mut digest = [7; 32];
    digest[..4].copy_from_slice(&number.to_be_bytes());
    Enrol {
        install_id: InstallId(uuid::Uuid::from_u128(number.into())),
        key_sha256: Sha256::from_digest(&digest),
        hostname: format!("host-{number}"),
        addresses: vec!["10.0.0.1".into()],
        platform: "linux".into(),
        arch: "x86_64".into(),
    }
}

/// Resident memory of this process.
fn rss_kib() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let text = line.ok_or("no VmRSS in /proc/self/status")?;
    Ok(text.trim().trim_end_matches(" kB").parse()?)
}

/// Processor time of this process: user and system, in hundredths of a second.
fn processor() -> Outcome<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let rest = stat.rsplit(')').next().ok_or("no name in /proc/self/stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let hundredths = |field: usize| -> Outcome<u64> { Ok(fields.get(field).ok_or("too short")?.parse()?) };
    Ok(Duration::from_millis(10 * (hundredths(11)? + hundredths(12)?)))
}

//! A flood of events that are all suppressed: how many a second the actors take, and the memory of the process before
//! and after: `cargo bench -p tripline-actors --bench suppress`. With `-- EVENTS` it is so many instead of 100,000.
//!
//! Each round has a store of its own and one host. Beside it, in the same run, the same events that match nothing, as the
//! floor. Prints a table for `benches/README.md`.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tripline_actors::access::Access;
use tripline_actors::artifact::ArtifactStore;
use tripline_actors::clock::{Clock, SystemClock};
use tripline_actors::pipeline::{RuleSet, SourceFile};
use tripline_actors::ports::{BoxFuture, OutMessage, PublishError, Publisher};
use tripline_actors::store::{Options, Store, Table};
use tripline_actors::{Core, CoreConfig, Delivery, IngestPosition};
use tripline_protocol::api::{CreateToken, Enrol, Role};
use tripline_protocol::{HostId, InstallId, Sha256, Span, Timestamp};

const EVENTS: u64 = 100_000;
/// Events offered at once, as the edge for NATS does.
const BATCH: u64 = 500;
const ROUNDS: usize = 3;

/// What is measured, and what its pipeline says beside its name.
const CASES: [(&str, &str); 4] = [
    ("matches nothing (floor)", "when: event.data.n < 0"),
    ("suppressed, one key", "suppress: { per: 1h }"),
    (
        "suppressed, 1,000 keys",
        "suppress: { key: \"{{ event.data.k }}\", per: 1h }",
    ),
    (
        "suppressed, min 10: every match is written",
        "suppress: { min: 10, per: 1h }",
    ),
];

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Takes everything and keeps nothing.
struct NullPublisher;

impl Publisher for NullPublisher {
    fn publish(&self, _: OutMessage) -> BoxFuture<Result<u64, PublishError>> {
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
    let events = std::env::args().skip(1).find(|argument| argument != "--bench");
    let events: u64 = events.map_or(Ok(EVENTS), |events| events.parse())?;
    println!(
        "load average: {}",
        std::fs::read_to_string("/proc/loadavg")?.trim()
    );
    println!(
        "\n| {events} events | events/s, {ROUNDS} rounds | RSS before, after | decisions with a row | jobs |"
    );
    println!("| --- | --- | --- | --- | --- |");
    actix::System::new().block_on(async {
        for (what, guard) in CASES {
            let (mut rates, mut last) = (String::new(), String::new());
            for _ in 0..ROUNDS {
                let (rate, rest) = round(guard, events).await?;
                write!(rates, "{rate:.0} ")?;
                last = rest;
            }
            println!("| {what} | {}| {last} |", rates);
        }
        Ok(())
    })
}

/// One flood: events a second, and the other cells of its row.
async fn round(guard: &str, events: u64) -> Outcome<(f64, String)> {
    let dir = tempfile::tempdir()?;
    let (core, store) = start(dir.path(), guard)?;
    let host = enrol(&core, &store).await?;
    let before = rss_kib()?;
    let began = Instant::now();
    for first in (0..events).step_by(usize::try_from(BATCH)?) {
        let last = events.min(first + BATCH);
        core.ingest((first..last).map(|number| delivery(number, host)).collect())
            .await?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let after = rss_kib()?;
    let rows = store.count(Table::Withheld)?;
    let jobs = store.count(Table::Job)?;
    core.drain(Span::ZERO).await;
    let cells = format!("{} → {} MiB | {rows} | {jobs}", before / 1024, after / 1024);
    Ok((events as f64 / seconds, cells))
}

fn start(dir: &Path, guard: &str) -> Outcome<(Core, Store)> {
    let text = format!(
        "name: flood\non: [acme.alert]\n{guard}\njob:\n  steps:\n    - kill_process: {{ pid: \"{{{{ event.data.n }}}}\" }}\n"
    );
    let file = SourceFile {
        path: "flood.yaml".into(),
        text,
    };
    let rules = Arc::new(RuleSet::parse(&[file], &[])?);
    let store = Store::open(&Options::new(dir))?;
    let artifacts = Arc::new(ArtifactStore::open(dir, u64::MAX)?);
    let core = Core::start(
        CoreConfig::default(),
        store.clone(),
        artifacts,
        rules,
        Arc::new(NullPublisher),
        Arc::new(SystemClock::default()),
    )?;
    Ok((core, store))
}

async fn enrol(core: &Core, store: &Store) -> Outcome<HostId> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let token = CreateToken {
        name: "bench".into(),
        role: Role::Enrol,
        org: None,
        uses: None,
        expires: None,
    };
    let token = Access::new(store.clone(), clock).create(token).await?;
    let enrol = Enrol {
        install_id: InstallId(uuid::Uuid::from_u128(1)),
        key_sha256: Sha256::from_digest(&[7; 32]),
        hostname: "bench".into(),
        addresses: Vec::new(),
        platform: "linux".into(),
        arch: "x86_64".into(),
    };
    let host = core.enrol(token.view.id, enrol).await?.host_id;
    let position = IngestPosition {
        stream_created: Timestamp::from_micros(1),
        last_sequence: 0,
    };
    core.set_ingest_position(position).await?;
    Ok(host)
}

fn delivery(number: u64, host: HostId) -> Delivery {
    let key = number % 1_000;
    let payload = format!(
        "{{\"host_id\":\"{host}\",\"n\":{number},\"k\":\"key-{key}\",\"text\":\"{}\"}}",
        "x".repeat(200)
    );
    Delivery {
        subject: "tripline.events.default.acme.alert".into(),
        headers: vec![("Nats-Msg-Id".into(), format!("e{number}"))],
        payload: payload.into_bytes().into(),
        stream: "TRIPLINE_EVENTS".into(),
        sequence: number + 1,
        stored_at: SystemTime::now().into(),
        delivered: 1,
    }
}

/// Resident memory of this process.
fn rss_kib() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let text = line.ok_or("no VmRSS in /proc/self/status")?;
    Ok(text.trim().trim_end_matches(" kB").parse()?)
}

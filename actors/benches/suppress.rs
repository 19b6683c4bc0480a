//! A flood of events that are all suppressed: how many a second the actors take, and the memory of the process before
//! and after: `cargo bench -p tripline-actors --bench suppress`. With `-- EVENTS` it is so many instead of 100,000.
//!
//! Each round has a store of its own and one host. Beside it, in the same run, the same events that match nothing, as the
//! floor. Prints a table for `benches/README.md`.

#[expect(dead_code, reason = "the bench of the Timekeeper uses the rest")]
mod support;

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use support::{CountingPublisher, Outcome, enrol_token, load_average, rss_kib};
use tripline_actors::clock::SystemClock;
use tripline_actors::store::{Store, Table};
use tripline_actors::{Core, Delivery, IngestPosition};
use tripline_protocol::{HostId, Span, Timestamp};

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

fn main() -> Outcome {
    let events = support::count_given(EVENTS)?;
    println!("{}", load_average()?);
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
    let clock = Arc::new(SystemClock::default());
    support::start(dir, text, &CountingPublisher::of(""), clock)
}

async fn enrol(core: &Core, store: &Store) -> Outcome<HostId> {
    let token = enrol_token(store, Arc::new(SystemClock::default())).await?;
    let host = core.enrol(token, support::host(0)).await?.host_id;
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

//! Events that match nothing: published while the server is away, then taken by it as fast as it can. Beside it
//! the same events pulled and acked by nobody but the client library.

use super::options::Options;
use super::stage::Stage;
use super::stats::median;
use super::usage::Cpu;
use super::{Outcome, machine, outside};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, stream::Stream};
use futures_util::StreamExt;
use std::time::{Duration, Instant};
use tripline::nats::consumer::{ACK_PENDING_MAX, CONSUMER};
use tripline_protocol::Subjects;

const LOOK: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(120);
/// Messages of a request, as the server asks for them.
const BATCH: usize = 500;

struct Round {
    rate: f64,
    bare: f64,
    cpu_us: Cpu,
    resident: ((f64, f64), (f64, f64)),
}

pub(crate) async fn run(stage: &mut Stage, options: &Options) -> Outcome {
    let context = stage.jetstream().await?;
    round(stage, &context, options.events / 10).await?;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let round = round(stage, &context, options.events).await?;
        eprintln!(
            "events: {:.0}/s, bare {:.0}/s, {}",
            round.rate,
            round.bare,
            machine::load()
        );
        rounds.push(round);
    }
    print(&rounds, options);
    Ok(())
}

fn print(rounds: &[Round], options: &Options) {
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value));
    println!(
        "\nEvents that match nothing ({} events of 300 bytes, {} rounds, {})\n",
        options.events,
        rounds.len(),
        machine::load()
    );
    println!(
        "| events/s | bare pull and ack/s | ratio | CPU per event: server | broker | server RSS before, after | broker RSS |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    println!(
        "| {:.0} | {:.0} | {:.2} | {:.1} µs | {:.1} µs | {:.0} → {:.0} MiB | {:.0} → {:.0} MiB |",
        of(|round| round.rate),
        of(|round| round.bare),
        of(|round| round.rate / round.bare),
        of(|round| round.cpu_us.server),
        of(|round| round.cpu_us.broker),
        of(|round| round.resident.0.0),
        of(|round| round.resident.1.0),
        of(|round| round.resident.0.1),
        of(|round| round.resident.1.1),
    );
}

async fn round(stage: &mut Stage, context: &jetstream::Context, count: u64) -> Outcome<Round> {
    stage.stop_server().await?;
    let mut stream = context.get_stream(Subjects::default().events_stream()).await?;
    let first = stream.info().await?.state.last_sequence + 1;
    outside::publish_unmatched(context, count).await?;
    let last = stream.info().await?.state.last_sequence;
    if last - first + 1 != count {
        return Err(format!("{} of {count} events were stored", last - first + 1).into());
    }
    let bare = bare(&stream, first, count).await?;
    stage.spawn_server()?;
    let (rate, cpu_us, resident) = watch(stage, &stream, first, last).await?;
    stage.start_server().await?;
    Ok(Round {
        rate,
        bare,
        cpu_us,
        resident,
    })
}

/// Pulls and acks the same events in this process.
async fn bare(stream: &Stream, first: u64, count: u64) -> Outcome<f64> {
    let consumer: PullConsumer = stream
        .create_consumer(pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: first,
            },
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: ACK_PENDING_MAX,
            ..Default::default()
        })
        .await?;
    let mut messages = consumer
        .stream()
        .max_messages_per_batch(BATCH)
        .messages()
        .await?
        .take(count.try_into()?);
    let mut began = None;
    while let Some(message) = messages.next().await {
        message?.ack().await.map_err(|error| error.to_string())?;
        began.get_or_insert_with(Instant::now);
    }
    let took = began.ok_or("no events")?.elapsed();
    let name = &consumer.cached_info().name;
    stream.delete_consumer(name).await?;
    Ok((count - 1) as f64 / took.as_secs_f64())
}

type Watched = (f64, Cpu, ((f64, f64), (f64, f64)));

/// Watches the server's consumer from its first ack to its last.
async fn watch(stage: &Stage, stream: &Stream, first: u64, last: u64) -> Outcome<Watched> {
    let (at_first, acked_first) = acked_beyond(stream, first - 1).await?;
    let (cpu_before, resident_before) = (stage.cpu()?, stage.resident()?);
    let (at_last, _) = acked_beyond(stream, last - 1).await?;
    let used = stage.cpu()? - cpu_before;
    let count = (last - acked_first) as f64;
    let per_event = |seconds: f64| seconds * 1e6 / count;
    let cpu_us = Cpu {
        server: per_event(used.server),
        broker: per_event(used.broker),
        load: per_event(used.load),
    };
    let rate = count / (at_last - at_first).as_secs_f64();
    Ok((rate, cpu_us, (resident_before, stage.resident()?)))
}

/// When the server acked everything up to `sequence` and more, and up to which.
async fn acked_beyond(stream: &Stream, sequence: u64) -> Outcome<(Instant, u64)> {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        let floor = stream.consumer_info(CONSUMER).await?.ack_floor.stream_sequence;
        if floor > sequence {
            return Ok((Instant::now(), floor));
        }
        // Between two looks at the consumer, which tells nobody of its acks.
        tokio::time::sleep(LOOK).await;
    }
    Err("the server does not take the events".into())
}

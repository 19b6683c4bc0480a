//! Ticks of many sensors: what they cost in memory and processor time:
//! `cargo bench -p tripline-actors --bench timekeeper`. With `-- SENSORS` it is so many instead of 100,000.
//!
//! Hosts enrol in a store of its own, the actors begin anew with a pipeline on `sensor_per_1h`, and the clock is set on by an hour:
//! so all ticks of an hour are due at once. Processor time is the process', with the store's writer and the outbox, up to when the last
//! tick was handed to the broker. Beside it, in the same run, the same start with nobody listening, as the floor. Each of these is a
//! process of its own, so that what one leaves in its memory is not measured with the next. Prints a table for
//! `benches/README.md`.

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use support::{CountingPublisher, Outcome, enrol_token, host, load_average, rss_kib, start};
use tripline_actors::clock::ManualClock;
use tripline_protocol::Span;

const SENSORS: u32 = 100_000;
/// How long no tick may come before the program gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// So long is looked at least, for ticks that nobody should get.
const LOOK_MIN: Duration = Duration::from_secs(3);
/// Enrolments under way at once.
const TOGETHER: u32 = 64;
const HOUR: Span = Span::from_secs(3600);
/// What somebody listens to.
const TICK: &str = "sensor_per_1h";
/// What nobody publishes.
const NOBODYS: &str = "acme.alert";

/// A process' part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Enrol,
    Floor,
    Ticks,
}

impl Part {
    const ALL: [Self; 3] = [Self::Enrol, Self::Floor, Self::Ticks];

    fn word(self) -> &'static str {
        match self {
            Self::Enrol => "enrol",
            Self::Floor => "floor",
            Self::Ticks => "ticks",
        }
    }

    /// Each begins later than the one before has ended, by its clock, which is set on by an hour in between.
    fn clock(self) -> ManualClock {
        let hours = 2 * self as u64;
        ManualClock::new((SystemTime::now() + Duration::from_secs(hours * 3600)).into())
    }
}

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [sensors, part, dir] = arguments.as_slice()
        && let Some(part) = Part::ALL.into_iter().find(|known| known.word() == part)
    {
        let work = work(part, Path::new(dir), sensors.parse()?);
        return actix::System::new().block_on(work);
    }
    let sensors: u32 = support::count_given(SENSORS)?;
    println!("{}", load_average()?);
    println!(
        "\n| {sensors} sensors | start | RSS then | ticks of one hour | processor | of one core | RSS after |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let dir = tempfile::tempdir()?;
    for part in Part::ALL {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([&sensors.to_string(), part.word()]);
        let ended = command.arg(dir.path()).status()?;
        if !ended.success() {
            return Err(format!("{part:?}: {ended}").into());
        }
    }
    Ok(())
}

async fn work(part: Part, dir: &Path, sensors: u32) -> Outcome {
    let clock = part.clock();
    match part {
        Part::Enrol => enrol(dir, &clock, sensors).await,
        Part::Floor => row("nobody listens (floor)", NOBODYS, dir, &clock, 0).await,
        Part::Ticks => row("`sensor_per_1h`", TICK, dir, &clock, sensors.into()).await,
    }
}

async fn row(what: &str, on: &str, dir: &Path, clock: &ManualClock, ticks: u64) -> Outcome {
    let began = Instant::now();
    let publisher = CountingPublisher::of(TICK);
    let (core, _store) = start(dir, pipeline(on), &publisher, Arc::new(clock.clone()))?;
    let (started, rss) = (began.elapsed(), rss_kib()? / 1024);
    let (began, before) = (Instant::now(), processor()?);
    clock.advance(HOUR);
    wait_for(&publisher, ticks).await?;
    let (seconds, spent) = (began.elapsed().as_secs_f64(), processor()? - before);
    let share = 100.0 * spent.as_secs_f64() / 3600.0;
    let made = publisher.count();
    println!(
        "| {what} | {started:.2?} | {rss} MiB | {made} in {seconds:.1} s | {spent:.2?} | {share:.3} % | {} MiB |",
        rss_kib()? / 1024
    );
    core.drain(Span::ZERO).await;
    Ok(())
}

/// Until so many are out, and no shorter than [`LOOK_MIN`].
async fn wait_for(publisher: &CountingPublisher, ticks: u64) -> Outcome {
    let (began, mut known, mut moved) = (Instant::now(), 0, Instant::now());
    while known < ticks || began.elapsed() < LOOK_MIN {
        // Nobody tells when all ticks are out; a longer look costs nothing that is measured.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let made = publisher.count();
        if made > known {
            (known, moved) = (made, Instant::now());
        }
        if moved.elapsed() > PATIENCE {
            return Err(format!("no tick comes any more after {known} of {ticks}").into());
        }
    }
    Ok(())
}

fn pipeline(on: &str) -> String {
    format!("name: p\non: [{on}]\njob: {{ steps: [ list_processes: {{}} ] }}\n")
}

async fn enrol(dir: &Path, clock: &ManualClock, sensors: u32) -> Outcome {
    let clock = Arc::new(clock.clone());
    let (publisher, pipeline) = (CountingPublisher::of(TICK), pipeline(NOBODYS));
    let (core, store) = start(dir, pipeline, &publisher, clock.clone())?;
    let token = enrol_token(&store, clock).await?;
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

/// Processor time of this process: user and system, in hundredths of a second.
fn processor() -> Outcome<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let rest = stat.rsplit(')').next().ok_or("no name in /proc/self/stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let hundredths = |field: usize| -> Outcome<u64> { Ok(fields.get(field).ok_or("too short")?.parse()?) };
    Ok(Duration::from_millis(10 * (hundredths(11)? + hundredths(12)?)))
}

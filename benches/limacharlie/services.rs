//! The cloud role: detections to many services, with and without one among them that never answers.
//!
//! Each round has a server and a broker of its own, so that nothing of the one before waits in it.

use super::caller::{CAT, SECRET};
use super::listener::{Listener, Manner};
use super::options::Options;
use super::stage::Stage;
use super::usage::{Cpu, forget_peak, peak_mib, resident_mib};
use super::{Outcome, machine};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::future::IntoFuture;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Services that answer.
pub(crate) const ANSWERING: usize = 9;
/// Calls that a service takes at once; what a service has that says nothing else.
const IN_FLIGHT: u32 = 4;
/// Room of each queue; a service that hangs keeps all that is for it.
const QUEUE_MAX: u64 = 100_000;
/// Sensors that the detections are about, one after the other.
const SENSORS: u64 = 500;
/// Publications that wait for their ack.
const PUBLISH_WINDOW: usize = 1_000;
/// How long nothing may come before the program gives up.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(10);
/// How long nothing may come once everything is there.
const SETTLE: Duration = Duration::from_millis(500);

/// What was measured of a round.
pub(crate) struct Delivered {
    /// What a call takes at a service.
    pub(crate) takes: Duration,
    /// One more service never answered.
    pub(crate) beside_hanging: bool,
    /// Detections published, each of which the nine services got.
    pub(crate) detections: u64,
    /// From the first publication until the last of the nine had the last detection.
    pub(crate) took: Duration,
    /// The same for the first of the nine.
    pub(crate) first: Duration,
    /// Time that the nine had detections in hand.
    pub(crate) busy: Duration,
    /// Calls that hang at the end.
    pub(crate) hanging: u64,
    /// Processor seconds.
    pub(crate) cpu: Cpu,
    /// The server's memory in MiB before, and the most of it.
    pub(crate) resident: (f64, f64),
}

impl Delivered {
    /// Calls per second to the nine.
    pub(crate) fn rate(&self) -> f64 {
        self.calls() / self.took.as_secs_f64()
    }

    pub(crate) fn calls(&self) -> f64 {
        self.detections as f64 * ANSWERING as f64
    }

    /// How much of what they can take at once they had in hand.
    pub(crate) fn share_taken(&self) -> f64 {
        let room = f64::from(IN_FLIGHT) * ANSWERING as f64 * self.took.as_secs_f64();
        self.busy.as_secs_f64() / room
    }
}

/// With services that answer at once, and with those that take a while.
pub(crate) async fn measure(options: &Options) -> Outcome<Vec<Delivered>> {
    let mut rounds = Vec::new();
    for takes in [Duration::ZERO, options.takes()] {
        for beside_hanging in [false, true] {
            let round = round(options.detections, takes, beside_hanging).await?;
            eprintln!(
                "services, {takes:?} each, hanging {beside_hanging}: {:.0} calls/s, {:.1} s, cpu {}, {}",
                round.rate(),
                round.took.as_secs_f64(),
                round.cpu,
                machine::load()
            );
            rounds.push(round);
        }
    }
    Ok(rounds)
}

async fn round(detections: u64, takes: Duration, beside_hanging: bool) -> Outcome<Delivered> {
    let mut listeners = Vec::new();
    for _ in 0..ANSWERING {
        listeners.push(Listener::start(Manner::Takes(takes), detections).await?);
    }
    if beside_hanging {
        listeners.push(Listener::start(Manner::Hangs, detections).await?);
    }
    let stage = Stage::set(&configuration(&listeners)).await?;
    wait_for_installations(&stage, listeners.len()).await?;
    let pid = stage.server_pid()?;
    let (resident, cpu) = (resident_mib(pid)?, stage.cpu()?);
    forget_peak(pid)?;
    let began = Instant::now();
    // Deliveries begin while the last are published.
    let (published, ends) = tokio::join!(publish(&stage, detections), ends(&listeners, detections, began));
    published?;
    let (first, took) = ends?;
    let is_answering = |listener: &&Listener| listener.manner != Manner::Hangs;
    let busy = listeners.iter().filter(is_answering).map(Listener::busy).sum();
    let hanging = listeners.iter().filter(|listener| !is_answering(listener));
    let delivered = Delivered {
        takes,
        beside_hanging,
        detections,
        took,
        first,
        busy,
        hanging: hanging.map(Listener::calls).sum(),
        cpu: stage.cpu()? - cpu,
        resident: (resident, peak_mib(pid)?),
    };
    // What comes a second time may come after everything came: only waiting tells.
    tokio::time::sleep(SETTLE).await;
    check_repeats(&listeners)?;
    stage.clear().await?;
    Ok(delivered)
}

fn configuration(listeners: &[Listener]) -> String {
    let service = |(number, listener): (usize, &Listener)| {
        format!(
            "[[services]]\nname = \"service-{number}\"\nurl = \"http://{}/\"\nsecret = \"{SECRET}\"\n\
             allow_private = true\nin_flight = {IN_FLIGHT}\nqueue_max = {QUEUE_MAX}\n\n",
            listener.address
        )
    };
    listeners.iter().enumerate().map(service).collect()
}

/// Until all services said what they want.
async fn wait_for_installations(stage: &Stage, count: usize) -> Outcome {
    let http = reqwest::Client::new();
    let url = format!("http://{}/v1/services", stage.address()?);
    let since = Instant::now();
    loop {
        let answer = http.get(&url).bearer_auth(stage.admin_token()).send().await?;
        let text = answer.error_for_status()?.text().await?;
        if text.matches(r#""installations":{"default":"installed"}"#).count() == count {
            return Ok(());
        }
        if since.elapsed() > PATIENCE {
            return Err(format!("services are not installed: {text}").into());
        }
        // Between two looks at the server's services, whose changes nobody is told.
        tokio::time::sleep(LOOK).await;
    }
}

async fn publish(stage: &Stage, detections: u64) -> Outcome {
    let context = stage.jetstream().await?;
    let mut acks = VecDeque::new();
    for number in 0..detections {
        let payload = serde_json::to_vec(&detection(number))?;
        let ack = context
            .publish("tripline.events.default.detection", payload.into())
            .await?;
        acks.push_back(ack.into_future());
        if acks.len() >= PUBLISH_WINDOW
            && let Some(ack) = acks.pop_front()
        {
            ack.await?;
        }
    }
    for ack in acks {
        ack.await?;
    }
    Ok(())
}

/// Of about a kilobyte.
fn detection(number: u64) -> Value {
    let sensor = Uuid::from_u128(u128::from(number % SENSORS) + 1);
    let event = json!({
        "FILE_PATH": "/usr/bin/example", "PROCESS_ID": number, "COMMAND_LINE": "example --of the-bench", "FILLING": "x".repeat(500),
    });
    json!({
        "specversion": "1.0", "id": number.to_string(), "source": "bench", "type": "detection", "hostid": sensor,
        "data": { "cat": CAT, "detect": { "event": event, "routing": { "event_type": "NEW_PROCESS" } } },
    })
}

/// None of those that answer got a detection twice, or one that nobody published.
fn check_repeats(listeners: &[Listener]) -> Outcome {
    let answering = |listener: &&Listener| listener.manner != Manner::Hangs;
    for listener in listeners.iter().filter(answering) {
        // In this order a call that comes between the two looks is no repetition.
        let (calls, detections) = (listener.calls(), listener.detections());
        if calls > detections {
            let text = format!(
                "{} got {calls} calls for {detections} detections",
                listener.address
            );
            return Err(text.into());
        }
    }
    Ok(())
}

/// When the first and when the last of those that answer had all detections.
async fn ends(listeners: &[Listener], detections: u64, began: Instant) -> Outcome<(Duration, Duration)> {
    let answering = || {
        listeners
            .iter()
            .filter(|listener| listener.manner != Manner::Hangs)
    };
    let (mut first, mut known, mut moved) = (None, 0, Instant::now());
    loop {
        check_repeats(listeners)?;
        let complete = answering().filter(|listener| listener.detections() == detections);
        let complete = complete.count();
        if complete > 0 {
            first.get_or_insert_with(|| began.elapsed());
        }
        if complete == ANSWERING {
            return Ok((first.unwrap_or_default(), began.elapsed()));
        }
        let all = answering().map(Listener::detections).sum();
        if all > known {
            (known, moved) = (all, Instant::now());
        }
        if moved.elapsed() > PATIENCE {
            return Err(format!("nothing comes any more after {known} calls").into());
        }
        // Between two looks at what came; a hundredth of a second is nothing of a round.
        tokio::time::sleep(LOOK).await;
    }
}

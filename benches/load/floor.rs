//! Floors: what the parts cost by themselves, measured in the same run on the same disk and broker.

use super::agents::Prober;
use super::stage::Stage;
use super::stats::Samples;
use super::{Outcome, commit, outside};
use std::time::Instant;

/// The parts of the way of one event, in milliseconds, each alone.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Parts {
    pub(crate) publish_ms: f64,
    pub(crate) commit_ms: f64,
    pub(crate) round_trip_ms: f64,
}

impl Parts {
    /// Two JetStream publishes, the event's and the result's; two commits, the decision's and the end's; one
    /// round trip.
    pub(crate) fn sum_ms(self) -> f64 {
        2.0 * self.publish_ms + 2.0 * self.commit_ms + self.round_trip_ms
    }
}

/// Each part `count` times; the medians.
pub(crate) async fn parts(stage: &Stage, prober: &mut Prober, count: u64) -> Outcome<Parts> {
    Ok(Parts {
        publish_ms: publish(stage, count).await?.percentile_ms(50),
        commit_ms: commit::durable(&stage.folder().join("floor"), count)?.percentile_ms(50),
        round_trip_ms: round_trip(prober, count).await?.percentile_ms(50),
    })
}

/// A publish and its ack, into a stream that nobody reads.
async fn publish(stage: &Stage, count: u64) -> Outcome<Samples> {
    let context = outside::jetstream(stage.info()).await?;
    let payload = vec![b'x'; 600];
    let mut samples = Samples::default();
    for _ in 0..count {
        let began = Instant::now();
        let sent = context.publish("tripline.dead.default.floor", payload.clone().into());
        sent.await?.await?;
        samples.add(began.elapsed());
    }
    Ok(samples)
}

async fn round_trip(prober: &mut Prober, count: u64) -> Outcome<Samples> {
    let mut samples = Samples::default();
    for _ in 0..count {
        let began = Instant::now();
        prober.round_trip().await?;
        samples.add(began.elapsed());
    }
    Ok(samples)
}

//! Many known hosts, each with open processes: how long the server takes to start, and what it holds in memory.

use super::backlog::Backlog;
use super::client::{Client, Kind};
use super::options::Options;
use super::ours::SUBJECTS;
use super::stage::Stage;
use super::{Outcome, machine};
use futures_util::future::try_join_all;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Time for the broker to get all events.
const PATIENCE: Duration = Duration::from_secs(600);
/// Hosts whose clients report again after the start.
const RETURNING: u32 = 1_000;

/// What was measured.
pub(crate) struct Known {
    pub(crate) hosts: u32,
    pub(crate) processes: u32,
    /// First messages of hosts per second.
    pub(crate) joined: f64,
    /// From the start of the process until it is ready.
    pub(crate) start: Duration,
    /// The server's resident memory in MiB: ready, and after some of its hosts reported.
    pub(crate) resident_mib: (f64, f64),
}

/// Makes them through real messages, and starts the server again.
pub(crate) async fn measure(stage: &mut Stage, options: &Options) -> Outcome<Known> {
    let backlog = Backlog::open(stage, &SUBJECTS).await?;
    let stored = backlog.stored().await?;
    let began = Instant::now();
    let all = 0..options.hosts;
    report(
        stage.address()?,
        all,
        Kind::Starts(options.processes),
        options.clients,
    )
    .await?;
    let joined = f64::from(options.hosts) / began.elapsed().as_secs_f64();
    eprintln!("hosts: {joined:.0}/s joined, {}", machine::load());
    let events = u64::from(options.hosts) * u64::from(options.processes);
    let settled = backlog.settle(stored + events, PATIENCE).await?;
    eprintln!("hosts: settled after {:.1} s", settled.as_secs_f64());
    stage.stop_server().await?;
    let began = Instant::now();
    stage.start_server().await?;
    let start = began.elapsed();
    let ready = stage.resident()?.0;
    let returning = 0..RETURNING.min(options.hosts);
    report(stage.address()?, returning, Kind::Empty, options.clients).await?;
    Ok(Known {
        hosts: options.hosts,
        processes: options.processes,
        joined,
        start,
        resident_mib: (ready, stage.resident()?.0),
    })
}

/// One message of each host, by as many clients as there are `lanes`.
async fn report(address: SocketAddr, hosts: std::ops::Range<u32>, kind: Kind, lanes: u32) -> Outcome {
    let lane = |lane: u32| {
        let hosts = hosts.clone().skip(lane as usize).step_by(lanes.max(1) as usize);
        async move {
            for number in hosts {
                let mut client = Client::new(address, format!("known-{number}"));
                client.send_until_taken(kind).await?;
            }
            Outcome::Ok(())
        }
    };
    try_join_all((0..lanes).map(lane)).await?;
    Ok(())
}

//! `kill -9` with suppression, thresholds, retries with back-off, waits, last steps and fan-outs in flight: each window
//! counts each event once, no command begins twice, every job ends once, having done what its pipeline says, and every
//! host of a fan-out has one outcome.
//!
//! 3 rounds each, or as many as `TRIPLINE_SOAK_ROUNDS` says. A round takes as long as the waits of its jobs.

mod sweeps;

use super::{Victim, begun, counted, one_result_each, rounds};
use crate::harness::{
    AgentProcess, Outside, Random, Server, Site, cloud_event, free_port, job_of_event, until,
};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use serde_json::json;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use sweeps::{By, Sweep, Swept};
use tripline_protocol::api::JobView;
use tripline_protocol::job::Outcome;
use tripline_protocol::step::{StepReport, StepStatus};
use tripline_protocol::{HostId, JobId};

const ROUNDS: u64 = 3;
/// Events of one round.
const EVENTS: u64 = 40;
/// How many of them are published at the same time.
const AT_ONCE: usize = 8;
/// Keys of one pipeline's windows that events of a round have; a window lasts for two rounds, over the kills of both.
const KEYS: u64 = 6;
const AGENTS: usize = 3;
/// How long after an event somebody dies at the latest: by then jobs of the round are at each of their stages.
const LATEST: u64 = 2_500;

/// How often a pipeline acts on a key at most.
const WORK_ACTS: usize = 2;
/// From which event on the other one acts, once.
const STEADY_FROM: usize = 3;

/// `work` fails always, is tried again step by step and as a whole, and clears up; `steady` succeeds.
const PIPELINES: &str = r#"
name: work
on: [soak.work]
suppress: { key: "{{ event.data.key }}", max: 2, per: 7d }
job:
  retry: { attempts: 2, backoff: 400ms, on: [failed] }
  steps:
    - id: change
      create_process:
        argv: ["/bin/sh", "-c", "printf '%s\\n' \"$1\" >> \"$0\"", "{{ event.data.file }}", "{{ event.id }}"]
    - wait: 300ms
    - id: again
      delete_file: { path: "{{ event.data.file }}.missing" }
      retry: { attempts: 3, backoff: 200ms }
  finally:
    - id: end
      create_process:
        argv: ["/bin/sh", "-c", "printf '%s\\n' \"$1\" >> \"$0\"", "{{ event.data.file }}", "{{ event.id }}/end"]
---
name: steady
on: [soak.steady]
suppress: { key: "{{ event.data.key }}", min: 3, max: 1, per: 7d }
job:
  steps:
    - id: change
      create_process:
        argv: ["/bin/sh", "-c", "printf '%s\\n' \"$1\" >> \"$0\"", "{{ event.data.file }}", "{{ event.id }}"]
    - wait: 300ms
    - list_directory: { path: "/proc/self" }
  finally:
    - id: end
      create_process:
        argv: ["/bin/sh", "-c", "printf '%s\\n' \"$1\" >> \"$0\"", "{{ event.data.file }}", "{{ event.id }}/end"]
"#;

/// An event that the stream has.
#[derive(Debug, Clone)]
struct Published {
    id: String,
    pipeline: &'static str,
    key: String,
    host: HostId,
}

impl Published {
    fn job_id(&self) -> JobId {
        job_of_event("system-test", &self.id, self.pipeline, self.host)
    }
}

struct Unattended {
    server: Server,
    agents: Vec<AgentProcess>,
    hosts: Vec<HostId>,
    outside: Outside,
    counter: PathBuf,
    random: Random,
    published: Vec<Published>,
    sweeps: Vec<Sweep>,
    /// Last, because its folder goes with it.
    site: Site,
}

impl Unattended {
    async fn start(what: &str) -> Self {
        let site = Site::new().await;
        site.write("pipelines/all.yaml", PIPELINES);
        site.write("pipelines/sweep.yaml", sweeps::PIPELINE);
        site.write("jobs/hunt.yaml", sweeps::NAMED_JOB);
        let [pipelines, jobs] = ["pipelines", "jobs"].map(|folder| site.path(folder));
        let listen = format!("127.0.0.1:{}", free_port());
        let settings = [
            ("pipelines.dir", pipelines.to_str().expect("UTF-8")),
            ("jobs.dir", jobs.to_str().expect("UTF-8")),
            ("nats.embedded_listen", listen.as_str()),
        ];
        let server = Server::start(&site, &settings).await;
        let (mut agents, mut hosts) = (Vec::new(), Vec::new());
        for number in 0..AGENTS {
            let mut agent = AgentProcess::start(&site, &server, &number.to_string()).await;
            hosts.push(agent.host_id().await);
            agents.push(agent);
        }
        Self {
            counter: site.write("counter", ""),
            outside: server.outside().await,
            site,
            server,
            agents,
            hosts,
            random: Random::announced(what),
            published: Vec::new(),
            sweeps: Vec::new(),
        }
    }

    async fn run(mut self, victim: Victim) {
        for round in 0..rounds(ROUNDS) {
            self.round(round, victim).await;
            let (jobs, swept) = self.ended(victim).await;
            self.windows_counted_each_event_once(&jobs);
            self.each_did_what_its_pipeline_says(&jobs, victim);
            sweeps::check_all(&swept, &self.hosts, &jobs, &self.counter, victim);
            self.told_once(&jobs, &swept).await;
            println!(
                "{victim:?} round {round}: {} events, {} jobs and {} fan-outs so far, {} hosts of these interrupted",
                self.published.len(),
                jobs.len(),
                swept.len(),
                swept.iter().map(Swept::interrupted).sum::<u64>()
            );
        }
        self.finish(victim).await;
    }

    fn events(&mut self, round: u64) -> Vec<Published> {
        let hosts = self.hosts.clone();
        let mut below = |limit: u64| self.random.below(limit);
        let mut event = |number| Published {
            id: format!("u{round}-{number}"),
            pipeline: if below(2) > 0 { "work" } else { "steady" },
            key: format!("{}-{}", round / 2, below(KEYS)),
            host: hosts[usize::try_from(below(AGENTS as u64)).expect("small")],
        };
        (0..EVENTS).map(&mut event).collect()
    }

    /// Publishes the events of a round and begins its fan-outs while somebody is killed; all of them are decided then.
    async fn round(&mut self, round: u64, victim: Victim) {
        let events = self.events(round);
        let sweeps = [By::Pipeline, By::Submission].map(|by| Sweep::new(by, round));
        let sweeps_from = self.random.below(EVENTS);
        let at = self.random.below(EVENTS);
        let pause = Duration::from_millis(self.random.below(LATEST));
        let which = usize::try_from(self.random.below(AGENTS as u64)).expect("small");
        let api = self.server.api();
        let (server, agent) = (&mut self.server, &mut self.agents[which]);
        let (outside, counter, published) = (&self.outside, &self.counter, Cell::new(0));
        let feed = stream::iter(&events).for_each_concurrent(AT_ONCE, |event| {
            let published = &published;
            async move {
                let etype = format!("soak.{}", event.pipeline);
                let data = json!({"key": event.key, "file": counter});
                let envelope = cloud_event(&event.id, &etype, event.host, data);
                outside.publish(&etype, &envelope).await;
                published.set(published.get() + 1);
            }
        });
        let sweep = async {
            until("some are published", || published.get() >= sweeps_from).await;
            let begun = sweeps.iter().map(|sweep| sweep.begin(&api, outside, counter));
            join_all(begun).await;
        };
        let kill = async {
            until("enough is published", || published.get() >= at).await;
            // A random moment, so that a kill meets waits, back-offs and last steps; nothing is waited for.
            tokio::time::sleep(pause).await;
            let open = sweeps::open(&api).await;
            println!("{victim:?} dies while fan-outs are open: {open:?}");
            victim.dies(server, agent).await;
        };
        tokio::join!(feed, sweep, kill);
        self.published.extend(events);
        self.sweeps.extend(sweeps);
        self.outside.all_handled().await;
    }

    /// All fan-outs and all jobs there are, once they have ended.
    async fn ended(&self, victim: Victim) -> (BTreeMap<JobId, JobView>, Vec<Swept>) {
        let api = self.server.api();
        // Before the jobs: one that goes on makes more of them.
        let mut swept = Vec::new();
        for sweep in &self.sweeps {
            swept.push(sweep.ended(&api, victim).await);
        }
        let mut ended = BTreeMap::new();
        for job in api.jobs().await {
            let job = match job.state.outcome() {
                Some(_) => job,
                None => api.ended(job.job_id).await,
            };
            ended.insert(job.job_id, job);
        }
        (ended, swept)
    }

    fn windows_counted_each_event_once(&self, jobs: &BTreeMap<JobId, JobView>) {
        let mut windows: BTreeMap<(&str, &str), Vec<&Published>> = BTreeMap::new();
        for event in &self.published {
            windows
                .entry((event.pipeline, &event.key))
                .or_default()
                .push(event);
        }
        let mut known = BTreeSet::new();
        for ((pipeline, key), events) in windows {
            let acts = match pipeline {
                "work" => events.len().min(WORK_ACTS),
                _ => usize::from(events.len() >= STEADY_FROM),
            };
            let ids = events.iter().map(|event| event.job_id());
            let made: Vec<JobId> = ids.filter(|job_id| jobs.contains_key(job_id)).collect();
            assert_eq!(made.len(), acts, "{pipeline} on {key}: {events:?}");
            known.extend(made);
        }
        let of_events = jobs.values().filter(|job| job.fanout.is_none());
        assert_eq!(known.len(), of_events.count(), "a job of no event");
    }

    fn each_did_what_its_pipeline_says(&self, jobs: &BTreeMap<JobId, JobView>, victim: Victim) {
        let counted = counted(&self.counter);
        for event in &self.published {
            let times = |mark: &str| counted.get(mark).copied().unwrap_or(0);
            let (changes, ends) = (times(&event.id), times(&format!("{}/end", event.id)));
            match jobs.get(&event.job_id()) {
                Some(job) => check_job(event, job, (changes, ends), victim),
                None => assert_eq!((changes, ends), (0, 0), "{event:?} has no job"),
            }
        }
        let begun = begun(&self.agents);
        assert!(begun.len() >= jobs.len(), "the journals have the commands");
        for (command, times) in begun {
            assert_eq!(times, 1, "command {command} began more than once");
        }
    }

    async fn told_once(&self, jobs: &BTreeMap<JobId, JobView>, swept: &[Swept]) {
        let ids = jobs.keys().copied().collect();
        one_result_each(&self.outside, &ids).await;
        sweeps::one_summary_each(swept, &self.server.api(), &self.outside).await;
    }

    /// Everything dies once more and comes back: nothing runs or is published again, and nothing is left over.
    async fn finish(mut self, victim: Victim) {
        let api = self.server.api();
        api.all_slots_free().await;
        let before = (self.ended(victim).await, counted(&self.counter));
        for agent in &mut self.agents {
            agent.kill();
            agent.spawn();
        }
        self.server.crash().await;
        for host in &self.hosts {
            api.attached(*host, true).await;
        }
        self.outside = self.server.outside().await;
        self.outside.all_handled().await;
        api.all_slots_free().await;
        assert_eq!((self.ended(victim).await, counted(&self.counter)), before);
        let (jobs, swept) = &before.0;
        self.told_once(jobs, swept).await;
        assert!(self.server.terminate().await.success());
        drop(self.site);
    }
}

fn report<'a>(job: &'a JobView, id: &str) -> &'a StepReport {
    let found = job.steps.iter().find(|report| report.id == id);
    found.unwrap_or_else(|| panic!("no step {id}: {job:?}"))
}

/// What was done in the name of a job: its changes, and its last steps.
fn check_job(event: &Published, job: &JobView, (changes, ends): (usize, usize), victim: Victim) {
    let outcome = job.state.outcome().expect("it has ended");
    let detail = format!("{event:?} did {changes} changes and {ends} ends: {job:?}");
    match (event.pipeline, outcome) {
        // Each of its two tries did it once, and tried its failing step three times.
        ("work", Outcome::Failed) => {
            assert_eq!(changes, 2, "{detail}");
            assert_eq!(report(job, "again").tries, Some(3), "{detail}");
        }
        ("steady", Outcome::Succeeded) => assert_eq!(changes, 1, "{detail}"),
        (pipeline, Outcome::Interrupted) => {
            let most = if pipeline == "work" { 2 } else { 1 };
            assert!(victim == Victim::Agent && changes <= most, "{detail}");
        }
        _ => panic!("{detail}"),
    }
    match report(job, "end").status {
        StepStatus::Succeeded => assert_eq!(ends, 1, "{detail}"),
        // Nobody knows how it ended, and it is not run again.
        StepStatus::Interrupted => assert!(victim == Victim::Agent && ends <= 1, "{detail}"),
        _ => panic!("{detail}"),
    }
}

#[tokio::test]
async fn a_server_killed_with_windows_retries_and_waits_in_flight_counts_once_and_repeats_nothing() {
    Unattended::start("kill the server, unattended")
        .await
        .run(Victim::Server)
        .await;
}

#[tokio::test]
async fn an_agent_killed_with_retries_waits_and_last_steps_in_flight_begins_no_command_twice() {
    Unattended::start("kill an agent, unattended")
        .await
        .run(Victim::Agent)
        .await;
}

#[tokio::test]
async fn a_broker_killed_with_windows_retries_and_waits_in_flight_loses_and_repeats_nothing() {
    Unattended::start("kill the broker, unattended")
        .await
        .run(Victim::Broker)
        .await;
}

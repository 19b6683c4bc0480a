//! `kill -9` of server, agent and broker at random points under load: nothing acknowledged is lost, every job
//! ends once with one result, and no command that changes a host runs twice.
//!
//! 10 rounds each; `TRIPLINE_SOAK_ROUNDS` asks for more, `TRIPLINE_TEST_SEED` repeats the choices of a failed run.
//! `unattended` does the same with pipelines that count, wait, try again and clear up, and with fan-outs.

mod unattended;

use crate::harness::{
    AgentProcess, Api, Outside, Random, Server, Site, append_line, cloud_event, commands_begun, eventually,
    free_port, job_of_event, until,
};
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tripline_protocol::api::JobView;
use tripline_protocol::job::Outcome;
use tripline_protocol::{CommandId, HostId, JobId};

const ROUNDS: u64 = 10;
/// Jobs and events of one round.
const ITEMS: u64 = 60;
/// How many of them are asked for at the same time.
const AT_ONCE: usize = 8;
const AGENTS: usize = 3;

const PIPELINES: &str = r#"
name: change
on: [soak.change]
job:
  steps:
    - list_directory: { path: "/proc/self" }
    - create_process:
        argv: ["/bin/sh", "-c", "printf '%s\\n' \"$1\" >> \"$0\"", "{{ event.data.file }}", "{{ event.id }}"]
"#;
const READING: &str = r#"
name: read
on: [soak.read]
job:
  steps:
    - list_directory: { path: "/proc/self" }
"#;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Server,
    Agent,
    Broker,
}

/// One thing that is asked for, by the name it leaves in the counter file.
#[derive(Debug, Clone)]
struct Item {
    mark: String,
    host: HostId,
    changes: bool,
    by_event: bool,
}

/// A job that was accepted.
#[derive(Debug)]
struct Accepted {
    item: Item,
    job_id: JobId,
}

impl Victim {
    /// `kill -9`; what does not come back by itself is started again.
    async fn dies(self, server: &mut Server, agent: &mut AgentProcess) {
        match self {
            Victim::Server => {
                server.kill();
                server.spawn();
                server.ready().await;
            }
            Victim::Agent => {
                agent.kill();
                agent.spawn();
            }
            Victim::Broker => server.kill_broker().await,
        }
    }
}

/// How many rounds are wanted.
fn rounds(default: u64) -> u64 {
    std::env::var("TRIPLINE_SOAK_ROUNDS").map_or(default, |text| text.parse().expect("a number"))
}

/// How often each line is in a file.
fn counted(file: &Path) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for line in std::fs::read_to_string(file).expect("the counter file").lines() {
        *counted.entry(line.to_owned()).or_default() += 1;
    }
    counted
}

/// How often each command began, as the agents' journals say.
fn begun(agents: &[AgentProcess]) -> BTreeMap<CommandId, usize> {
    let mut begun: BTreeMap<CommandId, usize> = BTreeMap::new();
    for agent in agents {
        for (id, times) in commands_begun(agent.state_dir()) {
            *begun.entry(id).or_default() += times;
        }
    }
    begun
}

/// These jobs have one result each, and no other job has one.
async fn one_result_each(outside: &Outside, expected: &BTreeSet<JobId>) {
    let results = eventually("a result of every job", async || {
        let results = outside.results().await;
        expected
            .iter()
            .all(|job_id| results.contains_key(job_id))
            .then_some(results)
    })
    .await;
    for (job_id, found) in &results {
        assert!(
            expected.contains(job_id),
            "a result of a job nobody asked for: {found:?}"
        );
        assert_eq!(found.len(), 1, "one result: {found:?}");
    }
}

struct Soak {
    server: Server,
    agents: Vec<AgentProcess>,
    hosts: Vec<HostId>,
    outside: Outside,
    counter: PathBuf,
    random: Random,
    accepted: Vec<Accepted>,
    /// Last, because its folder goes with it.
    site: Site,
}

impl Soak {
    async fn start(what: &str) -> Self {
        let site = Site::new().await;
        site.write("pipelines/change.yaml", PIPELINES);
        site.write("pipelines/read.yaml", READING);
        let pipelines = site.path("pipelines");
        let listen = format!("127.0.0.1:{}", free_port());
        let settings = [
            ("pipelines.dir", pipelines.to_str().expect("UTF-8")),
            ("nats.embedded_listen", listen.as_str()),
            ("slots.total", "4"),
            ("slots.interactive_reserved", "1"),
            ("slots.jobs_reserved", "1"),
        ];
        let server = Server::start(&site, &settings).await;
        let mut agents = Vec::new();
        let mut hosts = Vec::new();
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
            accepted: Vec::new(),
        }
    }

    async fn run(mut self, victim: Victim) {
        for round in 0..rounds(ROUNDS) {
            let since = std::time::Instant::now();
            let jobs = self.round(round, victim).await;
            self.check(&jobs, victim).await;
            println!(
                "{victim:?} round {round}: {} jobs so far, {:?}",
                self.accepted.len(),
                since.elapsed()
            );
        }
        self.finish(victim).await;
    }

    fn items(&mut self, round: u64) -> Vec<Item> {
        (0..ITEMS)
            .map(|number| Item {
                mark: format!("r{round}-{number}"),
                host: self.hosts[usize::try_from(self.random.below(AGENTS as u64)).expect("small")],
                changes: self.random.below(3) > 0,
                by_event: self.random.below(2) > 0,
            })
            .collect()
    }

    /// Asks for everything while somebody is killed; returns when every accepted job of the round has ended.
    async fn round(&mut self, round: u64, victim: Victim) -> Vec<JobView> {
        let items = self.items(round);
        let count = Cell::new(0);
        let at = self.random.below(ITEMS);
        // The point itself is random; nothing waits for this time to pass.
        let pause = Duration::from_millis(self.random.below(60));
        let which = usize::try_from(self.random.below(AGENTS as u64)).expect("small");
        let feeder = Feeder {
            api: self.server.api(),
            outside: &self.outside,
            counter: &self.counter,
            accepted: &count,
        };
        let (server, agent) = (&mut self.server, &mut self.agents[which]);
        let kill = async {
            until("enough is accepted", || count.get() >= at).await;
            // A random moment, so that a kill meets every stage of the work; nothing is waited for.
            tokio::time::sleep(pause).await;
            victim.dies(server, agent).await;
        };
        let (accepted, ()) = tokio::join!(feeder.feed(items), kill);
        let api = self.server.api();
        let mut ended = Vec::new();
        for one in &accepted {
            ended.push(api.ended(one.job_id).await);
        }
        self.accepted.extend(accepted);
        ended
    }

    /// What must hold after every round.
    async fn check(&mut self, jobs: &[JobView], victim: Victim) {
        let counted = counted(&self.counter);
        let from = self.accepted.len() - jobs.len();
        for (one, job) in self.accepted[from..].iter().zip(jobs) {
            let outcome = job.state.outcome().expect("ended");
            let times = counted.get(&one.item.mark).copied().unwrap_or(0);
            let detail = format!("{one:?} ran {times} times: {job:?}");
            match outcome {
                Outcome::Succeeded => assert_eq!(times, usize::from(one.item.changes), "{detail}"),
                Outcome::Interrupted => {
                    assert!(
                        one.item.changes && victim == Victim::Agent && times <= 1,
                        "{detail}"
                    );
                }
                _ => panic!("{detail}"),
            }
        }
        assert!(counted.values().all(|times| *times == 1), "{counted:?}");
        self.one_result_each().await;
    }

    async fn one_result_each(&self) {
        let expected = self.accepted.iter().map(|one| one.job_id).collect();
        one_result_each(&self.outside, &expected).await;
    }

    /// Everything dies once more and comes back: nothing runs or is published again, and nothing is left over.
    async fn finish(mut self, victim: Victim) {
        let api = self.server.api();
        api.all_slots_free().await;
        let before = std::fs::read(&self.counter).expect("the counter file");
        for agent in &mut self.agents {
            agent.kill();
            agent.spawn();
        }
        self.server.crash().await;
        for host in &self.hosts {
            api.attached(*host, true).await;
            let job = api
                .run(*host, json!({"name": "last", "steps": [{"list_processes": {}}]}))
                .await;
            self.accepted.push(Accepted {
                item: Item {
                    mark: String::new(),
                    host: *host,
                    changes: false,
                    by_event: false,
                },
                job_id: job.job_id,
            });
        }
        api.all_slots_free().await;
        assert_eq!(before, std::fs::read(&self.counter).expect("the counter file"));
        self.outside = self.server.outside().await;
        self.one_result_each().await;
        let known: BTreeSet<JobId> = api.jobs().await.iter().map(|job| job.job_id).collect();
        let expected: BTreeSet<JobId> = self.accepted.iter().map(|one| one.job_id).collect();
        assert_eq!(
            known, expected,
            "the jobs there are and those that were asked for"
        );
        self.journals_agree(victim).await;
        assert!(self.server.terminate().await.success());
        drop(self.site);
    }

    /// The journals say what began; the counter file says what was done.
    async fn journals_agree(&self, victim: Victim) {
        let begun = begun(&self.agents);
        let counted = counted(&self.counter);
        let api = self.server.api();
        for one in self.accepted.iter().filter(|one| one.item.changes) {
            let attempts = api.job(one.job_id).await.attempt;
            let step = usize::from(one.item.by_event);
            let times: usize = (0..=attempts)
                .filter_map(|attempt| begun.get(&CommandId::derive(one.job_id, step, attempt)))
                .sum();
            assert!(times <= 1, "a command began {times} times: {one:?}");
            let done = counted.get(&one.item.mark).copied().unwrap_or(0);
            match victim {
                Victim::Agent => assert!(done <= times, "{one:?} was done and is in no journal"),
                Victim::Server | Victim::Broker => assert_eq!(done, times, "{one:?}"),
            }
        }
    }
}

/// Asks for things until they are accepted, as a program would whose server may go away.
struct Feeder<'a> {
    api: Api,
    outside: &'a Outside,
    counter: &'a Path,
    accepted: &'a Cell<u64>,
}

impl Feeder<'_> {
    async fn feed(&self, items: Vec<Item>) -> Vec<Accepted> {
        let accepted = stream::iter(items)
            .map(|item| self.ask(item))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        // So that whoever waits for the last one goes on.
        self.accepted.set(ITEMS);
        accepted
    }

    async fn ask(&self, item: Item) -> Accepted {
        let job_id = match item.by_event {
            true => self.publish(&item).await,
            false => self.submit(&item).await,
        };
        self.accepted.set(self.accepted.get() + 1);
        Accepted { item, job_id }
    }

    async fn submit(&self, item: &Item) -> JobId {
        let step = match item.changes {
            true => json!({"create_process": append_line(self.counter, &item.mark)}),
            false => json!({"list_directory": {"path": "/proc/self"}}),
        };
        let request = json!({"host": item.host, "job": {"name": "soak", "steps": [step]}, "idempotency_key": item.mark});
        let answer = eventually("the job is accepted", async || {
            let answer = self.api.try_post("/v1/jobs", &request).await?;
            (answer.status == 201).then_some(answer)
        })
        .await;
        serde_json::from_value(answer.body["job_id"].clone()).expect("a job id")
    }

    async fn publish(&self, item: &Item) -> JobId {
        let pipeline = if item.changes { "change" } else { "read" };
        let etype = format!("soak.{pipeline}");
        let data: Value = json!({"file": self.counter});
        self.outside
            .publish(&etype, &cloud_event(&item.mark, &etype, item.host, data))
            .await;
        job_of_event("system-test", &item.mark, pipeline, item.host)
    }
}

#[tokio::test]
async fn a_server_killed_at_random_points_under_load_loses_nothing_and_repeats_nothing() {
    Soak::start("kill the server").await.run(Victim::Server).await;
}

#[tokio::test]
async fn an_agent_killed_at_random_points_under_load_runs_no_changing_command_twice() {
    Soak::start("kill an agent").await.run(Victim::Agent).await;
}

#[tokio::test]
async fn a_broker_killed_at_random_points_under_load_loses_no_event_and_no_result() {
    Soak::start("kill the broker").await.run(Victim::Broker).await;
}

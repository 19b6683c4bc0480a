//! `kill -9` of the server with everything under way that LimaCharlie's services have to do with: calls of the cloud, which trip
//! pipelines with jobs, messages for services that behave, that ask again and that die, and ticks of the clock. No call is handled
//! twice, every service hears of everything, under one `mid`, and no tick is left out or made twice.
//!
//! 3 rounds; `TRIPLINE_SOAK_ROUNDS` asks for more, `TRIPLINE_TEST_SEED` repeats the choices of a failed run. Each round is an hour
//! of the server's clock, and a host that was not seen for 30 days has no ticks: 700 rounds are the most.

mod clock;
mod cloud;
mod listener;
mod ticks;

use crate::harness::scripted::connection::Account;
use crate::harness::{AgentProcess, Outside, PATIENCE, Random, Server, Site, eventually, free_port};
use crate::scene::service;
use clock::Clock;
use cloud::{BAD, Cloud, Detection, ODD, OID, SID};
use futures_util::stream::{self, StreamExt};
use listener::{Listener, Nature};
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ticks::Ticks;
use tripline_protocol::job::Outcome;
use tripline_protocol::{HostId, JobId, Span};
use uuid::Uuid;

const ROUNDS: u64 = 3;
/// Detections of a round.
const DETECTIONS: u64 = 24;
/// How many of them are told at the same time.
const AT_ONCE: usize = 8;
/// Hosts that have ticks and no agent.
const IDLE: usize = 30;
/// How far the clock goes in a round. By less than a period: of two ticks that are due at once only the last is made, and a round
/// may last for the rest of it.
const TURN: Span = Span::from_secs(3000);

/// `answer` for detections, on the sensor that is an agent's host; `hourly` for the ticks of the only host of its platform.
fn pipelines(counter: &str) -> String {
    let job = format!(
        r#"
job:
  steps:
    - create_process: {{ argv: ["/bin/sh", "-c", "printf '%s\\n' \"$1\" >> \"$0\"", "{counter}", "{{{{ event.id }}}}"] }}
"#
    );
    format!(
        "name: answer\non: [detection]\nwhen: event.data.cat == \"{BAD}\"{job}---\n\
         name: hourly\non: [sensor_per_1h]\nwhen: host.platform == \"linux\"{job}"
    )
}

/// When the server dies.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// When so many calls of the round were answered.
    Calls(u64),
    /// When the service that behaves was told so much in it: detections, then ticks.
    Messages(u64),
    /// So long after the clock was turned: once a second it is looked who is due.
    After(Duration),
}

impl Moment {
    fn random(random: &mut Random) -> Self {
        match random.below(3) {
            0 => Self::Calls(random.below(DETECTIONS)),
            1 => Self::Messages(random.below(DETECTIONS + IDLE as u64 / 2)),
            _ => Self::After(Duration::from_millis(random.below(1200))),
        }
    }
}

/// Waits without a pause between two looks: what is waited for is over in milliseconds.
async fn at_once(holds: impl Fn() -> bool) {
    let look = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    let looked = tokio::time::timeout(PATIENCE, look).await;
    looked.expect("so much is under way");
}

struct Soak {
    server: Server,
    clock: Clock,
    cloud: Cloud,
    outside: Outside,
    listeners: Vec<Listener>,
    /// Of the cloud's org, and of our own.
    agents: [AgentProcess; 2],
    sensor: HostId,
    own: HostId,
    everybody: BTreeSet<String>,
    /// From when on none of their ticks may be left out. In the beginning the clock may be turned twice between two of the server's
    /// looks, and of two ticks that are due at once only the last is made.
    since: BTreeMap<String, u64>,
    counter: PathBuf,
    random: Random,
    accepted: Vec<Detection>,
    /// Last, because its folder goes with it.
    site: Site,
}

impl Soak {
    async fn start() -> Self {
        let site = Site::new().await;
        let counter = site.write("counter", "");
        site.write("pipelines/all.yaml", pipelines(counter.to_str().expect("UTF-8")));
        let pipelines = site.path("pipelines");
        let config = site.write("tripline.toml", "");
        let listen = format!("127.0.0.1:{}", free_port());
        let settings = [
            ("pipelines.dir", pipelines.to_str().expect("UTF-8")),
            ("nats.embedded_listen", listen.as_str()),
            ("limacharlie.secret", cloud::SECRET),
            // Of all that it did it is asked in every round.
            ("jobs.retain", "60d"),
        ];
        let clock = Clock::new(&site);
        let mut server = Server::prepare(&site, &settings);
        clock.wind(&mut server);
        server.set_config(&config);
        server.spawn();
        server.ready().await;
        let cloud = Cloud::new(&server.url());
        // Before any service listens: until then ticks of the org would be ours.
        let deadline = clock.deadline();
        cloud.tell("org_install", "install", json!({}), deadline).await;
        let (sensor_agent, sensor) = linked(&site, &server, &cloud, deadline).await;
        let mut own_agent = AgentProcess::start(&site, &server, "own").await;
        let own = own_agent.host_id().await;
        let mut hosts = idle(&server).await;
        hosts.push(own);
        let listeners = listeners().await;
        let services = listeners.iter().map(|listener| {
            let orgs = format!("orgs = [\"default\", {OID:?}]\n");
            service(listener.name.as_str(), &listener.peer, &orgs)
        });
        std::fs::write(&config, services.collect::<String>()).expect("written");
        Self {
            outside: server.outside().await,
            everybody: ticks::everybody(&listeners, &hosts),
            agents: [sensor_agent, own_agent],
            server,
            clock,
            cloud,
            listeners,
            sensor,
            own,
            since: BTreeMap::new(),
            counter,
            random: Random::announced("kill the server beside services"),
            accepted: Vec::new(),
            site,
        }
    }

    async fn run(mut self) {
        self.installed().await;
        self.begin().await;
        for round in 0..rounds() {
            let since = std::time::Instant::now();
            self.round(round).await;
            let ticks = self.settled().await;
            self.check(&ticks).await;
            println!(
                "round {round}: {} detections and {} messages to {} so far, {:?}",
                self.accepted.len(),
                self.listeners[0].count(),
                self.listeners[0].name,
                since.elapsed()
            );
        }
        self.finish().await;
    }

    async fn installed(&self) {
        let api = self.server.api();
        for listener in &self.listeners {
            eventually("it is installed", async || {
                let answer = api.try_get(&format!("/v1/services/{}", listener.name)).await?;
                let orgs = &answer.body["installations"];
                let both = ["default", OID].iter().all(|org| orgs[*org] == "installed");
                both.then_some(())
            })
            .await;
        }
    }

    /// Until everybody had a tick: from then on it is known when each has the next.
    async fn begin(&mut self) {
        // That of a pipeline, whose clock was there from the start. When it is made, the services were heard of, and their clocks
        // begin at the latest.
        let known = BTreeSet::from([format!("sensor_per_1h/{}", self.own)]);
        for by in [Span::from_secs(3700), TURN, TURN] {
            self.clock.turn(by);
            let ticks = self.ticked(&known).await;
            for job_id in self.expected(&ticks) {
                self.server.api().ended(job_id).await;
            }
        }
        self.since = self.ticked(&self.everybody).await.last();
    }

    fn detections(&mut self, round: u64) -> Vec<Detection> {
        let mut below = |limit: u64| self.random.below(limit);
        let mut detection = |number| {
            let cat = if below(2) > 0 { BAD } else { ODD };
            let other = Uuid::from_u128(u128::from(below(3)) + 1).to_string();
            Detection {
                mid: format!("r{round}-{number}"),
                cat,
                sid: if cat == BAD { SID.to_owned() } else { other },
                impatient: (below(3) == 0).then(|| Duration::from_millis(1 + below(20))),
            }
        };
        (0..DETECTIONS).map(&mut detection).collect()
    }

    /// An hour passes, detections come, a service is down, and the server dies in the midst of it.
    async fn round(&mut self, round: u64) {
        let detections = self.detections(round);
        let moment = Moment::random(&mut self.random);
        self.listeners.iter().for_each(|listener| listener.set_down(true));
        let good = &self.listeners[0];
        let before = good.count();
        self.clock.turn(TURN);
        let deadline = self.clock.deadline();
        let (accepted, cloud) = (Cell::new(0), &self.cloud);
        let tell = stream::iter(&detections).for_each_concurrent(AT_ONCE, |detection| {
            let accepted = &accepted;
            async move {
                cloud.detect(detection, deadline).await;
                accepted.set(accepted.get() + 1);
            }
        });
        let server = &mut self.server;
        let kill = async {
            let messages = || (good.count() - before) as u64;
            match moment {
                Moment::Calls(count) => at_once(|| accepted.get() >= count).await,
                Moment::Messages(count) => at_once(|| messages() >= count).await,
                // A random moment; nothing is waited for.
                Moment::After(pause) => tokio::time::sleep(pause).await,
            }
            let (messages, accepted) = (messages(), accepted.get());
            println!("{moment:?}: it dies after {accepted} detections and {messages} messages");
            server.crash().await;
        };
        tokio::join!(tell, kill);
        self.accepted.extend(detections);
        self.listeners
            .iter()
            .for_each(|listener| listener.set_down(false));
    }

    /// All of these had the tick that was due last.
    async fn ticked(&self, whose: &BTreeSet<String>) -> Ticks {
        eventually("the last ticks that were due", async || {
            let ticks = Ticks::read(&self.outside).await;
            ticks.are_up_to(self.clock.now(), whose).then_some(ticks)
        })
        .await
    }

    /// Nothing of the round is under way any more; the ticks so far.
    async fn settled(&self) -> Ticks {
        let ticks = self.ticked(&self.everybody).await;
        let api = self.server.api();
        for listener in &self.listeners {
            let should = self.told_to(listener, &ticks);
            eventually(&format!("{} heard of everything", listener.name), async || {
                if listener.done().is_superset(&should) {
                    return Some(());
                }
                // Its pauses are for services that are down for longer.
                api.post(&format!("/v1/services/{}/retry", listener.name), &json!({}))
                    .await;
                None
            })
            .await;
        }
        for job_id in self.expected(&ticks) {
            api.ended(job_id).await;
        }
        self.outside.all_handled().await;
        ticks
    }

    /// Etypes and `mid`s that a service should say yes to.
    fn told_to(&self, listener: &Listener, ticks: &Ticks) -> BTreeSet<(String, String)> {
        let detections = self.mids(listener).into_values();
        let detections = detections.map(|mid| ("detection".to_owned(), mid));
        ticks.told_to(listener).into_iter().chain(detections).collect()
    }

    /// The `mid` under which the service is to hear of each detection.
    fn mids(&self, listener: &Listener) -> BTreeMap<String, String> {
        let mid = |one: &Detection| (one.mid.clone(), listener.mid(one.key(), "detection"));
        self.accepted.iter().map(mid).collect()
    }

    /// The jobs that there should be.
    fn expected(&self, ticks: &Ticks) -> BTreeSet<JobId> {
        let hourly = "hourly".parse().expect("a name");
        let of_tick = |id: String| JobId::derive(ticks::key(&id), &hourly, self.own, 0);
        let of_ticks = ticks.of_host(self.own).into_iter().map(of_tick);
        let of_detections = self.accepted.iter().filter_map(|one| one.job_id(self.sensor));
        of_ticks.chain(of_detections).collect()
    }

    /// `ticks` are those that were there when all was settled. The clock goes on, and more may be made meanwhile.
    async fn check(&self, ticks: &Ticks) {
        self.answers_are_the_same().await;
        ticks.are_one_a_period(&self.since);
        for listener in &self.listeners {
            let done = listener.done();
            let later = Ticks::read(&self.outside).await;
            let [least, most] = [ticks, &later].map(|ticks| self.told_to(listener, ticks));
            within(&done, &least, &most, listener.name.as_str());
            listener.heard_each_under_its_mid(&self.mids(listener));
            self.is_at_rest(listener).await;
        }
        self.each_was_done_once(ticks).await;
        let dead = self.outside.dead_letters().await;
        assert!(dead.is_empty(), "nothing is given up: {dead:?}");
    }

    /// What was answered is answered again, and causes nothing.
    async fn answers_are_the_same(&self) {
        let deadline = self.clock.deadline();
        let from = self.accepted.len() - usize::try_from(DETECTIONS).expect("small");
        for detection in &self.accepted[from..] {
            let answer = self.cloud.detect(detection, deadline).await;
            assert_eq!(answer, json!({ "success": true, "data": {} }), "{detection:?}");
        }
    }

    async fn is_at_rest(&self, listener: &Listener) {
        let path = format!("/v1/services/{}", listener.name);
        let api = self.server.api();
        let view = eventually("nothing waits", async || {
            let view = api.get(&path).await.body;
            (view["waiting"] == 0 && view["calls"] == 0).then_some(view)
        })
        .await;
        assert_eq!(view["given_up"], 0, "{view}");
    }

    /// One event and one job for each `mid` and each tick, and each job did its work once.
    async fn each_was_done_once(&self, ticks: &Ticks) {
        let told: Vec<String> = detections_of(&self.outside).await;
        let mut sent: Vec<String> = self.accepted.iter().map(|one| one.mid.clone()).collect();
        sent.sort();
        assert_eq!(told, sent, "events of detections");
        let least = self.expected(ticks);
        let results = eventually("a result of every job", async || {
            let results = self.outside.results().await;
            least
                .iter()
                .all(|job| results.contains_key(job))
                .then_some(results)
        })
        .await;
        assert!(results.values().all(|of_one| of_one.len() == 1), "{results:?}");
        let jobs = self.server.api().jobs().await;
        for job in jobs.iter().filter(|job| least.contains(&job.job_id)) {
            assert_eq!(job.state.outcome(), Some(Outcome::Succeeded), "{job:?}");
        }
        let counted = counted_once(&self.counter);
        let later = Ticks::read(&self.outside).await;
        let most = self.expected(&later);
        within(&results.into_keys().collect(), &least, &most, "results");
        let known = jobs.iter().map(|job| job.job_id).collect();
        within(&known, &least, &most, "jobs");
        let [least, most] = [ticks, &later].map(|ticks| self.changes(ticks));
        within(&counted, &least, &most, "what was done");
    }

    /// What jobs should leave in the counter file.
    fn changes(&self, ticks: &Ticks) -> BTreeSet<String> {
        let bad = self.accepted.iter().filter(|one| one.cat == BAD);
        let of_detections = bad.map(|one| one.mid.clone());
        of_detections.chain(ticks.of_host(self.own)).collect()
    }

    /// It dies once more and comes back: nothing is done or told again that was, and nothing is left over.
    async fn finish(mut self) {
        self.server.crash().await;
        for host in [self.sensor, self.own] {
            self.server.api().attached(host, true).await;
        }
        let ticks = self.settled().await;
        self.check(&ticks).await;
        assert!(self.server.terminate().await.success());
        drop((self.agents, self.site));
    }
}

fn rounds() -> u64 {
    std::env::var("TRIPLINE_SOAK_ROUNDS").map_or(ROUNDS, |text| text.parse().expect("a number"))
}

/// The lines of the file, none of which is there twice.
fn counted_once(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).expect("the counter file");
    let counted: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(counted.len(), text.lines().count(), "{text}");
    counted
}

/// At least these are there, and no others than those.
fn within<T: Ord + Debug>(found: &BTreeSet<T>, least: &BTreeSet<T>, most: &BTreeSet<T>, what: &str) {
    let lost: Vec<&T> = least.difference(found).collect();
    let more: Vec<&T> = found.difference(most).collect();
    assert!(
        lost.is_empty() && more.is_empty(),
        "{what}: lost {lost:?}, nobody asked for {more:?}"
    );
}

/// The `mid`s of the events of the cloud's detections, in order, each as often as it is in the stream.
async fn detections_of(outside: &Outside) -> Vec<String> {
    let messages = ticks::events(outside).await.into_iter();
    let subject = format!("tripline.events.{OID}.detection");
    let of_cloud = messages.filter(|message| message.subject.as_str() == subject);
    let mut mids: Vec<String> = of_cloud
        .map(|message| {
            let event: Value = serde_json::from_slice(&message.payload).expect("JSON");
            event["id"].as_str().expect("an id").to_owned()
        })
        .collect();
    mids.sort();
    mids
}

/// An agent of the cloud's org whose host is the sensor.
async fn linked(site: &Site, server: &Server, cloud: &Cloud, deadline: i64) -> (AgentProcess, HostId) {
    let sensor = json!({ "sid": SID, "hostname": "web", "platform": "linux" });
    cloud.tell("new_sensor", "sensor", sensor, deadline).await;
    let api = server.api();
    let token = json!({ "name": "t", "role": "enrol", "org": OID });
    let token = api.create_token(token).await;
    let mut agent = AgentProcess::prepare(site, &server.url(), &token, "sensor");
    agent.spawn();
    let host = agent.host_id().await;
    api.attached(host, true).await;
    let path = format!("/v1/hosts/{host}/link?org={OID}");
    let answer = api.post(&path, &json!({ "littlebrother": SID })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    (agent, host)
}

/// Hosts that are known, and never here.
async fn idle(server: &Server) -> Vec<HostId> {
    let token = server.api().enrol_token().await;
    let mut hosts = Vec::new();
    for number in 0..IDLE {
        let account = Account::enrol(&server.url(), &token, &format!("idle-{number}"), "windows").await;
        hosts.push(account.expect("an enrolment").enrolled.host_id);
    }
    hosts
}

async fn listeners() -> Vec<Listener> {
    vec![
        Listener::start("good", Nature::Good).await,
        Listener::start("again", Nature::Again).await,
        Listener::start("mortal", Nature::Mortal).await,
    ]
}

#[actix_web::test]
async fn a_server_killed_amid_calls_deliveries_and_ticks_loses_skips_and_repeats_nothing() {
    Soak::start().await.run().await;
}

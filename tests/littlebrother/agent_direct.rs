//! Our agent and the real server: what the server's database says of it.

use crate::harness::{Site, eventually, until};
use crate::peers::{IMPATIENT_SECONDS, PATIENT_SECONDS, Person, RealServer, Rule, Wire};
use crate::watching_agent::WatchingAgent;
use rustix::process::Signal;
use serde_json::Value;
use std::time::Duration;

const NAME: &str = "haydn.music.example";
/// Longer than a client may oversleep (5 s) before it takes the time as downtime, and longer than it may be without
/// a server.
const SLEEP: Duration = Duration::from_secs(IMPATIENT_SECONDS + 2);

/// Everything at work.
struct Scene {
    agent: WatchingAgent,
    wire: Wire,
    server: RealServer,
    person: Person,
    /// Last, because its folder goes with it.
    site: Site,
}

impl Scene {
    async fn start(rule: Rule) -> Self {
        Self::start_with(rule, PATIENT_SECONDS).await
    }

    async fn start_with(rule: Rule, silence_seconds: u64) -> Self {
        let site = Site::new().await;
        let person = Person::new(&site);
        let server = RealServer::start_with(&site, &[(&person, rule)], silence_seconds).await;
        let wire = Wire::to(&server.url()).await;
        let mut scene = Self {
            agent: WatchingAgent::direct(&site, NAME, wire.url()),
            wire,
            server,
            person,
            site,
        };
        scene.got(0, "UPDATE_LOGIN_MAPPING").await;
        scene
    }

    /// Waits until the agent got an event of this type after so many exchanges.
    async fn got(&mut self, after: usize, event_type: &str) {
        until(&format!("the agent gets {event_type}"), || {
            self.agent.must_run();
            let exchanges = self.wire.exchanges();
            let mut new = exchanges.iter().skip(after);
            new.any(|one| one.delivered && !one.got(event_type).is_empty())
        })
        .await;
    }

    async fn is_open(&self, pid: u32) -> Value {
        self.server
            .process_of(NAME, pid, "is open", |row| row["end_time"].is_null())
            .await
    }

    async fn is_closed(&self, pid: u32) -> Value {
        self.server
            .process_of(NAME, pid, "is closed", |row| !row["end_time"].is_null())
            .await
    }
}

#[tokio::test]
async fn the_real_server_takes_the_agent_for_one_of_its_clients() {
    let mut scene = Scene::start(Rule::Free).await;
    let first = scene.wire.exchanges().remove(0);
    assert_eq!(first.sent("START_CLIENT").len(), 1, "{first:?}");
    let stats = first.message["client_stats"].as_object().expect("statistics");
    assert_eq!(stats.len(), 9, "{stats:?}");
    assert!(stats.values().all(|value| !value.is_null()), "{stats:?}");
    let events = first.message["events"].as_array().expect("a list");
    assert!(
        events
            .iter()
            .all(|event| event.as_object().is_some_and(|event| event.len() == 15)),
        "{events:?}"
    );

    // It starts and ends.
    let game = scene.person.play();
    let entry = scene.is_open(game.pid).await;
    assert_eq!(entry["username"], scene.person.login);
    assert_eq!(entry["processname"], *game.name);
    game.quit();
    scene.is_closed(game.pid).await;
    assert_eq!(scene.server.processes(NAME).len(), 1, "one entry for one process");

    // The view that an error in one client's statistics makes unusable for all.
    let page = scene.server.topology().await;
    assert!(page.contains(NAME), "{page}");
    assert!(
        page.contains(stats["version"].as_str().expect("a version")),
        "{page}"
    );
    assert!(
        page.contains(stats["linux_distribution"].as_str().expect("a name")),
        "{page}"
    );

    // At a clean stop everything is closed, although it goes on.
    let game = scene.person.play();
    scene.is_open(game.pid).await;
    assert!(scene.agent.process().terminate().await.success());
    scene.is_closed(game.pid).await;
    assert!(game.is_running());
}

#[tokio::test]
async fn the_agent_ends_a_prohibited_process_when_the_real_server_says_so() {
    let mut scene = Scene::start(Rule::Free).await;
    let bad = scene.person.misbehave();
    bad.ended().await;
    let reports = scene.server.events(NAME, "PROHIBITED_PROCESS");
    assert!(reports.iter().any(|event| event["pid"] == bad.pid), "{reports:?}");
    scene.got(0, "KILL_PROCESS").await;
    assert!(scene.server.processes(NAME).is_empty());
}

#[tokio::test]
async fn the_agent_ends_what_a_rule_of_the_real_server_forbids_after_its_delay() {
    let scene = Scene::start(Rule::Never).await;
    let game = scene.person.play();
    game.ended().await;
    scene.is_closed(game.pid).await;
    // The table knows before the answer that completes the exchange is through.
    until("the end is told on the wire", || {
        let exchanges = scene.wire.exchanges();
        exchanges.iter().any(|one| !one.sent("PROCESS_END").is_empty())
    })
    .await;
    let exchanges = scene.wire.exchanges();
    let kills: Vec<&Value> = exchanges.iter().flat_map(|one| one.got("KILL_PROCESS")).collect();
    assert!(kills.iter().all(|kill| kill["delay"] == 4), "{kills:?}");
    assert!(
        kills.len() >= 2,
        "it is repeated during its delay, and that is no other kill: {kills:?}"
    );
}

#[tokio::test]
async fn the_real_servers_table_heals_when_a_killed_agent_comes_back() {
    let mut scene = Scene::start(Rule::Free).await;
    let (lost, kept) = (scene.person.play(), scene.person.play());
    scene.is_open(lost.pid).await;
    scene.is_open(kept.pid).await;
    scene.agent.kill();
    lost.quit();
    lost.ended().await;
    let before = scene.wire.count();
    scene.agent.spawn();
    scene.is_closed(lost.pid).await;
    eventually("it announces what lives", async || {
        let exchanges = scene.wire.exchanges();
        let mut sent = exchanges
            .iter()
            .skip(before)
            .flat_map(|one| one.sent("PROCESS_START"));
        sent.any(|event| event["pid"] == kept.pid).then_some(())
    })
    .await;
    scene.is_open(kept.pid).await;
    assert_eq!(
        scene.server.processes(NAME).len(),
        2,
        "the same entries as before"
    );
}

#[tokio::test]
async fn the_agent_announces_everything_to_a_real_server_that_was_killed() {
    let mut scene = Scene::start(Rule::Free).await;
    let (lost, kept) = (scene.person.play(), scene.person.play());
    scene.is_open(lost.pid).await;
    scene.is_open(kept.pid).await;
    scene.server.kill();
    lost.quit();
    let before = scene.wire.count();
    scene.server.spawn().await;
    scene.got(before, "START_MASTER").await;
    scene.is_closed(lost.pid).await;
    eventually("it announces what is open", async || {
        let exchanges = scene.wire.exchanges();
        let mut sent = exchanges
            .iter()
            .skip(before)
            .flat_map(|one| one.sent("PROCESS_START"));
        sent.any(|event| event["pid"] == kept.pid).then_some(())
    })
    .await;
    scene.is_open(kept.pid).await;
}

#[tokio::test]
async fn an_agent_that_was_suspended_tells_the_real_server_how_long() {
    let site = Site::new().await;
    let person = Person::new(&site);
    let game = person.play();
    let server = RealServer::start_with(&site, &[(&person, Rule::Free)], IMPATIENT_SECONDS).await;
    let wire = Wire::to(&server.url()).await;
    let mut agent = WatchingAgent::prepare_direct(&site, NAME, wire.url());
    // So that nothing but its message is to be done when it is stopped.
    agent.set("TRIPLINE_AGENT_SCAN_INTERVAL", "10m");
    agent.spawn();
    let is_open = |row: &Value| row["end_time"].is_null();
    server.process_of(NAME, game.pid, "is open", is_open).await;
    wire.hold_answers(true);
    until("a message is under way", || wire.held() > 0).await;
    agent.process().signal(Signal::STOP);
    // The time itself is what is tested: only an agent that slept this long has something to tell.
    tokio::time::sleep(SLEEP).await;
    wire.hold_answers(false);
    agent.process().signal(Signal::CONT);
    let told = |row: &Value| row["downtime"].as_u64().is_some_and(|seconds| seconds > 0);
    let entry = server.process_of(NAME, game.pid, "has a downtime", told).await;
    assert!(is_open(&entry), "{entry}");
    assert!(game.is_running(), "time asleep is no time without a server");
}

#[tokio::test]
async fn a_short_cut_of_the_network_loses_no_event_and_ends_nothing() {
    let scene = Scene::start(Rule::Free).await;
    let game = scene.person.play();
    scene.is_open(game.pid).await;
    scene.wire.cut(true);
    let short = scene.person.play();
    // It has to be found by a scan, of which nothing outside the agent tells.
    tokio::time::sleep(Duration::from_secs(3)).await;
    short.quit();
    short.ended().await;
    scene.wire.cut(false);
    scene.is_closed(short.pid).await;
    assert!(game.is_running());
}

#[tokio::test]
async fn an_agent_without_a_server_ends_what_it_watches() {
    let scene = Scene::start_with(Rule::Free, IMPATIENT_SECONDS).await;
    let game = scene.person.play();
    scene.is_open(game.pid).await;
    scene.wire.cut(true);
    game.ended().await;
    scene.wire.cut(false);
    scene.is_closed(game.pid).await;
}

#[tokio::test]
async fn the_agent_says_that_its_secret_is_wrong_and_leaves_no_trace_on_the_real_server() {
    let scene = Scene::start(Rule::Free).await;
    let wire = Wire::to(&scene.server.url()).await;
    let mut stranger =
        WatchingAgent::prepare_direct_with(&scene.site, "stranger", wire.url(), "not the secret");
    stranger.spawn();
    until("it was refused twice", || wire.count() >= 2).await;
    assert!(wire.exchanges().iter().all(|one| one.status == 401));
    stranger.process().says("secret").await;
    assert!(stranger.process().has_ended().is_none(), "it goes on trying");
    assert!(scene.server.events("stranger", "START_CLIENT").is_empty());
}

//! Our agent and Tripline: its process watcher reports over the agent's own channel, as a LittleBrother client would.

use crate::harness::{Site, eventually};
use crate::peers::{IMPATIENT_SECONDS, Person};
use crate::tripline::{Settings, Tripline};
use crate::watching_agent::WatchingAgent;
use rustix::process::Signal;
use serde_json::Value;
use std::time::Duration;
use tripline_protocol::HostId;
use tripline_protocol::api::HostView;

/// Longer than a client may oversleep (5 s) before it takes the time as downtime, and longer than it may be without
/// a server.
const SLEEP: Duration = Duration::from_secs(IMPATIENT_SECONDS + 2);

/// A job runs only for what the agent itself vouches for.
const ATTESTED: &str = r#"
name: attested
on: [PROCESS_START]
when: event.attested_by == "agent" && host.platform == "linux"
job:
  steps:
    - id: look
      list_processes: {}
"#;

/// Everything at work.
struct Scene {
    agent: WatchingAgent,
    host: HostId,
    tripline: Tripline,
    person: Person,
    /// Last, because its folder goes with it.
    _site: Site,
}

impl Scene {
    async fn start(pipelines: &[&str]) -> Self {
        Self::start_with(|settings| settings, pipelines).await
    }

    async fn start_with(change: impl FnOnce(Settings) -> Settings, pipelines: &[&str]) -> Self {
        let site = Site::new().await;
        let person = Person::new(&site);
        let tripline = Tripline::start(&site, &change(Settings::of(&person)), pipelines).await;
        let mut agent = WatchingAgent::over_channel(&site, &tripline.server, &tripline.url()).await;
        let host = agent.host_id().await;
        tripline.api().attached(host, true).await;
        Self {
            agent,
            host,
            tripline,
            person,
            _site: site,
        }
    }

    /// Waits until so many of its processes are open.
    async fn open_processes(&self, count: u32) -> HostView {
        eventually(&format!("{count} open processes"), async || {
            let host = self.tripline.api().host(self.host).await?;
            let open = host.littlebrother.as_ref()?.processes_open;
            (open == count).then_some(host)
        })
        .await
    }
}

#[tokio::test]
async fn an_agent_is_a_client_without_any_configuration_of_its_own() {
    let mut scene = Scene::start(&[ATTESTED]).await;
    let game = scene.person.play();
    let started = scene.tripline.events_of("PROCESS_START", game.pid).await;
    assert_eq!(started.len(), 1, "{started:?}");
    assert_eq!(started[0].host, Some(scene.host));
    assert_eq!(started[0].data["username"], scene.person.login);
    let job = scene.tripline.job_succeeds("attested").await;
    assert_eq!(job.host.host_id, scene.host);

    let host = scene.open_processes(1).await;
    let view = host.littlebrother.expect("what the topology shows");
    assert_eq!(view.host_id, scene.host, "a record of its own is not needed");
    assert!(view.client_stats.is_some_and(|stats| stats.version.is_some()));

    game.quit();
    assert_eq!(scene.tripline.events_of("PROCESS_END", game.pid).await.len(), 1);
    scene.open_processes(0).await;

    // At a clean stop everything is closed, although it goes on.
    let game = scene.person.play();
    scene.open_processes(1).await;
    assert!(scene.agent.process().terminate().await.success());
    scene.tripline.events_of("PROCESS_END", game.pid).await;
    scene.open_processes(0).await;
    assert!(game.is_running());
}

#[tokio::test]
async fn an_agent_ends_what_is_prohibited() {
    let scene = Scene::start(&[]).await;
    let bad = scene.person.misbehave();
    bad.ended().await;
    let reported = scene.tripline.events_of("PROHIBITED_PROCESS", bad.pid).await;
    assert_eq!(reported[0].host, Some(scene.host));
}

#[tokio::test]
async fn the_table_heals_when_a_killed_agent_comes_back() {
    let mut scene = Scene::start(&[]).await;
    let (lost, kept) = (scene.person.play(), scene.person.play());
    scene.open_processes(2).await;
    scene.agent.kill();
    lost.quit();
    lost.ended().await;
    scene.agent.spawn();
    scene.tripline.events_of("PROCESS_END", lost.pid).await;
    scene.open_processes(1).await;
    assert!(kept.is_running());
}

#[tokio::test]
async fn an_agent_announces_everything_to_a_server_that_was_killed() {
    let mut scene = Scene::start(&[]).await;
    let (lost, kept) = (scene.person.play(), scene.person.play());
    scene.open_processes(2).await;
    scene.tripline.server.kill();
    lost.quit();
    let new = scene.person.play();
    scene.tripline.server.spawn();
    scene.tripline.back().await;
    scene.tripline.events_of("PROCESS_END", lost.pid).await;
    let started = scene.tripline.events_of("PROCESS_START", new.pid).await;
    assert_eq!(started.len(), 1, "{started:?}");
    scene.open_processes(2).await;
    assert!(kept.is_running());
}

#[tokio::test]
async fn an_agent_that_was_suspended_tells_how_long() {
    let mut scene = Scene::start_with(Settings::impatient, &[]).await;
    let game = scene.person.play();
    scene.open_processes(1).await;
    scene.agent.process().signal(Signal::STOP);
    // The time itself is what is tested: only an agent that slept this long has something to tell.
    tokio::time::sleep(SLEEP).await;
    scene.agent.process().signal(Signal::CONT);
    let told = scene.tripline.events_of("PROCESS_DOWNTIME", game.pid).await;
    assert!(
        told[0].data["downtime"]
            .as_u64()
            .is_some_and(|seconds| seconds > 0),
        "{told:?}"
    );
    scene.open_processes(1).await;
    assert!(game.is_running(), "time asleep is no time without a server");
}

#[tokio::test]
async fn an_agent_without_its_server_ends_what_it_watches() {
    let mut scene = Scene::start_with(Settings::impatient, &[]).await;
    let game = scene.person.play();
    scene.open_processes(1).await;
    scene.tripline.server.kill();
    game.ended().await;
    scene.tripline.server.spawn();
    scene.tripline.back().await;
    scene.tripline.events_of("PROCESS_END", game.pid).await;
    scene.open_processes(0).await;
}

#[tokio::test]
async fn changed_patterns_reach_an_agent_without_a_restart() {
    let mut scene = Scene::start(&[]).await;
    let other = scene.person.name_of("chat");
    let (game, chat) = (scene.person.play(), scene.person.run(&other));
    let open = scene.open_processes(1).await;
    let mut settings = Settings::of(&scene.person);
    settings.set_pattern(&other);
    scene.tripline.reload(&settings);
    let started = scene.tripline.events_of("PROCESS_START", chat.pid).await;
    assert_eq!(started[0].data["processname"], Value::from(other), "{open:?}");
    // What no longer counts is closed.
    scene.tripline.events_of("PROCESS_END", game.pid).await;
    scene.open_processes(1).await;
    assert!(game.is_running());
}

//! Clients that fall silent and come back.

use crate::client::{Client, attested_by, data, kill, restarted, served};
use crate::fixture::{Fixture, eventually};
use tripline_actors::store::Table;
use tripline_protocol::job::{JobState, Outcome};

async fn silent(fixture: &Fixture, count: usize) {
    fixture.published("host_silent", count).await;
}

#[actix::test]
async fn a_client_that_falls_silent_is_reported_once_and_so_is_its_return() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.arrive(&fixture, 7).await;
    fixture.advance(40);
    client.say(&fixture.core, vec![]).await;
    let last = fixture.now();
    fixture.advance(51);
    silent(&fixture, 1).await;
    let event = fixture.publisher.with(".events.default.host_silent").remove(0);
    assert_eq!(attested_by(&event), "littlebrother");
    let said = data(&event);
    assert_eq!(
        (&said["hostname"], &said["silent_s"]),
        (&"amelie-pc".into(), &51.into())
    );
    assert_eq!(said["host_id"], client.own().to_string());
    assert_eq!(said["last_message_at"], last.to_string());
    let view = fixture.core.get_host(None, "amelie-pc".into()).await.unwrap();
    assert!(view.attachments.is_empty(), "{view:?}");
    assert_eq!(
        (view.littlebrother.unwrap().last_message_at, view.last_seen_at),
        (last, last)
    );
    fixture.advance(100);
    client.say(&fixture.core, vec![]).await;
    let back = fixture.published(".events.default.host_back", 1).await.remove(0);
    assert_eq!(data(&back)["silent_s"], 151);
    fixture.advance(51);
    silent(&fixture, 2).await;
    let ids: Vec<_> = fixture
        .publisher
        .with("host_silent")
        .into_iter()
        .map(|message| message.message_id)
        .collect();
    assert_ne!(ids[0], ids[1], "each silence is an event of its own");
    assert_eq!(fixture.publisher.with("host_back").len(), 1);
    assert_eq!(fixture.core.restarts(), 0);
}

#[actix::test]
async fn one_that_says_something_in_time_is_not_reported() {
    let fixture = served();
    let (talks, dies) = (Client::new("talks"), Client::new("dies"));
    dies.say(&fixture.core, vec![]).await;
    for _ in 0..3 {
        talks.say(&fixture.core, vec![]).await;
        fixture.advance(40);
    }
    talks.say(&fixture.core, vec![]).await;
    silent(&fixture, 1).await;
    assert_eq!(
        data(&fixture.publisher.with("host_silent")[0])["hostname"],
        "dies"
    );
}

#[actix::test]
async fn a_silence_over_a_restart_is_reported_once_and_counts_from_the_restart() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.arrive(&fixture, 7).await;
    fixture.advance(45);
    let fixture = restarted(fixture).await;
    fixture.advance(45);
    let other = Client::new("other");
    other.say(&fixture.core, vec![]).await;
    fixture.advance(6);
    silent(&fixture, 1).await;
    assert_eq!(
        data(&fixture.publisher.with("host_silent")[0])["hostname"],
        "amelie-pc"
    );
    assert_eq!(fixture.rows(Table::LbAlive), 1);
    let fixture = restarted(fixture).await;
    client.say(&fixture.core, vec![]).await;
    fixture.published("host_back", 1).await;
    fixture.advance(51);
    silent(&fixture, 2).await;
    assert_eq!(fixture.rows(Table::LbAlive), 0);
}

#[actix::test]
async fn while_the_outbox_is_full_a_silence_waits_to_be_reported() {
    let mut setup = crate::fixture::Setup::default();
    setup.config.outbox_max = 10;
    let fixture = crate::client::served_with(setup);
    let client = Client::new("amelie-pc");
    client.say(&fixture.core, vec![]).await;
    fixture.published("new_sensor", 1).await;
    fixture.publisher.set_away(true);
    let starts = (0..9).map(|pid| {
        client.of_process(
            tripline_protocol::littlebrother::EventType::ProcessStart,
            pid,
            fixture.now(),
        )
    });
    client.say(&fixture.core, starts.collect()).await;
    fixture.advance(60);
    // It is looked for every 250 ms: nothing else tells that it was looked for in vain.
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(fixture.rows(Table::LbAlive), 1);
    fixture.publisher.set_away(false);
    fixture.core.broker_returned();
    fixture.published("PROCESS_START", 9).await;
    eventually("it is reported", || async {
        fixture.advance(6);
        fixture.publisher.with("host_silent").pop()
    })
    .await;
}

#[actix::test]
async fn a_client_whose_messages_are_refused_is_not_silent() {
    let mut setup = crate::fixture::Setup::default();
    setup.config.outbox_max = 10;
    let fixture = crate::client::served_with(setup);
    fixture.publisher.set_away(true);
    let (talks, dies) = (Client::new("talks"), Client::new("dies"));
    dies.say(&fixture.core, vec![]).await;
    let starts = (0..9).map(|pid| {
        talks.of_process(
            tripline_protocol::littlebrother::EventType::ProcessStart,
            pid,
            fixture.now(),
        )
    });
    talks.say(&fixture.core, starts.collect()).await;
    fixture.advance(60);
    let refused = talks.ask(&fixture.core, vec![]).await.unwrap_err();
    assert_eq!(refused.code(), "busy");
    fixture.publisher.set_away(false);
    fixture.core.broker_returned();
    eventually("the other is reported", || async {
        fixture.advance(6);
        talks.ask(&fixture.core, vec![]).await.ok()?;
        fixture.publisher.with("host_silent").pop()
    })
    .await;
    let silent = fixture.publisher.with("host_silent");
    assert_eq!((silent.len(), &data(&silent[0])["hostname"]), (1, &"dies".into()));
}

#[actix::test]
async fn a_command_under_way_at_a_client_that_stays_silent_is_interrupted() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.arrive(&fixture, 7).await;
    let job = fixture.submit(client.own(), vec![kill(7)]).await;
    client.is_told_to_kill(&fixture, 7).await;
    fixture.advance(51);
    silent(&fixture, 1).await;
    fixture.advance(31);
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Interrupted), "{view:?}");
    assert_eq!(client.kills(&fixture.core).await, [0; 0], "nobody waits for it");
}

#[actix::test]
async fn a_command_at_a_client_that_comes_back_in_time_goes_on() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.arrive(&fixture, 7).await;
    let job = fixture.submit(client.own(), vec![kill(7)]).await;
    client.is_told_to_kill(&fixture, 7).await;
    fixture.advance(51);
    silent(&fixture, 1).await;
    fixture.advance(20);
    client.ends(&fixture, 7).await;
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Succeeded), "{view:?}");
}

#[actix::test]
async fn a_silent_client_leaves_memory_and_is_heard_when_it_comes_back() {
    crate::recorder::install();
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.arrive(&fixture, 7).await;
    fixture.published("new_sensor", 1).await;
    let thread = fixture.publisher.thread.lock().unwrap().unwrap();
    let active = || async { crate::recorder::gauge(thread, "tripline_directory_hosts_active") };
    assert_eq!(active().await, Some(1.0));
    fixture.advance(51);
    silent(&fixture, 1).await;
    eventually("it leaves memory", || async {
        active().await.filter(|hosts| *hosts == 0.0)
    })
    .await;
    let view = fixture.core.get_host(None, "amelie-pc".into()).await.unwrap();
    assert_eq!(view.littlebrother.unwrap().processes_open, 1);
    client.say(&fixture.core, vec![]).await;
    fixture.published("host_back", 1).await;
}

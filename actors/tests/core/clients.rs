//! LittleBrother clients: contact, live response, crashes, refusals.

use crate::client::{Client, attested_by, data, kill, kinds, pids, restarted, served, served_with, settings};
use crate::fixture::{Fixture, Setup, eventually, list, page};
use crate::recorder;
use serde_json::json;
use tripline_actors::littlebrother::UserStatus;
use tripline_actors::store::Table;
use tripline_protocol::HostId;
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::littlebrother::EventType::{
    KillProcess, ProcessEnd, ProcessStart, ProhibitedProcess, StartClient, StartMaster, UpdateConfig,
    UpdateLoginMapping,
};
use tripline_protocol::step::Step;
use tripline_protocol::verb::Verb;

const SUCCEEDED: JobState = JobState::Ended(Outcome::Succeeded);

#[actix::test]
async fn the_first_message_makes_a_host_of_its_own_and_is_answered_with_everything_a_client_needs() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    let events = vec![client.event(StartClient, fixture.now())];
    let answer = client.say(&fixture.core, events).await;
    assert_eq!(kinds(&answer), [UpdateConfig, UpdateLoginMapping, StartMaster]);
    let view = fixture.core.get_host(None, "AMELIE-PC".into()).await.unwrap();
    assert_eq!((view.host_id, view.sensor_id), (client.own(), 1));
    assert_eq!(view.platform, "linux");
    let attachment = &view.attachments[0];
    assert_eq!((attachment.kind.as_str(), attachment.epoch), ("littlebrother", 1));
    assert_eq!(attachment.verbs, [Verb::ListProcesses, Verb::KillProcess]);
    let reported = view.littlebrother.unwrap();
    assert_eq!(
        (reported.hostname.as_str(), reported.host_id),
        ("amelie-pc", client.own())
    );
    assert_eq!((reported.active, reported.outdated), (true, Some(false)));
    let sensor = &fixture.published(".events.default.new_sensor", 1).await[0];
    assert_eq!(
        (attested_by(sensor), data(sensor)["hostname"].clone()),
        ("littlebrother", json!("amelie-pc"))
    );
    let start = &fixture.published(".events.default.START_CLIENT", 1).await[0];
    assert_eq!(attested_by(start), "littlebrother");
    assert_eq!(data(start)["hostname"], "amelie-pc");
}

#[actix::test]
async fn configuration_and_mapping_go_into_two_successive_answers() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(kinds(&client.say(&fixture.core, vec![]).await));
    }
    assert_eq!(answers[0], [UpdateConfig, UpdateLoginMapping, StartMaster]);
    assert_eq!(answers[1], [UpdateConfig, UpdateLoginMapping]);
    assert_eq!(answers[2], []);
    let mut changed = settings();
    changed.users[0].process_name_pattern = "chess".into();
    fixture.core.set_littlebrother(Some(changed));
    let answer = client.say(&fixture.core, vec![]).await;
    assert!(kinds(&answer).contains(&UpdateConfig), "{answer:?}");
}

#[actix::test]
async fn an_answer_that_was_not_written_goes_again() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    for _ in 0..3 {
        let answer = client.ask(&fixture.core, vec![]).await.unwrap();
        assert_eq!(
            kinds(&answer.events),
            [UpdateConfig, UpdateLoginMapping, StartMaster]
        );
        drop(answer);
    }
    client.say(&fixture.core, vec![]).await;
    assert_eq!(
        kinds(&client.say(&fixture.core, vec![]).await),
        [UpdateConfig, UpdateLoginMapping]
    );
}

#[actix::test]
async fn an_answer_whose_caller_went_away_goes_again() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    let message = client.message(vec![]);
    // Only begun: it is handed over, and nobody waits for the answer.
    let mut call = Box::pin(fixture.core.littlebrother_message(message));
    std::future::poll_fn(|context| {
        drop(call.as_mut().poll(context));
        std::task::Poll::Ready(())
    })
    .await;
    drop(call);
    // The next message may be there before it is seen that the answer to the first was lost.
    eventually("it is told that the server was started", || async {
        let answer = client.say(&fixture.core, vec![]).await;
        kinds(&answer).contains(&StartMaster).then_some(())
    })
    .await;
}

#[actix::test]
async fn a_prohibited_process_is_ended_by_the_same_answer() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.arrive(&fixture, 1).await;
    let event = client.of_process(ProhibitedProcess, 66, fixture.now());
    let answer = client.say(&fixture.core, vec![event]).await;
    assert_eq!(kinds(&answer), [KillProcess]);
    assert_eq!((answer[0].pid, answer[0].delay), (Some(66), 0));
    let event = &fixture.published("PROHIBITED_PROCESS", 1).await[0];
    assert_eq!(
        (&data(event)["pid"], &data(event)["username"]),
        (&json!(66), &json!("amelie"))
    );
}

#[actix::test]
async fn a_message_that_comes_again_makes_no_second_event() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    let event = client.of_process(ProcessStart, 5, fixture.now());
    client.say(&fixture.core, vec![event.clone()]).await;
    client.say(&fixture.core, vec![event.clone()]).await;
    let fixture = restarted(fixture).await;
    client.say(&fixture.core, vec![event]).await;
    client.ends(&fixture, 5).await;
    fixture.published("PROCESS_END", 1).await;
    let starts = fixture.publisher.with("PROCESS_START");
    let ids: std::collections::HashSet<_> = starts.iter().map(|message| &message.message_id).collect();
    assert!(ids.len() <= 1, "{starts:?}");
}

#[actix::test]
async fn the_processes_of_a_client_are_listed_and_ended_by_a_job() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.arrive(&fixture, 7).await;
    let job = fixture.submit(client.own(), vec![list(), kill(7)]).await;
    let told = eventually("the client is told", || async {
        let answer = client.say(&fixture.core, vec![]).await;
        (!answer.is_empty()).then_some(answer)
    })
    .await;
    assert_eq!(pids(&told), [7]);
    client.ends(&fixture, 7).await;
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, SUCCEEDED, "{view:?}");
    let listed = view.steps[0].output.as_ref().unwrap();
    assert_eq!(listed["processes"][0]["pid"], 7);
    assert_eq!(listed["processes"][0]["username"], "amelie");
    assert_eq!(view.steps[1].output, Some(json!({})));
    assert_eq!(client.kills(&fixture.core).await, [0; 0], "it is forgotten");
}

#[actix::test]
async fn what_a_client_does_not_offer_fails_at_once() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.arrive(&fixture, 7).await;
    for step in [
        Step::new(Verb::ListDirectory, json!({ "path": "/" })),
        Step::new(Verb::DeleteFile, json!({ "path": "/tmp/x" })),
    ] {
        let job = fixture.submit(client.own(), vec![step]).await;
        let view = fixture.ended(job.job_id).await;
        assert_eq!(view.state, JobState::Ended(Outcome::Failed));
        assert_eq!(view.steps[0].error.as_ref().unwrap().code, "unsupported_verb");
    }
    let job = fixture.submit(client.own(), vec![kill(8)]).await;
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.steps[0].error.as_ref().unwrap().code, "ESRCH");
}

#[actix::test]
async fn a_kill_that_is_cancelled_is_told_to_the_client_no_more() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.arrive(&fixture, 7).await;
    let job = fixture.submit(client.own(), vec![kill(7)]).await;
    client.is_told_to_kill(&fixture, 7).await;
    fixture.core.cancel_job(None, job.job_id).await.unwrap();
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Cancelled));
    fixture.advance(30);
    assert_eq!(client.kills(&fixture.core).await, [0; 0]);
}

#[actix::test]
async fn a_kill_that_leads_to_nothing_times_out() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.arrive(&fixture, 7).await;
    let job = fixture.submit(client.own(), vec![kill(7)]).await;
    client.is_told_to_kill(&fixture, 7).await;
    for _ in 0..5 {
        fixture.advance(30);
        client.say(&fixture.core, vec![]).await;
    }
    let view = fixture.ended(job.job_id).await;
    assert_eq!(
        view.steps[0].error.as_ref().unwrap().code,
        "command_timeout",
        "{view:?}"
    );
}

#[actix::test]
async fn a_kill_goes_on_after_the_core_was_restarted_and_its_job_ends_once() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.arrive(&fixture, 7).await;
    let job = fixture.submit(client.own(), vec![kill(7)]).await;
    client.is_told_to_kill(&fixture, 7).await;
    let fixture = restarted(fixture).await;
    fixture.advance(11);
    let again = client.say(&fixture.core, vec![]).await;
    assert_eq!(pids(&again), [7], "{again:?}");
    client.ends(&fixture, 7).await;
    let view = fixture.ended(job.job_id).await;
    assert_eq!((view.state, view.attempt), (SUCCEEDED, 1), "{view:?}");
    assert_eq!(fixture.published(".results.", 1).await.len(), 1);
}

#[actix::test]
async fn a_kill_whose_process_ended_while_nobody_took_note_is_done_after_a_restart() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.arrive(&fixture, 7).await;
    let job = fixture.submit(client.own(), vec![kill(7)]).await;
    client.is_told_to_kill(&fixture, 7).await;
    let ends = client.of_process(ProcessEnd, 7, fixture.now());
    let answer = client.ask(&fixture.core, vec![ends]).await;
    drop(answer);
    let fixture = restarted(fixture).await;
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, SUCCEEDED, "{view:?}");
    client.say(&fixture.core, vec![]).await;
    assert_eq!(client.kills(&fixture.core).await, [0; 0]);
}

#[actix::test]
async fn a_job_for_a_client_that_is_away_runs_when_it_is_back() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.arrive(&fixture, 7).await;
    fixture.advance(60);
    fixture.published("host_silent", 1).await;
    let job = fixture.submit(client.own(), vec![list()]).await;
    let view = fixture.core.get_job(None, job.job_id).await.unwrap();
    assert_eq!(view.waiting.unwrap().reason.code, "host_offline");
    let fixture = restarted(fixture).await;
    client.starts(&fixture, 8).await;
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, SUCCEEDED, "{view:?}");
    let listed = view.steps[0].output.as_ref().unwrap()["processes"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(listed, 2, "the table survived");
}

#[actix::test]
async fn the_table_survives_a_restart_and_says_who_is_logged_in() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.arrive(&fixture, 7).await;
    let user = || fixture.core.littlebrother_user("amelie".into());
    let here = Some(UserStatus {
        logged_in: true,
        hosts: 1,
    });
    assert_eq!(user().await.unwrap(), here);
    assert_eq!(
        fixture.core.littlebrother_user("bert".into()).await.unwrap(),
        None
    );
    client.ends(&fixture, 7).await;
    assert!(!user().await.unwrap().unwrap().logged_in);
    client.starts(&fixture, 8).await;
    let fixture = restarted(fixture).await;
    let view = fixture.core.get_host(None, "amelie-pc".into()).await.unwrap();
    assert_eq!(view.littlebrother.unwrap().processes_open, 1);
    assert!(view.attachments.is_empty(), "no message came yet");
    client.say(&fixture.core, vec![]).await;
    assert_eq!(
        fixture.core.littlebrother_user("amelie".into()).await.unwrap(),
        here
    );
}

#[actix::test]
async fn a_full_outbox_refuses_messages_and_nothing_is_changed() {
    let mut setup = Setup::default();
    setup.config.outbox_max = 10;
    let fixture = served_with(setup);
    fixture.publisher.set_away(true);
    let known = Client::new("known");
    known.say(&fixture.core, vec![]).await;
    let starts: Vec<_> = (0..8)
        .map(|pid| known.of_process(ProcessStart, pid, fixture.now()))
        .collect();
    known.say(&fixture.core, starts).await;
    let rows = |fixture: &Fixture| {
        [
            Table::Host,
            Table::LbHost,
            Table::LbProcess,
            Table::LbAlive,
            Table::Outbox,
        ]
        .map(|table| fixture.rows(table))
    };
    let before = rows(&fixture);
    let new = Client::new("new");
    let event = |client: &Client| vec![client.of_process(ProcessStart, 99, fixture.now())];
    for client in [&known, &new] {
        let refused = client.ask(&fixture.core, event(client)).await.unwrap_err();
        assert_eq!(refused.code(), "busy");
    }
    assert_eq!(rows(&fixture), before);
    fixture.publisher.set_away(false);
    fixture.core.broker_returned();
    eventually("the outbox has room", || async {
        new.ask(&fixture.core, event(&new)).await.ok()
    })
    .await;
    let view = fixture.core.get_host(None, "new".into()).await.unwrap();
    assert_eq!(view.sensor_id, 2, "no number was used up");
}

#[actix::test]
async fn nobody_is_served_while_the_dialect_is_off() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.arrive(&fixture, 7).await;
    fixture.core.set_littlebrother(None);
    assert_eq!(
        client.ask(&fixture.core, vec![]).await.unwrap_err().code(),
        "unavailable"
    );
    eventually("the client is no way to its host any more", || async {
        let view = fixture.core.get_host(None, "amelie-pc".into()).await.unwrap();
        view.attachments.is_empty().then_some(())
    })
    .await;
    assert_eq!(
        fixture.core.littlebrother_user("amelie".into()).await.unwrap(),
        None
    );
    fixture.advance(600);
    fixture.core.set_littlebrother(Some(settings()));
    client.starts(&fixture, 8).await;
    let view = fixture.core.get_host(None, "amelie-pc".into()).await.unwrap();
    assert_eq!(view.attachments[0].epoch, 2);
    fixture.published("PROCESS_START", 2).await;
    assert_eq!(
        fixture.publisher.with("host_silent").len(),
        0,
        "it was not served"
    );
}

#[actix::test]
async fn a_message_of_many_events_is_taken_whole_and_the_table_is_bounded() {
    let fixture = served();
    let client = Client::new("amelie-pc");
    let starts = (1..=10_050).map(|pid| client.of_process(ProcessStart, pid, fixture.now()));
    client.say(&fixture.core, starts.collect()).await;
    let view = fixture.core.get_host(None, "amelie-pc".into()).await.unwrap();
    assert_eq!(view.littlebrother.unwrap().processes_open, 10_000);
    fixture.published("PROCESS_START", 10_050).await;
}

#[actix::test]
async fn a_thousand_clients_are_hosts_of_their_own() {
    let fixture = served();
    let clients: Vec<Client> = (0..1000).map(|n| Client::new(&format!("pc-{n}"))).collect();
    let mut answers = Vec::new();
    for client in &clients {
        let core = fixture.core.clone();
        let message = client.message(vec![client.of_process(ProcessStart, 3, fixture.now())]);
        answers.push(actix::spawn(
            async move { core.littlebrother_message(message).await },
        ));
    }
    for answer in answers {
        answer.await.unwrap().unwrap().receipt.written();
    }
    let page = fixture.core.list_hosts(page(1000)).await.unwrap();
    let mut sensors: Vec<u32> = page.items.iter().map(|view| view.sensor_id).collect();
    sensors.sort_unstable();
    assert_eq!(sensors, (1..=1000).collect::<Vec<_>>());
    assert!(
        page.items
            .iter()
            .all(|view| view.littlebrother.as_ref().unwrap().processes_open == 1)
    );
    let user = fixture
        .core
        .littlebrother_user("amelie".into())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(user.hosts, 1000);
    assert_eq!(fixture.published("PROCESS_START", 1000).await.len(), 1000);
    let fixture = restarted(fixture).await;
    assert_eq!(fixture.enrol("with-an-agent").await.sensor_id, 1001);
    assert_eq!(fixture.rows(Table::LbAlive), 1000);
}

#[actix::test]
async fn a_client_whose_actor_panicked_is_heard_again_and_its_job_goes_on() {
    recorder::install();
    let fixture = served();
    let client = Client::new("amelie-pc");
    client.arrive(&fixture, 7).await;
    fixture.published("PROCESS_START", 1).await;
    let thread = fixture.publisher.thread.lock().unwrap().unwrap();
    let job = fixture.submit(client.own(), vec![kill(7)]).await;
    client.is_told_to_kill(&fixture, 7).await;
    recorder::arm(thread, "tripline_littlebrother_messages_total");
    let refused = client.ask(&fixture.core, vec![]).await.unwrap_err();
    assert_eq!(refused.code(), "unavailable");
    assert_eq!(fixture.core.restarts(), 0, "only its own actor is made anew");
    let ends = client.of_process(ProcessEnd, 7, fixture.now());
    eventually("it is heard again", || async {
        client.ask(&fixture.core, vec![ends.clone()]).await.ok()
    })
    .await;
    assert_eq!(fixture.ended(job.job_id).await.state, SUCCEEDED);
}

#[actix::test]
async fn numbers_of_hosts_are_given_once_whoever_comes_first() {
    let fixture = served();
    let first = fixture.enrol("with-an-agent").await;
    let client = Client::new("amelie-pc");
    client.say(&fixture.core, vec![]).await;
    let last = fixture.enrol("with-another-agent").await;
    let view = fixture
        .core
        .get_host(None, client.own().to_string())
        .await
        .unwrap();
    assert_eq!((first.sensor_id, view.sensor_id, last.sensor_id), (1, 2, 3));
    assert_ne!(view.host_id, HostId(uuid::Uuid::nil()));
}

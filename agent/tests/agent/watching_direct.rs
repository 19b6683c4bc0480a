//! The watcher straight to a LittleBrother server.

use crate::binary::{Running, agent};
use crate::littlebrother::{
    LittleBrother, Manner, SECRET, free_port, ordering, secret_file, until, watching,
};
use crate::quarry::{HOST, LOGIN, Orders, PATIENT_S, Quarry, body, is_about, kill, unique, watched_uid};
use crate::server::{InProcess, Server, command};
use crate::support::is_root;
use crate::tls::certificate;
use serde_json::json;
use std::path::Path;
use tripline_protocol::littlebrother::{EventType, LocalTime, PROCESS_HANDLER, WireEvent};
use tripline_protocol::verb::Verb;

/// A process that counts, watched by an agent that reports to a server.
struct Scene {
    server: LittleBrother,
    agent: InProcess,
    quarry: Quarry,
    /// Its `PROCESS_START`.
    started: WireEvent,
    dir: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        Self::of(Quarry::new(&unique("lbg")), PATIENT_S).await
    }

    async fn of(quarry: Quarry, silence_max_s: u64) -> Self {
        let server = ordering(&Orders {
            silence_max_s,
            ..Orders::watch(quarry.name())
        })
        .await;
        let dir = tempfile::tempdir().unwrap();
        let agent = InProcess::run(watching(&server, dir.path()));
        let started = server
            .event(
                "the process is reported",
                is_about(EventType::ProcessStart, quarry.pid()),
            )
            .await;
        Self {
            server,
            agent,
            quarry,
            started,
            dir,
        }
    }

    async fn end_reported(&self) -> WireEvent {
        let ended = is_about(EventType::ProcessEnd, self.quarry.pid());
        self.server.event("its end is reported", ended).await
    }

    fn count(&self, kind: EventType) -> usize {
        let events = self.server.events();
        events
            .iter()
            .filter(|event| is_about(kind, self.quarry.pid())(event))
            .count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_reported_from_its_start_to_its_end() {
    let mut scene = Scene::new().await;
    let started = &scene.started;
    assert_eq!(started.processname.as_deref(), Some(scene.quarry.name()));
    assert_eq!(started.username.as_deref(), Some(LOGIN));
    assert_eq!(started.processhandler.as_deref(), Some(PROCESS_HANDLER));
    assert_eq!(started.hostname, HOST);
    scene.quarry.end();
    let ended = scene.end_reported().await;
    assert_eq!(ended.process_start_time, scene.started.process_start_time);
    assert_eq!(scene.count(EventType::ProcessStart), 1);
    scene.agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_says_who_sends_it_and_the_first_that_it_begins() {
    let scene = Scene::new().await;
    scene.agent.stop().await;
    let messages = scene.server.messages();
    let first = &messages[0].message.events[0];
    assert_eq!(first.event_type, EventType::StartClient);
    for read in &messages {
        assert_eq!(read.secret.as_deref(), Some(SECRET));
        assert_eq!((&*read.message.hostname, &*read.ignored), (HOST, &[][..]));
        let stats = read.message.client_stats.as_ref().expect("statistics");
        let version = stats.version.as_deref().unwrap();
        assert_eq!(
            version
                .split('.')
                .filter(|part| part.parse::<u32>().is_ok())
                .count(),
            3
        );
        assert!(stats.resident_memory_bytes.unwrap() > 1e5);
        assert!(stats.start_time_seconds.unwrap() > 1e9);
        assert!(stats.cpu_seconds_total.is_some());
    }
    let stats = scene.server.bodies()[0]["client_stats"]
        .as_object()
        .unwrap()
        .clone();
    assert_eq!(stats.len(), 9);
    assert!(stats.values().all(|value| !value.is_null()));
    for head in scene.server.heads() {
        assert!(head.starts_with("post /api/events http/1.1"), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prohibited_process_is_reported_and_ended_when_the_server_says_so() {
    let quarry = Quarry::new(&unique("lbb"));
    let server = ordering(&Orders {
        prohibited: Some(quarry.name().to_owned()),
        ..Orders::watch("no-such-game")
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let agent = InProcess::run(watching(&server, dir.path()));
    let reported = is_about(EventType::ProhibitedProcess, quarry.pid());
    let seen = server.event("it is reported", &reported).await;
    server.more_requests(3).await;
    assert!(quarry.lives(), "nobody said that it has to end");
    assert!(server.events().iter().filter(|event| reported(event)).count() > 1);
    server.tell(vec![kill(&seen, 0)]);
    until("it is ended", || !quarry.lives()).await;
    // It was never open, so its end is told only to a server that asks again and again.
    server.repeat(vec![kill(&seen, 0)]);
    let ended = is_about(EventType::ProcessEnd, quarry.pid());
    server.event("its end is reported", ended).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_hears_no_hang_up_is_killed() {
    let scene = Scene::of(Quarry::stubborn(&unique("lbs")), PATIENT_S).await;
    scene.server.tell(vec![kill(&scene.started, 0)]);
    scene.end_reported().await;
    assert!(!scene.quarry.lives());
    scene.agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_with_another_start_is_not_ended() {
    let scene = Scene::new().await;
    let start = scene.started.process_start_time.unwrap();
    let mut recycled = kill(&scene.started, 0);
    recycled.process_start_time = LocalTime::from_naive_seconds(start.naive_seconds() - 1);
    scene.server.tell(vec![recycled.clone()]);
    let answered = scene.end_reported().await;
    assert_eq!(answered.process_start_time, recycled.process_start_time);
    scene.server.more_requests(3).await;
    assert!(scene.quarry.lives());
    assert_eq!(scene.count(EventType::ProcessEnd), 1);
    scene.agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_of_another_user_is_neither_reported_nor_ended() {
    if !is_root() {
        // Only root makes processes of other users.
        return;
    }
    let name = unique("lbo");
    let others = Quarry::of(&name, watched_uid() + 1);
    let scene = Scene::of(Quarry::new(&name), PATIENT_S).await;
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", others.pid())).unwrap();
    assert!(stat.contains(&name));
    // Both began within a second, or the start is the wrong one: neither may matter.
    for start in [0, 1, -1] {
        let seconds = scene.started.process_start_time.unwrap().naive_seconds() + start;
        let mut order = kill(&scene.started, 0);
        order.pid = Some(others.pid());
        order.process_start_time = LocalTime::from_naive_seconds(seconds);
        scene.server.tell(vec![order]);
    }
    scene.server.more_requests(5).await;
    assert!(others.lives() && scene.quarry.lives());
    let starts = is_about(EventType::ProcessStart, others.pid());
    assert!(!scene.server.events().iter().any(starts));
    scene.agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_with_a_delay_that_is_repeated_ends_the_process_once() {
    let scene = Scene::of(Quarry::counting(&unique("lbc")), PATIENT_S).await;
    scene.server.repeat(vec![kill(&scene.started, 1)]);
    let before = scene.server.requests();
    until("it was asked to end", || {
        scene.quarry.folder().join("hangups").exists()
    })
    .await;
    assert!(
        scene.server.requests() > before + 2,
        "the order came again meanwhile"
    );
    scene.end_reported().await;
    assert!(!scene.quarry.lives());
    let hangups = std::fs::read_to_string(scene.quarry.folder().join("hangups")).unwrap();
    assert_eq!(hangups, "hangup\n");
    scene.agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_for_too_long_watched_processes_are_ended() {
    let Scene {
        server,
        agent,
        quarry,
        dir: _dir,
        ..
    } = Scene::of(Quarry::new(&unique("lbv")), 1).await;
    server.more_requests(15).await;
    assert!(quarry.lives());
    drop(server);
    until("it is ended", || !quarry.lives()).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_no_contact_and_loses_nothing() {
    let mut scene = Scene::of(Quarry::new(&unique("lbw")), PATIENT_S).await;
    scene.server.behave(Manner::Status(401));
    scene.server.more_requests(1).await;
    scene.quarry.end();
    scene.server.more_requests(4).await;
    assert_eq!(scene.count(EventType::ProcessEnd), 0);
    scene.server.behave(Manner::Proper);
    scene.end_reported().await;
    scene.agent.stop().await;

    let scene = Scene::of(Quarry::new(&unique("lbw")), 1).await;
    scene.server.behave(Manner::Status(401));
    until("it is ended", || !scene.quarry.lives()).await;
    scene.agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_by_answers_that_are_none() {
    let mut scene = Scene::of(Quarry::new(&unique("lba")), PATIENT_S).await;
    for status in [302, 503] {
        scene.server.behave(Manner::Status(status));
        scene.server.more_requests(3).await;
    }
    scene.server.behave(Manner::Silent);
    scene.server.more_requests(1).await;
    scene.quarry.end();
    // The client gives up by itself, and sends the next message.
    scene.server.more_requests(1).await;
    assert_eq!(scene.count(EventType::ProcessEnd), 0);
    scene.server.behave(Manner::Proper);
    scene.end_reported().await;
    let heads = scene.server.heads();
    assert!(
        heads.iter().all(|head| head.starts_with("post /api/events ")),
        "no redirect is followed"
    );
    scene.agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_is_announced_again_after_an_outage() {
    let scene = Scene::new().await;
    scene.server.behave(Manner::Status(503));
    scene.server.more_requests(2).await;
    let seen = scene.server.events().len();
    scene.server.behave(Manner::Proper);
    let again = is_about(EventType::ProcessStart, scene.quarry.pid());
    let again = scene
        .server
        .event_after(seen, "it is announced again", again)
        .await;
    assert_eq!(again.process_start_time, scene.started.process_start_time);
    scene.agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_understood_is_one_without_events() {
    let mut scene = Scene::new().await;
    let html = "<html>welcome</html>".to_owned();
    for page in [html, String::new(), "null".to_owned(), "{}".to_owned()] {
        scene.server.behave(Manner::Body(page));
        scene.server.more_requests(2).await;
    }
    assert_eq!(scene.count(EventType::ProcessStart), 1, "nothing was lost");
    let mut order = body(&[kill(&scene.started, 0)])[0].clone();
    order["event_time"] = json!("2026-11-20 20:00:00");
    let mut unreadable = order.clone();
    unreadable["event_time"] = json!("2026-11-20T20:00:00.5");
    let answer = json!([unreadable, { "event_type": "DANCE" }, order]);
    scene.server.behave(Manner::Body(answer.to_string()));
    scene.end_reported().await;
    assert!(!scene.quarry.lives());
    assert_eq!(scene.count(EventType::ProcessStart), 1, "nothing was sent again");
    scene.quarry.end();
    scene.agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_agent_watches_by_what_it_was_told_before() {
    let scene = Scene::new().await;
    scene.agent.stop().await;
    let seen = scene.server.events().len();
    let requests = scene.server.messages().len();
    let agent = InProcess::run(watching(&scene.server, scene.dir.path()));
    let again = is_about(EventType::ProcessStart, scene.quarry.pid());
    let again = scene.server.event_after(seen, "it is reported", again).await;
    assert_eq!(again.process_start_time, scene.started.process_start_time);
    let first = &scene.server.messages()[requests].message.events;
    let kinds: Vec<EventType> = first.iter().map(|event| event.event_type).collect();
    assert_eq!(kinds, [EventType::StartClient, EventType::ProcessStart]);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_reports_every_process_as_ended_and_ends_none() {
    let scene = Scene::new().await;
    scene.agent.stop().await;
    let last = scene.server.messages().pop().unwrap().message.events;
    assert!(
        last.iter()
            .any(is_about(EventType::ProcessEnd, scene.quarry.pid()))
    );
    assert!(scene.quarry.lives());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_does_not_keep_the_agent_from_stopping() {
    let scene = Scene::new().await;
    scene.server.behave(Manner::Silent);
    scene.server.more_requests(1).await;
    scene.agent.stop().await;
    assert!(scene.quarry.lives());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_only_reads_reports_and_ends_nothing() {
    let quarry = Quarry::new(&unique("lbr"));
    let server = ordering(&Orders {
        silence_max_s: 1,
        ..Orders::watch(quarry.name())
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = watching(&server, dir.path());
    config.policy.read_only = true;
    let agent = InProcess::run(config);
    let started = is_about(EventType::ProcessStart, quarry.pid());
    let started = server.event("it is reported", started).await;
    server.tell(vec![kill(&started, 0)]);
    server.more_requests(5).await;
    // Longer than the silence that would end it.
    server.behave(Manner::Status(503));
    server.more_requests(15).await;
    assert!(quarry.lives());
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_mapping_of_the_own_group_counts() {
    let quarry = Quarry::new(&unique("lbm"));
    let server = ordering(&Orders {
        group: "laptops",
        ..Orders::watch(quarry.name())
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let agent = InProcess::run(watching(&server, dir.path()));
    server.more_requests(5).await;
    let started = is_about(EventType::ProcessStart, quarry.pid());
    assert!(!server.events().iter().any(&started));
    agent.stop().await;
    server.tell(
        Orders {
            group: "laptops",
            ..Orders::watch(quarry.name())
        }
        .events(),
    );
    let mut config = watching(&server, dir.path());
    config.watch.server_group = "laptops".to_owned();
    let agent = InProcess::run(config);
    server.event("it is reported", started).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_is_matched_when_it_should_be() {
    let quarry = Quarry::new(&unique("lbl"));
    let line = format!("{} 1000", quarry.folder().join(quarry.name()).display());
    let server = ordering(&Orders::watch(&line)).await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = watching(&server, dir.path());
    config.watch.scan_command_line = true;
    let agent = InProcess::run(config);
    let started = is_about(EventType::ProcessStart, quarry.pid());
    let started = server.event("it is reported", started).await;
    assert_eq!(started.processname.as_deref(), Some(quarry.name()));
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_spoken_to_a_server_of_the_ca() {
    let dir = tempfile::tempdir().unwrap();
    let (acceptor, ca) = certificate(dir.path(), "ca.pem");
    let (_, other_ca) = certificate(dir.path(), "other.pem");
    let server = LittleBrother::with_tls(acceptor).await;
    let mut config = watching(&server, dir.path());
    config.ca = Some(ca);
    let agent = InProcess::run(config);
    server.more_requests(2).await;
    agent.stop().await;
    let seen = server.requests();
    let mut config = watching(&server, dir.path());
    config.ca = Some(other_ca);
    let agent = InProcess::run(config);
    // The secret must not go to a server that nobody trusts; a plain one shows that time went by.
    let plain = LittleBrother::new().await;
    let other = tempfile::tempdir().unwrap();
    let clock = InProcess::run(watching(&plain, other.path()));
    plain.more_requests(5).await;
    assert_eq!(server.requests(), seen);
    agent.stop().await;
    clock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_littlebrother_server_the_channel_is_for_live_response_only() {
    let quarry = Quarry::new(&unique("lbd"));
    let littlebrother = ordering(&Orders::watch(quarry.name())).await;
    let server = Server::new().await;
    let dir = tempfile::tempdir().unwrap();
    let watch = watching(&littlebrother, dir.path()).watch;
    let agent = InProcess::start_with(&server, &dir.path().join("state"), |config| config.watch = watch);
    let mut peer = server.attach_watching(1).await;
    let started = is_about(EventType::ProcessStart, quarry.pid());
    littlebrother.event("it is reported", started).await;
    // The first frame would be the watcher's, if it reported here.
    let list = command(Verb::ListProcesses, json!({}));
    let id = list.command_id;
    peer.command(list).await;
    let frame = peer.frame().await;
    assert!(
        matches!(frame, tripline_protocol::frame::AgentFrame::Accepted { command_id } if command_id == id),
        "{frame:?}"
    );
    agent.stop().await;
}

fn start_binary(server: &LittleBrother, dir: &Path) -> Running {
    let secret = secret_file(dir, SECRET);
    let state = dir.join("state");
    let url = server.url();
    let args = [
        "--littlebrother",
        &url,
        "--secret-file",
        secret.to_str().unwrap(),
        "--state-dir",
        state.to_str().unwrap(),
        "--littlebrother-hostname",
        HOST,
        "--check-interval",
        "100ms",
        "--scan-interval",
        "100ms",
    ];
    Running(agent(&args).spawn().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_of_ours_it_watches_until_sigterm() {
    let quarry = Quarry::new(&unique("lbt"));
    let server = ordering(&Orders::watch(quarry.name())).await;
    let dir = tempfile::tempdir().unwrap();
    let mut agent = start_binary(&server, dir.path());
    let started = is_about(EventType::ProcessStart, quarry.pid());
    server.event("it is reported", started).await;
    agent.signal(rustix::process::Signal::TERM);
    let status = tokio::task::block_in_place(|| agent.0.wait().unwrap());
    assert_eq!(status.code(), Some(0));
    let ended = is_about(EventType::ProcessEnd, quarry.pid());
    assert!(server.events().iter().any(ended));
    assert!(quarry.lives());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_finds_its_processes_again() {
    let quarry = Quarry::new(&unique("lbk"));
    let server = ordering(&Orders::watch(quarry.name())).await;
    let dir = tempfile::tempdir().unwrap();
    let agent = start_binary(&server, dir.path());
    let started = is_about(EventType::ProcessStart, quarry.pid());
    let first = server.event("it is reported", &started).await;
    drop(agent);
    let seen = server.events().len();
    let _agent = start_binary(&server, dir.path());
    let again = server.event_after(seen, "it is reported again", started).await;
    assert_eq!(again.process_start_time, first.process_start_time);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_agent_reports_the_time_as_downtime_and_ends_nothing_for_it() {
    let quarry = Quarry::new(&unique("lbz"));
    let server = ordering(&Orders {
        silence_max_s: 3,
        ..Orders::watch(quarry.name())
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let agent = start_binary(&server, dir.path());
    let started = is_about(EventType::ProcessStart, quarry.pid());
    server.event("it is reported", started).await;
    agent.signal(rustix::process::Signal::STOP);
    // Only more than 5 s are downtime: time has to go by while the agent stands still.
    tokio::time::sleep(std::time::Duration::from_secs(7)).await;
    agent.signal(rustix::process::Signal::CONT);
    let downtime = is_about(EventType::ProcessDowntime, quarry.pid());
    let event = server.event("its downtime is reported", downtime).await;
    assert!(event.downtime > 0);
    server.more_requests(3).await;
    assert!(quarry.lives(), "it was no silence");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_late_is_found() {
    let other = LittleBrother::new().await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = watching(&other, dir.path());
    let port = free_port();
    let direct = config.watch.direct.as_mut().unwrap();
    direct.server = format!("http://localhost:{port}").parse().unwrap();
    let agent = InProcess::run(config);
    let server = LittleBrother::at(port).await;
    let began = |event: &WireEvent| event.event_type == EventType::StartClient;
    server.event("the client begins", began).await;
    assert_eq!(other.requests(), 0);
    agent.stop().await;
}

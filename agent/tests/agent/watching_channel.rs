//! The watcher over the agent's own channel.

use crate::littlebrother::{OFTEN, until};
use crate::quarry::{Orders, Quarry, is_about, kill, unique};
use crate::server::{InProcess, Peer, Received, Server, command};
use serde_json::json;
use std::path::Path;
use tripline_agent::config::Config;
use tripline_protocol::frame::AgentFrame;
use tripline_protocol::littlebrother::{ClientMessage, EventType, WireEvent};
use tripline_protocol::verb::Verb;

fn often(config: &mut Config) {
    config.watch.check_interval = OFTEN;
    config.watch.scan_interval = OFTEN;
    config.watch.kill_delay = OFTEN;
}

fn start(server: &Server, dir: &Path) -> InProcess {
    InProcess::start_with(server, dir, often)
}

fn kinds(message: &ClientMessage) -> Vec<EventType> {
    message.events.iter().map(|event| event.event_type).collect()
}

/// Answers the first message with orders, and the next ones until the process is reported.
async fn begin(peer: &mut Peer, orders: &Orders, quarry: &Quarry) -> WireEvent {
    let mut events = Some(orders.events());
    let started = is_about(EventType::ProcessStart, quarry.pid());
    peer.reports_until(|| events.take().unwrap_or_default(), started)
        .await
}

/// The frames that come while a command runs that takes a while.
async fn frames_during_a_command(peer: &mut Peer, epoch: u64) -> Vec<AgentFrame> {
    let mut slow = command(Verb::CreateProcess, json!({ "argv": ["sleep", "0.5"] }));
    slow.epoch = epoch;
    let id = slow.command_id;
    peer.command(slow).await;
    let mut frames = Vec::new();
    loop {
        match peer.receive().await {
            Received::Frame(AgentFrame::Result(result)) if result.command_id == id => {
                assert!(result.error.is_none());
                return frames;
            }
            Received::Frame(frame) => frames.push(frame),
            Received::Chunk { .. } => panic!("a chunk of nothing"),
        }
    }
}

fn reports(frames: &[AgentFrame]) -> usize {
    let is_report = |frame: &&AgentFrame| matches!(frame, AgentFrame::Littlebrother { .. });
    frames.iter().filter(is_report).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_are_reported_and_ended_over_the_channel() {
    let dir = tempfile::tempdir().unwrap();
    let quarry = Quarry::new(&unique("chg"));
    let server = Server::new().await;
    let agent = start(&server, dir.path());
    let mut peer = server.attach_watching(1).await;
    let (seq, first) = peer.report().await;
    assert_eq!((seq, kinds(&first)), (1, vec![EventType::StartClient]));
    assert!(first.client_stats.is_some());
    peer.answer(seq, Orders::watch(quarry.name()).events()).await;
    let started = is_about(EventType::ProcessStart, quarry.pid());
    let started = peer.reports_until(Vec::new, started).await;
    let mut order = Some(vec![kill(&started, 0)]);
    let ended = is_about(EventType::ProcessEnd, quarry.pid());
    peer.reports_until(|| order.take().unwrap_or_default(), ended)
        .await;
    assert!(!quarry.lives());
    drop(peer);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_message_follows_the_answer_to_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new().await;
    let agent = start(&server, dir.path());
    let mut peer = server.attach_watching(1).await;
    let (seq, _) = peer.report().await;
    assert_eq!(reports(&frames_during_a_command(&mut peer, 1).await), 0);
    peer.answer(seq, Vec::new()).await;
    let (next, _) = peer.report().await;
    assert_eq!((seq, next), (1, 2));
    drop(peer);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lost_with_its_connection_makes_the_message_go_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new().await;
    let agent = start(&server, dir.path());
    let mut peer = server.attach_watching(1).await;
    let (_, first) = peer.report().await;
    assert_eq!(kinds(&first), [EventType::StartClient]);
    drop(peer);
    let mut peer = server.attach_watching(2).await;
    let (seq, again) = peer.report().await;
    assert_eq!((seq, again.events), (1, first.events));
    drop(peer);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_connection_hears_of_everything_again() {
    let dir = tempfile::tempdir().unwrap();
    let quarry = Quarry::new(&unique("chr"));
    let server = Server::new().await;
    let agent = start(&server, dir.path());
    let mut peer = server.attach_watching(1).await;
    let first = begin(&mut peer, &Orders::watch(quarry.name()), &quarry).await;
    for epoch in 2..4 {
        drop(peer);
        peer = server.attach_watching(epoch).await;
        let started = is_about(EventType::ProcessStart, quarry.pid());
        let again = peer.reports_until(Vec::new, started).await;
        assert_eq!(again.process_start_time, first.process_start_time);
    }
    drop(peer);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_connection_for_too_long_watched_processes_are_ended() {
    let dir = tempfile::tempdir().unwrap();
    let quarry = Quarry::new(&unique("chs"));
    let server = Server::new().await;
    let agent = start(&server, dir.path());
    let mut peer = server.attach_watching(1).await;
    let orders = Orders {
        silence_max_s: 1,
        ..Orders::watch(quarry.name())
    };
    begin(&mut peer, &orders, &quarry).await;
    for _ in 0..15 {
        let (seq, _) = peer.report().await;
        peer.answer(seq, Vec::new()).await;
    }
    assert!(quarry.lives());
    drop(peer);
    drop(server);
    until("it is ended", || !quarry.lives()).await;
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_answering_messages_is_silent_too() {
    let dir = tempfile::tempdir().unwrap();
    let quarry = Quarry::new(&unique("chq"));
    let server = Server::new().await;
    let agent = start(&server, dir.path());
    let mut peer = server.attach_watching(1).await;
    let orders = Orders {
        silence_max_s: 1,
        ..Orders::watch(quarry.name())
    };
    begin(&mut peer, &orders, &quarry).await;
    until("it is ended", || !quarry.lives()).await;
    drop(peer);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_sends_the_last_message_over_the_channel() {
    let dir = tempfile::tempdir().unwrap();
    let quarry = Quarry::new(&unique("che"));
    let server = Server::new().await;
    let agent = start(&server, dir.path());
    let mut peer = server.attach_watching(1).await;
    begin(&mut peer, &Orders::watch(quarry.name()), &quarry).await;
    let ended = is_about(EventType::ProcessEnd, quarry.pid());
    let (_, ()) = tokio::join!(peer.reports_until(Vec::new, ended), agent.stop());
    assert!(quarry.lives());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_watched_for_a_server_that_does_not_ask() {
    let dir = tempfile::tempdir().unwrap();
    let quarry = Quarry::new(&unique("chn"));
    let server = Server::new().await;
    let agent = start(&server, dir.path());
    let mut peer = server.attach(1).await;
    assert_eq!(reports(&frames_during_a_command(&mut peer, 1).await), 0);
    drop(peer);

    let mut peer = server.attach_watching(2).await;
    begin(&mut peer, &Orders::watch(quarry.name()), &quarry).await;
    drop(peer);
    let mut peer = server.attach(3).await;
    assert_eq!(reports(&frames_during_a_command(&mut peer, 3).await), 0);
    drop(peer);
    agent.stop().await;

    // What it was told is forgotten, also by the next agent.
    let agent = start(&server, dir.path());
    let mut peer = server.attach_watching(4).await;
    let (seq, message) = peer.report().await;
    assert_eq!(kinds(&message), [EventType::StartClient]);
    peer.answer(seq, Vec::new()).await;
    for _ in 0..5 {
        let (seq, message) = peer.report().await;
        assert!(message.events.is_empty());
        peer.answer(seq, Vec::new()).await;
    }
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_told_never_to_watch_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::new().await;
    let agent = InProcess::start_with(&server, dir.path(), |config| {
        often(config);
        config.watch.enabled = false;
    });
    let mut peer = server.attach_watching(1).await;
    assert_eq!(reports(&frames_during_a_command(&mut peer, 1).await), 0);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_agent_ends_what_it_watched_if_its_server_stays_away() {
    let dir = tempfile::tempdir().unwrap();
    let quarry = Quarry::new(&unique("cha"));
    let server = Server::new().await;
    let agent = start(&server, dir.path());
    let mut peer = server.attach_watching(1).await;
    let orders = Orders {
        silence_max_s: 1,
        ..Orders::watch(quarry.name())
    };
    begin(&mut peer, &orders, &quarry).await;
    let ended = is_about(EventType::ProcessEnd, quarry.pid());
    let (_, ()) = tokio::join!(peer.reports_until(Vec::new, ended), agent.stop());
    assert!(quarry.lives());
    let url = server.url();
    drop(peer);
    drop(server);
    let mut config = Config::load(tripline_agent::config::Options {
        server: Some(url),
        state_dir: Some(dir.path().to_path_buf()),
        ..Default::default()
    })
    .unwrap();
    often(&mut config);
    let agent = InProcess::run(config);
    until("it is ended", || !quarry.lives()).await;
    agent.stop().await;
}

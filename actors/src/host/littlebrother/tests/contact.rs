//! What a client is told when it comes, and again when an answer was lost.

use super::*;
use serde_json::json;

const INTRODUCTION: [&str; 3] = ["config", "mapping", "start_master"];
const CONFIGURATION: [&str; 2] = ["config", "mapping"];
const NOTHING: [&str; 0] = [];

#[test]
fn the_first_message_whatever_it_holds_brings_configuration_mapping_and_the_servers_start() {
    for events in [vec![], vec![start_client(0)], vec![end(7, 0)]] {
        let outcome = Server::new().post(events);
        assert_eq!(words(&outcome.answer), INTRODUCTION);
        assert!(outcome.attached && !outcome.back);
    }
}

#[test]
fn configuration_and_mapping_go_into_two_successive_answers() {
    let mut server = Server::new();
    assert_eq!(server.poll(), INTRODUCTION);
    assert_eq!(server.poll(), CONFIGURATION);
    assert_eq!(server.poll(), NOTHING);
}

#[test]
fn the_configuration_holds_users_patterns_and_the_longest_silence() {
    let outcome = Server::new().post(vec![]);
    let payload = outcome.answer[0].payload.clone().unwrap();
    assert_eq!(payload["config:maximum_time_without_send"], 50);
    assert_eq!(
        payload["config:user_config"]["leon"],
        json!({ "active": false, "process_name_pattern": "lbgame", "prohibited_process_name_pattern": "lbbad" })
    );
    let mapping = outcome.answer[1].payload.clone().unwrap();
    assert_eq!(
        mapping,
        json!([["default-group", [["amelie", 4242], ["leon", 4243]]]])
    );
}

#[test]
fn a_part_of_a_second_of_silence_is_rounded_up() {
    let mut server = Server::new();
    server.configure(|settings| {
        settings.maximum_time_without_send = tripline_protocol::Span::from_millis(20_001);
    });
    let payload = server.post(vec![]).answer[0].payload.clone().unwrap();
    assert_eq!(payload["config:maximum_time_without_send"], 21);
}

#[test]
fn the_servers_start_is_told_once_in_a_run_and_again_in_the_next() {
    let mut server = Server::introduced();
    server.forget();
    assert_eq!(server.poll(), CONFIGURATION, "the actor left memory in between");
    server.restart();
    assert_eq!(server.poll(), INTRODUCTION);
}

#[test]
fn a_started_client_is_told_configuration_mapping_and_its_open_processes_in_the_same_answer() {
    let mut server = Server::introduced();
    server.post(vec![start(7, 0), start(8, 0), start(9, 0)]);
    server.post(vec![end(8, 1)]);
    let outcome = server.later(5).post(vec![start_client(5)]);
    assert_eq!(
        words(&outcome.answer),
        ["config", "mapping", "start 7", "start 9"]
    );
    let replayed = &outcome.answer[2];
    assert_eq!(replayed.processhandler.as_deref(), Some("ClientProcessHandler"));
    assert_eq!(replayed.process_start_time, Some(at(0)));
    assert_eq!(replayed.username.as_deref(), Some("amelie"));
    server.state.written(outcome.ticket);
    assert_eq!(server.poll(), CONFIGURATION);
}

#[test]
fn a_process_that_ends_in_the_message_is_not_replayed() {
    let mut server = Server::introduced();
    server.post(vec![start(7, 0)]);
    let outcome = server.post(vec![start_client(5), end(7, 5)]);
    assert_eq!(words(&outcome.answer), CONFIGURATION);
}

#[test]
fn a_restarted_server_asks_for_what_it_knows_too() {
    let mut server = Server::introduced();
    server.post(vec![start(7, 0)]);
    server.restart();
    let outcome = server.post(vec![]);
    assert_eq!(
        words(&outcome.answer),
        ["config", "mapping", "start_master", "start 7"]
    );
}

#[test]
fn what_a_client_says_of_the_time_before_its_start_is_asked_back() {
    let mut server = Server::introduced();
    server.post(vec![start_client(5)]);
    server.poll();
    // Under way while the client died.
    let outcome = server.post(vec![start(7, 4)]);
    assert_eq!(words(&outcome.answer), ["start 7"]);
    let outcome = server.post(vec![start(9, 5)]);
    assert_eq!(words(&outcome.answer), ["start 9"], "in the same second");
    let outcome = server.post(vec![start(8, 6)]);
    assert_eq!(words(&outcome.answer), NOTHING);
}

#[test]
fn an_end_by_the_client_before_is_not_believed() {
    let mut server = Server::introduced();
    server.later(5).post(vec![start(7, 1)]);
    server.later(5).post(vec![start_client(10), start(7, 10)]);
    server.poll();
    // It stopped and said that everything ended; that was under way until now.
    let outcome = server.post(vec![end(7, 9)]);
    assert_eq!(words(&outcome.answer), ["start 7"], "the present client is asked");
    assert_eq!(server.open(), [7]);
    server.later(5).post(vec![end(7, 15)]);
    assert!(server.open().is_empty());
}

#[test]
fn a_start_by_the_client_before_opens_nothing_that_has_ended() {
    let mut server = Server::introduced();
    server
        .later(10)
        .post(vec![start_client(5), start(7, 5), end(7, 10)]);
    let outcome = server.post(vec![start(7, 4)]);
    assert!(server.open().is_empty());
    assert_eq!(outcome.events.len(), 1, "it is an event all the same");
    server.later(5).post(vec![start(7, 15)]);
    assert_eq!(server.open(), [7]);
}

#[test]
fn changed_users_mappings_and_silence_are_told_in_two_answers_each() {
    let mut server = Server::introduced();
    let changes: [fn(&mut crate::littlebrother::Settings); 3] = [
        |settings| settings.users[1].active = true,
        |settings| settings.mappings.clear(),
        |settings| settings.maximum_time_without_send = tripline_protocol::Span::from_secs(60),
    ];
    for change in changes {
        server.configure(change);
        assert_eq!(server.poll(), CONFIGURATION);
        assert_eq!(server.poll(), CONFIGURATION);
        assert_eq!(server.poll(), NOTHING);
    }
}

#[test]
fn settings_that_clients_are_not_told_bring_nothing() {
    let mut server = Server::introduced();
    server.configure(|settings| settings.kill_prohibited = false);
    assert_eq!(server.poll(), NOTHING);
}

#[test]
fn everything_of_a_lost_answer_goes_again_in_order() {
    let mut server = Server::new();
    server.post(vec![start(7, 0)]);
    server.restart();
    let lost = server.post(vec![]);
    server.lose(lost.ticket);
    let again = server.post(vec![]);
    assert_eq!(words(&again.answer), words(&lost.answer));
    server.lose(again.ticket);
    assert_eq!(server.poll(), words(&lost.answer));
    assert_eq!(server.poll(), CONFIGURATION);
    assert_eq!(server.poll(), NOTHING);
}

#[test]
fn answers_under_way_at_the_same_time_are_lost_without_duplicates() {
    let mut server = Server::new();
    let (first, second, third) = (server.post(vec![]), server.post(vec![]), server.post(vec![]));
    assert_eq!(words(&second.answer), CONFIGURATION);
    assert_eq!(words(&third.answer), NOTHING);
    server.lose(second.ticket);
    server.lose(first.ticket);
    server.state.written(third.ticket);
    assert_eq!(server.poll(), INTRODUCTION);
    assert_eq!(server.poll(), CONFIGURATION);
    assert_eq!(server.poll(), NOTHING);
}

#[test]
fn a_configuration_that_was_lost_goes_into_two_successive_answers_again() {
    let mut server = Server::new();
    let lost = server.post(vec![]);
    assert_eq!(server.poll(), CONFIGURATION);
    assert_eq!(server.poll(), NOTHING);
    server.lose(lost.ticket);
    assert_eq!(server.poll(), INTRODUCTION);
    assert_eq!(server.poll(), CONFIGURATION);
    assert_eq!(server.poll(), NOTHING);
}

#[test]
fn a_client_that_stays_is_told_everything_again_every_ten_minutes() {
    let mut server = Server::introduced();
    server.post(vec![start(7, 0)]);
    // Answers that were written whole and that nobody read look like any others.
    let mut told = Vec::new();
    for _ in 0..30 {
        told.push(server.later(40).poll());
    }
    let again: Vec<usize> = (0..30).filter(|poll| told[*poll].len() == 3).collect();
    assert_eq!(again, [14, 29], "after 600 s each");
    assert_eq!(told[14], ["config", "mapping", "start 7"]);
    assert_eq!(told[15], CONFIGURATION);
    assert!(told[16..29].iter().all(Vec::is_empty));
}

#[test]
fn a_receipt_counts_once() {
    let mut server = Server::new();
    let first = server.post(vec![]);
    server.state.written(first.ticket);
    server.lose(first.ticket);
    assert_eq!(
        server.poll(),
        CONFIGURATION,
        "the second copy, and nothing of the first"
    );
}

#[test]
fn a_lost_replay_brings_only_what_is_still_open() {
    let mut server = Server::introduced();
    server.post(vec![start(7, 0), start(8, 0)]);
    let replay = server.post(vec![start_client(5)]);
    let ended = server.post(vec![end(7, 6)]);
    server.state.written(ended.ticket);
    server.lose(replay.ticket);
    assert_eq!(server.poll(), ["config", "mapping", "start 8"]);
}

#[test]
fn a_repeated_client_start_is_answered_again_and_published_once() {
    let mut server = Server::introduced();
    server.post(vec![start(7, 0)]);
    let first = server.post(vec![start_client(5)]);
    assert_eq!(first.events.len(), 1);
    // Written, but the client had given up waiting.
    server.state.written(first.ticket);
    let again = server.post(vec![start_client(5)]);
    assert_eq!(words(&again.answer), words(&first.answer));
    assert!(again.events.is_empty());
}

#[test]
fn a_server_start_that_was_lost_with_the_memory_is_told_again() {
    let mut server = Server::new();
    let lost = server.post(vec![]);
    server.lose(lost.ticket);
    server.forget();
    assert_eq!(server.poll(), INTRODUCTION);
}

#[test]
fn what_is_stored_changes_with_what_is_worth_keeping_only() {
    let mut server = Server::introduced();
    let outcome = server.later(5).post(vec![]);
    assert!(
        !outcome.changes.saved && outcome.changes.rows.is_empty(),
        "nothing happened"
    );
    let outcome = server.later(300).post(vec![]);
    assert!(
        outcome.changes.saved,
        "the time of the last message is refreshed now and then"
    );
    assert_eq!(server.saved.as_ref().unwrap().last_message_at, Some(server.now));
}

#[test]
fn unsound_events_are_left_out_and_the_rest_counts() {
    let mut server = Server::introduced();
    let mut foreign = start(7, 0);
    foreign.hostname = "mozart".into();
    let mut long = start(8, 0);
    long.text = Some("x".repeat(5000));
    let mut without_pid = start(9, 0);
    without_pid.pid = None;
    let mut config = start_client(0);
    config.event_type = EventType::UpdateConfig;
    let mut laden = start(10, 0);
    laden.payload = Some(json!("x".repeat(70_000)));
    let outcome = server.post(vec![foreign, long, without_pid, config, laden, start(11, 0)]);
    assert_eq!(server.open(), [10, 11]);
    assert_eq!(outcome.events.len(), 2);
    assert_eq!(outcome.events[0].event.payload, None);
    let odd: Vec<(&str, u64)> = outcome
        .odd
        .iter()
        .map(|(odd, times)| (odd.as_str(), *times))
        .collect();
    assert_eq!(
        odd,
        [
            ("server_type", 1),
            ("foreign_host", 1),
            ("unsound", 2),
            ("payload_dropped", 1)
        ]
    );
}

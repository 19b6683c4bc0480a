//! What happens at each bound.

use super::super::open::OPEN_MAX;
use super::super::outgoing::{MESSAGE_BYTES_MAX, MESSAGE_EVENTS_MAX, WAITING_MAX};
use super::*;

fn games(pids: std::ops::Range<u32>) -> Vec<Seen> {
    pids.map(game).collect()
}

/// Every message until nothing comes any more; each is checked.
fn drain(watcher: &mut Watcher, s: u64) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let events = watcher.next_message(None, at(s)).events;
        if events.is_empty() {
            return all;
        }
        assert!(events.len() <= MESSAGE_EVENTS_MAX);
        assert!(serde_json::to_string(&events).unwrap().len() <= MESSAGE_BYTES_MAX + 2);
        all.extend(words(&events));
        watcher.answered(&[], at(s));
    }
}

fn count(all: &[String], kind: &str) -> usize {
    all.iter().filter(|words| words.starts_with(kind)).count()
}

#[test]
fn a_message_has_a_thousand_events_at_most() {
    let mut watcher = watching();
    watcher.look(&games(2..2502), 1);
    let sizes: Vec<usize> = (0..3).map(|_| watcher.exchange(&[], 2).len()).collect();
    assert_eq!(sizes, [1000, 1000, 500]);
}

#[test]
fn a_message_has_three_quarters_of_a_megabyte_at_most() {
    let login = "\u{1}".repeat(200);
    let payload = json!({login.clone(): {"active": true, "process_name_pattern": "lbgame"}});
    let mapping = json!([["default-group", [[login, 5]]]]);
    let mut watcher = new();
    watcher.exchange(
        &[
            with_payload(EventType::UpdateConfig, payload),
            with_payload(EventType::UpdateLoginMapping, mapping),
        ],
        0,
    );
    let seen: Vec<Seen> = (2..1002).map(|pid| process(pid, 5, "lbgame")).collect();
    watcher.look(&seen, 1);
    assert_eq!(count(&drain(&mut watcher, 2), "PROCESS_START"), 1000);
    watcher.exchange(&[from_server(EventType::StartMaster)], 3);
    assert_eq!(
        count(&drain(&mut watcher, 4), "PROCESS_START"),
        1000,
        "announcements too"
    );
}

#[test]
fn repeats_of_prohibited_processes_are_given_up_first_and_counted() {
    let mut watcher = watching();
    watcher.look(&games(2..1002), 1);
    let mut last = Vec::new();
    for s in 2..102 {
        let mut seen = games(2..1002);
        seen.extend((5000..5100).map(bad));
        last = watcher.look(&seen, s);
        watcher.lose(s);
    }
    assert_eq!(watcher.outgoing.len(), WAITING_MAX);
    assert_eq!(watcher.dropped(), 1000);
    assert!(
        logs(&last)
            .iter()
            .any(|log| log.starts_with("events given up: 100, 1000")),
        "{last:?}"
    );
    let all = drain(&mut watcher, 200);
    assert_eq!(count(&all, "PROCESS_START"), 1000, "{:?}", &all[..3]);
    assert_eq!(count(&all, "PROHIBITED_PROCESS"), WAITING_MAX - 1000);
}

#[test]
fn a_start_that_had_to_go_is_announced_with_its_name_when_there_is_room() {
    let mut watcher = watching();
    watcher.look(&games(2..10_002), 1);
    assert_eq!(watcher.open_processes(), OPEN_MAX);
    watcher.overslept(Duration::from_secs(6), at(8));
    assert_eq!(watcher.outgoing.len(), WAITING_MAX);
    assert_eq!(watcher.dropped(), 0, "nothing is lost");
    let all = drain(&mut watcher, 9);
    assert_eq!(count(&all, "PROCESS_START"), 10_000);
    let starts: Vec<&String> = all
        .iter()
        .filter(|words| words.starts_with("PROCESS_START"))
        .collect();
    assert!(starts.iter().all(|words| words.ends_with("lbgame")));
    assert_eq!(
        count(&all, "PROCESS_DOWNTIME"),
        20_000,
        "each with its start as well"
    );
}

#[test]
fn ends_of_processes_the_server_knows_survive_everything_else() {
    let mut watcher = watching();
    watcher.look(&games(2..9_002), 1);
    drain(&mut watcher, 1);
    watcher.look(&[], 2);
    for round in 0..20 {
        let first = 10_000 + round * 500;
        let mut seen = games(first..first + 500);
        seen.push(bad(9_999));
        watcher.look(&seen, 3);
        watcher.overslept(Duration::from_secs(6), at(3));
    }
    watcher.look(&[], 4);
    assert_eq!(watcher.outgoing.len(), WAITING_MAX);
    let all = drain(&mut watcher, 5);
    let known_ends = (2..9_002)
        .filter(|pid| all.contains(&format!("PROCESS_END {pid} amelie")))
        .count();
    assert_eq!(known_ends, 9_000);
    assert!(watcher.dropped() > 0);
}

#[test]
fn an_unreported_process_goes_as_a_whole() {
    let mut watcher = watching();
    let mut seen = games(2..5_002);
    seen.push(game(9_000));
    watcher.look(&seen[5_000..], 1);
    drain(&mut watcher, 1);
    watcher.look(&seen, 2);
    watcher.look(&[], 3);
    assert_eq!(watcher.dropped(), 2);
    let all = drain(&mut watcher, 4);
    assert_eq!(
        (count(&all, "PROCESS_START"), count(&all, "PROCESS_END")),
        (4_999, 5_000)
    );
    assert!(!all.iter().any(|words| words.contains(" 2 ")), "the oldest went");
    assert_eq!(all.last().unwrap(), "PROCESS_END 9000 amelie");
}

#[test]
fn the_end_of_a_process_the_server_may_know_stays_though_its_start_goes() {
    let mut watcher = watching();
    watcher.look(&games(2..502), 1);
    watcher.lose(1);
    watcher.look(&[], 2);
    watcher.look(&games(1_000..10_001), 3);
    watcher.look(&[], 4);
    let all = drain(&mut watcher, 5);
    assert_eq!(
        (2..502)
            .filter(|pid| all.contains(&format!("PROCESS_END {pid} amelie")))
            .count(),
        500
    );
}

#[test]
fn a_process_whose_start_had_to_go_and_that_ended_was_never_there_and_counts_as_lost() {
    let mut watcher = watching();
    watcher.look(&games(2..10_002), 1);
    watcher.overslept(Duration::from_secs(6), at(8));
    watcher.look(&[], 9);
    assert_eq!(watcher.dropped(), 10_000);
    assert_eq!(count(&drain(&mut watcher, 9), "PROCESS_END"), 0);
}

#[test]
fn the_start_of_the_client_is_never_given_up() {
    let mut first = new();
    first.next_message(None, at(0));
    let saved = saved(&first.answered(&[config(), mapping()], at(0)));
    let mut watcher = Watcher::new(Options::new(HOST), saved, at(0));
    watcher.look(&[], 1);
    let gone: Vec<WireEvent> = (2..20_000).map(|pid| kill(key(pid), 0)).collect();
    watcher.answered(&gone, at(1));
    assert_eq!(watcher.outgoing.len(), WAITING_MAX);
    assert_eq!(watcher.says(2)[0], "START_CLIENT");
}

#[test]
fn processes_beyond_what_is_kept_are_left_out_with_one_line() {
    let mut watcher = watching();
    let effects = watcher.look(&games(2..10_005), 1);
    assert_eq!(logs(&effects), ["too many processes count: 3 left out"]);
    assert_eq!(watcher.look(&games(2..10_005), 2), []);
    drain(&mut watcher, 2);
    watcher.look(&games(4..10_005), 3);
    watcher.look(&games(4..10_005), 4);
    assert_eq!(
        drain(&mut watcher, 4),
        [
            "PROCESS_END 2 amelie",
            "PROCESS_END 3 amelie",
            "PROCESS_START 10002 amelie lbgame",
            "PROCESS_START 10003 amelie lbgame",
        ]
    );
    watcher.exchange(&[replay(key(20_000))], 5);
    assert_eq!(watcher.open_processes(), OPEN_MAX);
}

#[test]
fn a_refused_message_is_halved_until_the_event_that_is_refused_stands_alone() {
    let mut watcher = watching();
    watcher.look(&games(2..10), 1);
    let poison = "PROCESS_START 5 amelie lbgame";
    let mut delivered = Vec::new();
    for s in 2..40 {
        let said = watcher.says(s);
        if said.iter().any(|words| words == poison) {
            watcher.failed(Failure::Refused, at(s));
        } else {
            delivered.extend(said);
            watcher.answered(&[], at(s));
        }
    }
    let expected: Vec<String> = (2..10)
        .filter(|pid| *pid != 5)
        .map(|pid| format!("PROCESS_START {pid} amelie lbgame"))
        .collect();
    assert_eq!(delivered, expected);
    assert_eq!(watcher.dropped(), 1);
    watcher.look(&games(2..2000), 50);
    assert_eq!(watcher.says(50).len(), 1000, "messages are as large as ever");
}

#[test]
fn the_start_of_the_client_is_kept_though_it_is_refused() {
    let mut watcher = new();
    for s in 0..10 {
        assert_eq!(watcher.says(s), ["START_CLIENT"]);
        watcher.failed(Failure::Refused, at(s));
    }
    assert_eq!(watcher.dropped(), 0);
}

#[test]
fn an_answer_with_too_many_events_is_cut_with_a_line() {
    let mut watcher = watching();
    let mut events = vec![from_server(EventType::StartMaster); 20_000];
    events.push(replay(key(7)));
    watcher.next_message(None, at(1));
    let effects = watcher.answered(&events, at(1));
    assert_eq!(logs(&effects).len(), 1);
    assert_eq!(watcher.open_processes(), 0);
}

#[test]
fn lines_of_one_input_are_bounded_and_the_rest_is_counted() {
    let mut watcher = watching();
    watcher.next_message(None, at(1));
    let effects = watcher.answered(&vec![from_server(EventType::ProcessEnd); 100], at(1));
    assert_eq!(logs(&effects).len(), 21);
    assert_eq!(logs(&effects)[20], "80 more lines like these left out");
}

#[test]
fn users_uids_and_patterns_are_bounded() {
    let mut watcher = new();
    let users: serde_json::Map<String, Value> = (0..10_100)
        .map(|n| {
            let user = json!({"active": true, "process_name_pattern": format!("game{}", n % 300)});
            (format!("user{n:05}"), user)
        })
        .collect();
    let logins: Vec<Value> = (0..10_100).map(|n| json!([format!("user{n:05}"), n])).collect();
    watcher.next_message(None, at(0));
    let effects = watcher.answered(
        &[
            with_payload(
                EventType::UpdateConfig,
                json!({"config:user_config": users, "config:maximum_time_without_send": 20}),
            ),
            with_payload(EventType::UpdateLoginMapping, json!([["default-group", logins]])),
        ],
        at(0),
    );
    let saved = saved(&effects).unwrap();
    assert_eq!((saved.users.len(), saved.logins.len()), (10_000, 10_000));
    watcher.look(
        &[
            process(7, 1, "game1"),
            process(8, 201, "game201"),
            process(9, 301, "game1"),
        ],
        1,
    );
    assert_eq!(
        watcher.exchange(&[], 1),
        [
            "PROCESS_START 7 user00001 game1",
            "PROCESS_START 9 user00301 game1"
        ]
    );
}

//! How the server's table and the host come together again.

use super::*;

#[test]
fn a_replayed_process_that_is_gone_is_reported_as_ended() {
    let mut watcher = watching();
    watcher.exchange(&[replay(key(7))], 1);
    watcher.look(&[], 2);
    let events = watcher.next_message(None, at(2)).events;
    assert_eq!(words(&events), ["PROCESS_END 7 amelie"]);
    assert_eq!(events[0].process_start_time, Some(key(7).start));
}

#[test]
fn a_replayed_process_that_lives_is_not_mentioned() {
    let mut watcher = watching();
    watcher.exchange(&[replay(key(7))], 1);
    watcher.look(&[game(7)], 2);
    assert!(watcher.says(2).is_empty());
    assert_eq!(watcher.open_processes(), 1);
}

#[test]
fn a_replayed_process_that_lives_and_does_not_count_is_reported_as_ended() {
    let mut watcher = watching();
    watcher.exchange(&[replay(key(7))], 1);
    watcher.look(&[process(7, AMELIE, "other")], 2);
    assert_eq!(watcher.says(2), ["PROCESS_END 7 amelie"]);
}

#[test]
fn a_replayed_process_that_is_known_is_not_mentioned() {
    let mut watcher = watching_over(&[game(7)]);
    watcher.exchange(&[replay(key(7))], 2);
    watcher.look(&[game(7)], 3);
    assert!(watcher.exchange(&[], 3).is_empty());
    watcher.look(&[], 4);
    assert_eq!(watcher.says(4), ["PROCESS_END 7 amelie"]);
}

#[test]
fn a_replay_one_second_off_is_another_process() {
    let mut watcher = watching_over(&[game(7)]);
    let off = ProcessKey {
        start: local(8),
        ..key(7)
    };
    watcher.exchange(&[replay(off)], 2);
    watcher.look(&[game(7)], 3);
    let events = watcher.next_message(None, at(3)).events;
    assert_eq!(words(&events), ["PROCESS_END 7 amelie"]);
    assert_eq!(events[0].process_start_time, Some(off.start));
}

#[test]
fn replays_that_cannot_be_used_are_ignored_with_a_line() {
    let mut foreign = replay(key(7));
    foreign.processhandler = None;
    let mut device = replay(key(7));
    device.processhandler = Some("ClientDeviceHandler".to_owned());
    let mut no_pid = replay(key(7));
    no_pid.pid = None;
    let mut no_start = replay(key(7));
    no_start.process_start_time = None;
    let mut long = replay(key(7));
    long.username = Some("x".repeat(5000));
    for event in [foreign, device, no_pid, no_start, long] {
        let mut watcher = watching();
        watcher.next_message(None, at(1));
        let effects = watcher.answered(std::slice::from_ref(&event), at(1));
        assert!(
            logs(&effects)[0].starts_with("PROCESS_START ignored"),
            "{effects:?}"
        );
        watcher.look(&[], 2);
        assert!(watcher.says(2).is_empty(), "{event:?}");
    }
}

#[test]
fn a_replay_without_a_user_is_taken_over() {
    let mut nobody = replay(key(7));
    nobody.username = None;
    let mut watcher = watching();
    watcher.exchange(&[nobody.clone()], 1);
    watcher.look(&[game(7)], 2);
    assert!(watcher.exchange(&[], 2).is_empty());
    watcher.look(&[], 3);
    assert_eq!(watcher.exchange(&[], 3), ["PROCESS_END 7 amelie"]);
    watcher.exchange(&[nobody], 4);
    watcher.look(&[], 5);
    assert_eq!(watcher.says(5), ["PROCESS_END 7"]);
}

#[test]
fn a_server_that_started_hears_of_all_open_processes_again() {
    let mut watcher = watching_over(&[game(7), game(8), bad(9)]);
    watcher.exchange(&[from_server(EventType::StartMaster)], 2);
    let events = watcher.next_message(None, at(3)).events;
    assert_eq!(
        words(&events),
        ["PROCESS_START 7 amelie", "PROCESS_START 8 amelie"]
    );
    assert!(
        events
            .iter()
            .all(|event| event.processhandler.as_deref() == Some(PROCESS_HANDLER))
    );
    watcher.answered(&[], at(3));
    assert!(watcher.says(4).is_empty());
}

#[test]
fn a_process_whose_start_waits_is_not_announced_besides() {
    let mut watcher = watching();
    watcher.next_message(None, at(1));
    watcher.look(&[game(7)], 1);
    watcher.answered(&[from_server(EventType::StartMaster)], at(1));
    assert_eq!(watcher.exchange(&[], 2), ["PROCESS_START 7 amelie lbgame"]);
    assert!(watcher.says(3).is_empty());
}

#[test]
fn what_is_announced_again_carries_its_downtime() {
    let mut watcher = watching_over(&[game(7), game(8)]);
    watcher.overslept(Duration::from_secs(9), at(11));
    watcher.exchange(&[from_server(EventType::StartMaster)], 12);
    assert_eq!(
        watcher.says(13),
        [
            "PROCESS_START 7 amelie",
            "PROCESS_DOWNTIME 7 amelie slept 9",
            "PROCESS_START 8 amelie",
            "PROCESS_DOWNTIME 8 amelie slept 9",
        ]
    );
}

#[test]
fn after_a_lost_connection_all_open_processes_are_announced_again() {
    let mut watcher = watching_over(&[game(7)]);
    assert!(watcher.lose(2).is_empty());
    watcher.look(&[game(7), game(8)], 3);
    assert_eq!(watcher.lose(3), ["PROCESS_START 8 amelie lbgame"]);
    assert_eq!(watcher.exchange(&[], 4), ["PROCESS_START 8 amelie lbgame"]);
    assert_eq!(
        watcher.exchange(&[], 5),
        ["PROCESS_START 7 amelie"],
        "8 was in the message just now"
    );
    assert!(watcher.exchange(&[], 6).is_empty());
}

#[test]
fn an_announcement_that_is_lost_is_made_again_and_one_that_is_outdated_is_not() {
    let mut watcher = watching_over(&[game(7), game(8)]);
    watcher.exchange(&[from_server(EventType::StartMaster)], 2);
    assert_eq!(watcher.lose(3).len(), 2);
    watcher.look(&[game(7)], 4);
    assert_eq!(
        watcher.exchange(&[], 4),
        ["PROCESS_END 8 amelie", "PROCESS_START 7 amelie"]
    );
    assert!(watcher.exchange(&[], 5).is_empty());
}

#[test]
fn a_refused_message_is_no_lost_connection() {
    let mut watcher = watching_over(&[game(7)]);
    watcher.says(2);
    watcher.failed(Failure::Refused, at(2));
    watcher.exchange(&[], 3);
    assert!(watcher.says(4).is_empty());
}

#[test]
fn types_that_servers_do_not_send_are_ignored_with_a_line() {
    for kind in [
        EventType::ProcessEnd,
        EventType::ProcessDowntime,
        EventType::ProhibitedProcess,
        EventType::StartClient,
    ] {
        let mut watcher = watching_over(&[game(7)]);
        watcher.next_message(None, at(2));
        let effects = watcher.answered(&[of_process(kind, key(7), "amelie")], at(2));
        assert_eq!(logs(&effects).len(), 1);
        assert!(watcher.says(3).is_empty());
        assert_eq!(watcher.open_processes(), 1);
    }
}

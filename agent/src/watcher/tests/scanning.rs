//! What scans report.

use super::*;

#[test]
fn the_first_message_begins_with_start_client() {
    let mut watcher = new();
    watcher.look(&[game(7)], 0);
    let message = watcher.next_message(Some(ClientStats::default()), at(0));
    assert_eq!(words(&message.events), ["START_CLIENT"]);
    assert_eq!(message.hostname, HOST);
    assert_eq!(message.client_stats, Some(ClientStats::default()));
}

#[test]
fn nobody_is_watched_before_a_server_has_said_whom() {
    let mut watcher = new();
    assert!(watcher.looks().is_empty());
    watcher.look(&[game(7), bad(8)], 0);
    assert_eq!(watcher.says(0), ["START_CLIENT"]);
    assert_eq!(watcher.next_due(), None, "nobody to end");
}

#[test]
fn a_process_is_reported_when_it_is_found_and_when_it_is_gone() {
    let mut watcher = watching();
    watcher.look(&[game(7)], 1);
    assert_eq!(watcher.exchange(&[], 1), ["PROCESS_START 7 amelie lbgame"]);
    watcher.look(&[game(7)], 2);
    assert!(watcher.exchange(&[], 2).is_empty());
    watcher.look(&[], 3);
    assert_eq!(watcher.exchange(&[], 3), ["PROCESS_END 7 amelie"]);
    assert_eq!(watcher.open_processes(), 0);
}

#[test]
fn a_pid_used_again_is_another_process() {
    let mut watcher = watching_over(&[game(7)]);
    let again = Seen {
        start: local(500),
        ..game(7)
    };
    watcher.look(&[again], 2);
    let events = watcher.next_message(None, at(2)).events;
    assert_eq!(
        words(&events),
        ["PROCESS_END 7 amelie", "PROCESS_START 7 amelie lbgame"]
    );
    let starts: Vec<_> = events
        .iter()
        .map(|event| event.process_start_time.unwrap())
        .collect();
    assert_eq!(starts, [key(7).start, local(500)]);
}

#[test]
fn processes_of_others_by_other_names_or_of_inactive_users_do_not_count() {
    let mut watcher = watching();
    let inactive = json!({"leon": {"active": false, "process_name_pattern": "lbgame"}});
    let users = [
        process(7, STRANGER, "lbgame"),
        process(8, AMELIE, "other"),
        process(9, LEON, "lbgame"),
    ];
    watcher.exchange(&[with_payload(EventType::UpdateConfig, inactive)], 1);
    watcher.look(&users, 2);
    assert!(watcher.says(2).is_empty());
}

#[test]
fn the_name_counts_and_the_command_line_only_when_asked_for() {
    let java = Seen {
        command_line: "/usr/bin/java -jar lbgame.jar".to_owned(),
        ..process(7, LEON, "java")
    };
    for (scan_command_line, expected) in [(false, 0), (true, 1)] {
        let mut options = Options::new(HOST);
        options.scan_command_line = scan_command_line;
        let mut watcher = Watcher::new(options, None, at(0));
        watcher.exchange(&[config(), mapping()], 0);
        watcher.look(std::slice::from_ref(&java), 1);
        let events = watcher.next_message(None, at(1)).events;
        assert_eq!(events.len(), expected);
        assert!(
            events
                .iter()
                .all(|event| event.processname.as_deref() == Some("java"))
        );
    }
}

#[test]
fn what_must_not_run_is_reported_at_every_scan_and_never_as_ended() {
    let mut watcher = watching();
    for s in 1..4 {
        watcher.look(&[bad(7)], s);
        assert_eq!(watcher.exchange(&[], s), ["PROHIBITED_PROCESS 7 amelie lbbad"]);
    }
    watcher.look(&[], 5);
    assert!(watcher.says(5).is_empty());
}

#[test]
fn the_command_line_decides_what_must_not_run_and_counting_goes_first() {
    let mut watcher = watching();
    let hidden = Seen {
        command_line: "/bin/sh /tmp/lbbad.sh".to_owned(),
        ..process(7, AMELIE, "sh")
    };
    let counting = Seen {
        command_line: "lbgame lbbad".to_owned(),
        ..game(8)
    };
    watcher.look(&[hidden, counting, process(9, LEON, "lbbad")], 1);
    assert_eq!(
        watcher.says(1),
        ["PROCESS_START 8 amelie lbgame", "PROHIBITED_PROCESS 7 amelie sh"]
    );
}

#[test]
fn a_process_that_counts_no_longer_has_ended_for_the_server() {
    let mut watcher = watching_over(&[game(7)]);
    watcher.look(
        &[Seen {
            name: "other".to_owned(),
            command_line: String::new(),
            ..game(7)
        }],
        2,
    );
    assert_eq!(watcher.exchange(&[], 2), ["PROCESS_END 7 amelie"]);
    watcher.look(&[game(7)], 3);
    assert_eq!(watcher.exchange(&[], 3), ["PROCESS_START 7 amelie lbgame"]);
    let nobody = json!({"config:user_config": {}, "config:maximum_time_without_send": 20});
    watcher.exchange(&[with_payload(EventType::UpdateConfig, nobody)], 4);
    watcher.look(&[], 5);
    assert_eq!(watcher.says(5), ["PROCESS_END 7 amelie"]);
}

#[test]
fn a_process_that_changes_its_user_ends_and_begins() {
    let mut watcher = watching_over(&[game(7)]);
    watcher.look(&[Seen { uid: LEON, ..game(7) }], 2);
    assert_eq!(
        watcher.says(2),
        ["PROCESS_END 7 amelie", "PROCESS_START 7 leon lbgame"]
    );
}

#[test]
fn a_scan_that_did_not_look_at_a_user_says_nothing_about_that_user() {
    let mut watcher = new();
    watcher.looks();
    watcher.exchange(&[config(), mapping(), replay(key(7))], 0);
    assert!(
        watcher
            .scan(&[], at(1))
            .iter()
            .all(|effect| matches!(effect, Effect::Log(_)))
    );
    assert!(
        watcher.exchange(&[], 1).is_empty(),
        "the scan began before Amelie was known"
    );
    watcher.look(&[game(7)], 2);
    assert!(watcher.exchange(&[], 2).is_empty(), "it lives");
    watcher.look(&[], 3);
    assert_eq!(watcher.says(3), ["PROCESS_END 7 amelie"]);
}

#[test]
fn the_first_process_and_the_agent_itself_are_never_watched() {
    let mut options = Options::new(HOST);
    options.own_pid = Some(50);
    let mut watcher = Watcher::new(options, None, at(0));
    watcher.exchange(&[config(), mapping()], 0);
    watcher.look(&[game(0), game(1), game(50), game(51)], 1);
    assert_eq!(watcher.exchange(&[], 1), ["PROCESS_START 51 amelie lbgame"]);
    let orders = [0, 1, 50].map(|pid| kill(key(pid), 0));
    watcher.next_message(None, at(2));
    assert_eq!(kills(&watcher.answered(&orders, at(2))), []);
}

#[test]
fn downtime_is_the_total_since_the_process_began_in_this_run() {
    let mut watcher = watching_over(&[game(7)]);
    assert_eq!(watcher.overslept(Duration::from_secs(5), at(7)), []);
    assert!(watcher.exchange(&[], 8).is_empty(), "5 s are nothing");
    watcher.overslept(Duration::from_millis(25_700), at(40));
    assert_eq!(watcher.exchange(&[], 40), ["PROCESS_DOWNTIME 7 amelie slept 25"]);
    watcher.look(&[game(7), game(8)], 41);
    watcher.exchange(&[], 41);
    watcher.overslept(Duration::from_secs(6), at(50));
    assert_eq!(
        watcher.exchange(&[], 50),
        [
            "PROCESS_DOWNTIME 7 amelie slept 31",
            "PROCESS_DOWNTIME 8 amelie slept 6"
        ]
    );
}

#[test]
fn a_clean_stop_ends_everything_in_one_last_message_and_kills_nothing() {
    let mut watcher = watching_over(&[game(7), game(8)]);
    watcher.exchange(&[kill(key(7), 1)], 2);
    watcher.stop(at(2));
    assert!(watcher.has_waiting());
    assert_eq!(watcher.says(2), ["PROCESS_END 7 amelie", "PROCESS_END 8 amelie"]);
    assert_eq!(watcher.answered(&[kill(key(8), 0), config()], at(3)), []);
    assert!(!watcher.has_waiting());
    assert_eq!(watcher.look(&[game(7)], 100), []);
    assert_eq!(watcher.tick(at(200)), []);
    assert_eq!(watcher.next_due(), None);
    assert!(watcher.says(200).is_empty());
}

#[test]
fn a_clean_stop_repeats_what_was_under_way() {
    let mut watcher = watching();
    watcher.look(&[game(7)], 1);
    watcher.says(1);
    watcher.stop(at(2));
    assert_eq!(
        watcher.says(2),
        ["PROCESS_START 7 amelie lbgame", "PROCESS_END 7 amelie"]
    );
}

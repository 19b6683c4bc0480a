//! Which processes are ended, when, and how often.

use super::*;

fn order(watcher: &mut Watcher, events: &[WireEvent], s: u64) -> Vec<Effect> {
    watcher.next_message(None, at(s));
    watcher.answered(events, at(s))
}

fn by_server(pid: u32) -> Vec<(u32, Why)> {
    vec![(pid, Why::Ordered)]
}

#[test]
fn a_kill_without_delay_is_due_at_once_and_says_what_to_check() {
    let mut watcher = watching_over(&[game(7)]);
    let effects = order(&mut watcher, &[kill(key(7), 0)], 2);
    let expected = Kill {
        process: key(7),
        start_exact: 700,
        uid: AMELIE,
        username: "amelie".to_owned(),
        kill_delay: Duration::from_secs(5),
        why: Why::Ordered,
    };
    assert!(effects.contains(&Effect::Kill(expected)), "{effects:?}");
    assert_eq!(logs(&effects).len(), 1);
}

#[test]
fn a_delay_is_waited_for() {
    let mut watcher = watching_over(&[game(7)]);
    assert_eq!(order(&mut watcher, &[kill(key(7), 10)], 2), []);
    assert_eq!(watcher.next_due(), Some(Duration::from_secs(12)));
    assert_eq!(watcher.tick(at(11)), []);
    assert_eq!(kills(&watcher.tick(at(12))), by_server(7));
}

#[test]
fn many_repeats_are_one_kill() {
    let mut watcher = watching_over(&[game(7)]);
    let mut count = 0;
    for s in 2..18 {
        let repeats = vec![kill(key(7), 10); 3];
        count += kills(&order(&mut watcher, &repeats, s)).len();
        count += kills(&watcher.look(&[game(7)], s)).len();
        count += kills(&watcher.tick(at(s))).len();
    }
    assert_eq!(count, 1);
}

#[test]
fn the_earliest_time_asked_for_counts() {
    let mut watcher = watching_over(&[game(7)]);
    order(&mut watcher, &[kill(key(7), u64::MAX)], 2);
    assert_eq!(kills(&order(&mut watcher, &[kill(key(7), 0)], 3)), by_server(7));
}

#[test]
fn an_end_is_reported_when_the_kill_was_done() {
    let mut watcher = watching_over(&[game(7)]);
    order(&mut watcher, &[kill(key(7), 0)], 2);
    watcher.kill_ended(key(7), KillOutcome::Ended, at(3));
    assert_eq!(watcher.exchange(&[kill(key(7), 0)], 3), ["PROCESS_END 7 amelie"]);
    assert_eq!(
        watcher.exchange(&[], 4),
        ["PROCESS_END 7 amelie"],
        "a repeat is answered"
    );
    watcher.look(&[], 5);
    assert!(watcher.says(5).is_empty());
}

#[test]
fn a_prohibited_process_that_was_killed_has_no_end_but_a_repeat_is_answered() {
    let mut watcher = watching();
    watcher.look(&[bad(7)], 1);
    watcher.exchange(&[], 1);
    assert_eq!(kills(&order(&mut watcher, &[kill(key(7), 0)], 2)), by_server(7));
    watcher.kill_ended(key(7), KillOutcome::Ended, at(3));
    assert!(watcher.exchange(&[kill(key(7), 0)], 3).is_empty());
    assert_eq!(watcher.exchange(&[], 4), ["PROCESS_END 7 amelie"]);
}

#[test]
fn a_process_that_is_not_there_is_answered_by_its_end_each_time() {
    let mut watcher = watching_over(&[game(7)]);
    let other_start = ProcessKey {
        start: local(400),
        ..key(7)
    };
    for key in [key(8), other_start] {
        for s in [2, 3] {
            let effects = order(&mut watcher, &[kill(key, 5), kill(key, 5)], s);
            assert_eq!(kills(&effects), []);
            let events = watcher.next_message(None, at(s)).events;
            assert_eq!(words(&events), [format!("PROCESS_END {} amelie", key.pid)]);
            assert_eq!(events[0].process_start_time, Some(key.start));
        }
        watcher.answered(&[], at(4));
    }
    assert_eq!(kills(&watcher.tick(at(100))).len(), 1, "only the silence");
}

#[test]
fn a_replayed_process_that_is_to_be_killed_and_gone_has_one_end() {
    let mut watcher = watching_over(&[]);
    watcher.exchange(&[replay(key(7)), kill(key(7), 5)], 2);
    watcher.look(&[], 3);
    assert_eq!(watcher.says(3), ["PROCESS_END 7 amelie"]);
}

#[test]
fn a_pid_used_again_is_never_killed() {
    let mut watcher = watching_over(&[game(7)]);
    order(&mut watcher, &[kill(key(7), 10)], 2);
    let again = Seen {
        start: local(3),
        ..game(7)
    };
    watcher.look(&[again], 4);
    assert_eq!(kills(&watcher.tick(at(15))), []);
    assert_eq!(
        watcher.says(15),
        ["PROCESS_END 7 amelie", "PROCESS_START 7 amelie lbgame"]
    );
}

#[test]
fn a_process_that_ends_by_itself_during_the_delay_is_answered_by_its_end() {
    let mut watcher = watching();
    watcher.look(&[bad(7)], 1);
    watcher.exchange(&[kill(key(7), 10)], 1);
    watcher.look(&[], 3);
    assert_eq!(watcher.says(3), ["PROCESS_END 7 amelie"]);
    assert_eq!(watcher.kills.len(), 0);
}

#[test]
fn a_process_of_another_user_is_never_killed() {
    let seen = [process(7, LEON, "lbgame"), process(8, STRANGER, "lbgame")];
    let mut watcher = watching_over(&seen);
    let orders = [kill(key(7), 0), kill(key(8), 0)];
    let effects = order(&mut watcher, &orders, 2);
    assert_eq!(kills(&effects), []);
    assert_eq!(logs(&effects).len(), 2);
    assert!(watcher.says(3).is_empty(), "and not said to be gone");
}

#[test]
fn nobody_is_hit_whom_the_agent_was_not_told_of() {
    let mut watcher = watching_over(&[game(7)]);
    let mut root = kill(key(7), 0);
    root.username = Some("root".to_owned());
    let mut nobody = kill(key(7), 0);
    nobody.username = None;
    let effects = order(&mut watcher, &[root, nobody], 2);
    assert_eq!((kills(&effects).len(), logs(&effects).len()), (0, 2));
    assert!(watcher.says(3).is_empty());

    let only_mapped = with_payload(
        EventType::UpdateLoginMapping,
        json!([["default-group", [["root", 0]]]]),
    );
    watcher.exchange(&[only_mapped], 3);
    watcher.look(&[game(7), process(9, 0, "lbgame")], 4);
    let root = of_process(EventType::KillProcess, key(9), "root");
    assert_eq!(kills(&order(&mut watcher, &[root], 5)), [], "mapped, but no user");
}

#[test]
fn a_user_who_is_watched_no_longer_when_the_delay_is_over_is_spared() {
    let inactive = json!({"amelie": {"active": false, "process_name_pattern": "lbgame"}});
    let mut watcher = watching_over(&[game(7)]);
    order(&mut watcher, &[kill(key(7), 10)], 2);
    watcher.exchange(&[with_payload(EventType::UpdateConfig, inactive)], 3);
    let effects = watcher.tick(at(12));
    assert_eq!(kills(&effects), []);
    assert_eq!(logs(&effects).len(), 1);
    assert_eq!(watcher.kills.len(), 0);
}

#[test]
fn a_process_that_changed_its_user_during_the_delay_is_spared() {
    let mut watcher = watching_over(&[game(7)]);
    order(&mut watcher, &[kill(key(7), 10)], 2);
    watcher.look(&[Seen { uid: LEON, ..game(7) }], 3);
    assert_eq!(kills(&watcher.tick(at(12))), []);
}

#[test]
fn nothing_is_killed_before_its_user_was_looked_at() {
    let mut watcher = new();
    watcher.look(&[], 0);
    let effects = order(&mut watcher, &[config(), mapping(), kill(key(7), 0)], 0);
    assert_eq!(kills(&effects), []);
    assert!(watcher.says(1).is_empty(), "nor is it said to be gone");
}

#[test]
fn orders_for_another_handler_or_without_a_process_are_ignored() {
    let mut foreign = kill(key(7), 0);
    foreign.processhandler = Some("ClientDeviceHandler".to_owned());
    let mut nothing = kill(key(7), 0);
    nothing.pid = None;
    let mut watcher = watching_over(&[game(7)]);
    let effects = order(&mut watcher, &[foreign, nothing], 2);
    assert_eq!((kills(&effects).len(), logs(&effects).len()), (0, 2));
}

#[test]
fn a_kill_that_failed_is_tried_again_when_it_is_ordered_again_and_not_at_once() {
    let mut watcher = watching_over(&[game(7)]);
    order(&mut watcher, &[kill(key(7), 0)], 2);
    let failed = KillOutcome::Failed("no permission".to_owned());
    let effects = watcher.kill_ended(key(7), failed, at(2));
    assert!(logs(&effects)[0].contains("no permission"));
    assert_eq!(kills(&order(&mut watcher, &[kill(key(7), 0)], 3)), []);
    assert_eq!(watcher.next_due(), Some(Duration::from_secs(7)));
    assert_eq!(kills(&watcher.tick(at(7))), by_server(7));
}

#[test]
fn a_process_found_gone_is_answered_by_its_end() {
    let mut watcher = watching();
    watcher.look(&[bad(7), game(8)], 1);
    watcher.exchange(&[kill(key(7), 0), kill(key(8), 0)], 1);
    watcher.kill_ended(key(7), KillOutcome::Gone, at(2));
    watcher.kill_ended(key(8), KillOutcome::Gone, at(2));
    assert_eq!(watcher.says(2), ["PROCESS_END 7 amelie", "PROCESS_END 8 amelie"]);
}

#[test]
fn an_attempt_nobody_hears_of_again_is_given_up() {
    let mut watcher = watching_over(&[game(7)]);
    order(&mut watcher, &[kill(key(7), 0)], 2);
    order(&mut watcher, &[kill(key(7), 0)], 60);
    let effects = watcher.tick(at(67));
    assert_eq!(logs(&effects).len(), 1, "{effects:?}");
    assert_eq!(kills(&order(&mut watcher, &[kill(key(7), 0)], 72)), by_server(7));
}

#[test]
fn an_outcome_nobody_waits_for_changes_nothing() {
    let mut watcher = watching_over(&[game(7)]);
    for outcome in [
        KillOutcome::Ended,
        KillOutcome::Gone,
        KillOutcome::Failed(String::new()),
    ] {
        assert_eq!(watcher.kill_ended(key(7), outcome, at(2)), []);
    }
    assert!(watcher.says(2).is_empty());
}

#[test]
fn time_overslept_is_not_time_to_react() {
    let mut watcher = watching_over(&[game(7)]);
    order(&mut watcher, &[kill(key(7), 10)], 2);
    assert_eq!(kills(&watcher.overslept(Duration::from_secs(100), at(104))), []);
    assert_eq!(watcher.next_due(), Some(Duration::from_secs(112)));
}

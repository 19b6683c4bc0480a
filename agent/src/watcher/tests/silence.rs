//! No server for too long.

use super::*;

fn silent(pid: u32) -> Vec<(u32, Why)> {
    vec![(pid, Why::Silence)]
}

#[test]
fn after_the_longest_silence_open_processes_of_watched_users_are_ended() {
    let seen = [
        game(7),
        bad(8),
        process(9, STRANGER, "lbgame"),
        process(10, AMELIE, "other"),
    ];
    let mut watcher = watching_over(&seen);
    watcher.lose(10);
    assert_eq!(kills(&watcher.tick(at(20))), []);
    let effects = watcher.tick(at(21));
    assert_eq!(kills(&effects), silent(7));
    assert!(logs(&effects)[0].contains("no server for 20 s"), "{effects:?}");
}

#[test]
fn it_goes_on_with_every_process_until_a_message_is_delivered() {
    let mut watcher = watching_over(&[game(7)]);
    assert_eq!(kills(&watcher.tick(at(21))), silent(7));
    assert_eq!(kills(&watcher.tick(at(22))), [], "it is under way");
    watcher.kill_ended(key(7), KillOutcome::Ended, at(23));
    let effects = watcher.look(&[game(8)], 30);
    assert_eq!(kills(&effects), silent(8));
    watcher.kill_ended(key(8), KillOutcome::Failed("no".to_owned()), at(31));
    watcher.says(32);
    assert_eq!(
        kills(&watcher.failed(Failure::Unreachable, at(37))),
        silent(8),
        "again"
    );
    watcher.kill_ended(key(8), KillOutcome::Failed("no".to_owned()), at(38));
    watcher.exchange(&[], 50);
    assert_eq!(kills(&watcher.tick(at(60))), []);
}

#[test]
fn silence_does_not_wait_for_a_delay_that_was_ordered() {
    let mut watcher = watching_over(&[game(7)]);
    watcher.exchange(&[kill(key(7), 300)], 2);
    assert_eq!(kills(&watcher.tick(at(22))), silent(7));
}

#[test]
fn a_wrong_secret_is_silence_and_nothing_of_the_message_is_lost() {
    let mut watcher = watching();
    watcher.look(&[game(7)], 1);
    for s in [5, 10, 15] {
        assert_eq!(watcher.says(s), ["PROCESS_START 7 amelie lbgame"]);
        assert_eq!(kills(&watcher.failed(Failure::WrongSecret, at(s))), []);
    }
    watcher.says(20);
    assert_eq!(kills(&watcher.failed(Failure::WrongSecret, at(20))), silent(7));
    assert_eq!(watcher.says(21), ["PROCESS_START 7 amelie lbgame"]);
}

#[test]
fn a_refused_message_is_silence_too() {
    let mut watcher = watching_over(&[game(7)]);
    watcher.says(21);
    assert_eq!(kills(&watcher.failed(Failure::Refused, at(21))), silent(7));
}

#[test]
fn every_delivered_message_ends_the_silence() {
    let mut watcher = watching_over(&[game(7)]);
    for s in (5..200).step_by(5) {
        watcher.says(s);
        assert_eq!(watcher.answered(&[], at(s)), []);
    }
}

#[test]
fn a_warning_comes_first_and_each_line_once() {
    let mut watcher = watching_over(&[game(7)]);
    watcher.says(2);
    assert_eq!(
        logs(&watcher.failed(Failure::Unreachable, at(2))),
        ["message not delivered: no server"]
    );
    watcher.says(7);
    assert_eq!(watcher.failed(Failure::Unreachable, at(7)), []);
    assert_eq!(watcher.next_due(), Some(Duration::from_secs(16)));
    assert_eq!(
        logs(&watcher.tick(at(16))),
        ["no server for 15 s: watched processes are ended after 20 s"]
    );
    assert_eq!(watcher.tick(at(17)), []);
    assert_eq!(watcher.next_due(), Some(Duration::from_secs(21)));
    assert_eq!(logs(&watcher.tick(at(21))).len(), 2);
    assert_eq!(watcher.tick(at(22)), []);
    watcher.says(23);
    assert_eq!(
        logs(&watcher.answered(&[], at(23))),
        ["in contact again after 22 s"]
    );
}

#[test]
fn another_reason_is_said() {
    let mut watcher = watching();
    watcher.says(1);
    watcher.failed(Failure::Unreachable, at(1));
    watcher.says(2);
    let effects = watcher.failed(Failure::WrongSecret, at(2));
    assert_eq!(
        logs(&effects),
        ["message not delivered: the server does not take the secret"]
    );
}

#[test]
fn a_restarted_agent_counts_from_its_start_with_the_silence_it_was_told() {
    let mut first = new();
    first.next_message(None, at(0));
    let saved = saved(&first.answered(&[config(), mapping()], at(0)));
    let mut watcher = Watcher::new(Options::new(HOST), saved, at(1000));
    watcher.look(&[game(7)], 1000);
    watcher.lose(1001);
    assert_eq!(kills(&watcher.tick(at(1019))), []);
    assert_eq!(kills(&watcher.tick(at(1020))), silent(7));
}

#[test]
fn without_users_there_is_no_silence() {
    let mut watcher = new();
    watcher.lose(1);
    assert_eq!(watcher.next_due(), None);
    assert_eq!(watcher.tick(at(1000)), []);
}

#[test]
fn time_in_which_the_agent_did_not_run_is_no_silence() {
    let mut watcher = watching_over(&[game(7)]);
    watcher.tick(at(11));
    assert_eq!(kills(&watcher.overslept(Duration::from_secs(3600), at(3611))), []);
    assert_eq!(kills(&watcher.tick(at(3620))), []);
    assert_eq!(
        kills(&watcher.tick(at(3621))),
        silent(7),
        "10 s before and 10 s after"
    );
}

#[test]
fn waking_when_something_is_due_never_finds_nothing_to_do() {
    let mut watcher = watching_over(&[game(7)]);
    watcher.exchange(&[kill(key(7), 4)], 2);
    for _ in 0..10 {
        let Some(due) = watcher.next_due() else { return };
        let moment = Moment {
            up: due,
            local: local(0),
        };
        watcher.tick(moment);
        assert_ne!(watcher.next_due(), Some(due));
    }
}

//! Prohibited processes.

use super::super::Oddity;
use super::*;

const NOTHING: [&str; 0] = [];

#[test]
fn a_prohibited_process_is_ended_in_the_same_answer_at_every_report() {
    let mut server = Server::introduced();
    for seconds in [1, 2, 12] {
        let outcome = server.post(vec![prohibited(7, seconds)]);
        assert_eq!(words(&outcome.answer), ["kill 7"]);
        let kill = &outcome.answer[0];
        assert_eq!((kill.delay, kill.process_start_time), (0, Some(at(0))));
        assert_eq!(kill.processhandler.as_deref(), Some("ClientProcessHandler"));
        assert_eq!(kill.username.as_deref(), Some("amelie"));
        assert_eq!(outcome.events.len(), 1);
        server.state.written(outcome.ticket);
        assert_eq!(server.poll(), NOTHING, "without a report nothing repeats");
    }
    assert!(server.rows.is_empty(), "it has no entry");
}

#[test]
fn the_same_report_again_is_answered_again() {
    let mut server = Server::introduced();
    server.post(vec![prohibited(7, 1)]);
    let outcome = server.post(vec![prohibited(7, 1)]);
    assert_eq!(words(&outcome.answer), ["kill 7"]);
    assert!(outcome.events.is_empty());
}

#[test]
fn two_reports_in_one_message_bring_one_kill() {
    let mut server = Server::introduced();
    let outcome = server.post(vec![prohibited(7, 1), prohibited(7, 11), prohibited(8, 11)]);
    assert_eq!(words(&outcome.answer), ["kill 7", "kill 8"]);
}

#[test]
fn a_process_that_ended_since_its_report_is_left_alone() {
    let mut server = Server::introduced();
    let outcome = server.post(vec![prohibited(7, 1), end(7, 2)]);
    assert_eq!(words(&outcome.answer), NOTHING);
    assert_eq!(outcome.odd[&Oddity::UnknownProcess], 1);
}

#[test]
fn processes_of_unknown_and_inactive_users_are_left_alone() {
    let mut server = Server::introduced();
    for username in [Some("leon"), Some("nobody"), None] {
        let mut event = prohibited(7, 1);
        event.username = username.map(Into::into);
        let outcome = server.post(vec![event]);
        assert_eq!(words(&outcome.answer), NOTHING);
        assert_eq!(outcome.events.len(), 1);
    }
}

#[test]
fn nothing_is_ended_when_the_settings_say_so() {
    let mut server = Server::introduced();
    server.configure(|settings| settings.kill_prohibited = false);
    assert_eq!(words(&server.post(vec![prohibited(7, 1)]).answer), NOTHING);
}

#[test]
fn a_lost_kill_goes_again_at_once_while_the_process_is_reported() {
    let mut server = Server::introduced();
    let lost = server.post(vec![prohibited(7, 1), prohibited(8, 1)]);
    server.lose(lost.ticket);
    assert_eq!(server.poll(), ["kill 7", "kill 8"]);

    let lost = server.later(10).post(vec![prohibited(7, 11), prohibited(8, 11)]);
    let ended = server.later(1).post(vec![end(7, 12)]);
    server.state.written(ended.ticket);
    server.lose(lost.ticket);
    assert_eq!(server.poll(), ["kill 8"]);

    let lost = server.later(10).post(vec![prohibited(8, 21)]);
    server.later(31).post(vec![]);
    server.lose(lost.ticket);
    assert_eq!(server.poll(), NOTHING, "not reported for three scans");
}

#[test]
fn a_lost_kill_does_not_wait_for_a_client_that_was_away() {
    let mut server = Server::introduced();
    let lost = server.post(vec![prohibited(7, 1)]);
    server.lose(lost.ticket);
    assert_eq!(
        server.later(31).poll(),
        NOTHING,
        "the pid may be another's by now"
    );
}

#[test]
fn a_lost_kill_that_went_out_again_since_does_not_go_a_third_time() {
    let mut server = Server::introduced();
    let lost = server.post(vec![prohibited(7, 1)]);
    let again = server.later(10).post(vec![prohibited(7, 11)]);
    server.state.written(again.ticket);
    server.lose(lost.ticket);
    assert_eq!(server.poll(), NOTHING);
}

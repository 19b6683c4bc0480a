//! `kill_process` of live response.

use super::super::{KILLS_MAX, KillStatus};
use super::server::command;
use super::*;
use tripline_protocol::FaultClass;
use tripline_protocol::verb::KillProcess;

const NOTHING: [&str; 0] = [];

/// With process 7 open and nothing waiting.
fn with_process() -> Server {
    let mut server = Server::introduced();
    server.configure(|settings| settings.kill_prohibited = false);
    server.post(vec![start(7, 0)]);
    server
}

fn killed(server: &mut Server, events: Vec<tripline_protocol::littlebrother::WireEvent>) -> Vec<u128> {
    let outcome = server.post(events);
    server.state.written(outcome.ticket);
    outcome.killed.iter().map(|id| id.0.as_u128()).collect()
}

#[test]
fn a_kill_goes_with_the_next_answer_and_is_done_with_the_processs_end() {
    let mut server = with_process();
    server.kill(1, 7, None).unwrap();
    assert_eq!(server.state.kill_status(command(1)), KillStatus::Pending);
    let outcome = server.post(vec![]);
    assert_eq!(words(&outcome.answer), ["kill 7"]);
    let kill = &outcome.answer[0];
    assert_eq!((kill.delay, kill.process_start_time), (0, Some(at(0))));
    assert_eq!(kill.username.as_deref(), Some("amelie"));
    server.state.written(outcome.ticket);
    assert_eq!(killed(&mut server, vec![end(7, 5)]), [1]);
    assert_eq!(server.state.kill_status(command(1)), KillStatus::Done);
    assert!(killed(&mut server, vec![end(7, 6)]).is_empty(), "told once");
    server.forget_kill(1);
    assert_eq!(server.state.kill_status(command(1)), KillStatus::Unknown);
}

#[test]
fn a_kill_repeats_no_sooner_than_the_kill_delay_until_the_end() {
    let mut server = with_process();
    server.kill(1, 7, None).unwrap();
    assert_eq!(server.poll(), ["kill 7"]);
    assert_eq!(server.later(9).poll(), NOTHING);
    assert_eq!(server.later(1).poll(), ["kill 7"]);
    assert_eq!(server.later(25).poll(), ["kill 7"]);
    server.later(25).post(vec![end(7, 60)]);
    assert_eq!(server.later(25).poll(), NOTHING);
}

#[test]
fn a_kill_whose_answer_was_lost_goes_again_at_once() {
    let mut server = with_process();
    server.kill(1, 7, None).unwrap();
    let lost = server.post(vec![]);
    server.lose(lost.ticket);
    assert_eq!(server.poll(), ["kill 7"]);
    let lost = server.later(10).post(vec![]);
    assert_eq!(words(&lost.answer), ["kill 7"]);
    server.lose(lost.ticket);
    assert_eq!(server.poll(), ["kill 7"]);
    assert_eq!(server.poll(), NOTHING);
}

#[test]
fn a_lost_kill_of_a_process_that_ended_since_does_not_go_again() {
    let mut server = with_process();
    server.kill(1, 7, None).unwrap();
    let lost = server.post(vec![]);
    server.post(vec![end(7, 2)]);
    server.lose(lost.ticket);
    assert_eq!(server.poll(), NOTHING);
}

#[test]
fn a_kill_survives_a_restart_and_keeps_its_distance() {
    let mut server = with_process();
    server.kill(1, 7, None).unwrap();
    server.restart();
    assert!(server.poll().contains(&"kill 7".to_owned()));
    server.later(5).restart();
    assert!(!server.poll().contains(&"kill 7".to_owned()));
    assert_eq!(server.later(5).poll(), ["config", "mapping", "kill 7"]);
    server.post(vec![end(7, 12)]);
    server.restart();
    assert_eq!(server.state.kill_status(command(1)), KillStatus::Done);
}

#[test]
fn a_cancelled_kill_goes_no_more_and_the_next_one_still_keeps_its_distance() {
    let mut server = with_process();
    server.kill(1, 7, None).unwrap();
    assert_eq!(server.poll(), ["kill 7"]);
    server.forget_kill(1);
    assert_eq!(server.later(9).poll(), NOTHING);
    server.kill(2, 7, None).unwrap();
    server.restart();
    assert_eq!(server.poll(), ["config", "mapping", "start_master", "start 7"]);
    assert_eq!(server.later(1).poll(), ["config", "mapping", "kill 7"]);
}

#[test]
fn two_commands_for_one_process_send_one_kill_and_are_done_together() {
    let mut server = with_process();
    server.kill(1, 7, None).unwrap();
    server.kill(2, 7, None).unwrap();
    server.kill(2, 7, None).unwrap();
    assert_eq!(server.poll(), ["kill 7"]);
    assert_eq!(killed(&mut server, vec![end(7, 5)]), [1, 2]);
}

#[test]
fn a_process_that_is_not_there_cannot_be_killed() {
    let mut server = with_process();
    server.post(vec![start(8, 1), end(8, 2)]);
    for pid in [1, 8] {
        let fault = server.kill(1, pid, None).unwrap_err();
        assert_eq!(
            (fault.class, fault.code.as_str()),
            (FaultClass::LiveResponse, "ESRCH")
        );
    }
    assert_eq!(server.state.kill_status(command(1)), KillStatus::Unknown);
}

#[test]
fn the_start_time_tells_processes_with_one_pid_apart() {
    let mut server = with_process();
    let mut other = start(7, 60);
    other.process_start_time = Some(at(60));
    server.later(60).post(vec![other]);
    let fault = server.kill(1, 7, Some(NOON + 30)).unwrap_err();
    assert_eq!(
        (fault.class, fault.code.as_str()),
        (FaultClass::LiveResponse, "recycled_pid")
    );
    let start_of_kill = |server: &mut Server| server.post(vec![]).answer[0].process_start_time;
    server.kill(2, 7, Some(NOON + 1)).unwrap();
    assert_eq!(start_of_kill(&mut server), Some(at(0)));
    server.forget_kill(2);
    server.kill(3, 7, None).unwrap();
    assert_eq!(
        start_of_kill(&mut server),
        Some(at(60)),
        "the others must have ended"
    );
}

#[test]
fn a_prohibited_process_can_be_killed_while_it_is_reported() {
    let mut server = with_process();
    server.post(vec![prohibited(9, 1)]);
    server.later(30);
    server.kill(1, 9, Some(NOON)).unwrap();
    assert_eq!(server.poll(), ["kill 9"]);
    assert_eq!(killed(&mut server, vec![end(9, 33)]), [1]);
    server.post(vec![prohibited(9, 34)]);
    server.later(31);
    assert_eq!(server.kill(2, 9, None).unwrap_err().code, "ESRCH");
}

#[test]
fn a_prohibited_process_is_gone_when_its_reports_stop_for_three_scans() {
    let mut server = with_process();
    server.post(vec![prohibited(9, 1)]);
    server.later(6).post(vec![prohibited(9, 7)]);
    server.kill(1, 9, None).unwrap();
    for _ in 0..8 {
        assert!(killed(&mut server.later(2), vec![]).is_empty(), "a scan is 6 s");
    }
    assert!(killed(&mut server.later(1), vec![]).is_empty());
    assert_eq!(killed(&mut server.later(1), vec![]), [1]);
}

#[test]
fn a_scan_takes_at_least_the_check_interval() {
    let mut server = with_process();
    server.post(vec![prohibited(9, 1)]);
    server.later(1).post(vec![prohibited(9, 2)]);
    server.kill(1, 9, None).unwrap();
    server.later(5).poll();
    server.later(5).poll();
    assert!(killed(&mut server.later(4), vec![]).is_empty());
    assert_eq!(killed(&mut server.later(1), vec![]), [1]);
}

#[test]
fn time_in_which_a_client_was_away_is_not_time_without_reports() {
    let mut server = with_process();
    server.post(vec![prohibited(9, 1)]);
    server.kill(1, 9, None).unwrap();
    assert!(killed(server.later(40), vec![]).is_empty(), "away");
    assert!(killed(server.later(15), vec![]).is_empty());
    assert!(
        killed(server.later(14), vec![start_client(69)]).is_empty(),
        "started again"
    );
    assert!(killed(server.later(15), vec![]).is_empty());
    server.restart();
    assert!(killed(server.later(14), vec![]).is_empty(), "the server was away");
    assert!(killed(server.later(15), vec![]).is_empty());
    assert_eq!(killed(server.later(15), vec![]), [1]);
}

#[test]
fn a_prohibited_process_that_is_not_reported_any_more_is_not_killed() {
    let mut server = with_process();
    server.post(vec![prohibited(9, 1)]);
    server.kill(1, 9, None).unwrap();
    server.later(31);
    assert_eq!(server.poll(), NOTHING, "the pid may be another's by now");
    let outcome = server.post(vec![prohibited(9, 32)]);
    assert_eq!(words(&outcome.answer), ["kill 9"]);
}

#[test]
fn a_report_that_is_answered_at_once_keeps_the_commands_kill_back() {
    let mut server = with_process();
    server.configure(|settings| settings.kill_prohibited = true);
    server.post(vec![prohibited(9, 1)]);
    server.kill(1, 9, None).unwrap();
    assert_eq!(server.later(5).poll(), NOTHING);
    let outcome = server.later(4).post(vec![prohibited(9, 10)]);
    assert_eq!(words(&outcome.answer), ["kill 9"]);
    assert_eq!(server.later(5).poll(), NOTHING);
    assert_eq!(server.later(5).poll(), ["kill 9"]);
}

#[test]
fn commands_are_bounded() {
    let mut server = with_process();
    for n in 0..KILLS_MAX {
        server.kill(n as u128, 7, None).unwrap();
    }
    let fault = server.kill(9999, 7, None).unwrap_err();
    assert_eq!(
        (fault.class, fault.code.as_str()),
        (FaultClass::Server, "too_many_kills")
    );
}

#[test]
fn a_command_is_stored_before_it_goes_out() {
    let mut server = with_process();
    let args = KillProcess {
        pid: 7,
        start_time: None,
        wait: None,
    };
    let changes = server.with(|state, context| state.kill(command(1), &args, context));
    assert!(changes.unwrap().saved);
    assert_eq!(server.state.saved().kills.len(), 1);
}

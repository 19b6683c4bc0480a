//! The machine, a rule at a time.

use super::super::state::{Joining, Known, Machine};
use super::{at, host, in_flight, joins, record};
use tripline_protocol::HostId;
use tripline_protocol::fanout::{FanoutHostState, FanoutOutcome, Pace};
use tripline_protocol::job::{Outcome, Reason};

#[test]
fn the_width_grows_by_the_ramp_with_each_wave_that_ended_well() {
    let pace = Pace {
        in_flight: 5,
        canary: Some(1),
        ramp: 2,
        ..Pace::default()
    };
    let mut machine = Machine::new(record(pace, false));
    machine.join((1..=8).map(|n| joins(n, true)));
    machine.resolve();
    let mut widths = Vec::new();
    loop {
        let made: Vec<HostId> = std::iter::from_fn(|| machine.next(at(0))).collect();
        if made.is_empty() {
            break;
        }
        widths.push(made.len());
        made.iter()
            .for_each(|host| machine.landed(*host, 0, Outcome::Succeeded, 0));
    }
    assert_eq!(widths, [1, 1, 2, 4]);
    assert_eq!(machine.conclusion().unwrap().0, FanoutOutcome::Succeeded);
}

#[test]
fn a_host_that_goes_away_gives_its_place_in_the_pace_back_and_none_under_the_guard_of_the_pipeline() {
    for (max_in_flight, next) in [(None, Some(host(3))), (Some(3), Some(host(3))), (Some(2), None)] {
        let pace = Pace {
            in_flight: 2,
            per_minute: Some(60),
            ..Pace::default()
        };
        let mut record = record(pace, false);
        record.plan.max_in_flight = max_in_flight;
        let mut machine = Machine::new(record);
        machine.join((1..=4).map(|n| joins(n, true)));
        machine.resolve();
        assert_eq!(
            (machine.next(at(0)), machine.next(at(1))),
            (Some(host(1)), Some(host(2)))
        );
        assert_eq!((machine.next(at(2)), machine.due()), (None, None));
        machine.detached(host(1));
        assert_eq!(
            machine.due(),
            next.map(|_| at(2)),
            "who is not let go on needs no timer"
        );
        assert_eq!(machine.next(at(2)), next, "{max_in_flight:?}");
        machine.landed(host(1), 0, Outcome::Interrupted, 0);
        let then = match next {
            Some(_) => None,
            None => Some(host(3)),
        };
        assert_eq!(machine.next(at(3)), then, "{max_in_flight:?}");
    }
}

#[test]
fn a_canary_that_failed_during_a_persons_pause_is_decided_about_when_it_goes_on() {
    let pace = Pace {
        canary: Some(2),
        ..Pace::default()
    };
    let mut machine = Machine::new(record(pace, false));
    machine.join((1..=5).map(|n| joins(n, true)));
    machine.resolve();
    let canaries: Vec<HostId> = std::iter::from_fn(|| machine.next(at(0))).collect();
    machine.pause(Reason::new("paused", "ana wants to look first"));
    machine.landed(canaries[0], 0, Outcome::Failed, 0);
    machine.landed(canaries[1], 0, Outcome::Succeeded, 0);
    assert!(machine.resume());
    let code = |machine: &Machine| machine.record().paused.clone().map(|reason| reason.code);
    assert_eq!(code(&machine).as_deref(), Some("canary_failed"));
    assert_eq!(machine.next(at(1)), None);
    assert!(machine.resume() && machine.next(at(2)).is_some());
}

#[test]
fn a_retry_lets_nobody_go_on_who_waits_for_a_person_because_of_their_number() {
    let mut record = record(Pace::default(), true);
    record.plan.max_hosts = Some(2);
    let mut machine = Machine::new(record);
    machine.join((1..=2).map(|n| joins(n, true)));
    machine.resolve();
    let first = machine.next(at(0)).unwrap();
    machine.landed(first, 0, Outcome::Failed, 0);
    machine.join([joins(3, true)]);
    let paused = |machine: &Machine| machine.record().paused.clone().map(|reason| reason.code);
    assert_eq!(paused(&machine).as_deref(), Some("max_hosts"));
    machine.retry(&[Outcome::Failed], at(3600));
    assert_eq!(paused(&machine).as_deref(), Some("max_hosts"));
    assert_eq!(machine.next(at(1)), None);
}

#[test]
fn jobs_are_as_far_apart_as_the_pace_says_also_after_a_restart() {
    let pace = Pace {
        per_minute: Some(2),
        ..Pace::default()
    };
    let mut machine = Machine::new(record(pace, false));
    machine.join((1..=3).map(|n| joins(n, true)));
    machine.resolve();
    let first = machine.next(at(0)).unwrap();
    assert_eq!((machine.next(at(29)), machine.due()), (None, Some(at(30))));
    assert!(machine.next(at(30)).is_some());
    let row = in_flight(0, 0, at(30));
    let known = (1..=3).map(|n| Known {
        host_id: host(n),
        turn: 0,
        row: (host(n) == first).then(|| row.clone()),
        attached: true,
    });
    let mut again = Machine::restore(machine.record().clone(), known, at(60));
    assert_eq!(again.next(at(59)), None);
    assert!(again.next(at(60)).is_some());
}

fn skipped(n: u128) -> Joining {
    Joining {
        skipped: true,
        ..joins(n, true)
    }
}

#[test]
fn hosts_that_are_passed_over_do_not_count_for_max_hosts_when_they_join_late_either() {
    let mut record = record(Pace::default(), true);
    record.plan.max_hosts = Some(2);
    let mut machine = Machine::new(record);
    machine.join([joins(1, true), skipped(2), skipped(3)]);
    machine.resolve();
    machine.join([skipped(4)]);
    machine.join([joins(5, true)]);
    assert_eq!(machine.record().paused, None);
    assert_eq!(machine.counts().skipped, 3);
    machine.join([joins(6, true)]);
    assert_eq!(machine.record().paused.as_ref().unwrap().code, "max_hosts");
}

/// Two hosts, one of which has an open job and is away: the server has just started.
fn restarted() -> Machine {
    let pace = Pace {
        in_flight: 1,
        ..Pace::default()
    };
    let mut stored = record(pace, false);
    stored.resolved = true;
    let known = [(1, Some(in_flight(0, 0, at(0)))), (2, None)].map(|(n, row)| Known {
        host_id: host(n),
        turn: 0,
        attached: row.is_none(),
        row,
    });
    Machine::restore(stored, known, at(30))
}

#[test]
fn after_a_restart_an_open_job_keeps_its_place_until_its_host_is_heard_of_or_its_time_is_over() {
    let mut machine = restarted();
    assert_eq!(machine.next(at(29)), None, "its host may come back");
    assert_eq!(
        machine.next(at(30)),
        Some(host(2)),
        "it has not come back in time"
    );
    let mut machine = restarted();
    machine.attached(host(1));
    assert_eq!(machine.next(at(31)), None, "it came back, and its job goes on");
    machine.detached(host(1));
    assert_eq!(machine.next(at(31)), Some(host(2)), "it came back and went again");
    let mut machine = restarted();
    machine.landed(host(1), 0, Outcome::Interrupted, 0);
    assert_eq!(machine.next(at(1)), Some(host(2)), "its job ended");
}

#[test]
fn one_that_was_over_before_its_hosts_were_found_finds_the_others_when_it_is_tried_again() {
    for outcome in [Outcome::Cancelled, Outcome::Expired] {
        let mut machine = Machine::new(record(Pace::default(), false));
        machine.join([joins(1, true)]);
        machine.close(outcome, Reason::new("over", "over"), at(1));
        let (ended, reason) = machine.conclusion().unwrap();
        let expected = match outcome {
            Outcome::Cancelled => FanoutOutcome::Cancelled,
            _ => FanoutOutcome::Expired,
        };
        assert_eq!(ended, expected);
        assert!(
            reason.text.contains("before all of its hosts were found"),
            "{reason:?}"
        );
        assert!(!machine.has_to_retry(&[Outcome::Failed]));
        assert!(machine.has_to_retry(&[outcome]));
        machine.retry(&[outcome], at(3600));
        assert!(machine.record().is_resolving());
        assert_eq!(
            machine.next(at(2)),
            None,
            "nobody has a turn before all are found"
        );
        machine.join([joins(1, true), joins(2, true)]);
        machine.resolve();
        assert_eq!(machine.next(at(2)), Some(host(1)));
        assert_eq!(machine.next(at(2)), Some(host(2)));
    }
}

#[test]
fn without_a_host_found_one_that_was_cancelled_is_tried_again_too() {
    let mut machine = Machine::new(record(Pace::default(), false));
    machine.close(Outcome::Cancelled, Reason::new("over", "over"), at(1));
    assert!(machine.has_to_retry(&[Outcome::Cancelled]));
    assert!(!machine.has_to_retry(&[Outcome::Failed, Outcome::Expired]));
}

fn unreadable() -> Machine {
    let mut stored = record(Pace::default(), false);
    stored.resolved = true;
    let known = Known {
        host_id: host(1),
        turn: 0,
        row: Some(super::HostRow::unreadable(at(1))),
        attached: true,
    };
    Machine::restore(stored, [known], at(30))
}

#[test]
fn a_host_whose_row_cannot_be_read_failed_and_has_no_other_turn() {
    let mut machine = unreadable();
    assert_eq!((machine.next(at(2)), machine.counts().failed), (None, 1));
    assert_eq!(machine.conclusion().unwrap().0, FanoutOutcome::Failed);
    assert!(!machine.has_to_retry(&[Outcome::Failed]));
    machine.retry(&[Outcome::Failed], at(3600));
    assert_eq!((machine.next(at(3)), machine.counts().failed), (None, 1));
}

#[test]
fn when_the_job_of_such_a_host_ends_its_row_says_so_again() {
    let mut machine = unreadable();
    machine.landed(host(1), 2, Outcome::Failed, 0);
    assert!(machine.has_to_retry(&[Outcome::Failed]));
    machine.retry(&[Outcome::Failed], at(3600));
    let member = machine.member(host(1)).unwrap();
    assert_eq!((member.state, member.run), (FanoutHostState::Pending, 3));
}

#[test]
fn lists_of_hosts_that_cannot_be_read_are_no_success() {
    let mut stored = record(Pace::default(), false);
    stored.resolved = true;
    let mut machine = Machine::restore(stored, [], at(30));
    machine.lose_lists(2);
    let (outcome, reason) = machine.conclusion().unwrap();
    assert_eq!(
        (outcome, reason.code.as_str()),
        (FanoutOutcome::Failed, "hosts_lost")
    );
    assert!(
        reason.text.starts_with("2 lists of at most 250"),
        "{}",
        reason.text
    );
}

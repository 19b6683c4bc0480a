//! Clients whose clocks are off.

use super::*;
use tripline_protocol::littlebrother::{WireEvent, Zone};

const HOUR: i64 = 3600;

fn times(server: &mut Server, events: Vec<WireEvent>) -> Vec<i64> {
    let outcome = server.post(events);
    let seconds = |event: &super::super::Reported| event.time.as_micros() / 1_000_000 - NOON;
    outcome.events.iter().map(seconds).collect()
}

#[test]
fn events_of_a_right_clock_keep_their_times() {
    let mut server = Server::introduced();
    server.later(7);
    assert_eq!(times(&mut server, vec![start(7, 2), end(7, 6)]), [2, 6]);
    server.later(5);
    assert_eq!(times(&mut server, vec![start(7, 9)]), [9]);
}

#[test]
fn no_event_is_in_the_future() {
    let mut server = Server::introduced();
    assert_eq!(times(&mut server, vec![start(7, 1)]), [0]);
}

#[test]
fn a_clock_that_is_ahead_is_corrected() {
    let mut server = Server::introduced();
    server.later(100);
    let outcome = server.post(vec![start(7, HOUR + 98), end(7, HOUR + 99)]);
    assert_eq!(outcome.clock_off_s, Some(-HOUR + 1));
    let outcome = server.later(5).post(vec![start(8, HOUR + 105)]);
    assert_eq!(outcome.clock_off_s, None, "told once");
    server.later(5);
    // A second too late: how long the events were under way is known no better.
    assert_eq!(times(&mut server, vec![start(9, HOUR + 107)]), [108]);
}

#[test]
fn a_clock_that_is_behind_is_corrected_from_the_start_of_the_client() {
    let mut server = Server::new();
    let outcome = server.post(vec![start_client(-HOUR), start(7, -HOUR)]);
    assert_eq!(outcome.clock_off_s, Some(HOUR));
    assert_eq!(outcome.events[1].time, server.now);
}

#[test]
fn a_clock_that_is_behind_is_corrected_from_messages_that_follow_each_other() {
    let mut server = Server::introduced();
    server.later(5);
    assert_eq!(times(&mut server, vec![start(7, 3 - HOUR)]), [5]);
}

#[test]
fn old_events_are_not_taken_for_a_clock_that_is_behind() {
    let mut server = Server::introduced();
    server.later(2 * HOUR as u64);
    let outcome = server.post(vec![start(7, 60), end(7, HOUR)]);
    assert_eq!(outcome.clock_off_s, None);
    assert_eq!(outcome.events[1].time.as_micros() / 1_000_000, NOON + HOUR);
}

#[test]
fn a_long_queue_in_several_messages_is_not_taken_for_a_clock_that_is_behind() {
    let mut server = Server::introduced();
    server.later(2 * HOUR as u64);
    server.post(vec![start(7, 60)]);
    server.later(1);
    assert_eq!(times(&mut server, vec![end(7, HOUR)]), [HOUR]);
}

#[test]
fn a_client_that_waited_for_the_server_is_not_taken_for_one_that_is_behind() {
    let mut server = Server::new();
    server.restart();
    server.later(10);
    assert_eq!(
        times(&mut server, vec![start_client(-600), start(7, -590)]),
        [-600, -590]
    );
}

#[test]
fn a_repeated_event_teaches_nothing() {
    let mut server = Server::introduced();
    server.post(vec![start(7, 0)]);
    server.later(40).poll();
    server.later(5);
    let outcome = server.post(vec![start(7, 0)]);
    assert!(outcome.events.is_empty() && outcome.clock_off_s.is_none());
    assert_eq!(server.state.saved().behind_s, 0);
}

#[test]
fn a_clock_that_is_put_right_is_taken_as_right() {
    let mut server = Server::introduced();
    for off in [HOUR, -HOUR] {
        server.later(10);
        let now = server.now.as_micros() / 1_000_000 - NOON;
        server.post(vec![start(7, now + off)]);
        assert_eq!(server.state.saved().behind_s, -off);
        server.later(10);
        server.post(vec![start(8, now + 8)]);
        assert_eq!(server.state.saved().behind_s, 0);
    }
}

#[test]
fn what_is_known_of_a_clock_survives_a_restart() {
    let mut server = Server::introduced();
    server.post(vec![start(7, HOUR)]);
    server.restart();
    server.later(5);
    assert_eq!(times(&mut server, vec![end(7, HOUR + 3)]), [3]);
}

#[test]
fn start_times_are_read_in_the_zone_and_by_the_clock_of_the_client() {
    let mut server = Server::introduced();
    server.configure(|settings| settings.zone = Zone(jiff::tz::TimeZone::fixed(jiff::tz::offset(1))));
    // Its clock shows two hours more than UTC, where one would be right: it is an hour ahead.
    server.post(vec![start(7, 2 * HOUR)]);
    assert_eq!(server.state.saved().behind_s, -HOUR);
    let listing = server.with(|state, context| state.processes(context));
    assert_eq!(listing.processes[0].create_time, NOON - 2 * HOUR);
    server.kill(1, 7, Some(NOON - 2 * HOUR)).unwrap();
    let killed = server.post(vec![]).answer.pop().unwrap();
    assert_eq!(killed.process_start_time, Some(at(0)), "as the client wrote it");
    assert_eq!(killed.event_time, at(HOUR), "by our clock, in the zone");
}

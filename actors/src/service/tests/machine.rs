//! Sequences of calls, answers and crashes: each message ends once, in order, after as many attempts as it may have.

use crate::service::queue::{Item, Lane};
use crate::service::state::{End, FAILURES_MAX, HEALTH_EVERY, Machine, Next, Patience};
use crate::service::verdict::Verdict;
use proptest::prelude::*;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use tripline_protocol::api::{Breaker, ServiceSpec, ServiceState};
use tripline_protocol::{HostId, Span, Timestamp};
use uuid::Uuid;

fn at(second: u64) -> Timestamp {
    Timestamp::from_micros(0).after(Span::from_secs(second))
}

fn spec() -> ServiceSpec {
    let spec =
        json!({ "name": "s", "url": "http://s/", "attempts": 4, "give_up_after": "1h", "in_flight": 3 });
    serde_json::from_value(spec).unwrap()
}

fn machine() -> Machine {
    Machine::new(Patience::from(&spec()), at(0))
}

fn item(sensor: u64, queued_at: Timestamp) -> Item {
    Item {
        lane: Lane::Sensor(HostId(Uuid::from_u128(u128::from(sensor)))),
        org: None,
        is_barrier: false,
        attempts: 0,
        queued_at,
        not_before: queued_at,
    }
}

fn failed() -> Verdict {
    Verdict::Failed("reset".into())
}

/// All that may go out at once.
fn out(machine: &mut Machine, now: Timestamp) -> Vec<Next> {
    std::iter::from_fn(|| machine.next(now)).collect()
}

/// A machine whose health was answered, with so many messages of different sensors.
fn healthy(messages: u64) -> Machine {
    let mut machine = machine();
    assert_eq!(machine.next(at(0)), Some(Next::Health));
    machine.health_ended(&Verdict::Done, at(0), 0);
    (1..=messages).for_each(|seq| machine.queue.add(seq, item(seq, at(0))));
    machine
}

#[test]
fn health_is_asked_at_once_and_then_every_five_minutes() {
    let mut machine = healthy(0);
    let due = at(0).after(HEALTH_EVERY);
    assert_eq!(machine.next(due.before(Span::from_millis(1))), None);
    assert_eq!(
        out(&mut machine, due),
        [Next::Health],
        "once until it is answered"
    );
}

#[test]
fn a_service_that_does_not_answer_is_asked_after_pauses_that_grow_and_gets_nothing_else() {
    let mut machine = machine();
    machine.queue.add(1, item(1, at(0)));
    let mut now = at(0);
    let mut pauses = Vec::new();
    assert_eq!(machine.next(now), Some(Next::Health));
    for _ in 0..12 {
        machine.health_ended(&failed(), now, 0);
        assert_eq!(
            (machine.state(), machine.breaker()),
            (ServiceState::Down, Breaker::Open)
        );
        let asked_at = (0..).map(|ms| now.after(Span::from_millis(ms * 250)));
        let asked_at = asked_at
            .take(2_000)
            .find(|at| machine.next(*at) == Some(Next::Health))
            .unwrap();
        pauses.push(asked_at.since(now));
        now = asked_at;
    }
    assert!(pauses.is_sorted() && pauses[0] < Span::from_secs(1), "{pauses:?}");
    assert_eq!(
        pauses.last(),
        Some(&Span::from_secs(150)),
        "half of the longest, by chance 0"
    );
    machine.health_ended(&Verdict::Done, now, 0);
    assert_eq!(machine.breaker(), Breaker::HalfOpen);
    assert_eq!(out(&mut machine, now), [Next::Deliver(1)]);
    assert_eq!(machine.ended(1, &Verdict::Done, now, 0), End::Delivered);
    assert_eq!(
        (machine.state(), machine.breaker()),
        (ServiceState::Up, Breaker::Closed)
    );
}

#[test]
fn calls_that_fail_in_a_row_open_the_breaker_and_one_is_tried_when_health_is_back() {
    let mut machine = healthy(20);
    let mut now = at(1);
    let mut failures = 0;
    while machine.breaker() == Breaker::Closed {
        let Some(Next::Deliver(seq)) = machine.next(now) else {
            panic!("nothing goes out")
        };
        assert!(matches!(
            machine.ended(seq, &failed(), now, 0),
            End::Rests { attempts: 1, .. }
        ));
        failures += 1;
    }
    assert_eq!(failures, FAILURES_MAX);
    assert_eq!(machine.next(now), None);
    now = now.after(Span::from_secs(1));
    assert_eq!(out(&mut machine, now), [Next::Health]);
    machine.health_ended(&Verdict::Done, now, 0);
    let trial = out(&mut machine, now);
    assert_eq!(trial.len(), 1, "one, not as many as may be under way: {trial:?}");
    let [Next::Deliver(seq)] = trial[..] else {
        panic!("{trial:?}")
    };
    machine.ended(seq, &failed(), now, 0);
    assert_eq!((machine.breaker(), machine.next(now)), (Breaker::Open, None));
    now = now.after(Span::from_secs(2));
    assert_eq!(out(&mut machine, now), [Next::Health]);
    machine.health_ended(&Verdict::Done, now, 0);
    let Some(Next::Deliver(seq)) = machine.next(now) else {
        panic!("nothing goes out")
    };
    // An answer is an answer, whatever it says.
    machine.ended(seq, &Verdict::Again("later".into()), now, 0);
    assert_eq!(machine.breaker(), Breaker::Closed);
    assert_eq!(out(&mut machine, now).len(), 3);
}

#[test]
fn a_wrong_secret_stops_all_but_health_and_costs_no_attempt() {
    let mut machine = healthy(2);
    assert_eq!(out(&mut machine, at(1)), [Next::Deliver(1), Next::Deliver(2)]);
    assert_eq!(machine.ended(1, &Verdict::Unsigned, at(1), 0), End::Held);
    assert_eq!(
        machine.ended(2, &failed(), at(1), 0),
        End::Rests {
            not_before: at(1).after(Span::from_millis(500)),
            attempts: 1
        }
    );
    assert_eq!(machine.state(), ServiceState::Misconfigured);
    assert_eq!(out(&mut machine, at(2)), [Next::Health]);
    machine.health_ended(&failed(), at(2), 0);
    assert_eq!(
        machine.state(),
        ServiceState::Misconfigured,
        "that it is away does not make it right"
    );
    machine.change(Patience::from(&spec()), at(3));
    assert_eq!(
        out(&mut machine, at(3)),
        [Next::Health, Next::Deliver(1), Next::Deliver(2)]
    );
    assert_eq!(machine.queue.get(1).unwrap().attempts, 0);
}

#[test]
fn what_health_was_before_a_change_says_nothing_and_is_asked_anew() {
    let mut machine = machine();
    assert_eq!(out(&mut machine, at(0)), [Next::Health]);
    machine.change(Patience::from(&spec()), at(1));
    assert_eq!(machine.next(at(1)), None, "it is under way still");
    machine.health_of_before(at(2));
    assert_eq!(
        (machine.state(), machine.breaker()),
        (ServiceState::Up, Breaker::Closed)
    );
    assert_eq!(out(&mut machine, at(2)), [Next::Health]);
}

#[test]
fn a_message_ends_after_its_attempts_or_its_time() {
    let mut machine = healthy(1);
    let mut now = at(1);
    for attempt in 1..4 {
        assert_eq!(machine.next(now), Some(Next::Deliver(1)));
        let again = machine.ended(1, &Verdict::Again("no".into()), now, 0);
        let End::Rests { not_before, attempts } = again else {
            panic!("{again:?}")
        };
        assert_eq!(attempts, attempt);
        assert_eq!(machine.next(not_before.before(Span::from_millis(1))), None);
        now = not_before;
    }
    assert_eq!(machine.next(now), Some(Next::Deliver(1)));
    assert_eq!(
        machine.ended(1, &Verdict::Again("no".into()), now, 0),
        End::GivenUp("attempts")
    );
    machine.queue.add(2, item(2, now));
    machine.queue.add(3, item(3, now));
    assert_eq!(machine.next(now), Some(Next::Deliver(2)));
    let late = now.after(Span::from_secs(3600));
    assert_eq!(machine.expire(late.before(Span::from_millis(1))), []);
    let expired: Vec<u64> = machine.expire(late).into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(expired, [3], "what is under way is waited for");
    assert_eq!(machine.ended(2, &failed(), late, 0), End::GivenUp("too_old"));
    assert!(machine.queue.is_empty());
}

#[derive(Debug, Clone)]
enum Act {
    Add(u64),
    Pump,
    Answer(usize, u8),
    Health(u8),
    Later(u64),
    Crash,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0_u64..4).prop_map(Act::Add),
        5 => Just(Act::Pump),
        5 => (any::<usize>(), 0_u8..12).prop_map(|(n, verdict)| Act::Answer(n, verdict)),
        2 => (0_u8..4).prop_map(Act::Health),
        3 => (0_u64..400).prop_map(Act::Later),
        1 => Just(Act::Crash),
    ]
}

fn verdict(n: u8) -> Verdict {
    match n {
        0..4 => Verdict::Done,
        4 => Verdict::Refused(String::new()),
        5 => Verdict::Rejected(String::new()),
        6..8 => Verdict::Again(String::new()),
        8 => Verdict::Unsigned,
        9 => Verdict::Forbidden(String::new()),
        _ => failed(),
    }
}

/// What is durable: a row for each message that has not ended.
type Rows = BTreeMap<u64, Item>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_message_ends_once_in_order_and_nothing_is_lost_by_a_crash(acts in prop::collection::vec(act(), 1..150)) {
        let mut machine = machine();
        let (mut rows, mut ended) = (Rows::new(), BTreeSet::new());
        let (mut flying, mut asking) = (BTreeSet::new(), false);
        let (mut now, mut seq) = (0, 0_u64);
        for act in acts {
            match act {
                Act::Add(sensor) => {
                    seq += 1;
                    rows.insert(seq, item(sensor, at(now)));
                    machine.queue.add(seq, item(sensor, at(now)));
                }
                Act::Pump => for next in out(&mut machine, at(now)) {
                    match next {
                        Next::Health => {
                            prop_assert!(!asking, "one question at a time");
                            asking = true;
                        }
                        Next::Deliver(seq) => {
                            prop_assert!(flying.insert(seq), "{seq} is under way twice");
                            let lane = &rows[&seq].lane;
                            prop_assert!(rows.range(..seq).all(|(_, item)| item.lane != *lane), "out of order");
                            prop_assert!(rows[&seq].not_before <= at(now));
                            let most = if machine.breaker() == Breaker::HalfOpen { 1 } else { 3 };
                            prop_assert!(flying.len() <= most);
                            prop_assert!(machine.breaker() != Breaker::Open);
                        }
                    }
                },
                Act::Answer(n, of) => {
                    let Some(seq) = flying.iter().nth(n % flying.len().max(1)).copied() else { continue };
                    flying.remove(&seq);
                    match machine.ended(seq, &verdict(of), at(now), n as u64) {
                        End::Delivered | End::Refused | End::GivenUp(_) => {
                            prop_assert!(rows.remove(&seq).is_some() && ended.insert(seq), "{seq} ended twice");
                        }
                        End::Rests { not_before, attempts } => {
                            prop_assert!(attempts < 4 && not_before > at(now));
                            let row = rows.get_mut(&seq).unwrap();
                            prop_assert_eq!(attempts, row.attempts + 1);
                            (row.attempts, row.not_before) = (attempts, not_before);
                        }
                        End::Held => {}
                        End::Unknown => prop_assert!(false, "{seq} is not known"),
                    }
                }
                Act::Health(of) => if std::mem::take(&mut asking) {
                    machine.health_ended(&verdict(of * 3), at(now), 0);
                },
                Act::Later(by) => {
                    now += by;
                    for (seq, _) in machine.expire(at(now)) {
                        prop_assert!(!flying.contains(&seq));
                        prop_assert!(rows.remove(&seq).is_some() && ended.insert(seq));
                    }
                }
                Act::Crash => {
                    (flying, asking) = (BTreeSet::new(), false);
                    machine = Machine::new(Patience::from(&spec()), at(now));
                    rows.iter().for_each(|(seq, item)| machine.queue.add(*seq, item.clone()));
                }
            }
            prop_assert_eq!(machine.queue.len(), rows.len());
            prop_assert_eq!(machine.queue.flying(), flying.len());
            prop_assert_eq!(rows.len() + ended.len(), seq as usize);
        }
        // A service that is well again gets all that is left.
        for _ in 0..2_000 {
            for next in out(&mut machine, at(now)) {
                if let Next::Deliver(seq) = next {
                    flying.insert(seq);
                } else {
                    asking = true;
                }
            }
            if std::mem::take(&mut asking) {
                machine.health_ended(&Verdict::Done, at(now), 0);
            }
            for seq in std::mem::take(&mut flying) {
                machine.ended(seq, &Verdict::Done, at(now), 0);
                rows.remove(&seq);
            }
            now += 1;
        }
        prop_assert!(rows.is_empty() && machine.queue.is_empty(), "{rows:?}");
    }
}

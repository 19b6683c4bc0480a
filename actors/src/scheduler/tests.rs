//! The order of jobs, step by step; `model` holds it to one that is slow and obvious.

mod model;

use super::slots::{Kind, Slots};
use super::state::{Entry, Full, Limits, Phase, State, Wait};
use tripline_protocol::api::JobCounts;
use tripline_protocol::job::Priority;
use tripline_protocol::{HostId, JobId, Name, Span, Timestamp};
use uuid::Uuid;

const SLOTS: u32 = 4;
const JOB_SLOTS: u32 = 3;
const LIMITS: Limits = Limits {
    per_host: 4,
    per_pipeline: 5,
    total: 9,
};
const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

fn host(n: u8) -> HostId {
    HostId(Uuid::from_u128(0x1000 + u128::from(n)))
}

fn job(seq: u64) -> JobId {
    // Ids in another order than the numbers, so that neither passes for the other.
    JobId(Uuid::from_u128(u128::from(seq.reverse_bits())))
}

fn entry(seq: u64, host_n: u8, priority: Priority) -> Entry {
    Entry {
        job_id: job(seq),
        host_id: host(host_n),
        seq,
        priority,
        expires_at: START.after(Span::from_secs(100)),
        pipeline: None,
        begun: false,
    }
}

fn state() -> State {
    State::new(LIMITS, Slots::new(SLOTS, JOB_SLOTS, SLOTS))
}

/// Adds a job and gives its number.
fn add(state: &mut State, host_n: u8, priority: Priority, attached: bool) -> u64 {
    let seq = state.take_seq();
    state.add(entry(seq, host_n, priority), || attached, START);
    seq
}

#[test]
fn jobs_of_one_host_start_in_the_order_they_were_accepted() {
    let mut state = state();
    let first = add(&mut state, 1, Priority::Low, true);
    let second = add(&mut state, 1, Priority::High, true);
    assert_eq!(state.dispatch(), Some((0, job(first))));
    assert_eq!(state.dispatch(), None, "two jobs of one host ran");
    assert!(state.remove(job(first)));
    assert_eq!(state.dispatch(), Some((0, job(second))));
}

#[test]
fn a_host_counts_with_its_most_urgent_waiting_job() {
    let mut state = state();
    add(&mut state, 1, Priority::Normal, true);
    let low = add(&mut state, 2, Priority::Low, true);
    add(&mut state, 2, Priority::High, true);
    assert_eq!(
        state.dispatch(),
        Some((0, job(low))),
        "the urgent job's host is first"
    );
}

#[test]
fn among_equals_the_host_with_the_oldest_job_is_first() {
    let mut state = state();
    let older = add(&mut state, 9, Priority::Normal, true);
    let newer = add(&mut state, 1, Priority::Normal, true);
    assert_eq!(state.dispatch(), Some((0, job(older))));
    assert_eq!(state.dispatch(), Some((1, job(newer))));
}

#[test]
fn a_job_that_gives_its_slot_back_keeps_its_place() {
    let mut state = state();
    let first = add(&mut state, 1, Priority::Normal, true);
    add(&mut state, 1, Priority::High, true);
    state.dispatch();
    state.give_back(job(first));
    assert_eq!(state.phase(job(first)), Some(Phase::Waiting));
    assert_eq!(state.dispatch(), Some((0, job(first))));
}

#[test]
fn a_job_that_is_given_back_after_its_time_expires_at_once() {
    let mut state = state();
    let seq = add(&mut state, 1, Priority::Normal, true);
    state.dispatch();
    let late = START.after(Span::from_secs(100));
    assert_eq!(state.expired(late, 10), [], "a running job does not expire");
    state.give_back(job(seq));
    assert_eq!(state.expired(late, 10), [job(seq)]);
}

#[test]
fn a_job_under_way_at_the_last_stop_starts_although_its_host_is_away() {
    let mut state = state();
    let seq = add(&mut state, 1, Priority::Normal, false);
    assert_eq!(state.dispatch(), None);
    assert_eq!(state.start(job(seq)), Some(0));
    assert_eq!(state.start(job(seq)), None, "it runs already");
    state.assert_invariants();
}

#[test]
fn while_paused_nothing_starts_but_what_was_under_way_at_the_last_stop() {
    let mut state = state();
    let first = add(&mut state, 1, Priority::High, true);
    let second = add(&mut state, 2, Priority::Normal, true);
    state.set_paused(true);
    assert_eq!(state.next_kind(false), None);
    assert_eq!(state.next_kind(true), Some(Kind::Session));
    assert_eq!(state.dispatch(), None);
    assert_eq!(state.start(job(second)), Some(0));
    state.set_paused(false);
    assert_eq!(state.next_kind(false), Some(Kind::Job));
    assert_eq!(state.dispatch(), Some((1, job(first))));
    state.assert_invariants();
}

#[test]
fn a_job_that_waits_for_a_time_lets_others_go_first_and_keeps_its_number() {
    let mut state = state();
    let first = add(&mut state, 1, Priority::Normal, true);
    let second = add(&mut state, 1, Priority::Low, true);
    state.dispatch();
    let (until, leaves) = (START.after(Span::from_secs(30)), START.after(Span::from_secs(50)));
    state.rest(job(first), until, leaves);
    assert_eq!(state.phase(job(first)), Some(Phase::Resting { until }));
    assert_eq!(
        state.waiting(job(first)),
        Some(Wait::Resting { position: 1, until })
    );
    assert_eq!((state.host_open_len(host(1)), state.counts().resting), (2, 1));
    assert_eq!(state.dispatch(), Some((0, job(second))), "it steps aside");
    state.give_back(job(second));
    state.wake(START.after(Span::from_secs(29)));
    assert_eq!(state.counts().resting, 1, "its time has not come");
    state.wake(until);
    assert_eq!(state.counts().resting, 0);
    assert_eq!(state.dispatch(), Some((0, job(first))), "it has its number");
    state.assert_invariants();
}

#[test]
fn a_job_that_waits_for_a_time_leaves_when_it_may_wait_no_longer() {
    let mut state = state();
    let seq = add(&mut state, 1, Priority::Normal, true);
    state.dispatch();
    let leaves = START.after(Span::from_secs(10));
    state.rest(job(seq), START.after(Span::from_secs(30)), leaves);
    assert_eq!(state.expired(START.after(Span::from_secs(9)), 10), []);
    assert_eq!(state.expired(leaves, 10), [job(seq)]);
    assert_eq!(state.waiting_of(host(1)), [job(seq)]);
    assert!(state.remove(job(seq)));
    state.wake(START.after(Span::from_secs(30)));
    assert_eq!(state.open_len(), 0);
    state.assert_invariants();
}

fn name(name: &str) -> Name {
    name.parse().unwrap()
}

/// Adds a job of pipeline `p` and gives its number.
fn add_of_pipeline(state: &mut State, host_n: u8) -> u64 {
    let seq = state.take_seq();
    let entry = Entry {
        pipeline: Some(name("p")),
        ..entry(seq, host_n, Priority::Normal)
    };
    state.add(entry, || true, START);
    seq
}

#[test]
fn a_job_of_a_paused_pipeline_waits_beside_its_lane_and_has_its_place_afterwards() {
    let mut state = state();
    let held = add_of_pipeline(&mut state, 1);
    let other = add(&mut state, 1, Priority::Normal, true);
    state.hold(&name("p"));
    assert_eq!(state.phase(job(held)), Some(Phase::Held));
    assert_eq!(
        state.waiting(job(held)),
        Some(Wait::PipelinePaused { position: 1 })
    );
    assert_eq!((state.counts().held, state.host_open_len(host(1))), (1, 2));
    assert_eq!(state.dispatch(), Some((0, job(other))), "it lets others go first");
    state.give_back(job(other));
    let later = add_of_pipeline(&mut state, 1);
    assert_eq!(state.phase(job(later)), Some(Phase::Held), "one that comes now");
    state.let_go(&name("p"));
    assert_eq!(state.counts().held, 0);
    assert_eq!(state.dispatch(), Some((0, job(held))), "it has its place");
    state.assert_invariants();
}

#[test]
fn a_held_job_expires_and_is_gone_when_its_pipeline_acts_again() {
    let mut state = state();
    state.hold(&name("p"));
    let held = add_of_pipeline(&mut state, 1);
    let over = START.after(Span::from_secs(100));
    assert_eq!(state.expired(over, 10), [job(held)]);
    assert_eq!(state.waiting_of(host(1)), [job(held)]);
    assert!(state.remove(job(held)));
    state.let_go(&name("p"));
    assert_eq!((state.open_len(), state.dispatch()), (0, None));
    state.assert_invariants();
}

#[test]
fn a_pause_of_its_pipeline_does_not_hold_a_job_that_has_begun() {
    let mut state = state();
    let under_way = add_of_pipeline(&mut state, 1);
    state.dispatch();
    state.hold(&name("p"));
    state.note_begun(job(under_way), true);
    state.give_back(job(under_way));
    assert_eq!(state.dispatch(), Some((0, job(under_way))), "it goes on");
    let until = START.after(Span::from_secs(1));
    state.note_begun(job(under_way), false);
    state.rest(job(under_way), until, START.after(Span::from_secs(50)));
    state.wake(until);
    assert_eq!(
        state.phase(job(under_way)),
        Some(Phase::Held),
        "one that begins anew"
    );
    state.assert_invariants();
}

#[test]
fn a_job_with_only_its_last_steps_left_does_not_wait_long_for_its_host() {
    let mut state = state();
    let (first, second) = (
        add(&mut state, 1, Priority::Normal, true),
        add(&mut state, 1, Priority::Normal, true),
    );
    let grace = Span::from_secs(30);
    let late = START.after(grace);
    let deserted = |state: &State, now| state.deserted(grace, now, 10);
    state.close(job(first));
    state.detached(host(1), START);
    assert_eq!(deserted(&state, START.after(Span::from_secs(29))), []);
    assert_eq!(deserted(&state, late), [job(first)], "the other one waits on");
    assert!(state.is_away(host(1), grace, late));
    state.attached(host(1));
    assert_eq!(deserted(&state, late), []);
    assert!(state.start(job(first)).is_some());
    state.detached(host(1), START);
    assert_eq!(deserted(&state, late), [], "it does not wait");
    state.rest(job(first), late, late);
    assert_eq!(deserted(&state, late), [job(first)]);
    assert!(state.remove(job(first)));
    assert_eq!(deserted(&state, late), []);
    assert!(state.remove(job(second)));
    state.assert_invariants();
}

#[test]
fn numbers_go_on_after_those_that_were_read_from_the_store() {
    let mut state = state();
    state.add(entry(41, 1, Priority::Normal), || true, START);
    assert_eq!(state.take_seq(), 42);
}

#[test]
fn what_a_job_waits_for_is_said_with_its_position() {
    let mut state = state();
    let offline = add(&mut state, 1, Priority::Normal, false);
    let since = START;
    assert_eq!(
        state.waiting(job(offline)),
        Some(Wait::HostOffline { position: 1, since })
    );
    for n in 2..=4 {
        add(&mut state, n, Priority::Normal, true);
        state.dispatch();
    }
    let behind = add(&mut state, 2, Priority::Normal, true);
    let running = job(2);
    assert_eq!(
        state.waiting(job(behind)),
        Some(Wait::BehindJob {
            position: 1,
            job_id: running
        })
    );
    let next = add(&mut state, 5, Priority::Normal, true);
    let urgent = add(&mut state, 6, Priority::High, true);
    assert_eq!(state.waiting(job(next)), Some(Wait::NoFreeSlot { position: 2 }));
    assert_eq!(state.waiting(job(urgent)), Some(Wait::NoFreeSlot { position: 1 }));
    let second = add(&mut state, 5, Priority::Normal, true);
    assert_eq!(
        state.waiting(job(second)),
        Some(Wait::BehindJob {
            position: 2,
            job_id: job(next)
        })
    );
    assert_eq!(state.waiting(running), None, "a running job does not wait");
    let counts = JobCounts {
        open: 8,
        running: 3,
        lanes: 4,
        host_offline: 1,
        behind_job: 2,
        no_free_slot: 2,
        resting: 0,
        held: 0,
    };
    assert_eq!(state.counts(), counts);
}

#[test]
fn each_limit_says_which_it_is() {
    let name = name("p");
    let mut full = state();
    for _ in 0..LIMITS.per_host {
        add(&mut full, 1, Priority::Normal, false);
    }
    assert_eq!(full.room(host(1), None), Err(Full::Host));
    assert_eq!(full.room(host(2), None), Ok(()));
    let mut full = state();
    for n in 0..LIMITS.per_pipeline {
        let seq = full.take_seq();
        let of_pipeline = Entry {
            pipeline: Some(name.clone()),
            ..entry(seq, n as u8, Priority::Normal)
        };
        full.add(of_pipeline, || false, START);
    }
    assert_eq!(full.room(host(90), Some(&name)), Err(Full::Pipeline));
    assert_eq!(full.room(host(90), None), Ok(()));
    for n in 20..24 {
        add(&mut full, n, Priority::Normal, false);
    }
    assert_eq!(full.room(host(90), None), Err(Full::Total));
}

//! Whatever messages are lost, what is reported keeps its order and nothing of it is missing.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Scan(Vec<u8>),
    Overslept(u8),
    /// A message; lost if `true`.
    Message(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        proptest::collection::vec(2u8..10, 0..5).prop_map(Step::Scan),
        (6u8..20).prop_map(Step::Overslept),
        any::<bool>().prop_map(Step::Message),
    ]
}

/// What the server hears in all, without announcements.
fn heard(steps: &[Step], lossy: bool) -> Vec<WireEvent> {
    let mut watcher = watching();
    let mut heard = Vec::new();
    let deliver = |watcher: &mut Watcher, lost: bool, s: u64, heard: &mut Vec<WireEvent>| {
        let waited = watcher.outgoing.len();
        let mut events = watcher.next_message(None, at(s)).events;
        if lost {
            watcher.failed(Failure::Unreachable, at(s));
        } else {
            watcher.answered(&[], at(s));
            events.truncate(waited);
            heard.append(&mut events);
        }
    };
    for (s, step) in (1..).zip(steps) {
        match step {
            Step::Scan(pids) => {
                let pids: std::collections::BTreeSet<&u8> = pids.iter().collect();
                let seen = |pid: &&u8| match **pid % 3 {
                    0 => bad(u32::from(**pid)),
                    _ => game(u32::from(**pid)),
                };
                watcher.look(&pids.iter().map(seen).collect::<Vec<_>>(), s);
            }
            Step::Overslept(by) => {
                watcher.overslept(Duration::from_secs(u64::from(*by)), at(s));
            }
            Step::Message(lost) => deliver(&mut watcher, *lost && lossy, s, &mut heard),
        }
    }
    deliver(&mut watcher, false, 1000, &mut heard);
    heard
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lost_messages_change_neither_order_nor_content(steps in proptest::collection::vec(step(), 0..40)) {
        prop_assert_eq!(heard(&steps, true), heard(&steps, false));
    }
}

#[test]
fn events_of_a_lost_message_go_again_as_they_were_and_before_the_rest() {
    let mut watcher = watching();
    watcher.look(&[game(7)], 1);
    let first = watcher.next_message(None, at(1)).events;
    watcher.failed(Failure::Unreachable, at(2));
    watcher.look(&[], 3);
    let second = watcher.next_message(None, at(3)).events;
    assert_eq!(second[0], first[0], "not even its time changes");
    assert_eq!(
        words(&second),
        ["PROCESS_START 7 amelie lbgame", "PROCESS_END 7 amelie"]
    );
}

#[test]
fn a_message_taken_while_one_is_under_way_makes_that_one_a_failed_one() {
    let mut watcher = watching();
    watcher.look(&[game(7)], 1);
    watcher.says(1);
    assert_eq!(watcher.exchange(&[], 2), ["PROCESS_START 7 amelie lbgame"]);
    assert!(watcher.says(3).is_empty());
}

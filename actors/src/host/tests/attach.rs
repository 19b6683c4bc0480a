//! The agent comes back: what it runs and what it finished is set against what is waited for.

use super::*;

/// What a returning agent says of the command.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Known {
    Running,
    Finished,
    Unknown,
}

/// Attaches an agent that says so, with the journal of then or another one.
fn back(state: &mut State<u8>, known: Known, same_journal: bool) -> Vec<String> {
    let (running, finished) = match known {
        Known::Running => (vec![id(1)], vec![]),
        Known::Finished => (vec![], vec![id(1)]),
        Known::Unknown => (vec![], vec![]),
    };
    let journal = journal(if same_journal { 1 } else { 2 });
    words(state.attach(2, &hello(journal, &running, &finished)))
}

#[test]
fn every_case_of_a_command_that_was_sent_before() {
    use Known::*;
    let never_arrived: &[&str] = &["found 1", "command 1"];
    // Mutating, what the agent says, same journal, cancelled meanwhile: what happens.
    let table: &[(bool, Known, bool, bool, &[&str])] = &[
        (true, Running, true, false, &["found 1"]),
        (true, Finished, true, false, &["found 1"]),
        (true, Unknown, true, false, never_arrived),
        (true, Unknown, false, false, &["journal lost 1"]),
        (true, Running, true, true, &["found 1", "cancel 1"]),
        (true, Finished, true, true, &["found 1", "cancel 1"]),
        (true, Unknown, true, true, &["ended 1 cancelled"]),
        (true, Unknown, false, true, &["journal lost 1"]),
        (false, Running, true, false, &["found 1"]),
        (false, Finished, true, false, &["found 1"]),
        (false, Unknown, true, false, never_arrived),
        (false, Unknown, false, false, never_arrived),
        (false, Running, true, true, &["found 1", "cancel 1"]),
        (false, Unknown, true, true, &["ended 1 cancelled"]),
        (false, Unknown, false, true, &["ended 1 cancelled"]),
    ];
    for (mutating, known, same_journal, cancelled, expected) in table {
        let call = if *mutating { mutates() } else { reads() };
        let mut state = sent_and_lost(call);
        if *cancelled {
            assert!(words(state.cancel(id(1))).is_empty(), "the agent is away");
        }
        let found = back(&mut state, *known, *same_journal);
        assert_eq!(
            found, *expected,
            "mutating {mutating}, {known:?}, same journal {same_journal}, cancelled {cancelled}"
        );
    }
}

#[test]
fn an_adopted_command_is_reconciled_like_one_that_was_sent() {
    let mut state = State::default();
    assert_eq!(
        words(state.adopt(SLOT, adopt(id(1), mutates(), Some(journal(1))), None)),
        ["lost 1"]
    );
    assert_eq!(back(&mut state, Known::Running, true), ["found 1"]);
    let mut state = State::default();
    state.adopt(SLOT, adopt(id(1), mutates(), Some(journal(1))), None);
    assert_eq!(back(&mut state, Known::Unknown, false), ["journal lost 1"]);
    let mut state = State::default();
    let cancelled = Adopt {
        cancelled: true,
        ..adopt(id(1), mutates(), Some(journal(1)))
    };
    state.adopt(SLOT, cancelled, None);
    assert_eq!(back(&mut state, Known::Running, true), ["found 1", "cancel 1"]);
}

#[test]
fn an_adopted_command_whose_end_was_asked_for_already_ends_with_the_agents_word() {
    let mut state = State::default();
    state.attach(1, &hello(journal(1), &[id(1)], &[]));
    assert_eq!(
        words(state.adopt(SLOT, adopt(id(1), mutates(), Some(journal(1))), None)),
        ["found 1"]
    );
    assert_eq!(words(state.result(result(id(1)), None)), ["ended 1"]);
    assert_eq!(
        words(state.execute(SLOT, execute(id(2), reads()))),
        ["command 2"],
        "nothing is held back"
    );
}

#[test]
fn what_runs_there_and_nobody_waits_for_must_end_before_anything_new() {
    let mut state = State::default();
    state.execute(SLOT, execute(id(2), mutates()));
    let effects = state.attach(1, &hello(journal(1), &[id(1)], &[]));
    assert_eq!(words(effects), ["cancel 1", "found 2"]);
    assert_eq!(words(state.result(result(id(1)), None)), ["ack 1", "command 2"]);
}

#[test]
fn a_result_that_nobody_waits_for_is_acked_so_that_it_is_forgotten() {
    let mut state = State::<u8>::default();
    assert!(words(state.attach(1, &hello(journal(1), &[], &[id(1)]))).is_empty());
    assert_eq!(words(state.result(result(id(1)), None)), ["ack 1"]);
}

#[test]
fn a_newer_connection_replaces_the_older_one_without_a_detach() {
    let mut state = attached();
    state.execute(SLOT, execute(id(1), mutates()));
    let effects = state.attach(2, &hello(journal(1), &[], &[]));
    assert_eq!(
        words(effects),
        ["found 1", "command 1"],
        "it never arrived on the older one"
    );
    assert_eq!(state.epoch(), 2);
    assert_eq!(
        words(state.attach(3, &hello(journal(1), &[id(1)], &[]))),
        ["found 1"]
    );
}

#[test]
fn what_held_the_next_command_back_is_forgotten_with_the_connection() {
    let mut state = attached();
    state.execute(SLOT, execute(id(1), mutates()));
    state.abandon(id(1));
    state.execute(SLOT, execute(id(2), reads()));
    assert_eq!(words(state.detach()), ["lost 2"]);
    let effects = state.attach(2, &hello(journal(1), &[], &[]));
    assert_eq!(words(effects), ["found 2", "command 2"], "the agent runs nothing");
}

#[test]
fn a_returning_agent_that_no_longer_offers_the_verb_fails_the_command() {
    let mut state = sent_and_lost(mutates());
    let less = Hello {
        verbs: vec![Verb::ListProcesses],
        ..hello(journal(1), &[], &[])
    };
    assert_eq!(
        words(state.attach(2, &less)),
        ["found 1", "ended 1 unsupported_verb"]
    );
}

//! A transfer that was cut goes on under the next command, and that is no attempt of its own.

use super::*;
use crate::slot::flight::{ATTEMPTS_MAX, PAUSES_MAX};
use tripline_protocol::frame::CODE_TRANSFER_PAUSED;

fn paused() -> Fault {
    Fault::server(CODE_TRANSFER_PAUSED, "cut")
}

fn get() -> Step {
    Step::new(Verb::GetFile, json!({ "path": "/tmp/x" }))
}

fn put() -> Step {
    let sha256 = Sha256::from_digest(&[7; 32]);
    Step::new(Verb::PutFile, json!({ "path": "/tmp/x", "artifact": sha256 }))
}

#[test]
fn a_file_that_is_put_goes_on_with_its_next_intent_durable_first() {
    let mut rig = Rig::running(vec![put()]);
    assert_eq!(
        rig.fail(0, 1, paused()),
        ["persist", "announce", "ack 0/1", "execute 0/2"]
    );
    let stored = rig.stored.as_ref().unwrap();
    assert_eq!(stored.intent.as_ref().unwrap().command_id, command(0, 2));
    assert_eq!(rig.answer(0, 2, json!({})), ["end succeeded completed, ack 0/2"]);
}

#[test]
fn a_cut_is_on_record_with_a_file_that_is_put_and_only_the_end_with_one_that_is_fetched() {
    let ends = |record: &JobRecord| -> Vec<(CommandId, Option<String>)> {
        let ends = record
            .notes
            .iter()
            .filter_map(|note| Some((note, note.end.as_ref()?)));
        ends.map(|(note, end)| (note.command_id, end.code.clone()))
            .collect()
    };
    let mut rig = Rig::running(vec![put()]);
    rig.fail(0, 1, paused());
    let stored = rig.stored.as_ref().unwrap();
    assert_eq!(
        ends(stored),
        [(command(0, 1), Some(CODE_TRANSFER_PAUSED.to_owned()))]
    );
    let sent: Vec<CommandId> = stored
        .notes
        .iter()
        .filter(|note| note.end.is_none())
        .map(|note| note.command_id)
        .collect();
    assert_eq!(sent, [command(0, 2)]);

    let mut rig = Rig::running(vec![get()]);
    rig.fail(0, 1, paused());
    assert_eq!(ends(rig.state.record().unwrap()), []);
}

#[test]
fn all_commands_of_a_transfer_move_the_same_and_another_step_something_else() {
    let mut rig = Rig::new();
    let mut moved = Vec::new();
    let mut note = |effects: Vec<Effect>| {
        moved.extend(effects.iter().filter_map(|effect| match effect {
            Effect::Host {
                command: ToHostEffect::Execute(execute),
                ..
            } => Some(execute.transfer_id),
            _ => None,
        }));
    };
    note(rig.state.run(job(vec![put(), put()]), rig.moment()));
    let ended = |error: Option<Fault>, command_id| {
        let output = error.is_none().then(|| json!({}));
        let result = CommandResult {
            command_id,
            output,
            error,
            truncated: None,
        };
        Report::Ended(Box::new(result), None)
    };
    let cut = ended(Some(paused()), command(0, 1));
    note(rig.state.report(command(0, 1), cut, rig.moment()));
    let done = ended(None, command(0, 2));
    note(rig.state.report(command(0, 2), done, rig.moment()));
    assert_eq!(moved.len(), 3);
    assert!(moved[0] == moved[1] && moved[1] != moved[2]);
}

#[test]
fn cuts_use_up_no_attempts_but_are_bounded() {
    let mut record = job(vec![get()]);
    record.attempt = PAUSES_MAX - 1;
    record.pauses = PAUSES_MAX - 1;
    let mut rig = Rig::new();
    // Names are looked up among few attempts only.
    let first = rig.state.run(record, rig.moment());
    assert_eq!(first.len(), 3);
    let fail = |rig: &mut Rig, fault: Fault| {
        let attempt = rig.state.record().unwrap().attempt;
        let command_id = command(0, attempt);
        let result = CommandResult {
            command_id,
            output: None,
            error: Some(fault),
            truncated: None,
        };
        let ended = Report::Ended(Box::new(result), None);
        rig.state.report(command_id, ended, rig.moment())
    };
    // Its agent died some times: these are attempts.
    for _ in 1..ATTEMPTS_MAX - 1 {
        fail(&mut rig, died());
    }
    fail(&mut rig, paused());
    let record = rig.state.record().expect("it goes on");
    assert_eq!(record.pauses, PAUSES_MAX);
    let effects = fail(&mut rig, paused());
    assert!(matches!(effects.last(), Some(Effect::End { .. })));
    assert!(rig.is_free());
}

#[test]
fn what_is_being_ended_does_not_go_on() {
    let mut rig = Rig::running(vec![put()]);
    rig.cancel();
    assert_eq!(rig.fail(0, 1, paused()), ["end cancelled cancelled, ack 0/1"]);
}

#[test]
fn a_command_that_moves_nothing_fails_with_that_fault_like_with_any() {
    let mut rig = Rig::running(vec![delete()]);
    assert_eq!(rig.fail(0, 1, paused()), ["end failed step_failed, ack 0/1"]);
}

//! A transfer that was cut goes on under the next command of the same number.

use super::*;
use crate::slot::flight::PAUSES_MAX;
use tripline_protocol::frame::CODE_TRANSFER_PAUSED;

fn paused() -> Fault {
    Fault::server(CODE_TRANSFER_PAUSED, "cut")
}

fn put() -> NewCommand {
    let sha256 = Sha256::from_digest(&[7; 32]);
    call(Verb::PutFile, json!({ "path": "/tmp/x", "artifact": sha256 }))
}

#[test]
fn a_transfer_goes_on_more_often_than_a_command_is_begun_anew() {
    let mut rig = Rig::new();
    rig.run(put());
    for attempt in 1..15 {
        let next = format!("execute 1/{}", attempt + 1);
        let ack = format!("ack 1/{attempt}");
        assert_eq!(
            rig.result(id(1, attempt), None, Some(paused())),
            ["running 1".to_owned(), ack, next]
        );
    }
    let record = &rig.stored[&1];
    assert_eq!((record.attempt, record.pauses, record.attempts()), (15, 14, 1));
    rig.result(id(1, 15), Some(json!({})), None);
    assert_eq!(rig.stored[&1].state, CommandState::Succeeded);
}

#[test]
fn a_transfer_that_never_gets_on_ends() {
    let mut rig = Rig::new();
    rig.run(put());
    rig.stored.get_mut(&1).unwrap().pauses = PAUSES_MAX;
    rig.restart();
    rig.result(id(1, 1), None, Some(paused()));
    let record = &rig.stored[&1];
    assert_eq!(record.state, CommandState::Failed);
    assert_eq!(record.error.as_ref().unwrap().code, CODE_TRANSFER_PAUSED);
}

#[test]
fn a_cancelled_transfer_that_is_cut_meanwhile_is_cancelled() {
    let mut rig = Rig::new();
    rig.run(put());
    rig.cancel(1);
    rig.result(id(1, 1), None, Some(paused()));
    assert_eq!(rig.stored[&1].state, CommandState::Cancelled);
}

//! Clients that fall silent and come back.

use super::*;

#[test]
fn a_silent_client_is_reported_once() {
    let mut server = Server::introduced();
    assert!(!server.later(50).tick().silent);
    assert!(server.state.is_attached());
    assert!(server.later(1).tick().silent);
    assert!(!server.later(100).tick().silent);
    assert!(!server.state.is_attached() && server.state.is_idle());
}

#[test]
fn a_client_that_comes_back_is_reported_with_its_next_message_and_told_everything() {
    let mut server = Server::introduced();
    server.post(vec![start(7, 0)]);
    server.later(51).tick();
    let outcome = server.later(10).post(vec![]);
    assert!(outcome.back && outcome.attached);
    assert_eq!(words(&outcome.answer), ["config", "mapping", "start 7"]);
    let outcome = server.post(vec![]);
    assert!(!outcome.back && !outcome.attached);
    assert!(server.later(51).tick().silent, "and silent again");
}

#[test]
fn silence_survives_a_restart() {
    let mut server = Server::introduced();
    server.later(51).tick();
    server.restart();
    assert!(!server.later(100).tick().silent, "it was reported");
    assert!(server.post(vec![]).back);
}

#[test]
fn a_server_that_was_away_does_not_take_its_clients_for_silent() {
    let mut server = Server::introduced();
    server.later(10_000).restart();
    assert!(!server.tick().silent);
    assert!(!server.later(50).tick().silent);
    assert!(server.later(1).tick().silent);
}

#[test]
fn a_client_that_never_came_is_not_silent() {
    let mut server = Server::new();
    server.tick();
    assert!(!server.later(1000).tick().silent);
}

#[test]
fn a_server_start_that_a_silent_client_never_heard_of_is_told_when_it_is_back() {
    let mut server = Server::new();
    let lost = server.post(vec![]);
    server.lose(lost.ticket);
    server.later(51).tick();
    server.forget();
    assert_eq!(server.poll(), ["config", "mapping", "start_master"]);
}

#[test]
fn a_client_with_a_command_or_an_answer_under_way_is_not_idle() {
    let mut server = Server::introduced();
    server.post(vec![start(7, 0)]);
    server.kill(1, 7, None).unwrap();
    server.later(51).tick();
    assert!(!server.state.is_idle());
    server.forget_kill(1);
    assert!(server.state.is_idle());
    let outcome = server.post(vec![]);
    server.later(51).tick();
    assert!(!server.state.is_idle());
    server.lose(outcome.ticket);
    assert!(server.state.is_idle());
}

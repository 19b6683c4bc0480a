//! What others see of a client.

use super::super::State;
use super::server::{NAME, OWN};
use super::*;
use tripline_protocol::littlebrother::{ClientMessage, ClientStats};

fn stats(version: &str) -> Option<ClientStats> {
    Some(ClientStats {
        version: Some(version.into()),
        ..ClientStats::default()
    })
}

fn post_stats(server: &mut Server, client_stats: Option<ClientStats>) {
    server.post_message(ClientMessage {
        hostname: NAME.into(),
        events: vec![],
        client_stats,
    });
}

#[test]
fn the_topology_shows_what_a_client_said_last() {
    let mut server = Server::introduced();
    server.post(vec![start(7, 0), start(8, 0), end(8, 0)]);
    post_stats(&mut server, stats("0.5.8"));
    let view = server.state.view(server.now).unwrap();
    assert_eq!((view.hostname.as_str(), view.host_id), (NAME, OWN));
    assert_eq!((view.last_message_at, view.processes_open), (server.now, 1));
    assert_eq!(view.client_stats, stats("0.5.8"));
    server.later(60);
    assert!(server.state.view(server.now).unwrap().active);
    server.later(1);
    assert!(!server.state.view(server.now).unwrap().active);
    post_stats(&mut server, None);
    assert_eq!(server.state.view(server.now).unwrap().client_stats, None);
}

#[test]
fn a_client_nobody_heard_of_is_not_shown() {
    let server = Server::new();
    assert_eq!(server.state.view(server.now), None);
}

#[test]
fn the_stored_record_shows_the_same_after_a_restart() {
    let mut server = Server::new();
    post_stats(&mut server, stats("0.4.0"));
    let view = server.state.view(server.now);
    server.restart();
    assert_eq!(server.state.view(server.now), view);
    assert_eq!(server.saved.clone().unwrap().view(OWN, server.now), view);
}

#[test]
fn lower_versions_are_outdated() {
    let mut server = Server::introduced();
    let mut outdated = |version: &str| {
        post_stats(&mut server, stats(version));
        server.state.view(server.now).unwrap().outdated
    };
    for version in ["0.5.7", "0.5.8-rc1", "0.4.99", "0.5", "0"] {
        assert_eq!(outdated(version), Some(true), "{version}");
    }
    for version in ["0.5.8", "0.5.8+7", "0.5.10", "0.6.0-rc1", "1.0", "10.0.0"] {
        assert_eq!(outdated(version), Some(false), "{version}");
    }
    for version in ["", "x", "0.5.8.1", "v0.5.8"] {
        assert_eq!(outdated(version), None, "{version}");
    }
}

#[test]
fn the_process_list_shows_the_open_entries() {
    let mut server = Server::introduced();
    let mut nameless = start(9, 0);
    (nameless.processname, nameless.username) = (None, Some("guest".into()));
    server.post(vec![start(8, 0), start(7, 0), start(6, 0), end(6, 0), nameless]);
    let listing = server.with(|state, context| state.processes(context));
    let [first, second, third] = listing.processes.as_slice() else {
        panic!("three processes, not {listing:?}");
    };
    assert_eq!((first.pid, second.pid, third.pid), (7, 8, 9));
    assert_eq!(
        (first.path.as_str(), first.command_line.as_str()),
        ("lbgame", "lbgame")
    );
    assert_eq!((first.username.as_str(), first.sid.as_str()), ("amelie", "4242"));
    assert_eq!((first.parent, first.create_time), (0, NOON));
    assert!(first.proc_guid != second.proc_guid);
    assert_eq!(
        (third.path.as_str(), third.username.as_str(), third.sid.as_str()),
        ("", "guest", "")
    );
    server.restart();
    assert_eq!(server.with(|state, context| state.processes(context)), listing);
}

#[test]
fn a_long_process_list_is_cut_and_says_so() {
    let mut server = Server::introduced();
    server.post((0..2_010).map(|pid| start(pid, 0)).collect());
    let listing = server.with(|state, context| state.processes(context));
    assert_eq!((listing.processes.len(), listing.omitted), (2_000, 10));
}

#[test]
fn a_login_counts_as_logged_in_while_a_process_of_it_is_open() {
    let mut server = Server::introduced();
    server.post(vec![start(7, 0)]);
    let logged_in = |state: &State| (state.has_process_of("amelie"), state.has_process_of("leon"));
    assert_eq!(logged_in(&server.state), (true, false));
    server.post(vec![end(7, 1)]);
    assert_eq!(logged_in(&server.state), (false, false));
}

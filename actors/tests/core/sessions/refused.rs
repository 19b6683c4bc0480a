//! Who may not, and what cannot be.

use super::*;
use tripline_actors::{FilePages, Refusal, SessionFilter};
use uuid::Uuid;

#[actix::test]
async fn only_the_owner_and_administrators_act_on_a_session() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let session = fixture.active(&amelie(), host.host_id).await;
    let id = session.session_id;
    let (bert, core) = (caller("bert"), &fixture.core);
    assert_eq!(core.get_session(&bert, id, None).await.unwrap().session_id, id);
    assert!(
        core.list_commands(&bert, id, None, 10)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    let refusals = [
        core.run_command(&bert, id, processes()).await.unwrap_err(),
        core.close_session(&bert, id).await.unwrap_err(),
        core.keep_alive(&bert, id).await.unwrap_err(),
        core.cancel_command(&bert, id, 1).await.unwrap_err(),
        core.open_session(&with_role("amelie", Role::Viewer), on(host.host_id))
            .await
            .unwrap_err(),
        core.run_command(&with_role("amelie", Role::Viewer), id, processes())
            .await
            .unwrap_err(),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Refusal::Forbidden { .. }), "{refusal}");
    }
    let admin = with_role("admin", Role::Admin);
    let command = core.run_command(&admin, id, processes()).await.unwrap();
    agent.obey().await;
    assert_eq!(fixture.done(&admin, &command).await.caller, "admin");
    assert_eq!(
        core.close_session(&admin, id).await.unwrap().reason.unwrap().text,
        "admin closed it"
    );
}

#[actix::test]
async fn a_look_of_somebody_else_is_no_sign_of_life() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let _agent = fixture.attach(host.host_id, "amelie").await;
    let session = fixture.active(&amelie(), host.host_id).await;
    fixture.advance(10);
    let seen = fixture
        .core
        .get_session(&caller("bert"), session.session_id, None)
        .await
        .unwrap();
    assert_eq!(seen.last_request_at, session.last_request_at);
    let seen = fixture
        .core
        .get_session(&amelie(), session.session_id, None)
        .await
        .unwrap();
    let last = fixture.now();
    assert_eq!(seen.last_request_at, last);
    fixture.advance(10);
    let all = SessionFilter {
        limit: 10,
        ..SessionFilter::default()
    };
    let listed = fixture.core.list_sessions(&amelie(), all).await.unwrap();
    assert_eq!(listed.items[0].last_request_at, last, "a list names no session");
}

#[actix::test]
async fn another_org_sees_nothing() {
    let fixture = Fixture::start();
    let host = fixture.enrol_in(Some("acme"), "amelie").await;
    let _agent = fixture.attach(host.host_id, "amelie").await;
    let session = fixture.active(&amelie(), host.host_id).await;
    assert_eq!(session.org.as_str(), "acme");
    let of = |org: &str| Principal {
        org: Some(org.parse().unwrap()),
        place: None,
        ..caller("amelie")
    };
    let (id, core) = (session.session_id, &fixture.core);
    let foreign = of("evil");
    let refusals = [
        core.get_session(&foreign, id, None).await.unwrap_err(),
        core.session_by_number(&foreign, session.number).unwrap_err(),
        core.run_command(&foreign, id, processes()).await.unwrap_err(),
        core.get_command(&foreign, id, 1, None).await.unwrap_err(),
        core.list_commands(&foreign, id, None, 10).await.unwrap_err(),
        core.list_files(&foreign, id, FilePages::default())
            .await
            .unwrap_err(),
        core.close_session(&foreign, id).await.unwrap_err(),
        core.open_session(&foreign, on(host.host_id)).await.unwrap_err(),
    ];
    for refusal in refusals {
        assert_eq!(refusal.code(), "not_found", "{refusal}");
    }
    let filter = SessionFilter {
        limit: 10,
        ..SessionFilter::default()
    };
    assert!(
        core.list_sessions(&foreign, filter.clone())
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert_eq!(
        core.list_sessions(&of("acme"), filter).await.unwrap().items.len(),
        1
    );
    assert_eq!(core.session_by_number(&of("acme"), session.number).unwrap(), id);
}

#[actix::test]
async fn what_cannot_be_run_is_refused_and_leaves_nothing_behind() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let agent = fixture.attach(host.host_id, "amelie").await;
    let session = fixture.active(&amelie(), host.host_id).await;
    let id = session.session_id;
    let kill = RunCommand::new(Verb::KillProcess, json!({ "pid": "42" }));
    let late = RunCommand {
        timeout: Some(Span::from_secs(24 * 3600 + 1)),
        ..processes()
    };
    let wordy = RunCommand {
        origin: Some(json!("x".repeat(5000))),
        ..processes()
    };
    for (command, code) in [
        (kill, "bad_argument"),
        (late, "bad_timeout"),
        (wordy, "bad_origin"),
    ] {
        let refused = fixture.core.run_command(&amelie(), id, command).await;
        assert_eq!(refused.unwrap_err().code(), code);
    }
    let unknown = fixture.core.get_command(&amelie(), id, 1, None).await;
    assert_eq!(unknown.unwrap_err().code(), "not_found");
    let unknown = fixture.core.cancel_command(&amelie(), id, 1).await;
    assert_eq!(unknown.unwrap_err().code(), "not_found");
    let missing = fixture
        .core
        .get_session(&amelie(), SessionId(Uuid::from_u128(1)), LONG)
        .await;
    assert_eq!(missing.unwrap_err().code(), "not_found");
    drop(agent);
}

#[actix::test]
async fn a_pending_session_takes_no_commands() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let pending = fixture.open(&amelie(), host.host_id).await;
    let refused = fixture
        .core
        .run_command(&amelie(), pending.session_id, processes())
        .await;
    assert_eq!(refused.unwrap_err().code(), "session_pending");
    let closed = fixture
        .core
        .close_session(&amelie(), pending.session_id)
        .await
        .unwrap();
    assert_eq!(closed.state, SessionState::Closed);
    assert!(closed.closed_at.is_some());
}

#[actix::test]
async fn an_unknown_host_and_a_timeout_longer_than_the_servers_are_refused() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let unknown = OpenSession {
        host: "nobody".into(),
        ..on(host.host_id)
    };
    let refused = fixture.core.open_session(&amelie(), unknown).await;
    assert_eq!(refused.unwrap_err().code(), "not_found");
    for idle_timeout in [Span::ZERO, Span::from_secs(301)] {
        let wrong = OpenSession {
            idle_timeout: Some(idle_timeout),
            ..on(host.host_id)
        };
        let refused = fixture.core.open_session(&amelie(), wrong).await;
        assert_eq!(refused.unwrap_err().code(), "bad_idle_timeout");
    }
}

#[actix::test]
async fn sessions_are_listed_by_owner_host_and_state() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let other = fixture.enrol("bert").await;
    let _agent = fixture.attach(host.host_id, "amelie").await;
    let active = fixture.active(&amelie(), host.host_id).await;
    let pending = fixture.open(&caller("bert"), other.host_id).await;
    let ended = fixture.open(&caller("bert"), other.host_id).await;
    fixture
        .core
        .close_session(&caller("bert"), ended.session_id)
        .await
        .unwrap();
    let all = SessionFilter {
        limit: 10,
        ..SessionFilter::default()
    };
    let listed = |filter: SessionFilter| async {
        let page = fixture.core.list_sessions(&amelie(), filter).await.unwrap();
        page.items
            .into_iter()
            .map(|view| view.session_id)
            .collect::<Vec<_>>()
    };
    let (a, p, e) = (active.session_id, pending.session_id, ended.session_id);
    let mut found = listed(all.clone()).await;
    found.sort();
    let mut expected = [a, p, e];
    expected.sort();
    assert_eq!(found, expected);
    let by = |change: fn(&mut SessionFilter)| {
        let mut filter = all.clone();
        change(&mut filter);
        filter
    };
    assert_eq!(
        listed(by(|filter| filter.owner = Some("id-amelie".into()))).await,
        [a]
    );
    assert_eq!(
        listed(by(|filter| filter.state = Some(SessionState::Pending))).await,
        [p]
    );
    let mut open = listed(by(|filter| filter.open = true)).await;
    open.sort();
    let mut expected = [a, p];
    expected.sort();
    assert_eq!(open, expected);
    let of_host = SessionFilter {
        host: Some(host.host_id),
        ..all.clone()
    };
    assert_eq!(listed(of_host).await, [a]);
    let first = SessionFilter {
        limit: 1,
        ..all.clone()
    };
    let open = SessionFilter {
        open: true,
        ..first.clone()
    };
    for first in [first, open] {
        let page = fixture
            .core
            .list_sessions(&amelie(), first.clone())
            .await
            .unwrap();
        let rest = SessionFilter {
            after: page.next,
            limit: 10,
            ..first.clone()
        };
        let whole = SessionFilter { limit: 10, ..first };
        let whole = listed(whole).await;
        assert_eq!(page.items[0].session_id, whole[0]);
        assert_eq!(listed(rest).await, whole[1..]);
    }
}

//! Sessions that nobody uses, and that are long over.

use super::*;
use crate::fixture::list;
use tripline_actors::SessionFilter;
use tripline_actors::store::Table;
use tripline_protocol::step::ArtifactRef;

#[actix::test]
async fn a_session_that_nobody_uses_is_closed_after_its_timeout() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let _agent = fixture.attach(host.host_id, "amelie").await;
    let session = fixture.active(&amelie(), host.host_id).await;
    let short = OpenSession {
        idle_timeout: Some(Span::from_secs(60)),
        ..on(host.host_id)
    };
    let short = fixture.core.open_session(&amelie(), short).await.unwrap();
    fixture.becomes(short.session_id, SessionState::Active).await;
    fixture.advance(60);
    fixture.becomes(short.session_id, SessionState::Closed).await;
    fixture.advance(239);
    assert_eq!(fixture.seen(session.session_id).await.state, SessionState::Active);
    fixture
        .core
        .keep_alive(&amelie(), session.session_id)
        .await
        .unwrap();
    fixture.advance(299);
    assert_eq!(fixture.seen(session.session_id).await.state, SessionState::Active);
    fixture.advance(1);
    let closed = fixture.becomes(session.session_id, SessionState::Closed).await;
    assert_eq!(closed.reason.unwrap().code, "idle");
    fixture.free().await;
}

#[actix::test]
async fn a_session_with_a_running_command_is_not_idle() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let session = fixture.active(&amelie(), host.host_id).await;
    let long = RunCommand {
        timeout: Some(Span::from_secs(3600)),
        ..processes()
    };
    fixture.run(&amelie(), &session, long).await;
    let sent = agent.command().await.command_id;
    fixture.advance(1000);
    agent.answer(sent, json!({}));
    assert_eq!(agent.ack().await, [sent]);
    fixture.advance(299);
    assert_eq!(
        fixture.seen(session.session_id).await.state,
        SessionState::Active,
        "idle since its end"
    );
    fixture.advance(1);
    fixture.becomes(session.session_id, SessionState::Closed).await;
}

#[actix::test]
async fn when_others_wait_a_session_is_idle_after_thirty_seconds() {
    let fixture = Fixture::start_with(slots(2));
    let host = fixture.enrol("amelie").await;
    let _agent = fixture.attach(host.host_id, "amelie").await;
    let used = fixture.active(&amelie(), host.host_id).await;
    let unused = fixture.active(&amelie(), host.host_id).await;
    fixture.advance(29);
    fixture.core.keep_alive(&amelie(), used.session_id).await.unwrap();
    let waiting = fixture.open(&caller("bert"), host.host_id).await;
    assert_eq!(waiting.state, SessionState::Pending);
    fixture.advance(1);
    let got = fixture.session(&caller("bert"), waiting.session_id).await;
    assert_eq!(got.state, SessionState::Active);
    let closed = fixture.seen(unused.session_id).await;
    assert_eq!(closed.state, SessionState::Closed);
    assert!(closed.reason.unwrap().text.contains("others waited"));
    assert_eq!(fixture.seen(used.session_id).await.state, SessionState::Active);
}

#[actix::test]
async fn an_idle_session_gives_its_slot_to_a_job_that_waits() {
    let fixture = Fixture::start_with(slots(1));
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let session = fixture.active(&amelie(), host.host_id).await;
    let job = fixture.submit(host.host_id, vec![list()]).await;
    fixture.advance(30);
    agent.obey().await;
    fixture.ended(job.job_id).await;
    assert_eq!(fixture.seen(session.session_id).await.state, SessionState::Closed);
}

#[actix::test]
async fn one_that_waits_takes_one_slot_and_not_all_idle_ones() {
    let fixture = Fixture::start_with(slots(3));
    let host = fixture.enrol("amelie").await;
    let _agent = fixture.attach(host.host_id, "amelie").await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        idle.push(fixture.active(&amelie(), host.host_id).await.session_id);
    }
    fixture.advance(100);
    let waiting = fixture.open(&caller("bert"), host.host_id).await;
    let got = fixture.session(&caller("bert"), waiting.session_id).await;
    assert_eq!(got.state, SessionState::Active);
    let mut closed = 0;
    for id in idle {
        closed += usize::from(fixture.seen(id).await.state == SessionState::Closed);
    }
    assert_eq!(closed, 1);
}

#[actix::test]
async fn a_pending_session_whose_caller_went_away_is_closed() {
    let fixture = Fixture::start_with(slots(1));
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = fixture.submit(host.host_id, vec![list()]).await;
    let command = agent.command().await;
    let left = fixture.open(&amelie(), host.host_id).await;
    let stays = fixture.open(&caller("bert"), host.host_id).await;
    fixture.advance(200);
    fixture
        .core
        .get_session(&caller("bert"), stays.session_id, None)
        .await
        .unwrap();
    fixture.advance(100);
    let closed = fixture.becomes(left.session_id, SessionState::Closed).await;
    assert_eq!(closed.reason.unwrap().code, "idle");
    assert_eq!(fixture.seen(stays.session_id).await.state, SessionState::Pending);
    agent.answer(command.command_id, json!({}));
    fixture.ended(job.job_id).await;
}

/// A closed session with a command and an uploaded file.
async fn ended(fixture: &Fixture, agent: &mut Agent, host_id: HostId) -> SessionView {
    let session = fixture.active(&amelie(), host_id).await;
    fixture.through(agent, &session, processes(), json!({})).await;
    let (sha256, bytes) = fixture.artifacts.put_bytes(b"hello").unwrap();
    let name = "x".into();
    let file = ArtifactRef { sha256, bytes, name };
    fixture
        .core
        .add_file(&amelie(), session.session_id, file)
        .await
        .unwrap();
    fixture
        .core
        .close_session(&amelie(), session.session_id)
        .await
        .unwrap();
    fixture.becomes(session.session_id, SessionState::Closed).await
}

const OF_SESSIONS: [Table; 9] = [
    Table::Session,
    Table::SessionByNumber,
    Table::SessionByTime,
    Table::EndedSession,
    Table::OpenSession,
    Table::SessionCommand,
    Table::OpenCommand,
    Table::SessionFile,
    Table::FileBySession,
];

#[actix::test]
async fn ended_sessions_are_forgotten_by_age_with_all_they_had() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let old = ended(&fixture, &mut agent, host.host_id).await;
    fixture.free().await;
    fixture.advance(7 * 24 * 3600 + 1);
    eventually("it is forgotten", || async {
        let auditor = with_role("auditor", Role::Viewer);
        let got = fixture.core.get_session(&auditor, old.session_id, None).await;
        got.is_err().then_some(())
    })
    .await;
    for table in OF_SESSIONS {
        assert_eq!(fixture.rows(table), 0, "{table:?}");
    }
    assert_eq!(fixture.rows(Table::ArtifactUse), 0);
}

#[actix::test]
async fn ended_sessions_are_forgotten_by_count_oldest_first() {
    let mut setup = Setup::default();
    setup.config.sessions_retain_max = 2;
    let fixture = Fixture::start_with(setup);
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(ended(&fixture, &mut agent, host.host_id).await.session_id);
        fixture.advance(1);
    }
    let listed = || async {
        let filter = SessionFilter {
            limit: 10,
            ..SessionFilter::default()
        };
        let page = fixture.core.list_sessions(&amelie(), filter).await.unwrap();
        page.items
            .into_iter()
            .map(|view| view.session_id)
            .collect::<Vec<_>>()
    };
    let left = eventually("two are left", || async {
        let left = listed().await;
        (left.len() <= 2).then_some(left)
    })
    .await;
    assert_eq!(left, [ids[3], ids[2]], "newest first");
    assert_eq!(fixture.rows(Table::SessionCommand), 2);
}

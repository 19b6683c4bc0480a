//! What goes on record, and that nothing else does.

use crate::events::{LISTEN, delivery, listening};
use crate::fixture::{Fixture, Setup, config, delete, eventually, list, request};
use serde_json::{Value, json};
use tripline_actors::access::Principal;
use tripline_actors::audit::{AuditFilter, By, Denied};
use tripline_actors::ports::OutMessage;
use tripline_actors::store::Table;
use tripline_actors::{CoreConfig, LabelChange};
use tripline_protocol::Fault;
use tripline_protocol::api::{CreateToken, Role};
use tripline_protocol::audit::{AuditRecord, Dialect, Place, WhoKind};
use tripline_protocol::session::{OpenSession, RunCommand, SessionState};
use tripline_protocol::step::Step;
use tripline_protocol::verb::Verb;

pub(crate) fn ana() -> Principal {
    Principal {
        token_id: "0011223344556677".into(),
        name: "ana".into(),
        role: Role::Admin,
        org: None,
        place: Some(Place {
            dialect: Dialect::V1,
            address: Some("192.0.2.7:4711".into()),
            request: Some("r-1".into()),
        }),
        depth: None,
    }
}

/// The records of a chain, oldest first.
pub(crate) async fn records(fixture: &Fixture, chain: &str) -> Vec<AuditRecord> {
    let rows = fixture
        .core
        .audit_records(chain.into(), 1, 100_000)
        .await
        .unwrap();
    let read = |(_, row): &(u64, Vec<u8>)| serde_json::from_slice(row).unwrap();
    rows.iter().map(read).collect()
}

/// The records of an action.
pub(crate) async fn of_action(fixture: &Fixture, chain: &str, action: &str) -> Vec<AuditRecord> {
    let mut records = records(fixture, chain).await;
    records.retain(|record| record.action == action);
    records
}

/// The one record of an action.
pub(crate) async fn only(fixture: &Fixture, chain: &str, action: &str) -> AuditRecord {
    let records: [AuditRecord; 1] = of_action(fixture, chain, action).await.try_into().unwrap();
    let [record] = records;
    record
}

fn labels(words: &[&str]) -> LabelChange {
    LabelChange::Set(words.iter().map(|word| word.parse().unwrap()).collect())
}

async fn label(fixture: &Fixture, word: &str) {
    let core = fixture.core.by(&ana());
    let labelled = core.label_host(None, "amelie".into(), labels(&[word]));
    labelled.await.unwrap();
}

#[actix::test]
async fn a_record_says_who_did_what_to_what_and_from_where() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await.host_id;
    let core = fixture.core.by(&ana());
    core.label_host(None, "amelie".into(), labels(&["web"]))
        .await
        .unwrap();
    let record = only(&fixture, "default", "host.label").await;
    assert_eq!(record.by.id.as_deref(), Some("0011223344556677"));
    assert_eq!(record.by.name.as_deref(), Some("ana"));
    assert_eq!(record.by.role, Some(Role::Admin));
    assert_eq!(record.from, ana().place);
    assert_eq!(record.on["host"], host.to_string());
    assert_eq!(record.on["hostname"], "amelie");
    assert_eq!(Value::Object(record.detail), json!({"labels": ["web"]}));
    assert_eq!(record.outcome.result, "done");
}

#[actix::test]
async fn what_was_refused_and_so_changed_nothing_leaves_no_record() {
    let fixture = Fixture::start();
    fixture.enrol("amelie").await;
    let core = fixture.core.by(&ana());
    let many: Vec<String> = (0..65).map(|n| format!("l{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    core.label_host(None, "amelie".into(), labels(&many))
        .await
        .unwrap_err();
    core.label_host(None, "nobody".into(), labels(&[]))
        .await
        .unwrap_err();
    assert!(of_action(&fixture, "default", "host.label").await.is_empty());
}

#[actix::test]
async fn a_token_is_on_record_in_the_chain_of_its_org_and_its_secret_is_not() {
    let fixture = Fixture::start();
    let request = |org: Option<&str>| CreateToken {
        name: "bot".into(),
        role: Role::Viewer,
        org: org.map(|org| org.parse().unwrap()),
        uses: None,
        expires: None,
    };
    let access = fixture.access.by(&ana());
    let everywhere = access.create(request(None)).await.unwrap();
    let acme = access.create(request(Some("acme"))).await.unwrap();
    access.revoke(&acme.view.id).await.unwrap();
    let [created, revoked] = records(&fixture, "acme").await.try_into().unwrap();
    assert_eq!(
        (created.action.as_str(), revoked.action.as_str()),
        ("token.create", "token.revoke")
    );
    assert_eq!(created.on["token"], acme.view.id);
    let server = records(&fixture, "_").await;
    assert!(
        server
            .iter()
            .any(|record| record.on.get("token") == Some(&everywhere.view.id))
    );
    for created in [everywhere, acme] {
        let (_, secret) = created.token.split_once('.').unwrap();
        for chain in ["_", "acme"] {
            for (_, row) in fixture.core.audit_records(chain.into(), 1, 1000).await.unwrap() {
                assert!(!String::from_utf8(row).unwrap().contains(secret));
            }
        }
    }
}

#[actix::test]
async fn chains_go_on_after_a_restart() {
    let fixture = Fixture::start();
    fixture.enrol("amelie").await;
    label(&fixture, "one").await;
    let before = records(&fixture, "default").await;
    let fixture = fixture.restart().await;
    label(&fixture, "two").await;
    let after = records(&fixture, "default").await;
    assert_eq!(after[..before.len()], before);
    for (index, record) in after.iter().enumerate() {
        assert_eq!(record.n, index as u64 + 1);
    }
}

#[actix::test]
async fn a_list_is_newest_first_over_all_chains_and_its_pages_leave_nothing_out() {
    let fixture = Fixture::start();
    fixture.enrol("amelie").await;
    let core = fixture.core.by(&ana());
    for word in ["a", "b", "c"] {
        core.label_host(None, "amelie".into(), labels(&[word]))
            .await
            .unwrap();
        fixture.advance(1);
        let request = CreateToken {
            name: word.into(),
            role: Role::Viewer,
            org: Some("acme".parse().unwrap()),
            uses: None,
            expires: None,
        };
        fixture.access.by(&ana()).create(request).await.unwrap();
        fixture.advance(1);
    }
    let mut filter = AuditFilter {
        who: Some("ana".into()),
        limit: 2,
        ..AuditFilter::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = fixture.core.list_audit(filter.clone()).await.unwrap();
        assert!(page.items.len() <= 2);
        let read =
            |item: Box<serde_json::value::RawValue>| serde_json::from_str::<AuditRecord>(item.get()).unwrap();
        seen.extend(
            page.items
                .into_iter()
                .map(read)
                .map(|record| (record.org, record.action)),
        );
        filter.after = page.next;
        if filter.after.is_none() {
            break;
        }
    }
    let pair = |org: &str, action: &str| (org.to_owned(), action.to_owned());
    let expected: Vec<_> = (0..3)
        .flat_map(|_| [pair("acme", "token.create"), pair("default", "host.label")])
        .collect();
    assert_eq!(seen, expected);
    let only = AuditFilter {
        org: Some("default".into()),
        action: Some("host".into()),
        host: Some("amelie".into()),
        limit: 100,
        ..AuditFilter::default()
    };
    let page = fixture.core.list_audit(only).await.unwrap();
    assert!(page.items.len() >= 3 && page.next.is_none());
}

fn run(argv: &str) -> Step {
    let mut step = Step::new(
        Verb::CreateProcess,
        json!({"command": argv, "environment": {"DB_PASS": "environment-secret"}}),
    );
    step.id = Some("run".into());
    step
}

#[actix::test]
async fn a_command_that_changes_its_host_is_on_record_before_it_is_sent_and_when_it_ended() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await.host_id;
    let mut agent = fixture.attach(host, "amelie").await;
    let core = fixture.core.by(&ana());
    let wanted = request(host, vec![run("/bin/x --password=hunter2 -v")]);
    let job = core.submit_job(wanted).await.unwrap();
    let command = agent.command().await;
    let sent = only(&fixture, "default", "command.send").await;
    assert_eq!(sent.by.name.as_deref(), Some("ana"));
    assert_eq!(sent.from, ana().place);
    assert_eq!(sent.on["command"], command.command_id.to_string());
    assert_eq!(sent.on["job"], job.job_id.to_string());
    assert_eq!(sent.on["hostname"], "amelie");
    assert_eq!(sent.detail["verb"], "create_process");
    assert_eq!(sent.detail["step"], "run");
    let arguments = json!({"command": "/bin/x --password=[redacted] -v", "environment": ["DB_PASS"]});
    assert_eq!(sent.detail["arguments"], arguments);
    assert!(of_action(&fixture, "default", "command.end").await.is_empty());
    agent.fail(command.command_id, Fault::live_response("ENOENT", "no such file"));
    fixture.ended(job.job_id).await;
    let end = only(&fixture, "default", "command.end").await;
    assert_eq!(
        (end.outcome.result.as_str(), end.outcome.code.as_deref()),
        ("failed", Some("ENOENT"))
    );
    assert_eq!(end.on, sent.on);
    let submitted = only(&fixture, "default", "job.submit").await;
    assert_eq!(submitted.on["job"], job.job_id.to_string());
    assert_eq!(submitted.detail["steps"], json!(["create_process"]));
}

#[actix::test]
async fn a_command_that_only_reads_is_on_record_once() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await.host_id;
    let mut agent = fixture.attach(host, "amelie").await;
    let job = fixture.submit(host, vec![list(), delete()]).await;
    let first = agent.command().await;
    agent.answer(first.command_id, json!({"processes": ["the-output"]}));
    agent.ack().await;
    agent.obey().await;
    fixture.ended(job.job_id).await;
    let actions: Vec<(String, String)> = records(&fixture, "default")
        .await
        .into_iter()
        .filter(|record| record.action.starts_with("command."))
        .map(|record| {
            (
                record.detail["verb"].as_str().unwrap().to_owned(),
                record.outcome.result,
            )
        })
        .collect();
    let expected = [
        ("list_processes", "succeeded"),
        ("delete_file", "sent"),
        ("delete_file", "succeeded"),
    ];
    assert_eq!(
        actions,
        expected.map(|(verb, result)| (verb.to_owned(), result.to_owned()))
    );
    for (_, row) in fixture
        .core
        .audit_records("default".into(), 1, 1000)
        .await
        .unwrap()
    {
        assert!(!String::from_utf8(row).unwrap().contains("the-output"));
    }
}

#[actix::test]
async fn a_command_of_a_pipeline_names_the_pipeline_and_its_event() {
    let (fixture, host) = listening(vec![LISTEN]).await;
    let mut agent = fixture.attach(host, "amelie").await;
    let event = delivery(&fixture, 1, "a-1", json!({"host_id": host}));
    fixture.core.ingest(vec![event]).await.unwrap();
    agent.obey().await;
    eventually("a record", || async {
        let found = of_action(&fixture, "default", "command.end").await;
        let record = found.first()?;
        assert_eq!(record.by.kind, WhoKind::Pipeline);
        assert_eq!(record.by.name.as_deref(), Some("listen"));
        assert!(record.by.version.is_some() && record.from.is_none());
        assert_eq!(record.detail["event"]["id"], "a-1");
        Some(())
    })
    .await;
}

#[actix::test]
async fn a_cancelled_job_names_who_cancelled_it() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await.host_id;
    let waiting = fixture.submit(host, vec![list()]).await;
    let core = fixture.core.by(&ana());
    core.cancel_job(None, waiting.job_id).await.unwrap();
    let mut agent = fixture.attach(host, "amelie").await;
    let running = fixture.submit(host, vec![delete()]).await;
    agent.command().await;
    core.cancel_job(None, running.job_id).await.unwrap();
    let cancelled = of_action(&fixture, "default", "job.cancel").await;
    let jobs: Vec<&String> = cancelled.iter().map(|record| &record.on["job"]).collect();
    assert_eq!(jobs, [&waiting.job_id.to_string(), &running.job_id.to_string()]);
    assert!(
        cancelled
            .iter()
            .all(|record| record.by.name.as_deref() == Some("ana"))
    );
}

#[actix::test]
async fn a_session_is_on_record_from_its_beginning_to_its_end() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await.host_id;
    let mut agent = fixture.attach(host, "amelie").await;
    let open = OpenSession {
        host: host.to_string(),
        org: None,
        idle_timeout: None,
    };
    let session = fixture.core.open_session(&ana(), open).await.unwrap().session_id;
    eventually("active", || async {
        let view = fixture.core.get_session(&ana(), session, None).await.unwrap();
        (view.state == SessionState::Active).then_some(())
    })
    .await;
    let command = RunCommand {
        verb: Verb::DeleteFile,
        arguments: json!({"path": "/tmp/x"}),
        timeout: None,
        idempotent: false,
        origin: None,
    };
    fixture.core.run_command(&ana(), session, command).await.unwrap();
    agent.obey().await;
    eventually("the command has ended", || async {
        (!of_action(&fixture, "default", "command.end").await.is_empty()).then_some(())
    })
    .await;
    fixture.core.close_session(&ana(), session).await.unwrap();
    let found = records(&fixture, "default").await;
    let of_session = |record: &&AuditRecord| record.on.get("session") == Some(&session.to_string());
    let actions: Vec<&str> = found
        .iter()
        .filter(of_session)
        .map(|record| record.action.as_str())
        .collect();
    assert_eq!(
        actions,
        ["session.open", "command.send", "command.end", "session.close"]
    );
    assert!(
        found
            .iter()
            .filter(of_session)
            .all(|record| record.by.id == Some(ana().token_id))
    );
}

#[actix::test]
async fn records_are_published_in_their_order_and_later_when_the_broker_is_away() {
    let fixture = Fixture::start();
    fixture.enrol("amelie").await;
    fixture.published(".audit.default", 1).await;
    fixture.publisher.set_away(true);
    for word in ["a", "b", "c"] {
        label(&fixture, word).await;
    }
    let waiting = fixture.publisher.with(".audit.default").len();
    fixture.publisher.set_away(false);
    fixture.advance(2);
    let published = fixture.published(".audit.default", 4).await;
    assert_eq!(waiting, published.len() - 3);
    let stored = fixture
        .core
        .audit_records("default".into(), 1, 100)
        .await
        .unwrap();
    let stored: Vec<Vec<u8>> = stored.into_iter().map(|(_, row)| row).collect();
    let payloads: Vec<Vec<u8>> = published.into_iter().map(|message| message.payload).collect();
    assert_eq!(payloads, stored);
    assert_eq!(
        fixture.rows(Table::Outbox),
        fixture.publisher.with(".events.").len()
    );
}

#[actix::test]
async fn what_was_not_published_goes_out_after_a_restart() {
    let fixture = Fixture::start();
    fixture.enrol("amelie").await;
    fixture.publisher.set_away(true);
    label(&fixture, "late").await;
    let fixture = fixture.restart().await;
    eventually("the record", || async {
        let published = fixture.publisher.with(".audit.default");
        let late = |message: &&OutMessage| String::from_utf8_lossy(&message.payload).contains("late");
        published.iter().find(late).map(|_| ())
    })
    .await;
}

#[actix::test]
async fn a_pruned_chain_goes_on_from_an_anchor_that_it_names_itself() {
    let setup = Setup {
        config: CoreConfig {
            audit_retain_max: 20,
            ..config()
        },
        ..Setup::default()
    };
    let fixture = Fixture::start_with(setup);
    fixture.enrol("amelie").await;
    for n in 0..60 {
        label(&fixture, &format!("l{n}")).await;
    }
    fixture.advance(61);
    // The record of a pruning is there when the pruning is durable, a moment after its rows are gone.
    let (rows, first) = eventually("pruned", || async {
        let rows = fixture
            .core
            .audit_records("default".into(), 1, 1000)
            .await
            .unwrap();
        let first: AuditRecord = serde_json::from_slice(&rows[0].1).unwrap();
        let prunes = of_action(&fixture, "default", "audit.prune").await;
        let says = |prune: &AuditRecord| {
            prune.detail["last"] == first.n - 1 && prune.detail["sha256"] == first.prev.as_str()
        };
        (rows.len() <= 22 && prunes.last().is_some_and(says)).then_some((rows, first))
    })
    .await;
    assert!((20..=22).contains(&rows.len()), "{}", rows.len());
    let chains = fixture.core.audit_chains().await.unwrap();
    let chain = chains.iter().find(|chain| chain.org == "default").unwrap();
    assert_eq!(chain.first, Some(first.n));
    assert_eq!(
        chain.pruned.as_ref().map(|mark| mark.sha256.clone()),
        Some(first.prev)
    );
}

#[actix::test]
async fn old_records_are_pruned_once_they_were_published() {
    let fixture = Fixture::start();
    fixture.enrol("amelie").await;
    fixture.publisher.set_away(true);
    label(&fixture, "old").await;
    fixture.advance(500 * 24 * 3600);
    label(&fixture, "new").await;
    fixture.publisher.set_away(false);
    fixture.advance(2);
    fixture.published(".audit.default", 3).await;
    eventually("the store says so", || async {
        let chains = fixture.core.audit_chains().await.unwrap();
        chains
            .iter()
            .any(|chain| chain.org == "default" && chain.published >= 3)
            .then_some(())
    })
    .await;
    fixture.advance(61);
    eventually("pruned", || async {
        let records = records(&fixture, "default").await;
        let kept = records
            .iter()
            .any(|record| record.detail.get("labels") == Some(&json!(["old"])));
        (!kept).then_some(())
    })
    .await;
    let published = fixture.publisher.with(".audit.default");
    let old = |message: &OutMessage| String::from_utf8_lossy(&message.payload).contains("old");
    assert!(published.iter().any(old));
}

#[actix::test]
async fn who_was_turned_away_is_on_record_and_many_times_is_once() {
    let fixture = Fixture::start();
    let place = ana().place.unwrap();
    for _ in 0..1000 {
        fixture.core.note_denied(Denied {
            by: By::unknown(place.clone()),
            org: None,
            code: "unauthenticated",
        });
    }
    let first = eventually("the first", || async {
        of_action(&fixture, "_", "access.deny").await.into_iter().next()
    })
    .await;
    assert_eq!(first.from, Some(place));
    assert_eq!(first.outcome.code.as_deref(), Some("unauthenticated"));
    fixture.advance(61);
    let second = eventually("the others", || async {
        of_action(&fixture, "_", "access.deny").await.into_iter().nth(1)
    })
    .await;
    assert_eq!(second.detail["count"], 999);
}

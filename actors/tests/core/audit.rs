//! What goes on record, and that nothing else does.

use crate::fixture::Fixture;
use serde_json::{Value, json};
use tripline_actors::LabelChange;
use tripline_actors::access::Principal;
use tripline_actors::audit::AuditFilter;
use tripline_protocol::api::{CreateToken, Role};
use tripline_protocol::audit::{AuditRecord, Dialect, Place};

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
    let [record] = of_action(&fixture, "default", "host.label")
        .await
        .try_into()
        .unwrap();
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

//! What services have of an org that ends its subscription at LimaCharlie.

use super::*;
use crate::limacharlie::{OID, call};
use tripline_actors::store::Table;
use tripline_protocol::limacharlie::ServiceEtype;

/// More than are removed at once.
const MESSAGES: u64 = 250;

fn events_of_org(fixture: &Fixture, count: u64) -> Vec<Delivery> {
    let event = |sequence: u64| Delivery {
        subject: format!("tripline.events.{OID}.detection"),
        headers: Vec::new(),
        payload: detection("c", sequence).1.to_string().into_bytes().into(),
        stream: "TRIPLINE_EVENTS".into(),
        sequence,
        stored_at: fixture.now(),
        delivered: 1,
    };
    (1..=count).map(event).collect()
}

#[actix::test]
async fn messages_and_jobs_of_an_org_that_leaves_are_forgotten_and_its_subscription_is_not() {
    let caller = ScriptedCaller::wanting(&["detection"], &["c"]);
    let job =
        json!({ "id": "4a0cbe0f-7d2b-4f5c-9a67-2ad0c4a45b4e", "start": 1, "cause": "a scan", "hist": [] });
    let told = json!({ "success": true, "jobs": [job] });
    caller.says("detection", vec![Ok(told), again()]);
    let fixture = start(&caller).await;
    register(&fixture, "idle", json!({ "orgs": [OID] })).await;
    let name: Name = "yara".parse().unwrap();
    register(&fixture, "yara", json!({ "orgs": [OID, "default"] })).await;
    fixture
        .core
        .ingest(events_of_org(&fixture, MESSAGES))
        .await
        .unwrap();
    eventually("one has told of a job", || async {
        (fixture.rows(Table::ServiceJob) >= 1).then_some(())
    })
    .await;
    publish(&fixture, MESSAGES + 1, &[detection("c", 0)])
        .await
        .unwrap();
    let uninstall = call("org_uninstall", "u", json!({}));
    let left = fixture
        .core
        .limacharlie_call(ServiceEtype::OrgUninstall, uninstall)
        .await;
    assert!(left.unwrap().success);
    eventually("it is removed", || async {
        let rows = fixture.store.scan(Table::LcOrg, b"r", None, 1).unwrap();
        let record: Value = serde_json::from_slice(&rows[0].1).unwrap();
        record.get("done_at").is_some().then_some(())
    })
    .await;
    for table in [Table::ServiceDelivery, Table::ServiceJob, Table::ServiceEvent] {
        let rows = fixture.store.scan(table, &[], None, 1_000).unwrap();
        let of_org = |value: &[u8]| value.windows(OID.len()).any(|part| part == OID.as_bytes());
        assert!(rows.iter().all(|(_, value)| !of_org(value)), "{table:?}");
    }
    let view = fixture.core.get_service(None, name).await.unwrap();
    assert_eq!(view.waiting, 1, "another org's message waits on");
    assert_eq!(view.spec.orgs.len(), 2, "subscriptions are the operator's");
}

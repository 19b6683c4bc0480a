//! Orgs that come and go.

use crate::cloud::{Cloud, OID, SID, detection, refused};
use crate::harness::eventually;
use serde_json::json;

#[tokio::test]
async fn an_org_that_leaves_is_removed_from_the_store_and_the_streams_though_the_server_is_killed_meanwhile()
{
    let mut cloud = Cloud::start().await;
    cloud.done("org_install", "i", json!({})).await;
    cloud.done("detection", "d", detection("mimikatz")).await;
    let api = cloud.server.api();
    eventually("its job", async || {
        Some(api.jobs().await).filter(|jobs| jobs.len() == 1)
    })
    .await;
    eventually("its events", async || {
        Some(cloud.events().await).filter(|events| events.len() == 2)
    })
    .await;
    cloud.server.kill_broker().await;
    cloud.done("org_uninstall", "u", json!({})).await;
    cloud.server.crash().await;
    cloud.done("org_uninstall", "u", json!({})).await;
    assert_eq!(
        cloud.tell("detection", "late", detection("mimikatz")).await,
        refused("the org is not subscribed")
    );
    // And once more, in the midst of it.
    cloud.server.crash().await;
    let api = cloud.server.api();
    eventually("nothing is left", async || {
        let jobs = api.jobs().await.len();
        let found = api.get(&format!("/v1/hosts?org={OID}")).await.body["items"]
            .as_array()?
            .len();
        let left = jobs + found + stored(&cloud).await;
        (left == 0).then_some(())
    })
    .await;
    let audit = eventually("the audit keeps that it happened", async || {
        let audit = api
            .get(&format!("/v1/audit?org={OID}&limit=100"))
            .await
            .body
            .to_string();
        audit.contains("org.removed").then_some(audit)
    })
    .await;
    assert!(
        audit.contains("org.install") && audit.contains("org.uninstall"),
        "{audit}"
    );
    assert!(!audit.contains(SID));
    eventually("the outbox is empty", async || {
        let outbox = api.get("/v1/outbox").await.body;
        (outbox["waiting"] == 0 && outbox["quarantined"] == 0).then_some(())
    })
    .await;
    // Server and broker die soon after the purge: what had been acknowledged shortly before it does not come back.
    cloud.server.crash().await;
    let back = eventually("it comes back", async || {
        let answer = cloud.tell("org_install", "again", json!({})).await;
        (answer["success"] == true).then_some(answer)
    })
    .await;
    assert_eq!(back["data"], json!({}));
    assert_eq!(back.get("jobs"), None, "nothing is told of its jobs");
    let events = eventually("its event", async || {
        Some(cloud.events().await).filter(|events| !events.is_empty())
    })
    .await;
    assert_eq!(
        events,
        ["org_install again"],
        "behind all that was to be published again"
    );
    // The answer to an earlier call is forgotten: another one may have its `mid`.
    cloud.done("deployment_event", "d", json!({})).await;
    cloud.done("detection", "new", detection("mimikatz")).await;
}

/// How many messages of the org are in the streams.
async fn stored(cloud: &Cloud) -> usize {
    let outside = cloud.server.outside().await;
    let mut count = cloud.events().await.len();
    for stream in ["TRIPLINE_RESULTS", "TRIPLINE_DEAD"] {
        let messages = outside.read(stream).await;
        let of_org = messages.iter().filter(|message| message.subject.contains(OID));
        count += of_org.count();
    }
    count
}

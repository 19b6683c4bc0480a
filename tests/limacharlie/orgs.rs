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
    let api = cloud.server.api();
    eventually("nothing is left", async || {
        let jobs = api.jobs().await.len();
        let found = api.get(&format!("/v1/hosts?org={OID}")).await.body["items"]
            .as_array()?
            .len();
        let events = cloud.events().await.len();
        (jobs + found + events == 0).then_some(())
    })
    .await;
    let outside = cloud.server.outside().await;
    eventually("its results are purged", async || {
        outside.results().await.is_empty().then_some(())
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
    let back = eventually("it comes back", async || {
        let answer = cloud.tell("org_install", "again", json!({})).await;
        (answer["success"] == true).then_some(answer)
    })
    .await;
    assert_eq!(back["data"], json!({}));
    cloud.done("detection", "new", detection("mimikatz")).await;
}

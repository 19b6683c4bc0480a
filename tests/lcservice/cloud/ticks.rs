//! Ticks that the server's own clock makes.

use super::Cloud;
use crate::harness::{AgentProcess, eventually};
use serde_json::json;
use std::time::SystemTime;
use tripline_actors::store::{Batch, Options, Store, Table};
use tripline_protocol::limacharlie::{Period, TickScope, oid};
use tripline_protocol::{Org, Timestamp};

const ETYPES: [&str; 3] = ["org_per_30d", "once_per_30d", "sensor_per_30d"];
const SCOPES: [TickScope; 3] = [TickScope::Org, TickScope::Once, TickScope::Sensor];

/// The store of a server that was stopped.
async fn store(cloud: &Cloud) -> Store {
    let options = Options::new(cloud.server.data_dir());
    eventually("the store is free", async || Store::open(&options).ok()).await
}

fn row(scope: TickScope) -> [u8; 2] {
    [scope as u8, Period::D30 as u8]
}

/// Rounds of 30 days since the Unix epoch.
fn round() -> i64 {
    let now: Timestamp = SystemTime::now().into();
    now.as_micros() / 1_000 / i64::try_from(Period::D30.span().as_millis()).expect("30 days")
}

/// A server cannot be told what time it is, but how far its clocks had come: as if it had been down for many periods.
#[actix_web::test]
async fn what_the_clock_missed_in_a_downtime_comes_once_to_the_real_one_and_then_no_more() {
    let begun = round();
    let mut cloud = Cloud::start("ticks", &[], "", |service| {
        service.set("callbacks", json!(ETYPES));
    })
    .await;
    let mut agent = AgentProcess::start(&cloud.site, &cloud.server, "a").await;
    let host = agent.host_id().await;
    assert!(cloud.server.terminate().await.success());
    let long_ago = store(&cloud).await;
    for scope in SCOPES {
        let mut batch = Batch::new();
        let place = json!({ "round": begun - 50, "phase": 0, "last": null });
        batch.put(Table::Clock, row(scope), place.to_string().into_bytes());
        long_ago.commit(batch, || {});
    }
    long_ago.flush_and_close();
    drop(long_ago);

    cloud.server.spawn();
    cloud.server.ready().await;
    for etype in ETYPES {
        cloud.service.calls_of(etype, 1).await;
    }
    cloud.is("nothing waits", |view| view["waiting"] == 0).await;
    assert!(cloud.server.terminate().await.success());
    let recorded = cloud.service.recorded();
    for etype in ETYPES {
        let told: Vec<_> = recorded
            .iter()
            .filter(|told| told.call["etype"] == etype)
            .collect();
        assert_eq!(told.len(), 1, "{etype}: one for all that were missed");
        let call = &told[0].call;
        let org = oid(&Org::default_org()).to_string();
        let (expected, data) = match etype {
            "once_per_30d" => (None, json!({})),
            "sensor_per_30d" => (Some(json!(org)), json!({ "sid": host })),
            _ => (Some(json!(org)), json!({})),
        };
        assert_eq!(
            (call.get("oid"), &call["data"]),
            (expected.as_ref(), &data),
            "{etype}"
        );
        let answer = told[0].answer.as_ref().expect("an answer");
        assert_eq!(answer["success"], true, "{etype}: {answer}");
    }
    // The clocks are at now: nothing is due for a time before.
    let now = store(&cloud).await;
    for scope in SCOPES {
        let place = now
            .get(Table::Clock, &row(scope))
            .expect("a row")
            .expect("a clock");
        let place: serde_json::Value = serde_json::from_slice(&place).expect("JSON");
        assert!(place["round"].as_i64() >= Some(begun), "{place}");
    }
}

//! Many detections at once, for a service with a backlog of five connections.

use super::Cloud;
use futures_util::future::join_all;
use serde_json::json;
use tripline_protocol::HostId;
use uuid::Uuid;

const DETECTIONS: usize = 200;

/// All at the same time, each of another host: nothing keeps them in order.
async fn burst(cloud: &Cloud) {
    let numbers: Vec<String> = (0..DETECTIONS).map(|number| number.to_string()).collect();
    let detections = numbers
        .iter()
        .map(|number| cloud.detect(number, "fine", HostId(Uuid::new_v4())));
    join_all(detections).await;
}

#[actix_web::test]
async fn a_burst_is_handled_once_each_with_as_many_calls_at_a_time_as_it_bears() {
    let cloud = Cloud::start("calm", &["fine"], "", |_| {}).await;
    burst(&cloud).await;
    let told = cloud.handled(DETECTIONS).await;
    assert!(
        told.values().all(|calls| calls.len() == 1),
        "no connection failed, so nothing came twice"
    );
}

#[actix_web::test]
async fn nothing_of_a_burst_is_lost_that_comes_with_more_connections_than_its_backlog_has() {
    let keys = "in_flight = 64\nattempts = 100\n";
    let mut cloud = Cloud::start("flooded", &["fine"], keys, |_| {}).await;
    // While it is away all of it gathers, and goes out at once when it is back.
    cloud.service.kill();
    burst(&cloud).await;
    cloud
        .is("all of it waits", |view| view["waiting"] == json!(DETECTIONS))
        .await;
    cloud.service.spawn().await;
    cloud.hurry().await;
    cloud.handled(DETECTIONS).await;
}

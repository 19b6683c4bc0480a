//! Events that are gone from the stream before the server read them: each is counted once.

use crate::harness::{Broker, Outside, Server, Site, eventually};
use serde_json::json;

/// A broker that outlives the server, and the server on it.
async fn running(site: &Site) -> (Broker, Server, Outside) {
    let broker = Broker::start(site).await;
    let server = Server::start(site, &[("nats.url", broker.url())]).await;
    let outside = Outside::of(broker.url()).await;
    (broker, server, outside)
}

async fn publish(outside: &Outside, count: usize) {
    for number in 0..count {
        outside.publish("nothing", &json!({"number": number})).await;
    }
}

/// How many were counted since the server started.
async fn gone(server: &Server) -> u64 {
    let metrics = server.api().get("/metrics").await.body;
    let series = "tripline_nats_events_missed_total{why=\"gone\"} ";
    let mut lines = metrics.as_str().expect("text").lines();
    let value = lines.find_map(|line| line.strip_prefix(series));
    value.map_or(0, |value| value.parse().expect("a number"))
}

async fn counted(server: &Server, count: u64) {
    eventually(&format!("{count} are counted"), async || {
        (gone(server).await >= count).then_some(())
    })
    .await;
    assert_eq!(gone(server).await, count);
}

/// Holds the server's consumer up until then, or lets it go on.
async fn hold_up(broker: &Broker, until: &str) {
    let client = async_nats::connect(broker.url()).await.expect("a connection");
    let subject = "$JS.API.CONSUMER.PAUSE.TRIPLINE_EVENTS.tripline";
    let request = json!({"pause_until": until}).to_string();
    let answer = client.request(subject, request.into()).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer.payload).into_owned();
    assert!(!answer.contains("\"error\""), "{answer}");
}

/// The stream loses what it has, as by its limits.
async fn purge(outside: &Outside) {
    let stream = outside.stream("TRIPLINE_EVENTS").await;
    stream.purge().await.expect("purged");
}

#[tokio::test]
async fn events_that_the_stream_lost_while_the_server_was_away_are_counted_once() {
    let site = Site::new().await;
    let (_broker, mut server, outside) = running(&site).await;
    publish(&outside, 7).await;
    outside.all_handled().await;
    assert!(server.terminate().await.success());
    publish(&outside, 50).await;
    purge(&outside).await;
    publish(&outside, 1).await;
    server.spawn();
    server.ready().await;
    counted(&server, 50).await;
    server.process().says("events were gone from the stream").await;
    outside.all_handled().await;
    assert!(server.terminate().await.success());
    server.spawn();
    server.ready().await;
    publish(&outside, 1).await;
    outside.all_handled().await;
    assert_eq!(gone(&server).await, 0, "counted by the one before");
}

#[tokio::test]
async fn events_that_were_handled_and_then_lost_are_not_counted() {
    let site = Site::new().await;
    let (_broker, mut server, outside) = running(&site).await;
    publish(&outside, 20).await;
    outside.all_handled().await;
    assert!(server.terminate().await.success());
    purge(&outside).await;
    server.spawn();
    server.ready().await;
    publish(&outside, 1).await;
    outside.all_handled().await;
    assert_eq!(gone(&server).await, 0);
}

#[tokio::test]
async fn events_that_go_while_the_server_runs_are_counted_and_not_again_after_a_crash() {
    let site = Site::new().await;
    let (broker, mut server, outside) = running(&site).await;
    let stream = outside.stream("TRIPLINE_EVENTS").await;
    publish(&outside, 3).await;
    outside.all_handled().await;
    hold_up(&broker, "2100-01-01T00:00:00Z").await;
    publish(&outside, 10).await;
    for deleted in [5, 7] {
        assert!(stream.delete_message(deleted).await.expect("deleted"));
    }
    hold_up(&broker, "2000-01-01T00:00:00Z").await;
    counted(&server, 2).await;
    outside.all_handled().await;
    hold_up(&broker, "2100-01-01T00:00:00Z").await;
    publish(&outside, 20).await;
    stream.purge().await.expect("purged");
    publish(&outside, 1).await;
    hold_up(&broker, "2000-01-01T00:00:00Z").await;
    counted(&server, 22).await;
    server.crash().await;
    publish(&outside, 1).await;
    outside.all_handled().await;
    assert_eq!(gone(&server).await, 0, "counted by the one before");
}

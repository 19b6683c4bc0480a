//! What others do to the broker: consumers and streams that are made anew, events that nobody could handle.

use crate::harness::{AgentProcess, Broker, Outside, Server, Site, cloud_event, eventually, job_of_event};
use async_nats::jetstream::consumer::{Consumer, pull};
use async_nats::jetstream::{self, AckKind};
use futures_util::StreamExt;
use serde_json::json;
use tripline_protocol::HostId;

const PIPELINE: &str = "name: look\non: [look]\njob:\n  steps:\n    - list_directory: { path: /proc/self }\n";

async fn scene(site: &Site, url: Option<&str>) -> (Server, AgentProcess, HostId) {
    site.write("pipelines/look.yaml", PIPELINE);
    let pipelines = site.path("pipelines");
    let mut settings = vec![("pipelines.dir", pipelines.to_str().expect("UTF-8"))];
    settings.extend(url.map(|url| ("nats.url", url)));
    let server = Server::start(site, &settings).await;
    let mut agent = AgentProcess::start(site, &server, "a").await;
    let host = agent.host_id().await;
    (server, agent, host)
}

async fn publish(outside: &Outside, host: HostId, names: std::ops::Range<u32>) {
    for name in names {
        outside
            .publish("look", &cloud_event(&name.to_string(), "look", host, json!({})))
            .await;
    }
}

/// Waits until these events, and no others, have caused jobs, and those have ended.
async fn caused(server: &Server, host: HostId, names: std::ops::Range<u32>) {
    let api = server.api();
    for name in names.clone() {
        api.ended(job_of_event("system-test", &name.to_string(), "look", host))
            .await;
    }
    assert_eq!(api.jobs().await.len(), names.len());
}

#[tokio::test]
async fn after_its_consumer_was_deleted_the_server_goes_on_where_it_was() {
    let site = Site::new().await;
    let (server, _agent, host) = scene(&site, None).await;
    let outside = server.outside().await;
    publish(&outside, host, 0..10).await;
    caused(&server, host, 0..10).await;
    let stream = outside.stream("TRIPLINE_EVENTS").await;
    stream.delete_consumer("tripline").await.expect("to delete");
    publish(&outside, host, 10..20).await;
    caused(&server, host, 0..20).await;
    outside.all_handled().await;
}

#[tokio::test]
async fn after_its_stream_was_deleted_the_server_makes_it_anew_and_takes_new_events() {
    let site = Site::new().await;
    let (mut server, _agent, host) = scene(&site, None).await;
    let outside = server.outside().await;
    publish(&outside, host, 0..10).await;
    caused(&server, host, 0..10).await;
    let context = jetstream::new(outside.operator.clone());
    context.delete_stream("TRIPLINE_EVENTS").await.expect("to delete");
    publish(&outside, host, 10..20).await;
    caused(&server, host, 0..20).await;
    server.process().says("another stream than before").await;
}

#[tokio::test]
async fn a_stream_that_others_made_anew_is_taken_from_its_end_with_a_warning() {
    let site = Site::new().await;
    let broker = Broker::start(&site).await;
    let (mut server, _agent, host) = scene(&site, Some(broker.url())).await;
    let outside = Outside::of(broker.url()).await;
    publish(&outside, host, 0..10).await;
    caused(&server, host, 0..10).await;
    assert!(server.terminate().await.success());

    let config = outside
        .stream("TRIPLINE_EVENTS")
        .await
        .cached_info()
        .config
        .clone();
    let context = jetstream::new(outside.operator.clone());
    context.delete_stream("TRIPLINE_EVENTS").await.expect("to delete");
    context.create_stream(config).await.expect("to create");
    // Restored from somewhere: nobody knows how old they are and whether they were handled.
    publish(&outside, host, 100..105).await;
    server.spawn();
    server.ready().await;
    server.process().says("another stream than before").await;
    publish(&outside, host, 10..20).await;
    caused(&server, host, 0..20).await;
}

#[tokio::test]
async fn an_event_that_was_delivered_too_often_goes_to_the_dead_letters_unevaluated() {
    let site = Site::new().await;
    let broker = Broker::start(&site).await;
    let (mut server, _agent, host) = scene(&site, Some(broker.url())).await;
    assert!(server.terminate().await.success());

    // Somebody takes the event again and again and never gets done with it.
    let outside = Outside::of(broker.url()).await;
    let event = cloud_event("poison", "look", host, json!({}));
    outside.publish("look", &event).await;
    let stream = outside.stream("TRIPLINE_EVENTS").await;
    let consumer: Consumer<pull::Config> = stream.get_consumer("tripline").await.expect("the consumer");
    for delivery in 1..=6 {
        let message = eventually("a delivery", async || {
            let mut batch = consumer.fetch().max_messages(1).messages().await.ok()?;
            batch.next().await?.ok()
        })
        .await;
        assert_eq!(message.info().expect("an info").delivered, delivery);
        message.ack_with(AckKind::Nak(None)).await.expect("to nak");
    }
    outside.operator.flush().await.expect("connected");

    server.spawn();
    server.ready().await;
    let letters = outside.dead(1).await;
    assert_eq!(letters[0].subject, "tripline.dead.default.poison");
    assert_eq!(letters[0].reason, "poison");
    assert_eq!(letters[0].from, "tripline.events.default.look");
    assert_eq!(letters[0].payload, event.to_string().into_bytes());
    outside.all_handled().await;
    assert_eq!(server.api().jobs().await.len(), 0);
    publish(&outside, host, 0..1).await;
    caused(&server, host, 0..1).await;
}

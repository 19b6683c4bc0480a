//! The outside NATS client: publishes events and receives results, as other systems would.

use super::Outcome;
use async_nats::{Client, ConnectOptions, Subscriber, jetstream};
use std::collections::VecDeque;
use std::future::IntoFuture;
use tripline::nats::connection::{ConnectionInfo, Login};

/// Messages of a subscription that may wait to be read.
const WAITING_MAX: usize = 1 << 20;
/// Publications that wait for their ack.
const PUBLISH_WINDOW: usize = 1000;

/// Connects as one of the broker's users.
pub(crate) async fn connect(info: &ConnectionInfo, login: &Login, inbox: &str) -> Outcome<Client> {
    let options = ConnectOptions::with_user_and_password(login.user.clone(), login.password.clone());
    let options = options
        .custom_inbox_prefix(inbox)
        .subscription_capacity(WAITING_MAX);
    Ok(options.connect(info.url.as_str()).await?)
}

/// JetStream as the server's own user, to look at streams and consumers.
pub(crate) async fn jetstream(info: &ConnectionInfo) -> Outcome<jetstream::Context> {
    let client = connect(info, &info.server, "_INBOX_tripline").await?;
    Ok(jetstream::new(client))
}

/// A publisher of events.
pub(crate) async fn publisher(info: &ConnectionInfo) -> Outcome<Client> {
    connect(info, &info.publisher, "_INBOX").await
}

/// A client that receives all results; its subscription is known to the broker when this returns.
pub(crate) async fn results(info: &ConnectionInfo) -> Outcome<(Client, Subscriber)> {
    let client = connect(info, &info.subscriber, "_INBOX").await?;
    let results = client.subscribe("tripline.results.>").await?;
    // A flush would only say that it is on its way.
    client.request("$JS.API.INFO", "".into()).await?;
    Ok((client, results))
}

/// Publishes `count` events that nothing matches, of about 300 bytes, and waits until the broker has all.
pub(crate) async fn publish_unmatched(context: &jetstream::Context, count: u64) -> Outcome {
    // With acks: what is only sent may be more than the stream takes in at once, and is dropped then.
    let mut acks = VecDeque::new();
    for number in 0..count {
        let payload = format!(
            r#"{{"specversion":"1.0","id":"{number}","source":"bench","type":"bench.unmatched","data":{{"number":{number},"username":"amelie","hostname":"workstation-17.example.org","processname":"/usr/lib/firefox/firefox-bin","command":["firefox-bin","-contentproc","-parentBuildID","20261001"],"pid":4242,"severity":3}}}}"#
        );
        let subject = "tripline.events.default.bench.unmatched";
        acks.push_back(context.publish(subject, payload.into()).await?.into_future());
        if acks.len() >= PUBLISH_WINDOW
            && let Some(ack) = acks.pop_front()
        {
            ack.await?;
        }
    }
    for ack in acks {
        ack.await?;
    }
    Ok(())
}

//! The stream of events, read as its operator: only what is new is fetched.

use crate::harness::{Outside, eventually};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::{self, Message};
use futures_util::StreamExt;
use serde_json::Value;
use std::cell::RefCell;
use std::time::Duration;
use tripline_protocol::HostId;
use tripline_protocol::subject::HEADER_MSG_ID;

const STREAM: &str = "TRIPLINE_EVENTS";
/// Messages of one fetch.
const BATCH: usize = 500;
/// How long a fetch may take.
const REQUEST: Duration = Duration::from_secs(5);

/// An event as it is in the stream.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) etype: String,
    /// The host it is about.
    pub(crate) host: Option<HostId>,
    /// RFC 3339.
    pub(crate) time: String,
    pub(crate) data: Value,
}

/// What was read so far, and the sequence of what comes next.
#[derive(Default)]
struct Read {
    events: Vec<Published>,
    next: u64,
}

/// The events of the org `default`.
#[derive(Default)]
pub(crate) struct Events(RefCell<Read>);

impl Events {
    /// Everything in the stream now, in order.
    pub(crate) async fn all(&self, outside: &Outside) -> Vec<Published> {
        let next = self.0.borrow().next;
        let messages = eventually("the new events of the stream", async || read(outside, next).await).await;
        let mut read = self.0.borrow_mut();
        for message in messages {
            let sequence = message.info().expect("of a stream").stream_sequence;
            if sequence >= read.next {
                read.next = sequence + 1;
                read.events.extend(published(&message));
            }
        }
        read.events.clone()
    }
}

/// The messages from a sequence on. `None` when the broker went away meanwhile.
async fn read(outside: &Outside, next: u64) -> Option<Vec<Message>> {
    let context = jetstream::new(outside.operator.clone());
    let stream = context.get_stream(STREAM).await.ok()?;
    if stream.cached_info().state.last_sequence < next.max(1) {
        return Some(Vec::new());
    }
    let config = pull::Config {
        ack_policy: AckPolicy::None,
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: next.max(1),
        },
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.ok()?;
    let mut left = usize::try_from(consumer.cached_info().num_pending).ok()?;
    let mut found = Vec::with_capacity(left);
    while left > 0 {
        let fetch = consumer.fetch().max_messages(left.min(BATCH)).expires(REQUEST);
        let mut batch = fetch.messages().await.ok()?;
        while let Some(message) = batch.next().await {
            found.push(message.ok()?);
            left = left.saturating_sub(1);
        }
    }
    Some(found)
}

fn published(message: &Message) -> Option<Published> {
    let etype = message
        .subject
        .as_str()
        .strip_prefix("tripline.events.default.")?;
    let event: Value = serde_json::from_slice(&message.payload).expect("JSON");
    let headers = message.headers.as_ref().expect("headers");
    assert!(
        headers.get(HEADER_MSG_ID).is_some(),
        "duplicates are found by it: {event}"
    );
    assert_eq!(event["type"], etype);
    Some(Published {
        etype: etype.to_owned(),
        host: serde_json::from_value(event["hostid"].clone()).ok(),
        time: event["time"].as_str().unwrap_or_default().to_owned(),
        data: event["data"].clone(),
    })
}

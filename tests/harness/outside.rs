//! Other systems on the broker: one that publishes, one that subscribes, and the operator who may do everything.

use super::eventually;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, stream::Stream};
use async_nats::{Client, ConnectOptions, HeaderMap};
use futures_util::StreamExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tripline::nats::ConnectionInfo;
use tripline::nats::connection::Login;
use tripline_protocol::JobId;
use tripline_protocol::result::JobResult;
use tripline_protocol::subject::{HEADER_DEAD_REASON, HEADER_DEAD_SUBJECT, HEADER_DEAD_TEXT, HEADER_MSG_ID};

/// How long one request to the broker may take.
const REQUEST: Duration = Duration::from_secs(5);
/// How long a publisher waits for its ack before it publishes again.
const ACK: Duration = Duration::from_secs(1);

/// Connections as different users.
pub(crate) struct Outside {
    pub(crate) publisher: Client,
    pub(crate) subscriber: Client,
    pub(crate) operator: Client,
}

/// A message of the stream of dead letters.
#[derive(Debug)]
pub(crate) struct DeadLetter {
    pub(crate) subject: String,
    pub(crate) reason: String,
    pub(crate) text: String,
    pub(crate) from: String,
    pub(crate) payload: Vec<u8>,
}

fn options() -> ConnectOptions {
    ConnectOptions::new().request_timeout(Some(REQUEST))
}

async fn connect(url: &str, login: &Login, inbox: &str) -> Option<Client> {
    options()
        .user_and_password(login.user.clone(), login.password.clone())
        .custom_inbox_prefix(inbox)
        .connect(url)
        .await
        .ok()
}

impl Outside {
    /// Of a server's own broker. A broker that was just killed comes back first.
    pub(crate) async fn of_embedded(data_dir: &Path) -> Self {
        eventually("connections to the embedded broker", async || {
            let info = ConnectionInfo::read(data_dir).ok()?;
            Some(Self {
                publisher: connect(&info.url, &info.publisher, "_INBOX").await?,
                subscriber: connect(&info.url, &info.subscriber, "_INBOX").await?,
                operator: connect(&info.url, &info.server, "_INBOX_tripline").await?,
            })
        })
        .await
    }

    /// Of a broker without users.
    pub(crate) async fn of(url: &str) -> Self {
        let client = options().connect(url).await.expect("a connection");
        Self {
            publisher: client.clone(),
            subscriber: client.clone(),
            operator: client,
        }
    }

    /// Publishes an event's bytes with headers; whether the stream has it.
    pub(crate) async fn try_publish(&self, etype: &str, headers: &[(&str, &str)], payload: Vec<u8>) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        let context = jetstream::new(self.publisher.clone());
        let subject = format!("tripline.events.default.{etype}");
        let Ok(ack) = context.publish_with_headers(subject, map, payload.into()).await else {
            return false;
        };
        matches!(tokio::time::timeout(ACK, ack).await, Ok(Ok(_)))
    }

    /// Publishes an event's bytes until the stream has it.
    pub(crate) async fn publish_bytes(&self, etype: &str, headers: &[(&str, &str)], payload: Vec<u8>) {
        eventually("the event is in the stream", async || {
            self.try_publish(etype, headers, payload.clone())
                .await
                .then_some(())
        })
        .await;
    }

    /// Publishes JSON until the stream has it.
    pub(crate) async fn publish(&self, etype: &str, event: &Value) {
        self.publish_bytes(etype, &[], event.to_string().into_bytes())
            .await;
    }

    /// Publishes on any subject of a stream, as only its operator can.
    pub(crate) async fn publish_as_operator(&self, subject: &str, payload: Vec<u8>) {
        let context = jetstream::new(self.operator.clone());
        let sent = context.publish(subject.to_owned(), payload.into()).await;
        sent.expect("to send").await.expect("an ack");
    }

    /// A stream, as its operator sees it.
    pub(crate) async fn stream(&self, name: &str) -> Stream {
        eventually(&format!("stream {name}"), async || {
            jetstream::new(self.operator.clone()).get_stream(name).await.ok()
        })
        .await
    }

    /// Everything in a stream now. `None` when the broker went away meanwhile.
    pub(crate) async fn try_read(reader: &Client, name: &str) -> Option<Vec<async_nats::Message>> {
        let context = jetstream::new(reader.clone());
        let stream = context.get_stream(name).await.ok()?;
        let config = pull::Config {
            ack_policy: AckPolicy::None,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.ok()?;
        let mut left = usize::try_from(consumer.cached_info().num_pending).ok()?;
        let mut found = Vec::with_capacity(left);
        while left > 0 {
            let wanted = left.min(500);
            let mut batch = consumer
                .fetch()
                .max_messages(wanted)
                .expires(REQUEST)
                .messages()
                .await
                .ok()?;
            while let Some(message) = batch.next().await {
                found.push(message.ok()?.into());
                left -= 1;
            }
        }
        Some(found)
    }

    /// Everything in a stream now, as a subscriber reads it.
    pub(crate) async fn read(&self, stream: &str) -> Vec<async_nats::Message> {
        eventually(&format!("the content of {stream}"), async || {
            Self::try_read(&self.subscriber, stream).await
        })
        .await
    }

    /// Every result of a job in the stream of results, by its job.
    pub(crate) async fn results(&self) -> BTreeMap<JobId, Vec<JobResult>> {
        let mut results: BTreeMap<JobId, Vec<JobResult>> = BTreeMap::new();
        let messages = self.read("TRIPLINE_RESULTS").await.into_iter();
        let of_jobs = messages.filter(|message| message.subject.starts_with("tripline.results."));
        for message in of_jobs {
            let mut event: Value = serde_json::from_slice(&message.payload).expect("JSON");
            let result: JobResult = serde_json::from_value(event["data"].take()).expect("a result");
            let id = header(&message, HEADER_MSG_ID);
            assert_eq!(id, result.job_id.to_string(), "Nats-Msg-Id is the job's id");
            results.entry(result.job_id).or_default().push(result);
        }
        results
    }

    /// The only result of a job, once it is there.
    pub(crate) async fn result(&self, job_id: JobId) -> JobResult {
        eventually(&format!("a result of {job_id}"), async || {
            let mut found = self.results().await.remove(&job_id)?;
            assert_eq!(found.len(), 1, "one result");
            found.pop()
        })
        .await
    }

    /// Every dead letter.
    pub(crate) async fn dead_letters(&self) -> Vec<DeadLetter> {
        let messages = self.read("TRIPLINE_DEAD").await;
        let letter = |message: async_nats::Message| DeadLetter {
            subject: message.subject.to_string(),
            reason: header(&message, HEADER_DEAD_REASON),
            text: header(&message, HEADER_DEAD_TEXT),
            from: header(&message, HEADER_DEAD_SUBJECT),
            payload: message.payload.to_vec(),
        };
        messages.into_iter().map(letter).collect()
    }

    /// Waits until there are so many.
    pub(crate) async fn dead(&self, count: usize) -> Vec<DeadLetter> {
        eventually(&format!("{count} dead letters"), async || {
            let found = self.dead_letters().await;
            (found.len() >= count).then_some(found)
        })
        .await
    }

    /// Waits until every event is handled.
    pub(crate) async fn all_handled(&self) {
        eventually("every event is acked", async || {
            let info = self
                .stream("TRIPLINE_EVENTS")
                .await
                .consumer_info("tripline")
                .await
                .ok()?;
            (info.num_ack_pending == 0 && info.num_pending == 0).then_some(())
        })
        .await;
    }
}

fn header(message: &async_nats::Message, name: &str) -> String {
    let value = message.headers.as_ref().and_then(|headers| headers.get(name));
    value.map(ToString::to_string).unwrap_or_default()
}

//! The outside NATS client: what another system would do with the credentials of `tripline nats info`.
//!
//! It knows nothing of the server but subjects. The one place besides `crate::nats` that uses `async_nats`,
//! because it must not share the server's own connection.

use super::Error;
use async_nats::{Client, ConnectOptions, Message, Subscriber};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::Value;
use tripline_protocol::result::JobResult;

/// What `tripline nats info --output json` prints.
#[derive(Debug, Deserialize)]
pub(super) struct Broker {
    url: String,
    publisher: Login,
    subscriber: Login,
}

#[derive(Debug, Deserialize)]
struct Login {
    user: String,
    password: String,
}

/// A publisher and a subscriber, each with its own credentials.
pub(super) struct Outside {
    url: String,
    publisher: Client,
    subscriber: Client,
    states: Subscriber,
    results: Subscriber,
}

/// What the subscriber heard.
pub(super) enum Heard {
    /// A job changed its state, or began or ended a step.
    State { subject: String, text: String },
    /// A result.
    Result { subject: String, result: Box<JobResult> },
}

fn nats(error: impl std::error::Error + 'static) -> Error {
    Error::Nats(crate::cli::chain(&error))
}

async fn connect(url: &str, login: &Login, name: &str) -> Result<Client, Error> {
    ConnectOptions::with_user_and_password(login.user.clone(), login.password.clone())
        .name(name)
        .connect(url)
        .await
        .map_err(nats)
}

impl Outside {
    /// Connects both and subscribes.
    pub(super) async fn connect(broker: &Broker) -> Result<Self, Error> {
        let publisher = connect(&broker.url, &broker.publisher, "demo-publisher").await?;
        let subscriber = connect(&broker.url, &broker.subscriber, "demo-subscriber").await?;
        let states = subscriber.subscribe("tripline.jobs.>").await.map_err(nats)?;
        let results = subscriber.subscribe("tripline.results.>").await.map_err(nats)?;
        // Its answer comes after the broker has taken both; a flush only says that they are on their way.
        subscriber
            .request("$JS.API.INFO", "".into())
            .await
            .map_err(nats)?;
        Ok(Self {
            url: broker.url.clone(),
            publisher,
            subscriber,
            states,
            results,
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Publishes bare JSON.
    pub(super) async fn publish(&self, subject: &'static str, data: &Value) -> Result<(), Error> {
        self.publisher
            .publish(subject, data.to_string().into())
            .await
            .map_err(nats)?;
        self.publisher.flush().await.map_err(nats)
    }

    /// The next thing heard.
    pub(super) async fn hear(&mut self) -> Result<Heard, Error> {
        // States first: what led to a result is shown before it.
        let heard = tokio::select! {
            biased;
            message = self.states.next() => message.map(|message| state(&message)),
            message = self.results.next() => message.map(|message| result(&message)).transpose()?,
        };
        heard.ok_or_else(|| {
            Error::Nats(format!(
                "the subscriber's connection ended ({:?})",
                self.subscriber.connection_state()
            ))
        })
    }
}

fn state(message: &Message) -> Heard {
    let body: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
    let text = |pointer: &str| {
        body.pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut parts = vec![text("/state")];
    if !text("/step/id").is_empty() {
        parts.push(format!(
            "step {} ({}) {}",
            text("/step/id"),
            text("/step/verb"),
            text("/step/status")
        ));
    }
    parts.push(text("/reason/text"));
    parts.retain(|part| !part.is_empty());
    Heard::State {
        subject: message.subject.to_string(),
        text: parts.join(", "),
    }
}

/// A CloudEvent with the result as its data.
fn result(message: &Message) -> Result<Heard, Error> {
    #[derive(Deserialize)]
    struct CloudEvent {
        data: Box<JobResult>,
    }
    let event: CloudEvent = serde_json::from_slice(&message.payload)
        .map_err(|error| Error::Wrong(format!("the result on {} is not one: {error}", message.subject)))?;
    Ok(Heard::Result {
        subject: message.subject.to_string(),
        result: event.data,
    })
}

//! One event, published by a process that lives for it alone: connect, publish, wait for the broker's ack.
//!
//! As any publisher, not as the server: it needs the right to publish events and to read its own inbox. Deliberately not
//! here: trying again, which is for whoever called.

use super::NatsOptions;
use super::publisher::classify;
use crate::cli::chain;
use async_nats::ConnectOptions;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::message::PublishMessage;
use std::time::Duration;
use tripline_actors::ports::PublishError;

/// Publishes `payload` under `message_id`; done once the stream has it. All of it takes no longer than `patience`.
///
/// # Errors
/// The broker cannot be reached, does not let this user in, or did not ack in time: the stream may have it all the same, and takes
/// the same `message_id` once only. Permanent ones are what the broker will never take.
pub async fn publish(
    options: &NatsOptions,
    subject: String,
    message_id: &str,
    payload: Vec<u8>,
    patience: Duration,
) -> Result<(), PublishError> {
    let published = tokio::time::timeout(
        patience,
        try_publish(options, subject, message_id, payload, patience),
    );
    let late = |_| {
        Err(PublishError::Transient(format!(
            "no ack within {} s",
            patience.as_secs_f32()
        )))
    };
    published.await.unwrap_or_else(late)
}

async fn try_publish(
    options: &NatsOptions,
    subject: String,
    message_id: &str,
    payload: Vec<u8>,
    patience: Duration,
) -> Result<(), PublishError> {
    let servers: Vec<&str> = options.url.split(',').map(str::trim).collect();
    let connected = connect_options(options).await?.connect(servers).await;
    let client = connected.map_err(|error| PublishError::Transient(chain(&error)))?;
    let context = ContextBuilder::new().ack_timeout(patience).build(client);
    let message = PublishMessage::build()
        .message_id(message_id)
        .payload(payload.into());
    let sent = context.send_publish(subject, message).await;
    let acked = match sent {
        Ok(ack) => ack.await.map(|_| ()),
        Err(error) => Err(error),
    };
    acked.map_err(|error| classify(&error))
}

async fn connect_options(options: &NatsOptions) -> Result<ConnectOptions, PublishError> {
    let mut connect = ConnectOptions::new().name("tripline function");
    if let (Some(user), Some(password)) = (&options.user, &options.password) {
        connect = connect.user_and_password(user.clone(), password.clone());
    }
    if let Some(ca) = &options.ca {
        connect = connect.add_root_certificates(ca.clone()).require_tls(true);
    }
    match &options.credentials {
        None => Ok(connect),
        Some(path) => connect
            .credentials_file(path)
            .await
            .map_err(|error| PublishError::Transient(format!("credentials {}: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::deaf::DeafBroker;
    use super::*;
    use tokio::time::Instant;
    use tripline_protocol::Subjects;

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn publish_to(url: String) -> PublishError {
        let options = NatsOptions {
            url,
            user: None,
            password: None,
            credentials: None,
            ca: None,
            subjects: Subjects::default(),
            stream_bytes_max: 0,
        };
        let subject = "tripline.events.default.x".to_owned();
        let published = publish(&options, subject, "m", b"{}".to_vec(), PATIENCE).await;
        published.expect_err("nobody has acked it")
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_does_not_ack_is_an_error_after_its_time_and_one_that_is_away_at_once() {
        for broker in [DeafBroker::start().await, DeafBroker::that_lets_in().await] {
            let begun = Instant::now();
            let error = publish_to(broker.url()).await;
            assert!(matches!(error, PublishError::Transient(_)), "{error}");
            assert!(begun.elapsed() <= PATIENCE, "not after its time");
        }
        let error = publish_to("nats://127.0.0.1:1".to_owned()).await;
        assert!(matches!(error, PublishError::Transient(_)), "{error}");
    }
}

//! The connection to the broker: options, unlimited reconnects, and what the broker says about itself.
//!
//! Deliberately not here: streams, consumers, messages. A lost connection is never an error of the process:
//! whoever needs one waits on [`Link::up`].

use super::status::{NatsStatus, Phase};
use super::{Error, NatsOptions};
use async_nats::{Client, ConnectOptions, Event, ServerError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};

/// Refused permissions that are remembered for who waits for one; the oldest go first.
const DENIALS_MAX: usize = 256;
/// Longest pause between two attempts to connect.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the broker may stay silent before the connection counts as dead is twice this.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// The oldest server that can do what is needed of it: major, minor, patch.
const SERVER_MIN: (i64, i64, i64) = (2, 11, 0);

/// Which connection it is, and whether it is up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LinkState {
    /// Grows with every connection.
    pub(crate) epoch: u64,
    /// Whether this one stands.
    pub(crate) up: bool,
}

/// The broker refused to take a message: the subject, and what it said.
#[derive(Debug, Clone)]
pub(crate) struct Denied {
    pub(crate) subject: String,
    pub(crate) text: String,
}

/// The connection and what happens to it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) client: Client,
    state: watch::Receiver<LinkState>,
    denied: broadcast::Sender<Denied>,
}

impl Link {
    /// Starts connecting in the background; fails only on options that can never work.
    pub(crate) async fn open(options: &NatsOptions, status: &NatsStatus) -> Result<Self, Error> {
        let (state_sender, state) = watch::channel(LinkState::default());
        let observer = Arc::new(Observer::new(status.clone(), state_sender));
        let denied = observer.denied.clone();
        let connect = connect_options(options).await?.event_callback(move |event| {
            let observer = observer.clone();
            async move { observer.observe(event) }
        });
        let servers: Vec<&str> = options.url.split(',').map(str::trim).collect();
        let client = connect.connect(servers).await.map_err(Error::Connect)?;
        Ok(Self {
            client,
            state,
            denied,
        })
    }

    /// A view of the state that tells of changes.
    pub(crate) fn watch(&self) -> watch::Receiver<LinkState> {
        self.state.clone()
    }

    /// What the broker refuses to take from now on.
    pub(crate) fn denials(&self) -> broadcast::Receiver<Denied> {
        self.denied.subscribe()
    }

    /// Waits until a connection stands; returns its epoch, or `None` when the client has ended.
    pub(crate) async fn up(&self) -> Option<u64> {
        let mut state = self.state.clone();
        state
            .wait_for(|state| state.up)
            .await
            .ok()
            .map(|state| state.epoch)
    }

    /// Waits until the connection `epoch` stands no more.
    pub(crate) async fn lost(&self, epoch: u64) {
        let mut state = self.state.clone();
        let gone = state.wait_for(|state| !state.up || state.epoch != epoch).await;
        drop(gone);
    }

    /// Waits until no connection stands.
    pub(crate) async fn down(&self) {
        drop(self.state.clone().wait_for(|state| !state.up).await);
    }

    /// The version of the server when it is too old.
    pub(crate) async fn too_old(&self) -> Option<String> {
        // The round trip makes sure that the server's greeting was taken in.
        if self.client.flush().await.is_err() {
            return None;
        }
        let info = self.client.try_server_info()?;
        let (major, minor, patch) = SERVER_MIN;
        (!self.client.is_server_compatible(major, minor, patch)).then_some(info.version)
    }
}

async fn connect_options(options: &NatsOptions) -> Result<ConnectOptions, Error> {
    let mut connect = ConnectOptions::new()
        .name("tripline")
        .retry_on_initial_connect()
        .connection_timeout(CONNECT_TIMEOUT)
        .ping_interval(PING_INTERVAL)
        .custom_inbox_prefix(inbox_prefix(options.subjects.prefix()))
        .reconnect_delay_callback(reconnect_pause);
    if let Some(ca) = &options.ca {
        connect = connect.add_root_certificates(ca.clone()).require_tls(true);
    }
    if let (Some(user), Some(password)) = (&options.user, &options.password) {
        connect = connect.user_and_password(user.clone(), password.clone());
    }
    if options.user.is_some() != options.password.is_some() {
        return Err(Error::HalfALogin);
    }
    match &options.credentials {
        None => Ok(connect),
        Some(path) => connect
            .credentials_file(path)
            .await
            .map_err(|source| Error::Credentials {
                path: path.clone(),
                source,
            }),
    }
}

/// The server's own inbox, which users for publishers and subscribers may neither read nor write.
pub(crate) fn inbox_prefix(prefix: &str) -> String {
    format!("_INBOX_{}", prefix.replace('.', "_"))
}

/// 0, then 50 ms doubling up to the longest pause.
fn reconnect_pause(attempt: usize) -> Duration {
    match u32::try_from(attempt).unwrap_or(u32::MAX) {
        0 | 1 => Duration::ZERO,
        more => Duration::from_millis(50)
            .saturating_mul(1 << more.saturating_sub(2).min(10))
            .min(RECONNECT_PAUSE_MAX),
    }
}

/// Takes in what the client reports.
struct Observer {
    status: NatsStatus,
    state: watch::Sender<LinkState>,
    denied: broadcast::Sender<Denied>,
}

impl Observer {
    fn new(status: NatsStatus, state: watch::Sender<LinkState>) -> Self {
        let (denied, _) = broadcast::channel(DENIALS_MAX);
        Self {
            status,
            state,
            denied,
        }
    }

    fn observe(&self, event: Event) {
        match event {
            Event::Connected => self.connected(),
            Event::Disconnected | Event::Closed => self.disconnected(),
            Event::ServerError(error) => self.server_error(&error),
            Event::ClientError(error) => self.status.still_away(error.to_string()),
            Event::SlowConsumer(subscription) => {
                metrics::counter!("tripline_nats_slow_consumer_total").increment(1);
                tracing::error!(
                    subscription,
                    "a subscription fell behind and messages were dropped"
                );
            }
            Event::LameDuckMode | Event::Draining => tracing::info!(%event, "broker announces its end"),
        }
    }

    fn connected(&self) {
        self.status.forget_denied();
        self.status
            .enter(Phase::Preparing("streams and consumer are being checked".into()));
        self.state.send_modify(|state| {
            *state = LinkState {
                epoch: state.epoch + 1,
                up: true,
            }
        });
    }

    fn disconnected(&self) {
        self.status.enter(Phase::Away("connection lost".into()));
        self.state.send_modify(|state| state.up = false);
    }

    fn server_error(&self, error: &ServerError) {
        let text = match error {
            ServerError::Other(text) => text.clone(),
            other => other.to_string(),
        };
        if let Some(subject) = denied_publish(&text) {
            // Nobody listens before the publisher runs; then nothing of ours was refused either.
            drop(self.denied.send(Denied {
                subject: subject.to_owned(),
                text: text.clone(),
            }));
        }
        self.status.denied(text);
    }
}

/// The subject in `Permissions Violation for Publish to "<subject>"`.
fn denied_publish(text: &str) -> Option<&str> {
    let lower = text.to_ascii_lowercase();
    let marker = "permissions violation for publish to \"";
    let start = lower.find(marker)? + marker.len();
    let rest = text.get(start..)?;
    rest.get(..rest.find('"')?)
}

#[cfg(test)]
mod tests {
    use super::super::deaf::DeafBroker;
    use super::*;
    use crate::counts::Counts;
    use tokio::time::Instant;

    #[test]
    fn the_subject_of_a_refused_publish_is_read() {
        let text = "Permissions Violation for Publish to \"tripline.results.a.b\"";
        assert_eq!(denied_publish(text), Some("tripline.results.a.b"));
        assert_eq!(
            denied_publish("Permissions Violation for Subscription to \"x\""),
            None
        );
    }

    #[test]
    fn reconnecting_pauses_longer_and_longer_up_to_a_limit() {
        assert_eq!(reconnect_pause(1), Duration::ZERO);
        assert_eq!(reconnect_pause(2), Duration::from_millis(50));
        assert_eq!(reconnect_pause(4), Duration::from_millis(200));
        assert_eq!(reconnect_pause(usize::MAX), RECONNECT_PAUSE_MAX);
    }

    #[test]
    fn so_many_refusals_wait_to_be_told_the_newest_of_them_and_readiness_shows_the_last() {
        let status = NatsStatus::default();
        let observer = Observer::new(status.clone(), watch::channel(LinkState::default()).0);
        let mut denials = observer.denied.subscribe();
        let text = |number: usize| format!("Permissions Violation for Publish to \"tripline.{number}\"");
        for number in 0..=DENIALS_MAX {
            observer.observe(Event::ServerError(ServerError::Other(text(number))));
        }
        assert_eq!(
            denials.try_recv().unwrap_err(),
            broadcast::error::TryRecvError::Lagged(1)
        );
        for number in 1..=DENIALS_MAX {
            assert_eq!(denials.try_recv().unwrap().subject, format!("tripline.{number}"));
        }
        assert!(
            status.detail().contains(&text(DENIALS_MAX)),
            "{}",
            status.detail()
        );
    }

    #[test]
    fn what_the_library_cannot_hold_is_counted() {
        let counts = Counts::new();
        let _listening = counts.listen();
        let observer = Observer::new(NatsStatus::default(), watch::channel(LinkState::default()).0);
        observer.observe(Event::SlowConsumer(7));
        assert_eq!(counts.of("tripline_nats_slow_consumer_total"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_takes_a_connection_and_says_nothing_is_tried_again() {
        let broker = DeafBroker::start().await;
        let options = broker.options();
        let begun = Instant::now();
        let link = Link::open(&options, &NatsStatus::default()).await.unwrap();
        broker.took(2).await;
        assert!(begun.elapsed() >= CONNECT_TIMEOUT, "not before its time");
        assert!(!link.watch().borrow().up);
    }
}

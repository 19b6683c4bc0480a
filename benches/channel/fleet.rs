//! Many simulated agents that do nothing but what keeps a connection alive: a ping every 15 s, and an answer to each of
//! the server's.

use super::Outcome;
use super::door::{self, Door, Identity, Socket};
use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_tungstenite::tungstenite::protocol::Message;
use tripline_protocol::frame::Hello;
use tripline_protocol::verb::Verb;
use uuid::Uuid;

/// Requests and handshakes at once.
const AT_ONCE: usize = 64;
const PING: &str = r#"{"type":"ping"}"#;
const PONG: &str = r#"{"type":"pong"}"#;

/// Enrols so many hosts.
pub(crate) async fn enrol(door: &Door, count: u32) -> Outcome<Vec<Identity>> {
    let names = (0..count).map(|number| format!("idle-{number:05}"));
    let each = async |name: String| door.enrol(&name).await;
    stream::iter(names)
        .map(each)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// Attached agents. They end when this is dropped.
pub(crate) struct Fleet {
    /// Each returns why its connection ended.
    tasks: JoinSet<String>,
    heard: Arc<AtomicU64>,
}

impl Fleet {
    /// Attaches all; `ping` is how often each says that it is there.
    pub(crate) async fn attach(door: &Door, identities: &[Identity], ping: Duration) -> Outcome<Self> {
        let (mut tasks, heard) = (JoinSet::new(), Arc::<AtomicU64>::default());
        let each = async |identity| door.attach(identity, hello(identity)).await;
        let mut sockets = stream::iter(identities).map(each).buffer_unordered(AT_ONCE);
        while let Some(socket) = sockets.try_next().await? {
            tasks.spawn(idle(socket, ping, heard.clone()));
        }
        Ok(Self { tasks, heard })
    }

    /// Frames that came from the server so far.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Fails when one is attached no more.
    pub(crate) fn check(&mut self) -> Outcome {
        match self.tasks.try_join_next() {
            None => Ok(()),
            Some(ended) => Err(format!("a connection ended: {}", ended?).into()),
        }
    }
}

/// As long as a real agent's.
fn hello(identity: &Identity) -> Hello {
    Hello {
        os_version: "Debian GNU/Linux 13 (trixie), 6.12.0-amd64".to_owned(),
        addresses: vec!["192.0.2.17".to_owned(), "2001:db8::17".to_owned()],
        labels: vec!["site:berlin".to_owned(), "role:web".to_owned()],
        verbs: Verb::ALL.to_vec(),
        resumes: true,
        run_id: Some(Uuid::new_v4()),
        ..door::hello(&identity.hostname)
    }
}

async fn idle(mut socket: Socket, ping: Duration, heard: Arc<AtomicU64>) -> String {
    let mut pings = interval_at(Instant::now() + ping, ping);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let frame = tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    heard.fetch_add(1, Ordering::Relaxed);
                    if text.as_str() != PING {
                        continue;
                    }
                    PONG
                }
                other => return format!("{other:?}"),
            },
            _ = pings.tick() => PING,
        };
        if let Err(error) = socket.send(Message::text(frame)).await {
            return error.to_string();
        }
    }
}

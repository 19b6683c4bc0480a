//! An agent in the test's own process, on a real WebSocket: for many hosts at once, and for what a good agent
//! would not do.

use super::Server;
use super::scripted::Error;
use super::scripted::connection::{Account, Connection};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tripline_protocol::HostId;
use uuid::Uuid;

/// Enrolled, and perhaps connected.
pub(crate) struct SimulatedAgent {
    account: Account,
    pub(crate) host_id: HostId,
    connection: Option<Connection>,
}

/// Commands that simulated agents hold at the same time.
#[derive(Clone, Default)]
pub(crate) struct Gauge {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Gauge {
    fn enter(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn leave(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    pub(crate) fn now(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }
}

impl SimulatedAgent {
    /// Enrols in the org of the enrolment token.
    pub(crate) async fn enrol(server: &Server, token: &str, hostname: &str) -> Self {
        let url = server.url();
        let enrolling = Account::enrol(&url, token, hostname, "linux");
        let account = enrolling.await.expect("an enrolment");
        Self {
            host_id: account.enrolled.host_id,
            account,
            connection: None,
        }
    }

    /// Opens the channel; the HTTP status when it is refused.
    pub(crate) async fn open(&mut self) -> Result<(), u16> {
        match self.account.open().await {
            Ok(connection) => self.connection = Some(connection),
            Err(Error::Refused(status)) => return Err(status),
            Err(error) => panic!("no connection: {error}"),
        }
        Ok(())
    }

    pub(crate) fn set_key(&mut self, key: &str) {
        key.clone_into(&mut self.account.key);
    }

    /// Opens the channel, says hello and hears welcome.
    pub(crate) async fn attach(&mut self) {
        self.open().await.expect("not refused");
        let hello = json!({
            "type": "hello", "agent_version": "0", "hostname": "simulated", "platform": "linux",
            "arch": "x86_64", "verbs": ["list_processes", "create_process"], "journal_id": Uuid::new_v4(),
        });
        let welcome = self.connection().introduce(hello.to_string()).await;
        welcome.expect("a welcome");
    }

    fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("connected")
    }

    pub(crate) async fn say(&mut self, frame: Value) {
        self.say_text(frame.to_string()).await;
    }

    pub(crate) async fn say_text(&mut self, text: String) {
        self.connection().say(text).await.expect("sent");
    }

    /// The next text frame, or how the server closed the channel.
    pub(crate) async fn hear(&mut self) -> Result<Value, Option<CloseFrame>> {
        self.connection().hear().await
    }

    /// Answers every command at once after it got a permit of `gate`, until the channel closes.
    pub(crate) async fn serve(mut self, gauge: Gauge, gate: Arc<Semaphore>) {
        while let Ok(frame) = self.hear().await {
            match frame["type"].as_str() {
                Some("ping") => self.say(json!({"type": "pong"})).await,
                Some("command") => {
                    gauge.enter();
                    gate.acquire().await.expect("never closed").forget();
                    let result = json!({"type": "result", "command_id": frame["command_id"],
                        "output": {"processes": [], "left_out": 0}});
                    gauge.leave();
                    self.say(result).await;
                }
                _ => {}
            }
        }
    }
}

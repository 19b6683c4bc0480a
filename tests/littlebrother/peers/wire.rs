//! The wire between a client and its server: it can be cut, answers can be lost on it, and it remembers what was said.

use serde_json::Value;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Bytes read at once.
const BLOCK: usize = 64 * 1024;

/// Exchanges that a failing test shows.
const LAST_EXCHANGES: usize = 20;

/// A message and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    /// What the client posted.
    pub(crate) message: Value,
    /// The status of the answer.
    pub(crate) status: u16,
    /// The answer; a text when it is no JSON.
    pub(crate) answer: Value,
    /// Whether the client got it.
    pub(crate) delivered: bool,
}

impl Exchange {
    /// The events that the client sent, of this type.
    pub(crate) fn sent(&self, event_type: &str) -> Vec<&Value> {
        of_type(&self.message["events"], event_type)
    }

    /// The events that the server sent, of this type.
    pub(crate) fn got(&self, event_type: &str) -> Vec<&Value> {
        of_type(&self.answer, event_type)
    }
}

fn of_type<'a>(events: &'a Value, event_type: &str) -> Vec<&'a Value> {
    let events = events.as_array().map(Vec::as_slice).unwrap_or_default();
    events
        .iter()
        .filter(|event| event["event_type"] == event_type)
        .collect()
}

fn is_empty(events: &Value) -> bool {
    events.as_array().is_some_and(Vec::is_empty)
}

/// Events without the attributes that say nothing.
fn brief(events: &Value) -> String {
    let Some(events) = events.as_array() else {
        return events.to_string();
    };
    let brief = |event: &Value| {
        let mut event = event.clone();
        if let Some(attributes) = event.as_object_mut() {
            attributes.retain(|_, value| !value.is_null() && *value != 0);
        }
        format!("\n    {event}")
    };
    events.iter().map(brief).collect()
}

/// Takes connections for a server on loopback.
pub(crate) struct Wire {
    url: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    cut: AtomicBool,
    loses_answers: AtomicBool,
    holds_answers: watch::Sender<bool>,
    held: AtomicUsize,
    exchanges: Mutex<Vec<Exchange>>,
}

impl Wire {
    /// One to the server at `url`.
    pub(crate) async fn to(url: &str) -> Self {
        let target = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("a connection");
                tokio::spawn(carry(client, target.clone(), Arc::clone(&shared)));
            }
        });
        Self {
            url: format!("http://{address}"),
            state,
            task,
        }
    }

    /// Where a client finds the server.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// From now on no connection lasts, or they last again.
    pub(crate) fn cut(&self, cut: bool) {
        self.state.cut.store(cut, Ordering::SeqCst);
    }

    /// From now on the server gets messages and its answers get lost, or no longer.
    pub(crate) fn lose_answers(&self, lose: bool) {
        self.state.loses_answers.store(lose, Ordering::SeqCst);
    }

    /// From now on answers do not get through, or get through again, also those that were held.
    pub(crate) fn hold_answers(&self, hold: bool) {
        self.state.holds_answers.send_replace(hold);
    }

    /// How many answers were held up to now.
    pub(crate) fn held(&self) -> usize {
        self.state.held.load(Ordering::SeqCst)
    }

    /// What was said up to now.
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.state.exchanges.lock().expect("no panic").clone()
    }

    /// For whoever looks at a failed test: what was said last, apart from empty messages.
    fn tell(&self) {
        let Ok(exchanges) = self.state.exchanges.lock() else {
            return;
        };
        let said = |one: &&Exchange| !(is_empty(&one.message["events"]) && is_empty(&one.answer));
        let said: Vec<&Exchange> = exchanges.iter().filter(said).collect();
        eprintln!("--- last of {} exchanges:", exchanges.len());
        for one in &said[said.len().saturating_sub(LAST_EXCHANGES)..] {
            let lost = if one.delivered { "" } else { " (lost)" };
            eprintln!(
                "> {}\n< {} {}{lost}",
                brief(&one.message["events"]),
                one.status,
                brief(&one.answer)
            );
        }
    }

    /// How many messages were answered up to now.
    pub(crate) fn count(&self) -> usize {
        self.state.exchanges.lock().expect("no panic").len()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
        if std::thread::panicking() {
            self.tell();
        }
    }
}

/// One connection: one message and its answer, as the real programs use it.
async fn carry(mut client: TcpStream, target: String, state: Arc<State>) {
    if state.cut.load(Ordering::SeqCst) {
        return;
    }
    let Some(request) = read_whole(&mut client).await else {
        return;
    };
    let Ok(mut server) = TcpStream::connect(&target).await else {
        return;
    };
    if server.write_all(&request).await.is_err() {
        return;
    }
    let Some(response) = read_whole(&mut server).await else {
        return;
    };
    if *state.holds_answers.borrow() {
        state.held.fetch_add(1, Ordering::SeqCst);
        let mut holds = state.holds_answers.subscribe();
        holds.wait_for(|holds| !holds).await.expect("the state lives");
    }
    let lose = state.loses_answers.load(Ordering::SeqCst);
    if let Some(exchange) = exchange(&request, &response, !lose) {
        state.exchanges.lock().expect("no panic").push(exchange);
    }
    if !lose && client.write_all(&response).await.is_ok() {
        // The client closes when it has read everything, or has gone away meanwhile.
        let _ = client.shutdown().await;
    }
}

/// Head and body of a request or an answer, by its Content-Length; `None` when the other side closed before.
async fn read_whole(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        if whole_length(&bytes).is_some_and(|length| bytes.len() >= length) {
            return Some(bytes);
        }
        let before = bytes.len();
        bytes.resize(before + BLOCK, 0);
        let read = stream.read(&mut bytes[before..]).await.ok()?;
        bytes.truncate(before + read);
        if read == 0 {
            return None;
        }
    }
}

/// How long head and body are together, once the head is there.
fn whole_length(bytes: &[u8]) -> Option<usize> {
    let end = head_end(bytes)?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let body = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |text| text.trim().parse().expect("a length"));
    Some(end + body)
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map(|at| at + 4)
}

fn exchange(request: &[u8], response: &[u8], delivered: bool) -> Option<Exchange> {
    if !request.starts_with(b"POST /api/events ") {
        return None;
    }
    let status = String::from_utf8_lossy(response.get(9..12)?).parse().ok()?;
    let answer = &response[head_end(response)?..];
    Some(Exchange {
        message: serde_json::from_slice(&request[head_end(request)?..]).ok()?,
        status,
        answer: serde_json::from_slice(answer)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(answer).into_owned())),
        delivered,
    })
}

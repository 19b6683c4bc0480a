//! A LittleBrother client as a server sees it: a new connection for every message, the next after the answer.

use super::Outcome;
use super::stats::Samples;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tripline_protocol::littlebrother::{LocalTime, Zone};

/// The secret of both servers.
pub(crate) const SECRET: &str = "bench-secret";
/// A user both servers know, and whose games count.
pub(crate) const LOGIN: &str = "amelie";
/// The user's id on every host.
pub(crate) const UID: u32 = 4242;
/// The processes that count.
pub(crate) const GAME: &str = "lbgame";

/// What a message holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Empty,
    /// The start of a new process and its end, in turn.
    Event,
    /// The starts of this many new processes.
    Starts(u32),
}

/// One host.
pub(crate) struct Client {
    address: SocketAddr,
    hostname: String,
    pid: u32,
    /// When the last process started, while it has not ended.
    running: Option<LocalTime>,
    body: String,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, hostname: String) -> Self {
        Self {
            address,
            hostname,
            pid: 1000,
            running: None,
            body: String::new(),
            request: Vec::new(),
            answer: Vec::new(),
        }
    }

    /// Sends messages until `until`; from opening the connection to the last byte of each answer.
    pub(crate) async fn work(&mut self, kind: Kind, until: Instant) -> Outcome<Samples> {
        let mut samples = Samples::default();
        while Instant::now() < until {
            self.compose(kind);
            let began = Instant::now();
            self.exchange().await?;
            samples.add(began.elapsed());
        }
        Ok(samples)
    }

    /// One message.
    pub(crate) async fn send(&mut self, kind: Kind) -> Outcome {
        self.compose(kind);
        self.exchange().await
    }

    /// One message, again and again while the server is busy, as a real client does.
    pub(crate) async fn send_until_taken(&mut self, kind: Kind) -> Outcome {
        self.compose(kind);
        loop {
            match self.exchange().await {
                // A server that says it is full does not say when it is not.
                Err(error) if error.is::<Busy>() => tokio::time::sleep(BUSY_PAUSE).await,
                other => return other,
            }
        }
    }

    /// A request that costs a server of its kind nothing but HTTP.
    pub(crate) async fn look(&mut self, path: &str) -> Outcome {
        self.request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).into_bytes();
        self.exchange().await
    }

    fn compose(&mut self, kind: Kind) {
        let now = Zone::utc().to_local(SystemTime::now().into());
        self.body.clear();
        self.body.push_str(&format!(
            r#"{{"secret": "{SECRET}", "hostname": "{}", "events": ["#,
            self.hostname
        ));
        match (kind, self.running.take()) {
            (Kind::Empty, running) => self.running = running,
            (Kind::Event, Some(started)) => self.push_event("PROCESS_END", now, started),
            (Kind::Event, None) => {
                self.push_start(now);
                self.running = Some(now);
            }
            (Kind::Starts(count), _) => (0..count).for_each(|number| {
                self.body.push_str(if number > 0 { ", " } else { "" });
                self.push_start(now);
            }),
        }
        self.body.push_str(STATS);
        self.request.clear();
        let head = format!(
            "POST /api/events HTTP/1.1\r\nHost: {}\r\nUser-Agent: python-requests/2.32.5\r\n\
             Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n\
             Content-type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            self.body.len()
        );
        self.request.extend(head.into_bytes());
        self.request.extend(self.body.as_bytes());
    }

    fn push_start(&mut self, now: LocalTime) {
        self.pid += 1;
        self.push_event("PROCESS_START", now, now);
    }

    fn push_event(&mut self, kind: &str, now: LocalTime, started: LocalTime) {
        let name = match kind {
            "PROCESS_START" => "\"lbgame\"",
            _ => "null",
        };
        self.body.push_str(&format!(
            r#"{{"delay": 0, "downtime": 0, "event_time": "{now}", "event_type": "{kind}", "hostlabel": null, "hostname": "{}", "locale": null, "payload": null, "percent": 100, "pid": {}, "process_start_time": "{started}", "processhandler": "ClientProcessHandler", "processname": {name}, "text": null, "username": "{LOGIN}"}}"#,
            self.hostname, self.pid
        ));
    }

    async fn exchange(&mut self) -> Outcome {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(&self.request).await?;
        self.answer.clear();
        loop {
            if stream.read_buf(&mut self.answer).await? == 0 {
                return Err("the connection ended within an answer".into());
            }
            if let Some(length) = answer_length(&self.answer)?
                && self.answer.len() >= length
            {
                return Ok(());
            }
        }
    }
}

/// What a real client says of itself, and the end of the message.
const STATS: &str = r#"], "client_stats": {"cpu_seconds_total": 1.46, "linux_distribution": "Debian GNU/Linux 12 (bookworm)", "python_version": "3.11.7", "resident_memory_bytes": 86548480.0, "revision": "209", "running_in_docker": false, "running_in_snap": false, "start_time_seconds": 1795206074.46, "version": "0.5.8"}}"#;

/// How long a busy server is left alone.
const BUSY_PAUSE: Duration = Duration::from_millis(250);

/// The server answered 503 and took nothing.
#[derive(Debug)]
struct Busy;

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the server is busy")
    }
}

impl std::error::Error for Busy {}

/// Bytes of the whole answer, once its head is there. Anything but 200 is an error.
fn answer_length(answer: &[u8]) -> Outcome<Option<usize>> {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(answer.get(..head).unwrap_or_default())?;
    if text.starts_with("HTTP/1.1 503 ") {
        return Err(Busy.into());
    }
    if !text.starts_with("HTTP/1.1 200 ") {
        let body = String::from_utf8_lossy(answer.get(head..).unwrap_or_default());
        return Err(format!("answered: {text}{body}").into());
    }
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        is_it.then(|| value.trim().parse::<usize>().ok())?
    });
    Ok(Some(head + 4 + length.ok_or("an answer without a length")?))
}

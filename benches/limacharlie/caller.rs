//! A cloud's connection to a service: kept, one call after the other on it, each signed with an id of its own.

use super::Outcome;
use super::stats::Samples;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tripline_protocol::limacharlie::{Answer, Call, RetryAdvice, Routing, VERSION, detection_record};
use tripline_protocol::{Span, Timestamp};
use tripline_service::sign;
use uuid::Uuid;

/// The secret of every service.
pub(crate) const SECRET: &str = "bench-secret";
/// The org of all calls.
pub(crate) const OID: &str = "8cbe27f4-bfa1-4afb-ba19-138cd51389cd";
/// What is detected.
pub(crate) const CAT: &str = "bench";
/// Connections that a call may need before the service counts as away; the real one resets those that do not fit its backlog.
const ATTEMPTS_MAX: u32 = 50;
/// How long a service is left alone that does not listen.
const PAUSE: Duration = Duration::from_millis(50);
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Health,
    Detection,
    /// A GET that costs nothing but HTTP.
    Bare,
}

/// One connection, opened when it is needed.
pub(crate) struct Caller {
    address: SocketAddr,
    path: &'static str,
    stream: Option<TcpStream>,
    request: Vec<u8>,
    answer: Vec<u8>,
    /// Connections that ended before an answer came.
    pub(crate) resets: u64,
    /// Answers that came before the time was over.
    pub(crate) in_time: u64,
}

impl Caller {
    pub(crate) fn new(address: SocketAddr, path: &'static str) -> Self {
        Self {
            address,
            path,
            stream: None,
            request: Vec::new(),
            answer: Vec::new(),
            resets: 0,
            in_time: 0,
        }
    }

    /// Calls until `until`; from writing a call to the last byte of its answer, with whatever it took to be let in.
    pub(crate) async fn work(&mut self, kind: Kind, until: Instant) -> Outcome<Samples> {
        let mut samples = Samples::default();
        while Instant::now() < until {
            samples.add(self.call(kind).await?);
            self.in_time += u64::from(Instant::now() <= until);
        }
        Ok(samples)
    }

    /// One call; how long it took.
    pub(crate) async fn call(&mut self, kind: Kind) -> Outcome<Duration> {
        self.compose(kind);
        let began = Instant::now();
        for _ in 0..ATTEMPTS_MAX {
            match self.exchange().await {
                Ok(content) => {
                    let took = began.elapsed();
                    check(kind, self.answer.get(content..).unwrap_or_default())?;
                    return Ok(took);
                }
                // The same call with the same id, as a cloud delivers it again.
                Err(error) => match error.downcast::<std::io::Error>() {
                    Ok(error) => self.lost(&error).await,
                    Err(error) => return Err(error),
                },
            }
        }
        Err(format!("{} lets nobody in", self.address).into())
    }

    async fn lost(&mut self, error: &std::io::Error) {
        self.stream = None;
        match error.kind() {
            // It does not listen yet, and does not say when it does.
            std::io::ErrorKind::ConnectionRefused => tokio::time::sleep(PAUSE).await,
            _ => self.resets += 1,
        }
    }

    fn compose(&mut self, kind: Kind) {
        self.request.clear();
        if kind == Kind::Bare {
            let text = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", self.path, self.address);
            self.request.extend(text.into_bytes());
            return;
        }
        let body = body(kind);
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: lc-services\r\nContent-Type: application/json\r\n\
             lc-svc-sig: {}\r\nContent-Length: {}\r\n\r\n",
            self.path,
            self.address,
            sign(SECRET, &body),
            body.len()
        );
        self.request.extend(head.into_bytes());
        self.request.extend(body);
    }

    /// Where the content of the answer begins.
    async fn exchange(&mut self) -> Outcome<usize> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        let stream = self.stream.as_mut().ok_or("no connection")?;
        stream.write_all(&self.request).await?;
        self.answer.clear();
        loop {
            if stream.read_buf(&mut self.answer).await? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            if let Some(head) = Head::read(&self.answer)?
                && self.answer.len() >= head.bytes + head.content_bytes
            {
                if head.is_last {
                    self.stream = None;
                }
                return Ok(head.bytes);
            }
        }
    }
}

/// As a cloud makes it; a detection has about a kilobyte.
fn body(kind: Kind) -> Vec<u8> {
    let is_detection = kind == Kind::Detection;
    let call = Call {
        version: Some(VERSION),
        oid: is_detection.then(|| OID.to_owned()),
        mid: Some(Uuid::new_v4().to_string()),
        deadline: Some(Timestamp::from(SystemTime::now()).after(Span::from_secs(60))),
        jwt: None,
        tripdepth: None,
        etype: if is_detection { "detection" } else { "health" }.to_owned(),
        data: if is_detection { detection() } else { json!({}) },
    };
    call.to_body()
}

fn detection() -> Value {
    let text = |text: &str| Some(text.to_owned());
    let routing = Routing {
        oid: OID.to_owned(),
        sid: text("5f8d1f2e-0000-4000-8000-000000000000"),
        hostname: text("bench-host"),
        ext_ip: text("192.0.2.7"),
        int_ip: text("198.51.100.7"),
        plat: text("linux"),
        arch: text("x64"),
        tags: Vec::new(),
        event_type: "NEW_PROCESS".to_owned(),
        event_time: 1_700_000_000_000,
        investigation_id: None,
        more: Map::new(),
    };
    let event = json!({"FILE_PATH": "/usr/bin/example", "PROCESS_ID": 4242, "COMMAND_LINE": "example --of the-bench"});
    detection_record(CAT, "bench-detection", &routing, &event, &Map::new())
}

fn check(kind: Kind, content: &[u8]) -> Outcome {
    if kind == Kind::Bare {
        return Ok(());
    }
    match Answer::read(content)?.advice() {
        RetryAdvice::Done => Ok(()),
        _ => Err(format!("answered: {}", String::from_utf8_lossy(content)).into()),
    }
}

/// What matters of an answer's head.
struct Head {
    bytes: usize,
    content_bytes: usize,
    /// The service closes the connection: the real one keeps ten of those that ask for nothing.
    is_last: bool,
}

impl Head {
    /// `None` until it is there whole. Anything but 200 is an error.
    fn read(answer: &[u8]) -> Outcome<Option<Self>> {
        let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
            return match answer.len() > HEAD_BYTES_MAX {
                true => Err("an answer without end of its head".into()),
                false => Ok(None),
            };
        };
        let text = std::str::from_utf8(answer.get(..end).unwrap_or_default())?;
        if !text.starts_with("HTTP/1.1 200 ") {
            let body = String::from_utf8_lossy(answer.get(end..).unwrap_or_default());
            return Err(format!("answered: {text}{body}").into());
        }
        let value = |wanted: &str| {
            text.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case(wanted).then(|| value.trim())
            })
        };
        let content_bytes = value("content-length")
            .ok_or("an answer without a length")?
            .parse()?;
        Ok(Some(Self {
            bytes: end + 4,
            content_bytes,
            is_last: value("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
        }))
    }
}

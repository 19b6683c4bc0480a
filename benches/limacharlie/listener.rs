//! A service of the cloud role, in the load program itself: it says what it wants when its health is asked, takes as long as it is
//! told for each detection, or answers none at all.

use super::Outcome;
use super::caller::CAT;
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tripline_protocol::limacharlie::Answer;

/// Asks for the health; every other call is a detection.
const HEALTH: &[u8] = br#""etype":"health""#;
/// Before the number of a detection.
const NUMBER: &[u8] = br#""PROCESS_ID":"#;

/// What it does with a detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It answers after so long.
    Takes(Duration),
    /// It never answers.
    Hangs,
}

/// A service that listens until it is dropped.
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    pub(crate) manner: Manner,
    heard: Arc<Heard>,
    task: AbortHandle,
}

/// What came.
struct Heard {
    calls: AtomicU64,
    /// Detections that came, each counted once however often it did.
    detections: AtomicU64,
    /// Which these are, by number.
    is_here: Vec<AtomicBool>,
    /// Time that it had them in hand, all together.
    busy_us: AtomicU64,
}

impl Heard {
    fn new(detections: u64) -> Self {
        Self {
            calls: AtomicU64::default(),
            detections: AtomicU64::default(),
            is_here: (0..detections).map(|_| AtomicBool::default()).collect(),
            busy_us: AtomicU64::default(),
        }
    }

    fn note(&self, request: &[u8]) {
        let is_here = number(request).and_then(|number| self.is_here.get(number));
        if is_here.is_some_and(|is_here| !is_here.swap(true, Ordering::Relaxed)) {
            self.detections.fetch_add(1, Ordering::Relaxed);
        }
        // Last: whoever sees the call sees its detection.
        self.calls.fetch_add(1, Ordering::Release);
    }
}

/// The number of the detection that a call is about.
fn number(request: &[u8]) -> Option<usize> {
    let at = request
        .windows(NUMBER.len())
        .position(|window| window == NUMBER)?;
    let digits = request.get(at + NUMBER.len()..)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}

impl Listener {
    /// For detections with numbers below that.
    pub(crate) async fn start(manner: Manner, detections: u64) -> Outcome<Self> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, heard) = (socket.local_addr()?, Arc::new(Heard::new(detections)));
        let shared = heard.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                let heard = shared.clone();
                // A connection that ends is opened anew by who calls.
                tokio::spawn(async move { serve(stream, manner, &heard).await.unwrap_or_default() });
            }
        });
        Ok(Self {
            address,
            manner,
            heard,
            task: task.abort_handle(),
        })
    }

    /// Calls that it answered, or that hang.
    pub(crate) fn calls(&self) -> u64 {
        self.heard.calls.load(Ordering::Acquire)
    }

    /// Detections that it got, each counted once.
    pub(crate) fn detections(&self) -> u64 {
        self.heard.detections.load(Ordering::Relaxed)
    }

    /// How long it had detections in hand, each by itself.
    pub(crate) fn busy(&self) -> Duration {
        Duration::from_micros(self.heard.busy_us.load(Ordering::Relaxed))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, heard: &Heard) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (healthy, done) = (written(&health()), written(&Answer::done()));
    let mut request = Vec::new();
    loop {
        request.clear();
        if !read_call(&mut stream, &mut request).await? {
            return Ok(());
        }
        if request.windows(HEALTH.len()).any(|window| window == HEALTH) {
            stream.write_all(&healthy).await?;
            continue;
        }
        let began = Instant::now();
        match manner {
            Manner::Takes(Duration::ZERO) => {}
            // What a service's work takes is what is measured.
            Manner::Takes(long) => tokio::time::sleep(long).await,
            Manner::Hangs => {
                heard.note(&request);
                // Until the caller gives up.
                return stream.read_buf(&mut request).await.map(drop);
            }
        }
        stream.write_all(&done).await?;
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        heard.busy_us.fetch_add(took, Ordering::Relaxed);
        heard.note(&request);
    }
}

/// The next call; `false`: there is none.
async fn read_call(stream: &mut TcpStream, request: &mut Vec<u8>) -> std::io::Result<bool> {
    while !is_whole(request) {
        if stream.read_buf(request).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Callers of this kind send one request at a time, with its length in the head.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let head = request.get(..end).unwrap_or_default();
    let length = std::str::from_utf8(head).ok().and_then(|head| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().ok()).flatten()
        })
    });
    request.len() >= end + 4 + length.unwrap_or(0)
}

fn health() -> Answer {
    let mtd =
        json!({ "callbacks": ["health", "detection"], "detect_subscriptions": [CAT], "request_params": {} });
    Answer::done_with(json!({ "version": 1, "start_time": 1, "calls_in_progress": 1, "mtd": mtd }))
}

fn written(answer: &Answer) -> Vec<u8> {
    let body = json!(answer).to_string();
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

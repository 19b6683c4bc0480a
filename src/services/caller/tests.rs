//! Calls to peers that answer as nobody should.

use super::*;
use serde_json::json;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tripline_actors::clock::{ManualClock, SystemClock};
use tripline_actors::ports::ServiceSecret;
use tripline_protocol::Timestamp;
use tripline_protocol::limacharlie::{InvalidAnswer, Jwt};

const SECRET: &str = "shared";

/// What a peer got: the lines of the head, and the body.
type Got = (Vec<String>, Vec<u8>);

/// A service on a socket. What it does with a connection, after a request was read whole, is given.
struct Peer {
    addr: SocketAddr,
    got: mpsc::UnboundedReceiver<Got>,
}

impl Peer {
    async fn start<F>(does: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let (tell, got) = mpsc::unbounded_channel();
        let does = Arc::new(does);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (tell, does) = (tell.clone(), Arc::clone(&does));
                tokio::spawn(async move {
                    let mut socket = BufReader::new(socket);
                    if let Some(request) = read_request(&mut socket).await {
                        let _ = tell.send(request);
                        does(socket.into_inner()).await;
                    }
                });
            }
        });
        Self { addr, got }
    }

    /// One that answers with this, and closes.
    async fn answering(status: u16, headers: &str, body: impl Into<String>) -> Self {
        let body = body.into();
        let head = format!(
            "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        );
        let text = Arc::new(head + &body);
        Self::start(move |mut socket| {
            let text = Arc::clone(&text);
            async move {
                // Whoever asked may be gone.
                let _ = socket.write_all(text.as_bytes()).await;
            }
        })
        .await
    }

    fn spec(&self) -> ServiceSpec {
        spec(&format!("http://{}/", self.addr))
    }
}

async fn read_request(socket: &mut BufReader<TcpStream>) -> Option<Got> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        socket
            .read_line(&mut line)
            .await
            .ok()
            .filter(|bytes| *bytes > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let length = header(&lines, "content-length").parse().ok()?;
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.ok()?;
    Some((lines, body))
}

fn header<'l>(lines: &'l [String], wanted: &str) -> &'l str {
    let pairs = lines.iter().filter_map(|line| line.split_once(": "));
    let mut found = pairs.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.next().map_or("", |(_, value)| value)
}

fn spec(url: &str) -> ServiceSpec {
    serde_json::from_value(json!({ "name": "yara", "url": url, "allow_private": true })).expect("a service")
}

fn call() -> Call {
    Call {
        version: Some(1),
        oid: None,
        mid: Some("m".into()),
        deadline: None,
        jwt: Some(Jwt::new("the-token".into())),
        tripdepth: None,
        etype: "health".into(),
        data: json!({}),
    }
}

fn caller() -> HttpCaller {
    HttpCaller::new(Arc::new(SystemClock::default()))
}

async fn ask(caller: &HttpCaller, service: ServiceSpec) -> Result<Answer, CallFailure> {
    ask_with(caller, service, call()).await
}

async fn ask_with(caller: &HttpCaller, service: ServiceSpec, call: Call) -> Result<Answer, CallFailure> {
    let service = Arc::new(service);
    let secret = ServiceSecret::new(SECRET);
    caller
        .call(ServiceCall {
            service,
            secret,
            call,
        })
        .await
}

fn transport(answer: Result<Answer, CallFailure>) -> String {
    match answer {
        Err(CallFailure::Transport(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_call_is_signed_over_its_very_bytes_and_the_answer_is_read() {
    let answer = r#"{"success":true,"data":{"version":1}}"#;
    let mut peer = Peer::answering(200, "", answer).await;
    let answer = ask(&caller(), peer.spec()).await.expect("an answer");
    assert_eq!(answer, Answer::done_with(json!({ "version": 1 })));
    let (lines, body) = peer.got.recv().await.expect("a request");
    assert_eq!(lines[0], "POST / HTTP/1.1");
    assert_eq!(header(&lines, "content-type"), "application/json");
    assert_eq!(header(&lines, "user-agent"), "lc-services");
    let signature = header(&lines, SIGNATURE_HEADER);
    assert!(tripline_service::verify(SECRET, &body, signature.as_bytes()));
    assert_eq!(Call::read(&body).expect("a call"), call());
}

#[tokio::test]
async fn what_is_no_answer_is_named() {
    for (body, expected) in [
        ("<html>Welcome</html>", "the answer is not JSON"),
        ("", "the answer is not JSON"),
        ("{\"data\":{}}", "the answer has no success"),
        ("{\"success\":\"yes\"}", "the answer has no success"),
        ("[1]", "the answer has no success"),
    ] {
        let peer = Peer::answering(200, "", body).await;
        match ask(&caller(), peer.spec()).await {
            Err(CallFailure::NoAnswer(why)) => assert!(why.to_string().contains(expected), "{why}"),
            other => panic!("{body}: {other:?}"),
        }
    }
    let deep = "[".repeat(100_000);
    let peer = Peer::answering(200, "", deep).await;
    let answer = ask(&caller(), peer.spec()).await;
    let is_refused = matches!(answer, Err(CallFailure::NoAnswer(InvalidAnswer::NotJson(_))));
    assert!(is_refused, "{answer:?}");
}

#[tokio::test]
async fn other_statuses_are_told_and_redirects_are_not_followed() {
    let mut elsewhere = Peer::answering(200, "", r#"{"success":true}"#).await;
    let location = format!("location: http://{}/\r\n", elsewhere.addr);
    for status in [201, 301, 302, 307, 308, 401, 404, 413, 500, 503] {
        let peer = Peer::answering(status, &location, r#"{"success":true}"#).await;
        let answer = ask(&caller(), peer.spec()).await;
        assert_eq!(answer, Err(CallFailure::Status(status)));
    }
    assert!(elsewhere.got.try_recv().is_err(), "nobody came there");
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_bound_and_no_further() {
    let with = |data: &str| json!({ "success": true, "data": data }).to_string();
    let most = with(&"x".repeat(ANSWER_BYTES_MAX - with("").len()));
    for (body, is_read) in [(most.clone() + " ", false), (most, true)] {
        let bytes = body.len();
        assert_eq!(bytes <= ANSWER_BYTES_MAX, is_read);
        let peer = Peer::answering(200, "", body.clone()).await;
        assert_eq!(
            ask(&caller(), peer.spec()).await.is_ok(),
            is_read,
            "announced, {bytes}"
        );
        // Without a length, as long as it comes.
        let body = Arc::new(body);
        let peer = Peer::start(move |mut socket| {
            let body = Arc::clone(&body);
            async move {
                let _ = socket
                    .write_all(b"HTTP/1.1 200 X\r\nconnection: close\r\n\r\n")
                    .await;
                let _ = socket.write_all(body.as_bytes()).await;
            }
        })
        .await;
        assert_eq!(
            ask(&caller(), peer.spec()).await.is_ok(),
            is_read,
            "not announced, {bytes}"
        );
    }
}

#[tokio::test]
async fn large_answers_of_a_service_are_read_one_after_the_other() {
    let (go, gate) = tokio::sync::watch::channel(false);
    let large = Arc::new(json!({ "success": true, "data": "x".repeat(2 * LARGE_BYTES) }).to_string());
    let mut peer = Peer::start(move |mut socket| {
        let (large, mut gate) = (Arc::clone(&large), gate.clone());
        async move {
            let head = format!("HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n", large.len());
            let (first, rest) = large.split_at(LARGE_BYTES + 1024);
            let _ = socket.write_all((head + first).as_bytes()).await;
            let _ = gate.wait_for(|open| *open).await;
            let _ = socket.write_all(rest.as_bytes()).await;
        }
    })
    .await;
    let caller = caller();
    let spec = peer.spec();
    let ask = || {
        let (caller, spec) = (caller.clone(), spec.clone());
        tokio::spawn(async move { ask(&caller, spec).await })
    };
    let (one, other) = (ask(), ask());
    peer.got.recv().await.expect("a call");
    peer.got.recv().await.expect("both at once");
    let line = caller.lines.line(&spec).expect("a line");
    while line.large.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    go.send_replace(true);
    assert!(one.await.expect("no panic").is_ok() && other.await.expect("no panic").is_ok());
    assert_eq!(line.large.available_permits(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_takes_no_connection_is_given_up_after_its_time() {
    let full = crate::stub::FullQueue::new();
    let begun = Instant::now();
    transport(ask(&caller(), spec(&format!("http://{}/", full.addr))).await);
    assert!((CONNECT_TIMEOUT..2 * CONNECT_TIMEOUT).contains(&begun.elapsed()));
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let (over, mut is_over) = mpsc::unbounded_channel();
    let peer = Peer::start(move |mut socket| {
        let over = over.clone();
        async move {
            let _ = socket
                .write_all(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n")
                .await;
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            while socket.write_all(chunk.as_bytes()).await.is_ok() {}
            let _ = over.send(());
        }
    })
    .await;
    let answer = ask(&caller(), peer.spec()).await;
    assert_eq!(answer, Err(CallFailure::TooLong(ANSWER_BYTES_MAX as u64)));
    assert_eq!(is_over.recv().await, Some(()), "the connection was closed");
}

#[tokio::test]
async fn a_connection_that_ends_early_is_a_failure_of_transport() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let gone = nobody.local_addr().expect("an address");
    drop(nobody);
    transport(ask(&caller(), spec(&format!("http://{gone}/"))).await);
    for said in [
        "",
        "HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\n{\"success\":true}",
    ] {
        let peer = Peer::start(move |mut socket| async move {
            let _ = socket.write_all(said.as_bytes()).await;
            let _ = socket.set_zero_linger();
        })
        .await;
        transport(ask(&caller(), peer.spec()).await);
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_with_the_deadline_of_the_service_or_of_the_call() {
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let caller = HttpCaller::new(Arc::new(ManualClock::new(now)));
    let said = ["", "HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\n{"];
    for said in said {
        let silent = Peer::start(move |mut socket| async move {
            let _ = socket.write_all(said.as_bytes()).await;
            std::future::pending().await
        })
        .await;
        for (deadline, expected) in [(None, 60), (Some(30), 30), (Some(90), 60), (Some(-5), 0)] {
            let deadline =
                deadline.map(|seconds| Timestamp::from_micros(now.as_micros() + seconds * 1_000_000));
            let begun = Instant::now();
            let why = transport(ask_with(&caller, silent.spec(), Call { deadline, ..call() }).await);
            assert!(why.starts_with("no answer within"), "{why}");
            assert_eq!(begun.elapsed().as_secs(), expected, "{deadline:?}");
        }
    }
}

/// Answers every name with this.
struct Fixed(IpAddr);

impl Lookup for Fixed {
    fn addresses(&self, _: String) -> BoxFuture<io::Result<Vec<IpAddr>>> {
        let found = vec![self.0];
        Box::pin(async move { Ok(found) })
    }
}

#[tokio::test]
async fn a_private_address_is_called_only_where_it_is_allowed() {
    let mut peer = Peer::answering(200, "", r#"{"success":true}"#).await;
    let lookup = Arc::new(Fixed(peer.addr.ip()));
    let caller = HttpCaller::with(Arc::new(SystemClock::default()), lookup);
    let named = spec(&format!("http://svc.example:{}/", peer.addr.port()));
    for service in [&peer.spec(), &named] {
        let refused = ServiceSpec {
            allow_private: false,
            ..service.clone()
        };
        match ask(&caller, refused).await {
            Err(CallFailure::Forbidden(why)) => assert!(why.contains("leads to 127.0.0.1"), "{why}"),
            other => panic!("{other:?}"),
        }
        assert!(peer.got.try_recv().is_err(), "nobody came");
        // The same service, whose connections are not those of before.
        assert!(ask(&caller, service.clone()).await.is_ok());
        assert!(peer.got.recv().await.is_some());
    }
}

#[tokio::test]
async fn connections_are_used_again() {
    let (came, mut connections) = mpsc::unbounded_channel();
    let peer = Peer::start(move |socket| {
        let came = came.clone();
        async move {
            let _ = came.send(());
            let mut socket = BufReader::new(socket);
            loop {
                let answer = b"HTTP/1.1 200 X\r\ncontent-length: 16\r\n\r\n{\"success\":true}";
                let _ = socket.write_all(answer).await;
                if read_request(&mut socket).await.is_none() {
                    break;
                }
            }
        }
    })
    .await;
    let caller = caller();
    for _ in 0..10 {
        assert!(ask(&caller, peer.spec()).await.is_ok());
    }
    assert_eq!(connections.recv().await, Some(()));
    assert!(connections.try_recv().is_err(), "one for all");
}

#[tokio::test]
async fn connections_of_so_many_services_are_kept() {
    let caller = caller();
    let named = |n: usize| ServiceSpec {
        name: format!("svc{n}").parse().expect("a name"),
        ..spec("http://127.0.0.1:9/")
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    for n in 0..LINES_MAX {
        caller.lines.line(&named(n)).expect("a line");
    }
    caller.lines.line(&named(0)).expect("a line");
    caller.lines.line(&named(LINES_MAX)).expect("a line");
    let kept = caller.lines.kept.lock();
    assert_eq!(kept.lines.len(), LINES_MAX);
    assert!(kept.lines.contains_key(&named(0).name));
    assert!(
        !kept.lines.contains_key(&named(1).name),
        "it was not called for longest"
    );
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_given_up() {
    let (over, mut is_over) = mpsc::unbounded_channel();
    let mut silent = Peer::start(move |mut socket| {
        let over = over.clone();
        async move {
            let mut rest = Vec::new();
            let _ = socket.read_to_end(&mut rest).await;
            let _ = over.send(());
        }
    })
    .await;
    let caller = caller();
    let mut asked = Box::pin(ask(&caller, silent.spec()));
    tokio::select! {
        answer = &mut asked => panic!("{answer:?}"),
        got = silent.got.recv() => assert!(got.is_some()),
    }
    drop(asked);
    assert_eq!(is_over.recv().await, Some(()));
}

#[tokio::test]
async fn what_is_told_of_a_failure_has_neither_address_nor_token() {
    let peer = Peer::answering(200, "content-encoding: gzip\r\n", "no").await;
    let spec = spec(&format!("http://{}/hidden?key=hidden", peer.addr));
    drop(peer);
    let told = format!("{:?}", ask(&caller(), spec).await);
    assert!(!told.contains("hidden") && !told.contains("the-token"), "{told}");
}

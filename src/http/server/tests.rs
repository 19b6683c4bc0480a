//! The server over real sockets: TLS, errors, limits, stopping.

use super::*;
use crate::http::tests::fills_its_backlog;
use actix_web::HttpRequest;
use std::error::Error as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tripline_actors::clock::SystemClock;

fn options(dir: &tempfile::TempDir) -> HttpOptions {
    HttpOptions {
        listen: ([127, 0, 0, 1], 0).into(),
        tls_listen: Some(([127, 0, 0, 1], 0).into()),
        allow_plaintext: false,
        tls: TlsOptions {
            cert: None,
            key: None,
            names: Vec::new(),
            dir: dir.path().join("tls"),
        },
        workers: 1,
        littlebrother_listen: None,
        bounds: Bounds::default(),
    }
}

/// A long poll that tells when it waits.
async fn wait_for_stop(request: HttpRequest, waits: web::Data<Notify>) -> &'static str {
    let mut stopping = request.app_data::<Stopping>().cloned().expect("told");
    waits.notify_one();
    stopping.stopped().await;
    "stopped"
}

fn started(options: &HttpOptions) -> Result<RunningHttp, Error> {
    started_with(options, web::Data::new(Notify::new()))
}

fn started_with(options: &HttpOptions, waits: web::Data<Notify>) -> Result<RunningHttp, Error> {
    start_with(options, Arc::new(SystemClock::default()), move |config| {
        routes::configure(config);
        config
            .app_data(waits.clone())
            .route("/wait", web::get().to(wait_for_stop));
    })
}

fn client(dir: &tempfile::TempDir) -> reqwest::Client {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ca = std::fs::read(dir.path().join("tls/ca.pem")).expect("ca.pem");
    let ca = reqwest::Certificate::from_pem(&ca).expect("a certificate");
    reqwest::Client::builder()
        .tls_certs_only([ca])
        .build()
        .expect("a client")
}

#[actix_web::test]
async fn both_listeners_serve_and_the_authority_is_all_a_client_needs() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = started(&options(&dir)).expect("started");
    let client = client(&dir);
    let tls = running.tls_addr.expect("a TLS listener");
    for url in [
        format!("http://{}/healthz", running.addr),
        format!("https://{tls}/healthz"),
    ] {
        let answer = client.get(&url).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{url}");
        assert_eq!(answer.text().await.expect("a body"), "ok\n");
    }
    running.stop().await;
}

/// Whether the connections that were accepted at an address wait for more before they send; the sockets are this
/// process' own.
fn delays(at: SocketAddr) -> Vec<bool> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let me = pidfd_open(getpid(), PidfdFlags::empty()).expect("this process");
    let fds = std::fs::read_dir("/proc/self/fd").expect("a folder");
    let fds = fds.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let sockets = fds.filter_map(|fd| pidfd_getfd(&me, fd, PidfdGetfdFlags::empty()).ok());
    let accepted = sockets.filter(|socket| {
        let own = rustix::net::getsockname(socket).ok();
        let own: Option<SocketAddr> = own.and_then(|own| own.try_into().ok());
        own == Some(at) && rustix::net::getpeername(socket).is_ok()
    });
    accepted
        .map(|socket| !rustix::net::sockopt::tcp_nodelay(&socket).expect("an option"))
        .collect()
}

#[actix_web::test]
async fn no_reply_waits_for_more_to_send_on_either_listener() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = started(&options(&dir)).expect("started");
    let tls = running.tls_addr.expect("HTTPS");
    let client = client(&dir);
    for url in [
        format!("http://{}/healthz", running.addr),
        format!("https://localhost:{}/healthz", tls.port()),
    ] {
        let answer = client.get(url).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.bytes().await.expect("a body");
    }
    // The client keeps both connections.
    // Each of them twice: what closes strangers' connections has a descriptor of its own.
    assert_eq!(
        (delays(running.addr), delays(tls)),
        (vec![false; 2], vec![false; 2])
    );
    running.stop().await;
}

#[actix_web::test]
async fn a_taken_port_is_named_with_its_key() {
    let dir = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("its address");
    let plain = started(&HttpOptions {
        listen: addr,
        ..options(&dir)
    })
    .expect_err("taken");
    assert_eq!(plain.to_string(), format!("listen on http.listen = {addr}"));
    assert!(plain.source().is_some());
    let tls = started(&HttpOptions {
        tls_listen: Some(addr),
        ..options(&dir)
    })
    .expect_err("taken");
    assert_eq!(tls.to_string(), format!("listen on http.tls_listen = {addr}"));
}

#[actix_web::test]
async fn plain_http_leaves_loopback_only_when_that_is_allowed() {
    let dir = tempfile::tempdir().expect("a folder");
    let open = HttpOptions {
        listen: ([0, 0, 0, 0], 0).into(),
        tls_listen: None,
        ..options(&dir)
    };
    let refused = started(&open).expect_err("refused");
    assert!(refused.to_string().contains("http.allow_plaintext"), "{refused}");
    let allowed = started(&HttpOptions {
        allow_plaintext: true,
        ..open
    })
    .expect("started");
    allowed.stop().await;
}

#[actix_web::test]
async fn a_stop_answers_who_waits_and_frees_the_port() {
    let dir = tempfile::tempdir().expect("a folder");
    let waits = web::Data::new(Notify::new());
    let running = started_with(&options(&dir), waits.clone()).expect("started");
    let addr = running.addr;
    let waiting = tokio::spawn(client(&dir).get(format!("http://{addr}/wait")).send());
    waits.notified().await;
    running.stop().await;
    let answer = waiting.await.expect("the client lives").expect("an answer");
    assert_eq!(answer.text().await.expect("a body"), "stopped");
    std::net::TcpListener::bind(addr).expect("the port is free again");
}

#[actix_web::test]
async fn metrics_count_requests_by_route() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = started(&options(&dir)).expect("started");
    let client = client(&dir);
    client
        .get(format!("http://{}/v1/hosts/a/b/c", running.addr))
        .send()
        .await
        .expect("an answer");
    let text = recorded();
    assert!(
        text.contains(r#"tripline_http_requests_total{method="GET",route="none",status="404"}"#),
        "{text}"
    );
    running.stop().await;
}

fn recorded() -> String {
    metrics::recorder().expect("installed").render()
}

#[actix_web::test]
async fn so_many_connections_wait_to_be_accepted_and_the_next_does_not_come_in() {
    let dir = tempfile::tempdir().expect("a folder");
    let bounds = Bounds {
        connections_max: 1,
        ..Bounds::default()
    };
    let running = started(&HttpOptions {
        tls_listen: None,
        bounds,
        ..options(&dir)
    });
    let running = running.expect("started");
    let at = running.addr;
    let filled = tokio::task::spawn_blocking(move || fills_its_backlog(at, "/healthz", BACKLOG));
    filled.await.expect("filled");
    running.abandon().await;
}

#[actix_web::test]
async fn who_is_answered_before_its_body_came_is_let_go_when_nothing_more_comes() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = started(&options(&dir)).expect("started");
    let mut stream = tokio::net::TcpStream::connect(running.addr)
        .await
        .expect("connected");
    let head = "POST /v1/nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    let ended = tokio::time::timeout(10 * DISCONNECT_TIMEOUT, stream.read_to_string(&mut answer)).await;
    ended.expect("it is closed in time").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    running.stop().await;
}

/// The status that a request without a body gets, which is the last of its connection.
async fn status_of(at: SocketAddr, target: &str, headers: &str) -> u16 {
    let mut stream = tokio::net::TcpStream::connect(at).await.expect("connected");
    let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    let ended = tokio::time::timeout(10 * DISCONNECT_TIMEOUT, stream.read_to_string(&mut answer)).await;
    ended.expect("it is closed in time").expect("an answer");
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.expect("a status").parse().expect("a number")
}

/// The numbers are actix's and those of `http`, and on the page about limits.
#[actix_web::test]
async fn a_head_is_taken_up_to_so_many_bytes_and_headers_and_its_target_up_to_its_length() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = started(&options(&dir)).expect("started");
    let at = running.addr;
    let begin = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    let large = |bytes: usize| format!("X-Large: {}", "x".repeat(bytes - begin.len() - 9));
    let most = 128 * 1024;
    assert_eq!(
        status_of(at, "/healthz", &format!("{}\r\n\r\n", large(most - 4))).await,
        200
    );
    assert_eq!(status_of(at, "/healthz", &large(most)).await, 431);
    let headers = |count: usize| format!("{}\r\n", "X: x\r\n".repeat(count - 2));
    assert_eq!(status_of(at, "/healthz", &headers(96)).await, 200);
    assert_eq!(status_of(at, "/healthz", &headers(97)).await, 431);
    let target = |bytes: usize| format!("/healthz?{}", "x".repeat(bytes - 9));
    assert_eq!(status_of(at, &target(65_534), "\r\n").await, 200);
    assert_eq!(status_of(at, &target(65_535), "\r\n").await, 400);
    running.stop().await;
}

//! Many connections that say nothing, or begin and do not go on: over plain HTTP, over TLS, and on the agent channel.

use crate::harness::{eventually, until};
use crate::liar::Liar;
use crate::scene::Scene;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use tripline::endpoints::Endpoints;

/// Connections in the crowd unless `TRIPLINE_SOAK_CONNECTIONS` says so.
const CROWD: usize = 300;

fn address(url: &str) -> SocketAddr {
    url.replace("http://", "").parse().expect("an address")
}

/// So many connections, of which every third is silent, every third begins a request, and the others dribble a head.
fn crowd(at: SocketAddr, count: usize) -> Vec<TcpStream> {
    let begin = |number: usize| {
        let mut connection = TcpStream::connect(at).expect("a connection");
        let text: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET /v1/hosts HTTP/1.1\r\n",
            _ => b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nX-Drip: a",
        };
        // One that was closed already to make room is as good.
        let _ = connection.write_all(text);
        connection
    };
    (0..count).map(begin).collect()
}

/// Raises this process' own limit, and says how many of `wanted` connections it allows.
fn allowed(wanted: usize) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the limit that is allowed");
    let most = limit.current.map_or(usize::MAX, |most| most as usize) - 1_000;
    if most < wanted {
        println!("only {most} connections of {wanted}: the limit of open files allows no more");
    }
    wanted.min(most)
}

fn wanted() -> usize {
    let wanted = std::env::var("TRIPLINE_SOAK_CONNECTIONS").ok();
    wanted.map_or(CROWD, |text| text.parse().expect("a number"))
}

#[tokio::test]
async fn a_crowd_without_a_hello_throws_out_itself_and_nobody_else() {
    // No deadline comes to its help.
    let mut scene = Scene::start(&[
        ("limits.strangers_max", "50"),
        ("limits.head_timeout", "1h"),
        ("limits.hello_timeout", "1h"),
    ])
    .await;
    let count = allowed(wanted());
    let at = address(&scene.server.url());
    let half = tokio::task::spawn_blocking(move || crowd(at, count / 2))
        .await
        .expect("no panic");
    scene.honest_work_is_done().await;
    // One with a key that opens the channel again and again, and never says hello: one waits. Two of them may come in another order
    // than they were opened, since each is taken by the thread that has its connection.
    let liar = scene.liar("liar").await;
    let mut silent = Vec::new();
    for _ in 0..60 {
        silent.push(liar.twin().await);
    }
    let farewells: FuturesUnordered<_> = silent.iter_mut().map(Liar::farewell).collect();
    let all_but_one: Vec<String> = farewells.take(59).collect().await;
    assert!(
        all_but_one.iter().all(|word| word == "replaced"),
        "{all_but_one:?}"
    );
    let rest = tokio::task::spawn_blocking(move || crowd(at, count - count / 2))
        .await
        .expect("no panic");
    scene.honest_work_is_done().await;
    let expected = (count - 50) as f64;
    eventually("the crowd is closed but for the last of it", async || {
        let closed = scene.metric("tripline_http_strangers_closed_total", "").await;
        let open = scene.metric("tripline_http_strangers", "").await;
        (closed >= expected && open <= 50.0).then_some(())
    })
    .await;
    let token = scene.api.enrol_token().await;
    let newcomer = Liar::attach(&scene.server.url(), &token, "newcomer").await;
    scene.api.attached(newcomer.host_id, true).await;
    scene.api.attached(liar.host_id, true).await;
    assert!(!scene.logged(&["WARN", "limits.strangers_max"]).is_empty());
    scene.honest_work_is_done().await;
    drop((half, rest, silent));
    let none = async || {
        let open = scene.metric("tripline_http_strangers", "").await;
        // The one that asks is known by its token only when it asks for more than this.
        (open <= 2.0).then_some(())
    };
    eventually("those who left are counted no more", none).await;
    assert!(scene.metric("tripline_http_silent_connections_total", "").await >= expected);
}

#[tokio::test]
async fn handshakes_that_are_never_finished_keep_nobody_out() {
    let scene = Scene::start(&[("limits.head_timeout", "1h")]).await;
    let endpoints = Endpoints::read(scene.server.data_dir()).expect("it runs");
    let at = endpoints.https;
    let count = allowed(wanted().max(1_500));
    let begin = move || (0..count).map(move |_| TcpStream::connect(at).expect("a connection"));
    let crowd: Vec<TcpStream> = tokio::task::spawn_blocking(move || begin().collect())
        .await
        .expect("no panic");
    scene.honest_work_is_done().await;
    let ca = std::fs::read(scene.server.data_dir().join("tls/ca.pem")).expect("a certificate");
    let ca = reqwest::Certificate::from_pem(&ca).expect("a certificate");
    let client = reqwest::Client::builder()
        .tls_certs_only([ca])
        .build()
        .expect("a client");
    let url = format!("https://localhost:{}/healthz", at.port());
    let answer = client.get(url).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    drop(crowd);
}

#[tokio::test]
async fn where_no_more_connections_are_taken_the_silent_ones_make_room_when_their_time_is_over() {
    let scene = Scene::start(&[("limits.connections_max", "64"), ("limits.head_timeout", "2s")]).await;
    let at = Endpoints::read(scene.server.data_dir()).expect("it runs").https;
    let mut crowd: Vec<TcpStream> = (0..150)
        .map(|_| TcpStream::connect(at).expect("a connection"))
        .collect();
    // Whoever comes now waits behind them, and comes in.
    let token = scene.api.enrol_token().await;
    let newcomer = Liar::attach(&scene.server.url(), &token, "newcomer").await;
    scene.api.attached(newcomer.host_id, true).await;
    scene.honest_work_is_done().await;
    crowd
        .iter()
        .for_each(|connection| connection.set_nonblocking(true).expect("an option"));
    until("all of them are closed", || {
        let open = |connection: &mut TcpStream| {
            let read = std::io::Read::read(connection, &mut [0; 64]);
            read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        };
        crowd.retain_mut(open);
        crowd.is_empty()
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_never_says_hello_is_turned_away_by_the_deadline_that_is_configured() {
    let mut scene = Scene::start(&[("limits.hello_timeout", "300ms")]).await;
    let token = scene.api.enrol_token().await;
    let mut silent = Liar::open(&scene.server.url(), &token, "silent").await;
    assert_eq!(silent.farewell().await, "protocol_error");
    assert!(
        !scene
            .logged(&["WARN", &silent.host_id.to_string(), "no hello within 300ms"])
            .is_empty()
    );
    scene.honest_work_is_done().await;
}

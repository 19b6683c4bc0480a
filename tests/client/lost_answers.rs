//! Answers that are cut off between the server and the program: what was asked for is there once.

use crate::harness::append_line;
use crate::scene::Scene;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tripline_client::{Client, JobSpec};

/// Stands between a program and the server, and loses the first answer to a `POST` whose first line ends so.
struct Cutter {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Cutter {
    async fn start(server: &str, line: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = server.trim_start_matches("http://").to_owned();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((program, _)) = listener.accept().await {
                tokio::spawn(relay(program, server.clone(), line, Arc::clone(&count)));
            }
        });
        Self { url, asked }
    }

    async fn client(&self, scene: &Scene) -> Client {
        let token = scene
            .api()
            .create_token(json!({"name": "lost", "role": "operator"}))
            .await;
        let client = Client::builder(&self.url).token(token).build();
        client.expect("a client")
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// One connection, until either side closes it or an answer is to be lost.
async fn relay(program: TcpStream, server: String, line: &'static str, asked: Arc<AtomicUsize>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (from_program, to_program) = program.into_split();
    let (from_server, to_server) = server.into_split();
    let loses = AtomicBool::new(false);
    tokio::select! {
        () = requests(from_program, to_server, line, &asked, &loses) => {}
        () = answers(from_server, to_program, &loses) => {}
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    line: &str,
    asked: &AtomicUsize,
    loses: &AtomicBool,
) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        let text = String::from_utf8_lossy(&piece[..read]);
        let first = text.lines().next().unwrap_or_default();
        if first.starts_with("POST ") && first.ends_with(line) {
            loses.store(asked.fetch_add(1, Ordering::SeqCst) == 0, Ordering::SeqCst);
        }
        if to.write_all(&piece[..read]).await.is_err() {
            return;
        }
    }
}

/// The server has carried out what it answers, and that answer is lost.
async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, loses: &AtomicBool) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        if loses.load(Ordering::SeqCst) || to.write_all(&piece[..read]).await.is_err() {
            return;
        }
    }
}

fn job(counter: &std::path::Path) -> JobSpec {
    serde_json::from_value(
        json!({"name": "count", "steps": [{"create_process": append_line(counter, "job")}]}),
    )
    .expect("a job")
}

#[tokio::test]
async fn a_job_whose_answer_was_cut_off_is_there_once() {
    let mut scene = Scene::start().await;
    let host = scene.host(0).await;
    let cutter = Cutter::start(&scene.server.url(), " /v1/jobs HTTP/1.1").await;
    let counter = scene.path("counter");
    let client = cutter.client(&scene).await;
    let submitted = client.run_job(host.id(), job(&counter)).await.expect("submitted");
    submitted.result().await.expect("done");
    assert_eq!(cutter.asked(), 2, "it was asked for twice");
    assert_eq!(scene.api().jobs().await.len(), 1);
    assert_eq!(std::fs::read_to_string(&counter).expect("it ran"), "job\n");
}

#[tokio::test]
async fn a_session_and_a_changing_command_whose_answers_were_cut_off_are_there_once() {
    let mut scene = Scene::start().await;
    let host = scene.host(0).await;
    let cutter = Cutter::start(&scene.server.url(), " /v1/sessions HTTP/1.1").await;
    let client = cutter.client(&scene).await;
    let session = client.host(host.id().to_string()).await.expect("the host");
    let session = session.session().await.expect("open");
    assert_eq!(cutter.asked(), 2, "it was asked for twice");
    let sessions = scene.api().get("/v1/sessions").await.body;
    assert_eq!(sessions["items"].as_array().map(Vec::len), Some(1), "{sessions}");
    let id = session.id();
    session.close().await.expect("closed");

    let counter = scene.path("counter");
    let argv: Vec<String> =
        serde_json::from_value(append_line(&counter, "command")["argv"].clone()).expect("words");
    let cutter = Cutter::start(&scene.server.url(), "/commands HTTP/1.1").await;
    let client = cutter.client(&scene).await;
    let host = client.host(host.id().to_string()).await.expect("the host");
    let session = host.session().await.expect("open");
    assert_ne!(session.id(), id);
    session.create_process(argv).await.expect("done");
    assert_eq!(cutter.asked(), 2, "it was asked for twice");
    let path = format!("/v1/sessions/{}/commands", session.id());
    let commands = scene.api().get(&path).await.body;
    assert_eq!(commands["items"].as_array().map(Vec::len), Some(1), "{commands}");
    assert_eq!(std::fs::read_to_string(&counter).expect("it ran"), "command\n");
}

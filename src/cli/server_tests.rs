//! Commands against a server that gives prepared answers over plain HTTP on loopback.

use super::*;
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// Gives its answers one after another and notes what was asked.
#[derive(Clone, Default)]
struct PreparedServer {
    answers: Arc<Mutex<Vec<(u16, Value)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl PreparedServer {
    async fn answer(request: HttpRequest, body: web::Bytes, server: web::Data<Self>) -> HttpResponse {
        let token = request
            .headers()
            .get("authorization")
            .map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(token.as_deref(), Some("Bearer secret"));
        let asked = format!(
            "{} {} {}",
            request.method(),
            request.uri(),
            String::from_utf8_lossy(&body)
        );
        server.asked.lock().unwrap().push(asked.trim_end().to_owned());
        let (status, body) = server.answers.lock().unwrap().remove(0);
        HttpResponse::build(actix_web::http::StatusCode::from_u16(status).unwrap()).json(body)
    }

    /// Serves `answers`; the options that reach it.
    fn start(&self, answers: impl IntoIterator<Item = (u16, Value)>) -> (Global, ServerHandle) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        self.answers.lock().unwrap().extend(answers);
        let data = web::Data::new(self.clone());
        let app = move || {
            App::new()
                .app_data(data.clone())
                .default_service(web::to(Self::answer))
        };
        let server = HttpServer::new(app).workers(1).bind(("127.0.0.1", 0)).unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        (self.global(address), handle)
    }

    fn global(&self, address: std::net::SocketAddr) -> Global {
        let folder = tempfile::tempdir().unwrap();
        let token_file = folder.path().join("token");
        std::fs::write(&token_file, "secret\n").unwrap();
        // Kept until the process ends, which for a test is soon.
        let _ = folder.keep();
        Global {
            server: Some(format!("http://{address}")),
            token_file: Some(token_file),
            ..Global::default()
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn command(line: &str) -> Command {
    Cli::try_parse_from(line.split_whitespace()).unwrap().command
}

async fn run_job(global: &Global, line: &str) -> Result<(), Failure> {
    match command(line) {
        Command::Job(verb) => job::run(global, verb).await,
        other => panic!("{other:?}"),
    }
}

const JOB_ID: &str = "7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11";

fn job(state: &str) -> Value {
    json!({
        "job_id": JOB_ID, "org": "default", "name": "look", "state": state, "priority": "normal", "run": 0,
        "attempt": 1, "host": {"host_id": JOB_ID, "hostname": "web01"}, "steps": [],
        "queued_at": "2026-11-20T14:00:00Z", "expires_at": "2026-11-21T14:00:00Z",
    })
}

#[actix_rt::test]
async fn a_watched_job_that_succeeds_is_a_success() {
    let server = PreparedServer::default();
    let answers = ["queued", "running", "succeeded"].map(|state| (200, job(state)));
    let (global, _handle) = server.start(answers);
    assert_eq!(
        run_job(&global, &format!("tripline job watch {JOB_ID}")).await,
        Ok(())
    );
    assert_eq!(server.asked().len(), 3);
    assert_eq!(server.asked()[0], format!("GET /v1/jobs/{JOB_ID}"));
}

#[actix_rt::test]
async fn a_watched_job_that_does_not_succeed_is_a_failure() {
    for state in ["failed", "timed_out", "expired", "cancelled", "interrupted"] {
        let (global, _handle) = PreparedServer::default().start([(200, job(state))]);
        let outcome = run_job(&global, &format!("tripline job watch {JOB_ID}")).await;
        assert_eq!(outcome, Err(Failure::NotSucceeded), "{state}");
    }
}

#[actix_rt::test]
async fn a_submitted_job_can_be_watched_at_once() {
    let server = PreparedServer::default();
    let (global, _handle) = server.start([(201, job("queued")), (200, job("succeeded"))]);
    let line = "tripline job submit web01 --named look --param pid=42 --watch";
    assert_eq!(run_job(&global, line).await, Ok(()));
    assert_eq!(
        server.asked(),
        [
            r#"POST /v1/jobs {"host":"web01","named":"look","params":{"pid":42}}"#.to_owned(),
            format!("GET /v1/jobs/{JOB_ID}"),
        ]
    );
}

#[actix_rt::test]
async fn a_list_follows_the_pages_up_to_its_limit() {
    let page = |next: Option<&str>| {
        (
            200,
            json!({"items": [job("queued"), job("queued")], "next": next}),
        )
    };
    let server = PreparedServer::default();
    let (global, _handle) = server.start([page(Some("a b")), page(Some("c"))]);
    let client = Client::find(&global).unwrap();
    let query = [("state", "queued".to_owned())];
    let (items, more) = client.list::<Value>(&["jobs"], &query, 4).await.unwrap();
    assert_eq!((items.len(), more), (4, true));
    assert_eq!(
        server.asked(),
        [
            "GET /v1/jobs?state=queued&limit=4",
            "GET /v1/jobs?state=queued&limit=2&after=a+b"
        ]
    );
}

#[actix_rt::test]
async fn what_the_caller_names_cannot_leave_its_place_in_the_path() {
    let server = PreparedServer::default();
    let (global, _handle) = server.start([(404, json!({}))]);
    let verb = match command("tripline host show ../tokens?x#y") {
        Command::Host(verb) => verb,
        other => panic!("{other:?}"),
    };
    assert_eq!(host::run(&global, verb).await.unwrap_err().code(), 2);
    assert_eq!(server.asked(), ["GET /v1/hosts/..%2Ftokens%3Fx%23y"]);
}

#[actix_rt::test]
async fn a_server_that_is_not_there_is_not_reachable() {
    let server = PreparedServer::default();
    let (global, handle) = server.start([]);
    handle.stop(false).await;
    let failure = run_job(&global, "tripline job list").await.unwrap_err();
    assert_eq!(failure.code(), 3);
    let text = failure.lines().join("");
    assert!(
        text.contains("cannot reach http://127.0.0.1:") && text.contains("does the server run"),
        "{text}"
    );
}

#[actix_rt::test]
async fn an_answer_that_is_not_understood_is_a_failure() {
    let (global, _handle) = PreparedServer::default().start([(200, json!({"hello": 1}))]);
    let failure = run_job(&global, &format!("tripline job show {JOB_ID}"))
        .await
        .unwrap_err();
    assert_eq!(failure.code(), 1);
}

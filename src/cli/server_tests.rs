//! Commands against a server that gives prepared answers over plain HTTP on loopback.

use super::*;
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// Gives its answers one after another and notes what was asked.
#[derive(Clone, Default)]
pub(super) struct PreparedServer {
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
        let key = request.headers().get("idempotency-key");
        let key = key.map_or_else(String::new, |key| format!(" once {}", key.to_str().unwrap()));
        let asked = format!(
            "{} {}{key} {}",
            request.method(),
            request.uri(),
            String::from_utf8_lossy(&body)
        );
        server.asked.lock().unwrap().push(asked.trim_end().to_owned());
        let (status, body) = server.answers.lock().unwrap().remove(0);
        let mut answer = HttpResponse::build(actix_web::http::StatusCode::from_u16(status).unwrap());
        if let Some(seconds) = body["retry_after"].as_u64() {
            answer.insert_header(("Retry-After", seconds.to_string()));
        }
        answer.json(body)
    }

    /// Serves `answers`; the options that reach it.
    pub(super) fn start(&self, answers: impl IntoIterator<Item = (u16, Value)>) -> (Global, ServerHandle) {
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
        (asking(address), handle)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// The options that reach a server there.
pub(super) fn asking(address: std::net::SocketAddr) -> Global {
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
async fn the_key_of_a_submission_is_one_that_the_server_compares_requests_by() {
    let server = PreparedServer::default();
    let (global, _handle) = server.start([(201, job("queued"))]);
    let line = "tripline job submit web01 --named look --idempotency-key INC-42";
    assert_eq!(run_job(&global, line).await, Ok(()));
    assert_eq!(
        server.asked(),
        [r#"POST /v1/jobs once INC-42 {"host":"web01","named":"look"}"#]
    );
    for wrong in ["", "a b", "ä", "a\n"] {
        let line = [
            "tripline",
            "job",
            "submit",
            "web01",
            "--named",
            "look",
            "--idempotency-key",
        ];
        let parsed = Cli::try_parse_from(line.into_iter().chain([wrong]));
        assert_eq!(parsed.unwrap_err().exit_code(), 2, "{wrong:?}");
    }
}

#[actix_rt::test]
async fn a_request_that_came_too_often_is_sent_again_when_the_server_says_so_and_not_for_ever() {
    let too_often = |seconds: u64| (429, json!({"retry_after": seconds}));
    let list = (200, json!({"items": [], "next": null}));
    for (answers, asked, code) in [
        (vec![too_often(0), too_often(0), list.clone()], 3, None),
        (vec![too_often(0); 6], 5, Some(1)),
        // What takes long is told at once, and so is what the server does not want again.
        (vec![too_often(60), list.clone()], 1, Some(1)),
        (vec![(429, json!({})), list.clone()], 1, Some(1)),
        (vec![(503, json!({"retry_after": 0})), list], 1, Some(1)),
    ] {
        let server = PreparedServer::default();
        let (global, _handle) = server.start(answers);
        let outcome = run_job(&global, "tripline job list").await;
        assert_eq!(outcome.err().map(|failure| failure.code()), code);
        assert_eq!(server.asked().len(), asked);
    }
}

async fn run_outbox(global: &Global, line: &str) -> Option<u8> {
    match command(line) {
        Command::Outbox(verb) => outbox::run(global, verb)
            .await
            .err()
            .map(|failure| failure.code()),
        other => panic!("{other:?}"),
    }
}

#[actix_rt::test]
async fn a_message_that_is_gone_does_not_hold_the_others_back_and_is_told_when_it_was_named() {
    let gone = || (404, json!({}));
    let entry = |sequence: u64| json!({"sequence": sequence, "subject": "s", "message_id": "m", "bytes": 1});
    let listed = (
        200,
        json!({"items": [entry(1), entry(2), entry(3)], "next": null}),
    );
    for (line, list, code) in [
        ("tripline outbox drop --all --yes", Some(listed.clone()), None),
        ("tripline outbox drop 1 2 3 --yes", None, Some(2)),
    ] {
        let server = PreparedServer::default();
        let drops = [(204, json!(null)), gone(), (204, json!(null))];
        let (global, _handle) = server.start(list.into_iter().chain(drops));
        assert_eq!(run_outbox(&global, line).await, code, "{line}");
        let last = "DELETE /v1/outbox/quarantine/3".to_owned();
        assert_eq!(server.asked().last(), Some(&last), "{line}");
    }
    for (line, list, code) in [
        ("tripline outbox retry --all", Some(listed), 1),
        ("tripline outbox retry 1 2 3", None, 2),
    ] {
        let server = PreparedServer::default();
        let (global, _handle) = server.start(list.into_iter().chain([(200, json!({"retried": 2}))]));
        assert_eq!(run_outbox(&global, line).await, Some(code), "{line}");
    }
}

#[actix_rt::test]
async fn a_dead_letter_that_is_gone_does_not_hold_the_others_back() {
    let server = PreparedServer::default();
    let (global, _handle) = server.start([(404, json!({})), (204, json!(null))]);
    let outcome = match command("tripline dead drop 1 2 --yes") {
        Command::Dead(verb) => dead::run(&global, verb).await,
        other => panic!("{other:?}"),
    };
    assert_eq!(outcome.unwrap_err().code(), 2);
    assert_eq!(server.asked(), ["DELETE /v1/dead/1", "DELETE /v1/dead/2"]);
}

#[actix_rt::test]
async fn a_list_follows_the_pages_up_to_its_limit_and_knows_whether_there_are_more() {
    let page = |count: usize, next: Option<&str>| {
        let items = vec![job("queued"); count];
        (200, json!({"items": items, "next": next}))
    };
    let query = [("state", "queued".to_owned())];
    // That the second page has a next one does not say that there is anything on it.
    for (second, third, more) in [
        (page(3, Some("c")), None, true),
        (page(2, Some("c")), Some(page(0, None)), false),
    ] {
        let server = PreparedServer::default();
        let pages = [Some(page(2, Some("a b"))), Some(second), third];
        let (global, _handle) = server.start(pages.into_iter().flatten());
        let client = Client::find(&global).unwrap();
        let (items, are_more) = client.list::<Value>(&["jobs"], &query, 4).await.unwrap();
        assert_eq!((items.len(), are_more), (4, more));
        let mut asked = vec![
            "GET /v1/jobs?state=queued&limit=5",
            "GET /v1/jobs?state=queued&limit=3&after=a+b",
        ];
        if !more {
            asked.push("GET /v1/jobs?state=queued&limit=1&after=c");
        }
        assert_eq!(server.asked(), asked);
    }
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

async fn run_host(global: &Global, line: &str) -> Result<(), Failure> {
    match command(line) {
        Command::Host(verb) => host::run(global, verb).await,
        other => panic!("{other:?}"),
    }
}

async fn run_user(global: &Global, line: &str) -> Result<(), Failure> {
    let words = shell_words::split(line).unwrap();
    match Cli::try_parse_from(words).unwrap().command {
        Command::User(verb) => user::run(global, verb).await,
        other => panic!("{other:?}"),
    }
}

fn host_view() -> Value {
    json!({
        "host_id": JOB_ID, "sensor_id": 1, "org": "default", "hostname": "web01", "platform": "linux", "arch": "",
        "attachments": [], "created_at": "2026-11-20T14:00:00Z", "last_seen_at": "2026-11-20T14:00:00Z",
    })
}

#[actix_rt::test]
async fn hosts_are_linked_and_parted_by_the_names_that_are_given() {
    let server = PreparedServer::default();
    let answers = [(200, host_view()), (200, host_view()), (404, json!({}))];
    let (global, _handle) = server.start(answers);
    assert_eq!(
        run_host(&global, "tripline host link web01 web01.example.org").await,
        Ok(())
    );
    assert_eq!(run_host(&global, "tripline host unlink web01").await, Ok(()));
    let refused = run_host(&global, "tripline host unlink web02").await;
    assert_eq!(refused.unwrap_err().code(), 2);
    assert_eq!(
        server.asked(),
        [
            r#"POST /v1/hosts/web01/link {"littlebrother":"web01.example.org"}"#,
            "DELETE /v1/hosts/web01/link",
            "DELETE /v1/hosts/web02/link",
        ]
    );
}

fn littlebrother_settings() -> Value {
    json!({
        "served": true, "org": "default", "kill_prohibited": true,
        "users": [{
            "login": "amelie", "active": true, "process_name_pattern": "bash", "uids": [], "logged_in": false,
            "hosts": 0,
        }],
    })
}

#[actix_rt::test]
async fn users_are_those_in_force_at_the_server() {
    let server = PreparedServer::default();
    let (global, _handle) = server.start([(200, littlebrother_settings()), (200, littlebrother_settings())]);
    assert_eq!(run_user(&global, "tripline user list").await, Ok(()));
    let unknown = run_user(&global, "tripline user match bela --name bash")
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), 2);
    assert!(unknown.lines()[0].contains("\"bela\""), "{unknown:?}");
    assert_eq!(server.asked(), ["GET /v1/littlebrother", "GET /v1/littlebrother"]);
}

#[actix_rt::test]
async fn users_of_a_file_need_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tripline.toml");
    let text = "[[littlebrother.users]]\nlogin = \"amelie\"\nprocess_name_pattern = \"bash\"\n";
    let global = Global::default();
    for (text, code) in [(text, None), ("[[littlebrother.users]]\n", Some(2))] {
        std::fs::write(&file, text).unwrap();
        let line = format!(
            "tripline user match amelie --name 'my bash' --config '{}'",
            file.display()
        );
        let outcome = run_user(&global, &line).await;
        assert_eq!(outcome.as_ref().err().map(Failure::code), code, "{outcome:?}");
    }
}

/// So many items, in pages as a server gives them.
fn pages(count: usize, item: impl Fn(usize) -> Value) -> impl Iterator<Item = (u16, Value)> {
    let starts = (0..count).step_by(1000);
    starts.map(move |start| {
        let end = (start + 1000).min(count);
        let items: Vec<Value> = (start..end).map(&item).collect();
        let next = (end < count).then(|| end.to_string());
        (200, json!({"items": items, "next": next}))
    })
}

fn dead(line: &str) -> dead::Verb {
    match command(line) {
        Command::Dead(verb) => verb,
        other => panic!("{other:?}"),
    }
}

#[actix_rt::test]
async fn so_many_dead_letters_are_acted_on_at_once_and_the_rest_is_known() {
    let dead::Verb::Replay(replay) = dead("tripline dead replay --all") else {
        panic!("a replay");
    };
    // One was replayed before, and is left out: whoever asks again gets on.
    let letter = |number: usize| {
        let mut letter = json!({
            "sequence": number, "reason": "stale", "text": "", "subject": "x", "bytes": 1,
            "stored_at": "2026-11-20T14:00:00Z",
        });
        if number == 5 {
            let by = json!({"token_id": "t", "name": "ada"});
            letter["replayed"] = json!({"at": "2026-11-20T14:00:00Z", "by": by, "run": 1});
        }
        letter
    };
    for (letters, more) in [(dead::ALL_MAX + 1, false), (dead::ALL_MAX + 2, true)] {
        let (global, _handle) = PreparedServer::default().start(pages(letters, letter));
        let client = Client::find(&global).unwrap();
        let (sequences, are_more) = replay.letters(&client).await.unwrap();
        assert_eq!((sequences.len(), are_more), (dead::ALL_MAX, more));
        assert!(!sequences.contains(&5));
    }
}

#[actix_rt::test]
async fn so_many_quarantined_messages_are_acted_on_at_once_and_the_rest_is_known() {
    let Command::Outbox(outbox::Verb::Retry(all)) = command("tripline outbox retry --all") else {
        panic!("a retry");
    };
    let entry = |number: usize| json!({"sequence": number, "subject": "x", "message_id": "x", "bytes": 1});
    for (entries, more) in [(outbox::ALL_MAX, false), (outbox::ALL_MAX + 1, true)] {
        let (global, _handle) = PreparedServer::default().start(pages(entries, entry));
        let client = Client::find(&global).unwrap();
        let (sequences, are_more) = all.sequences(&client).await.unwrap();
        assert_eq!((sequences.len(), are_more), (outbox::ALL_MAX, more));
    }
}

#[actix_rt::test]
async fn so_many_commands_of_a_session_are_shown_and_that_there_are_more() {
    let session = json!({
        "session_id": JOB_ID, "number": 7, "org": "default", "host": {"host_id": JOB_ID, "hostname": "web01"},
        "sensor_id": 1, "owner": {"token_id": "t", "name": "ada"}, "state": "active",
        "opened_at": "2026-11-20T14:00:00Z", "last_request_at": "2026-11-20T14:00:00Z", "idle_timeout": "5m",
    });
    let command = |number: usize| {
        json!({
            "session_id": JOB_ID, "number": number, "command_id": JOB_ID, "verb": "list_processes", "arguments": {},
            "state": "succeeded", "timeout": "2m", "caller": "ada", "queued_at": "2026-11-20T14:00:00Z",
        })
    };
    for (commands, more) in [
        (session::COMMANDS_SHOWN_MAX, false),
        (session::COMMANDS_SHOWN_MAX + 1, true),
    ] {
        let answers = std::iter::once((200, session.clone())).chain(pages(commands, command));
        let (global, _handle) = PreparedServer::default().start(answers);
        let client = Client::find(&global).unwrap();
        let (whole, are_more) = session::whole(&client, "7").await.unwrap();
        assert_eq!(
            (whole.commands.len(), are_more),
            (session::COMMANDS_SHOWN_MAX, more)
        );
    }
}

#[actix_rt::test]
async fn looks_that_follow_too_fast_are_refused_before_anybody_is_asked() {
    let least = top::INTERVAL_MIN.to_duration();
    for (interval, code) in [(least - std::time::Duration::from_millis(1), 2), (least, 3)] {
        let (global, handle) = PreparedServer::default().start([]);
        handle.stop(false).await;
        let Command::Top(top) = command(&format!("tripline top --interval {interval:?}")) else {
            panic!("top");
        };
        assert_eq!(
            top::run(&global, top).await.unwrap_err().code(),
            code,
            "{interval:?}"
        );
    }
}

async fn run_fanout(global: &Global, line: &str) -> Result<(), Failure> {
    match command(line) {
        Command::Fanout(verb) => fanout::run(global, verb).await,
        other => panic!("{other:?}"),
    }
}

fn fanout_in(state: &str) -> Value {
    json!({
        "fanout_id": JOB_ID, "org": "default", "name": "look", "state": state, "target": "all",
        "pace": {"in_flight": 50, "ramp": 2}, "created_at": "2026-11-20T14:00:00Z",
        "expires_at": "2026-11-21T14:00:00Z",
        "counts": {
            "hosts": 0, "pending": 0, "offline": 0, "in_flight": 0, "succeeded": 0, "failed": 0, "timed_out": 0,
            "expired": 0, "cancelled": 0, "interrupted": 0, "skipped": 0,
        },
    })
}

#[actix_rt::test]
async fn a_fan_out_that_is_watched_is_a_success_only_if_it_succeeds() {
    let end = |state| async move {
        let server = PreparedServer::default();
        let answers = ["resolving", "running", "paused", state].map(|state| (200, fanout_in(state)));
        let (global, _handle) = server.start(answers);
        run_fanout(&global, &format!("tripline fanout watch {JOB_ID}")).await
    };
    assert_eq!(end("succeeded").await, Ok(()));
    for state in ["failed", "expired", "cancelled"] {
        assert_eq!(end(state).await, Err(Failure::NotSucceeded), "{state}");
    }
}

#[actix_rt::test]
async fn every_verb_of_fan_outs_asks_for_what_it_says() {
    let page = json!({"items": []});
    let reach = json!({"hosts": 0, "attached": 0, "protected": 0, "first": [], "more": 0});
    let submission = r#"{"target":"all","named":"look","pace":{"in_flight":50,"ramp":2},"standing":false,"include_protected":false}"#;
    let one = format!("/v1/fanouts/{JOB_ID}");
    for (line, answer, asked) in [
        (
            "submit --all --named look --idempotency-key INC-42".to_owned(),
            fanout_in("resolving"),
            format!("POST /v1/fanouts once INC-42 {submission}"),
        ),
        (
            "submit --all --named look --dry-run".to_owned(),
            reach,
            format!("POST /v1/fanouts?dry_run=true {submission}"),
        ),
        (
            "list --state paused --limit 5".to_owned(),
            page.clone(),
            "GET /v1/fanouts?state=paused&limit=6".to_owned(),
        ),
        (
            format!("show {JOB_ID}"),
            fanout_in("running"),
            format!("GET {one}"),
        ),
        (
            format!("hosts {JOB_ID} --state failed --limit 5"),
            page,
            format!("GET {one}/hosts?state=failed&limit=6"),
        ),
        (
            format!("pause {JOB_ID} --reason x"),
            fanout_in("paused"),
            format!(r#"PUT {one}/pause {{"reason":"x"}}"#),
        ),
        (
            format!("resume {JOB_ID}"),
            fanout_in("running"),
            format!("DELETE {one}/pause"),
        ),
        (
            format!("cancel {JOB_ID}"),
            fanout_in("cancelled"),
            format!("POST {one}/cancel"),
        ),
        (
            format!("retry {JOB_ID} --outcome timed_out --timeout 30m"),
            fanout_in("running"),
            format!(r#"POST {one}/retry {{"outcomes":["timed_out"],"timeout":"30m"}}"#),
        ),
    ] {
        let server = PreparedServer::default();
        let (global, _handle) = server.start([(200, answer)]);
        let outcome = run_fanout(&global, &format!("tripline fanout {line}")).await;
        assert_eq!((outcome, server.asked()), (Ok(()), vec![asked]), "{line}");
    }
    for wrong in ["succeeded", "pending", "x"] {
        let line = ["tripline", "fanout", "retry", JOB_ID, "--outcome", wrong];
        assert_eq!(Cli::try_parse_from(line).unwrap_err().exit_code(), 2, "{wrong}");
    }
}

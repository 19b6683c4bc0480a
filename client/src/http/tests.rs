//! Requests against a server that answers badly.

use super::*;
use crate::client::Client;
use crate::stub::{Asked, Reply, Stub, host};
use serde_json::{Value, json};
use tripline_protocol::FaultClass;

/// Says these, one each, and the last one ever after.
fn in_turn(replies: impl IntoIterator<Item = Reply>) -> impl FnMut(&Asked) -> Reply + Send + 'static {
    let mut replies: Vec<Reply> = replies.into_iter().collect();
    replies.reverse();
    move |_| match replies.len() {
        1 => replies[0].clone(),
        _ => replies.pop().unwrap(),
    }
}

fn whole() -> Reply {
    Reply::json(200, &json!({"answer": 42}))
}

async fn get(client: &Client) -> Result<Value> {
    client.http().ask(&Request::get(&[&"things"])).await
}

async fn post(client: &Client) -> Result<Value> {
    let request = Request::post(&[&"things"]).json(&json!({"a": 1}))?;
    client.http().ask(&request).await
}

#[tokio::test]
async fn what_reads_is_asked_again_until_there_is_an_answer() {
    let answers = [
        Reply::problem(503, "busy"),
        Reply::bytes(502, "", b"<html>"),
        Reply::HangUp,
        Reply::cut(200, "", br#"{"answer": 41, "more": []}"#, 14),
        whole(),
    ];
    let stub = Stub::start(in_turn(answers)).await;
    assert_eq!(get(&stub.client()).await.unwrap(), json!({"answer": 42}));
    assert_eq!(stub.asked().len(), 5);
}

#[tokio::test]
async fn a_post_is_sent_again_only_when_the_server_says_that_it_did_not_take_it() {
    let busy = Reply::bytes(
        503,
        "retry-after: 0\r\n",
        br#"{"type": "", "title": "", "status": 503, "detail": "full", "code": "busy"}"#,
    );
    let stub = Stub::start(in_turn([
        busy.clone(),
        Reply::problem(503, "unavailable"),
        whole(),
    ]))
    .await;
    post(&stub.client()).await.unwrap();
    assert_eq!(stub.asked().len(), 3);
    for lost in [
        Reply::HangUp,
        Reply::cut(200, "", b"{}", 1),
        Reply::bytes(502, "", b"<html>"),
    ] {
        let stub = Stub::start(in_turn([lost, whole()])).await;
        post(&stub.client()).await.unwrap_err();
        assert_eq!(stub.asked().len(), 1);
    }
}

#[tokio::test]
async fn what_cannot_have_been_sent_is_sent_again() {
    // Somebody has the port, and nobody listens at it yet.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.set_reuseport(true).unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    let client = Client::builder(&url).token("t");
    let at_once = client.clone().patience(Duration::ZERO).build().unwrap();
    let error = post(&at_once).await.unwrap_err();
    assert_eq!((error.code(), error.is_unsent()), ("unreachable", true));
    let patient = client.build().unwrap();
    let asking = tokio::spawn(async move { post(&patient).await });
    // So that the first try finds nobody; without it the test would hold, too.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let listener = taken.listen(1).unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    tokio::io::AsyncWriteExt::write_all(&mut socket, answer)
        .await
        .unwrap();
    assert_eq!(asking.await.unwrap().unwrap(), json!({}));
}

#[tokio::test]
async fn patience_ends_with_the_last_error() {
    let stub = Stub::start(|_| Reply::problem(503, "busy")).await;
    let client = stub.client_with_patience(Duration::from_millis(300));
    let error = get(&client).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("busy", Some(503)));
    assert!(stub.asked().len() > 1, "{:?}", stub.asked());
    let client = stub.client_with_patience(Duration::ZERO);
    let before = stub.asked().len();
    get(&client).await.unwrap_err();
    assert_eq!(stub.asked().len(), before + 1);
}

#[tokio::test]
async fn a_refusal_is_told_at_once_with_its_code_and_class() {
    let cases = [
        (400, "bad_parameter", FaultClass::Unsupported),
        (401, "unauthenticated", FaultClass::Server),
        (403, "forbidden", FaultClass::Server),
        (404, "not_found", FaultClass::Server),
        (409, "ambiguous_host", FaultClass::Server),
        (422, "bad_argument", FaultClass::Unsupported),
        (500, "internal", FaultClass::Server),
    ];
    for (status, code, class) in cases {
        let stub = Stub::start(move |_| Reply::problem(status, code)).await;
        let error = get(&stub.client()).await.unwrap_err();
        assert_eq!(
            (error.status(), error.code(), error.class()),
            (Some(status), code, class)
        );
        assert_eq!(error.text(), format!("it is {code}"));
        assert_eq!(stub.asked().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_refusal_without_an_explanation_names_its_status() {
    let stub = Stub::start(|_| Reply::bytes(418, "", b"<html>")).await;
    let error = get(&stub.client()).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("http_418", Some(418)));
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_token_goes_nowhere_else() {
    let other = Stub::start(|_| whole()).await;
    let location = format!("location: {}/v1/things\r\n", other.url());
    let stub = Stub::start(move |_| Reply::bytes(307, &location, b"")).await;
    let error = get(&stub.client()).await.unwrap_err();
    assert_eq!(error.code(), "redirect");
    assert_eq!(other.asked().len(), 0);
}

#[tokio::test]
async fn an_answer_that_is_not_what_was_asked_for_is_a_bad_answer() {
    let stub = Stub::start(|_| Reply::bytes(200, "", b"<html>")).await;
    let error = get(&stub.client()).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("bad_answer", FaultClass::Server));
    assert_eq!(stub.asked().len(), 1);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let stub = Stub::start(|_| Reply::Silence).await;
    let client = Client::builder(stub.url()).token("t");
    let client = client
        .request_timeout(Duration::from_millis(100))
        .patience(Duration::ZERO);
    let error = client.build().unwrap().host("x").await.unwrap_err();
    assert_eq!((error.code(), error.is_unsent()), ("no_answer", false));
}

#[tokio::test]
async fn the_token_is_shown_and_names_stay_one_part_of_the_path() {
    let stub = Stub::start(|_| Reply::json(200, &host("a/b"))).await;
    stub.client().host("a/b?c#d").await.unwrap();
    let asked = &stub.asked()[0];
    assert_eq!(asked.line, "GET /v1/hosts/a%2Fb%3Fc%23d");
    assert_eq!(asked.header("authorization"), Some("Bearer secret"));
    for name in ["", ".", ".."] {
        let error = stub.client().host(name).await.unwrap_err();
        assert_eq!(error.class(), FaultClass::Unsupported, "{name:?}");
    }
    assert_eq!(stub.asked().len(), 1);
}

#[tokio::test]
async fn connecting_asks_once_and_says_what_is_wrong() {
    let stub = Stub::start(|_| Reply::json(200, &json!({"items": []}))).await;
    let client = Client::builder(stub.url()).token(" secret\n").org("acme");
    client.connect().await.unwrap();
    assert_eq!(stub.asked()[0].line, "GET /v1/hosts?limit=1&org=acme");
    let stub = Stub::start(|_| Reply::problem(503, "unavailable")).await;
    let error = Client::connect(stub.url(), "secret").await.unwrap_err();
    assert_eq!((error.code(), stub.asked().len()), ("unavailable", 1));
}

#[tokio::test]
async fn a_list_is_followed_page_by_page() {
    let stub = Stub::start(|asked| {
        let (name, next) = match asked.line.contains("after=second") {
            true => ("b", Value::Null),
            false => ("a", json!("second")),
        };
        Reply::json(200, &json!({"items": [host(name)], "next": next}))
    })
    .await;
    let hosts = stub.client().hosts().label("web server").list().await.unwrap();
    let names: Vec<&str> = hosts.iter().map(crate::Host::hostname).collect();
    assert_eq!(names, ["a", "b"]);
    let lines: Vec<String> = stub.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(
        lines,
        [
            "GET /v1/hosts?label=web+server&limit=1000",
            "GET /v1/hosts?label=web+server&limit=1000&after=second"
        ]
    );
    assert_eq!(stub.client().hosts().online().list().await.unwrap().len(), 0);
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_bound_and_a_larger_one_is_an_error() {
    // The whole of it is JSON wherever it is cut: only its length can be what is wrong with it.
    let body = format!("{:1000}", 42);
    for (bytes_max, taken) in [(1000, true), (999, false)] {
        let whole = body.clone();
        let stub = Stub::start(move |_| Reply::bytes(200, "", whole.as_bytes())).await;
        let client = stub.client();
        let response = client.http().open(&Request::get(&[&"things"])).await.unwrap();
        match answer::read_up_to::<Value>("it", response, bytes_max).await {
            Ok(answer) => assert_eq!((answer, taken), (json!(42), true)),
            Err(error) => {
                assert_eq!((error.code(), taken), ("bad_answer", false));
                assert!(error.text().contains("more than 999 bytes"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_is_read_up_to_its_bound_and_a_longer_one_is_without_its_text() {
    let problem =
        json!({"type": "", "title": "", "status": 409, "detail": "it is so", "code": "so"}).to_string();
    for (bytes, code) in [
        (answer::PROBLEM_BYTES_MAX, "so"),
        (answer::PROBLEM_BYTES_MAX + 1, "http_409"),
    ] {
        let padded = format!("{problem}{}", " ".repeat(bytes - problem.len()));
        let stub = Stub::start(move |_| Reply::bytes(409, "", padded.as_bytes())).await;
        let error = get(&stub.client()).await.unwrap_err();
        assert_eq!((error.status(), error.code()), (Some(409), code));
        assert_eq!(error.text().contains("it is so"), code == "so", "{error}");
    }
}

#[test]
fn the_server_is_asked_to_hold_a_request_for_so_long_and_no_longer() {
    let second = Duration::from_secs(1);
    for (wished, held) in [
        (HOLD_MAX - second, HOLD_MAX - second),
        (HOLD_MAX, HOLD_MAX),
        (HOLD_MAX + second, HOLD_MAX),
        (Duration::MAX, HOLD_MAX),
    ] {
        let request = Request::get(&[&"things"]).held(wished);
        let wait = format!("{}ms", held.as_millis());
        assert_eq!((request.hold, request.query), (Some(held), vec![("wait", wait)]));
    }
}

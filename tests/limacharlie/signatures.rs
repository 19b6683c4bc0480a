//! Transport and signature (facts, section 1).

use crate::cloud::{Cloud, SECRET, in_seconds};
use crate::harness::{Server, Site};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tripline_service::sign;

#[tokio::test]
async fn only_a_right_signature_over_these_very_bytes_is_taken() {
    let cloud = Cloud::start().await;
    let body = json!({ "etype": "health", "mid": "h" }).to_string().into_bytes();
    let right = sign(SECRET, &body);
    let post = async |headers: Vec<(&str, &str)>, body: &[u8]| {
        let response = cloud.send(Method::POST, &headers, body.to_vec()).await;
        (response.status().as_u16(), response.text().await.expect("a body"))
    };
    let empty = (401, String::new());
    let upper = right.to_uppercase();
    let changed = [body.as_slice(), b" "].concat();
    assert_eq!(post(vec![], &body).await, empty);
    assert_eq!(post(vec![("lc-svc-sig", "")], &body).await, empty);
    assert_eq!(post(vec![("lc-svc-sig", "00")], &body).await, empty);
    assert_eq!(post(vec![("lc-svc-sig", &upper)], &body).await, empty);
    assert_eq!(post(vec![("lc-svc-sig", &right)], &changed).await, empty);
    assert_eq!(
        post(vec![("lc-svc-sig", &sign("another", &body))], &body).await,
        empty
    );
    assert_eq!(
        post(vec![("lc-svc-sig", &upper)], b"no json").await,
        empty,
        "before the JSON is looked at"
    );
    // Names of headers have no case, and the type does not matter.
    for kind in [
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
    ] {
        let (status, answer) = post(vec![("Lc-Svc-Sig", &right), ("content-type", kind)], &body).await;
        assert_eq!(status, 200, "{kind}: {answer}");
    }
    let put = cloud
        .send(Method::PUT, &[("lc-svc-sig", &right)], body.clone())
        .await;
    assert_eq!(put.status(), 200);
    assert_eq!(put.headers()["content-type"], "application/json");
    for method in [Method::GET, Method::DELETE, Method::PATCH] {
        let response = cloud.send(method, &[("lc-svc-sig", &right)], body.clone()).await;
        assert_eq!(
            (
                response.status().as_u16(),
                response.headers()["allow"].to_str().unwrap()
            ),
            (405, "POST, PUT")
        );
    }
}

#[tokio::test]
async fn without_a_secret_nothing_is_served() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let response = reqwest::Client::new()
        .post(format!("{}/lc", server.url()))
        .body("{}")
        .send()
        .await;
    assert_eq!(response.unwrap().status(), 404);
}

#[tokio::test]
async fn what_is_no_object_is_a_bad_request_and_nothing_is_ever_a_server_error() {
    let cloud = Cloud::start().await;
    let deep = [vec![b'['; 10_000], vec![b']'; 10_000]].concat();
    let bodies: [&[u8]; 8] = [
        b"",
        b"no json",
        b"[]",
        b"null",
        b"\"health\"",
        b"\xff\xfe",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
        &deep,
    ];
    for body in bodies {
        let (status, answer) = cloud.post(body.to_vec()).await;
        assert_eq!(status, 400, "{answer}");
        assert!(
            !answer.contains("panicked") && !answer.contains(".rs"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn bodies_are_taken_up_to_their_limit_and_what_could_be_no_event_is_refused_for_good() {
    let cloud = Cloud::start().await;
    let call = |length: usize| {
        let data = json!({ "cat": "mimikatz", "more": "x".repeat(length) });
        Cloud::message("detection", "long", data).to_string().into_bytes()
    };
    for (length, why) in [(900_000, "call of"), (800_000, "event of"), (20 << 20, "call of")] {
        let (status, body) = cloud.post(call(length)).await;
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (status, &answer["success"], &answer["retry"]),
            (200, &json!(false), &json!(false))
        );
        assert!(answer["error"].as_str().unwrap().starts_with(why), "{answer}");
    }
    assert_eq!(announce(&cloud, 51 << 20).await, "HTTP/1.1 413 Payload Too Large");
    assert!(cloud.events().await.is_empty());
    let fits = cloud
        .done(
            "detection",
            "long",
            json!({ "cat": "mimikatz", "more": "x".repeat(700_000) }),
        )
        .await;
    assert_eq!(fits["success"], true, "its mid was not used up");
}

/// The status line that is answered to a body of so many bytes, none of which comes.
async fn announce(cloud: &Cloud, bytes: usize) -> String {
    let address = cloud.server.url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    let head = format!("POST /lc HTTP/1.1\r\nhost: {address}\r\ncontent-length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("to write");
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .await
        .expect("an answer");
    line.trim().to_owned()
}

#[tokio::test]
async fn wrong_signatures_close_an_address_that_never_had_a_right_one() {
    let cloud = Cloud::start().await;
    let health = json!({ "etype": "health", "deadline": in_seconds(60) });
    let mut closed = None;
    for number in 0..200 {
        let response = cloud
            .send(Method::POST, &[("lc-svc-sig", "00")], b"{}".to_vec())
            .await;
        if response.status() == 503 {
            assert!(response.headers().contains_key("retry-after"));
            closed = Some(number);
            break;
        }
        assert_eq!(response.status(), 401);
    }
    assert!(closed.is_some_and(|number| number >= 100), "{closed:?}");
    let (status, _) = cloud.post(health.to_string().into_bytes()).await;
    assert_eq!(status, 503, "a cloud comes again after that");
}

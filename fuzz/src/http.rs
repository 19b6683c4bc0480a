//! Requests of every dialect that is spoken over HTTP, to a whole server in this process; and bodies of requests to the
//! micro service, which has types of its own.
//!
//! Input: `METHOD path`, lines of headers, an empty line, the body. The administrator's token is in the request
//! unless it names an `authorization` or `x-auth-token` of its own. `$HOST` in path and body is the id of a host that is
//! enrolled and away; its sensor id is 1, and session 1 with it has ended. With `NATS` as the method, the path is an endpoint
//! of the micro service (`jobs.get`), and the body is read as that endpoint reads it.

use crate::input::{head_and_body, is_header};
use crate::stage::server;
use serde_json::{Value, json};
use std::sync::OnceLock;
use tripline::nats::asked::check;
use tripline::nats::service::Endpoint;

/// Whatever is asked, an answer comes that does not blame the server.
pub fn run(data: &[u8]) {
    let (head, body) = head_and_body(data);
    let Some((line, headers)) = head.split_first() else {
        return;
    };
    let Some((method, path)) = line.split_once(' ') else {
        return;
    };
    if method == "NATS" {
        return micro_service(path, body);
    }
    if is_left_out(path) || !is_token(method) || !is_path(path) {
        return;
    }
    let server = server();
    let path = path.replace("$HOST", host());
    let body = with_host(body);
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    for header in headers.iter().filter(|header| is_header(header)) {
        request.push_str(header);
        request.push_str("\r\n");
    }
    let lower = request.to_ascii_lowercase();
    if !lower.contains("\r\nauthorization:") && !lower.contains("\r\nx-auth-token:") {
        request.push_str(&format!(
            "authorization: Bearer {0}\r\nx-auth-token: {0}\r\n",
            server.token
        ));
    }
    request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let (status, answer) = server.ask(&request, &body);
    // 503 is a polite word for "not now", which a full server says on purpose.
    assert!(
        status < 500 || status == 503,
        "{}",
        String::from_utf8_lossy(&answer)
    );
    server.is_well();
}

/// A body is read, or refused with a problem that says why; the same way each time.
fn micro_service(subject: &str, body: &[u8]) {
    let is_it = |endpoint: &Endpoint| {
        let (noun, verb) = endpoint.words();
        subject.split_once('.') == Some((noun, verb))
    };
    let Some(endpoint) = Endpoint::ALL.into_iter().find(is_it) else {
        return;
    };
    let read = check(endpoint, body);
    assert_eq!(read, check(endpoint, body), "read in two ways");
    if let Err(problem) = read {
        let (status, code) = (problem.status, problem.code.as_str());
        assert_eq!(status, 400, "{problem:?}");
        assert!(["bad_json", "bad_parameter"].contains(&code), "{problem:?}");
        assert!(!problem.detail.is_empty(), "refused without a word");
    }
}

/// Requests that the server holds on purpose until something happens, and the one that ends it. A command for a session
/// that has not begun is such a one.
fn is_left_out(path: &str) -> bool {
    let decoded = decoded(path);
    let is_command = decoded.contains("/cblr/") && decoded.contains("/command");
    let is_held = is_command && !decoded.contains("/session/1/");
    is_held || decoded.contains("wait") || decoded.contains("drain")
}

fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match digits {
            Some(byte) => {
                decoded.push(char::from(byte));
                decoded.push_str(part.get(2..).unwrap_or_default());
            }
            None => decoded.push_str(part),
        }
    }
    decoded
}

/// The host, and a session with it that has ended.
fn host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| {
        let host = server().enrol().host_id;
        let session = server().make("/v1/sessions", &json!({"host": host}));
        let id = session.get("session_id").and_then(Value::as_str).expect("an id");
        let ended = server().send("DELETE", &format!("/v1/sessions/{id}"), &[], &[]);
        assert_eq!(ended.status, 200, "{}", ended.text());
        host
    })
}

fn with_host(body: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(body) {
        Ok(text) => text.replace("$HOST", host()).into_bytes(),
        Err(_) => body.to_vec(),
    }
}

fn is_token(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
}

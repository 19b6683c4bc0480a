//! Requests of every dialect that is spoken over HTTP, to a whole server in this process.
//!
//! Input: `METHOD path`, lines of headers, an empty line, the body. The administrator's token is in the request
//! unless it names an `authorization` or `x-auth-token` of its own.

use crate::stage::{head_and_body, server};

/// Whatever is asked, an answer comes that does not blame the server.
pub fn run(data: &[u8]) {
    let (head, body) = head_and_body(data);
    let Some((line, headers)) = head.split_first() else {
        return;
    };
    let Some((method, path)) = line.split_once(' ') else {
        return;
    };
    if waits(path) || !is_token(method) || !is_path(path) {
        return;
    }
    let server = server();
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
    let (status, answer) = server.ask(&request, body);
    // 503 is a polite word for "not now", which a full server says on purpose.
    assert!(
        status < 500 || status == 503,
        "{}",
        String::from_utf8_lossy(&answer)
    );
    server.is_well();
}

/// Requests that the server holds on purpose until something happens.
fn waits(path: &str) -> bool {
    path.contains("wait") || path.contains('%')
}

fn is_token(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A line that is a header, and none that says how long the request is or that asks for a stream without end.
fn is_header(line: &str) -> bool {
    let Some((name, value)) = line.split_once(':') else {
        return false;
    };
    let name = name.to_ascii_lowercase();
    let framing = [
        "content-length",
        "transfer-encoding",
        "connection",
        "host",
        "expect",
        "upgrade",
    ];
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !framing.contains(&name.as_str())
        && !value.contains("event-stream")
        && value.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

//! Contents that are uploaded over HTTP, and how they are fetched again: the Carbon Black dialect's multipart forms and the
//! plain bodies of `/v1`, to a whole server in this process.
//!
//! Input: a line, lines of headers, an empty line, the body. The first line is `form`: the body is one as it comes; `file
//! NAME`: it is the content of a file in a form that is sound; or `plain NAME`: it is the content. A header that says which
//! part of it is wanted (`range`, `if-range`, `if-none-match`) goes with the request that fetches it.

use crate::input::{head_and_body, is_header};
use crate::stage::{Answer, Server, server};
use serde_json::{Value, json};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Uploads to one session: many to one, and far less than it takes.
const UPLOADS: usize = 64;
const BOUNDARY: &str = "corpus-7f1c9e0a";

/// Nothing blames the server; what is taken is there as it was sent, whole and in any part, until it is deleted.
pub fn run(data: &[u8]) {
    let (head, body) = head_and_body(data);
    let Some((first, headers)) = head.split_first() else {
        return;
    };
    let headers = headers.iter().filter(|header| is_header(header));
    let (fetching, sending): (Vec<&String>, Vec<&String>) = headers.partition(|header| is_of_fetch(header));
    let (server, session) = (server(), session());
    let upload = Upload {
        server,
        session: &session,
    };
    let taken = match first.split_once(' ').unwrap_or((first, "")) {
        ("form", _) => upload.form(&sending, body, None),
        ("file", name) => {
            let form = form(name, body);
            let kind = format!("content-type: multipart/form-data; boundary={BOUNDARY}");
            upload.form(&[&kind], &form, Some(body))
        }
        ("plain", name) => upload.plain(name, &sending, body),
        _ => return,
    };
    if let Some(file) = taken {
        upload.fetch(&file, &fetching);
        upload.delete(&file);
    }
    server.is_well();
}

fn is_of_fetch(header: &str) -> bool {
    let name = header.split(':').next().unwrap_or_default();
    ["range", "if-range", "if-none-match"].contains(&name.to_ascii_lowercase().as_str())
}

fn form(name: &str, content: &[u8]) -> Vec<u8> {
    let name: String = name
        .chars()
        .filter(|c| !c.is_control() && *c != '"' && *c != '\\')
        .collect();
    let head = format!(
        "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         content-type: application/octet-stream\r\n\r\n"
    );
    [
        head.as_bytes(),
        content,
        format!("\r\n--{BOUNDARY}--\r\n").as_bytes(),
    ]
    .concat()
}

/// A session of a host that is away.
#[derive(Clone)]
struct Session {
    id: String,
    number: u64,
}

fn session() -> Session {
    static OPEN: Mutex<(usize, Option<Session>)> = Mutex::new((0, None));
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let (uploads, session) = &mut *open;
    *uploads += 1;
    if *uploads % UPLOADS == 1 {
        if let Some(old) = session.take() {
            server().send("DELETE", &format!("/v1/sessions/{}", old.id), &[], &[]);
        }
        *session = Some(opened(server()));
    }
    session.clone().expect("a session")
}

fn opened(server: &Server) -> Session {
    static HOST: OnceLock<String> = OnceLock::new();
    let host = HOST.get_or_init(|| server.enrol().host_id);
    let made = server.make("/v1/sessions", &json!({"host": host}));
    let id = made.get("session_id").and_then(Value::as_str).expect("an id");
    Session {
        id: id.to_owned(),
        number: made.get("number").and_then(Value::as_u64).expect("a number"),
    }
}

/// What is to be there.
struct File {
    number: u64,
    bytes: u64,
    content: Option<Vec<u8>>,
}

struct Upload<'a> {
    server: &'a Server,
    session: &'a Session,
}

impl Upload<'_> {
    fn form(&self, headers: &[&String], body: &[u8], content: Option<&[u8]>) -> Option<File> {
        let path = format!("/api/v1/cblr/session/{}/file", self.session.number);
        let answer = self.server.send("POST", &path, headers, body);
        let taken = is_taken(&answer);
        assert!(
            taken || content.is_none(),
            "a sound form is refused: {}",
            answer.text()
        );
        let made = taken.then(|| answer.json())?;
        let name = made.get("file_name").and_then(Value::as_str).expect("a name");
        assert!(!name.is_empty() && !name.contains(['/', '\\']), "{name:?}");
        Some(File {
            number: made.get("id").and_then(Value::as_u64).expect("a number"),
            bytes: made.get("size").and_then(Value::as_u64).expect("a size"),
            content: content.map(<[u8]>::to_vec),
        })
    }

    fn plain(&self, name: &str, headers: &[&String], body: &[u8]) -> Option<File> {
        let name: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let path = format!("/v1/sessions/{}/files?name={name}", self.session.id);
        let answer = self.server.send("POST", &path, headers, body);
        let made = is_taken(&answer).then(|| answer.json())?;
        let is_as_sent = !headers
            .iter()
            .any(|header| header.to_ascii_lowercase().starts_with("content-encoding"));
        Some(File {
            number: made.get("number").and_then(Value::as_u64).expect("a number"),
            bytes: made.get("bytes").and_then(Value::as_u64).expect("a size"),
            content: is_as_sent.then(|| body.to_vec()),
        })
    }

    fn path(&self, file: &File) -> String {
        format!("/v1/sessions/{}/files/{}", self.session.id, file.number)
    }

    fn fetch(&self, file: &File, headers: &[&String]) {
        let path = format!("{}/content", self.path(file));
        let whole = self.server.send("GET", &path, &[], &[]);
        assert_eq!(
            (whole.status, whole.body.len() as u64),
            (200, file.bytes),
            "{}",
            whole.text()
        );
        if let Some(content) = &file.content {
            assert!(whole.body == *content, "it is not what was sent");
        }
        let part = self.server.send("GET", &path, headers, &[]);
        match part.status {
            200 => assert!(part.body == whole.body, "it is not whole"),
            206 => {
                let (first, last) = part.range().expect("it says which part it is");
                let wanted = whole.body.get(first..=last).expect("a part of it");
                assert!(part.body == wanted, "another part than it says");
            }
            304 => assert!(part.body.is_empty(), "unchanged, and yet a body"),
            other => assert_eq!(other, 416, "{}", part.text()),
        }
    }

    fn delete(&self, file: &File) {
        let path = self.path(file);
        let deleted = self.server.send("DELETE", &path, &[], &[]);
        assert_eq!(deleted.status, 200, "{}", deleted.text());
        let gone = self.server.send("GET", &format!("{path}/content"), &[], &[]);
        assert_eq!(
            gone.status,
            404,
            "it is there after it was deleted: {}",
            gone.text()
        );
    }
}

fn is_taken(answer: &Answer) -> bool {
    let blames = answer.status >= 500 && answer.status != 503;
    assert!(!blames, "{}", answer.text());
    (200..300).contains(&answer.status)
}

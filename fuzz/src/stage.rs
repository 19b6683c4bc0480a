//! What targets stand on: files, and a whole server in this process.
//!
//! Its broker is away for ever, which it has to bear as well: what comes in waits in the outbox up to its bound. (An
//! embedded one would have to be started by the server's own program, which this is not.)

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::{NamedTempFile, TempDir};
use tripline::config::{Config, Source};
use tripline::endpoints::Endpoints;

/// Nothing takes this long unless it hangs.
const HANG: Duration = Duration::from_secs(20);
/// The secret of LittleBrother clients.
pub(crate) const SECRET: &str = "corpus-secret";

/// Lines up to the first empty one, and the bytes behind it.
pub(crate) fn head_and_body(data: &[u8]) -> (Vec<String>, &[u8]) {
    let end = data.windows(2).position(|two| two == b"\n\n");
    let (head, body) = match end {
        Some(end) => (data.get(..end), data.get(end + 2..)),
        None => (Some(data), None),
    };
    let head = String::from_utf8_lossy(head.unwrap_or_default());
    (
        head.lines().map(str::to_owned).collect(),
        body.unwrap_or_default(),
    )
}

/// A file with this in it, removed when it is dropped.
pub(crate) fn file_with(data: &[u8], extension: &str) -> NamedTempFile {
    let suffix = format!(".{extension}");
    let mut file = tempfile::Builder::new()
        .suffix(&suffix)
        .tempfile()
        .expect("a temporary file");
    file.write_all(data).expect("written");
    file
}

/// A server, which runs as long as this process.
pub(crate) struct Server {
    /// Where it serves plain HTTP.
    pub(crate) addr: SocketAddr,
    /// The administrator's token.
    pub(crate) token: String,
    // Removed by nobody: the process ends with the server in it.
    _data_dir: TempDir,
}

/// The server of this process, started when it is first asked for.
pub(crate) fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(start)
}

fn start() -> Server {
    let data_dir = tempfile::tempdir().expect("a temporary folder");
    let file = data_dir.path().join("tripline.toml");
    std::fs::write(&file, configuration()).expect("written");
    let source = Source {
        file: Some(file),
        environment: Vec::new(),
        data_dir: Some(data_dir.path().join("data")),
    };
    let config = source.load().expect("a configuration");
    let dir = config.data_dir().to_owned();
    std::thread::spawn(move || serve(config, source));
    let begun = Instant::now();
    let endpoints = loop {
        if let Some(endpoints) = Endpoints::read(&dir) {
            break endpoints;
        }
        assert!(begun.elapsed() < HANG * 3, "the server did not start");
        // Between two looks at a file that another thread writes.
        std::thread::sleep(Duration::from_millis(20));
    };
    let token = std::fs::read_to_string(dir.join("admin.token")).expect("the administrator's token");
    Server {
        addr: endpoints.http,
        token: token.trim().to_owned(),
        _data_dir: data_dir,
    }
}

fn serve(config: Config, source: Source) {
    let why = tripline::serve::run(config, source);
    panic!("the server ended: {why:?}");
}

fn configuration() -> String {
    format!(
        r#"
[http]
listen = "127.0.0.1:0"
tls_listen = "127.0.0.1:0"

[nats]
url = "nats://127.0.0.1:9"

[log]
level = "error"

[slots]
total = 1000

[session]
reconnect_grace = "1s"

[littlebrother]
secret = "{SECRET}"

[[littlebrother.users]]
login = "amelie"
uid = 1000
process_name_pattern = "bash"
"#
    )
}

impl Server {
    /// Sends one request and reads the answer's status and what of its body comes in one piece.
    ///
    /// # Panics
    /// No answer comes, or none that is HTTP.
    pub(crate) fn ask(&self, head: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = TcpStream::connect(self.addr).expect("a connection");
        stream.set_read_timeout(Some(HANG)).expect("a time-out");
        // A server that refuses may close before it has read all; then its answer is what counts.
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let mut piece = [0; 16 * 1024];
        while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => answer.extend_from_slice(piece.get(..read).unwrap_or_default()),
                Err(error) => panic!("no answer to {head:?}: {error}"),
            }
        }
        (status(&answer, head), answer)
    }

    /// Asks for JSON as the administrator.
    ///
    /// # Panics
    /// The answer is no success.
    pub(crate) fn make(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            self.token,
            body.len()
        );
        let (status, answer) = self.ask(&head, body.as_bytes());
        let text = String::from_utf8_lossy(&answer);
        assert!(status < 300, "{path} answers {text}");
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).expect("JSON")
    }

    /// A token that enrols agents.
    pub(crate) fn enrolment_token(&self) -> String {
        let made = self.make("/v1/tokens", &json!({"name": "corpus", "role": "enrol"}));
        let token = made.get("token").and_then(Value::as_str);
        token.expect("a token").to_owned()
    }

    /// That it lives and its actors run.
    ///
    /// # Panics
    /// It does not.
    pub(crate) fn is_well(&self) {
        let head = "GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let (_, answer) = self.ask(head, &[]);
        let text = String::from_utf8_lossy(&answer);
        assert!(text.contains("\"actors\":true"), "{text}");
        assert!(text.contains("\"store\":true"), "{text}");
    }
}

fn status(answer: &[u8], asked: &str) -> u16 {
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    status.unwrap_or_else(|| panic!("{asked:?} is answered by {line:?}"))
}

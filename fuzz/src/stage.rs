//! What targets stand on: a whole server in this process.
//!
//! Its broker is away for ever, which it has to bear as well: what comes in waits in the outbox up to its bound. (An
//! embedded one would have to be started by the server's own program, which this is not.)

use serde_json::{Value, json};
use sha2::Digest;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tripline::config::{Config, Source};
use tripline::endpoints::Endpoints;
use uuid::Uuid;

/// Nothing takes this long unless it hangs.
const HANG: Duration = Duration::from_secs(20);
/// The secret of LittleBrother clients, and of LimaCharlie.
pub(crate) const SECRET: &str = "corpus-secret";

/// Listens to what LimaCharlie tells, so that there is somebody to tell it to.
const PIPELINE: &str = r#"name: trap
on: [detection, log_event, org_per_1h, sensor_per_24h, once_per_7d]
when: event.data.cat in ["mimikatz", "miner"]
job: { steps: [ list_processes: {} ] }
"#;
/// What may be asked for, with a parameter of each kind.
const NAMED_JOB: &str = r#"name: look
params:
  deep: { type: boolean, default: false }
  depth: { type: integer, default: 3 }
  folder: { type: string, default: /tmp }
steps:
  - list_directory: { path: "{{ params.folder }}" }
"#;

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
    for (name, text) in [("pipelines/trap.yaml", PIPELINE), ("jobs/look.yaml", NAMED_JOB)] {
        let file = data_dir.path().join(name);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(file, text).expect("written");
    }
    let source = Source {
        file: Some(file),
        environment: rules(data_dir.path()),
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

fn rules(folder: &std::path::Path) -> Vec<(String, String)> {
    let variable = |key: &str, name: &str| (key.to_owned(), folder.join(name).display().to_string());
    vec![
        variable("TRIPLINE__PIPELINES__DIR", "pipelines"),
        variable("TRIPLINE__JOBS__DIR", "jobs"),
    ]
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

# Whoever asks as often as a target does would be told to wait, and nothing behind that would be reached.
[limits]
requests_per_second = 0
failed_logins_max = 0

[slots]
total = 1000

[session]
reconnect_grace = "1s"

[limacharlie]
secret = "{SECRET}"

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
        let answer = self.exchange(head, body, |answer| {
            answer.windows(4).any(|four| four == b"\r\n\r\n")
        });
        (status(&answer, head), answer)
    }

    /// Sends a request as the administrator and reads the whole answer.
    ///
    /// # Panics
    /// No answer comes, or one that is not whole.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[&String], body: &[u8]) -> Answer {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {0}\r\n\
             x-auth-token: {0}\r\ncontent-length: {1}\r\n",
            self.token,
            body.len()
        );
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        // A server that has not read the whole request waits a while before it closes.
        let answer = self.exchange(&head, body, |answer| {
            Answer::read(answer).is_some_and(|answer| answer.is_whole())
        });
        let answer = Answer::read(&answer).expect("a head");
        assert!(
            answer.is_whole() || answer.length().is_none(),
            "{path} breaks off"
        );
        answer
    }

    /// What comes until that is enough, or the connection ends.
    fn exchange(&self, head: &str, body: &[u8], enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.addr).expect("a connection");
        stream.set_read_timeout(Some(HANG)).expect("a time-out");
        // A server that refuses may close before it has read all; then its answer is what counts.
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let mut piece = [0; 16 * 1024];
        while !enough(&answer) {
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => answer.extend_from_slice(piece.get(..read).unwrap_or_default()),
                // The engine looks at its watch.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It closed before it had read all, and the answer had come.
                Err(_) if !answer.is_empty() => break,
                Err(error) => panic!("no answer to {head:?}: {error}"),
            }
        }
        answer
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
    fn enrolment_token(&self) -> &'static str {
        static TOKEN: OnceLock<String> = OnceLock::new();
        TOKEN.get_or_init(|| {
            let made = self.make("/v1/tokens", &json!({"name": "corpus", "role": "enrol"}));
            let token = made.get("token").and_then(Value::as_str);
            token.expect("a token").to_owned()
        })
    }

    /// Enrols a host of its own.
    ///
    /// # Panics
    /// The server does not enrol it.
    pub(crate) fn enrol(&self) -> Account {
        let key = Uuid::new_v4().simple().to_string();
        let digest = tripline_protocol::Sha256::from_digest(&sha2::Sha256::digest(&key).into());
        let body = json!({
            "install_id": Uuid::new_v4(), "key_sha256": digest, "hostname": "liar", "platform": "linux",
            "arch": "x86_64",
        })
        .to_string();
        let head = format!(
            "POST /v1/agent/enrol HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            self.enrolment_token(),
            body.len()
        );
        let (status, answer) = self.ask(&head, body.as_bytes());
        let text = String::from_utf8_lossy(&answer);
        assert_eq!(status, 200, "{text}");
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let enrolled: Value = serde_json::from_str(body).expect("JSON");
        let host_id = enrolled.get("host_id").and_then(Value::as_str).expect("a host");
        Account {
            host_id: host_id.to_owned(),
            key,
        }
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

/// A host that was enrolled, and the key of its agent.
pub(crate) struct Account {
    pub(crate) host_id: String,
    pub(crate) key: String,
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In small letters.
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// As far as it has come; `None` while its head is not whole.
    fn read(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let (head, body) = bytes.split_at_checked(end + 4)?;
        Some(Self {
            status: status(head, "a request"),
            head: String::from_utf8_lossy(head).to_lowercase(),
            body: body.to_vec(),
        })
    }

    fn length(&self) -> Option<usize> {
        self.header("content-length")?.parse().ok()
    }

    fn is_whole(&self) -> bool {
        // 204 and 304 have neither body nor length.
        let length = self
            .length()
            .or_else(|| [204, 304].contains(&self.status).then_some(0));
        length.is_some_and(|length| length <= self.body.len())
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// The first and the last byte of the part that it is.
    pub(crate) fn range(&self) -> Option<(usize, usize)> {
        let (part, _) = self
            .header("content-range")?
            .strip_prefix("bytes ")?
            .split_once('/')?;
        let (first, last) = part.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    }

    /// Head and body for people.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.head, String::from_utf8_lossy(&self.body))
    }

    /// The body.
    ///
    /// # Panics
    /// It is no JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

fn status(answer: &[u8], asked: &str) -> u16 {
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    status.unwrap_or_else(|| panic!("{asked:?} is answered by {line:?}"))
}

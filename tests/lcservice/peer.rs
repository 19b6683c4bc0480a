//! The recording service on the real lcservice (`peer.py` says what it does) as a child, and what it wrote down.

use crate::harness::{Process, Site, eventually, free_port};
use crate::python::Environment;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use tripline_service::protocol::Call;
use tripline_service::sign;

const ENVIRONMENT: Environment = Environment {
    variable: "TRIPLINE_LCSERVICE",
    name: "lcservice",
};
const SIGNATURE: &str = "lc-svc-sig";

/// One, which may be started any number of times: it comes back to its port, and goes on with its records.
pub(crate) struct RealService {
    process: Process,
    settings: Map<String, Value>,
    records: PathBuf,
    port: u16,
    http: reqwest::Client,
}

/// A call that it got.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// As it came, with `headers`, `at` and `pid` beside its fields.
    pub(crate) call: Value,
    /// What was answered; `None` where nothing was (yet).
    pub(crate) answer: Option<Value>,
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answered {
    /// The envelope of the protocol.
    pub(crate) fn envelope(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, 200, "{text}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

impl RealService {
    /// One that does not run yet.
    pub(crate) fn prepare(site: &Site, name: &str) -> Self {
        let port = free_port();
        let records = site.path(format!("{name}.jsonl"));
        let settings =
            json!({"port": port, "secret": format!("secret of {name}"), "records": records, "name": name});
        Self {
            process: Process::new("the real service", site.path(format!("{name}.log"))),
            settings: settings.as_object().expect("an object").clone(),
            records,
            port,
            http: reqwest::Client::builder().no_proxy().build().expect("a client"),
        }
    }

    pub(crate) async fn start(site: &Site, name: &str) -> Self {
        let mut service = Self::prepare(site, name);
        service.spawn().await;
        service
    }

    /// A setting of its next start; those there are stand at the top of `peer.py`.
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        self.settings.insert(name.to_owned(), value);
    }

    /// Starts it, and waits until it answers.
    pub(crate) async fn spawn(&mut self) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lcservice");
        let mut command = ENVIRONMENT.python();
        command
            .arg("-u")
            .arg(folder.join("peer.py"))
            .arg(Value::from(self.settings.clone()).to_string())
            .env("PYTHONDONTWRITEBYTECODE", "1");
        self.process.spawn(command);
        eventually("the real service answers", async || {
            assert!(
                self.process.has_ended().is_none(),
                "it ended: {}",
                self.process.log()
            );
            // A GET is no call: it is refused, and not written down.
            self.http.get(self.url()).send().await.ok()
        })
        .await;
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn secret(&self) -> &str {
        self.settings["secret"].as_str().expect("it has one")
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Ends it in order.
    pub(crate) async fn stop(&mut self) {
        self.process.terminate().await;
    }

    /// Waits until it ended by itself, as it does when it is told to die.
    pub(crate) async fn dies(&mut self) {
        assert_eq!(self.process.end().await.code(), Some(9));
    }

    /// A call, signed as it must be.
    pub(crate) async fn call(&self, call: &Call) -> Answered {
        self.try_call(call).await.expect("an answer")
    }

    /// The same, where it may be cut off.
    pub(crate) async fn try_call(&self, call: &Call) -> reqwest::Result<Answered> {
        let body = call.to_body();
        let signature = sign(self.secret(), &body);
        self.post(body, Some(&signature)).await
    }

    /// Any bytes, with any signature.
    pub(crate) async fn post(&self, body: Vec<u8>, signature: Option<&str>) -> reqwest::Result<Answered> {
        let mut request = self
            .http
            .post(self.url())
            .header("content-type", "application/json")
            .body(body);
        if let Some(signature) = signature {
            request = request.header(SIGNATURE, signature);
        }
        let response = request.send().await?;
        Ok(Answered {
            status: response.status().as_u16(),
            body: response.bytes().await?.to_vec(),
        })
    }

    /// Every line it wrote; one that is not whole yet is left out.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.records).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    /// Every call it got, in their order.
    pub(crate) fn recorded(&self) -> Vec<Recorded> {
        let lines = self.lines();
        let answer_of = |number: &Value| {
            let ended = lines.iter().find(|line| line.get("ended") == Some(number));
            ended.map(|line| line["answer"].clone())
        };
        lines
            .iter()
            .filter_map(|line| Some((line, line.get("began")?)))
            .map(|(call, number)| Recorded {
                call: call.clone(),
                answer: answer_of(number),
            })
            .collect()
    }

    /// Calls of an etype, once there are so many.
    pub(crate) async fn calls_of(&self, etype: &str, count: usize) -> Vec<Recorded> {
        let what = format!("{count} calls of {etype}");
        eventually(&what, async || {
            let mut calls = self.recorded();
            calls.retain(|recorded| recorded.call["etype"] == etype);
            (calls.len() >= count).then_some(calls)
        })
        .await
    }
}

//! A large file: from a host to the server, from there to a client, and the whole way back. Each step is the dialect's
//! own, and over TLS.

use super::floor::{self, Floor};
use super::options::Options;
use super::plain_http::Connection;
use super::real_agent::{RealAgent, Start};
use super::source::{self, Source};
use super::stage::Stage;
use super::stats::median;
use super::tls;
use super::usage::{cpu_seconds, forget_peak, peak_mib, resident_mib};
use super::{Outcome, machine, python, table};
use reqwest::Method;
use rustls::ClientConfig;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tripline_protocol::api::Role;

/// Bytes of the file that goes every way before anything is measured, and is compared in the end.
const WARM_UP_BYTES: u64 = 64 << 20;
const BASE: &str = "/api/v1/cblr";

/// What is read of a session and of an uploaded file.
#[derive(Deserialize)]
struct Numbered {
    id: u32,
}

/// What is read of a command.
#[derive(Deserialize)]
struct Ran {
    id: u32,
    status: String,
    file_id: Option<u32>,
    result_desc: Option<String>,
}

/// What a step took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Step {
    pub(crate) seconds: f64,
    /// Processor seconds of the server and of the agent.
    pub(crate) cpu: (f64, f64),
    /// The server's resident memory in MiB: before, and at most.
    pub(crate) memory: (f64, f64),
}

/// The steps of a round, and what they are called.
pub(crate) type Round = [Step; STEPS.len()];
pub(crate) const STEPS: [&str; 4] = [
    "`get file`: agent → server",
    "`GET …/content`: server → client",
    "`POST …/file`: client → server",
    "`put file`: server → agent",
];

/// What the real cbapi needed for the first two together, in seconds.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Fetched {
    pub(crate) to_server: f64,
    pub(crate) content: f64,
    pub(crate) cpu: f64,
}

/// All rounds.
pub(crate) struct Measured {
    pub(crate) bytes: u64,
    rounds: Vec<Round>,
    pub(crate) floors: Vec<Floor>,
    pub(crate) real: Vec<Fetched>,
}

impl Measured {
    /// Of a step the median of a figure over the rounds.
    pub(crate) fn median(&self, step: usize, figure: impl Fn(&Step) -> f64) -> f64 {
        median(self.rounds.iter().filter_map(|round| round.get(step)).map(figure))
    }

    pub(crate) fn megabytes(&self) -> f64 {
        self.bytes as f64 / 1e6
    }
}

pub(crate) async fn run(stage: &Stage, options: &Options) -> Outcome {
    let agent = RealAgent::start(stage, &Start::new("agent")).await?;
    let way = Way::open(stage, &agent).await?;
    let mut source = Source::make(&stage.folder().join("warm-up"), WARM_UP_BYTES)?;
    way.round(&mut source, 0).await?;
    way.check(&source)?;
    let mut source = Source::make(&stage.folder().join("large"), options.bytes())?;
    let mut measured = Measured {
        bytes: source.bytes,
        rounds: Vec::new(),
        floors: Vec::new(),
        real: Vec::new(),
    };
    for number in 0..options.rounds {
        let round = way.round(&mut source, u64::from(number)).await?;
        let rates = round.map(|step| measured.megabytes() / step.seconds);
        eprintln!("download: {rates:.0?} MB/s, {}", machine::load());
        measured.rounds.push(round);
        measured.real.push(way.real(&source).await?);
        measured
            .floors
            .push(floor::measure(&stage.tls(), stage.folder(), &source, number).await?);
    }
    way.check(&source)?;
    way.close().await?;
    table::download(&measured);
    Ok(())
}

/// A session on the host of the real agent, and what moves files through it.
struct Way<'a> {
    stage: &'a Stage,
    agent: &'a RealAgent,
    http: reqwest::Client,
    trust: Arc<ClientConfig>,
    token: String,
    session: u32,
}

impl<'a> Way<'a> {
    async fn open(stage: &'a Stage, agent: &'a RealAgent) -> Outcome<Self> {
        let authority = std::fs::read(stage.tls().join("ca.pem"))?;
        let authority = reqwest::Certificate::from_pem(&authority)?;
        let http = reqwest::Client::builder()
            .tls_certs_only([authority])
            .no_proxy()
            .build()?;
        let mut way = Self {
            stage,
            agent,
            http,
            trust: tls::trust(&stage.tls())?,
            token: stage.token(Role::Operator).await?,
            session: 0,
        };
        let sensor = json!({"sensor_id": agent.enrolled.sensor_id});
        let opened: Numbered = way.call(Method::POST, "/session", &sensor).await?;
        way.session = opened.id;
        Ok(way)
    }

    async fn close(&self) -> Outcome {
        let path = format!("/session/{}", self.session);
        let _: Numbered = self.call(Method::PUT, &path, &json!({"status": "close"})).await?;
        Ok(())
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: &Value) -> Outcome<T> {
        let url = format!("https://{}{BASE}{path}", self.stage.tls_address()?);
        let request = self.http.request(method, url).header("X-Auth-Token", &self.token);
        let answer = request.json(body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        if !status.is_success() {
            return Err(format!("{path} was answered {status}: {text}").into());
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// Runs a command to its end, which must be a good one.
    async fn command(&self, body: &Value) -> Outcome<Ran> {
        let path = format!("/session/{}/command", self.session);
        let mut command: Ran = self.call(Method::POST, &path, body).await?;
        let path = format!("{path}/{}", command.id);
        while command.status != "complete" {
            if command.status == "error" {
                return Err(command.result_desc.unwrap_or_default().into());
            }
            command = self.call(Method::GET, &path, &Value::Null).await?;
        }
        Ok(command)
    }

    /// All steps, each measured by itself.
    async fn round(&self, source: &mut Source, number: u64) -> Outcome<Round> {
        let path = |kind: &str| format!("{BASE}/session/{}/{kind}", self.session);
        let bytes = source.bytes;
        source.stamp(2 * number)?;
        let get = json!({"session_id": self.session, "name": "get file", "object": source.path});
        let (fetched, to_server) = self.measure(self.command(&get)).await?;
        let file = fetched.file_id.ok_or("a fetched file without a number")?;
        let content = path(&format!("file/{file}/content"));
        let mut down = self.connection().await?;
        let (came, to_client) = self.measure(down.get(&content, &self.token, |_| ())).await?;
        if came != bytes {
            return Err(format!("{came} of {bytes} bytes came").into());
        }
        source.stamp(2 * number + 1)?;
        let mut up = self.connection().await?;
        let (file, from_client) = self
            .measure(up.upload(&path("file"), &self.token, &source.path))
            .await?;
        let file: Numbered = serde_json::from_slice(&file)?;
        let put = json!({"session_id": self.session, "name": "put file", "object": self.target(source),
            "file_id": file.id});
        let (_, to_agent) = self.measure(self.command(&put)).await?;
        Ok([to_server, to_client, from_client, to_agent])
    }

    async fn connection(&self) -> Outcome<Connection> {
        Connection::open(self.stage.tls_address()?, &self.trust).await
    }

    async fn measure<T>(&self, step: impl Future<Output = Outcome<T>>) -> Outcome<(T, Step)> {
        let (server, agent) = (self.stage.server_pid()?, self.agent.pid()?);
        let before = (cpu_seconds(server)?, cpu_seconds(agent)?);
        forget_peak(server)?;
        let resident = resident_mib(server)?;
        let begun = Instant::now();
        let came = step.await?;
        let step = Step {
            seconds: begun.elapsed().as_secs_f64(),
            cpu: (cpu_seconds(server)? - before.0, cpu_seconds(agent)? - before.1),
            memory: (resident, peak_mib(server)?),
        };
        Ok((came, step))
    }

    /// Where a file is put on the host.
    fn target(&self, source: &Source) -> std::path::PathBuf {
        source.path.with_extension("put")
    }

    /// Whether what came to the host in the end is what the file was.
    fn check(&self, source: &Source) -> Outcome {
        let target = self.target(source);
        let same = source::sha256(&source.path)? == source::sha256(&target)?;
        remove(&target)?;
        match same {
            true => Ok(()),
            false => Err("the file that was put is not the one that was uploaded".into()),
        }
    }

    /// The real cbapi fetches the file, which the server has seen before.
    async fn real(&self, source: &Source) -> Outcome<Fetched> {
        let given = json!({
            "url": format!("https://{}", self.stage.tls_address()?),
            "token": self.token,
            "authority": self.stage.tls().join("ca.pem"),
            "sensor": self.agent.enrolled.sensor_id,
            "path": source.path,
            "bytes": source.bytes,
        });
        python::run("fetch.py", &given).await
    }
}

fn remove(path: &Path) -> Outcome {
    Ok(std::fs::remove_file(path)?)
}

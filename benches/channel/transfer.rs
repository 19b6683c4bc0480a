//! A large file from a host to the server (`get_file`) and back to the host (`put_file`), as jobs, in plain and over TLS,
//! beside the same file through a bare WebSocket.

use super::copy::{self, Sender};
use super::door::Way;
use super::options::Options;
use super::real_agent::{RealAgent, Start};
use super::source::{self, Source};
use super::stage::Stage;
use super::stats::median;
use super::usage::{cpu_seconds, forget_peak, peak_mib};
use super::{Outcome, machine};
use serde_json::{Value, json};
use std::ops::RangeFrom;
use std::path::Path;
use std::time::Instant;
use tripline_protocol::api::JobView;
use tripline_protocol::job::Outcome as JobOutcome;

/// So much room that every round can keep its files.
const CONFIGURATION: &str = "[artifacts]\nbytes_max = \"64GiB\"\n";
/// Bytes of the file that goes both ways before anything is measured.
const WARM_UP_BYTES: u64 = 64 << 20;

/// One way of the file.
#[derive(Debug, Clone, Copy)]
struct Step {
    seconds: f64,
    /// Processor seconds of the server and of the agent.
    cpu: (f64, f64),
    /// The most resident memory of both in MiB.
    peak: (f64, f64),
    /// The bare copy in the same direction, in MB/s.
    bare: f64,
}

/// All rounds of one way through the server.
struct Runs {
    way: Way,
    get: Vec<Step>,
    put: Vec<Step>,
}

/// What bounds both besides, in MB/s.
#[derive(Debug, Clone, Copy)]
struct Floor {
    hash: f64,
    disk: f64,
}

pub(crate) async fn run(options: &Options) -> Outcome {
    let stage = Stage::set(CONFIGURATION).await?;
    let (mut lines, mut runs, mut content) = (Vec::new(), Vec::new(), 0..);
    let mut small = Source::make(&stage.folder().join("small"), WARM_UP_BYTES)?;
    for way in Way::BOTH {
        let line = Line::open(&stage, way, options.agent.as_deref()).await?;
        line.round(&mut small, &mut content).await?;
        lines.push(line);
        runs.push(Runs {
            way,
            get: Vec::new(),
            put: Vec::new(),
        });
    }
    let mut source = Source::make(&stage.folder().join("large"), options.bytes())?;
    let mut floors = Vec::new();
    for round in 0..options.rounds {
        for (line, runs) in lines.iter().zip(&mut runs) {
            let (get, put) = line.round(&mut source, &mut content).await?;
            runs.add(get, put, &source);
        }
        floors.push(floor(&stage, &source, round)?);
    }
    print(&runs, &floors, &source);
    drop(lines);
    stage.clear().await
}

impl Runs {
    fn add(&mut self, get: Step, put: Step, source: &Source) {
        eprintln!(
            "transfer, {}: get {:.0} MB/s, put {:.0} MB/s, {}",
            self.way,
            megabytes(source) / get.seconds,
            megabytes(source) / put.seconds,
            machine::load()
        );
        self.get.push(get);
        self.put.push(put);
    }
}

fn megabytes(source: &Source) -> f64 {
    source.bytes as f64 / 1e6
}

fn floor(stage: &Stage, source: &Source, round: u32) -> Outcome<Floor> {
    let rate = |begun: Instant| megabytes(source) / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    source::sha256(&source.path)?;
    let hash = rate(begun);
    let begun = Instant::now();
    // Each copy stays, as what the server writes does.
    source::copy_synced(&source.path, &stage.folder().join(format!("floor-{round}")))?;
    Ok(Floor {
        hash,
        disk: rate(begun),
    })
}

/// A real agent and who gives it jobs.
struct Line<'a> {
    stage: &'a Stage,
    way: Way,
    agent: RealAgent,
    http: reqwest::Client,
}

impl<'a> Line<'a> {
    async fn open(stage: &'a Stage, way: Way, program: Option<&Path>) -> Outcome<Self> {
        let name = format!("agent-{way}");
        let start = Start {
            way,
            program,
            ..Start::new(&name)
        };
        Ok(Self {
            stage,
            way,
            agent: RealAgent::start(stage, &start).await?,
            http: reqwest::Client::new(),
        })
    }

    /// Both ways of a content that the server has not seen yet.
    async fn round(&self, source: &mut Source, content: &mut RangeFrom<u64>) -> Outcome<(Step, Step)> {
        source.stamp(content.next().unwrap_or_default())?;
        let sha256 = source::sha256(&source.path)?;
        let (got, mut get) = self.measure("get_file", json!({"path": source.path})).await?;
        // The server has compared what came with it.
        if got.get("sha256").and_then(Value::as_str) != Some(sha256.as_str()) {
            return Err(format!("the file that was fetched is another one: {got}").into());
        }
        let target = source.path.with_extension(format!("put-{}", self.way));
        let put = json!({"path": target, "artifact": sha256});
        let (_, mut put) = self.measure("put_file", put).await?;
        if source::sha256(&target)? != sha256 {
            return Err("the file that was put is not the one that was fetched".into());
        }
        let certificates = self.stage.tls();
        get.bare = copy::measure(self.way, Sender::Client, &certificates, source).await?;
        put.bare = copy::measure(self.way, Sender::Server, &certificates, source).await?;
        Ok((get, put))
    }

    /// A job of one step, and what it took.
    async fn measure(&self, verb: &str, arguments: Value) -> Outcome<(Value, Step)> {
        let (server, agent) = (self.stage.server_pid()?, self.agent.pid()?);
        let before = (cpu_seconds(server)?, cpu_seconds(agent)?);
        forget_peak(server)?;
        forget_peak(agent)?;
        let begun = Instant::now();
        let output = self.job(verb, arguments).await?;
        let step = Step {
            seconds: begun.elapsed().as_secs_f64(),
            cpu: (cpu_seconds(server)? - before.0, cpu_seconds(agent)? - before.1),
            peak: (peak_mib(server)?, peak_mib(agent)?),
            bare: 0.0,
        };
        Ok((output, step))
    }

    /// The output of a job's one step.
    async fn job(&self, verb: &str, arguments: Value) -> Outcome<Value> {
        let url = format!("http://{}/v1/jobs", self.stage.address()?);
        let step = json!({verb: arguments, "timeout": "10m"});
        let body = json!({"host": self.agent.enrolled.host_id,
            "job": {"name": "bench", "timeout": "10m", "steps": [step]}});
        let submit = self.http.post(&url).json(&body);
        let mut job = self.ask(submit).await?;
        while job.state.outcome().is_none() {
            job = self
                .ask(self.http.get(format!("{url}/{}?wait=60", job.job_id)))
                .await?;
        }
        let told = serde_json::to_value(&job)?;
        match job.state.outcome() {
            Some(JobOutcome::Succeeded) => Ok(told.pointer("/steps/0/output").cloned().unwrap_or_default()),
            _ => Err(format!("a job did not succeed: {told}").into()),
        }
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Outcome<JobView> {
        let answer = request.bearer_auth(self.stage.admin_token()).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }
}

fn print(runs: &[Runs], floors: &[Floor], source: &Source) {
    println!(
        "\nA file of {} MiB, {} rounds, {}\n",
        source.bytes >> 20,
        floors.len(),
        machine::load()
    );
    println!(
        "| verb, way | MB/s | bare WebSocket copy | ratio | CPU seconds: server | agent | memory at most: server | agent |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for runs in runs {
        for (verb, steps) in [("get_file", &runs.get), ("put_file", &runs.put)] {
            let of = |figure: fn(&Step) -> f64| median(steps.iter().map(figure));
            let most = |figure: fn(&Step) -> f64| steps.iter().map(figure).fold(0.0, f64::max);
            let (rate, bare) = (megabytes(source) / of(|step| step.seconds), of(|step| step.bare));
            println!(
                "| `{verb}`, {} | {rate:.0} | {bare:.0} | {:.2} | {:.1} | {:.1} | {:.0} MiB | {:.0} MiB |",
                runs.way,
                rate / bare,
                of(|step| step.cpu.0),
                of(|step| step.cpu.1),
                most(|step| step.peak.0),
                most(|step| step.peak.1),
            );
        }
    }
    let of = |figure: fn(&Floor) -> f64| median(floors.iter().map(figure));
    println!("\n| floors, each alone: SHA-256 on one core | written and synced |");
    println!("| --- | --- |");
    println!(
        "| {:.0} MB/s | {:.0} MB/s |",
        of(|floor| floor.hash),
        of(|floor| floor.disk)
    );
}

//! Jobs of the real cbapi: on Tripline, on a plainly polled server, and on one that costs nothing.

use super::options::Options;
use super::stage::Stage;
use super::stand_in::{Answered, Polls, StandIn};
use super::stats::{Samples, median};
use super::usage::cpu_seconds;
use super::{Outcome, agents, machine, python, table};
use serde::Deserialize;
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use tripline_protocol::api::{Page, Role};
use tripline_protocol::session::SessionView;

/// Workers of the job API unless a script says otherwise; each has a session.
pub(crate) const WORKERS: f64 = 10.0;
/// What is in the listing that the agents answer.
const NAMES: [&str; 2] = ["report.txt", "work"];
/// The path of the dialect, by which its requests are told from others.
const DIALECT: &str = "route=\"/api/";

/// What the script prints, in seconds.
#[derive(Debug, Deserialize)]
struct Figures {
    wall: f64,
    cpu: f64,
    slept: f64,
    bodies: Vec<f64>,
}

/// A round.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Round {
    pub(crate) jobs_per_second: f64,
    /// Of a job's own body.
    pub(crate) body_ms: (f64, f64),
    pub(crate) requests_per_job: f64,
    /// Processor time of a job, in milliseconds: the client's and the server's.
    pub(crate) cpu_ms: (f64, f64),
    /// Cores that the client kept busy.
    pub(crate) client_cores: f64,
    /// Shares of the workers' time: asleep, and waiting for the server's answers. The rest is the client's.
    pub(crate) asleep: f64,
    pub(crate) answering: f64,
}

/// Rounds against one server.
pub(crate) struct Runs {
    pub(crate) name: &'static str,
    rounds: Vec<Round>,
}

impl Runs {
    /// Of each figure the median over the rounds.
    pub(crate) fn medians(&self) -> Round {
        let of = |figure: fn(&Round) -> f64| median(self.rounds.iter().map(figure));
        Round {
            jobs_per_second: of(|round| round.jobs_per_second),
            body_ms: (of(|round| round.body_ms.0), of(|round| round.body_ms.1)),
            requests_per_job: of(|round| round.requests_per_job),
            cpu_ms: (of(|round| round.cpu_ms.0), of(|round| round.cpu_ms.1)),
            client_cores: of(|round| round.client_cores),
            asleep: of(|round| round.asleep),
            answering: of(|round| round.answering),
        }
    }

    fn add(&mut self, round: Round) {
        eprintln!(
            "cbapi, {}: {:.1} jobs/s, client {:.2} cores, {}",
            self.name,
            round.jobs_per_second,
            round.client_cores,
            machine::load()
        );
        self.rounds.push(round);
    }
}

/// All rounds: each of them against every server in turn.
pub(crate) async fn run(stage: &Stage, options: &Options) -> Outcome {
    let agents = agents::start(stage, options.agents("cbapi")).await?;
    let sensors: Vec<u32> = agents.hosts.iter().map(|host| host.sensor_id).collect();
    let named = |name| Runs {
        name,
        rounds: Vec::new(),
    };
    let (mut plain, mut ours) = (named("plainly polled"), named("Tripline"));
    let mut free = named("held polls, no server behind them");
    let client = Client {
        token: stage.token(Role::Operator).await?,
        sensors,
        jobs: options.jobs,
    };
    for _ in 0..options.rounds {
        plain.add(client.on_stand_in(stage, Polls::Plain, options.delay()).await?);
        ours.add(client.on_tripline(stage).await?);
        free.add(client.on_stand_in(stage, Polls::Held, options.delay()).await?);
    }
    table::cbapi(&[plain, ours, free], options);
    table::delays(agents.took(), options);
    Ok(())
}

/// A user with a script.
struct Client {
    token: String,
    sensors: Vec<u32>,
    jobs: u32,
}

impl Client {
    async fn on_tripline(&self, stage: &Stage) -> Outcome<Round> {
        let (answered, cpu) = (answered(stage).await?, cpu_seconds(stage.server_pid()?)?);
        let figures = self.run(stage, stage.tls_address()?).await?;
        let used = cpu_seconds(stage.server_pid()?)? - cpu;
        let after = self::answered(stage).await?;
        close_all(stage).await?;
        let answered = Answered {
            requests: after.requests - answered.requests,
            time: after.time.saturating_sub(answered.time),
        };
        Ok(self.round(figures, answered, used))
    }

    async fn on_stand_in(&self, stage: &Stage, polls: Polls, delay: Duration) -> Outcome<Round> {
        let stand_in = StandIn::start(&stage.tls(), polls, delay)?;
        let cpu = cpu_seconds(std::process::id())?;
        let figures = self.run(stage, stand_in.address).await?;
        let used = cpu_seconds(std::process::id())? - cpu;
        let answered = stand_in.answered();
        stand_in.stop().await?;
        Ok(self.round(figures, answered, used))
    }

    async fn run(&self, stage: &Stage, address: SocketAddr) -> Outcome<Figures> {
        let given = json!({
            "url": format!("https://{address}"),
            "token": self.token,
            "authority": stage.tls().join("ca.pem"),
            "sensors": self.sensors,
            "jobs": self.jobs,
            "names": NAMES,
        });
        python::run("jobs.py", &given).await
    }

    fn round(&self, figures: Figures, answered: Answered, server_cpu: f64) -> Round {
        let jobs = f64::from(self.jobs);
        let workers = WORKERS * figures.wall;
        let mut bodies = Samples::default();
        for body in &figures.bodies {
            bodies.add(Duration::from_secs_f64(*body));
        }
        Round {
            jobs_per_second: jobs / figures.wall,
            body_ms: (bodies.percentile_ms(50), bodies.percentile_ms(95)),
            requests_per_job: answered.requests as f64 / jobs,
            cpu_ms: (figures.cpu * 1e3 / jobs, server_cpu * 1e3 / jobs),
            client_cores: figures.cpu / figures.wall,
            asleep: figures.slept / workers,
            answering: answered.time.as_secs_f64() / workers,
        }
    }
}

/// What the server says of requests of the dialect.
async fn answered(stage: &Stage) -> Outcome<Answered> {
    let text = reqwest::get(format!("http://{}/metrics", stage.address()?))
        .await?
        .text()
        .await?;
    let sum = |what: &str| -> Outcome<f64> {
        let lines = text
            .lines()
            .filter(|line| line.starts_with(what) && line.contains(DIALECT));
        let values = lines.filter_map(|line| line.rsplit(' ').next());
        Ok(values
            .map(str::parse::<f64>)
            .collect::<Result<Vec<_>, _>>()?
            .iter()
            .sum())
    };
    Ok(Answered {
        requests: sum("tripline_http_request_duration_seconds_count")? as u64,
        time: Duration::from_secs_f64(sum("tripline_http_request_duration_seconds_sum")?),
    })
}

/// A script that comes to its end leaves the sessions of its workers behind; the next round is to have all slots.
async fn close_all(stage: &Stage) -> Outcome {
    let http = reqwest::Client::new();
    let url = format!("http://{}/v1/sessions", stage.address()?);
    let open = http
        .get(format!("{url}?open=true&limit=1000"))
        .bearer_auth(stage.admin_token());
    let open: Page<SessionView> = open.send().await?.error_for_status()?.json().await?;
    for session in open.items {
        let close = http.delete(format!("{url}/{}", session.session_id));
        close
            .bearer_auth(stage.admin_token())
            .send()
            .await?
            .error_for_status()?;
    }
    Ok(())
}

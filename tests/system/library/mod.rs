//! The library in `examples`: every named job and every pipeline on a real agent, against a folder with what they look for.
//! `nft` is a stand-in that only remembers: the machine's network is never touched.

mod expected;
mod prepared;

use crate::harness::{AgentProcess, Api, Server, Site, cloud_event, eventually, job_of, job_of_event};
use expected::{Expected, expected};
use prepared::Prepared;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use tripline_protocol::api::JobView;
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::step::{StepReport, StepStatus};
use tripline_protocol::verb::Verb;
use tripline_protocol::{HostId, Sha256};

/// Programs of hosts that examples do without: a host need not have them.
const TOOLS: [&str; 4] = ["sockets", "logins", "note", "hash"];

/// A program that runs until an example ends it.
struct Quarry {
    pid: u32,
    program: std::path::PathBuf,
}

impl Quarry {
    fn start() -> Self {
        let mut child = Command::new("sleep").arg("300").spawn().expect("sleep");
        let pid = child.id();
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).expect("its program");
        // So that it is gone when it is killed.
        std::thread::spawn(move || child.wait());
        Self { pid, program }
    }
}

struct Scene {
    api: Api,
    server: Server,
    host: HostId,
    prepared: Prepared,
    can_isolate: bool,
    _agent: AgentProcess,
    _site: Site,
}

impl Scene {
    async fn set() -> Self {
        let site = Site::new().await;
        let prepared = Prepared::in_folder(&site);
        let (pipelines, jobs) = prepared.rules();
        let settings = [
            ("pipelines.dir", pipelines.to_str().expect("UTF-8")),
            ("jobs.dir", jobs.to_str().expect("UTF-8")),
        ];
        let server = Server::start(&site, &settings).await;
        let api = server.api();
        let token = api.enrol_token().await;
        let mut agent = AgentProcess::prepare(&site, &server.url(), &token, "a");
        agent.option("--isolation-nft", prepared.nft().to_str().expect("UTF-8"));
        agent.spawn();
        let host = agent.host_id().await;
        let view = api.attached(host, true).await;
        let verbs = view.attachments.iter().flat_map(|attachment| &attachment.verbs);
        let can_isolate = verbs.into_iter().any(|verb| *verb == Verb::Isolate);
        if !can_isolate {
            eprintln!("SKIPPED: examples that isolate, as this agent may not change the packet filter");
        }
        Self {
            api,
            server,
            host,
            prepared,
            can_isolate,
            _agent: agent,
            _site: site,
        }
    }

    /// The names in force: of pipelines, and of named jobs.
    async fn names(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let view = self.api.get("/v1/pipelines").await.body;
        let list = |key: &str| view[key].as_array().expect("a list").clone();
        let text = |value: &Value| value.as_str().expect("a name").to_owned();
        (
            list("pipelines").iter().map(|one| text(&one["name"])).collect(),
            list("named_jobs").iter().map(text).collect(),
        )
    }

    /// When a process of the host began, as the agent says it.
    async fn started(&self, pid: u32) -> i64 {
        let job = self.api.run(self.host, job_of("list_processes", json!({}))).await;
        process(step(&job, "only"), pid).expect("it is listed")["create_time"]
            .as_i64()
            .expect("a time")
    }

    /// What is said to an example about a process to end, and the process.
    async fn with_quarry(&self, wanted: &Expected, data: &Value) -> (Map<String, Value>, Option<Quarry>) {
        let mut data = data.as_object().cloned().unwrap_or_default();
        if !wanted.kills {
            return (data, None);
        }
        let quarry = Quarry::start();
        data.insert("pid".into(), quarry.pid.into());
        if wanted.knows_start {
            data.insert("start_time".into(), self.started(quarry.pid).await.into());
        }
        if wanted.names_program {
            data.insert("path".into(), quarry.program.to_str().expect("UTF-8").into());
        }
        (data, Some(quarry))
    }

    async fn check(&self, name: &str, job: &JobView, wanted: &Expected, quarry: Option<&Quarry>) {
        println!("{name}: {} steps, {}", job.steps.len(), job.state);
        assert_eq!(job.state, JobState::Ended(Outcome::Succeeded), "{name}: {job:#?}");
        for report in &job.steps {
            self.check_step(name, report);
        }
        let of_this_host = |id: &str| wanted.alive.contains(&id) || wanted.perhaps.contains(&id);
        let fetched = job
            .steps
            .iter()
            .filter_map(|report| Some((report.id.as_str(), report.artifact.as_ref()?)));
        let (alive, fetched): (BTreeMap<_, _>, BTreeMap<_, _>) =
            fetched.partition(|(id, _)| of_this_host(id));
        for id in wanted.alive {
            assert!(alive.contains_key(id), "{name} fetched nothing at {id}: {job:#?}");
        }
        let fetched: BTreeMap<&str, Sha256> = fetched
            .into_iter()
            .map(|(id, file)| (id, file.sha256.clone()))
            .collect();
        let expected = wanted.fetched.iter();
        let expected: BTreeMap<&str, Sha256> = expected
            .map(|(id, file)| (*id, self.prepared.sha256(file)))
            .collect();
        assert_eq!(fetched, expected, "{name}: of the prepared folder");
        if let Some(quarry) = quarry {
            check_killed(name, job, quarry);
        }
    }

    /// What failed failed because it is not there.
    fn check_step(&self, name: &str, report: &StepReport) {
        let is_tool = TOOLS.contains(&report.id.as_str());
        if report.status == StepStatus::Failed && report.items.is_none() && !is_tool {
            let code = report.error.as_ref().map(|fault| fault.code.as_str());
            assert_eq!(code, Some("ENOENT"), "{name}: {report:?}");
        }
        assert!(
            !matches!(report.status, StepStatus::Pending | StepStatus::Running),
            "{name}: {report:?}"
        );
    }
}

fn step<'a>(job: &'a JobView, id: &str) -> &'a StepReport {
    let found = job.steps.iter().find(|report| report.id == id);
    found.unwrap_or_else(|| panic!("no step {id}: {job:#?}"))
}

/// A process of a listing.
fn process(report: &StepReport, pid: u32) -> Option<Value> {
    let output = report.output.as_ref().expect("an output");
    let list = output["processes"].as_array().expect("a list");
    list.iter().find(|one| one["pid"] == pid).cloned()
}

fn check_killed(name: &str, job: &JobView, quarry: &Quarry) {
    assert_eq!(
        step(job, "kill").status,
        StepStatus::Succeeded,
        "{name}: {job:#?}"
    );
    for report in job.steps.iter().filter(|report| report.id == "after") {
        assert_eq!(process(report, quarry.pid), None, "{name}: it is gone");
    }
    for report in job.steps.iter().filter(|report| report.id == "program") {
        let kept = report.artifact.as_ref().expect("its program");
        assert_eq!(kept.sha256, prepared::hash(&quarry.program), "{name}");
    }
}

#[tokio::test]
async fn every_named_job_of_the_library_does_on_a_real_agent_what_it_says() {
    let scene = Scene::set().await;
    let (_, jobs) = scene.names().await;
    let all = expected::jobs();
    let known: BTreeSet<String> = all.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(jobs, known, "each has what it is to do in `expected`");
    for (name, params) in all {
        let wanted = expected(name);
        if wanted.isolates && !scene.can_isolate {
            continue;
        }
        let (params, quarry) = scene
            .with_quarry(&wanted, &scene.prepared.with_paths(&params))
            .await;
        let request = json!({"host": scene.host, "named": name, "params": params});
        let answer = scene.api.post("/v1/jobs", &request).await;
        assert_eq!(answer.status, 201, "{name}: {answer:?}");
        let job_id = serde_json::from_value(answer.body["job_id"].clone()).expect("a job id");
        let job = scene.api.ended(job_id).await;
        scene.check(name, &job, &wanted, quarry.as_ref()).await;
        scene.check_more(name, &job).await;
    }
}

impl Scene {
    /// What is particular to one job.
    async fn check_more(&self, name: &str, job: &JobView) {
        match name {
            "isolate" => {
                assert!(self.prepared.is_isolated());
                self.isolated(true).await;
            }
            "release" => {
                assert!(!self.prepared.is_isolated());
                self.isolated(false).await;
            }
            "autoruns-systemd" => {
                let output = step(job, "enabled").output.as_ref().expect("an output");
                let files = output["files"].as_array().expect("a list");
                let link = files
                    .iter()
                    .find(|file| file["filename"] == "multi-user.target.wants/evil.service");
                assert_eq!(link.expect("it is enabled")["link_target"], "../evil.service");
            }
            "port-inventory" => self.server_listens(job).await,
            _ => {}
        }
    }

    async fn isolated(&self, is_isolated: bool) {
        eventually("the host's record says so", async || {
            let view = self.api.host(self.host).await?;
            (view.isolation.is_some() == is_isolated).then_some(())
        })
        .await;
    }

    /// The kernel's table has the server's port, listening (state 0A).
    async fn server_listens(&self, job: &JobView) {
        let artifact = step(job, "tables-1").artifact.as_ref().expect("the table of TCP");
        let path = format!("/v1/jobs/{}/artifacts/{}", job.job_id, artifact.sha256);
        let answer = self.api.request(reqwest::Method::GET, &path).send().await;
        let table = answer.expect("an answer").text().await.expect("all of the table");
        let url = self.server.url();
        let port: u16 = url
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .expect("a port");
        let listens = format!(":{port:04X} 00000000:0000 0A");
        assert!(table.contains(&listens), "{listens} in {table}");
    }
}

#[tokio::test]
async fn every_pipeline_of_the_library_is_tripped_by_its_event_and_does_on_a_real_agent_what_it_says() {
    let scene = Scene::set().await;
    let (pipelines, _) = scene.names().await;
    let all = expected::pipelines();
    let known: BTreeSet<String> = all.iter().map(|one| one.pipeline.to_owned()).collect();
    assert_eq!(pipelines, known, "each has what it is to do in `expected`");
    let outside = scene.server.outside().await;
    for one in all {
        let name = one.pipeline;
        let wanted = expected(one.job);
        if wanted.isolates && !scene.can_isolate {
            continue;
        }
        let (data, quarry) = scene
            .with_quarry(&wanted, &scene.prepared.with_paths(&one.data))
            .await;
        // Pipelines of one etype are tripped by the same event.
        let event = cloud_event(one.etype, one.etype, scene.host, data.into());
        outside.publish(one.etype, &event).await;
        let job_id = job_of_event("system-test", one.etype, name, scene.host);
        let job = scene.api.ended(job_id).await;
        scene.check(name, &job, &wanted, quarry.as_ref()).await;
        if name == "look-while-isolated" {
            assert!(
                step(&job, "release").finally && !scene.prepared.is_isolated(),
                "it is undone"
            );
        }
    }
    let letters = outside.dead_letters().await;
    assert!(letters.is_empty(), "{letters:?}");
}

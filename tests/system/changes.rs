//! `GET /v1/streams/jobs` and `GET /v1/streams/hosts`: what a program hears that follows jobs and hosts over HTTP.

use crate::harness::{AgentProcess, Api, Broker, Process, Server, Site, clean, eventually, job_of};
use crate::listener::Listener;
use reqwest::Method;
use serde_json::{Value, json};
use std::process::Command;
use tripline_protocol::api::{ChangeGap, HostChange, HostsReady, JobChange};
use tripline_protocol::{HostId, JobId};

const JOBS: &str = "/v1/streams/jobs";
const HOSTS: &str = "/v1/streams/hosts";

impl Listener {
    async fn job(&mut self) -> JobChange {
        let heard = self.next().await.expect("it goes on");
        assert_eq!(heard.name, "job", "{heard:?}");
        heard.read()
    }

    /// The states of a job up to its end, each once.
    async fn states(&mut self, job_id: JobId) -> Vec<String> {
        let mut states = Vec::new();
        loop {
            let change = self.job().await;
            if change.job_id != job_id {
                continue;
            }
            states.push(change.state.to_string());
            states.dedup();
            if change.state.outcome().is_some() {
                return states;
            }
        }
    }

    async fn gap(&mut self) -> ChangeGap {
        let heard = self.next().await.expect("it goes on");
        assert_eq!(heard.name, "gap", "{heard:?}");
        heard.read()
    }

    async fn host(&mut self) -> HostChange {
        let heard = self.next().await.expect("it goes on");
        assert_eq!(heard.name, "host", "{heard:?}");
        heard.read()
    }

    /// What happened to the next host, and whether it is gone with it.
    async fn happened(&mut self, host: HostId) -> (&'static str, bool) {
        let change = self.host().await;
        assert_eq!(change.host.host_id, host);
        (change.change.as_str(), change.gone)
    }

    async fn ready(&mut self) -> u64 {
        let heard = self.next().await.expect("it goes on");
        assert_eq!(heard.name, "ready", "{heard:?}");
        heard.read::<HostsReady>().hosts
    }
}

fn quick() -> Value {
    job_of("create_process", json!({"argv": ["/bin/true"]}))
}

#[tokio::test]
async fn each_state_of_a_job_is_heard_also_while_the_broker_is_away() {
    let site = Site::new().await;
    let mut broker = Broker::start(&site).await;
    let server = Server::start(&site, &[("nats.url", broker.url())]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    broker.kill();
    server.readiness(503).await;
    let api = server.api();
    let mut all = Listener::open(&api, JOBS, None).await;
    let mut ended = Listener::open(&api, &format!("{JOBS}?state=succeeded,failed&host={host}"), None).await;
    let mut other = Listener::open(&api, &format!("{JOBS}?name=other"), None).await;
    let first = api.submit(host, quick()).await;
    assert_eq!(all.states(first).await, ["queued", "running", "succeeded"]);
    let change = ended.job().await;
    assert_eq!((change.job_id, change.state.as_str()), (first, "succeeded"));
    let step = change.step.expect("a step");
    assert_eq!((step.id.as_str(), step.verb.as_str()), ("only", "create_process"));
    assert_eq!(change.reason.expect("a reason").code, "completed");
    let mut job = job_of("create_process", json!({"argv": ["/bin/false"]}));
    job["name"] = json!("other");
    let second = api.submit(host, job).await;
    let mut of_one = Listener::open(
        &api,
        &format!("{JOBS}?job={second}&after={}", other.placed().await),
        None,
    )
    .await;
    assert_eq!(
        other.states(second).await.first().map(String::as_str),
        Some("queued")
    );
    assert_eq!(
        of_one.states(second).await.first().map(String::as_str),
        Some("queued")
    );
}

#[tokio::test]
async fn who_lost_its_connection_goes_on_and_who_lost_the_server_is_told_of_a_gap() {
    let site = Site::new().await;
    let mut server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let api = server.api();
    let mut listener = Listener::open(&api, JOBS, None).await;
    let begin = listener.placed().await;
    let first = api.run(host, quick()).await.job_id;
    let states = listener.states(first).await;
    let end = listener.placed().await;
    let mut again = Listener::open(&api, JOBS, Some(&begin)).await;
    assert_eq!(again.states(first).await, states, "nothing is left out");
    let mut later = Listener::open(&api, JOBS, Some(&end)).await;
    let second = api.submit(host, quick()).await;
    assert_eq!(later.job().await.job_id, second, "nothing comes twice");

    assert!(
        server.terminate().await.success(),
        "a stream does not keep a server from ending"
    );
    server.spawn();
    server.ready().await;
    let mut listener = Listener::open(&api, JOBS, Some(&end)).await;
    assert_eq!(listener.gap().await, ChangeGap { missed: None });
    api.attached(host, true).await;
    let third = api.submit(host, quick()).await;
    assert_eq!(listener.states(third).await, ["queued", "running", "succeeded"]);
}

#[tokio::test]
async fn hosts_are_told_as_they_are_and_then_as_they_change() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let api = server.api();
    let mut first = AgentProcess::start(&site, &server, "a").await;
    let first = (first.host_id().await, &mut first);
    let mut every = Listener::open(&api, HOSTS, None).await;
    let mut dmz = Listener::open(&api, &format!("{HOSTS}?label=dmz"), None).await;
    let present = every.host().await;
    assert_eq!(
        (present.change.as_str(), present.host.host_id),
        ("present", first.0)
    );
    assert_eq!(present.host.attachments.len(), 1);
    assert_eq!(every.ready().await, 1);
    assert_eq!(dmz.ready().await, 0);

    let mut second = AgentProcess::start(&site, &server, "b").await;
    let host = second.host_id().await;
    assert_eq!(every.happened(host).await, ("enrolled", false));
    let attached = every.host().await;
    assert_eq!(attached.change.as_str(), "attached");
    assert_eq!(attached.host.attachments.len(), 1);
    assert!(!attached.host.agent_version.is_empty());
    label(&api, host, json!({"add": ["dmz"]})).await;
    let labelled = every.host().await;
    assert_eq!(
        (labelled.change.as_str(), labelled.host.labels),
        ("labelled", vec!["dmz".to_owned()])
    );
    label(&api, first.0, json!({"add": ["rack-7"]})).await;
    assert_eq!(every.happened(first.0).await, ("labelled", false));
    label(&api, host, json!({"remove": ["dmz"]})).await;
    assert_eq!(every.happened(host).await, ("labelled", false));
    assert_eq!(dmz.happened(host).await, ("labelled", false));
    assert_eq!(
        dmz.happened(host).await,
        ("labelled", true),
        "it is none of them any more"
    );

    second.kill();
    let detached = every.host().await;
    assert_eq!(
        (detached.change.as_str(), detached.host.attachments.len()),
        ("detached", 0)
    );
    let forget = api
        .request(Method::DELETE, &format!("/v1/hosts/{host}"))
        .send()
        .await;
    assert_eq!(forget.expect("an answer").status(), 200);
    assert_eq!(every.happened(host).await, ("forgotten", true));
    first.1.kill();
    assert_eq!(every.happened(first.0).await, ("detached", false));
}

async fn label(api: &Api, host: HostId, change: Value) {
    let path = format!("/v1/hosts/{host}/labels");
    let answer = api.request(Method::PATCH, &path).json(&change).send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
}

/// A command that goes on until it is dropped.
fn command(site: &Site, server: &Server, name: &'static str, arguments: &[&str]) -> Process {
    let mut command = clean(Command::new(env!("CARGO_BIN_EXE_tripline")));
    let (data_dir, url) = (server.data_dir(), server.url());
    command
        .arg("--data-dir")
        .arg(data_dir)
        .args(["--server", &url])
        .args(arguments);
    let mut process = Process::new(name, site.path(name));
    process.spawn(command);
    process
}

#[tokio::test]
async fn the_command_line_shows_changes_over_a_restart_of_the_server() {
    let site = Site::new().await;
    let mut server = Server::start(&site, &[]).await;
    let jobs = command(&site, &server, "jobs", &["job", "watch", "--state", "succeeded"]);
    let hosts = command(&site, &server, "hosts", &["host", "watch", "--output", "json"]);
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    hosts.says("\"attached\"").await;
    let changes: Vec<HostChange> = hosts
        .log()
        .lines()
        .map(|line| serde_json::from_str(line).expect("a change"))
        .collect();
    assert!(changes.iter().all(|change| change.host.host_id == host));
    eventually("the stream of jobs has begun", async || {
        let metrics = server.api().try_get("/metrics").await?;
        let text = metrics.body.as_str()?;
        text.contains("tripline_http_event_streams{of=\"jobs\"} 1")
            .then_some(())
    })
    .await;
    let first = server.api().run(host, quick()).await.job_id;
    jobs.says(&first.to_string()[..8]).await;
    assert!(jobs.log().contains("succeeded test on"), "{}", jobs.log());
    assert!(!jobs.log().contains("running"), "{}", jobs.log());
    assert!(server.terminate().await.success());
    server.spawn();
    server.ready().await;
    server.api().attached(host, true).await;
    jobs.says("changes were missed here").await;
    let second = server.api().run(host, quick()).await.job_id;
    jobs.says(&second.to_string()[..8]).await;
}

#[tokio::test]
async fn a_token_of_one_org_hears_its_org_only_and_has_so_many_streams_of_all_kinds() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let admin = server.api();
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let acme = json!({"name": "v", "role": "viewer", "org": "acme"});
    let acme = admin.with_token(&admin.create_token(acme).await);
    let enrol = admin.with_token(&admin.enrol_token().await);
    for (caller, path, status) in [
        (&enrol, JOBS.to_owned(), 403),
        (&enrol, HOSTS.to_owned(), 403),
        (&admin.with_token("nonsense"), HOSTS.to_owned(), 401),
        (&acme, format!("{JOBS}?org=other"), 403),
        (&acme, format!("{JOBS}?host={host}"), 404),
        (&acme, format!("{JOBS}?state=done"), 400),
        (&acme, format!("{JOBS}?after=7"), 400),
        (&acme, format!("{HOSTS}?org=other"), 403),
        (&acme, format!("{HOSTS}?seen_within=1h"), 400),
    ] {
        assert_eq!(caller.get(&path).await.status, status, "{path}");
    }
    let mut jobs = Listener::open(&acme, JOBS, None).await;
    let mut hosts = Listener::open(&acme, HOSTS, None).await;
    assert_eq!(hosts.ready().await, 0);
    admin.run(host, quick()).await;
    let token = admin
        .create_token(json!({"name": "agent", "role": "enrol", "org": "acme"}))
        .await;
    let mut own = AgentProcess::prepare(&site, &server.url(), &token, "acme");
    own.spawn();
    let own = own.host_id().await;
    assert_eq!(hosts.happened(own).await, ("enrolled", false));
    let job = admin.submit(own, quick()).await;
    assert_eq!(jobs.job().await.job_id, job, "the first that it hears");
    let mut streams = Vec::new();
    for path in [JOBS, HOSTS, "/v1/events"].into_iter().cycle().take(14) {
        streams.push(Listener::open(&acme, path, None).await);
    }
    for path in [JOBS, HOSTS, "/v1/events"] {
        let refused = acme.get(path).await;
        assert_eq!(
            (refused.status, refused.code()),
            (429, "too_many_streams"),
            "{path}"
        );
    }
}

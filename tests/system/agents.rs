//! Agents that come, go, die and misbehave.

use crate::harness::{
    AgentProcess, Server, SimulatedAgent, Site, eventually, job_of, tripline, until, wait_at,
};
use serde_json::json;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tripline_protocol::HostId;
use tripline_protocol::job::{JobState, Outcome};

async fn scene(site: &Site, settings: &[(&str, &str)]) -> (Server, AgentProcess, HostId) {
    let server = Server::start(site, settings).await;
    let mut agent = AgentProcess::start(site, &server, "a").await;
    let host = agent.host_id().await;
    (server, agent, host)
}

fn lines(path: &std::path::Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

#[tokio::test]
async fn a_wrong_key_and_a_used_up_token_are_refused() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let api = server.api();
    let token = api
        .create_token(json!({"name": "once", "role": "enrol", "uses": 1}))
        .await;
    let mut agent = SimulatedAgent::enrol(&server, &token, "first").await;
    let mut late = AgentProcess::prepare(&site, &server.url(), &token, "late");
    late.spawn();
    let status = late.process().end().await;
    assert_eq!(status.code(), Some(3), "{}", late.process().log());
    agent.attach().await;
    let mut impostor = SimulatedAgent::enrol(&server, &api.enrol_token().await, "second").await;
    impostor.set_key("tla_0000");
    assert_eq!(impostor.open().await, Err(401));
    let hosts = api.get("/v1/hosts").await.body["items"]
        .as_array()
        .expect("hosts")
        .len();
    assert_eq!(hosts, 2, "nobody else got in");
}

#[tokio::test]
async fn an_agent_whose_key_was_revoked_stops_and_stays_out() {
    let site = Site::new().await;
    let (server, mut agent, host) = scene(&site, &[]).await;
    let name = host.to_string();
    let ran = tripline(server.data_dir(), &["host", "revoke", &name]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let status = agent.process().end().await;
    assert_eq!(status.code(), Some(3), "{}", agent.process().log());
    server.api().attached(host, false).await;
    agent.spawn();
    let status = agent.process().end().await;
    assert_eq!(status.code(), Some(3), "{}", agent.process().log());
}

#[tokio::test]
async fn a_frame_too_large_closes_the_channel_with_its_reason() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let token = server.api().enrol_token().await;
    let mut agent = SimulatedAgent::enrol(&server, &token, "loud").await;
    agent.attach().await;
    let host = agent.host_id;
    agent
        .say_text(format!(
            "{{\"type\": \"ping\", \"x\": {:?}}}",
            "x".repeat(1100 * 1024)
        ))
        .await;
    let bye = agent.hear().await.expect("a last word");
    assert_eq!(
        (&bye["type"], &bye["reason"]),
        (&json!("bye"), &json!("protocol_error"))
    );
    let close = agent.hear().await.expect_err("the end").expect("a close frame");
    assert_eq!(close.code, CloseCode::Size);
    server.api().attached(host, false).await;
    server.readiness(200).await;
}

#[tokio::test]
async fn a_job_for_an_absent_host_says_so_and_runs_when_it_comes() {
    let site = Site::new().await;
    let (server, mut agent, host) = scene(&site, &[]).await;
    let api = server.api();
    agent.kill();
    api.attached(host, false).await;
    let job_id = api.submit(host, job_of("list_processes", json!({}))).await;
    let waiting = api.job(job_id).await.waiting.expect("it waits");
    assert_eq!(
        (waiting.reason.code.as_str(), waiting.position),
        ("host_offline", 1)
    );
    agent.spawn();
    assert_eq!(api.ended(job_id).await.state, JobState::Ended(Outcome::Succeeded));
}

#[tokio::test]
async fn a_changing_command_whose_agent_died_is_interrupted_and_not_run_again() {
    let site = Site::new().await;
    let (server, mut agent, host) = scene(&site, &[]).await;
    let api = server.api();
    let (begun, gate) = (site.path("begun"), site.write("gate", ""));
    let job_id = api
        .submit(host, job_of("create_process", wait_at(&begun, &gate)))
        .await;
    let after = api.submit(host, job_of("list_processes", json!({}))).await;
    until("the command runs", || lines(&begun) == 1).await;
    agent.kill();
    agent.spawn();
    let job = api.ended(job_id).await;
    assert_eq!(job.state, JobState::Ended(Outcome::Interrupted), "{job:?}");
    assert_eq!(api.ended(after).await.state, JobState::Ended(Outcome::Succeeded));
    assert_eq!(lines(&begun), 1);
    assert_eq!(
        server.outside().await.result(job_id).await.outcome,
        Outcome::Interrupted
    );
    api.all_slots_free().await;
}

#[tokio::test]
async fn a_job_whose_agent_does_not_come_back_ends_and_its_slot_is_free() {
    let site = Site::new().await;
    let (server, mut agent, host) = scene(&site, &[("session.reconnect_grace", "1s")]).await;
    let api = server.api();
    let (begun, gate) = (site.path("begun"), site.write("gate", ""));
    let job_id = api
        .submit(host, job_of("create_process", wait_at(&begun, &gate)))
        .await;
    until("the command runs", || lines(&begun) == 1).await;
    agent.kill();
    let job = api.ended(job_id).await;
    assert_eq!(job.state, JobState::Ended(Outcome::Interrupted), "{job:?}");
    api.all_slots_free().await;
    std::fs::remove_file(gate).expect("to open the gate");
}

#[tokio::test]
async fn a_command_that_runs_while_the_server_is_killed_is_adopted() {
    let site = Site::new().await;
    let (mut server, _agent, host) = scene(&site, &[]).await;
    let (begun, gate) = (site.path("begun"), site.write("gate", ""));
    let job_id = server
        .api()
        .submit(host, job_of("create_process", wait_at(&begun, &gate)))
        .await;
    until("the command runs", || lines(&begun) == 1).await;
    server.crash().await;
    let api = server.api();
    api.attached(host, true).await;
    assert_eq!(api.job(job_id).await.state.outcome(), None);
    std::fs::remove_file(gate).expect("to open the gate");
    let job = api.ended(job_id).await;
    assert_eq!(job.state, JobState::Ended(Outcome::Succeeded), "{job:?}");
    assert_eq!(lines(&begun), 1);
    server.outside().await.result(job_id).await;
}

#[tokio::test]
async fn every_job_ends_within_its_own_limits() {
    let site = Site::new().await;
    let (server, mut agent, host) = scene(&site, &[]).await;
    let api = server.api();
    let (begun, gate) = (site.path("begun"), site.write("gate", ""));
    let mut endless = job_of("create_process", wait_at(&begun, &gate));
    endless["timeout"] = json!("2s");
    let job = api.run(host, endless).await;
    assert_eq!(job.state, JobState::Ended(Outcome::TimedOut), "{job:?}");
    let pid = std::fs::read_to_string(&begun).expect("it ran");
    until("the program is gone", || {
        !std::path::Path::new("/proc").join(pid.trim()).exists()
    })
    .await;

    agent.kill();
    api.attached(host, false).await;
    let mut patient = job_of("list_processes", json!({}));
    patient["expires"] = json!("1s");
    let job = api.run(host, patient).await;
    assert_eq!(job.state, JobState::Ended(Outcome::Expired), "{job:?}");
    let job_id = api.submit(host, job_of("list_processes", json!({}))).await;
    assert_eq!(
        api.post(&format!("/v1/jobs/{job_id}/cancel"), &json!({}))
            .await
            .status,
        200
    );
    assert_eq!(api.ended(job_id).await.state, JobState::Ended(Outcome::Cancelled));
    let outside = server.outside().await;
    eventually("three results", async || {
        (outside.results().await.len() == 3).then_some(())
    })
    .await;
}

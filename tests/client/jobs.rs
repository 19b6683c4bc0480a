//! Jobs on real hosts: those that the client runs, and those that the server runs.

use crate::harness::scripted::Persona;
use crate::harness::{eventually, until};
use crate::scene::{Scene, content, on_host};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tripline_client::{Client, Error, FaultClass, Job, JobSpec, JobState, Outcome, RegistryValue, Session};

async fn host_and_processes(session: &Session) -> Result<(String, usize), Error> {
    let processes = session.list_processes().await?.processes;
    Ok((session.host().hostname.clone(), processes.len()))
}

/// All sessions there were, by host: how many, and how many are open.
async fn sessions(scene: &Scene) -> BTreeMap<String, (usize, usize)> {
    let listed = scene.api().get("/v1/sessions?limit=1000").await.body;
    let mut sessions: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for session in listed["items"].as_array().expect("a list") {
        let host = session["host"]["hostname"].as_str().expect("a name");
        let (all, open) = sessions.entry(host.to_owned()).or_default();
        *all += 1;
        *open += usize::from(session["state"] != "closed");
    }
    sessions
}

#[tokio::test]
async fn jobs_run_on_more_hosts_than_there_are_slots_in_one_session_each() {
    let scene = Scene::start_with(&[("slots.total", "5")], 0).await;
    let names: Vec<String> = (0..12).map(|number| format!("pc{number:02}")).collect();
    let mut agents = Vec::new();
    for name in &names {
        agents.push(scene.scripted(Persona::linux(name)).await);
    }
    let mut jobs = Vec::new();
    for _ in 0..5 {
        for name in &names {
            jobs.push((name, scene.client.submit_job(host_and_processes, name)));
        }
    }
    for (name, job) in jobs {
        let (hostname, processes) = job.await.expect("done");
        assert_eq!(&hostname, name);
        assert!(processes > 0);
    }
    scene.client.jobs().drain().await;
    let sessions = sessions(&scene).await;
    assert_eq!(sessions.len(), 12);
    for (host, counted) in sessions {
        assert_eq!(counted, (1, 0), "{host}");
    }
    scene.api().all_slots_free().await;
}

#[tokio::test]
async fn what_jobs_bring_and_why_they_do_not_reaches_their_own_handles() {
    let mut scene = Scene::start().await;
    let host = scene.host(0).await;
    let client = &scene.client;
    let found = scene.path("found");
    std::fs::write(&found, "content").expect("written");
    let (there, missing) = (on_host(&found), on_host(&scene.path("missing")));
    let works = client.submit_job(
        async move |session: &Session| session.get_file(there).to_bytes().await,
        &host,
    );
    let fails = client.submit_job(
        async move |session: &Session| session.get_file(missing).to_bytes().await,
        &host,
    );
    let panics = client.submit_job(
        async |_: &Session| -> Result<(), Error> { panic!("on purpose") },
        &host,
    );
    let last = client.submit_job(host_and_processes, host.id());
    let nobody = client.submit_job(host_and_processes, "nobody");
    assert_eq!(works.await.expect("done"), b"content");
    let error = fails.await.expect_err("it is missing");
    assert_eq!(
        (error.class(), error.code()),
        (FaultClass::LiveResponse, "ENOENT")
    );
    assert_eq!(panics.await.expect_err("it panicked").code(), "job_panicked");
    assert!(last.await.expect("done").1 > 0);
    assert_eq!(nobody.await.expect_err("no such host").code(), "not_found");
    client.jobs().shutdown().await;
    let refused = client.submit_job(host_and_processes, host.id()).await;
    assert_eq!(refused.expect_err("shut down").code(), "jobs_shut_down");
    assert_eq!(sessions(&scene).await.values().collect::<Vec<_>>(), [&(1, 0)]);
}

#[tokio::test]
async fn a_session_that_somebody_closed_is_opened_anew_for_the_next_job() {
    let mut scene = Scene::start().await;
    let host = scene.host(0).await;
    let api = scene.api();
    let closed = async move |session: &Session| {
        let path = format!("/v1/sessions/{}", session.id());
        let answer = api.request(reqwest::Method::DELETE, &path).send().await;
        assert_eq!(answer.expect("an answer").status(), 200);
        host_and_processes(session).await
    };
    let closed = scene.client.submit_job(closed, &host);
    let next = scene.client.submit_job(host_and_processes, &host);
    assert_eq!(closed.await.expect_err("it is closed").code(), "session_ended");
    assert!(next.await.expect("done").1 > 0);
}

#[tokio::test]
async fn a_job_that_is_cancelled_ends_its_command_on_the_host() {
    let mut scene = Scene::start().await;
    let host = scene.host(0).await;
    let (begun, gate) = (scene.path("begun"), scene.site.write("gate", ""));
    let (on_host_begun, on_host_gate) = (on_host(&begun), on_host(&gate));
    let job = scene.client.submit_job(
        async move |session: &Session| {
            let script = r#"echo $$ > "$0"; while [ -e "$1" ]; do sleep 0.05; done"#;
            let words = [
                "/bin/sh".into(),
                "-c".into(),
                script.into(),
                on_host_begun,
                on_host_gate,
            ];
            session.create_process::<tripline_client::RemotePath>(words).await
        },
        &host,
    );
    until("the command runs", || {
        std::fs::read_to_string(&begun).is_ok_and(|pid| pid.ends_with('\n'))
    })
    .await;
    job.cancel();
    assert_eq!(job.await.expect_err("cancelled").code(), "job_cancelled");
    let pid = std::fs::read_to_string(&begun).expect("a pid");
    let process = std::path::PathBuf::from(format!("/proc/{}", pid.trim()));
    until("the process has ended", || !process.exists()).await;
    let next = scene.client.submit_job(host_and_processes, &host);
    assert!(next.await.expect("done").1 > 0);
}

struct GetRegistryValue(&'static str);

impl Job for GetRegistryValue {
    type Output = RegistryValue;
    type Error = Error;

    async fn run(&self, session: &Session) -> Result<RegistryValue, Error> {
        session.get_registry_value(self.0).await
    }
}

#[tokio::test]
async fn a_job_that_is_a_type_runs_like_any_other() {
    let scene = Scene::start_with(&[], 0).await;
    let _agent = scene.scripted(Persona::windows("win01")).await;
    let written = scene.client.submit_job(
        async |session: &Session| {
            session.create_registry_key(r"HKLM\Software\Acme").await?;
            session.set_registry_value(r"HKLM\Software\Acme\Level", 7).await
        },
        "win01",
    );
    let read = scene
        .client
        .submit_job(GetRegistryValue(r"HKLM\Software\Acme\Level"), "win01");
    written.await.expect("written");
    assert_eq!(read.await.expect("read").value_data, json!(7));
}

fn spec(steps: Value) -> JobSpec {
    serde_json::from_value(json!({"name": "test", "steps": steps})).expect("a job")
}

#[tokio::test]
async fn a_job_of_the_server_is_watched_and_brings_what_it_fetched() {
    let mut scene = Scene::start().await;
    let host = scene.host(0).await;
    let file = scene.path("file");
    std::fs::write(&file, content(300_000)).expect("written");
    let job = spec(json!([{"list_processes": {}}, {"get_file": {"path": file}}]));
    let job = scene.client.run_job(&host, job).await.expect("submitted");
    let mut changes = job.watch();
    let mut states = Vec::new();
    while let Some(change) = changes.next_change().await {
        states.push(change.expect("a change").state);
    }
    assert_eq!(states.last(), Some(&JobState::Ended(Outcome::Succeeded)));
    let ended = job.result().await.expect("it succeeded");
    let artifact = ended.steps[1].artifact.as_ref().expect("a content");
    assert!(job.download(artifact).to_bytes().await.expect("fetched") == content(300_000));
    let again = scene.client.server_job(job.id()).await.expect("the job");
    assert_eq!(
        again.cancel().await.expect_err("it has ended").code(),
        "job_ended"
    );

    let missing = spec(json!([{"get_file": {"path": scene.path("missing")}}]));
    let job = scene.client.run_job("nobody", missing.clone()).await;
    assert_eq!(job.expect_err("no such host").code(), "not_found");
    let job = scene.client.run_job(host.id(), missing).await.expect("submitted");
    assert_eq!(job.result().await.expect_err("it is missing").code(), "ENOENT");
    let viewer = scene.client_as("viewer").await;
    let refused = viewer
        .run_job(host.id(), spec(json!([{"list_processes": {}}])))
        .await;
    assert_eq!(refused.expect_err("it only reads").code(), "forbidden");
}

const NAMED: &str = "name: list\nparams:\n  path: { type: string, required: true }\nsteps:\n  \
                     - list_directory: { path: \"{{ params.path }}\" }\n";

#[tokio::test]
async fn a_named_job_takes_parameters_and_one_that_waits_can_be_cancelled() {
    let jobs = tempfile::tempdir().expect("a folder");
    std::fs::write(jobs.path().join("list.yaml"), NAMED).expect("written");
    let folder = jobs.path().to_str().expect("text");
    let mut scene = Scene::start_with(&[("jobs.dir", folder)], 1).await;
    let host = scene.host(0).await;
    let client: &Client = &scene.client;
    let job = client.run_named_job(&host, "list").param("path", folder).await;
    let ended = job.expect("submitted").result().await.expect("it succeeded");
    let listed = &ended.steps[0].output.as_ref().expect("an output")["files"];
    assert_eq!(listed[0]["filename"], "list.yaml");
    let wrong = client.run_named_job(&host, "list").param("pfad", folder).await;
    assert_eq!(
        wrong.expect_err("no such parameter").class(),
        FaultClass::Unsupported
    );

    let host_id = host.id();
    scene.agents[0].kill();
    scene.api().attached(host_id, false).await;
    let job = scene
        .client
        .run_named_job(host_id, "list")
        .param("path", folder)
        .await;
    let job = job.expect("submitted");
    assert_eq!(
        job.cancel().await.expect("cancelled").state,
        JobState::Ended(Outcome::Cancelled)
    );
    assert_eq!(
        job.result().await.expect_err("cancelled").class(),
        FaultClass::Server
    );
    eventually("nothing is open", async || {
        let jobs = scene.api().jobs().await;
        jobs.iter().all(|job| job.state.outcome().is_some()).then_some(())
    })
    .await;
}

//! Rules that change while the server runs, and jobs that are submitted wrongly.

use crate::harness::{AgentProcess, Server, Site, cloud_event, eventually, job_of_event};
use rustix::process::Signal;
use serde_json::{Value, json};
use tripline_protocol::job::{JobState, Outcome};

const GOOD: &str = "name: look\non: [look]\njob:\n  steps:\n    - list_directory: { path: /proc/self }\n";
const SUCCEEDED: JobState = JobState::Ended(Outcome::Succeeded);
const TYPO: &str = "name: other\non: [other]\njob:\n  stepz:\n    - list_processes: {}\n";

async fn pipelines(server: &Server) -> Value {
    server.api().get("/v1/pipelines").await.body
}

#[tokio::test]
async fn a_typo_in_a_changed_rule_keeps_the_last_good_set_in_force_and_is_told() {
    let site = Site::new().await;
    site.write("pipelines/look.yaml", GOOD);
    let folder = site.path("pipelines");
    let server = Server::start(&site, &[("pipelines.dir", folder.to_str().expect("UTF-8"))]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;

    site.write("pipelines/other.yaml", TYPO);
    let refused = eventually("the new set is refused", async || {
        pipelines(&server).await["refused"].as_str().map(str::to_owned)
    })
    .await;
    assert!(
        refused.contains("other.yaml:4") && refused.contains("stepz"),
        "{refused}"
    );
    let names = |view: &Value| -> Vec<String> {
        let list = view["pipelines"].as_array().expect("a list");
        list.iter()
            .map(|one| one["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    assert_eq!(names(&pipelines(&server).await), ["look"]);
    let outside = server.outside().await;
    outside
        .publish("look", &cloud_event("1", "look", host, json!({})))
        .await;
    let job = server
        .api()
        .ended(job_of_event("system-test", "1", "look", host))
        .await;
    assert_eq!(job.state, JobState::Ended(Outcome::Succeeded));

    site.write("pipelines/other.yaml", TYPO.replace("stepz", "steps"));
    eventually("the repaired set is in force", async || {
        let view = pipelines(&server).await;
        (view["refused"].is_null() && names(&view) == ["look", "other"]).then_some(())
    })
    .await;
}

/// Where a file is cut: within the name of a verb, and within a step.
const CUTS: [&str; 2] = ["list_dir", "- id: second"];
const LONG: &str = "name: long\non: [long]\njob:\n  steps:\n    - id: first\n      list_directory: { path: /proc/self }\n    \
                    - id: second\n      list_processes: {}\n  expires: 1h\n";

#[tokio::test]
async fn a_file_half_written_while_the_folder_is_loaded_changes_nothing_until_it_is_whole() {
    let site = Site::new().await;
    site.write("pipelines/look.yaml", GOOD);
    let folder = site.path("pipelines");
    let mut server = Server::start(&site, &[("pipelines.dir", folder.to_str().expect("UTF-8"))]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let outside = server.outside().await;
    let before = pipelines(&server).await["pipelines"].clone();
    for (number, cut) in CUTS.iter().enumerate() {
        let end = LONG.find(cut).expect("it is there") + 4;
        site.write("pipelines/long.yaml", &LONG[..end]);
        server.process().signal(Signal::HUP);
        let refused = eventually("the half is refused", async || {
            let view = pipelines(&server).await;
            view["refused"].as_str().map(str::to_owned)
        })
        .await;
        assert!(refused.contains("long.yaml:"), "{refused}");
        assert_eq!(pipelines(&server).await["pipelines"], before, "cut at {cut}");
        let id = format!("during-{number}");
        outside
            .publish("look", &cloud_event(&id, "look", host, json!({})))
            .await;
        let job = job_of_event("system-test", &id, "look", host);
        assert_eq!(server.api().ended(job).await.state, SUCCEEDED);
        site.write("pipelines/long.yaml", LONG);
        eventually("the whole is in force", async || {
            let view = pipelines(&server).await;
            let count = view["pipelines"].as_array().map(Vec::len);
            (view["refused"].is_null() && count == Some(2)).then_some(())
        })
        .await;
        std::fs::remove_file(site.path("pipelines/long.yaml")).expect("removed");
        eventually("it is gone", async || {
            (pipelines(&server).await["pipelines"] == before).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_bad_submission_is_a_problem_that_names_what_is_wrong_and_changes_nothing() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let api = server.api();
    let step = |step: Value| json!({"host": host, "job": {"name": "bad", "steps": [step]}});
    let cases = [
        (
            json!({"host": "nobody", "job": {"name": "x", "steps": [{"list_processes": {}}]}}),
            404,
            "nobody",
        ),
        (step(json!({"kill_process": {"pid": "seven"}})), 422, "pid"),
        (
            step(json!({"delete_file": {"path": "/x", "force": true}})),
            422,
            "force",
        ),
        (step(json!({"lst_processes": {}})), 400, "lst_processes"),
        (
            json!({"host": host, "job": {"name": "bad", "steps": []}}),
            422,
            "step",
        ),
        (json!({"host": host, "named": "nothing"}), 404, "nothing"),
        (json!({"host": host}), 422, "job"),
    ];
    for (request, status, word) in cases {
        let answer = api.post("/v1/jobs", &request).await;
        assert_eq!(answer.status, status, "{request}: {answer:?}");
        let detail = answer.body["detail"].as_str().expect("a detail");
        assert!(detail.contains(word), "{request}: {detail}");
        assert!(!answer.code().is_empty(), "{answer:?}");
    }
    assert_eq!(api.jobs().await.len(), 0);
}

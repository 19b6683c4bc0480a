//! `let` on its way: from the event into the job's record, where it outlives the server.

use crate::events::{delivery, jobs, listening};
use crate::fixture::{Fixture, list};
use serde_json::{Value, json};
use tripline_actors::store::Table;
use tripline_protocol::JobId;

const NAMED: &str = "name: named\non: [acme.alert]\nlet: { pid: \"{{ event.data.pid }}\" }\njob:\n  let: { who: \"{{ event.data.who | lower }} {{ vars.pid }}\" }\n  steps: [ create_process: { argv: [echo, \"{{ vars.who }}\"] } ]\n";

fn record(fixture: &Fixture, job_id: JobId) -> Value {
    let row = fixture.store.get(Table::Job, job_id.as_bytes()).unwrap();
    serde_json::from_slice(&row.unwrap()).unwrap()
}

#[actix::test]
async fn the_values_of_let_are_in_the_arguments_and_in_the_jobs_record() {
    let (fixture, host_id) = listening(vec![NAMED]).await;
    let data = json!({ "host_id": host_id, "pid": 42, "who": "AMELIE" });
    fixture
        .core
        .ingest(vec![delivery(&fixture, 1, "e1", data)])
        .await
        .unwrap();
    let job_id = jobs(&fixture).await[0].job_id;
    let fixture = fixture.restart().await;
    let record = record(&fixture, job_id);
    assert_eq!(record["vars"], json!({ "pid": 42, "who": "amelie 42" }));
    let argv = &record["steps"][0]["create_process"]["argv"];
    assert_eq!(argv, &json!(["echo", "amelie 42"]));
}

#[actix::test]
async fn a_job_without_let_keeps_none() {
    let fixture = Fixture::start();
    let host_id = fixture.enrol("amelie").await.host_id;
    let job = fixture.submit(host_id, vec![list()]).await;
    assert_eq!(record(&fixture, job.job_id).get("vars"), None);
}

#[actix::test]
async fn a_value_that_the_event_lacks_is_a_dead_letter_and_no_job() {
    let (fixture, host_id) = listening(vec![NAMED]).await;
    let event = delivery(&fixture, 1, "e1", json!({ "host_id": host_id, "pid": 42 }));
    fixture.core.ingest(vec![event]).await.unwrap();
    let letters = fixture.published(".dead.default.missing_field", 1).await;
    let text = letters[0]
        .headers
        .iter()
        .find(|(name, _)| name == "Tripline-Dead-Text");
    let expected = "pipeline named: pipeline named, let who: {{ event.data.who | lower }} has no value";
    assert_eq!(text.map(|(_, text)| text.as_str()), Some(expected));
    assert_eq!(jobs(&fixture).await, []);
}

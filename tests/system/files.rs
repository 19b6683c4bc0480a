//! Files from hosts and to hosts.

use crate::harness::{AgentProcess, Server, Site, job_of, tripline};
use reqwest::Method;
use reqwest::header::{CONTENT_RANGE, RANGE};
use serde_json::{Value, json};
use sha2::Digest;
use tripline_protocol::Sha256;
use tripline_protocol::job::{JobState, Outcome};

const BYTES: usize = 20 << 20;

/// Content in which no part is like another.
fn content() -> Vec<u8> {
    (0..BYTES / 8)
        .flat_map(|number| ((number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes())
        .collect()
}

#[tokio::test]
async fn a_large_file_is_fetched_whole_read_in_parts_and_put_back() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let api = server.api();
    let content = content();
    let file = site.write("large", &content);
    let digest = Sha256::from_digest(&sha2::Sha256::digest(&content).into());

    let job = api.run(host, job_of("get_file", json!({"path": file}))).await;
    assert_eq!(job.state, JobState::Ended(Outcome::Succeeded), "{job:?}");
    let artifact = job.steps[0].artifact.as_ref().expect("an artifact");
    assert_eq!((&artifact.sha256, artifact.bytes), (&digest, BYTES as u64));
    assert_eq!(artifact.name, "large");

    let path = format!("/v1/jobs/{}/artifacts/{digest}", job.job_id);
    let whole = api.request(Method::GET, &path).send().await.expect("an answer");
    assert_eq!(whole.status(), 200);
    assert!(
        whole.bytes().await.expect("all of it") == content,
        "what was fetched is what was there"
    );
    let middle = BYTES / 2;
    let range = format!("bytes={middle}-{}", middle + 99);
    let part = api
        .request(Method::GET, &path)
        .header(RANGE, range)
        .send()
        .await
        .expect("an answer");
    assert_eq!(part.status(), 206);
    let expected = format!("bytes {middle}-{}/{BYTES}", middle + 99);
    assert_eq!(part.headers()[CONTENT_RANGE], expected);
    assert_eq!(part.bytes().await.expect("a part"), content[middle..middle + 100]);

    let copy = site.path("copy");
    let job = api
        .run(
            host,
            job_of("put_file", json!({"path": copy, "artifact": digest})),
        )
        .await;
    assert_eq!(job.state, JobState::Ended(Outcome::Succeeded), "{job:?}");
    assert!(
        std::fs::read(&copy).expect("the copy") == content,
        "what was put is what was fetched"
    );
}

#[tokio::test]
async fn the_files_of_a_job_are_written_into_a_folder_under_names_that_its_host_cannot_choose() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let (first, second) = (site.write("one\nfile", b"1"), site.write("two", b"22"));
    let job = json!({"name": "collect", "steps": [
        {"id": "one", "get_file": {"path": first}},
        {"id": "look", "list_processes": {}},
        {"id": "two", "get_file": {"path": second}},
    ]});
    let job = server.api().run(host, job).await;
    let (id, folder) = (job.job_id.to_string(), site.path("evidence/of it"));
    let folder = folder.to_str().expect("UTF-8");
    let fetch = async |more: &[&str]| {
        let arguments = [&["job", "fetch", &id, folder], more].concat();
        tripline(server.data_dir(), &arguments).await
    };

    let unknown = fetch(&["--step", "three"]).await;
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(unknown.stderr.contains("one, look, two"), "{unknown:?}");
    let none = fetch(&["--step", "look"]).await;
    assert_eq!(none.code, 1, "{none:?}");
    let two = fetch(&["--step", "two", "--output", "json"]).await;
    let written: Value = serde_json::from_str(&two.stdout).expect("JSON");
    assert_eq!(
        (&written[0]["step"], &written[0]["bytes"]),
        (&json!("two"), &json!(2))
    );

    // One that is in the way stops all of it, before anything is written.
    let in_the_way = fetch(&[]).await;
    assert_eq!(in_the_way.code, 2, "{in_the_way:?}");
    assert!(in_the_way.stderr.contains("--force"), "{in_the_way:?}");
    let names = || -> Vec<_> {
        let entries = std::fs::read_dir(folder).expect("the folder");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(), ["two-two"]);
    let all = fetch(&["--force"]).await;
    assert_eq!(all.code, 0, "{all:?}");
    assert_eq!(names(), ["one-one_file", "two-two"]);
    let content = std::fs::read(site.path("evidence/of it/one-one_file")).expect("the file");
    assert_eq!(content, b"1");
}

//! Files from hosts and to hosts.

use crate::harness::{AgentProcess, Server, Site, job_of};
use reqwest::Method;
use reqwest::header::{CONTENT_RANGE, RANGE};
use serde_json::json;
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

//! `get_resource`: so much in one answer, and so many answers with contents at once.

use crate::cloud::{Cloud, OID, SECRET, refused};
use crate::harness::eventually;
use crate::harness::scripted::{Content, Persona, ScriptedAgent};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tripline_service::sign;

/// All contents of one answer.
const BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Answers with contents at once.
const ANSWERS_MAX: usize = 4;

/// Names of artifacts of these sizes, of a job of the org.
async fn artifacts(cloud: &Cloud, sizes: &[u64]) -> Vec<String> {
    let api = cloud.server.api();
    let token = json!({ "name": "t", "role": "enrol", "org": OID });
    let token = api.create_token(token).await;
    let agent = ScriptedAgent::start(&cloud.server.url(), &token, Persona::linux("web-1")).await;
    let agent = agent.expect("an agent");
    let mut steps = Vec::new();
    for (number, bytes) in sizes.iter().enumerate() {
        let (path, bytes) = (format!("/{number}"), *bytes);
        let seed = u8::try_from(number).expect("few");
        let content = Content::Generated { seed, bytes };
        agent.machine().files.write(&path, content);
        steps.push(json!({ "get_file": { "path": path } }));
    }
    let job = api
        .run(agent.host_id(), json!({ "name": "fetch", "steps": steps }))
        .await;
    let of_step = |step: &tripline_protocol::step::StepReport| {
        let artifact = step.artifact.as_ref().expect("an artifact");
        format!("artifact/{}/{}", job.job_id, artifact.sha256)
    };
    job.steps.iter().map(of_step).collect()
}

fn asked(names: &[String]) -> Value {
    json!({ "resource": names, "is_include_data": true })
}

#[tokio::test]
async fn contents_are_handed_out_up_to_a_sum_and_hashes_of_whatever_size() {
    let cloud = Cloud::start().await;
    let names = artifacts(
        &cloud,
        &[BYTES_MAX / 2, BYTES_MAX - BYTES_MAX / 2, 1, BYTES_MAX + 1],
    )
    .await;
    let two = cloud.done("get_resource", "two", asked(&names[..2])).await;
    let lengths = |answer: &Value| -> Vec<usize> {
        let resources = answer["data"]["resources"].as_object().expect("resources");
        let lengths = resources
            .values()
            .map(|resource| resource["res_data"].as_str().map_or(0, str::len));
        lengths.collect()
    };
    assert_eq!(lengths(&two).iter().sum::<usize>() / 4 * 3 / 1024 / 1024, 8);
    let twice = [names[0].clone(), names[0].clone(), names[1].clone()];
    let twice = cloud.done("get_resource", "twice", asked(&twice)).await;
    assert_eq!(
        twice["data"], two["data"],
        "one content, however often it is named"
    );
    for (mid, names) in [("three", &names[..3]), ("large", &names[3..])] {
        let refused = cloud.tell("get_resource", mid, asked(names)).await;
        assert_eq!(refused["retry"], false, "{refused}");
        let error = refused["error"].as_str().expect("a text");
        assert!(error.contains("ask for fewer names"), "{error}");
        assert!(error.contains(&BYTES_MAX.to_string()), "{error}");
    }
    let hashes = json!({ "resource": names, "is_include_data": false });
    let hashes = cloud.done("get_resource", "hashes", hashes).await;
    assert_eq!(lengths(&hashes), [0; 4]);
}

#[tokio::test]
async fn so_many_names_are_asked_for_at_once() {
    let cloud = Cloud::start().await;
    let names = |count: usize| json!({ "resource": vec!["job/look"; count], "is_include_data": true });
    cloud.done("get_resource", "most", names(32)).await;
    let refused = cloud.tell("get_resource", "more", names(33)).await;
    assert_eq!(refused["retry"], false, "{refused}");
}

#[tokio::test]
async fn what_is_asked_for_is_an_object_and_no_list_of_its_values() {
    let cloud = Cloud::start().await;
    let object = json!({ "resource": "job/look", "is_include_data": true });
    cloud.done("get_resource", "object", object).await;
    let list = cloud
        .tell("get_resource", "list", json!(["job/look", true]))
        .await;
    assert_eq!(list, refused("data: must be an object"));
    let none = cloud.tell("get_resource", "none", json!(null)).await;
    assert_eq!(none, refused("data: must name a resource, or several"));
}

/// A call whose answer nobody reads; it is on its way.
async fn unread(cloud: &Cloud, mid: &str, data: Value) -> TcpStream {
    let body = Cloud::message("get_resource", mid, data).to_string();
    let at = cloud.server.url();
    let mut stream = TcpStream::connect(at.trim_start_matches("http://"))
        .await
        .expect("connected");
    let head = format!(
        "POST /lc HTTP/1.1\r\nHost: x\r\nlc-svc-sig: {}\r\nContent-Length: {}\r\n\r\n",
        sign(SECRET, body.as_bytes()),
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await.expect("sent");
    let mut first = [0; 15];
    stream.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    stream
}

#[tokio::test]
async fn so_many_answers_with_contents_are_on_their_way_at_once_and_another_comes_again() {
    let cloud = Cloud::start().await;
    // More than the buffers of a connection take.
    let names = artifacts(&cloud, &[BYTES_MAX]).await;
    let mut unreads = Vec::new();
    for number in 0..ANSWERS_MAX {
        unreads.push(unread(&cloud, &format!("u{number}"), asked(&names)).await);
    }
    let small = json!({ "resource": "job/look", "is_include_data": true });
    let refused = cloud.tell("get_resource", "m", small.clone()).await;
    assert_eq!(
        (&refused["success"], &refused["retry"]),
        (&json!(false), &json!(true))
    );
    let hash = json!({ "resource": "job/look", "is_include_data": false });
    cloud.done("get_resource", "h", hash).await;
    drop(unreads.pop());
    eventually("there is a place again", async || {
        let answer = cloud.tell("get_resource", "m", small.clone()).await;
        (answer["success"] == true).then_some(())
    })
    .await;
}

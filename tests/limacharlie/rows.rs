//! What else is known of transport, requests and etypes (facts, sections 1, 2, 4 and 5).

use crate::cloud::{Cloud, OID, SECRET, SID, detection, in_seconds, refused};
use crate::effects::linked;
use crate::harness::eventually;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tripline_protocol::limacharlie::{CALL_BYTES_MAX, ServiceEtype};
use tripline_service::sign;

/// A call in pieces, as who does not know its length beforehand sends it.
fn in_pieces(address: &str, signature: &str, pieces: &[&[u8]]) -> Vec<u8> {
    let mut request = format!(
        "POST /lc HTTP/1.1\r\nhost: {address}\r\nlc-svc-sig: {signature}\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for piece in pieces {
        request.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        request.extend(*piece);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    request
}

/// Status line and body of the next answer on the connection.
async fn answer(stream: &mut BufReader<TcpStream>) -> (String, String) {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert!(
            stream.read_line(&mut line).await.expect("an answer") > 0,
            "{lines:?}"
        );
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_lowercase()),
        }
    }
    let length = lines
        .iter()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
    stream.read_exact(&mut body).await.expect("a body");
    (lines[0].clone(), String::from_utf8(body).expect("UTF-8"))
}

#[tokio::test]
async fn a_call_in_pieces_is_taken_on_a_connection_that_is_kept_and_cut_off_where_it_is_too_long() {
    let cloud = Cloud::start().await;
    let address = cloud.server.url().trim_start_matches("http://").to_owned();
    let connect = async || TcpStream::connect(&address).await.expect("a connection");
    let body = Cloud::message("detection", "pieces", detection("mimikatz"))
        .to_string()
        .into_bytes();
    let (first, rest) = body.split_at(10);
    let request = in_pieces(&address, &sign(SECRET, &body), &[first, rest]);
    let mut stream = BufReader::new(connect().await);
    for _ in 0..2 {
        stream.write_all(&request).await.expect("to write");
        let (status, body) = answer(&mut stream).await;
        assert_eq!(status, "http/1.1 200 ok");
        assert!(body.contains("\"success\":true"), "{body}");
    }
    // The signature of such a body is looked at as that of any other.
    let wrong = in_pieces(&address, &sign(SECRET, first), &[first, rest]);
    let mut stream = BufReader::new(connect().await);
    stream.write_all(&wrong).await.expect("to write");
    assert_eq!(
        answer(&mut stream).await,
        ("http/1.1 401 unauthorized".to_owned(), String::new())
    );
    // One byte too many, and nothing after it: who closes a connection with something unread takes the answer back.
    let mut stream = BufReader::new(connect().await);
    let head = in_pieces(&address, "00", &[]);
    stream.write_all(&head[..head.len() - 5]).await.expect("to write");
    let piece = [
        format!("{:x}\r\n", 1 << 20).into_bytes(),
        vec![b'x'; 1 << 20],
        b"\r\n".to_vec(),
    ]
    .concat();
    for _ in 0..CALL_BYTES_MAX >> 20 {
        stream.write_all(&piece).await.expect("to write");
    }
    stream.write_all(b"1\r\nx").await.expect("to write");
    assert_eq!(answer(&mut stream).await.0, "http/1.1 413 payload too large");
    let events = eventually("its event", async || {
        Some(cloud.events().await).filter(|events| !events.is_empty())
    })
    .await;
    assert_eq!(events, ["detection pieces"], "once, and nothing of the others");
}

#[tokio::test]
async fn a_compressed_body_is_no_json_and_a_query_in_the_path_changes_nothing() {
    let cloud = Cloud::start().await;
    // {"etype":"health"}, compressed, as extensions get it and services do not.
    let compressed: [u8; 38] = [
        31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 74, 45, 169, 44, 72, 85, 178, 82, 202, 72, 77, 204, 41,
        201, 80, 170, 5, 0, 94, 184, 108, 75, 18, 0, 0, 0,
    ];
    let signature = sign(SECRET, &compressed);
    let headers = [("lc-svc-sig", signature.as_str()), ("content-encoding", "gzip")];
    let response = cloud.send(Method::POST, &headers, compressed.to_vec()).await;
    assert_eq!(response.status(), 400);
    let body = json!({ "etype": "health" }).to_string();
    let response = reqwest::Client::new()
        .post(format!("{}?version=1", cloud.url()))
        .header("lc-svc-sig", sign(SECRET, body.as_bytes()))
        .body(body);
    assert_eq!(response.send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn what_may_be_left_out_may_be_left_out() {
    let cloud = Cloud::start().await;
    let with = |field: &str, value: Value| {
        let mut call = Cloud::message("detection", field, detection("mimikatz"));
        call[field] = value;
        call
    };
    for (call, error) in [
        (with("version", json!(1.5)), "version: must be a whole number"),
        (with("deadline", json!(0)), "deadline exceeded"),
        (with("data", json!(7)), "data: must be an object"),
    ] {
        assert_eq!(cloud.call(&call).await, refused(error), "{call}");
    }
    for call in [
        with("version", json!(null)),
        with("deadline", json!(null)),
        with("jwt", json!(null)),
    ] {
        assert_eq!(cloud.call(&call).await["success"], true, "{call}");
    }
    let mut untyped = Cloud::message("", "untyped", json!({}));
    untyped.as_object_mut().unwrap().remove("etype");
    assert_eq!(cloud.call(&untyped).await, refused("not implemented"));
    // Each call without a mid is one of its own.
    for mid in [json!(null), json!("")] {
        assert_eq!(cloud.call(&with("mid", mid)).await["success"], true);
    }
    let events = eventually("five events", async || {
        Some(cloud.events().await).filter(|events| events.len() >= 5)
    })
    .await;
    assert_eq!(events.len(), 5, "{events:?}");
}

#[tokio::test]
async fn health_counts_the_calls_that_are_under_way() {
    let cloud = Cloud::start().await;
    let agent = linked(&cloud).await;
    agent.leave();
    let health = async || {
        let call = json!({ "etype": "health", "mid": "h", "deadline": in_seconds(60) });
        cloud.call(&call).await["data"]["calls_in_progress"].clone()
    };
    let asked = cloud.done("request", "r", json!({ "job": "look", "sid": SID }));
    let looked = async {
        eventually("the request is under way", async || {
            (health().await == 2).then_some(())
        })
        .await;
        agent.come_back();
    };
    let (answer, ()) = tokio::join!(asked, looked);
    assert_eq!(answer["data"]["done"], true, "{answer}");
    assert_eq!(health().await, 1);
}

/// What a call of each etype says.
fn data_of(etype: ServiceEtype) -> Value {
    let routing = json!({ "sid": SID, "hostname": "web-1", "event_type": "ingest", "log_id": "l" });
    match etype {
        ServiceEtype::Detection => detection("any"),
        ServiceEtype::DeploymentEvent | ServiceEtype::LogEvent => json!({ "routing": routing, "event": {} }),
        ServiceEtype::NewSensor => json!({ "sid": SID, "hostname": "web-1" }),
        ServiceEtype::GetResource => json!({ "resource": "job/look", "is_include_data": false }),
        ServiceEtype::Request => json!({ "job": "look", "sid": SID }),
        ServiceEtype::Command => json!({ "command_name": "look", "sid": SID }),
        etype if etype.as_str().starts_with("sensor_per_") => json!({ "sid": SID }),
        _ => json!({}),
    }
}

#[tokio::test]
async fn every_etype_is_taken_where_a_pipeline_listens_and_its_event_is_published() {
    let listened: Vec<&str> = ServiceEtype::all()
        .map(ServiceEtype::as_str)
        .filter(|etype| etype.contains("_per_") || ["detection", "log_event"].contains(etype))
        .collect();
    let pipeline = format!(
        "name: answer\non: [{}]\nwhen: event.data.never == true\njob:\n  steps:\n    - list_processes: {{}}\n",
        listened.join(", ")
    );
    let cloud = Cloud::start_with(&pipeline).await;
    let _agent = linked(&cloud).await;
    let health = cloud.call(&json!({ "etype": "health" })).await;
    let callbacks = health["data"]["mtd"]["callbacks"]
        .as_array()
        .expect("a list")
        .len();
    assert_eq!(callbacks, ServiceEtype::all().count(), "{health}");
    let mut expected = Vec::new();
    for etype in ServiceEtype::all().filter(|etype| *etype != ServiceEtype::OrgUninstall) {
        let mid = format!("of-{etype}");
        let mut call = Cloud::message(etype.as_str(), &mid, data_of(etype));
        if !etype.is_of_org() {
            let fields = call.as_object_mut().expect("an object");
            fields.remove("oid");
            fields.remove("jwt");
        }
        let answer = cloud.call(&call).await;
        assert_eq!(answer["success"], true, "{etype}: {answer}");
        match etype {
            // They cause jobs, or nothing.
            ServiceEtype::Request | ServiceEtype::Command => {}
            ServiceEtype::Health | ServiceEtype::GetResource => {}
            etype => {
                let org = if etype.is_of_org() { OID } else { "default" };
                expected.push((format!("tripline.events.{org}.{etype}"), mid));
            }
        }
    }
    for (subject, mid) in expected {
        eventually(&subject, async || {
            let stored = cloud.stored().await;
            let mut found = stored.iter().filter(|(at, _)| *at == subject);
            found.find_map(|(_, payload)| {
                let event: Value = serde_json::from_slice(payload).ok()?;
                (event["id"] == mid && event["data"].is_object()).then_some(())
            })
        })
        .await;
    }
    assert_eq!(
        cloud.done("org_uninstall", "last", json!({})).await["success"],
        true
    );
}

//! Agents that say of their commands and files what is not so.

use crate::harness::{Api, eventually, job_of};
use crate::liar::Liar;
use crate::scene::Scene;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tripline_protocol::api::JobView;
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::limit::{CHUNK_BYTES_MAX, TRANSFER_CREDIT_BYTES};
use tripline_protocol::{CommandId, JobId};
use uuid::Uuid;

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn fetched(bytes: &[u8], count: usize) -> Value {
    json!({"sha256": sha256(bytes), "bytes": count})
}

async fn get_file(api: &Api, liar: &Liar) -> JobId {
    api.submit(liar.host_id, job_of("get_file", json!({"path": "/etc/shadow"})))
        .await
}

/// The fault's code of a job that failed.
fn code(job: &JobView) -> &str {
    assert_eq!(job.state, JobState::Ended(Outcome::Failed), "{job:?}");
    &job.steps[0].error.as_ref().expect("a fault").code
}

/// A command that was cancelled ends when its agent says so.
async fn confirm(liar: &mut Liar, command_id: CommandId) {
    liar.hears_a("cancel").await;
    let fault = json!({"class": "server", "code": "cancelled", "text": "cancelled"});
    liar.say(json!({"type": "result", "command_id": command_id, "error": fault}))
        .await;
}

#[tokio::test]
async fn a_file_that_is_not_as_its_agent_says_is_not_kept() {
    let mut scene = Scene::start(&[]).await;
    let mut liar = scene.liar("liar").await;
    for (sent, said, expected) in [
        (b"abc".as_slice(), fetched(b"abd", 3), "wrong_hash"),
        (b"abc", fetched(b"abcd", 4), "wrong_length"),
        (b"abcd", fetched(b"abc", 3), "wrong_length"),
        (b"", fetched(b"abc", 3), "wrong_length"),
        (
            b"abc",
            json!({"sha256": "../../etc/passwd", "bytes": 3}),
            "bad_output",
        ),
        (
            b"abc",
            json!({"sha256": sha256(b"abc"), "bytes": -3}),
            "bad_output",
        ),
        (b"abc", json!(["no", "object"]), "bad_output"),
    ] {
        let job_id = get_file(&scene.api, &liar).await;
        let command_id = liar.command().await;
        if !sent.is_empty() {
            liar.chunk(command_id, 0, sent).await;
        }
        liar.result(command_id, said).await;
        assert_eq!(code(&scene.api.ended(job_id).await), expected);
    }
    let host = liar.host_id.to_string();
    let lines = scene.logged(&["WARN", &host, "a transfer of an agent failed"]);
    // Seven within a minute: some are told, the others counted.
    assert!((1..=5).contains(&lines.len()), "{lines:?}");
    let kept = scene.server.data_dir().join("artifacts/incoming");
    eventually("nothing is left of the files", async || {
        (std::fs::read_dir(&kept).expect("a folder").count() == 0).then_some(())
    })
    .await;
    scene.honest_work_is_done().await;
}

#[tokio::test]
async fn pieces_at_other_places_and_without_credit_end_their_transfer() {
    let scene = Scene::start(&[]).await;
    let mut liar = scene.liar("liar").await;
    let piece = vec![7; CHUNK_BYTES_MAX];
    let most = TRANSFER_CREDIT_BYTES / CHUNK_BYTES_MAX as u64;
    for (offsets, expected) in [
        (vec![5], "wrong_offset"),
        (vec![CHUNK_BYTES_MAX as u64, 0], "wrong_offset"),
        (vec![0, 0], "wrong_offset"),
        (vec![u64::MAX - CHUNK_BYTES_MAX as u64], "wrong_offset"),
        // It goes on and on without a look at what it may send.
        (
            (0..most * 64)
                .map(|number| number * CHUNK_BYTES_MAX as u64)
                .collect(),
            "credit_exceeded",
        ),
    ] {
        let job_id = get_file(&scene.api, &liar).await;
        let command_id = liar.command().await;
        for offset in offsets {
            liar.chunk(command_id, offset, &piece).await;
        }
        confirm(&mut liar, command_id).await;
        assert_eq!(code(&scene.api.ended(job_id).await), expected);
    }
    scene
        .counted("tripline_agent_channel_dropped_chunks_total", "", 0.0)
        .await;
    scene.honest_work_is_done().await;
}

#[tokio::test]
async fn a_file_without_end_is_bounded_by_the_room_for_artifacts() {
    let mut scene = Scene::start(&[("artifacts.bytes_max", "8MiB")]).await;
    let mut liar = scene.liar("liar").await;
    let job_id = get_file(&scene.api, &liar).await;
    let command_id = liar.command().await;
    let (piece, mut sent, mut credit) = (vec![7; CHUNK_BYTES_MAX], 0_u64, TRANSFER_CREDIT_BYTES);
    // A good citizen of credit, and no end of it.
    loop {
        while credit >= CHUNK_BYTES_MAX as u64 {
            liar.chunk(command_id, sent, &piece).await;
            (sent, credit) = (sent + CHUNK_BYTES_MAX as u64, credit - CHUNK_BYTES_MAX as u64);
        }
        let frame = liar.hears().await;
        match frame["type"].as_str() {
            Some("credit") => credit += frame["bytes"].as_u64().expect("a number"),
            Some("cancel") => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(sent < 16 << 20, "{sent} bytes were taken");
    let fault = json!({"class": "server", "code": "cancelled", "text": "cancelled"});
    liar.say(json!({"type": "result", "command_id": command_id, "error": fault}))
        .await;
    assert_eq!(code(&scene.api.ended(job_id).await), "artifacts_full");
    assert!(!scene.logged(&["WARN", &liar.host_id.to_string()]).is_empty());
    scene.honest_work_is_done().await;
}

#[tokio::test]
async fn a_result_counts_once_whatever_comes_after_it() {
    let scene = Scene::start(&[]).await;
    let mut liar = scene.liar("liar").await;
    let list = |name: &str| json!({"processes": [{"pid": 1, "path": name}], "omitted": 0});
    let job_id = scene
        .api
        .submit(liar.host_id, job_of("list_processes", json!({})))
        .await;
    let command_id = liar.command().await;
    let before = scene.metric("tripline_host_stray_results_total", "").await;
    liar.result(command_id, list("first")).await;
    liar.result(command_id, list("second")).await;
    let job = scene.api.ended(job_id).await;
    liar.hears_a("ack").await;
    liar.result(command_id, list("third")).await;
    liar.hears_a("ack").await;
    scene
        .counted("tripline_host_stray_results_total", "", before)
        .await;
    for view in [job, scene.api.job(job_id).await] {
        let output = view.steps[0].output.clone().expect("an output");
        assert_eq!(output["processes"][0]["path"], "first");
    }
    let results = scene.server.outside().await.result(job_id).await;
    assert_eq!(
        results.steps[0].output.as_ref().expect("an output")["processes"][0]["path"],
        "first"
    );
    scene.honest_work_is_done().await;
}

#[tokio::test]
async fn what_is_said_of_commands_of_others_changes_nothing_there() {
    let scene = Scene::start(&[]).await;
    let mut victim = scene.liar("victim").await;
    let mut liar = scene.liar("liar").await;
    let job_id = get_file(&scene.api, &victim).await;
    let foreign = victim.command().await;
    victim.chunk(foreign, 0, b"tru").await;
    victim.hears_a("credit").await;
    // All that a command's own agent could say, of another host's, and of one that nobody knows.
    for command_id in [foreign, CommandId(Uuid::new_v4())] {
        liar.say(json!({"type": "accepted", "command_id": command_id}))
            .await;
        liar.say(json!({"type": "progress", "command_id": command_id, "bytes": 5}))
            .await;
        liar.say(json!({"type": "credit", "command_id": command_id, "bytes": u64::MAX}))
            .await;
        liar.say(json!({"type": "resume", "command_id": command_id, "offset": 5}))
            .await;
        liar.chunk(command_id, 3, b"lie").await;
        liar.hears_a("cancel").await;
        liar.chunk(command_id, 3, b"lie").await;
        liar.result(command_id, fetched(b"lie", 3)).await;
        liar.hears_a("ack").await;
    }
    // Two of each; they are counted after they were answered.
    for name in [
        "tripline_agent_channel_dropped_chunks_total",
        "tripline_host_stray_results_total",
    ] {
        scene.counted(name, "", 1.0).await;
    }
    victim.chunk(foreign, 3, b"th").await;
    victim.result(foreign, fetched(b"truth", 5)).await;
    let job = scene.api.ended(job_id).await;
    assert_eq!(job.state, JobState::Ended(Outcome::Succeeded), "{job:?}");
    let artifact = job.steps[0].artifact.as_ref().expect("a file");
    assert_eq!(
        (artifact.bytes, artifact.sha256.to_string()),
        (5, sha256(b"truth"))
    );
    scene.honest_work_is_done().await;
}

#[tokio::test]
async fn a_connection_that_was_replaced_is_not_heard_any_more() {
    let scene = Scene::start(&[]).await;
    let mut old = scene.liar("liar").await;
    let job_id = scene
        .api
        .submit(old.host_id, job_of("list_processes", json!({})))
        .await;
    let command_id = old.command().await;
    let mut new = old.twin().await;
    new.introduce(json!({"running": [command_id]})).await;
    let welcome = new.hears().await;
    assert!(welcome["epoch"].as_u64() > Some(1), "{welcome}");
    // The older epoch's connection goes on talking, as far as it can.
    let late = json!({"processes": [{"pid": 666}], "omitted": 0});
    let frame = json!({"type": "result", "command_id": command_id, "output": late});
    // It may have ended already.
    let _ = old
        .try_send(tokio_tungstenite::tungstenite::Message::text(frame.to_string()))
        .await;
    assert_eq!(old.farewell().await, "replaced");
    assert_eq!(scene.api.job(job_id).await.state.outcome(), None);
    new.result(command_id, json!({"processes": [{"pid": 1}], "omitted": 0}))
        .await;
    let job = scene.api.ended(job_id).await;
    assert_eq!(
        job.steps[0].output.as_ref().expect("an output")["processes"][0]["pid"],
        1
    );
    scene.honest_work_is_done().await;
}

#[tokio::test]
async fn an_output_or_a_fault_as_long_as_a_frame_is_cut_and_counted() {
    let scene = Scene::start(&[]).await;
    let mut liar = scene.liar("liar").await;
    let long = "x".repeat(900_000);
    let job_id = scene
        .api
        .submit(liar.host_id, job_of("create_process", json!({"command": "yes"})))
        .await;
    let command_id = liar.command().await;
    let text = json!({"text": long, "omitted": 5});
    liar.result(
        command_id,
        json!({"pid": 1, "exit_code": 0, "stdout": text, "stderr": text_of("")}),
    )
    .await;
    let job = scene.api.ended(job_id).await;
    let step = &job.steps[0];
    assert_eq!(step.output, None, "what is large is a file");
    assert!(step.artifact.as_ref().expect("a file").bytes > 900_000);
    let job_id = scene
        .api
        .submit(liar.host_id, job_of("list_processes", json!({})))
        .await;
    let command_id = liar.command().await;
    let fault =
        json!({"class": "live_response", "code": "E\n".repeat(10_000), "text": long, "detail": {"x": "y"}});
    liar.say(json!({"type": "result", "command_id": command_id, "error": fault}))
        .await;
    let job = scene.api.ended(job_id).await;
    let fault = job.steps[0].error.as_ref().expect("a fault");
    assert!(
        fault.text.len() < 10_000 && fault.code.len() < 200,
        "{} {}",
        fault.text.len(),
        fault.code.len()
    );
    assert!(!fault.code.contains('\n'), "{:?}", fault.code);
    let result = scene.server.outside().await.result(job_id).await;
    assert_eq!(result.outcome, Outcome::Failed);
    scene.honest_work_is_done().await;
}

fn text_of(text: &str) -> Value {
    json!({"text": text, "omitted": 0})
}

//! The static agent where there is nothing but itself: an empty chroot, without /proc, /dev, libraries and root
//! certificates. The agent is the one that `make static-agent` builds, or another that `TRIPLINE_STATIC_AGENT` names.
//! No test asserts a time.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; clippy excuses only functions marked as tests"
)]

#[expect(
    dead_code,
    unused_imports,
    reason = "tests/system uses all of it, this binary a part"
)]
#[path = "../harness/mod.rs"]
mod harness;
mod root;

use harness::{Server, Site, job_of};
use root::Root;
use serde_json::json;
use tripline_protocol::job::Outcome;
use tripline_protocol::verb::Verb;

#[tokio::test]
async fn the_static_agent_works_in_an_empty_chroot_and_says_what_it_misses() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut root = Root::new(&site, &server);
    root.spawn(&server.api().enrol_token().await);
    let host = root.host_id().await;
    let view = server.api().attached(host, true).await;
    root.log_says(
        "/proc is not mounted: get_file, list_processes, kill_process, create_process, get_raw_file, memdump, isolate, \
         unisolate are not offered",
    );
    let verbs = &view.attachments[0].verbs;
    assert!(verbs.contains(&Verb::PutFile) && verbs.contains(&Verb::Walk));
    for verb in [
        Verb::GetFile,
        Verb::ListProcesses,
        Verb::KillProcess,
        Verb::CreateProcess,
        Verb::GetRawFile,
        Verb::Memdump,
        Verb::Isolate,
    ] {
        assert!(!verbs.contains(&verb), "{verb} needs /proc");
    }

    let api = server.api();
    let put = json!({"path": "/note", "content": "alone"});
    let written = api.run(host, job_of("put_file", put)).await;
    assert_eq!(written.state.outcome(), Some(Outcome::Succeeded), "{written:?}");
    assert_eq!(
        std::fs::read_to_string(root.path("note")).expect("a note"),
        "alone"
    );
    let listed = api
        .run(host, job_of("list_directory", json!({"path": "/"})))
        .await;
    let listed = serde_json::to_value(&listed.steps[0]).expect("JSON");
    let files = listed["output"]["files"].as_array().expect("a listing");
    let names: Vec<&str> = files
        .iter()
        .filter_map(|file| file["filename"].as_str())
        .collect();
    assert_eq!(names, ["ca.pem", "note", "state", "tripline-agent"]);
    let fetched = api.run(host, job_of("get_file", json!({"path": "/note"}))).await;
    assert_eq!(fetched.state.outcome(), Some(Outcome::Failed));
    let fetched = serde_json::to_value(&fetched.steps[0]).expect("JSON");
    assert_eq!(fetched["error"]["code"], "unsupported_verb");

    assert_eq!(root.terminate().await.code(), Some(0));
    server.api().attached(host, false).await;
}

#[tokio::test]
async fn it_does_not_watch_for_a_littlebrother_server_there_nor_trust_what_it_does_not_know() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut root = Root::new(&site, &server);
    std::fs::write(root.path("secret"), "abc").expect("to write");
    root.keep_private("secret");
    root.option("--littlebrother", "http://127.0.0.1:1");
    root.option("--secret-file", "/secret");
    root.spawn(&server.api().enrol_token().await);
    assert_eq!(root.end().await.code(), Some(2));
    root.log_says("processes cannot be watched for a LittleBrother server on this host");

    // Without --ca, and without root certificates of the system.
    let mut root = Root::named(&site, &server, "untrusting");
    root.trust_nobody();
    root.spawn("unused");
    assert_eq!(root.end().await.code(), Some(1));
    root.log_says("a host without root certificates needs --ca");
}

//! Exports of a running server, and what comes back from them; checks and recoveries on the command line.

use crate::harness::{AgentProcess, Api, Ran, Server, Site, eventually, job_of, tripline};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::{HostId, JobId};

fn list() -> Value {
    job_of("list_directory", json!({ "path": "/proc/self" }))
}

/// Submits jobs until it is told to stop; the answer is those that were accepted, in order.
fn load(api: Api, host: HostId, stop: Arc<AtomicBool>) -> tokio::task::JoinHandle<Vec<JobId>> {
    tokio::spawn(async move {
        let mut accepted = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let body = json!({ "host": host, "job": list() });
            if let Some(answer) = api
                .try_post("/v1/jobs", &body)
                .await
                .filter(|answer| answer.status < 300)
            {
                accepted.push(
                    answer.body["job_id"]
                        .as_str()
                        .expect("an id")
                        .parse()
                        .expect("an id"),
                );
            }
        }
        accepted
    })
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn done(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.stdout).expect("JSON")
}

#[tokio::test]
async fn an_export_under_load_is_imported_elsewhere_and_agents_go_on_with_their_keys() {
    let site = Site::new().await;
    let mut server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let api = server.api();
    let fetched = api
        .run(host, job_of("get_file", json!({ "path": "/etc/hostname" })))
        .await;
    let stop = Arc::new(AtomicBool::new(false));
    let before = {
        let mut before = Vec::new();
        for _ in 0..10 {
            before.push(api.submit(host, list()).await);
        }
        before
    };
    let loading = load(server.api(), host, stop.clone());
    let file = site.path("backup.export");
    let export = [
        "store",
        "export",
        "--with-artifacts",
        "--output",
        "json",
        text(&file),
    ];
    let written = done(&tripline(server.data_dir(), &export).await);
    assert!(written["rows"].as_u64() > Some(20), "{written}");
    assert_eq!(written["artifacts"], 1, "{written}");
    assert_eq!(
        file.metadata().expect("a file").permissions().mode() & 0o777,
        0o600
    );
    // What is there is never written over.
    assert_eq!(tripline(server.data_dir(), &export).await.code, 2);
    server.kill();
    stop.store(true, Ordering::Relaxed);
    let later = loading.await.expect("no panic");
    let check = ["store", "check", "--deep", "--output", "json", text(&file)];
    let checked = done(&tripline(server.data_dir(), &check).await);
    assert_eq!(checked["problems_total"], 0, "{checked}");

    let other = site.path("other");
    std::fs::create_dir(&other).expect("a folder");
    std::fs::copy(server.data_dir().join("admin.token"), other.join("admin.token")).expect("a copy");
    let import = ["store", "import", "--output", "json", text(&file)];
    let imported = done(&tripline(&other, &import).await);
    assert_eq!(imported["rows"], written["rows"]);
    assert_eq!(imported["problems"], 0, "{imported}");
    let again = tripline(&other, &import).await;
    assert_eq!(again.code, 2, "{again:?}");
    assert!(again.stderr.contains("is not empty: store is in it"), "{again:?}");

    let listen = server.url().trim_start_matches("http://").to_owned();
    let new = Server::start_in(&site, "other", &[("http.listen", listen.as_str())]).await;
    let api = new.api();
    api.attached(host, true).await;
    for job in before {
        assert_eq!(api.ended(job).await.state, JobState::Ended(Outcome::Succeeded));
    }
    assert_eq!(api.job(fetched.job_id).await.steps, fetched.steps);
    let sha256 = &fetched.steps[0].artifact.as_ref().expect("a file").sha256;
    let path = format!("/v1/jobs/{}/artifacts/{sha256}", fetched.job_id);
    let content = api
        .request(reqwest::Method::GET, &path)
        .send()
        .await
        .expect("an answer");
    let content = content.bytes().await.expect("a content");
    assert_eq!(content, std::fs::read("/etc/hostname").expect("a file"));
    // Of the jobs accepted while the export was made, those before some moment are there and none after it.
    let known = api.jobs().await;
    let there: Vec<bool> = later
        .iter()
        .map(|job| known.iter().any(|view| view.job_id == *job))
        .collect();
    let first_missing = there.iter().position(|there| !there).unwrap_or(there.len());
    assert!(there[first_missing..].iter().all(|there| !there), "{there:?}");
    assert_eq!(
        api.run(host, list()).await.state,
        JobState::Ended(Outcome::Succeeded)
    );
}

#[tokio::test]
async fn an_export_is_for_administrators_of_all_orgs() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let api = server.api();
    for (request, status) in [
        (json!({ "name": "v", "role": "viewer" }), 403),
        (json!({ "name": "o", "role": "operator" }), 403),
        (json!({ "name": "a", "role": "admin", "org": "acme" }), 403),
        (json!({ "name": "a", "role": "admin" }), 200),
    ] {
        let token = api.create_token(request.clone()).await;
        let asked = api
            .with_token(&token)
            .request(reqwest::Method::GET, "/v1/store/export");
        let answer = asked.send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{request}");
        let length = answer.content_length();
        let body = answer.bytes().await.expect("a body");
        if status == 200 {
            assert_eq!(length, Some(body.len() as u64));
            assert!(body.starts_with(b"tripline-export\n"));
        }
    }
}

#[tokio::test]
async fn a_damaged_export_is_refused_by_check_and_import_and_leaves_nothing() {
    let site = Site::new().await;
    let mut server = Server::start(&site, &[]).await;
    server.terminate().await;
    let file = site.path("backup.export");
    // Without a server, the same command exports what lies there.
    let ran = tripline(server.data_dir(), &["store", "export", text(&file)]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("no server runs"), "{ran:?}");
    let mut bytes = std::fs::read(&file).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    let other = site.path("other");
    let import = tripline(&other, &["store", "import", text(&file)]).await;
    assert_eq!(import.code, 1, "{import:?}");
    assert!(import.stderr.contains("not as it was written"), "{import:?}");
    assert!(!other.exists());
    assert_eq!(tripline(&other, &["store", "check", text(&file)]).await.code, 1);
    for verb in ["check", "import"] {
        let directory = tripline(&other, &["store", verb, text(server.data_dir())]).await;
        assert_eq!(directory.code, 2, "{directory:?}");
        let says = directory.stderr.contains("store check --data-dir");
        assert_eq!(says, verb == "check", "{directory:?}");
    }
    assert_eq!(
        tripline(&other, &["store", "check", "no-such-file"]).await.code,
        2
    );
    assert_eq!(
        tripline(&other, &["store", "check"]).await.code,
        2,
        "there is no store"
    );
}

#[tokio::test]
async fn a_store_that_does_not_open_is_recovered_and_the_server_goes_on() {
    let site = Site::new().await;
    let mut server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let mut jobs = Vec::new();
    for _ in 0..20 {
        jobs.push(server.api().run(host, list()).await.job_id);
    }
    let data = server.data_dir().to_owned();
    let held = tripline(&data, &["store", "check"]).await;
    assert_eq!(held.code, 2, "{held:?}");
    server.terminate().await;
    let sound = tripline(&data, &["store", "recover", "--yes"]).await;
    assert_eq!((sound.code, sound.stdout.as_str()), (0, ""), "{sound:?}");
    // sled cannot do without its settings.
    let settings = data.join("store/conf");
    let mut bytes = std::fs::read(&settings).expect("settings");
    bytes[0] ^= 0xff;
    std::fs::write(&settings, bytes).expect("written");
    server.spawn();
    assert_eq!(server.process().end().await.code(), Some(3));
    assert!(server.process().log().contains("tripline store recover"));
    assert_eq!(tripline(&data, &["store", "check"]).await.code, 1);
    let asked = tripline(&data, &["store", "recover"]).await;
    assert_eq!(asked.code, 1, "{asked:?}");
    assert!(asked.stderr.contains("nothing was changed"), "{asked:?}");
    let recovered = done(&tripline(&data, &["store", "recover", "--yes", "--output", "json"]).await);
    assert!(recovered["read"]["Job"].as_u64() >= Some(20), "{recovered}");
    assert!(
        recovered["kept"]
            .as_str()
            .expect("a folder")
            .ends_with("store.damaged-1")
    );
    let checked = done(&tripline(&data, &["store", "check", "--deep", "--output", "json"]).await);
    assert_eq!(checked["problems_total"], 0, "{checked}");
    server.spawn();
    server.ready().await;
    let api = server.api();
    api.attached(host, true).await;
    for job in jobs {
        assert_eq!(api.job(job).await.state, JobState::Ended(Outcome::Succeeded));
    }
    assert_eq!(
        api.run(host, list()).await.state,
        JobState::Ended(Outcome::Succeeded)
    );
}

#[tokio::test]
async fn exports_are_made_by_themselves_and_only_so_many_are_kept() {
    let site = Site::new().await;
    let dir = site.path("exports");
    let settings = [
        ("store.export_dir", text(&dir)),
        ("store.export_every", "1s"),
        ("store.exports_kept", "2"),
    ];
    let server = Server::start(&site, &settings).await;
    let names = || {
        let mut names: Vec<String> = dir
            .read_dir()
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .filter(|name| name.ends_with(".export"))
            .collect();
        names.sort();
        names
    };
    let first = eventually("an export is made", async || names().first().cloned()).await;
    eventually("the oldest goes", async || {
        (!names().contains(&first)).then_some(())
    })
    .await;
    assert!(names().len() <= 3, "{:?}", names());
    let newest = names().pop().expect("an export");
    let kept = site.path("kept.export");
    std::fs::copy(dir.join(&newest), &kept).expect("a copy");
    let checked = tripline(server.data_dir(), &["store", "check", text(&kept)]).await;
    assert_eq!(checked.code, 0, "{checked:?}");
    let status = done(&tripline(server.data_dir(), &["store", "status", "--output", "json"]).await);
    assert_eq!(status["exports"]["kept_max"], 2, "{status}");
    assert!(status["exports"]["last"]["rows"].as_u64() > Some(0), "{status}");
    let metrics = server
        .api()
        .request(reqwest::Method::GET, "/metrics")
        .send()
        .await;
    let metrics = metrics.expect("an answer").text().await.expect("text");
    let succeeded = metrics
        .lines()
        .find_map(|line| line.strip_prefix("tripline_store_exports_total{outcome=\"succeeded\"} "));
    assert!(
        succeeded.is_some_and(|count| count.parse::<u32>().expect("a number") >= 1),
        "{metrics}"
    );
    // A folder that cannot be written any more is told, and the server goes on.
    std::fs::remove_dir_all(&dir).expect("removed");
    std::fs::write(&dir, "in the way").expect("written");
    eventually("the failure is told", async || {
        let answer = server.api().get("/v1/store").await;
        answer.body["exports"]["failed"]["why"]
            .as_str()
            .map(str::to_owned)
    })
    .await;
    assert_eq!(server.api().get("/readyz").await.status, 200);
}

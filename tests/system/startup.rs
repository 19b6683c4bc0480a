//! Starts that must not succeed: exit code, one clear line, and nothing changed.

use crate::harness::{AgentProcess, Server, Site, job_of, run};
use serde_json::json;
use sha2::Digest;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tripline_protocol::job::{JobState, Outcome};

/// SHA-256 of every file below a folder.
fn fingerprint(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(fingerprint(&path));
        } else {
            let content = std::fs::read(&path).expect("to read");
            found.insert(path, sha2::Sha256::digest(content).to_vec());
        }
    }
    found
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_and_the_first_keeps_working() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let mut second = server.command();
    second
        .env("TRIPLINE__HTTP__LISTEN", "127.0.0.1:0")
        .env("TRIPLINE__HTTP__TLS_LISTEN", "127.0.0.1:0");
    let ran = run(second).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    let pid = server.pid().to_string();
    assert!(
        ran.stderr.contains("in use") || ran.stderr.contains(&pid),
        "{}",
        ran.stderr
    );
    server.readiness(200).await;
    let job = server.api().run(host, job_of("list_processes", json!({}))).await;
    assert_eq!(job.state, JobState::Ended(Outcome::Succeeded));
    server.outside().await.result(job.job_id).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_its_key() {
    let site = Site::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for key in ["http.listen", "http.tls_listen", "nats.embedded_listen"] {
        let ran = run(Server::prepare(&site, &[(key, &address)]).command()).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(
            ran.stderr.contains(key) && ran.stderr.contains(&address),
            "{}",
            ran.stderr
        );
    }
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_written_is_refused() {
    let site = Site::new().await;
    // Below a file, because root may write anywhere else.
    site.write("file", "");
    let path = site.path("file/data");
    let ran = run(Server::prepare(&site, &[("data_dir", path.to_str().expect("UTF-8"))]).command()).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("file/data"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_store_that_does_not_open_stops_the_start_and_is_left_as_it_is() {
    let site = Site::new().await;
    let mut server = Server::start(&site, &[]).await;
    AgentProcess::start(&site, &server, "a").await;
    assert!(server.terminate().await.success());
    let store = server.data_dir().join("store");
    for file in ["conf", "db"] {
        let path = store.join(file);
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        std::fs::write(&path, vec![0x5a; bytes.len()]).expect("to write");
    }
    let before = fingerprint(&store);
    let ran = run(server.command()).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(
        ran.stderr
            .contains(&*store.parent().expect("a parent").to_string_lossy()),
        "{}",
        ran.stderr
    );
    assert_eq!(before, fingerprint(&store));
}

#[tokio::test]
async fn a_misspelt_key_is_named_with_its_line() {
    let site = Site::new().await;
    let config = site.write(
        "tripline.toml",
        "[slots]\ntotal = 4\ntotla = 5\n\n[http]\nlisten = \"here\"\n",
    );
    let mut server = Server::prepare(&site, &[]);
    server.set_config(&config);
    let mut command = server.command();
    command.env_remove("TRIPLINE__HTTP__LISTEN");
    let ran = run(command).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("tripline.toml:3") && ran.stderr.contains("totla"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("tripline.toml:6") && ran.stderr.contains("http.listen"),
        "{}",
        ran.stderr
    );
    assert!(!site.path("data").exists(), "nothing was made");
}

#[tokio::test]
async fn a_pipeline_with_a_typo_stops_the_start_and_is_named_with_its_line() {
    let site = Site::new().await;
    site.write("pipelines/bad.yaml", "name: bad\nonn: [x]\njob: y\n");
    let pipelines = site.path("pipelines");
    let server = Server::prepare(&site, &[("pipelines.dir", pipelines.to_str().expect("UTF-8"))]);
    let ran = run(server.command()).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("bad.yaml:2") && ran.stderr.contains("onn"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn a_broker_that_is_too_old_is_refused_by_its_version() {
    let site = Site::new().await;
    let old = site.write("nats-server", "#!/bin/sh\necho 'nats-server: v2.9.10'\n");
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).expect("to change");
    let mut server = Server::prepare(&site, &[]);
    server.set_variable("TRIPLINE_NATS_SERVER", &old);
    let ran = run(server.command()).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("2.9.10") && ran.stderr.contains("2.11"),
        "{}",
        ran.stderr
    );
}

//! A disk that fills up.

use crate::harness::{AgentProcess, Broker, Server, Site, job_of, until, wait_at};
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;
use tripline_protocol::job::{JobState, Outcome};

/// A small file system that goes with whoever holds it.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&path).expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"])
            .arg(&path)
            .output();
        match mounted {
            Ok(ended) if ended.status.success() => Some(Self(path)),
            refused => {
                eprintln!("SKIPPED: a small file system cannot be mounted here: {refused:?}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let ended = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(ended.is_ok_and(|status| status.success()), "unmounted");
    }
}

#[tokio::test]
async fn below_the_minimum_of_free_disk_new_work_is_refused_and_running_work_finishes() {
    let site = Site::new().await;
    let Some(disk) = SmallDisk::mount(site.path("disk")) else {
        return;
    };
    let broker = Broker::start(&site).await;
    let settings = [("nats.url", broker.url()), ("disk.free_min", "24MiB")];
    let server = Server::start_in(&site, "disk/data", &settings).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let api = server.api();
    let (begun, gate) = (site.path("begun"), site.write("gate", ""));
    let running = api
        .submit(host, job_of("create_process", wait_at(&begun, &gate)))
        .await;
    until("the command runs", || begun.exists()).await;

    let filler = site.write("disk/filler", vec![1; 44 << 20]);
    let told = server.readiness(503).await;
    assert_eq!(
        (&told["disk"], &told["store"]),
        (&json!(false), &json!(true)),
        "{told}"
    );
    let request = json!({"host": host, "job": job_of("list_processes", json!({}))});
    let answer = api.post("/v1/jobs", &request).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(
        answer.body["detail"].as_str().expect("a detail").contains("disk"),
        "{answer:?}"
    );
    std::fs::remove_file(gate).expect("to open the gate");
    assert_eq!(
        api.ended(running).await.state,
        JobState::Ended(Outcome::Succeeded)
    );

    std::fs::remove_file(filler).expect("to make room");
    server.readiness(200).await;
    let job = api.run(host, job_of("list_processes", json!({}))).await;
    assert_eq!(job.state, JobState::Ended(Outcome::Succeeded));
    drop(server);
    drop(disk);
}

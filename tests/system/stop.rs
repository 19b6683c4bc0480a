//! An orderly end.

use crate::harness::{AgentProcess, Server, Site, append_line, job_of, until, wait_at};
use tripline_protocol::job::{JobState, Outcome};

#[tokio::test]
async fn a_server_that_is_asked_to_stop_ends_with_jobs_running_and_goes_on_with_them() {
    let site = Site::new().await;
    let mut server = Server::start(&site, &[("drain.timeout", "1s")]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let (begun, gate, counter) = (site.path("begun"), site.write("gate", ""), site.path("counter"));
    let api = server.api();
    let running = api
        .submit(host, job_of("create_process", wait_at(&begun, &gate)))
        .await;
    let waiting = api
        .submit(host, job_of("create_process", append_line(&counter, "once")))
        .await;
    until("the command runs", || begun.exists()).await;
    let status = server.terminate().await;
    assert!(status.success(), "{status}");
    assert!(
        !server.data_dir().join("server.json").exists(),
        "it says no longer where it is"
    );

    server.spawn();
    server.ready().await;
    std::fs::remove_file(gate).expect("to open the gate");
    for job_id in [running, waiting] {
        let job = server.api().ended(job_id).await;
        assert_eq!(job.state, JobState::Ended(Outcome::Succeeded), "{job:?}");
        server.outside().await.result(job_id).await;
    }
    assert_eq!(std::fs::read_to_string(begun).expect("it ran").lines().count(), 1);
    assert_eq!(std::fs::read_to_string(counter).expect("it ran"), "once\n");
}

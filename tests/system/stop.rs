//! An orderly end.

use crate::harness::{AgentProcess, Broker, Server, Site, append_line, job_of, until, wait_at};
use serde_json::json;
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

#[tokio::test]
async fn an_end_without_its_broker_waits_for_it_once_and_for_nothing_else() {
    let site = Site::new().await;
    let mut broker = Broker::start(&site).await;
    let mut server = Server::start(&site, &[("nats.url", broker.url())]).await;
    broker.kill();
    server.readiness(503).await;
    let event = json!({"etype": "acme.alert", "id": "1", "source": "s"});
    assert_eq!(server.api().post("/v1/events", &event).await.status, 202);
    let status = server.terminate().await;
    assert!(status.success(), "{status}");
    let log = server.process().log();
    assert_eq!(
        log.matches("the broker is away; what waits for it").count(),
        1,
        "{log}"
    );
    assert!(!log.contains("did not end in time"), "{log}");
}

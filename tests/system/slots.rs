//! Session slots and the order of jobs.

use crate::harness::{AgentProcess, Gauge, Server, SimulatedAgent, Site, append_line, eventually, job_of};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tripline_protocol::job::{JobState, Outcome};

const SLOTS: usize = 10;
const HOSTS: usize = 25;
const JOBS: usize = 200;

#[tokio::test]
async fn two_hundred_jobs_never_hold_more_than_ten_slots_and_all_end() {
    let site = Site::new().await;
    let server = Server::start(
        &site,
        &[("slots.interactive_reserved", "0"), ("slots.jobs_reserved", "0")],
    )
    .await;
    let api = server.api();
    let token = api.enrol_token().await;
    let (gauge, gate) = (Gauge::default(), Arc::new(Semaphore::new(0)));
    let mut agents = Vec::new();
    let mut hosts = Vec::new();
    for number in 0..HOSTS {
        let mut agent = SimulatedAgent::enrol(&server, &token, &format!("host{number}")).await;
        agent.attach().await;
        hosts.push(agent.host_id);
        agents.push(tokio::spawn(agent.serve(gauge.clone(), gate.clone())));
    }
    let mut jobs = Vec::new();
    for number in 0..JOBS {
        jobs.push(
            api.submit(hosts[number % HOSTS], job_of("list_processes", json!({})))
                .await,
        );
    }
    let held = async || {
        let slots = api.slots().await;
        assert_eq!(slots.total as usize, SLOTS);
        let held = slots.slots.iter().filter(|slot| slot.session.is_some()).count();
        assert!(held <= SLOTS && slots.slots.len() == SLOTS, "{slots:?}");
        (held, slots.waiting)
    };
    // Nobody answers yet: all slots fill up, and the others wait and are told why.
    eventually("all slots are held", async || {
        (held().await.0 == SLOTS && gauge.now() == SLOTS).then_some(())
    })
    .await;
    assert_eq!(held().await.1 as usize, HOSTS - SLOTS);
    let views = api.jobs().await;
    let waits = |code: &str| {
        let waits = views.iter().filter_map(|job| job.waiting.as_ref());
        waits
            .filter(|waiting| waiting.reason.code == code && waiting.position > 0)
            .count()
    };
    assert_eq!(waits("no_free_slot"), HOSTS - SLOTS);
    assert_eq!(waits("behind_job"), JOBS - HOSTS);

    for answered in 1..=JOBS {
        gate.add_permits(1);
        if answered % 5 == 0 {
            held().await;
        }
    }
    for job_id in &jobs {
        held().await;
        assert_eq!(
            api.ended(*job_id).await.state,
            JobState::Ended(Outcome::Succeeded)
        );
    }
    assert_eq!(gauge.most(), SLOTS, "commands at the agents at the same time");
    api.all_slots_free().await;
    agents.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn jobs_of_one_host_run_in_the_order_they_were_accepted_also_over_a_crash() {
    let site = Site::new().await;
    let mut server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let file = site.path("order");
    let mut jobs = Vec::new();
    for number in 0..40 {
        let mut job = job_of("create_process", append_line(&file, &number.to_string()));
        job["priority"] = json!(["low", "high", "normal"][number % 3]);
        jobs.push(server.api().submit(host, job).await);
        if number == 20 {
            server.crash().await;
        }
    }
    let mut before = None;
    for job_id in jobs {
        let job = server.api().ended(job_id).await;
        assert_eq!(job.state, JobState::Ended(Outcome::Succeeded), "{job:?}");
        assert!(before <= job.started_at, "one at a time: {job:?}");
        before = job.finished_at;
    }
    let lines = std::fs::read_to_string(file).expect("the file");
    let numbers: Vec<usize> = lines
        .lines()
        .map(|line| line.parse().expect("a number"))
        .collect();
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());
}

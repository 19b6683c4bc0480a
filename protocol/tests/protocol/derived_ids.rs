//! Derived ids, fixed for ever: were one to change, a replayed event would start its jobs a second time,
//! and an agent would run a command again that its journal has. Computed by another program (Python's
//! hashlib) from the rule in `docs/protocol.md`.

use crate::samples::p;
use tripline_protocol::{CommandId, EventKey, FanoutId, HostId, InstallId, JobId, Name, Org};

fn install() -> InstallId {
    p("11111111-2222-4333-8444-555555555555")
}

fn job(run: u32) -> JobId {
    let org = Org::default_org();
    let event = EventKey::derive(&org, "nats", "evt-1");
    JobId::derive(
        event,
        &p::<Name>("contain-miner"),
        HostId::derive(&org, install()),
        run,
    )
}

#[test]
fn a_host_id_is_of_the_org_and_the_install_id() {
    let host = |org: &str| HostId::derive(&p(org), install()).to_string();
    assert_eq!(host("default"), "6a476cc7-fafe-5985-9fb8-67233a7efb39");
    assert_eq!(host("acme"), "eca47dfa-50d8-5bae-854c-8629c97f5dc2");
}

#[test]
fn a_littlebrother_clients_host_id_is_of_the_org_and_its_name() {
    let host = |org: &str, name| HostId::derive_littlebrother(&p(org), name).to_string();
    assert_eq!(
        host("default", "amelies-laptop"),
        "be0c5f8f-2f0a-58e9-82c2-88bab4b18975"
    );
    assert_eq!(
        host("acme", "amelies-laptop"),
        "ab91d518-de5f-5137-9d80-f1b6179e009c"
    );
    assert_eq!(
        host("default", "küche 2.fritz.box"),
        "7f2e8dc5-c036-523e-ab08-5d0684fca621"
    );
}

#[test]
fn an_event_key_is_of_the_org_the_source_and_the_id() {
    let key = |source, id| EventKey::derive(&Org::default_org(), source, id).to_string();
    assert_eq!(key("nats", "evt-1"), "7c3b135c-0489-5583-b367-6f558ddf9122");
    assert_eq!(
        key("nat", "sevt-1"),
        "32bc3130-0b15-5b76-a91c-97098e95d257",
        "parts do not run together"
    );
    assert_eq!(key("/café one", "h-1"), "cc313bad-5381-5b08-b7f4-863273face2a");
}

#[test]
fn a_fan_out_is_of_what_caused_it_and_its_jobs_are_of_the_fan_out_the_name_the_host_and_the_run() {
    let org = Org::default_org();
    let event = EventKey::derive(&org, "nats", "evt-1");
    let fanout = |run| FanoutId::derive(event, &p::<Name>("contain-miner"), run);
    assert_eq!(fanout(0).to_string(), "da61920a-0421-54cc-8fbe-2530732c422d");
    assert_eq!(fanout(1).to_string(), "057a0807-ca77-5604-9efb-a24ea9835d1b");
    let submitted = FanoutId::derive_submitted(&org, "once");
    assert_eq!(submitted.to_string(), "9853277c-c094-58cf-b323-0e7e23a7bed7");
    let host = HostId::derive(&org, install());
    let job = |run| JobId::derive_fanout(fanout(0), &p::<Name>("sweep"), host, run);
    assert_eq!(job(0).to_string(), "9ddcc9e0-b070-5092-a87e-37234f263882");
    assert_eq!(job(1).to_string(), "5dfacabd-9cc3-525f-a0ba-8912b32d1eff");
}

#[test]
fn a_job_id_is_of_the_event_the_pipeline_the_host_and_the_run() {
    assert_eq!(job(0).to_string(), "b181f097-458c-596e-ab14-23d84ca1c696");
    assert_eq!(job(1).to_string(), "b3b71a37-bce2-5833-a7d1-186aa0c89b78");
}

#[test]
fn a_submitted_job_id_is_of_the_org_the_idempotency_key_and_the_host() {
    let org = Org::default_org();
    let id = JobId::derive_submitted(&org, "ticket-42", HostId::derive(&org, install()));
    assert_eq!(id.to_string(), "68ff2cc7-8ce0-5d20-a756-84922ce97c7d");
}

#[test]
fn a_command_id_is_of_the_job_the_step_and_the_attempt() {
    assert_eq!(
        CommandId::derive(job(0), 0, 1).to_string(),
        "56e28577-413a-5355-ab05-7d5384fb792b"
    );
    assert_eq!(
        CommandId::derive(job(0), 1, 1).to_string(),
        "fa8fe100-cf6f-5415-a054-ebf4b836cd83"
    );
    assert_ne!(CommandId::derive(job(0), 0, 2), CommandId::derive(job(0), 0, 1));
    assert_ne!(CommandId::derive(job(1), 0, 1), CommandId::derive(job(0), 0, 1));
}

#[test]
fn the_id_of_a_steps_event_is_of_the_job_and_the_step() {
    assert_eq!(
        job(0).event_id("tell").to_string(),
        "97bbd5ca-5035-571b-b83c-a6cef89547c2"
    );
    assert_eq!(
        job(0).event_id("each-1").to_string(),
        "9cfc849c-6fea-599e-b984-35071874f754"
    );
    assert_ne!(job(1).event_id("tell"), job(0).event_id("tell"));
}

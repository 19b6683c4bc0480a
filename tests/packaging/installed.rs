//! What is asked of the programs that are installed on a machine.

use crate::harness::{Ran, eventually};
use crate::machine::Machine;
use serde_json::Value;

/// The server, as the tests ask for it.
pub(crate) const SERVER: &str = "tripline.service";
pub(crate) const AGENT: &str = "tripline-agent.service";

pub(crate) async fn is_healthy(machine: &Machine) {
    eventually("the server is ready", async || {
        (machine.sh("tripline health").await.code == 0).then_some(())
    })
    .await;
}

/// Waits for the only host; its id.
pub(crate) async fn attached(machine: &Machine) -> String {
    let hosts = eventually("the agent is attached", async || {
        let listed = machine.sh("tripline host list --output json").await;
        let hosts: Value = serde_json::from_str(&listed.stdout).ok()?;
        let attached = !hosts[0]["attachments"].as_array()?.is_empty();
        attached.then_some(hosts)
    })
    .await;
    assert_eq!(hosts.as_array().expect("hosts").len(), 1, "{hosts}");
    hosts[0]["host_id"].as_str().expect("an id").to_owned()
}

/// Runs a job of one verb and waits for its end.
pub(crate) async fn job(machine: &Machine, host: &str, verb: &str, arguments: Value) -> Ran {
    std::fs::write(machine.share().join("arguments"), arguments.to_string()).expect("to write");
    machine
        .sh(&format!(
            "tripline job submit {host} --verb {verb} --args \"$(cat /share/arguments)\" --watch"
        ))
        .await
}

pub(crate) async fn succeeds(machine: &Machine, host: &str, verb: &str, arguments: Value) {
    let ran = job(machine, host, verb, arguments).await;
    assert_eq!(ran.code, 0, "{verb}: {ran:?}");
}

//! An isolation over a boot: the unit that reinstates it before the network is up, with its limits in force.

use crate::installed::{AGENT, attached};
use crate::machine::Machine;
use serde_json::Value;

const UNIT: &str = "tripline-agent-isolation.service";

/// The rules with their handles, which others would have that are loaded anew; without what counts up or down.
async fn rules(machine: &Machine) -> String {
    machine
        .does("nft --handle list table inet tripline_isolation | grep -v -e counter -e expires")
        .await
}

async fn starts(machine: &Machine, says: &str) {
    machine.does(&format!("systemctl restart {UNIT}")).await;
    let journal = machine
        .does(&format!("journalctl --no-pager --unit {UNIT} --lines 20"))
        .await;
    assert!(journal.contains(says), "{says}: {journal}");
}

/// From an isolation that is to go on after the next boot, to its end.
pub(crate) async fn is_reinstated_before_the_agent_starts(machine: &Machine, host: &str) {
    if machine.sh("command -v nft").await.code != 0 {
        eprintln!("SKIPPED: no host can be isolated here: no nft");
        return;
    }
    assert_eq!(machine.property(UNIT, "UnitFileState").await, "enabled");
    machine
        .does(&format!("tripline host isolate {host} --for 1h --persist"))
        .await;
    // Whoever starts it later than at the boot disturbs nobody.
    starts(machine, "an agent runs here").await;

    // What a boot leaves: no rules, and a record of another boot.
    machine
        .does(&format!(
            "systemctl stop {AGENT} {UNIT}
             sed -i 's/\"boot\":\"[^\"]*\"/\"boot\":\"00000000-0000-0000-0000-000000000001\"/' /var/lib/tripline-agent/isolation.json
             grep -q 00000000-0000-0000-0000-000000000001 /var/lib/tripline-agent/isolation.json
             nft flush ruleset"
        ))
        .await;
    starts(machine, "the isolation of this host goes on").await;
    let before = rules(machine).await;
    assert!(before.contains("@switch jump outgoing"), "{before}");

    machine.does(&format!("systemctl start {AGENT}")).await;
    attached(machine).await;
    assert_eq!(rules(machine).await, before, "the agent keeps them as they are");
    let shown = machine
        .does(&format!("tripline host show {host} --output json"))
        .await;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["isolation"]["persist"], true, "{shown}");

    machine.does(&format!("tripline host unisolate {host}")).await;
    assert_eq!(machine.does("nft list tables").await, "");
    machine.does(&format!("systemctl restart {UNIT}")).await;
    assert_eq!(machine.property(UNIT, "ConditionResult").await, "no");
}

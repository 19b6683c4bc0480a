//! The drop-ins of docs/install.md, each in force for a moment.

use crate::installed::{attached, is_healthy, job, succeeds};
use crate::machine::Machine;
use serde_json::json;
use std::path::Path;

/// The drop-ins of docs/install.md: what stands behind `systemctl edit`, and the text.
fn drop_ins() -> Vec<(String, String)> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/install.md"))
        .expect("a page");
    let blocks = page.split("```ini\n# systemctl edit ").skip(1);
    blocks
        .filter_map(|block| block.split("```").next()?.split_once('\n'))
        .map(|(what, text)| (what.to_owned(), text.to_owned()))
        .collect()
}

/// With a drop-in, until the next one.
async fn edit(machine: &Machine, unit: &str, text: &str) {
    std::fs::write(machine.share().join("override.conf"), text).expect("to write");
    machine
        .does(&format!(
            "install -D -m 644 /share/override.conf /etc/systemd/system/{unit}.service.d/override.conf
             systemctl daemon-reload
             systemctl restart {unit}"
        ))
        .await;
}

/// Each of them lets its unit start, and opens or closes what it is for.
pub(crate) async fn do_what_they_say(machine: &Machine, host: &str) {
    let drop_ins = drop_ins();
    for (what, text) in &drop_ins {
        let unit = what.split(':').next().expect("a unit");
        edit(machine, unit, text).await;
        assert_eq!(machine.property(unit, "ActiveState").await, "active", "{what}");
        match what.as_str() {
            "tripline: may listen on port 443" => {
                let pid = machine.property(unit, "MainPID").await;
                let status = machine.does(&format!("cat /proc/{pid}/status")).await;
                assert!(status.contains("CapEff:\t0000000000000400"), "{status}");
            }
            "tripline-agent: looks, and changes nothing" => {
                succeeds(
                    machine,
                    host,
                    "get_file",
                    json!({"path": "/home/amelie/new/note"}),
                )
                .await;
                for path in ["/root/new", "/home/amelie/new/other", "/etc/new"] {
                    let refused = job(machine, host, "put_file", json!({"path": path, "content": "x"})).await;
                    assert_eq!(refused.code, 1, "{path}: {refused:?}");
                }
            }
            "tripline-agent: writes in /usr and /data, too" => {
                succeeds(
                    machine,
                    host,
                    "put_file",
                    json!({"path": "/usr/bin/new", "content": "x"}),
                )
                .await;
            }
            "tripline-agent: reads the whole memory" => {
                let bounds = machine.property(unit, "CapabilityBoundingSet").await;
                assert!(
                    bounds.contains("cap_sys_rawio") && bounds.contains("cap_kill"),
                    "{bounds}"
                );
            }
            other => panic!("nothing is known of {other}"),
        }
    }
    assert_eq!(drop_ins.len(), 4);
    machine
        .does("rm -r /etc/systemd/system/tripline*.d && systemctl daemon-reload && systemctl restart tripline tripline-agent")
        .await;
    is_healthy(machine).await;
    attached(machine).await;
}

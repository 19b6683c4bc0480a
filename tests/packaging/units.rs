//! The units of systemd, looked at by systemd itself. Nothing of them is started here.

use crate::harness::{Site, run};
use crate::settings::packaged;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each unit with the exposure that it may have, in tenths: what it has, and one. Without any of its larger
/// restrictions it has two more at least.
const UNITS: [(&str, u32); 3] = [
    ("tripline.service", 15),
    ("tripline-agent.service", 40),
    (ISOLATION, 15),
];
const ISOLATION: &str = "tripline-agent-isolation.service";

/// What starts at a boot of a host, as far as it has to do with the agent's units.
const BOOT: &str = "[Unit]
Description=A boot
Wants=sysinit.target network-online.target systemd-networkd.service nftables.service
Wants=tripline-agent.service tripline-agent-isolation.service
";

/// `systemd-analyze`, or why there is none.
fn analyze(arguments: &[&str]) -> Option<Command> {
    let program = Path::new("/usr/bin/systemd-analyze");
    if !program.is_file() {
        eprintln!(
            "SKIPPED: the units cannot be looked at here: no {}",
            program.display()
        );
        return None;
    }
    let mut command = Command::new(program);
    command.args(arguments);
    Some(command)
}

/// A copy of a unit whose programs are there.
fn startable(site: &Site, unit: &str) -> PathBuf {
    let programs = Path::new(env!("CARGO_BIN_EXE_tripline"))
        .parent()
        .expect("a folder");
    let text =
        packaged(&format!("systemd/{unit}")).replace("=/usr/bin/", &format!("={}/", programs.display()));
    site.write(unit, text)
}

#[tokio::test]
async fn systemd_understands_every_line_of_the_units() {
    let site = Site::new().await;
    for (unit, _) in UNITS {
        let Some(mut command) = analyze(&["verify", "--man=no"]) else {
            return;
        };
        command.arg(startable(&site, unit));
        let ran = run(command).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{unit}: {ran:?}");
    }
}

async fn is_exposed_more(unit: &Path, tenths: u32) -> Option<bool> {
    let mut command = analyze(&["security", "--offline=true", "--no-pager"])?;
    command.arg(format!("--threshold={tenths}")).arg(unit);
    let ran = run(command).await;
    assert!(ran.stdout.contains("Overall exposure level"), "{ran:?}");
    Some(ran.code != 0)
}

#[tokio::test]
async fn the_units_are_no_more_exposed_than_they_were() {
    let site = Site::new().await;
    for (unit, tenths) in UNITS {
        let path = startable(&site, unit);
        let Some(more) = is_exposed_more(&path, tenths).await else {
            return;
        };
        assert!(
            !more,
            "systemd-analyze security --offline=true {}",
            path.display()
        );
    }
}

#[tokio::test]
async fn a_unit_that_loses_one_of_its_restrictions_is_over_the_threshold() {
    let site = Site::new().await;
    for (unit, tenths) in UNITS {
        let text = packaged(&format!("systemd/{unit}"));
        for restriction in [
            "ProtectSystem=",
            "NoNewPrivileges=",
            "CapabilityBoundingSet=",
            "SystemCallFilter=",
        ] {
            // Of a unit this early systemd-analyze does not count it.
            if unit == ISOLATION && restriction == "ProtectSystem=" {
                continue;
            }
            let rest: Vec<&str> = text
                .lines()
                .filter(|line| !line.starts_with(restriction))
                .collect();
            let path = site.write(&format!("without/{unit}"), rest.join("\n"));
            let Some(more) = is_exposed_more(&path, tenths).await else {
                return;
            };
            assert!(more, "{unit} without {restriction}");
        }
    }
}

/// What systemd-analyze says of a boot with the agent's units, one of them with a few lines more.
async fn a_boot_with(site: &Site, unit: &str, lines: &str) -> Option<String> {
    for name in ["tripline-agent.service", ISOLATION] {
        let path = startable(site, name);
        if name == unit {
            let text = std::fs::read_to_string(&path).expect("the unit");
            std::fs::write(&path, text.replacen("[Unit]\n", &format!("[Unit]\n{lines}"), 1))
                .expect("to write");
        }
    }
    let boot = site.write("boot.target", BOOT);
    let mut command = analyze(&["verify", "--man=no", "boot.target"])?;
    let folder = boot.parent().expect("a folder").display();
    // The system's own units as well.
    command.env("SYSTEMD_UNIT_PATH", format!("{folder}:"));
    Some(run(command).await.stderr)
}

#[tokio::test]
async fn a_host_is_isolated_before_its_network_without_a_cycle_in_its_boot() {
    let site = Site::new().await;
    let Some(said) = a_boot_with(&site, ISOLATION, "").await else {
        return;
    };
    assert_eq!(said, "");
    // Its start flushes all rules.
    let text = packaged(&format!("systemd/{ISOLATION}"));
    let after = text.lines().filter(|line| line.starts_with("After="));
    assert!(
        after
            .flat_map(str::split_whitespace)
            .any(|unit| unit == "nftables.service")
    );
    // What is no way: the agent itself waits for the network.
    let early = "Before=network-pre.target\nWants=network-pre.target\n";
    let said = a_boot_with(&site, "tripline-agent.service", early).await;
    let said = said.expect("it was there");
    assert!(said.contains("ordering cycle"), "{said}");
}

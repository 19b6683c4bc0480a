//! The units of systemd, looked at by systemd itself. Nothing of them is started here.

use crate::harness::{Site, run};
use crate::settings::packaged;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each unit with the exposure that it may have, in tenths: what it has, and one. Without any of its larger
/// restrictions it has two more at least.
const UNITS: [(&str, u32); 2] = [("tripline.service", 15), ("tripline-agent.service", 40)];

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

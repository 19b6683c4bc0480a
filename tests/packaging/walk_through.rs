//! `docs/operations.md`, from install to the first incident: every line of it is typed on a machine that has both of
//! its names.

use crate::harness::Site;
use crate::machine::Machine;
use crate::packages::{broker_for, package_of};
use std::path::Path;

const CHAPTER: &str = "## From install to the first incident";
/// Where the operator works.
const FOLDER: &str = "/root/first-incident";

/// The shell's lines of the chapter, in their order.
fn lines() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let (_, chapter) = page.split_once(CHAPTER).expect("the chapter");
    let (chapter, _) = chapter.split_once("\n## ").expect("a chapter after it");
    let blocks: Vec<&str> = chapter
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split_once("```").expect("an end of the block").0)
        .collect();
    assert!(blocks.len() > 10, "only {} blocks", blocks.len());
    blocks.concat()
}

#[tokio::test]
async fn a_new_operator_gets_from_install_to_the_first_incident_by_the_words_of_the_page() {
    let site = Site::new().await;
    let Some(machine) = Machine::boot(&site).await else {
        return;
    };
    for package in ["tripline", "tripline-agent"] {
        package_of(package, &machine.share()).await;
    }
    broker_for(&machine).await;
    machine
        .does(&format!(
            "hostname web01
             echo 127.0.0.1 localhost web01 tripline.example >/etc/hosts
             mkdir {FOLDER}
             cp /share/*.deb {FOLDER}"
        ))
        .await;
    std::fs::write(machine.share().join("lines"), lines()).expect("to write");
    let said = machine
        .does(&format!(
            "cd {FOLDER} && env --unset TRIPLINE__DATA_DIR sh -eux /share/lines 2>&1"
        ))
        .await;

    let asks = async |script: &str| machine.does(script).await;
    assert_eq!(asks("pgrep --exact xmrig || echo gone").await, "gone", "{said}");
    asks(&format!("cmp /bin/sleep {FOLDER}/evidence/evidence-xmrig")).await;
    asks(&format!("cmp /etc/passwd {FOLDER}/evidence/passwd")).await;
    let left = asks("nft list tables").await;
    assert!(!left.contains("tripline"), "the isolation has ended: {left}");
    let of_ana = asks("tripline audit list --who ana --action session.open").await;
    assert_eq!(of_ana.lines().count(), 2, "a header and her session: {of_ana}");
    let paused = asks("tripline audit list --action server").await;
    assert!(
        paused.contains("server.pause") && paused.contains("server.resume"),
        "{paused}"
    );
    let dead = asks("tripline dead list --output json").await;
    assert_eq!(dead, "[]", "nothing was left unhandled");
}

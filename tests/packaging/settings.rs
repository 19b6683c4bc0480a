//! What units and configurations of `packaging` say, beside what the programs do.

use crate::harness::{Site, agent, run};
use std::path::Path;
use std::process::Command;
use tripline::config::Config;

/// A file of `packaging`.
pub(crate) fn packaged(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The values of a key of a unit.
fn values(unit: &str, key: &str) -> Vec<String> {
    let text = packaged(&format!("systemd/{unit}"));
    let key = format!("{key}=");
    let found: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix(&key))
        .map(str::to_owned)
        .collect();
    assert!(!found.is_empty(), "{unit} has no {key}");
    found
}

fn value(unit: &str, key: &str) -> String {
    let [value] = <[String; 1]>::try_from(values(unit, key)).expect("one value");
    value
}

fn seconds(unit: &str, key: &str) -> u64 {
    let text = value(unit, key);
    text.strip_suffix('s')
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{key}={text}"))
}

/// Every line that is an example, as a line that counts.
fn with_examples(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(example) if !example.starts_with([' ', '!']) && !example.is_empty() => format!("{example}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn a_stopping_server_has_the_time_that_its_drain_and_its_broker_take() {
    let drain = Config::default().drain.timeout.to_duration().as_secs();
    // What the embedded broker gets when the drain is over, and as much again for the store.
    assert!(seconds("tripline.service", "TimeoutStopSec") >= drain + 20);
    for unit in ["tripline.service", "tripline-agent.service"] {
        assert_eq!(value(unit, "KillMode"), "mixed");
    }
}

#[test]
fn ends_that_a_restart_does_not_mend_are_final() {
    for unit in ["tripline.service", "tripline-agent.service"] {
        assert_eq!(value(unit, "RestartPreventExitStatus"), "2 3", "{unit}");
    }
    assert_eq!(value("tripline.service", "Restart"), "on-failure");
    assert_eq!(value("tripline-agent.service", "Restart"), "always");
}

#[test]
fn ten_thousand_agents_have_their_connections() {
    let files: u32 = value("tripline.service", "LimitNOFILE")
        .parse()
        .expect("a number");
    assert!(files >= 2 * 10_000, "{files}");
}

#[test]
fn the_agent_has_the_capabilities_of_the_documentation_and_the_server_has_none() {
    assert_eq!(value("tripline.service", "CapabilityBoundingSet"), "");
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/install.md"))
        .expect("a page");
    let mut documented: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `CAP_"))
        .filter(|row| row.contains("| yes |"))
        .filter_map(|row| row.split('`').next())
        .collect();
    let given = value("tripline-agent.service", "CapabilityBoundingSet").replace("CAP_", "");
    let mut given: Vec<&str> = given.split(' ').collect();
    documented.sort_unstable();
    given.sort_unstable();
    assert_eq!(documented, given);
}

#[tokio::test]
async fn the_packaged_configuration_of_the_server_is_taken_with_and_without_its_examples() {
    let site = Site::new().await;
    let text = packaged("etc/tripline.toml");
    for (name, text) in [
        ("plain.toml", text.clone()),
        ("examples.toml", with_examples(&text)),
    ] {
        let path = site.write(name, &text);
        // As in server.env.
        let password = ("TRIPLINE__NATS__PASSWORD".to_owned(), "sesame".to_owned());
        let environment = text.contains("\nuser =").then_some(password);
        let loaded = Config::load(Some(&path), environment);
        let config = loaded.unwrap_or_else(|error| panic!("{text}\n{error}"));
        assert_eq!(config.data_dir(), Path::new("/var/lib/tripline"));
    }
    assert!(
        with_examples(&text).contains("\ntls_listen = "),
        "the examples are found"
    );
}

/// What the agent says of a configuration that keeps its state in `site`.
async fn agent_says(site: &Site, text: &str) -> String {
    let state = site.path("state").display().to_string();
    let text = text.replace("/var/lib/tripline-agent", &state);
    let path = site.write("agent.toml", text);
    let mut command = Command::new(agent::program());
    command.env_clear().arg("run").arg("--config").arg(path);
    let ran = run(command).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    ran.stderr
}

#[tokio::test]
async fn the_packaged_configuration_of_the_agent_lacks_its_server_and_then_its_token_alone() {
    let site = Site::new().await;
    let text = packaged("etc/agent.toml");
    assert!(agent_says(&site, &text).await.contains("server is missing"));
    // The CA is a file that is not there yet.
    let examples: Vec<String> = with_examples(&text)
        .lines()
        .filter(|line| !line.starts_with("ca = "))
        .map(str::to_owned)
        .collect();
    let said = agent_says(&site, &examples.join("\n")).await;
    assert!(said.contains("TRIPLINE_AGENT_ENROL_TOKEN"), "{said}");
}

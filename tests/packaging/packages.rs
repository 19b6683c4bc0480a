//! The `.deb` of server and agent, from their installation until they are purged, on a booted systemd.
//!
//! One test, because its steps are one life: each stands on what the one before left. The programs in the packages
//! are those that were built for the tests.

use crate::drop_ins;
use crate::harness::{Site, eventually, run};
use crate::installed::{AGENT, SERVER, attached, is_healthy, job, succeeds};
use crate::isolation;
use crate::machine::Machine;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use tripline::nats::embedded::find::Search;

/// The capabilities of the agent's unit, as the kernel writes a set of them: DAC_OVERRIDE (1), DAC_READ_SEARCH (2),
/// FOWNER (3), KILL (5), NET_ADMIN (12), SYS_PTRACE (19).
const AGENT_CAPABILITIES: &str = "000000000008102e";
#[tokio::test]
async fn the_packages_serve_run_jobs_survive_upgrades_and_leave_nothing_when_they_are_purged() {
    let site = Site::new().await;
    let Some(machine) = Machine::boot(&site).await else {
        return;
    };
    for package in ["tripline", "tripline-agent"] {
        package_of(package, &machine.share()).await;
    }
    broker_for(&machine).await;

    installing_starts_nothing(&machine).await;
    what_is_not_configured_is_not_started_again_and_again(&machine).await;
    the_server_runs_without_a_capability(&machine).await;
    let host = an_agent_is_enrolled(&machine).await;
    verbs_work_with_the_capabilities_of_the_unit(&machine, &host).await;
    isolation::is_reinstated_before_the_agent_starts(&machine, &host).await;
    drop_ins::do_what_they_say(&machine, &host).await;
    a_killed_program_is_started_again(&machine).await;
    an_upgrade_keeps_data_and_configuration(&machine, &host).await;
    maintainer_scripts_may_run_again(&machine).await;
    both_stop_in_order(&machine).await;
    removal_keeps_and_purge_removes(&machine).await;
}

/// Packs the program that was built for the tests.
pub(crate) async fn package_of(name: &str, share: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tool = root.join(".tools/bin/cargo-deb");
    assert!(tool.is_file(), "{} is missing: make cargo-deb", tool.display());
    let programs = Path::new(env!("CARGO_BIN_EXE_tripline"))
        .parent()
        .expect("a folder");
    let target = programs.parent().expect("a folder");
    let mut command = Command::new(root.join("scripts/deb"));
    command
        .args(["--package", name, "--profile", "dev", "--fast", "--to"])
        .arg(share)
        .env("CARGO_TARGET_DIR", target);
    let ran = run(command).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    PathBuf::from(ran.stdout.trim())
}

/// The broker that the server is to find on the machine.
pub(crate) async fn broker_for(machine: &Machine) {
    let mut search = Search::from_environment();
    search
        .folders
        .push(Path::new(env!("CARGO_MANIFEST_DIR")).join(".nats/bin"));
    let program = search.find().unwrap_or_else(|error| panic!("{error}"));
    std::fs::copy(&program, machine.share().join("nats-server")).expect("to copy");
    machine
        .does("install -m 755 /share/nats-server /usr/local/bin/nats-server")
        .await;
}

async fn installing_starts_nothing(machine: &Machine) {
    machine.does("dpkg --install /share/*.deb").await;
    for unit in [SERVER, AGENT] {
        assert_eq!(machine.property(unit, "ActiveState").await, "inactive", "{unit}");
        assert_eq!(
            machine.property(unit, "UnitFileState").await,
            "disabled",
            "{unit}"
        );
    }
    let modes = machine
        .does("stat -c '%a %U:%G %n' /var/lib/tripline /var/lib/tripline-agent /etc/tripline/*.toml")
        .await;
    assert_eq!(
        modes.lines().collect::<Vec<_>>(),
        [
            "700 tripline:tripline /var/lib/tripline",
            "700 root:root /var/lib/tripline-agent",
            "600 root:root /etc/tripline/agent.toml",
            "640 root:tripline /etc/tripline/tripline.toml",
        ]
    );
    let verified = machine
        .does("systemd-analyze verify tripline.service tripline-agent.service tripline-agent-isolation.service 2>&1")
        .await;
    assert_eq!(verified, "", "units without a complaint");
    machine
        .does("tripline config check --config /etc/tripline/tripline.toml")
        .await;
}

async fn what_is_not_configured_is_not_started_again_and_again(machine: &Machine) {
    machine.does("systemctl start tripline-agent || true").await;
    gives_up(machine, AGENT, "2").await;
    machine
        .does("echo TRIPLINE__SLOTS__TOTAL=none >/etc/tripline/server.env")
        .await;
    assert_ne!(machine.sh("systemctl start tripline").await.code, 0);
    gives_up(machine, SERVER, "2").await;
    machine.does("rm /etc/tripline/server.env").await;
    // A store that does not open: a folder where a file of it should be.
    machine
        .does("install -d -o tripline /var/lib/tripline/store /var/lib/tripline/store/db")
        .await;
    assert_ne!(machine.sh("systemctl start tripline").await.code, 0);
    gives_up(machine, SERVER, "3").await;
    machine.does("rm -r /var/lib/tripline/store").await;
}

/// Its end is final.
async fn gives_up(machine: &Machine, unit: &str, code: &str) {
    eventually(&format!("{unit} has failed"), async || {
        (machine.property(unit, "ActiveState").await == "failed").then_some(())
    })
    .await;
    let status = machine.property(unit, "ExecMainStatus").await;
    let journal = machine
        .does(&format!("journalctl --no-pager --unit {unit}"))
        .await;
    assert_eq!(status, code, "{unit}: {journal}");
    assert_eq!(
        machine.property(unit, "NRestarts").await,
        "0",
        "{unit}: {journal}"
    );
    machine.does(&format!("systemctl reset-failed {unit}")).await;
}

async fn the_server_runs_without_a_capability(machine: &Machine) {
    // Comes back when the server said that it is ready.
    machine.does("systemctl enable --now tripline").await;
    is_healthy(machine).await;
    let pid = machine.property(SERVER, "MainPID").await;
    let status = machine.does(&format!("cat /proc/{pid}/status")).await;
    for line in [
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    assert_eq!(machine.property(SERVER, "LimitNOFILE").await, "65536");
    assert!(
        machine
            .property(SERVER, "StatusText")
            .await
            .starts_with("serves https://")
    );
    let broker = machine.does("pgrep --euid tripline --exact nats-server").await;
    assert_eq!(broker.lines().count(), 1, "its broker runs beside it: {broker}");
}

/// As docs/install.md has it; the host's id.
async fn an_agent_is_enrolled(machine: &Machine) -> String {
    machine
        .does(
            "umask 077
             token=$(tripline token create --name here --role enrol --uses 1 --expires 1h)
             echo TRIPLINE_AGENT_ENROL_TOKEN=$token >/etc/tripline/agent.env
             install -m 644 /var/lib/tripline/tls/ca.pem /etc/tripline/ca.pem
             sed -i -e 's|^#server = .*|server = \"https://127.0.0.1:7443\"|' -e 's|^#ca = |ca = |' /etc/tripline/agent.toml
             systemctl enable --now tripline-agent",
        )
        .await;
    let host = attached(machine).await;
    machine.does("rm /etc/tripline/agent.env").await;
    host
}

async fn verbs_work_with_the_capabilities_of_the_unit(machine: &Machine, host: &str) {
    let pid = machine.property(AGENT, "MainPID").await;
    let status = machine.does(&format!("cat /proc/{pid}/status")).await;
    assert!(
        status.contains(&format!("CapEff:\t{AGENT_CAPABILITIES}")),
        "{status}"
    );
    // Somebody else's home, closed to others, and his process.
    let sleeper = machine
        .does(
            "adduser --quiet --disabled-password --gecos '' amelie
             install -d -o amelie -g amelie -m 700 /home/amelie
             echo secret | install -o amelie -g amelie -m 600 /dev/stdin /home/amelie/letter
             install -o amelie -m 600 /dev/null /tmp/hers
             setpriv --reuid amelie --regid amelie --clear-groups sleep 100000 >/dev/null 2>&1 & echo $!",
        )
        .await;
    let sleeper: u32 = sleeper.parse().expect("a pid");
    succeeds(machine, host, "list_processes", json!({})).await;
    succeeds(machine, host, "get_file", json!({"path": "/home/amelie/letter"})).await;
    succeeds(machine, host, "list_directory", json!({"path": "/home/amelie"})).await;
    succeeds(
        machine,
        host,
        "create_directory",
        json!({"path": "/home/amelie/new"}),
    )
    .await;
    succeeds(
        machine,
        host,
        "put_file",
        json!({"path": "/home/amelie/new/note", "content": "found"}),
    )
    .await;
    succeeds(
        machine,
        host,
        "put_file",
        json!({"path": "/etc/cron.d/note", "content": "# found"}),
    )
    .await;
    succeeds(
        machine,
        host,
        "delete_file",
        json!({"path": "/home/amelie/letter"}),
    )
    .await;
    succeeds(machine, host, "delete_file", json!({"path": "/tmp/hers"})).await;
    assert_eq!(machine.does("cat /home/amelie/new/note").await, "found");
    assert_ne!(
        machine
            .sh("test -e /home/amelie/letter -o -e /tmp/hers")
            .await
            .code,
        0
    );
    succeeds(machine, host, "kill_process", json!({"pid": sleeper})).await;
    succeeds(machine, host, "create_process", json!({"argv": ["/usr/bin/id"]})).await;
    // What isolation asks of the kernel, where a program for it is installed.
    if machine.sh("test -x /usr/sbin/nft").await.code == 0 {
        let table = json!({"argv": ["/usr/sbin/nft", "add", "table", "inet", "packaging"]});
        succeeds(machine, host, "create_process", table).await;
    }
    // What the system consists of can be read only, until a drop-in says otherwise.
    succeeds(machine, host, "get_file", json!({"path": "/usr/bin/env"})).await;
    let refused = job(
        machine,
        host,
        "put_file",
        json!({"path": "/usr/bin/new", "content": "x"}),
    )
    .await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stdout.contains("EROFS"), "{refused:?}");
}

async fn a_killed_program_is_started_again(machine: &Machine) {
    for unit in [AGENT, SERVER] {
        machine
            .does(&format!("systemctl kill --signal KILL --kill-who main {unit}"))
            .await;
        eventually(&format!("{unit} runs again"), async || {
            let restarts = machine.property(unit, "NRestarts").await;
            let state = machine.property(unit, "ActiveState").await;
            (restarts == "1" && state == "active").then_some(())
        })
        .await;
    }
    is_healthy(machine).await;
}

/// The same package with a later version.
async fn later(machine: &Machine, name: &str) {
    machine
        .does(&format!(
            "mkdir -p /tmp/later
             dpkg-deb --raw-extract /share/{name}_*.deb /tmp/later/{name}
             sed -i 's/^Version: .*/&.1/' /tmp/later/{name}/DEBIAN/control
             dpkg-deb -Znone --build /tmp/later/{name} /tmp/later/{name}.deb"
        ))
        .await;
}

async fn an_upgrade_keeps_data_and_configuration(machine: &Machine, host: &str) {
    for name in ["tripline", "tripline-agent"] {
        later(machine, name).await;
    }
    machine.does("echo '# mine' >>/etc/tripline/tripline.toml").await;
    let before = [
        machine.property(SERVER, "MainPID").await,
        machine.property(AGENT, "MainPID").await,
    ];
    machine.does("dpkg --install /tmp/later/*.deb").await;
    let version = machine
        .does("dpkg-query --show --showformat '${Version}' tripline")
        .await;
    assert!(version.ends_with(".1"), "{version}");
    for (unit, before) in [SERVER, AGENT].into_iter().zip(before) {
        assert_eq!(machine.property(unit, "ActiveState").await, "active");
        assert_ne!(
            machine.property(unit, "MainPID").await,
            before,
            "{unit} is the new one"
        );
    }
    is_healthy(machine).await;
    assert_eq!(attached(machine).await, host, "the same host, by its key");
    let jobs: Value =
        serde_json::from_str(&machine.does("tripline job list --output json").await).expect("JSON");
    assert!(jobs.as_array().expect("jobs").len() > 10, "{jobs}");
    machine.does("grep -q '# mine' /etc/tripline/tripline.toml").await;
}

async fn maintainer_scripts_may_run_again(machine: &Machine) {
    machine
        .does("chmod 0600 /etc/tripline/tripline.toml && chown tripline /etc/tripline/tripline.toml")
        .await;
    for _ in 0..2 {
        machine
            .does("for name in tripline tripline-agent; do /var/lib/dpkg/info/$name.postinst configure 0.1.0-1; done")
            .await;
    }
    let kept = machine
        .does("stat -c '%a %U' /etc/tripline/tripline.toml /var/lib/tripline")
        .await;
    assert_eq!(
        kept, "600 tripline\n700 tripline",
        "what the administrator changed stays"
    );
    is_healthy(machine).await;
    attached(machine).await;
}

async fn both_stop_in_order(machine: &Machine) {
    machine.does("systemctl stop tripline-agent tripline").await;
    for unit in [SERVER, AGENT] {
        assert_eq!(machine.property(unit, "Result").await, "success", "{unit}");
        assert_eq!(machine.property(unit, "ExecMainStatus").await, "0", "{unit}");
    }
    assert_ne!(
        machine.sh("pgrep --exact nats-server").await.code,
        0,
        "the broker went with it"
    );
}

async fn removal_keeps_and_purge_removes(machine: &Machine) {
    machine.does("systemctl start tripline").await;
    machine.does("dpkg --remove tripline tripline-agent").await;
    assert_ne!(
        machine.sh("pgrep --exact 'tripline|tripline-agent'").await.code,
        0,
        "nothing runs"
    );
    machine
        .does("test -d /var/lib/tripline/store -a -f /var/lib/tripline-agent/identity.json -a -f /etc/tripline/agent.toml")
        .await;
    machine.does("rm /etc/tripline/ca.pem").await;
    machine.does("dpkg --purge tripline-agent").await;
    machine
        .does("test -d /var/lib/tripline -a -f /etc/tripline/tripline.toml")
        .await;
    machine.does("dpkg --purge tripline").await;
    let left = machine
        .does("ls -d /etc/tripline /var/lib/tripline* /etc/systemd/system/*/tripline* /usr/share/doc/tripline* 2>/dev/null || true")
        .await;
    assert_eq!(left, "");
}

//! What each example is started with and what it leaves.

use serde_json::{Value, json};

/// A file of the prepared folder stands for this in parameters and events.
pub(super) const FILE: &str = "@evidence";

/// What a job leaves.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// Steps that fetched a file of the prepared folder, and which one.
    pub(super) fetched: &'static [(&'static str, &'static str)],
    /// Steps that fetched something of this host, which nobody prepared.
    pub(super) alive: &'static [&'static str],
    /// Steps that fetched something of this host if its kernel has it.
    pub(super) perhaps: &'static [&'static str],
    /// It ends a process.
    pub(super) kills: bool,
    /// It is told when that began.
    pub(super) knows_start: bool,
    /// It is told the process' program.
    pub(super) names_program: bool,
    /// It isolates the host, or releases it.
    pub(super) isolates: bool,
}

/// What the job of this name leaves; for a pipeline with a job of its own, that of the pipeline.
pub(super) fn expected(job: &str) -> Expected {
    let collects = |fetched| Expected {
        fetched,
        ..Expected::default()
    };
    match job {
        "collect-file" => collects(&[("file", "evidence/file")]),
        "triage" => Expected {
            fetched: &[
                ("files-1", "etc/os-release"),
                ("files-2", "etc/passwd"),
                ("files-3", "etc/group"),
                ("files-4", "etc/hosts"),
                ("files-5", "etc/resolv.conf"),
            ],
            alive: &["kernel-2", "kernel-3"],
            perhaps: &["kernel-1", "kernel-4"],
            ..Expected::default()
        },
        "kill-and-verify" => Expected {
            kills: true,
            names_program: true,
            ..Expected::default()
        },
        "kill-and-collect" => Expected {
            alive: &["program", "state-1", "state-2", "state-3", "state-4"],
            kills: true,
            knows_start: true,
            ..Expected::default()
        },
        "contain-miner" => Expected {
            kills: true,
            knows_start: true,
            ..Expected::default()
        },
        "isolate" => Expected {
            alive: &["connections-1", "connections-3"],
            perhaps: &["connections-2", "connections-4"],
            isolates: true,
            ..Expected::default()
        },
        "look-while-isolated" => Expected {
            fetched: &[("file", "evidence/file")],
            isolates: true,
            ..Expected::default()
        },
        "release" => Expected {
            isolates: true,
            ..Expected::default()
        },
        "autoruns-cron" => collects(&[
            ("tables-1", "etc/crontab"),
            ("fetched-1", "etc/cron.d/updater"),
            ("of_debian-1", "var/spool/cron/crontabs/amelie"),
        ]),
        "autoruns-systemd" => collects(&[
            ("fetched-1", "etc/systemd/system/evil.service"),
            ("of_local-1", "usr/local/lib/systemd/system/own.service"),
        ]),
        "autoruns-shell" => collects(&[
            ("system-1", "etc/profile"),
            ("system-7", "etc/ld.so.preload"),
            ("fetched-1", "etc/profile.d/a.sh"),
            ("root-2", "root/.bashrc"),
            ("profile-2", "home/ben/.profile"),
            ("bashrc-1", "home/amelie/.bashrc"),
        ]),
        "user-artefacts" => collects(&[
            ("logins-1", "var/log/wtmp"),
            ("root-5", "root/.ssh/authorized_keys"),
            ("bash_history-1", "home/amelie/.bash_history"),
            ("zsh_history-2", "home/ben/.zsh_history"),
            ("authorized_keys-1", "home/amelie/.ssh/authorized_keys"),
            ("known_hosts-1", "home/amelie/.ssh/known_hosts"),
            ("recent_files-1", "home/amelie/.local/share/recently-used.xbel"),
        ]),
        "package-inventory" => collects(&[
            ("system", "etc/os-release"),
            ("databases-1", "var/lib/dpkg/status"),
            ("logs-1", "var/log/dpkg.log"),
        ]),
        "port-inventory" => Expected {
            alive: &["tables-1", "tables-3", "tables-6"],
            perhaps: &["tables-2", "tables-4", "tables-5"],
            ..Expected::default()
        },
        other => panic!("nobody said what {other} leaves"),
    }
}

/// Every named job with its parameters, in an order in which what one does the next undoes.
pub(super) fn jobs() -> Vec<(&'static str, Value)> {
    let none = || json!({});
    vec![
        ("collect-file", json!({"path": FILE})),
        ("triage", json!({"reason": "a test"})),
        ("kill-and-verify", none()),
        ("kill-and-collect", none()),
        ("isolate", json!({"lasts": "1h"})),
        ("release", none()),
        ("autoruns-cron", none()),
        ("autoruns-systemd", none()),
        ("autoruns-shell", none()),
        ("user-artefacts", none()),
        ("package-inventory", none()),
        ("port-inventory", none()),
    ]
}

/// A pipeline and what trips it.
pub(super) struct Tripped {
    pub(super) pipeline: &'static str,
    /// The job whose traces it leaves.
    pub(super) job: &'static str,
    pub(super) etype: &'static str,
    pub(super) data: Value,
}

/// Every pipeline with an event that trips it, in an order in which what one does the next undoes.
pub(super) fn pipelines() -> Vec<Tripped> {
    let one = |pipeline, job, etype, data| Tripped {
        pipeline,
        job,
        etype,
        data,
    };
    let severe = || json!({"severity": 9});
    vec![
        one(
            "collect-file-on-alert",
            "collect-file",
            "acme.alert.file",
            json!({"file": {"path": FILE, "size": 10}}),
        ),
        one(
            "contain-miner",
            "contain-miner",
            "acme.alert.miner",
            json!({"username": "amelie"}),
        ),
        one(
            "triage-on-alert",
            "triage",
            "acme.alert.high",
            json!({"title": "odd"}),
        ),
        one(
            "kill-and-collect-on-alert",
            "kill-and-collect",
            "acme.alert.process",
            severe(),
        ),
        one(
            "look-while-isolated",
            "look-while-isolated",
            "acme.alert.tamper",
            json!({"path": FILE}),
        ),
        one("isolate-on-intruder", "isolate", "acme.alert.intruder", severe()),
        one(
            "release-on-all-clear",
            "release",
            "acme.case.closed",
            json!({"verdict": "harmless"}),
        ),
        one(
            "autoruns-cron-on-alert",
            "autoruns-cron",
            "acme.alert.persistence",
            json!({}),
        ),
        one(
            "autoruns-systemd-on-alert",
            "autoruns-systemd",
            "acme.alert.persistence",
            json!({}),
        ),
        one(
            "autoruns-shell-on-alert",
            "autoruns-shell",
            "acme.alert.persistence",
            json!({}),
        ),
        one(
            "user-artefacts-on-alert",
            "user-artefacts",
            "acme.alert.account",
            severe(),
        ),
        one(
            "package-inventory-on-request",
            "package-inventory",
            "acme.inventory.packages",
            json!({}),
        ),
        one(
            "port-inventory-on-request",
            "port-inventory",
            "acme.inventory.ports",
            json!({}),
        ),
    ]
}

//! `tripline host watch`: all hosts as they are, and then every change of one.

use super::super::follow::{follow, read};
use super::super::output::{Format, clean, print, print_json_line};
use super::super::watch::line;
use super::super::{Client, Failure, Global, report};
use super::label;
use clap::Args;
use tripline_protocol::Label;
use tripline_protocol::api::{EVENT_HOST, EVENT_READY, HostChange, HostChangeKind, HostsReady};
use tripline_protocol::selector::{Attached, Glob, Word};

#[derive(Debug, Args)]
pub(in super::super) struct Watch {
    /// Only hosts of this tenant
    #[arg(long)]
    org: Option<String>,
    /// Only hosts with this label; given several times, hosts with all of them
    #[arg(long, value_parser = label::wanted)]
    label: Vec<Label>,
    /// Only hosts of this platform, such as linux
    #[arg(long)]
    platform: Option<Word>,
    /// Only hosts whose names fit this pattern: * is any number of characters, ? is one
    #[arg(long, value_name = "PATTERN")]
    hostname: Option<Glob>,
    /// Only hosts that are attached so
    #[arg(long, value_name = "agent|littlebrother|yes|no")]
    attached: Option<Attached>,
    /// Only hosts whose agents have this version
    #[arg(long, value_name = "VERSION")]
    agent_version: Option<Word>,
}

impl Watch {
    fn query(&self) -> Vec<(&'static str, String)> {
        let labels: Vec<String> = self.label.iter().map(Label::to_string).collect();
        let parts = [
            ("org", self.org.clone()),
            ("label", (!labels.is_empty()).then(|| labels.join(","))),
            ("platform", self.platform.as_ref().map(Word::to_string)),
            ("hostname", self.hostname.as_ref().map(Glob::to_string)),
            ("attached", self.attached.map(|attached| attached.to_string())),
            ("agent_version", self.agent_version.as_ref().map(Word::to_string)),
        ];
        let given = |(name, value): (&'static str, Option<String>)| Some((name, value?));
        parts.into_iter().filter_map(given).collect()
    }
}

/// Prints changes until it is interrupted. JSON: one line per change.
pub(super) async fn watch(global: &Global, wanted: &Watch) -> Result<(), Failure> {
    let client = Client::find(global)?;
    follow(
        &client,
        &["streams", "hosts"],
        &wanted.query(),
        |name, data| match (name, global.output) {
            (EVENT_READY, Format::Table) => {
                let HostsReady { hosts } = read(data)?;
                report(&[format!("tripline: {hosts} hosts; changes follow")]);
                Ok(())
            }
            (EVENT_HOST, Format::Table) => print(&text(&read(data)?)),
            (EVENT_HOST, Format::Json) => print_json_line(&read::<HostChange>(data)?),
            _ => Ok(()),
        },
    )
    .await
}

fn text(told: &HostChange) -> String {
    let host = &told.host;
    let detail = match told.change {
        HostChangeKind::Labelled => host.labels.join(" "),
        HostChangeKind::Isolated => super::isolate::until(host),
        HostChangeKind::Present | HostChangeKind::Attached | HostChangeKind::Detached => {
            super::attached(host)
        }
        _ => String::new(),
    };
    let gone = match (told.change, told.gone) {
        (HostChangeKind::Forgotten, _) | (_, false) => "",
        (_, true) => ", none of these hosts any more",
    };
    let what = format!("{} {}{gone}", clean(&host.hostname), told.change.as_str());
    line(Some(told.time), &what, &detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(change: &str, gone: bool) -> String {
        let host = json!({"host_id": "00000000-0000-0000-0000-000000000001", "sensor_id": 1, "org": "default",
            "hostname": "web01", "platform": "linux", "arch": "x86_64", "attachments": [], "labels": ["dmz", "hot"],
            "created_at": "2026-11-20T14:00:00Z", "last_seen_at": "2026-11-20T14:00:00Z"});
        let told = json!({"change": change, "gone": gone, "time": "2026-11-20T14:00:00.5Z", "host": host});
        text(&serde_json::from_value(told).unwrap())
    }

    #[test]
    fn a_change_is_a_line_with_what_is_new() {
        assert!(shown("labelled", false).ends_with("dmz hot"), "its labels");
        assert!(
            shown("detached", false).ends_with("offline"),
            "how it is attached"
        );
        let gone = shown("labelled", true);
        assert!(
            gone.contains("web01 labelled, none of these hosts any more"),
            "{gone}"
        );
        assert!(shown("forgotten", true).ends_with("web01 forgotten"));
    }
}

//! Options that say which hosts are meant.

use super::label;
use clap::Args;
use tripline_protocol::selector::{Attached, Glob, HostSelector, Word};
use tripline_protocol::{Label, Span};

#[derive(Debug, Clone, Default, Args)]
pub(in super::super) struct Selection {
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
    /// Only hosts that were seen within this span, such as 1h
    #[arg(long, value_name = "SPAN")]
    seen_within: Option<Span>,
    /// Only hosts that were not seen for longer than this span, such as 7d
    #[arg(long, value_name = "SPAN")]
    unseen_for: Option<Span>,
    /// Only hosts whose agents have this version
    #[arg(long, value_name = "VERSION")]
    agent_version: Option<Word>,
}

impl Selection {
    /// As parameters of a list of hosts.
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let labels: Vec<String> = self.label.iter().map(Label::to_string).collect();
        let parts = [
            ("label", (!labels.is_empty()).then(|| labels.join(","))),
            ("platform", self.platform.as_ref().map(Word::to_string)),
            ("hostname", self.hostname.as_ref().map(Glob::to_string)),
            ("attached", self.attached.map(|attached| attached.to_string())),
            ("seen_within", self.seen_within.map(|span| span.to_string())),
            ("unseen_for", self.unseen_for.map(|span| span.to_string())),
            ("agent_version", self.agent_version.as_ref().map(Word::to_string)),
        ];
        let given = |(name, value): (&'static str, Option<String>)| Some((name, value?));
        parts.into_iter().filter_map(given).collect()
    }

    /// As what the server compares hosts with.
    pub(in super::super) fn into_selector(self) -> HostSelector {
        HostSelector {
            labels: self.label,
            platform: self.platform,
            hostname: self.hostname,
            attached: self.attached,
            seen_within: self.seen_within,
            unseen_for: self.unseen_for,
            agent_version: self.agent_version,
        }
    }
}

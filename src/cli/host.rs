//! `tripline host`: the hosts the server knows.

use super::output::{Format, fields, or_dash, print, print_json, table};
use super::{Client, Failure, Global};
use clap::{Args, Subcommand};
use std::time::SystemTime;
use tripline_protocol::api::{AgentPlace, CloneView, HostView, LinkHost};

mod forget;
mod isolate;
mod label;
mod select;
mod waiting;
mod watch;
mod wide;

pub(super) use select::Selection;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List hosts
    #[command(
        after_help = "Examples:\n  tripline host list --output json | jq -r '.[].hostname'\n  \
                      tripline host list --label dmz --platform linux --hostname 'web-*' --unseen-for 7d"
    )]
    List(List),
    /// Show all hosts as they are, and then every change of one, until the command is interrupted
    #[command(
        after_help = "Examples:\n  tripline host watch --label dmz\n  tripline host watch --output json | jq -r .change"
    )]
    Watch(watch::Watch),
    /// Let a host report as a LittleBrother client that is known as a host of its own
    ///
    /// From then on the client's id and name mean this host. Hosts are never joined by their names alone.
    #[command(after_help = "Example:\n  tripline host link web01 web01.example.org")]
    Link {
        /// The host's id, sensor id or hostname
        host: String,
        /// Id, sensor id or hostname of the client's own record
        littlebrother_host: String,
    },
    /// Undo a link: the LittleBrother client is a host of its own again
    #[command(after_help = "Example:\n  tripline host unlink web01")]
    Unlink {
        /// Its host id, sensor id or hostname
        host: String,
    },
    /// Give a host labels and take labels from it
    ///
    /// +LABEL gives, -LABEL takes away. Labels that the configuration of the host's agent gives are not changed here.
    /// Options stand before the labels.
    #[command(after_help = "Example:\n  tripline host label web01 +dmz +owner:ana -old")]
    Label {
        /// Its host id, sensor id or hostname
        host: String,
        /// +LABEL or -LABEL
        #[arg(required = true, allow_hyphen_values = true, trailing_var_arg = true, value_parser = label::change)]
        change: Vec<label::Change>,
    },
    /// Forget a host: its record, its agent's key, its labels and its link
    ///
    /// Jobs and sessions that have ended stay until they are pruned. The agent is refused from then on; to bring the
    /// machine back, remove the agent's state directory and enrol it again, as a new host. A LittleBrother client that
    /// reports again is a new host, too. A host that is isolated is to be released before (tripline host unisolate).
    #[command(after_help = "Examples:\n  tripline host forget web01\n  tripline host forget web01 --force")]
    Forget {
        /// Its host id, sensor id or hostname
        host: String,
        /// Cancel its open jobs and close its open sessions first, and leave it isolated until its time if it is;
        /// without it these are in the way
        #[arg(long)]
        force: bool,
    },
    /// Cut a host off from the network, but for this server and what is allowed, for a time
    ///
    /// By a job, which waits for a host that is away. Doing it again renews it: the time counts anew, and what was
    /// allowed before is forgotten. It ends by itself, also when the host's agent is gone.
    #[command(
        after_help = "Examples:\n  tripline host isolate web01\n  tripline host isolate web01 --for 3d --persist --allow 10.1.2.0/24"
    )]
    Isolate(isolate::Isolate),
    /// End a host's isolation
    #[command(after_help = "Example:\n  tripline host unisolate web01")]
    Unisolate(isolate::Unisolate),
    /// Show one host
    #[command(after_help = "Example:\n  tripline host show web01")]
    Show {
        /// Its host id, sensor id or hostname
        host: String,
    },
    /// End the validity of a host's agent key: the same as tripline key revoke
    ///
    /// The agent's connection is closed and it stops. To bring the machine back, remove the agent's state
    /// directory and enrol it again; it is a new host then. A host that is isolated stays so until its time.
    #[command(after_help = "Example:\n  tripline host revoke web01")]
    Revoke {
        /// Its host id, sensor id or hostname
        host: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only hosts of this tenant
    #[arg(long)]
    org: Option<String>,
    #[command(flatten)]
    selection: Selection,
    /// At most this many
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    limit: usize,
    /// Show what LittleBrother clients and agents say of themselves
    #[arg(long)]
    wide: bool,
}

impl List {
    fn query(self) -> Vec<(&'static str, String)> {
        let org = self.org.map(|org| ("org", org));
        org.into_iter().chain(self.selection.query()).collect()
    }
}

pub(super) async fn run(global: &Global, verb: Verb) -> Result<(), Failure> {
    let client = Client::find(global)?;
    match verb {
        Verb::Watch(wanted) => watch::watch(global, &wanted).await,
        Verb::List(wanted) => {
            let List { limit, wide, .. } = wanted;
            let (hosts, more) = client
                .list::<HostView>(&["hosts"], &wanted.query(), limit)
                .await?;
            match global.output {
                Format::Json => print_json(&hosts)?,
                Format::Table if wide => print(&wide::list(&hosts, SystemTime::now().into()))?,
                Format::Table => print(&list(&hosts))?,
            }
            super::say_more(more);
            Ok(())
        }
        Verb::Link {
            host,
            littlebrother_host: littlebrother,
        } => {
            let body = LinkHost { littlebrother };
            let host: HostView = client.post(&["hosts", &host, "link"], &body).await?;
            match global.output {
                Format::Json => print_json(&host),
                Format::Table => print(&show(&host)),
            }
        }
        Verb::Label { host, change } => {
            let body = label::body(change);
            let host: HostView = client.patch(&["hosts", &host, "labels"], &body).await?;
            match global.output {
                Format::Json => print_json(&host),
                Format::Table => print(&show(&host)),
            }
        }
        Verb::Forget { host, force } => forget::run(&client, global.output, &host, force).await,
        Verb::Isolate(arguments) => isolate::isolate(global, arguments).await,
        Verb::Unisolate(arguments) => isolate::unisolate(global, arguments).await,
        Verb::Unlink { host } => client.delete(&["hosts", &host, "link"]).await,
        Verb::Revoke { host } => revoke_key(&client, &host).await,
        Verb::Show { host } => {
            let host: HostView = client.get(&["hosts", &host], &[]).await?;
            match global.output {
                Format::Json => print_json(&host),
                Format::Table => {
                    let jobs = waiting::of(&client, &host).await?;
                    print(&format!("{}{}", show(&host), waiting::shown(host.host_id, &jobs)))
                }
            }
        }
    }
}

/// Ends the validity of a host's agent key; says so when the host stays isolated.
pub(super) async fn revoke_key(client: &Client, host: &str) -> Result<(), Failure> {
    let host: HostView = client.end(&["hosts", host, "key"], &[]).await?;
    if let Some(isolation) = &host.isolation {
        super::report(&[isolate::stays(&host.hostname, isolation.until)]);
    }
    Ok(())
}

fn attached(host: &HostView) -> String {
    let mut text = match host.attachments.as_slice() {
        [] => "offline".to_owned(),
        attachments => attachments
            .iter()
            .map(|attachment| attachment.kind.as_str())
            .collect::<Vec<_>>()
            .join(","),
    };
    if host.cloned.is_some() {
        text.push_str(" (cloned)");
    }
    text
}

/// Two agents with one key, as one line.
fn cloned(clone: &CloneView) -> (&'static str, String) {
    let place = |place: &AgentPlace| {
        let address = or_dash(place.address.as_ref());
        format!("{address} ({})", place.hostname)
    };
    let text = format!(
        "two agents have its key: {} is served, {} came back {} times, last at {}; rotate the key and enrol the other anew",
        place(&clone.served),
        place(&clone.other),
        clone.times,
        clone.last_at
    );
    ("cloned", text)
}

/// Of a host that has an agent, and was attached by it.
fn agent_version(host: &HostView) -> Option<&String> {
    Some(&host.agent_version).filter(|version| !version.is_empty())
}

fn list(hosts: &[HostView]) -> String {
    let rows = hosts.iter().map(|host| {
        [
            host.host_id.to_string(),
            host.sensor_id.to_string(),
            host.org.to_string(),
            host.hostname.clone(),
            host.platform.clone(),
            attached(host),
            or_dash(agent_version(host)),
            host.jobs_open.to_string(),
            host.last_seen_at.to_string(),
        ]
    });
    table(
        [
            "HOST ID",
            "SENSOR",
            "ORG",
            "HOSTNAME",
            "PLATFORM",
            "ATTACHED",
            "AGENT",
            "JOBS",
            "LAST SEEN",
        ],
        rows,
    )
}

fn show(host: &HostView) -> String {
    let attachments = host.attachments.iter().map(|attachment| {
        let verbs: Vec<&str> = attachment.verbs.iter().map(|verb| verb.as_str()).collect();
        (
            "attached",
            format!(
                "{} since {}: {}",
                attachment.kind,
                attachment.since,
                verbs.join(" ")
            ),
        )
    });
    let rows = [
        ("host id", host.host_id.to_string()),
        ("sensor id", host.sensor_id.to_string()),
        ("org", host.org.to_string()),
        ("hostname", host.hostname.clone()),
        (
            "platform",
            format!("{} {} {}", host.platform, host.arch, host.os_version),
        ),
        ("addresses", host.addresses.join(" ")),
        ("labels", label::shown(host)),
        ("agent", or_dash(agent_version(host))),
        ("open jobs", host.jobs_open.to_string()),
        ("created", host.created_at.to_string()),
        ("last seen", host.last_seen_at.to_string()),
    ];
    let offline = host
        .attachments
        .is_empty()
        .then(|| ("attached", "offline".to_owned()));
    let isolation = host.isolation.iter();
    let isolation = isolation.map(|isolation| ("isolated", isolate::shown(isolation)));
    let littlebrother = host.littlebrother.iter().flat_map(wide::client);
    let sids = host.sids.iter().map(|sid| ("sid", sid.clone()));
    fields(
        rows.into_iter()
            .chain(attachments)
            .chain(offline)
            .chain(isolation)
            .chain(host.cloned.as_ref().map(cloned))
            .chain(sids)
            .chain(littlebrother),
    )
}
